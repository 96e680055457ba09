//! What is still to be done on devices when the process ends: a session opened on a card is closed there, also when its
//! meter was dropped a moment before.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How many pieces of work are under way in this process.
static UNDER_WAY: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// Counts one piece, also when its task is cancelled.
struct Counted;

impl Counted {
    fn new() -> Self {
        UNDER_WAY.send_modify(|count| *count += 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        UNDER_WAY.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Runs `work`, which must end by itself, to its end, whatever becomes of the caller. Without a runtime nothing runs: the
/// process is ending.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let counted = Counted::new();
    runtime.spawn(async move {
        work.await;
        drop(counted);
    });
}

/// Waits until all of it is done, at most `limit`; for the end of a process that has had meters.
pub async fn finished(limit: Duration) {
    let mut count = UNDER_WAY.subscribe();
    _ = timeout(limit, count.wait_for(|count| *count == 0)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, as there is one count a process.
    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_is_under_way_and_not_for_ever() {
        finished(Duration::MAX).await;
        let begin = tokio::time::Instant::now();
        spawn(tokio::time::sleep(Duration::from_secs(3)));
        finished(Duration::from_secs(60)).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        spawn(tokio::time::sleep(Duration::from_secs(3_600)));
        finished(Duration::from_secs(5)).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(8));
    }
}
