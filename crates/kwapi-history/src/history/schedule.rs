//! Whose files are written when: each probe's once in a flush interval, at an instant of its own.

use std::sync::Arc;
use std::time::Duration;

use super::probe::ProbeFiles;

/// Into so many parts an interval is divided at most.
const SLOTS_MAX: u128 = 3_600;

/// Probes by the instant of the interval at which their files are due, so that a tick looks at those alone whose time has
/// come.
#[derive(Debug)]
pub(super) struct Schedule {
    interval_ms: u128,
    slots: Vec<Vec<Arc<ProbeFiles>>>,
    /// When it was last queried.
    looked_at: Option<u128>,
}

impl Schedule {
    pub(super) fn new(interval: Duration) -> Self {
        let interval_ms = interval.as_millis().max(1);
        let slots = (interval_ms / 1_000).clamp(1, SLOTS_MAX);
        Self { interval_ms, slots: (0..slots).map(|_| Vec::new()).collect(), looked_at: None }
    }

    pub(super) fn add(&mut self, probe: &Arc<ProbeFiles>) {
        let slot = self.slot(self.instant(probe));
        if let Some(probes) = self.slots.get_mut(slot) {
            probes.push(Arc::clone(probe));
        }
    }

    /// The probes whose instant has passed since the last query, of those that have something to write. The first
    /// time there are none.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Arc<ProbeFiles>> {
        let now = now.as_millis();
        let Some(before) = self.looked_at.replace(now) else { return Vec::new() };
        let passed = now.saturating_sub(before);
        let count = self.slots.len();
        let first = self.slot(before % self.interval_ms);
        // That of the instant before and that of this one, and what is between.
        let last = self.slot(now % self.interval_ms);
        let looked_at =
            if passed * 2 > self.interval_ms { count } else { (last + count - first) % count + 1 };
        let slots = self.slots.iter().cycle().skip(first).take(looked_at);
        let has_passed = |probe: &&Arc<ProbeFiles>| {
            let turn = |at: u128| (at + self.interval_ms - self.instant(probe)) / self.interval_ms;
            turn(before) != turn(now) && probe.has_waiting()
        };
        slots.flatten().filter(has_passed).cloned().collect()
    }

    /// When in each interval the files of a probe are due, in milliseconds.
    fn instant(&self, probe: &ProbeFiles) -> u128 {
        probe.stem.as_u128() % self.interval_ms
    }

    fn slot(&self, instant: u128) -> usize {
        let slots = self.slots.len() as u128;
        usize::try_from(instant * slots / self.interval_ms).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use kwapi_core::{Decision, Measurement, ProbeId, Timestamp, Totals, Watts};

    use super::*;
    use crate::journal::{Credited, Taken};
    use crate::store::Known;

    /// Probes with something to write.
    fn probes(count: u32) -> Vec<Arc<ProbeFiles>> {
        let taken = Taken { decision: Decision::Continue, register: Totals::default() };
        let all = (0..count).map(|number| {
            let probe = ProbeId::new(format!("p{number}")).unwrap();
            let known = Known { probe: probe.clone(), since: None };
            let measurement =
                Measurement { probe, power: Watts(1.0), voltage: None, current: None, accounting: None };
            let record = Credited::of(&measurement, Timestamp::from_seconds(1_700_000_000), taken);
            let probe = ProbeFiles::new(known, number);
            probe.keep(&record, 0, Duration::from_secs(60));
            Arc::new(probe)
        });
        all.collect()
    }

    /// How often each of many probes is due if it is queried at these seconds after the first time.
    #[track_caller]
    fn check(
        interval: u64,
        looked_at: impl IntoIterator<Item = f64>,
        expected: std::ops::RangeInclusive<usize>,
    ) {
        let mut schedule = Schedule::new(Duration::from_secs(interval));
        let all = probes(500);
        for probe in &all {
            schedule.add(probe);
        }
        let mut counts = vec![0; all.len()];
        assert!(schedule.due(Duration::from_secs(1_000)).is_empty(), "it is not known yet since when");
        for seconds in looked_at {
            for probe in schedule.due(Duration::from_secs_f64(1_000.0 + seconds)) {
                counts[probe.number as usize] += 1;
            }
        }
        let is_expected = |count: &usize| expected.contains(count);
        assert!(counts.iter().all(is_expected), "{interval}: {counts:?}");
    }

    #[test]
    fn each_probe_is_due_once_in_an_interval_however_it_is_queried() {
        check(120, (1..=120).map(f64::from), 1..=1);
        check(120, (1..=1_200).map(f64::from), 10..=10);
        check(120, (1..=240).map(|tick| f64::from(tick) * 1.013), 2..=3);
        check(120, (1..=120_000).map(|tick| f64::from(tick) / 1_000.0), 1..=1);
        check(120, [60.0, 119.5, 120.0], 1..=1);
        check(120, [119.9, 120.0], 1..=1);
        check(120, [120.0, 240.0], 2..=2);
        check(120, [1_000.0], 1..=1);
        check(1, (1..=10).map(f64::from), 10..=10);
        check(0, (1..=3).map(f64::from), 3..=3);
    }

    #[test]
    fn who_has_nothing_to_write_is_not_due() {
        let mut schedule = Schedule::new(Duration::from_secs(10));
        let known = Known { probe: ProbeId::new("a").unwrap(), since: None };
        schedule.add(&Arc::new(ProbeFiles::new(known, 0)));
        schedule.due(Duration::ZERO);
        assert!(schedule.due(Duration::from_secs(30)).is_empty());
    }
}
