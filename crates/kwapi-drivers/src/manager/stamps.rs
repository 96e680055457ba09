//! The device's stamps of all values that one round returns of a probe. Where its clock is ahead of ours, or is not to
//! be used, the newest of them is now and the others are as long before as the device reports.

use std::collections::HashMap;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};

/// A device's clock may be ahead of ours by this much and still be accepted.
const DEVICE_AHEAD_MAX: Duration = Duration::from_secs(1);

/// The newest stamps of one probe in one round; the epoch where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NewestStamp {
    /// Of those that the device's clock may be accepted in.
    accepted: Timestamp,
    /// Of the others.
    other: Timestamp,
}

impl NewestStamp {
    fn note(&mut self, stamp: Timestamp, wall: Timestamp, device_clock: bool) {
        let newest =
            if is_accepted(stamp, wall, device_clock) { &mut self.accepted } else { &mut self.other };
        *newest = stamp.max(*newest);
    }

    /// What the device's clock shows now, as far as that matters to a value with this stamp.
    pub(super) fn now_by_device(&self, stamp: Timestamp, wall: Timestamp, device_clock: bool) -> Timestamp {
        if is_accepted(stamp, wall, device_clock) {
            self.accepted.max(stamp).max(wall)
        } else {
            self.other.max(stamp)
        }
    }
}

fn is_accepted(stamp: Timestamp, wall: Timestamp, device_clock: bool) -> bool {
    device_clock && stamp.since(wall) <= DEVICE_AHEAD_MAX
}

/// The newest stamps of all probes in one round, as far as they are not behind our clock: mostly none.
#[derive(Debug, Default)]
pub(super) struct NewestStamps(HashMap<ProbeId, NewestStamp>);

impl NewestStamps {
    pub(super) fn of<'a>(
        stamped: impl Iterator<Item = (&'a ProbeId, Timestamp)>,
        wall: Timestamp,
        device_clock: bool,
    ) -> Self {
        let mut newest = HashMap::<ProbeId, NewestStamp>::new();
        for (probe, stamp) in stamped.filter(|(_, stamp)| !device_clock || *stamp > wall) {
            match newest.get_mut(probe) {
                Some(newest) => newest.note(stamp, wall, device_clock),
                None => newest.entry(probe.clone()).or_default().note(stamp, wall, device_clock),
            }
        }
        Self(newest)
    }

    pub(super) fn get(&self, probe: &ProbeId) -> NewestStamp {
        if self.0.is_empty() {
            NewestStamp::default()
        } else {
            self.0.get(probe).copied().unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_800_000_000_000_000;

    /// How long ago each of these values was measured, in milliseconds, which are stamped so many milliseconds after now.
    #[track_caller]
    fn check(stamped: &[i64], device_clock: bool, ages: &[u128]) {
        let (probe, wall) = (ProbeId::new("p").unwrap(), Timestamp::from_micros(WALL));
        let stamp = |after: &i64| Timestamp::from_micros(WALL.saturating_add_signed(after * 1_000));
        let newest = NewestStamps::of(stamped.iter().map(|after| (&probe, stamp(after))), wall, device_clock);
        let age = |after| {
            let stamp = stamp(after);
            newest.get(&probe).now_by_device(stamp, wall, device_clock).since(stamp).as_millis()
        };
        assert_eq!(stamped.iter().map(age).collect::<Vec<_>>(), ages, "{stamped:?}");
    }

    #[test]
    fn a_block_of_a_clock_that_is_ahead_keeps_its_spacing_and_ends_now() {
        check(&[-3, -2, -1], true, &[3, 2, 1]);
        check(&[-1, 0, 1], true, &[2, 1, 0]);
        check(&[998, 999, 1_000], true, &[2, 1, 0]);
        check(&[7_000, 7_001, 7_002], true, &[2, 1, 0]);
    }

    #[test]
    fn a_block_of_a_clock_that_is_not_to_be_used_keeps_its_spacing_and_ends_now() {
        check(&[-9_003, -9_001], false, &[2, 0]);
        check(&[9_001, 9_003], false, &[2, 0]);
        check(&[9_001], false, &[0]);
    }

    #[test]
    fn one_absurd_stamp_moves_no_other() {
        check(&[-2, 86_400_000, -1], true, &[2, 0, 1]);
        check(&[3, 86_400_000, 5], true, &[2, 0, 0]);
    }
}
