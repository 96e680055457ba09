//! Meters of subtrees in a sum: what each measured beyond those directly below it, and which share of the whole is known.

use std::collections::HashMap;

use kwapi_core::{ProbeId, Series, meters_above};

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
    pub(super) fn new(probes: &[ProbeId], fetch: impl Fn(&ProbeId) -> Series) -> Self {
        let above = meters_above(probes);
        let mut below: HashMap<usize, Below> = HashMap::new();
        for (probe, meter) in probes.iter().zip(&above) {
            if let Some(meter) = meter {
                below.entry(*meter).or_default().add(&fetch(probe));
            }
        }
        Self { above, below }
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
    /// Adds what is known of another probe, row by row.
    fn add(&mut self, other: &Series) {
        self.probes = self.probes.saturating_add(1);
        let sum = &mut self.sum;
        if sum.watts.is_empty() {
            *sum = Series::whole(other.start, other.step, vec![None; other.watts.len()]);
            self.known = vec![0; other.watts.len()];
        }
        if (sum.start, sum.step) == (other.start, other.step) {
            for ((sum, known), watts) in sum.watts.iter_mut().zip(&mut self.known).zip(&other.watts) {
                if let Some(watts) = watts {
                    *sum = Some(sum.unwrap_or(0.0) + watts);
                    *known = known.saturating_add(1);
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
    /// By the begins of rows, in Unix seconds.
    known: HashMap<u64, f64>,
    tops: usize,
}

impl KnownTops {
    /// Adds one, with what is below it.
    pub(super) fn add(&mut self, own: &Series, below: Option<&Below>) {
        self.tops += 1;
        for (row, watts) in own.watts.iter().enumerate() {
            let start = own.row_start(row);
            let share = if watts.is_some() { 1.0 } else { below.map_or(0.0, |below| below.share(start)) };
            if share > 0.0 {
                *self.known.entry(start).or_default() += share;
            }
        }
    }

    /// The share of each row of `series`, 0 to 1.
    pub(super) fn shares(&self, series: &Series) -> Vec<f64> {
        let share = |row: usize| self.known.get(&series.row_start(row)).copied().unwrap_or_default();
        (0..series.watts.len()).map(|row| share(row) / self.tops.max(1) as f64).collect()
    }
}
