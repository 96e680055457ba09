//! Meters of subtrees in a sum: what each measured beyond those directly below it, and which share of the whole is known.

use std::collections::HashMap;

use kwapi_core::{ProbeId, Series, meters_above};

/// No archive has more rows.
const ROWS_MAX: usize = 4_096;

/// What is measured directly below the meter of a subtree.
#[derive(Debug, Default)]
pub(super) struct Below {
    sum: Series,
    /// How many of them are known in each row, of how many.
    known: Vec<u32>,
    probes: u32,
}

/// The meters among some probes, with what is below each.
#[derive(Debug)]
pub(super) struct Rests {
    above: Vec<Option<usize>>,
    below: HashMap<usize, Below>,
}

impl Rests {
    /// Of those that `is_wanted` says by their places.
    pub(super) fn new(
        probes: &[ProbeId],
        is_wanted: impl Fn(usize) -> bool,
        fetch: impl Fn(&ProbeId) -> Series,
    ) -> Self {
        let above = meters_above(probes);
        let mut below: HashMap<usize, Below> = HashMap::new();
        for (at, (probe, meter)) in probes.iter().zip(&above).enumerate() {
            if let Some(meter) = meter.filter(|_| is_wanted(at)) {
                below.entry(meter).or_default().add(&fetch(probe), 1);
            }
        }
        Self { above, below }
    }

    /// Adds so many probes together that are directly below a meter.
    pub(super) fn add_below(&mut self, meter: usize, power: &Series, probes: usize) {
        let probes = u32::try_from(probes).unwrap_or(u32::MAX);
        self.below.entry(meter).or_default().add(power, probes);
    }

    /// What is below the probe at a place, where that is a meter.
    pub(super) fn below(&self, at: usize) -> Option<&Below> {
        self.below.get(&at)
    }

    /// Whether no meter is above it.
    pub(super) fn is_top(&self, at: usize) -> bool {
        self.above.get(at).is_some_and(Option::is_none)
    }

    /// What a meter measured beyond those below it, so that the stack is the sum: nothing where those below measured more.
    pub(super) fn rest(&self, at: usize, mut own: Series) -> Series {
        let Some(Below { sum: below, .. }) = self.below(at) else { return own };
        if (own.start, own.step) == (below.start, below.step) {
            for (own, below) in own.watts.iter_mut().zip(&below.watts) {
                *own = own.map(|own| (own - below.unwrap_or(0.0)).max(0.0));
            }
        }
        own
    }
}

impl Below {
    /// Adds what is known of another probe, or of several together, row by row.
    fn add(&mut self, other: &Series, probes: u32) {
        self.probes = self.probes.saturating_add(probes);
        let sum = &mut self.sum;
        if sum.watts.is_empty() {
            *sum = Series::whole(other.start, other.step, vec![None; other.watts.len()]);
            self.known = vec![0; other.watts.len()];
        }
        if (sum.start, sum.step) == (other.start, other.step) {
            for ((sum, known), watts) in sum.watts.iter_mut().zip(&mut self.known).zip(&other.watts) {
                if let Some(watts) = watts {
                    *sum = Some(sum.unwrap_or(0.0) + watts);
                    *known = known.saturating_add(probes);
                }
            }
        }
    }

    /// Which share of those below is known in the row that begins at `start` (Unix seconds).
    fn share(&self, start: u64) -> f64 {
        let row = start.checked_sub(self.sum.start).map(|after| after / self.sum.step.max(1));
        let known = row.and_then(|row| self.known.get(usize::try_from(row).ok()?)).copied();
        f64::from(known.unwrap_or_default()) / f64::from(self.probes.max(1))
    }
}

/// Which share of the probes that no meter is above is known, row by row: of a meter that is not, as much as of those below it.
#[derive(Debug, Default)]
pub(super) struct KnownTops {
    /// Of rows from the first on that was added.
    known: Vec<f64>,
    start: u64,
    step: u64,
    tops: usize,
}

impl KnownTops {
    /// Adds one, with what is below it.
    pub(super) fn add(&mut self, own: &Series, below: Option<&Below>) {
        self.tops += 1;
        for (row, watts) in own.watts.iter().enumerate() {
            let start = own.row_start(row);
            let share = if watts.is_some() { 1.0 } else { below.map_or(0.0, |below| below.share(start)) };
            self.add_row(start, own.step, share);
        }
    }

    /// Adds several together, of which a share is known in each row.
    pub(super) fn add_group(&mut self, power: &Series, shares: &[f64], tops: usize) {
        self.tops += tops;
        for (row, share) in shares.iter().enumerate() {
            self.add_row(power.row_start(row), power.step, share * tops as f64);
        }
    }

    fn add_row(&mut self, start: u64, step: u64, known: f64) {
        if self.known.is_empty() {
            (self.start, self.step) = (start, step.max(1));
        }
        let Some(row) = self.row(start).filter(|row| *row < ROWS_MAX) else { return };
        if row >= self.known.len() {
            self.known.resize(row + 1, 0.0);
        }
        if let Some(sum) = self.known.get_mut(row) {
            *sum += known;
        }
    }

    fn row(&self, start: u64) -> Option<usize> {
        usize::try_from(start.checked_sub(self.start)? / self.step.max(1)).ok()
    }

    /// The share of each row of `series`, 0 to 1.
    pub(super) fn shares(&self, series: &Series) -> Vec<f64> {
        let known = |row: usize| self.row(series.row_start(row)).and_then(|row| self.known.get(row));
        let share = |row: usize| known(row).copied().unwrap_or_default() / self.tops.max(1) as f64;
        (0..series.watts.len()).map(share).collect()
    }
}
