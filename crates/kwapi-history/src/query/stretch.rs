//! What of a row lies between two instants, as its samples show.
//!
//! The ledger has laid the energy between two successive samples evenly, and so it is taken here. Its statuses are known of
//! the row as a whole. Where the row is not measured throughout, what is bridged or unknown lies in its stops, as far as these
//! are known, and its longest stretches: in the fewest that leave room for it. Where a register ticked first some time after
//! a stop, the stretches are settled before ([`settled`](super::settled)). Of a row to which the totals of its samples do
//! not come even then (some came late) the energy is laid as the power of the samples was: then it is near what was used,
//! and not exact.

use std::cmp::Reverse;
use std::ops::Range;

use kwapi_core::{Increment, Quality, Watts};

use crate::samples::held_mj;

/// Rows' shares of a stretch are whole numbers: its parts may differ by so much, in millijoules and milliseconds.
pub(super) const ROUNDING: i64 = 3;
/// Energy that is so many times more than the power of its samples comes to, or less, is not laid by it.
const SCALE_MAX: u128 = 2;

/// A sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Unix microseconds.
    pub(super) micros: u64,
    /// The millijoules that its probe's account had come to.
    pub(super) total: u64,
    /// The power that it had, in watts.
    pub(super) watts: f64,
    pub(super) quality: Quality,
}

impl Point {
    /// When it was measured, in Unix milliseconds.
    pub(super) fn at(&self) -> u64 {
        self.micros / 1_000
    }

    /// What this power comes to since the sample before, in millijoules.
    fn held_since(&self, before: &Self) -> u64 {
        let held = held_mj(Watts(self.watts), self.micros.saturating_sub(before.micros));
        u64::try_from(held).unwrap_or(0)
    }
}

/// The time between two successive samples, as far as it lies in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// When the two were measured, in Unix milliseconds.
    from: u64,
    to: u64,
    /// What the second has over the first, in millijoules.
    pub(super) gained: u64,
    /// What the power of the second comes to.
    pub(super) held: u64,
    /// Its part in the row.
    begin: u64,
    end: u64,
    /// What it is by the second sample, measured or estimated, unless the row states otherwise.
    status: usize,
    /// Whether it is known as a stop, which the row has bridged.
    pub(super) is_stop: bool,
    /// Whether the row's statuses lie in it that no sample has.
    is_mixed: bool,
}

impl Stretch {
    /// The stretches between samples in order of time; `None` where a total falls.
    pub(super) fn between_all(points: &[Point], row: &Range<u64>) -> Option<Vec<Self>> {
        let mut all = Vec::with_capacity(points.len());
        for pair in points.windows(2) {
            let &[before, after] = pair else { continue };
            let gained = after.total.checked_sub(before.total)?;
            let (from, to) = (before.at(), after.at());
            let (begin, end) = (from.max(row.start), to.min(row.end));
            if end > begin {
                let status = match after.quality {
                    Quality::Measured => 0,
                    Quality::Estimated => 1,
                };
                let held = after.held_since(&before);
                let (is_stop, is_mixed) = (false, false);
                all.push(Self { from, to, gained, held, begin, end, status, is_stop, is_mixed });
            }
        }
        Some(all)
    }

    /// The same stretches, and what is left of the row at both ends: a stop that is longer than samples are looked for beside
    /// a row. `all` are successive.
    pub(super) fn padded(mut all: Vec<Self>, row: &Range<u64>) -> Vec<Self> {
        let pad = |from: u64, to: u64| {
            let (status, is_stop, is_mixed) = (0, false, false);
            let pad = Self { from, to, gained: 0, held: 0, begin: from, end: to, status, is_stop, is_mixed };
            Some(pad).filter(|pad| pad.to > pad.from)
        };
        let (begin, end) = match (all.first(), all.last()) {
            (Some(first), Some(last)) => (first.begin, last.end),
            _ => (row.end, row.end),
        };
        all.splice(..0, pad(row.start, begin));
        all.extend(pad(end, row.end));
        all
    }

    /// How much of the row it is, in milliseconds.
    pub(super) fn length(&self) -> u64 {
        self.end - self.begin
    }

    /// What of an energy of the whole stretch lies in the row, in millijoules.
    pub(super) fn part(&self, energy: u64) -> i64 {
        saturated(u128::from(energy) * u128::from(self.length()) / u128::from(self.to - self.from))
    }

    /// Adds so many millijoules, which may be less than none, to what it gained in the row.
    pub(super) fn gain(&mut self, energy: i64) {
        let of_all =
            u128::from(energy.unsigned_abs()) * u128::from(self.to - self.from) / u128::from(self.length());
        let of_all = u64::try_from(of_all).unwrap_or(u64::MAX);
        let gained =
            if energy < 0 { self.gained.checked_sub(of_all) } else { self.gained.checked_add(of_all) };
        self.gained = gained.unwrap_or(if energy < 0 { 0 } else { u64::MAX });
    }

    /// What it gains from where it begins in the row to an instant within it: energy, and time.
    fn until(&self, at: u64) -> (i64, i64) {
        let end = at.clamp(self.begin, self.end);
        let by =
            |at: u64| u128::from(self.gained) * u128::from(at - self.from) / u128::from(self.to - self.from);
        (saturated(by(end) - by(self.begin)), saturated(u128::from(end - self.begin)))
    }

    /// What it gains in the row: energy, and time.
    pub(super) fn all(&self) -> (i64, i64) {
        self.until(self.end)
    }

    /// All of it, by its sample's status.
    fn own(&self) -> Increment {
        of_status(self.status, self.all())
    }
}

/// Where in a row its energy lies.
#[derive(Debug)]
pub(super) struct Course {
    stretches: Vec<Stretch>,
    row: Range<u64>,
    /// All that the row holds.
    whole: Increment,
    /// What of it lies in the mixed stretches…
    mixed: Increment,
    /// …which gain so much together, energy and time.
    of_mixed: (i64, i64),
    /// Whether the totals of the samples come to the row.
    is_exact: bool,
}

impl Course {
    /// By the totals of the samples. `None` where they do not come to the row.
    pub(super) fn exact(stretches: Vec<Stretch>, row: Range<u64>, whole: Increment) -> Option<Self> {
        let gained: i64 = stretches.iter().fold(0, |sum, stretch| sum.saturating_add(stretch.all().0));
        let is_all = gained.abs_diff(whole.energy_mj()) <= ROUNDING.unsigned_abs();
        let (mixed, of_mixed) = (whole, (0, 0));
        let course = Self { stretches, row, whole, mixed, of_mixed, is_exact: true };
        if is_all { course.mix(ROUNDING) } else { None }
    }

    /// By the power of the samples, which comes to the row when it is scaled. `None` where it is too far from it.
    pub(super) fn near(mut stretches: Vec<Stretch>, row: Range<u64>, whole: Increment) -> Option<Self> {
        for stretch in &mut stretches {
            stretch.gained = stretch.held;
        }
        let held = stretches.iter().map(|stretch| u128::try_from(stretch.all().0).unwrap_or(0)).sum::<u128>();
        let energy = u128::try_from(whole.energy_mj()).ok().filter(|energy| *energy > 0 && held > 0)?;
        if energy > held * SCALE_MAX || held > energy * SCALE_MAX {
            return None;
        }
        for stretch in &mut stretches {
            let scaled = u128::from(stretch.gained) * energy / held;
            stretch.gained = u64::try_from(scaled).unwrap_or(u64::MAX);
        }
        // Each is rounded.
        let rounding = ROUNDING.saturating_add(saturated(stretches.len() as u128));
        let (mixed, of_mixed) = (whole, (0, 0));
        Self { stretches, row, whole, mixed, of_mixed, is_exact: false }.mix(rounding)
    }

    /// Finds the stretches in which the statuses lie that no sample has; `None` where there is no room for them.
    fn mix(mut self, rounding: i64) -> Option<Self> {
        for stretch in &mut self.stretches {
            stretch.is_mixed = stretch.is_stop;
            if stretch.is_stop {
                self.of_mixed = sum(self.of_mixed, stretch.all());
            } else {
                self.mixed.add(&stretch.own(), -1);
            }
        }
        let is_zero = |part: &i64| part.abs() <= rounding;
        if !self.mixed.mj.iter().chain(&self.mixed.ms).all(is_zero) {
            let of_samples = self.stretches.iter().zip(0_usize..).filter(|(stretch, _)| !stretch.is_mixed);
            let mut longest: Vec<usize> = of_samples.map(|(_, index)| index).collect();
            longest.sort_by_key(|index| Reverse(self.stretches.get(*index).map(Stretch::length)));
            let mut next = longest.into_iter();
            while !has_room(&self.mixed, self.of_mixed, rounding) {
                let stretch = next.next().and_then(|index| self.stretches.get_mut(index))?;
                stretch.is_mixed = true;
                self.mixed.add(&stretch.own(), 1);
                self.of_mixed = sum(self.of_mixed, stretch.all());
            }
        }
        Some(self)
    }

    /// Whether what it returns is what the samples have, to the millijoule.
    pub(super) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// What lies between two instants.
    pub(super) fn between(&self, from: u64, to: u64) -> Increment {
        let mut increment = self.bounded(to);
        increment.add(&self.bounded(from), -1);
        increment
    }

    /// What lies before an instant: nothing at the row's begin, and all at its end.
    fn bounded(&self, at: u64) -> Increment {
        if at >= self.row.end {
            return self.whole;
        }
        let mut increment = self.before(at);
        let whole = self.whole.mj.iter().chain(&self.whole.ms);
        for (part, whole) in increment.mj.iter_mut().chain(&mut increment.ms).zip(whole) {
            *part = (*part).clamp(0, (*whole).max(0));
        }
        increment
    }

    /// What the stretches have from the row's begin to an instant.
    fn before(&self, at: u64) -> Increment {
        let (mut increment, mut in_mixed) = (Increment::default(), (0_i64, 0_i64));
        for stretch in self.stretches.iter().take_while(|stretch| stretch.begin < at) {
            let gained = stretch.until(at);
            if stretch.is_mixed {
                in_mixed = sum(in_mixed, gained);
            } else {
                increment.add(&of_status(stretch.status, gained), 1);
            }
        }
        let mj = self.mixed.mj.map(|part| share(part, in_mixed.0, self.of_mixed.0));
        let ms = self.mixed.ms.map(|part| share(part, in_mixed.1, self.of_mixed.1));
        increment.add(&Increment { mj, ms }, 1);
        increment
    }
}

/// Whether what no stretch has by itself can lie in the mixed ones, which gain so much energy and time together: nothing is
/// taken twice, and no more time is known than there is.
fn has_room(mixed: &Increment, (_, ms): (i64, i64), rounding: i64) -> bool {
    let is_left = |part: &i64| *part >= -rounding;
    mixed.mj.iter().chain(&mixed.ms).all(is_left) && mixed.known_ms() <= ms.saturating_add(rounding)
}

fn of_status(status: usize, (of_mj, of_ms): (i64, i64)) -> Increment {
    let mut increment = Increment::default();
    if let (Some(mj), Some(ms)) = (increment.mj.get_mut(status), increment.ms.get_mut(status)) {
        (*mj, *ms) = (of_mj, of_ms);
    }
    increment
}

/// As much of `part` as `of` is of `whole`.
fn share(part: i64, of: i64, whole: i64) -> i64 {
    let shared = i128::from(part) * i128::from(of) / i128::from(whole.max(1));
    i64::try_from(shared).unwrap_or(i64::MAX)
}

fn sum(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.saturating_add(other.0), one.1.saturating_add(other.1))
}

fn saturated(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
