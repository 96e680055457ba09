//! Meter counters: distinguishing an advance from a wrap, an operator's reset, a reboot and nonsense.

use std::time::Duration;

use super::status::microjoules;
use crate::{Energy, Timestamp};

/// A device's own energy counter as it stood in one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterCounter {
    /// What it shows.
    pub value: Energy,
    /// One tick: the true energy lies in `value .. value + resolution`.
    pub resolution: Energy,
    /// Where it starts again from zero (2³² Wh, 9 999 kWh, `max_energy_range_uj`), if the device states it. Without
    /// it, a counter that fell was reset.
    pub range: Option<Energy>,
    /// When the device reports that it was last reset, if it does.
    pub reset_at: Option<Timestamp>,
}

impl MeterCounter {
    /// A counter that states neither range nor reset stamp.
    pub const fn new(value: Energy, resolution: Energy) -> Self {
        Self { value, resolution, range: None, reset_at: None }
    }
}

/// What became of a counter since the reading before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterChange {
    /// The first reading there is: nothing to compare with.
    First,
    /// It counted this much more (nothing, between the ticks of a coarse one).
    Advanced(Energy),
    /// It passed its range and started again; this much in all.
    Wrapped(Energy),
    /// Somebody set it back, or the device forgot it. What it counted in between is not known.
    Reset,
    /// It went up by more than the outlet can have used. What it counted in between is not known.
    Jumped(Energy),
}

impl MeterCounter {
    /// How far a counter advanced from `earlier` over a stop: a rise, or a single wrap of a stated range, by no more than
    /// `bound_uj` microjoules.
    pub(super) fn advance_since(&self, earlier: &Self, bound_uj: u128) -> Option<Energy> {
        let advance = if self.value >= earlier.value {
            self.value.saturating_sub(earlier.value)
        } else {
            let range = earlier.range.filter(|range| earlier.value <= *range)?;
            range.saturating_sub(earlier.value).saturating_add(self.value)
        };
        (microjoules(advance) <= bound_uj).then_some(advance)
    }
}

/// Follows one counter from reading to reading.
#[derive(Clone, Debug, Default)]
pub struct CounterTracker {
    /// Boxed: a meter of watts alone has none.
    last: Option<Box<LastCounter>>,
}

/// The reading before.
#[derive(Clone, Debug)]
struct LastCounter {
    counter: MeterCounter,
    /// How long ago that was at the latest reading of the meter, which did not state it.
    unread: Duration,
    /// What the watts have added since then, in microjoules.
    filled_uj: u128,
}

impl From<MeterCounter> for Box<LastCounter> {
    fn from(counter: MeterCounter) -> Self {
        Self::new(LastCounter { counter, unread: Duration::ZERO, filled_uj: 0 })
    }
}

impl CounterTracker {
    /// Compares with the reading before. `plausible_max` is the most the outlet can have used in between; a tick of the
    /// counter at either reading is allowed on top of it.
    pub fn observe(&mut self, counter: &MeterCounter, plausible_max: Energy) -> CounterChange {
        let Some(last) = &mut self.last else {
            self.last = Some((*counter).into());
            return CounterChange::First;
        };
        (last.unread, last.filled_uj) = (Duration::ZERO, 0);
        let before = std::mem::replace(&mut last.counter, *counter);
        // A stamp that is not stated once is still the one to compare the next with.
        last.counter.reset_at = counter.reset_at.or(before.reset_at);
        let bound = plausible_max.saturating_add(counter.resolution).saturating_add(counter.resolution);
        if matches!((before.reset_at, counter.reset_at), (Some(then), Some(now)) if then != now) {
            return CounterChange::Reset;
        }
        if counter.value >= before.value {
            let advance = counter.value.saturating_sub(before.value);
            return if advance > bound {
                CounterChange::Jumped(advance)
            } else {
                CounterChange::Advanced(advance)
            };
        }
        match counter.range {
            Some(range) if before.value <= range => {
                let advance = range.saturating_sub(before.value).saturating_add(counter.value);
                if advance <= bound { CounterChange::Wrapped(advance) } else { CounterChange::Reset }
            }
            Some(_) | None => CounterChange::Reset,
        }
    }

    /// Takes what was read after a stop as the reading before, whatever there was.
    pub(super) fn resume(&mut self, counter: &MeterCounter) {
        self.last = Some((*counter).into());
    }

    /// The reading before.
    pub(super) fn last(&self) -> Option<&MeterCounter> {
        self.last.as_deref().map(|last| &last.counter)
    }

    /// How long before the latest reading of the meter that was.
    pub(super) fn unread(&self) -> Duration {
        self.last.as_deref().map_or(Duration::ZERO, |last| last.unread)
    }

    /// The meter was read, `elapsed` after the reading before, and did not state the counter. Answers the counter as it
    /// stood and what the watts have added since, with the `added_uj` microjoules of this reading.
    pub(super) fn pass(&mut self, elapsed: Duration, added_uj: u128) -> Option<(&MeterCounter, u128)> {
        let last = self.last.as_mut()?;
        last.unread = last.unread.saturating_add(elapsed);
        last.filled_uj = last.filled_uj.saturating_add(added_uj);
        Some((&last.counter, last.filled_uj))
    }

    /// Forgets the reading before, so that the next is the first.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counter(wh: u64) -> MeterCounter {
        MeterCounter {
            value: Energy::from_watt_hours(wh),
            resolution: Energy::from_watt_hours(1),
            range: Some(Energy::from_watt_hours(1 << 32)),
            reset_at: None,
        }
    }

    #[track_caller]
    fn check(before: MeterCounter, after: MeterCounter, plausible_wh: u64, expected: CounterChange) {
        let mut tracker = CounterTracker::default();
        assert_eq!(tracker.observe(&before, Energy::ZERO), CounterChange::First);
        assert_eq!(tracker.observe(&after, Energy::from_watt_hours(plausible_wh)), expected);
    }

    #[test]
    fn a_counter_that_fell_has_wrapped_only_within_reach_of_its_range() {
        check(counter((1 << 32) - 2), counter(3), 10, CounterChange::Wrapped(Energy::from_watt_hours(5)));
        check(counter(1_000_000), counter(3), 10, CounterChange::Reset);
        let without_range = |wh| MeterCounter { range: None, ..counter(wh) };
        check(without_range((1 << 32) - 2), without_range(3), 10, CounterChange::Reset);
    }

    #[test]
    fn a_new_reset_stamp_is_a_reset_even_when_the_counter_rose() {
        let stamped =
            |wh, seconds| MeterCounter { reset_at: Some(Timestamp::from_seconds(seconds)), ..counter(wh) };
        check(stamped(10, 1), stamped(12, 1), 10, CounterChange::Advanced(Energy::from_watt_hours(2)));
        check(stamped(10, 1), stamped(12, 2), 10, CounterChange::Reset);
    }

    #[test]
    fn a_counter_beyond_its_range_or_without_one_does_not_wrap() {
        let ranged = |wh| MeterCounter { range: Some(Energy::from_watt_hours(100)), ..counter(wh) };
        check(ranged(98), ranged(3), 10, CounterChange::Wrapped(Energy::from_watt_hours(5)));
        check(ranged(150), ranged(3), 10, CounterChange::Reset);
        let without_range = |wh| MeterCounter { range: None, ..counter(wh) };
        assert_eq!(without_range(3).advance_since(&without_range(98), u128::MAX), None);
        assert_eq!(ranged(3).advance_since(&ranged(98), u128::MAX), Some(Energy::from_watt_hours(5)));
        assert_eq!(ranged(3).advance_since(&ranged(150), u128::MAX), None);
    }

    #[test]
    fn more_than_the_outlet_can_use_is_a_jump() {
        check(counter(10), counter(10_000), 5, CounterChange::Jumped(Energy::from_watt_hours(9_990)));
        // A tick may have been due at either reading.
        check(counter(10), counter(17), 5, CounterChange::Advanced(Energy::from_watt_hours(7)));
        check(counter(10), counter(18), 5, CounterChange::Jumped(Energy::from_watt_hours(8)));
    }

    proptest! {
        #[test]
        fn no_pair_of_readings_credits_more_than_is_plausible(before in any::<u64>(), after in any::<u64>(),
                range in any::<Option<u64>>(), plausible in any::<u64>()) {
            let reading = |mj| MeterCounter {
                value: Energy::from_millijoules(mj),
                resolution: Energy::from_millijoules(1),
                range: range.map(Energy::from_millijoules),
                reset_at: None,
            };
            let mut tracker = CounterTracker::default();
            tracker.observe(&reading(before), Energy::ZERO);
            let bound = Energy::from_millijoules(plausible.saturating_add(2));
            match tracker.observe(&reading(after), Energy::from_millijoules(plausible)) {
                CounterChange::Advanced(energy) | CounterChange::Wrapped(energy) => prop_assert!(energy <= bound),
                CounterChange::First => prop_assert!(false, "it was the second"),
                CounterChange::Reset | CounterChange::Jumped(_) => {}
            }
        }
    }
}
