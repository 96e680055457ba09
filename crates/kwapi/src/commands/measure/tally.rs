//! What one probe used between two instants, from readings of its running totals before, in and after that time.

use std::time::Duration;

use kwapi_core::{Timestamp, Totals, Watts};
use serde::{Deserialize, Serialize};

/// A total is interpolated between two readings in proportion; where the next is later than this, from the one before
/// by its watts.
const NEAR: Duration = Duration::from_secs(30);

/// A probe at one reading.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) at: Timestamp,
    pub(crate) watts: Watts,
    pub(crate) totals: Totals,
}

/// Joules and seconds by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Parts {
    pub(crate) measured_joules: f64,
    pub(crate) estimated_joules: f64,
    pub(crate) bridged_joules: f64,
    pub(crate) measured_seconds: f64,
    pub(crate) estimated_seconds: f64,
    pub(crate) bridged_seconds: f64,
    /// What is left of the requested time.
    pub(crate) unknown_seconds: f64,
}

impl Parts {
    /// All of them.
    pub(crate) fn joules(&self) -> f64 {
        self.measured_joules + self.estimated_joules + self.bridged_joules
    }

    /// Each by `value`, which is passed the one that it is to be.
    pub(super) fn each(value: impl Fn(fn(&Self) -> f64) -> f64) -> Self {
        Self {
            measured_joules: value(|parts| parts.measured_joules),
            estimated_joules: value(|parts| parts.estimated_joules),
            bridged_joules: value(|parts| parts.bridged_joules),
            measured_seconds: value(|parts| parts.measured_seconds),
            estimated_seconds: value(|parts| parts.estimated_seconds),
            bridged_seconds: value(|parts| parts.bridged_seconds),
            unknown_seconds: value(|parts| parts.unknown_seconds),
        }
    }
}

/// What determines how much energy it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EnergyOf {
    /// Running totals, in proportion between two readings at both ends.
    #[default]
    Totals,
    /// The service's ledger and samples.
    Ledger,
}

/// What a probe used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Used {
    pub(crate) joules: f64,
    pub(crate) energy_of: EnergyOf,
    #[serde(flatten)]
    pub(crate) parts: Parts,
    /// Of the readings in that time; `None` without one.
    pub(crate) peak_watts: Option<f64>,
    /// Readings in that time, and the longest time between two of them.
    pub(crate) readings: u64,
    pub(crate) longest_gap_seconds: f64,
    /// Before the first reading, and after the last, where there is none on the other side.
    pub(crate) uncovered_begin_seconds: f64,
    pub(crate) uncovered_end_seconds: f64,
}

impl Used {
    /// The same, with the energy and the time that a ledger has of it.
    pub(crate) fn by_ledger(self, parts: Parts) -> Self {
        Self { joules: parts.joules(), energy_of: EnergyOf::Ledger, parts, ..self }
    }
}

/// Follows one probe.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    start: Timestamp,
    end: Option<Timestamp>,
    /// The last reading before the start, and the first in it or after.
    before: Option<Point>,
    first: Option<Point>,
    /// The last before the end, and the first after.
    last: Option<Point>,
    after: Option<Point>,
    peak: Option<f64>,
    readings: u64,
    gap_max: Duration,
}

impl Tally {
    pub(crate) fn new(start: Timestamp) -> Self {
        Self {
            start,
            end: None,
            before: None,
            first: None,
            last: None,
            after: None,
            peak: None,
            readings: 0,
            gap_max: Duration::ZERO,
        }
    }

    /// The time that is requested ends here.
    pub(crate) fn end(&mut self, end: Timestamp) {
        self.end = Some(end);
    }

    /// Takes a reading; one that was taken already, or comes late, is passed over.
    pub(crate) fn take(&mut self, point: Point) {
        if point.at <= self.start {
            if self.before.is_none_or(|before| before.at < point.at) {
                self.before = Some(point);
            }
            return;
        }
        if self.after.is_some() || self.last.is_some_and(|last| point.at <= last.at) {
            return;
        }
        self.first.get_or_insert(point);
        if self.end.is_some_and(|end| point.at >= end) {
            self.after = Some(point);
            return;
        }
        let previous = self.last.or(self.before);
        self.gap_max =
            self.gap_max.max(previous.map_or(Duration::ZERO, |previous| point.at.since(previous.at)));
        self.peak = Some(self.peak.map_or(point.watts.0, |peak| peak.max(point.watts.0)));
        self.readings += 1;
        self.last = Some(point);
    }

    /// Whether there is a reading from after the end.
    pub(crate) fn is_whole(&self) -> bool {
        self.after.is_some()
    }

    /// What it used.
    pub(crate) fn used(&self) -> Used {
        let end = self.end.unwrap_or(self.start);
        let (begin_at, opening) = at(self.before, self.first, self.start);
        let (end_at, closing) = at(self.last.or(self.before), self.after, end);
        let (Some(opening), Some(closing)) = (opening, closing) else {
            let unknown_seconds = seconds(end.since(self.start));
            let parts = Parts { unknown_seconds, ..Parts::default() };
            return Used { parts, uncovered_begin_seconds: unknown_seconds, ..Used::default() };
        };
        let mut parts = Parts::each(|part| (part(&closing) - part(&opening)).max(0.0));
        let known = parts.measured_seconds + parts.estimated_seconds + parts.bridged_seconds;
        parts.unknown_seconds = (seconds(end.since(self.start)) - known).max(0.0);
        Used {
            joules: parts.joules(),
            energy_of: EnergyOf::Totals,
            parts,
            peak_watts: self.peak,
            readings: self.readings,
            longest_gap_seconds: seconds(self.gap_max),
            uncovered_begin_seconds: seconds(begin_at.since(self.start)),
            uncovered_end_seconds: seconds(end.since(end_at)),
        }
    }
}

/// The totals at an instant between two readings, and the instant for which they are true.
fn at(before: Option<Point>, after: Option<Point>, instant: Timestamp) -> (Timestamp, Option<Parts>) {
    match (before, after) {
        (Some(before), Some(after)) if after.at.since(before.at) <= NEAR && after.at > before.at => {
            let share = seconds(instant.since(before.at)) / seconds(after.at.since(before.at));
            (instant, Some(between(&parts(&before), &parts(&after), share)))
        }
        // Nobody has looked for long after: what it drew is taken to have held for as long as a reading may.
        (Some(before), Some(_)) if instant.since(before.at) <= NEAR => {
            let mut parts = parts(&before);
            let held = seconds(instant.since(before.at));
            parts.measured_joules += before.watts.0 * held;
            parts.measured_seconds += held;
            (instant, Some(parts))
        }
        // Nor had anybody looked for long before.
        (Some(_), Some(after)) if after.at.since(instant) <= NEAR => {
            let mut parts = parts(&after);
            let held = seconds(after.at.since(instant));
            parts.measured_joules -= after.watts.0 * held;
            parts.measured_seconds -= held;
            (instant, Some(parts))
        }
        (None, Some(after)) => (after.at, Some(parts(&after))),
        (Some(before), _) => (before.at.max(Timestamp::EPOCH), Some(parts(&before))),
        (None, None) => (instant, None),
    }
}

fn parts(point: &Point) -> Parts {
    let Totals { estimated, bridged, measured_ms, estimated_ms, bridged_ms, .. } = point.totals;
    let [measured_seconds, estimated_seconds, bridged_seconds] =
        [measured_ms, estimated_ms, bridged_ms].map(|milliseconds| milliseconds as f64 / 1e3);
    Parts {
        measured_joules: point.totals.measured().joules(),
        estimated_joules: estimated.joules(),
        bridged_joules: bridged.joules(),
        measured_seconds,
        estimated_seconds,
        bridged_seconds,
        unknown_seconds: 0.0,
    }
}

fn between(before: &Parts, after: &Parts, share: f64) -> Parts {
    let share = share.clamp(0.0, 1.0);
    Parts::each(|part| part(before) + (part(after) - part(before)) * share)
}

pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use kwapi_core::Energy;

    use super::*;

    const START: u64 = 1_800_000_000_000;

    /// So many milliseconds after the start (negative: before), of a load of 100 W that began ten seconds before.
    fn point(milliseconds: i64) -> Point {
        let at = START.saturating_add_signed(milliseconds);
        let elapsed = u64::try_from(milliseconds + 10_000).unwrap();
        let energy = Energy::from_millijoules(elapsed * 100);
        let totals = Totals { energy, measured_ms: elapsed, ..Totals::default() };
        Point { at: Timestamp::from_micros(at * 1_000), watts: Watts(100.0), totals }
    }

    fn used(before: &[i64], during: &[i64], after: &[i64], end: u64) -> Used {
        let mut tally = Tally::new(Timestamp::from_micros(START * 1_000));
        before.iter().chain(during).for_each(|at| tally.take(point(*at)));
        tally.end(Timestamp::from_micros((START + end) * 1_000));
        after.iter().for_each(|at| tally.take(point(*at)));
        tally.used()
    }

    #[track_caller]
    fn check(used: &Used, joules: f64, unknown: f64) {
        assert!((used.joules - joules).abs() < 1e-6, "{used:?}");
        assert!((used.parts.unknown_seconds - unknown).abs() < 1e-6, "{used:?}");
    }

    #[test]
    fn energy_is_reported_at_the_very_instants_though_nobody_measured_there() {
        let used = used(&[-1_700, -700], &[300, 1_300, 1_300, 900], &[2_300, 3_300], 2_000);
        check(&used, 200.0, 0.0);
        assert_eq!((used.readings, used.peak_watts, used.longest_gap_seconds), (2, Some(100.0), 1.0));
        assert_eq!((used.uncovered_begin_seconds, used.uncovered_end_seconds), (0.0, 0.0));
    }

    #[test]
    fn a_job_shorter_than_a_reading_has_its_share() {
        check(&used(&[-700], &[], &[300], 200), 20.0, 0.0);
    }

    #[test]
    fn time_without_a_reading_at_an_end_is_unknown_and_reported() {
        let used = used(&[], &[500, 1_500], &[], 5_000);
        check(&used, 100.0, 4.0);
        assert_eq!((used.uncovered_begin_seconds, used.uncovered_end_seconds), (0.5, 3.5));
        let none = super::tests::used(&[], &[], &[], 5_000);
        check(&none, 0.0, 5.0);
        assert_eq!(none.peak_watts, None);
    }

    #[test]
    fn between_two_marks_far_apart_the_first_continues_with_its_watts() {
        let used = used(&[-400], &[], &[3_600_500, 3_601_500], 3_600_000);
        check(&used, 360_000.0, 0.0);
        assert_eq!(used.readings, 0);
        // The mark at the end is a reading before it and one after.
        let used = super::tests::used(&[-400], &[3_599_500], &[3_600_500], 3_600_000);
        check(&used, 360_000.0, 0.0);
    }
}
