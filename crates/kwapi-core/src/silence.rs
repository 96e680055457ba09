//! When a probe is silent. There is no other definition: lists, pages, totals, `/metrics` and `kwapi status` use this
//! one.

use std::time::Duration;

/// A probe may miss as many of its own intervals, one less, without being called silent.
const INTERVALS: u32 = 3;

/// How long after a measurement it may stand for the present: three of the probe's own intervals, or `max_gap` where that is
/// longer.
pub fn silent_after(interval: Duration, max_gap: Duration) -> Duration {
    interval.saturating_mul(INTERVALS).max(max_gap)
}

/// Whether a probe is silent whose newest measurement is `age` old: that is no longer shown as if it were now, nor added to a
/// total. Its energy still counts.
pub fn is_silent(age: Duration, interval: Duration, max_gap: Duration) -> bool {
    age > silent_after(interval, max_gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(age: u64, interval: u64, max_gap: u64, expected: bool) {
        let [age, interval, max_gap] = [age, interval, max_gap].map(Duration::from_secs);
        assert_eq!(is_silent(age, interval, max_gap), expected, "{age:?} {interval:?} {max_gap:?}");
    }

    #[test]
    fn a_probe_is_silent_after_max_gap_but_not_before_three_of_its_own_intervals() {
        check(60, 1, 60, false);
        check(61, 1, 60, true);
        check(180, 60, 60, false);
        check(181, 60, 60, true);
        check(61, 0, 60, true);
        check(u64::MAX, u64::MAX, 60, false);
    }
}
