//! Which ticks of a short interval are due, by the clock that runs since the host's boot: those since the meter was last asked.

use std::time::Duration;

use super::published::Now;
use crate::driver::Asked;

/// Ticks further back than this are missed: the process was stopped, or the host.
const LATE_MAX: Duration = Duration::from_secs(2);

/// The ticks of one session with a meter.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    interval: Duration,
    /// The one that is due next; `None` before the first, which is due at once.
    next: Option<Duration>,
}

impl Ticks {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_micros(1)), next: None }
    }

    /// Those that are due `now`, of which there is one at least, and how many before them are missed. `None`: none is due yet.
    pub(super) fn due(&mut self, now: Now<'_>) -> Option<(Asked, u64)> {
        let interval_ns = self.interval.as_nanos();
        let next = self.next.unwrap_or(now.boottime);
        let late = now.boottime.checked_sub(next)?;
        let before = late.as_nanos() / interval_ns;
        let most = LATE_MAX.as_nanos() / interval_ns;
        let newest_age = Duration::from_nanos(u64::try_from(late.as_nanos() % interval_ns).unwrap_or(0));
        self.next = Some(now.boottime.saturating_sub(newest_age).saturating_add(self.interval));
        let missed = u64::try_from(before.saturating_sub(most)).unwrap_or(u64::MAX);
        let before = u32::try_from(before.min(most)).unwrap_or(0);
        Some((Asked { at: now.wall, newest_age, interval: self.interval, before }, missed))
    }

    /// How long it is to the next one; nothing where that is due.
    pub(super) fn until_next(&self, now: Now<'_>) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_sub(now.boottime))
    }
}

#[cfg(test)]
mod tests {
    use kwapi_core::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn now_at(boottime: Duration) -> Now<'static> {
        let wall = Timestamp::from_seconds(1_800_000_000).after(boottime);
        Now { wall, monotonic: boottime, boottime, boot: "boot" }
    }

    fn due(ticks: &mut Ticks, boottime: Duration) -> Option<(Asked, u64)> {
        ticks.due(now_at(boottime))
    }

    #[test]
    fn ticks_two_seconds_back_are_due_and_older_ones_are_missed() {
        let mut ticks = Ticks::new(Duration::from_millis(1));
        let second = Duration::from_secs(1);
        assert_eq!(due(&mut ticks, second).map(|(asked, missed)| (asked.before, missed)), Some((0, 0)));
        assert_eq!(due(&mut ticks, second), None);
        assert_eq!(due(&mut ticks, 3 * second).map(|(asked, missed)| (asked.before, missed)), Some((1_999, 0)));
        assert_eq!(due(&mut ticks, 9 * second).map(|(asked, missed)| (asked.before, missed)), Some((2_000, 3_999)));
    }

    proptest! {
        #[test]
        fn each_tick_is_due_once_or_missed(
            interval_us in 1_000_u64..50_000, begin in 0_u64..1 << 40, steps in prop::collection::vec(0_u64..5_000_000, 1..60),
        ) {
            let interval = Duration::from_micros(interval_us);
            let mut ticks = Ticks::new(interval);
            let mut now = Duration::from_micros(begin);
            let (mut told, mut begun, mut last) = (0, None, None);
            for step in steps {
                now += Duration::from_micros(step);
                let Some((asked, missed)) = due(&mut ticks, now) else { continue };
                let newest = now - asked.newest_age;
                let first = newest - interval * asked.before;
                if let Some(last) = last {
                    let apart = (first - last).as_micros();
                    prop_assert_eq!(apart, u128::from(interval_us) * (u128::from(missed) + 1));
                }
                prop_assert!(now - first <= LATE_MAX + interval);
                told += u64::from(asked.before) + 1 + missed;
                (begun, last) = (begun.or(Some(newest)), Some(newest));
                prop_assert!(ticks.until_next(now_at(now)) <= interval);
            }
            let between = begun.zip(last).map(|(begun, last)| (last - begun).as_micros() as u64 / interval_us + 1);
            prop_assert_eq!(told, between.unwrap_or(0));
        }
    }
}
