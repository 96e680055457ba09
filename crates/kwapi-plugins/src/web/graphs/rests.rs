//! Meters of subtrees in a sum: what each measured beyond those directly below it, and which share of the whole is known. What
//! a meter measured is the whole of what is below it: where those below measured more, they are drawn so much smaller.

use std::collections::HashMap;

use kwapi_core::{ProbeId, Series, meters_above};

/// No archive has more rows.
const ROWS_MAX: usize = 4_096;

/// What is measured directly below the meter of a subtree, or below a meter there that measured nothing.
#[derive(Debug, Default)]
pub(super) struct Below {
    sum: Series,
    /// How many of them are known in each row, of how many.
    known: Vec<f64>,
    probes: f64,
}

/// A number for each row.
#[derive(Clone, Debug)]
struct RowShares {
    start: u64,
    step: u64,
    shares: Vec<f64>,
}

/// The meters among some probes, with what is below each.
#[derive(Debug)]
pub(super) struct Rests {
    above: Vec<Option<usize>>,
    below: HashMap<usize, Below>,
    /// Of meters below which more was measured than they did: the share of that which is drawn.
    drawn: HashMap<usize, RowShares>,
}

impl Rests {
    /// Of probes in their natural order: a meter stands before those below it.
    pub(super) fn new(probes: &[ProbeId]) -> Self {
        Self { above: meters_above(probes), below: HashMap::new(), drawn: HashMap::new() }
    }

    /// Adds a group of so many probes directly below a meter, with the share of them that is known in each row.
    pub(super) fn add_group(&mut self, meter: usize, power: &Series, shares: &[f64], probes: usize) {
        let below = self.below.entry(meter).or_default();
        below.add(power, probes as f64, |row| shares.get(row).copied().unwrap_or_default());
    }

    /// Adds the `probes` that `is_wanted` selects by their places, once all groups are there.
    pub(super) fn add_probes(
        &mut self,
        probes: &[ProbeId],
        is_wanted: impl Fn(usize) -> bool,
        fetch: impl Fn(&ProbeId) -> Series,
    ) {
        for (at, probe) in probes.iter().enumerate().rev() {
            let Some(meter) = self.above.get(at).copied().flatten().filter(|_| is_wanted(at)) else {
                continue;
            };
            let own = fetch(probe);
            match self.below.remove(&at) {
                None => self.below.entry(meter).or_default().add(&own, 1.0, |row| is_known(&own, row)),
                Some(below) => {
                    let (known, shares) = below.standing_in_for(&own);
                    let above = self.below.entry(meter).or_default();
                    above.add(&known, 1.0, |row| shares.get(row).copied().unwrap_or_default());
                    self.below.insert(at, below);
                }
            }
        }
    }

    /// What is below the probe at a place, where that is a meter.
    pub(super) fn below(&self, at: usize) -> Option<&Below> {
        self.below.get(&at)
    }

    /// Whether no meter is above it.
    pub(super) fn is_top(&self, at: usize) -> bool {
        self.above.get(at).is_some_and(Option::is_none)
    }

    /// What is drawn of the probe at a place, so that the stack is the sum: of a meter what it measured beyond those below it.
    /// To be taken in order.
    pub(super) fn drawn(&mut self, at: usize, mut own: Series) -> Series {
        let above = self.above.get(at).copied().flatten();
        let Some(below) = self.below.get(&at) else { return self.drawn_below(above, own) };
        let mut drawn = RowShares { start: below.sum.start, step: below.sum.step, shares: Vec::new() };
        if drawn.is_of(&own) {
            for (own, below) in own.watts.iter_mut().zip(&below.sum.watts) {
                let (whole, parts) = (*own, below.unwrap_or_default());
                *own = whole.map(|whole| (whole - parts).max(0.0));
                drawn.shares.push(whole.filter(|whole| *whole < parts).map_or(1.0, |whole| whole / parts));
            }
        }
        // What is drawn smaller is drawn so with all that is below it.
        let around = above.and_then(|above| self.drawn.get(&above)).filter(|around| around.is_like(&drawn));
        match around {
            Some(around) if drawn.shares.is_empty() => drawn.shares.clone_from(&around.shares),
            Some(around) => {
                for (own, share) in drawn.shares.iter_mut().zip(&around.shares) {
                    *own *= share;
                }
            }
            None => {}
        }
        if drawn.shares.iter().any(|share| *share < 1.0) {
            self.drawn.insert(at, drawn);
        }
        self.drawn_below(above, own)
    }

    /// What is drawn of what a probe or a group that is directly below a meter measured.
    pub(super) fn drawn_below(&self, meter: Option<usize>, mut own: Series) -> Series {
        if let Some(drawn) = meter.and_then(|meter| self.drawn.get(&meter)).filter(|drawn| drawn.is_of(&own))
        {
            for (own, share) in own.watts.iter_mut().zip(&drawn.shares) {
                *own = own.map(|own| own * share);
            }
        }
        own
    }
}

impl RowShares {
    fn is_of(&self, series: &Series) -> bool {
        (self.start, self.step) == (series.start, series.step)
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.start, self.step) == (other.start, other.step)
    }
}

/// 1 where a row has a power.
fn is_known(series: &Series, row: usize) -> f64 {
    f64::from(u8::from(series.watts.get(row).is_some_and(Option::is_some)))
}

impl Below {
    /// Adds what is known of a probe, or of so many together, row by row, and which share of them is known there.
    fn add(&mut self, other: &Series, probes: f64, share: impl Fn(usize) -> f64) {
        self.probes += probes;
        let sum = &mut self.sum;
        if sum.watts.is_empty() {
            *sum = Series::whole(other.start, other.step, vec![None; other.watts.len()]);
            self.known = vec![0.0; other.watts.len()];
        }
        if (sum.start, sum.step) == (other.start, other.step) {
            for (row, ((sum, known), watts)) in
                sum.watts.iter_mut().zip(&mut self.known).zip(&other.watts).enumerate()
            {
                if let Some(watts) = watts {
                    *sum = Some(sum.unwrap_or(0.0) + watts);
                }
                *known += share(row) * probes;
            }
        }
    }

    /// What is known of a meter by itself, and where it measured nothing by those below it; and the share known of each row.
    fn standing_in_for(&self, own: &Series) -> (Series, Vec<f64>) {
        let mut known = if own.watts.is_empty() { self.sum.clone() } else { own.clone() };
        let share = |row: usize| match is_known(own, row) {
            is_known if is_known > 0.0 => 1.0,
            _ => self.share(known.row_start(row)),
        };
        let shares = (0..known.watts.len()).map(share).collect();
        if (known.start, known.step) == (self.sum.start, self.sum.step) {
            for (known, below) in known.watts.iter_mut().zip(&self.sum.watts) {
                *known = known.or(*below);
            }
        }
        (known, shares)
    }

    /// Which share of those below is known in the row that begins at `start` (Unix seconds).
    fn share(&self, start: u64) -> f64 {
        let row = start.checked_sub(self.sum.start).map(|after| after / self.sum.step.max(1));
        let known = row.and_then(|row| self.known.get(usize::try_from(row).ok()?)).copied();
        known.unwrap_or_default() / self.probes.max(1.0)
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
        let rows = below.filter(|_| own.watts.is_empty()).map_or(own, |below| &below.sum);
        for row in 0..rows.watts.len() {
            let start = rows.row_start(row);
            let share = match is_known(own, row) {
                is_known if is_known > 0.0 => 1.0,
                _ => below.map_or(0.0, |below| below.share(start)),
            };
            self.add_row(start, rows.step, share);
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

#[cfg(test)]
mod tests;
