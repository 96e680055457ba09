//! What the runs of an account are good for, in the order of its segments and their runs.
//!
//! On a curve the credit is the highest point received less the lowest known: what a run measures below the highest
//! point of the runs before it is cut from its own sums, and what lies between that point and the run's begin is the
//! stop's, bridged. A curve that began after what was received before counts from its begin, a rival from where it was
//! taken up. The fold proceeds from run to run with a few numbers, so that the oldest runs can be closed without
//! changing the sum.

use serde::{Deserialize, Serialize};

use super::Account;
use super::coverage::{Coverage, whole_ms};
use super::decision::SegmentKind;
use super::run::{Run, is_set_forward};
use crate::{Energy, Timestamp, Totals};

/// Runs are closed when the one after them all has lasted a day.
const OUTLIVED_AFTER_US: u64 = 86_400_000_000;

/// What came before the runs that are still open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) since: Timestamp,
    /// Where the account's time counts from: `since`, but for an account of an earlier version, whose time was counted
    /// otherwise and is taken as it was.
    pub(super) origin: Timestamp,
    pub(super) sum: Sum,
}

impl Past {
    pub(super) fn new(since: Timestamp) -> Self {
        Self { since, origin: since, sum: Sum::new(since) }
    }

    /// All energy, in millijoules.
    pub(super) fn energy(&self) -> u64 {
        self.sum.joules.iter().fold(0, |sum: u64, part| sum.saturating_add(*part))
    }

    /// Both, of which `earlier` had ended when this one began.
    pub(super) fn after(&self, earlier: &Self) -> Self {
        let mut sum = self.sum.clone();
        add_each(&mut sum.joules, earlier.sum.joules);
        sum.coverage = earlier.sum.coverage.clone();
        sum.coverage.append(&self.sum.coverage);
        sum.newest = sum.newest.max(earlier.sum.newest);
        Self { since: earlier.since, origin: earlier.origin, sum }
    }

    /// Adds a message of the original Kwapi: `gained` in the `covered_ms` up to `now`, the one before being of `last`.
    pub(super) fn take_legacy(&mut self, last: Timestamp, now: Timestamp, gained: Energy, covered_ms: u64) {
        let [measured, ..] = &mut self.sum.joules;
        *measured = measured.saturating_add(gained.millijoules());
        if covered_ms > 0 {
            let (from, to, monotonic) = (last.micros(), now.micros(), covered_ms.saturating_mul(1_000));
            let is_set = is_set_forward(to.saturating_sub(from), monotonic);
            let covered = self.sum.coverage.add(if is_set { to.saturating_sub(monotonic) } else { from }, to);
            self.sum.coverage.share(covered, [1, 0, 0], 0);
        }
        self.sum.newest = self.sum.newest.max(Some(now));
    }
}

/// The fold so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sum {
    /// Measured, estimated, bridged, in millijoules.
    pub(super) joules: [u64; 3],
    pub(super) coverage: Coverage,
    /// The newest stamp received; `None` before there is any.
    pub(super) newest: Option<Timestamp>,
    /// Where the curve stands whose runs are being summed; `None` where the next run opens a segment.
    pub(super) curve: Option<Curve>,
}

/// A curve between two of its runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Curve {
    /// Energy below this point has been credited.
    highest: Energy,
    /// The lowest point known, on the curve in which the account began.
    lowest: Option<Energy>,
}

/// A stop before a run, of which a register gives the energy: from and to.
type Stop = (u64, u64);

/// What a run adds to the curve before it.
pub(super) struct Step {
    /// Measured, estimated, bridged; the stop's among the last.
    joules: [u64; 3],
    /// What the stop before it is good for.
    pub(super) stop: Energy,
    /// What is cut from its own sums: it had been credited before.
    pub(super) cut: Energy,
    /// Whether it continues the segment of the run before it.
    pub(super) continues: bool,
    /// Whether what is before its lowest message does not count.
    pub(super) is_first: bool,
    /// The curve after it.
    pub(super) curve: Curve,
}

impl Step {
    pub(super) fn new(curve: Option<Curve>, run: &Run) -> Self {
        let at = run.top.begin;
        let is_first = run.opens == Some(SegmentKind::First);
        let continues = run.opens.is_none() && curve.is_some();
        let (stop, cut, counted, before);
        if is_first {
            let lowest = run.low().value();
            (stop, cut) = (at.saturating_sub(run.low().begin), Energy::ZERO);
            counted = run.top.totals.since(&run.low().totals);
            before = Curve { highest: lowest, lowest: Some(lowest) };
        } else {
            let former = curve.filter(|_| continues).unwrap_or(Curve { highest: run.base, lowest: None });
            let below = former.lowest.map_or(Energy::ZERO, |lowest| lowest.saturating_sub(at));
            stop = at.saturating_sub(former.highest).saturating_add(below);
            cut = former.highest.saturating_sub(at);
            counted = run.top.totals;
            before = Curve { lowest: former.lowest.map(|lowest| lowest.min(at)), ..former };
        }
        let [measured, estimated, bridged] = cut_parts(&counted, cut);
        Self {
            joules: [measured, estimated, bridged.saturating_add(stop.millijoules())],
            stop,
            cut,
            continues,
            is_first,
            curve: Curve { highest: before.highest.max(run.top.value()), ..before },
        }
    }

    /// All it adds, in millijoules.
    pub(super) fn energy(&self) -> u64 {
        self.joules.iter().fold(0, |sum: u64, part| sum.saturating_add(*part))
    }

    /// The time of the stop before the run, unless nothing is known of it. `newest`: the newest stamp before.
    fn stop(&self, run: &Run, newest: Option<Timestamp>, since: u64) -> Option<Stop> {
        let mut newest = newest?;
        let at = run.start();
        if !self.continues {
            if self.stop == Energy::ZERO {
                return None;
            }
            newest = newest.max(run.begin); // Nobody is known to have counted from there to where the curve began.
        }
        let (at, newest) = (whole_ms(at.micros()), whole_ms(newest.micros()));
        let to = at.max(since);
        let length = at.saturating_sub(newest);
        (length > 0).then_some((to - length, to))
    }
}

impl Sum {
    fn new(since: Timestamp) -> Self {
        Self { joules: [0; 3], coverage: Coverage::new(since.micros()), newest: None, curve: None }
    }

    /// Adds a run. Answers the stop before it, whose time is covered once all readings are: theirs goes first.
    fn add(&mut self, run: &Run) -> Option<Stop> {
        let step = Step::new(self.curve, run);
        let stop = step.stop(run, self.newest, self.coverage.since);
        add_each(&mut self.joules, step.joules);
        run.cover(&mut self.coverage, step.is_first);
        self.newest = self.newest.max(Some(run.top.stamp));
        self.curve = Some(step.curve);
        stop
    }

    fn cover_stop(&mut self, (from, to): Stop) {
        let gained = self.coverage.add(from, to);
        self.coverage.share(gained, [0, 0, 1], 0);
    }
}

fn add_each(sums: &mut [u64; 3], parts: [u64; 3]) {
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum = sum.saturating_add(part);
    }
}

/// A run's parts (measured, estimated, bridged) without the first `cut` of its energy: measured first. Parts that exceed
/// their whole are held to it.
pub(super) fn cut_parts(totals: &Totals, cut: Energy) -> [u64; 3] {
    let energy = totals.energy.millijoules();
    let bridged = totals.bridged.millijoules().min(energy);
    let estimated = totals.estimated.millijoules().min(energy - bridged);
    let mut cut = cut.millijoules();
    [energy - bridged - estimated, estimated, bridged].map(|part| {
        let taken = part.min(cut);
        cut -= taken;
        part - taken
    })
}

impl Curve {
    /// Whether a message that stands at `value` is the highest point of the curve.
    pub(super) fn is_at(&self, value: Energy) -> bool {
        self.highest == value
    }
}

impl Account {
    /// Where the total counts from, unless nothing was received yet.
    pub(super) fn first_stamp(&self) -> Option<Timestamp> {
        self.past.as_ref().map(|past| past.since).or_else(|| Some(self.runs.first()?.low().stamp))
    }

    /// What came before the open runs.
    fn sum_of_past(&self) -> Sum {
        match &self.past {
            Some(past) => past.sum.clone(),
            None => Sum::new(self.first_stamp().unwrap_or_default()),
        }
    }

    /// The fold over everything. Energy is not yet held against a fall.
    fn sum(&self) -> Sum {
        let mut sum = self.sum_of_past();
        let mut stops = [None; super::RUNS_MAX + 1];
        for (run, stop) in self.runs.iter().zip(&mut stops) {
            *stop = sum.add(run);
        }
        for stop in stops.into_iter().flatten() {
            sum.cover_stop(stop);
        }
        sum
    }

    /// Energy and time of everything.
    pub(super) fn fold(&self) -> Totals {
        self.fold_in_order().unwrap_or_else(|| self.fold_whole())
    }

    /// The fold where each run's stamps are after those of the run before, as they mostly are: nothing is covered twice, and
    /// the holes need not be looked at.
    fn fold_in_order(&self) -> Option<Totals> {
        let since = whole_ms(self.since().micros());
        let past = self.past.as_ref().map(|past| &past.sum);
        let mut joules = past.map_or([0; 3], |past| past.joules);
        let mut covered = past.map_or([0; 3], |past| past.coverage.by_status);
        let mut reach = past.map_or(since, |past| past.coverage.end());
        let mut newest = past.and_then(|past| past.newest);
        let mut curve = past.and_then(|past| past.curve);
        for run in &self.runs {
            let step = Step::new(curve, run);
            if let Some((from, to)) = step.stop(run, newest, since) {
                if from < reach {
                    return None;
                }
                covered[2] = covered[2].saturating_add(to - from);
                reach = to;
            }
            let (from, to, parts) = run.covered_at_once(step.is_first)?;
            if from < reach {
                return None;
            }
            reach = to.max(from);
            add_each(&mut covered, parts);
            add_each(&mut joules, step.joules);
            newest = newest.max(Some(run.top.stamp));
            curve = Some(step.curve);
        }
        Some(self.totals_of(joules, covered))
    }

    /// The fold in any case.
    pub(super) fn fold_whole(&self) -> Totals {
        let sum = self.sum();
        self.totals_of(sum.joules, sum.coverage.by_status)
    }

    /// The totals that so much energy (measured, estimated, bridged) and covered time come to.
    fn totals_of(&self, joules: [u64; 3], covered: [u64; 3]) -> Totals {
        let origin = self.past.as_ref().map_or(self.since(), |past| past.origin);
        let span = whole_ms(self.last.micros()).saturating_sub(whole_ms(origin.micros()));
        let [measured, estimated, bridged] = joules;
        let energy =
            measured.saturating_add(estimated).saturating_add(bridged).max(self.published.millijoules());
        let [measured_ms, estimated_ms, bridged_ms] = covered.map(|us| us / 1_000);
        let known_ms = measured_ms.saturating_add(estimated_ms).saturating_add(bridged_ms);
        Totals {
            energy: Energy::from_millijoules(energy),
            estimated: Energy::from_millijoules(estimated),
            bridged: Energy::from_millijoules(bridged),
            measured_ms,
            estimated_ms,
            bridged_ms,
            unknown_ms: (span / 1_000).saturating_sub(known_ms),
        }
    }

    /// Closes all runs but the newest once that has lasted so long that nothing is to be expected of the others.
    pub(super) fn close_outlived(&mut self) {
        let lasts = self.runs.last().is_some_and(|newest| newest.top.monotonic_us() > OUTLIVED_AFTER_US);
        while lasts && self.runs.len() > 1 {
            self.close_oldest();
        }
    }

    /// Closes the oldest run: what it is good for is final, and messages of it are refused from now on.
    pub(super) fn close_oldest(&mut self) {
        if self.runs.is_empty() {
            return;
        }
        let since = self.since();
        let mut sum = self.sum_of_past();
        let run = self.runs.remove(0);
        if let Some(stop) = sum.add(&run) {
            sum.cover_stop(stop);
        }
        if self.runs.first().is_none_or(|next| next.opens.is_some()) {
            sum.curve = None;
        }
        let origin = self.past.as_ref().map_or(since, |past| past.origin);
        self.past = Some(Box::new(Past { since, origin, sum }));
    }
}
