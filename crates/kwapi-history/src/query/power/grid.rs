//! The power of several probes together, second by second: each watt once along a path, of the probes not silent then.

use std::collections::{HashMap, HashSet};

use kwapi_core::{Period, ProbeId, Timestamp};

use super::courses::{SampleTime, stretches};
use super::{PowerQuery, PowerSpan, PowerTally, lay};

/// Cells of all sums in memory at once…
const SUM_CELLS_MAX: usize = 1 << 20;
/// …and of what is known of meters with others below them.
const METER_CELLS_MAX: usize = 1 << 21;
/// …and of probes.
const PROBE_CELLS_MAX: usize = 1 << 18;
/// Cells of a window; of a few probes, whose samples are looked for far beside it, more.
const CELLS_MAX: usize = 3_600;
const FEW_CELLS_MAX: usize = 6 * CELLS_MAX;
const FEW_PROBES: usize = PROBE_CELLS_MAX / FEW_CELLS_MAX;
/// A cell of which less is known counts as silent.
const KNOWN_MIN: f64 = 0.5;

/// Which probes make up which sums.
#[derive(Clone, Debug, Default)]
pub struct PowerMembers {
    probes: Vec<ProbeId>,
    /// Of each the place of the meter directly above it.
    above: Vec<Option<usize>>,
    /// Of each the sums it is in, and whether none of those below it is in that sum too.
    sums: Vec<Vec<(usize, bool)>>,
    count: usize,
    takes_away: bool,
    /// Of each sum how many such ends it has.
    ends: Vec<u32>,
    /// The places of the meters.
    meters: HashSet<usize>,
}

impl PowerMembers {
    /// How many sums there are.
    pub(super) fn sums(&self) -> usize {
        self.count
    }

    /// How many probes, and how often an hour of their samples is read.
    pub(super) fn effort(&self) -> (usize, u64) {
        (self.probes.len(), CELLS_MAX.div_ceil(self.cells_max()) as u64)
    }

    /// Cells of a window.
    fn cells_max(&self) -> usize {
        let of_sums = SUM_CELLS_MAX / self.count.max(1);
        let most = if self.probes.len() <= FEW_PROBES { FEW_CELLS_MAX } else { CELLS_MAX };
        of_sums.min(METER_CELLS_MAX / self.meters.len().max(1)).clamp(1, most)
    }

    /// `count` sums of `probes` (in order of their ids), each with the meter directly `above` it and in `sums`. Whether what is
    /// below a meter but in another sum is taken away from that of the meter.
    pub fn new(
        probes: &[ProbeId],
        above: &[Option<usize>],
        sums: &[Vec<usize>],
        count: usize,
        takes_away: bool,
    ) -> Self {
        let mut sums: Vec<Vec<(usize, bool)>> =
            sums.iter().map(|of| of.iter().map(|sum| (*sum, true)).collect()).collect();
        for place in 0..sums.len() {
            for (sum, _) in sums.get(place).cloned().unwrap_or_default() {
                let mut next = above.get(place).copied().flatten();
                while let Some(meter) = next {
                    let of_meter = sums.get_mut(meter).into_iter().flatten().find(|(of, _)| *of == sum);
                    if let Some((_, is_end)) = of_meter {
                        *is_end = false;
                        break;
                    }
                    next = above.get(meter).copied().flatten();
                }
            }
        }
        let mut ends = vec![0_u32; count];
        for (sum, _) in sums.iter().flatten().filter(|(_, is_end)| *is_end) {
            if let Some(ends) = ends.get_mut(*sum) {
                *ends += 1;
            }
        }
        let meters = above.iter().flatten().copied().collect();
        Self { probes: probes.to_vec(), above: above.to_vec(), sums, count, takes_away, ends, meters }
    }
}

/// Cells that are added up together.
#[derive(Debug)]
struct GridWindow {
    /// Each in Unix microseconds; in order, within one span each.
    cells: Vec<SampleTime>,
    /// The span of each.
    spans: Vec<usize>,
}

/// A sum in one cell.
#[derive(Clone, Copy, Debug, Default)]
struct GridCell {
    watts: f64,
    ends_known: u32,
    is_known: bool,
    has_samples: bool,
    has_rrd: bool,
}

impl PowerQuery<'_> {
    /// The power of each sum in each of `spans`, which follow each other without a gap. Reads files, and may take a while.
    pub fn of_sums(
        &mut self,
        members: &PowerMembers,
        spans: &[(Timestamp, Timestamp)],
    ) -> Vec<Vec<PowerSpan>> {
        let spans: Vec<SampleTime> = spans.iter().map(|(from, to)| (from.micros(), to.micros())).collect();
        let mut tallies = vec![vec![(PowerTally::default(), 0.0_f64); spans.len()]; members.count];
        let cells_max = members.cells_max();
        let mut next = (0, spans.first().map_or(0, |(from, _)| *from));
        while let Some(window) = self.next_window(&spans, &mut next, cells_max) {
            let sums = self.add_up(members, &window);
            for ((tallies, cells), ends) in tallies.iter_mut().zip(&sums).zip(&members.ends) {
                for ((cell, (from, to)), span) in cells.iter().zip(&window.cells).zip(&window.spans) {
                    let Some((tally, share)) = tallies.get_mut(*span).filter(|_| cell.is_known) else {
                        continue;
                    };
                    let length = to.saturating_sub(*from) as f64;
                    tally.take(cell.watts, length, (cell.watts, cell.watts));
                    tally.has_samples |= cell.has_samples;
                    tally.has_rrd |= cell.has_rrd;
                    *share += length * f64::from(cell.ends_known) / f64::from((*ends).max(1));
                }
            }
        }
        let span_of = |((tally, share), (from, to)): (&(PowerTally, f64), &SampleTime)| {
            tally.span(share / to.saturating_sub(*from).max(1) as f64)
        };
        tallies.iter().map(|tallies| tallies.iter().zip(&spans).map(span_of).collect()).collect()
    }

    /// The next cells, from the span and instant `next` on: seconds where samples are kept, else rows of the RRD files.
    fn next_window(
        &self,
        spans: &[SampleTime],
        next: &mut (usize, u64),
        cells_max: usize,
    ) -> Option<GridWindow> {
        let (span, at) = *next;
        spans.get(span)?;
        let is_sampled = at >= self.kept_from;
        let age = self.now.micros().saturating_sub(at) / 1_000_000;
        let period = Period::ALL.into_iter().find(|period| period.seconds() >= age).unwrap_or(Period::Year);
        let grain = if is_sampled { 1 } else { period.step_seconds().max(1) }.saturating_mul(1_000_000);
        // A finer grain begins where finer rows do, and where samples do.
        let finer = self.now.micros().saturating_sub(
            Period::ALL
                .into_iter()
                .rev()
                .find(|of| *of < period)
                .map_or(0, |of| of.seconds().saturating_mul(1_000_000)),
        );
        let limit = if is_sampled { u64::MAX } else { self.kept_from.min(finer.max(at.saturating_add(1))) };
        let mut window = GridWindow { cells: Vec::new(), spans: Vec::new() };
        while window.cells.len() < cells_max {
            let (span, at) = *next;
            let Some((_, end)) = spans.get(span).filter(|_| at < limit) else { break };
            let cell = (at - at % grain).saturating_add(grain).min(*end).min(limit);
            window.cells.push((at, cell));
            window.spans.push(span);
            *next = if cell >= *end { (span + 1, *end) } else { (span, cell) };
        }
        Some(window)
    }

    /// Adds all members up in each cell of a window.
    fn add_up(&mut self, members: &PowerMembers, window: &GridWindow) -> Vec<Vec<GridCell>> {
        let cells = &window.cells;
        let mut sums = vec![vec![GridCell::default(); cells.len()]; members.count];
        let (Some((from, _)), Some((_, to))) = (cells.first(), cells.last()) else { return sums };
        let time = (*from, *to);
        // Of each meter with others below it the nearest one known in each cell, itself or above.
        let mut nearest: HashMap<usize, Vec<Option<usize>>> = HashMap::new();
        let together = (PROBE_CELLS_MAX / cells.len().max(1)).max(1);
        for begin in (0..members.probes.len()).step_by(together) {
            let probes =
                members.probes.get(begin..members.probes.len().min(begin + together)).unwrap_or_default();
            let powers = self.in_cells(probes, cells, time);
            for (power, place) in powers.iter().zip(begin..) {
                let above = members.above.get(place).copied().flatten();
                let empty = Vec::new();
                let of_above = above.and_then(|above| nearest.get(&above)).unwrap_or(&empty);
                for (cell, tally) in power.iter().enumerate() {
                    let meter = of_above.get(cell).copied().flatten();
                    members.add(&mut sums, place, cell, tally, meter);
                }
                if members.meters.contains(&place) {
                    let known = |(cell, tally): (usize, &PowerTally)| {
                        if tally.known_us > 0.0 { Some(place) } else { of_above.get(cell).copied().flatten() }
                    };
                    let own = power.iter().enumerate().map(known).collect();
                    nearest.insert(place, own);
                }
            }
        }
        sums
    }

    /// The power of each probe in each cell; none where less than half of it is known.
    fn in_cells(
        &mut self,
        probes: &[ProbeId],
        cells: &[SampleTime],
        time: SampleTime,
    ) -> Vec<Vec<PowerTally>> {
        let mut powers = vec![vec![PowerTally::default(); cells.len()]; probes.len()];
        let mut first = vec![u64::MAX; probes.len()];
        let mut unread = Vec::new();
        if let Some(mut courses) = self.courses(probes, time, &mut unread) {
            courses.each(&mut |place, window, points, gap| {
                if let (Some(first), Some((at, _))) = (first.get_mut(place), points.first()) {
                    *first = (*first).min(*at);
                }
                let Some(power) = powers.get_mut(place) else { return };
                stretches(points, gap, window, |stretch| lay(cells, power, &stretch));
            });
        }
        for ((probe, power), first) in probes.iter().zip(&mut powers).zip(first) {
            let gaps = self.without_samples(time, first, &unread);
            if let Some(rrd) = self.rrd(probe, &gaps) {
                for (from, to) in gaps {
                    rrd.stretches(from, to, |stretch| lay(cells, power, &stretch));
                }
            }
            for (tally, (from, to)) in power.iter_mut().zip(cells) {
                if tally.known_us < to.saturating_sub(*from) as f64 * KNOWN_MIN {
                    *tally = PowerTally::default();
                }
            }
        }
        powers
    }
}

impl PowerMembers {
    /// Adds a probe's power in a cell to its sums; `meter`: the nearest above it that is known there.
    fn add(
        &self,
        sums: &mut [Vec<GridCell>],
        place: usize,
        cell: usize,
        power: &PowerTally,
        meter: Option<usize>,
    ) {
        let empty = Vec::new();
        let own = self.sums.get(place).unwrap_or(&empty);
        let of_meter = meter.and_then(|meter| self.sums.get(meter)).unwrap_or(&empty);
        let has = |of: &[(usize, bool)], sum: usize| of.iter().any(|(other, _)| *other == sum);
        let watts = power.mean();
        let mut put = |sum: usize, is_end: bool, watts: Option<f64>| {
            let Some(cell) = sums.get_mut(sum).and_then(|cells| cells.get_mut(cell)) else { return };
            cell.ends_known += u32::from(is_end);
            if let Some(watts) = watts {
                cell.watts += watts;
                cell.is_known = true;
                cell.has_samples |= power.has_samples;
                cell.has_rrd |= power.has_rrd;
            }
        };
        for (sum, is_end) in own {
            let is_in_meter = has(of_meter, *sum);
            let is_known = watts.is_some() || is_in_meter;
            // A meter above in the same sum has measured it already.
            put(*sum, *is_end && is_known, watts.filter(|_| !is_in_meter));
        }
        if self.takes_away {
            for (sum, _) in of_meter.iter().filter(|(sum, _)| !has(own, *sum)) {
                put(*sum, false, watts.map(|watts| -watts));
            }
        }
    }
}
