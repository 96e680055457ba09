//! The pace of a discovery: so many hosts a second at most, so many at a time, until it is stopped.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Hosts queried at the same time, whatever the rate: with a connection for each protocol, fewer sockets than a process
/// may have. The next waits for its turn.
pub(super) const HOSTS_AT_ONCE: usize = 64;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) probed: usize,
    pub(super) hosts: usize,
}

/// Queries each of `hosts`, at most `rate` of them begun in any second, and notifies `note` of each that is done. Ends
/// when all have been queried, or at once when `stopped`; those still being queried are then left alone.
pub(super) async fn sweep<Task>(
    hosts: Vec<String>,
    rate: f64,
    mut probe: impl FnMut(String) -> Task,
    mut note: impl FnMut(Progress),
    stopped: impl Future<Output = ()>,
) -> Progress
where
    Task: Future<Output = ()> + Send + 'static,
{
    // Longer than a day between hosts is as good as never, and more than a timer is sure to take.
    let mut pace = tokio::time::interval(Duration::from_secs_f64((1.0 / rate).clamp(1e-6, 86_400.0)));
    // A host that waited for its turn shifts those after it; none are queried in a burst to make up for it.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut progress = Progress { probed: 0, hosts: hosts.len() };
    let mut running = JoinSet::new();
    let mut done = || {
        progress.probed += 1;
        note(progress);
    };
    let all = async {
        for host in hosts {
            while running.len() >= HOSTS_AT_ONCE {
                running.join_next().await;
                done();
            }
            pace.tick().await;
            running.spawn(probe(host));
            while running.try_join_next().is_some() {
                done();
            }
        }
        while running.join_next().await.is_some() {
            done();
        }
    };
    tokio::select! {
        () = all => {}
        () = stopped => {}
    }
    progress
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::time::{Instant, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sweeps `count` hosts that take `takes` to answer; when each was begun, and how many at once at most.
    async fn begun(
        count: usize,
        rate: f64,
        takes: Duration,
        stop: Duration,
    ) -> (Vec<Instant>, usize, Progress) {
        let (begun, now) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new((0, 0))));
        let hosts = (0..count).map(|number| number.to_string()).collect();
        let probe = |_| {
            let (begun, now) = (begun.clone(), now.clone());
            async move {
                begun.lock().push(Instant::now());
                {
                    let mut now = now.lock();
                    now.0 += 1;
                    now.1 = now.1.max(now.0);
                }
                sleep(takes).await;
                now.lock().0 -= 1;
            }
        };
        let progress = sweep(hosts, rate, probe, |_| {}, sleep(stop)).await;
        let (begun, at_once) = (begun.lock().clone(), now.lock().1);
        (begun, at_once, progress)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_hosts_than_the_rate() {
        for takes in [Duration::ZERO, SECOND / 3, 6 * SECOND] {
            let (begun, ..) = begun(500, 20.0, takes, 3_600 * SECOND).await;
            assert_eq!(begun.len(), 500);
            for window in begun.windows(21) {
                assert!(window[20] - window[0] + Duration::from_millis(2) >= SECOND, "{takes:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_that_do_not_answer_are_never_more_than_so_many_at_once() {
        let (begun, at_once, progress) = begun(300, 1_000.0, 6 * SECOND, 3_600 * SECOND).await;
        assert_eq!((begun.len(), at_once), (300, HOSTS_AT_ONCE));
        assert_eq!(progress, Progress { probed: 300, hosts: 300 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_it_at_once_and_shows_how_far_it_came() {
        let start = Instant::now();
        let (_, _, progress) = begun(60_000, 20.0, SECOND / 10, 10 * SECOND).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        assert!((195..=202).contains(&progress.probed) && progress.hosts == 60_000, "{progress:?}");
    }
}
