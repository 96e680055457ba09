//! What an account keeps of one session: its lowest and highest message, and which of the last ones have come.

use serde::{Deserialize, Serialize};

use super::coverage::{Coverage, split, whole_ms};
use super::decision::SegmentKind;
use super::missing::{self, Missing};
use crate::{Accounting, Energy, Timestamp, Totals};

/// How far below its newest message a session's messages are distinguished, one bit each. [`Missing`] goes further back.
const WINDOW: u64 = 64;
/// A wall clock that differs from the monotonic one by no more than this, and a hundredth, was not set but runs a little
/// fast or slow.
const DRIFT_US: u64 = 1_000_000;
/// How many forward steps of the wall clock are known by their place; of older ones the sum is kept.
const STEPS_MAX: usize = 8;

/// A message, as far as sums go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) seq: u64,
    pub(super) stamp: Timestamp,
    /// Where on the curve its session's sums begin; 0 without a curve.
    pub(super) begin: Energy,
    pub(super) totals: Totals,
}

impl Point {
    pub(super) fn of(message: &Accounting) -> Self {
        let begin = message.curve.map_or(Energy::ZERO, |curve| curve.begin);
        Self { seq: message.seq, stamp: message.timestamp, begin, totals: message.totals }
    }

    /// Where it stands on its curve.
    pub(super) fn value(&self) -> Energy {
        self.begin.saturating_add(self.totals.energy)
    }

    /// The publisher's monotonic time since the session began, in microseconds.
    pub(super) fn monotonic_us(&self) -> u64 {
        let Totals { measured_ms, estimated_ms, bridged_ms, unknown_ms, .. } = self.totals;
        let sum =
            measured_ms.saturating_add(estimated_ms).saturating_add(bridged_ms).saturating_add(unknown_ms);
        sum.saturating_mul(1_000)
    }
}

/// The lowest message of a session, as it is kept: of most it is their first, which comes before any time or energy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Point", into = "Point")]
pub(super) enum LowPoint {
    First { seq: u64, stamp: Timestamp, begin: Energy },
    Later(Box<Point>),
}

impl From<Point> for LowPoint {
    fn from(point: Point) -> Self {
        let Point { seq, stamp, begin, totals } = point;
        if totals == Totals::default() {
            Self::First { seq, stamp, begin }
        } else {
            Self::Later(Box::new(point))
        }
    }
}

impl From<LowPoint> for Point {
    fn from(low: LowPoint) -> Self {
        low.point()
    }
}

impl LowPoint {
    fn point(&self) -> Point {
        match *self {
            Self::First { seq, stamp, begin } => Point { seq, stamp, begin, totals: Totals::default() },
            Self::Later(ref point) => **point,
        }
    }
}

/// One session as far as it has been received: a run on its curve, or all there is without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) session: Timestamp,
    /// The curve's id, or the session's without one.
    pub(super) curve: Timestamp,
    /// Which run on the curve.
    pub(super) number: u32,
    /// What kind of segment it is the first run of; `None`: it continues the segment of the run before it.
    pub(super) opens: Option<SegmentKind>,
    /// Where the segment's credited time begins, if it opens one.
    pub(super) begin: Timestamp,
    /// Where on the curve the segment's credit begins, if it opens one that is not the first.
    pub(super) base: Energy,
    /// Which of the `WINDOW` messages up to the highest have been seen, newest in bit 0.
    pub(super) seen: u64,
    /// Its message of the lowest sequence number received…
    pub(super) low: LowPoint,
    /// …and of the highest.
    pub(super) top: Point,
    pub(super) steps: Option<Box<Steps>>,
    /// Those below the window that may yet come.
    #[serde(skip)]
    pub(super) missing: Option<Box<Missing>>,
}

/// Wall time that was passed over because the clock was set forward: nothing is known of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Steps {
    /// From and to, in order.
    known: Vec<(u64, u64)>,
    /// The sum of those whose place is forgotten.
    forgotten_us: u64,
}

impl Steps {
    fn hold_to_bound(&mut self) {
        if self.known.len() > STEPS_MAX {
            let (from, to) = self.known.remove(0);
            self.forgotten_us = self.forgotten_us.saturating_add(to.saturating_sub(from));
        }
    }
}

/// What a message is among its session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunPlace {
    /// The newest; so many between it and the newest before have not come.
    Newest(u64),
    /// One of those that had not come.
    Between,
    /// Before all others.
    Earliest,
    /// Seen before, or too old to distinguish.
    Duplicate,
}

impl Run {
    /// A session of which `message` is the first received. It continues the segment before it.
    pub(super) fn new(message: &Accounting) -> Self {
        let point = Point::of(message);
        Self {
            session: message.session,
            curve: message.curve.map_or(message.session, |curve| curve.id),
            number: message.curve.map_or(1, |curve| curve.run),
            opens: None,
            begin: Timestamp::EPOCH,
            base: Energy::ZERO,
            seen: 1,
            low: point.into(),
            top: point,
            steps: None,
            missing: None,
        }
    }

    /// Its message of the lowest sequence number received.
    pub(super) fn low(&self) -> Point {
        self.low.point()
    }

    /// Takes note of one of its messages. However far back, one before all others is distinguished from a duplicate.
    pub(super) fn note(&mut self, message: &Accounting) -> RunPlace {
        let mut point = Point::of(message);
        if message.curve.map_or(message.session, |curve| curve.id) != self.curve {
            point.begin = self.top.begin; // It has no curve any more, or has one now: its sums continue regardless.
        }
        if let Some(ahead) = point.seq.checked_sub(self.top.seq).filter(|ahead| *ahead > 0) {
            self.note_missing(&point, ahead);
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.step(self.top, point, false);
            // A publisher's sums never fall; should they, the higher stand.
            point.totals = point.totals.max(&self.top.totals);
            self.top = point;
            return RunPlace::Newest(ahead - 1);
        }
        let behind = self.top.seq - point.seq;
        let bit = if behind < WINDOW { 1 << behind } else { 0 };
        let is_earliest = point.seq < self.low().seq;
        if self.seen & bit != 0 || (bit == 0 && !is_earliest && !self.was_missing(&point)) {
            return RunPlace::Duplicate;
        }
        self.seen |= bit;
        if !is_earliest {
            return RunPlace::Between;
        }
        self.step(point, self.low(), true);
        self.low = point.into();
        RunPlace::Earliest
    }

    /// Notes those that leave the window, `ahead` of the newest so far, without having come: of a session that measures so
    /// often that the window is shorter than [`missing::SPAN_US`].
    fn note_missing(&mut self, newest: &Point, ahead: u64) {
        let low = self.low();
        let span_us = newest.monotonic_us().saturating_sub(low.monotonic_us());
        let messages = newest.seq.saturating_sub(low.seq);
        let has_come = |behind: u64| self.seen & 1 << behind != 0;
        let leaving = WINDOW - ahead.min(WINDOW)..WINDOW.min(self.top.seq.saturating_sub(low.seq));
        let is_whole = ahead <= WINDOW && leaving.clone().all(has_come);
        if is_whole && self.missing.is_none() {
            return;
        }
        if span_us / messages.max(1) >= missing::SPAN_US / WINDOW {
            self.missing = None;
            return;
        }
        let mut missing = self.missing.take().unwrap_or_default();
        for behind in leaving.rev().filter(|behind| !has_come(*behind)) {
            let seq = self.top.seq - behind;
            missing.add(seq, seq);
        }
        if ahead > WINDOW {
            missing.add(self.top.seq + 1, newest.seq - WINDOW);
        }
        missing.forget_below(newest.seq.saturating_sub(missing::MESSAGES_MAX));
        self.missing = Some(missing).filter(|missing| !missing.is_empty());
    }

    /// Whether this message, from below the window, is one that may yet come; it has come then.
    fn was_missing(&mut self, point: &Point) -> bool {
        let Some(missing) = &mut self.missing else { return false };
        let is_in_time = self.top.monotonic_us().saturating_sub(point.monotonic_us()) <= missing::SPAN_US;
        let was_missing = is_in_time && missing.take(point.seq);
        if missing.is_empty() {
            self.missing = None;
        }
        was_missing
    }

    /// Whether a message next to the one numbered `seq`, which is neither the lowest nor the highest, may yet come.
    pub(super) fn is_beside_hole(&self, seq: u64) -> bool {
        let is_missing = |seq: u64| {
            let behind = self.top.seq.saturating_sub(seq);
            let is_in_window = seq > self.low().seq && seq < self.top.seq && behind < WINDOW;
            is_in_window && self.seen & 1 << behind == 0
                || self.missing.as_ref().is_some_and(|missing| missing.has(seq))
        };
        seq > self.low().seq && seq < self.top.seq && (is_missing(seq - 1) || is_missing(seq + 1))
    }

    /// Notes a forward step of the wall clock between two messages, if there was one.
    fn step(&mut self, before: Point, after: Point, is_earliest: bool) {
        let monotonic = after.monotonic_us().saturating_sub(before.monotonic_us());
        let (from, to) = (before.stamp.micros(), after.stamp.micros());
        if is_set_forward(to.saturating_sub(from), monotonic) {
            let steps = self.steps.get_or_insert_default();
            let at = if is_earliest { 0 } else { steps.known.len() };
            steps.known.insert(at, (from, to.saturating_sub(monotonic)));
            steps.hold_to_bound();
        }
    }

    /// Takes over which messages another plugin has seen, whose newest is `ahead` behind ours.
    pub(super) fn see(&mut self, seen: u64, ahead: u64) {
        if ahead < WINDOW {
            self.seen |= seen << ahead;
        }
    }

    /// Takes over where the wall clock was set forward, in another plugin's messages and between the two messages of `gap`.
    /// Of stretches that overlap, which are the same step between other messages, the first counts.
    pub(super) fn merge_steps(&mut self, other: &Self, gap: Option<(Point, Point)>) {
        if self.steps.is_none() && other.steps.is_none() && gap.is_none() {
            return;
        }
        let steps = |run: &Self| run.steps.as_deref().cloned().unwrap_or_default();
        let (own, others) = (steps(self), steps(other));
        let mut all = [own.known, others.known].concat();
        if let Some((before, after)) = gap {
            let monotonic = after.monotonic_us().saturating_sub(before.monotonic_us());
            let (from, to) = (before.stamp.micros(), after.stamp.micros());
            if is_set_forward(to.saturating_sub(from), monotonic) {
                all.push((from, to.saturating_sub(monotonic)));
            }
        }
        all.sort_unstable();
        let forgotten_us = own.forgotten_us.max(others.forgotten_us);
        let mut merged = Steps { known: Vec::new(), forgotten_us };
        for (from, to) in all {
            if merged.known.last().is_none_or(|(_, reach)| from >= *reach) {
                merged.known.push((from, to));
                merged.hold_to_bound();
            }
        }
        self.steps = (merged != Steps::default()).then(|| Box::new(merged));
    }

    /// Where its credited time begins: at its id, as it began with its first reading; at message 0, and where its stamps
    /// run behind the id (the clock was set back), at the lowest message's stamp less the time in its sums.
    pub(super) fn start(&self) -> Timestamp {
        if self.low().seq > 0 && self.session <= self.low().stamp {
            return self.session;
        }
        Timestamp::from_micros(self.low().stamp.micros().saturating_sub(self.low().monotonic_us()))
    }

    /// The wall time of its readings and how its statuses share that, if nothing of it was covered before. `None`: the clock
    /// was set forward within it.
    pub(super) fn covered_at_once(&self, is_first: bool) -> Option<(u64, u64, [u64; 3])> {
        let (from, counted) = self.counted(is_first);
        if self.steps.is_some() {
            return None;
        }
        let (from, to, shares) = (whole_ms(from), whole_ms(self.top.stamp.micros()), shares_of(&counted));
        let parts = if shares == [0; 3] {
            shares
        } else {
            split(to.saturating_sub(from), shares, counted.unknown_ms)
        };
        Some((from, if shares == [0; 3] { from } else { to }, parts))
    }

    /// Where its credited time begins, and what counts of it.
    fn counted(&self, is_first: bool) -> (u64, Totals) {
        if is_first {
            return (self.low().stamp.micros(), self.top.totals.since(&self.low().totals));
        }
        let (start, low, monotonic) =
            (self.start().micros(), self.low().stamp.micros(), self.low().monotonic_us());
        let is_set = is_set_forward(low.saturating_sub(start), monotonic);
        (if is_set { low.saturating_sub(monotonic) } else { start }, self.top.totals)
    }

    /// Covers the wall time of its readings. Of what was not covered before, the statuses have the shares that they have
    /// of the publisher's monotonic time. `is_first`: what is before the lowest message received does not count.
    pub(super) fn cover(&self, coverage: &mut Coverage, is_first: bool) {
        let (mut from, counted) = self.counted(is_first);
        let shares = shares_of(&counted);
        if shares == [0; 3] {
            return;
        }
        let mut gained = 0_u64;
        if let Some(steps) = &self.steps {
            for &(step_from, step_to) in &steps.known {
                gained = gained.saturating_add(coverage.add(from, step_from));
                from = step_to;
            }
        }
        gained = gained.saturating_add(coverage.add(from, self.top.stamp.micros()));
        if let Some(steps) = &self.steps {
            gained = gained.saturating_sub(whole_ms(steps.forgotten_us));
        }
        coverage.share(gained, shares, counted.unknown_ms);
    }
}

fn shares_of(totals: &Totals) -> [u64; 3] {
    [totals.measured_ms, totals.estimated_ms, totals.bridged_ms]
}

/// Whether the wall clock was set forward over a stretch of so much wall and monotonic time, in microseconds.
pub(super) fn is_set_forward(wall: u64, monotonic: u64) -> bool {
    wall > monotonic.saturating_add(DRIFT_US).saturating_add(monotonic / 100)
}
