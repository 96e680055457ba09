//! The stretches of an account, in its order, and what changes of them.

use std::collections::BTreeMap;

use super::super::coverage::Coverage;
use super::super::fold::{Step, cut_parts};
use super::super::run::{Point, Run};
use super::Trace;
use super::spread::{Laid, Spread};
use crate::{Energy, Increment, Piece, RowStep, Timestamp, Totals};

/// Stretches of readings and of stops, each in the order of the account.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    readings: Vec<Laid>,
    stops: Vec<Laid>,
}

impl Trace {
    /// The stretches of the open runs, as far as their messages are known.
    pub(super) fn stretches(&self) -> Stretches {
        let mut stretches = Stretches::default();
        let past = self.account.past.as_ref().map(|past| &past.sum);
        let mut curve = past.and_then(|past| past.curve);
        let mut newest = past.and_then(|past| past.newest).map(milliseconds);
        let since = milliseconds(self.account.since());
        for run in &self.account.runs {
            let step = Step::new(curve, run);
            let at = milliseconds(run.start());
            let low = milliseconds(run.low().stamp);
            let begin = match newest {
                None => {
                    stretches.stop(low, low, step.stop, since);
                    low
                }
                Some(mut highest) => {
                    let begun = milliseconds(run.begin);
                    if !step.continues && begun > highest {
                        highest = begun.min(at); // Nobody is known to have counted before.
                    }
                    if step.continues || step.stop != Energy::ZERO {
                        stretches.stop(highest.min(at), at, step.stop, since);
                    }
                    at
                }
            };
            self.readings(run, &step, begin, since, &mut stretches.readings);
            newest = newest.max(Some(milliseconds(run.top.stamp)));
            curve = Some(step.curve);
        }
        stretches
    }

    fn readings(&self, run: &Run, step: &Step, begin: u64, since: u64, readings: &mut Vec<Laid>) {
        let base = if step.is_first { run.low().totals } else { Totals::default() };
        let start =
            Point { seq: 0, stamp: Timestamp::from_micros(begin * 1_000), begin: Energy::ZERO, totals: base };
        let inner = self.beside_holes.iter().filter(|kept| kept.session == run.session);
        let low = run.low();
        let points = std::iter::once(&low).chain(inner.map(|kept| &kept.point)).chain([&run.top]);
        let mut previous = &start;
        for point in points {
            let mut laid = between(previous, point, step.cut);
            (laid.from, laid.to) = (laid.from.max(since), laid.to.max(since));
            readings.push(laid);
            previous = point;
        }
    }

    /// Lays what the stretches are `after` over what they were `before`.
    pub(super) fn lay_difference(&mut self, before: &Stretches, after: &Stretches, pieces: &mut Vec<Piece>) {
        let (old, new) = (&before.readings, &after.readings);
        let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let (rest_old, rest_new) = (old.get(same..).unwrap_or_default(), new.get(same..).unwrap_or_default());
        let tail =
            rest_old.iter().rev().zip(rest_new.iter().rev()).take_while(|(old, new)| old == new).count();
        let changed = |rest: &[Laid]| rest.len() - tail;
        let ends = rest_old.iter().take(changed(rest_old)).chain(rest_new.iter().take(changed(rest_new)));
        let (mut from, mut to) = (u64::MAX, 0);
        for laid in ends {
            (from, to) = (from.min(laid.from), to.max(laid.to));
        }
        let since = milliseconds(self.account.since());
        let mut coverage = match &self.account.past {
            Some(past) => past.sum.coverage.clone(),
            None => Coverage::new(since * 1_000),
        };
        for laid in new.iter().take(same) {
            laid.cover(&mut coverage);
        }
        let touches = |laid: &Laid| laid.from < to && laid.to > from;
        let stops_same = before.stops == after.stops;
        let mut rows: BTreeMap<(u64, RowStep), Increment> = BTreeMap::new();
        for (readings, stops, sign) in [(rest_old, &before.stops, -1), (rest_new, &after.stops, 1)] {
            let mut coverage = Some(coverage.clone());
            let mut add = |piece: Piece| {
                rows.entry((piece.begin, piece.step)).or_default().add(&piece.increment, sign);
            };
            let count = changed(readings);
            for (index, laid) in readings.iter().enumerate() {
                if index < count || touches(laid) {
                    Spread { since, coverage: &mut coverage }.lay(laid, &mut add);
                } else if let Some(coverage) = &mut coverage {
                    laid.cover(coverage);
                }
            }
            for laid in stops {
                if !stops_same || touches(laid) {
                    Spread { since, coverage: &mut coverage }.lay(laid, &mut add);
                } else if let Some(coverage) = &mut coverage {
                    laid.cover(coverage);
                }
            }
        }
        for ((begin, step), increment) in rows {
            if !increment.is_zero() {
                pieces.push(Piece { step, begin, increment });
            }
        }
        let ends = new.iter().chain(&after.stops).map(|laid| laid.to);
        self.reach = self.reach.max(ends.max().unwrap_or_default());
    }
}

impl Stretches {
    fn stop(&mut self, from: u64, to: u64, energy: Energy, since: u64) {
        let length = to.saturating_sub(from).min(to.max(since) - since);
        let to = to.max(since);
        let laid =
            Laid { from: to - length, to, mj: [0, 0, signed(energy)], ms: [0, 0, length], monotonic: length };
        if laid.mj != [0; 3] || length > 0 {
            self.stops.push(laid);
        }
    }
}

/// The stretch from one message of a run to a later one, `cut` being taken from their sums.
pub(super) fn between(earlier: &Point, later: &Point, cut: Energy) -> Laid {
    let own = |point: &Point| {
        let totals = &point.totals;
        if cut == Energy::ZERO {
            return [totals.measured(), totals.estimated, totals.bridged].map(signed);
        }
        cut_parts(totals, cut).map(|part| signed(Energy::from_millijoules(part)))
    };
    let (mut mj, then) = (own(later), own(earlier));
    for (now, then) in mj.iter_mut().zip(then) {
        *now = now.saturating_sub(then);
    }
    let time = later.totals.since(&earlier.totals);
    let ms = [time.measured_ms, time.estimated_ms, time.bridged_ms];
    let monotonic = ms.iter().fold(time.unknown_ms, |sum, part| sum.saturating_add(*part));
    let from = milliseconds(earlier.stamp);
    Laid { from, to: milliseconds(later.stamp).max(from), mj, ms, monotonic }
}

pub(super) fn signed(energy: Energy) -> i64 {
    i64::try_from(energy.millijoules()).unwrap_or(i64::MAX)
}

pub(super) fn milliseconds(at: Timestamp) -> u64 {
    at.micros() / 1_000
}
