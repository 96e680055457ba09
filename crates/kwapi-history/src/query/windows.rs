//! What probes have used in windows of time that end now: what pages and graphs show beside the totals.
//!
//! While a window begins where it did, what was used in it rises as the total does. So the part of a total that lies
//! outside the window is kept, and files are read again only when it may have changed: when the window begins elsewhere,
//! or something was corrected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Energy, ProbeId, RowStep, Timestamp};
use parking_lot::Mutex;

use super::batches::Edges;
use super::statuses::{SettledSpans, Whose};
use super::{EnergySpan, Query};
use crate::journal::Position;
use crate::ledger::{LedgerSight, SeenProbe};

/// Windows of which something is kept. Full: all are forgotten, and read again when they are requested.
const KEPT_MAX: usize = 1 << 20;
/// Probes whose files are read together.
const TOGETHER: usize = 1 << 16;

/// What was used in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowEnergy {
    /// Nothing: there is no time in it of which anything is known.
    #[default]
    Unknown,
    /// Files that may have some of it cannot be read.
    Unreadable,
    /// So many millijoules, by the ledger.
    Ledger(i64),
    /// So many millijoules, of which the ledger does not have all: what was before it is from the RRD file.
    WithRrd(i64),
}

/// Totals and windows of some probes, all true at one position in the journal. The lists are in the order of `probes`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowsAnswer {
    /// All before this position in the journal is in it, and nothing after.
    pub position: Position,
    /// Whose, in order of their ids, each once.
    pub probes: Vec<ProbeId>,
    /// What the account of each has come to, and since when the ledger has it; `None` of a probe that it does not have.
    pub totals: Vec<Option<(Energy, Timestamp)>>,
    /// Of each window, in the order that they were requested, what each probe used in it.
    pub windows: Vec<Vec<WindowEnergy>>,
}

impl WindowsAnswer {
    /// What a probe's account has come to, and since when the ledger has it.
    pub fn total(&self, probe: &ProbeId) -> Option<(Energy, Timestamp)> {
        *self.totals.get(self.probes.binary_search(probe).ok()?)?
    }

    /// What a probe used in a window; `None` where it was not requested.
    pub fn window(&self, window: usize, probe: &ProbeId) -> Option<WindowEnergy> {
        self.windows.get(window)?.get(self.probes.binary_search(probe).ok()?).copied()
    }
}

/// Answers for windows that end now, and keeps what makes the next answers quick. Clones share it.
#[derive(Clone, Debug)]
pub struct Windows {
    query: Query,
    kept: Arc<Mutex<HashMap<(ProbeId, u64), Outside>>>,
    settled: Arc<Mutex<SettledSpans>>,
}

/// What of a probe's total lies outside a window, by the length of the window.
#[derive(Clone, Copy, Debug)]
struct Outside {
    /// Where the window began, in Unix milliseconds.
    start: u64,
    /// How many corrections there had been, and what the total was.
    corrections: u64,
    total_mj: i64,
    outside_mj: i64,
    has_rrd: bool,
}

impl Windows {
    /// Over a query.
    pub fn new(query: Query) -> Self {
        Self { query, kept: Arc::default(), settled: Arc::default() }
    }

    /// The query it runs.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What `probes` have come to, and used in each of `windows` (begin and end) as they stand at `now`. They end with the
    /// newest measurement, as totals do. Reads files, and may take a while.
    pub fn energy(
        &self,
        probes: &[ProbeId],
        windows: &[(Timestamp, Timestamp)],
        now: Timestamp,
    ) -> WindowsAnswer {
        let mut probes = probes.to_vec();
        probes.sort_unstable();
        probes.dedup();
        let windows: Vec<(u64, u64)> =
            windows.iter().map(|(start, end)| (start.micros() / 1_000, end.micros() / 1_000)).collect();
        let from = windows.iter().map(|(start, _)| *start).min().unwrap_or_default();
        let to = windows.iter().map(|(_, end)| *end).max().unwrap_or_default();
        let sight = self.query.sight(&probes, from, Edges::far(to));
        let totals = probes.iter().map(|probe| {
            let SeenProbe { since, total_mj, .. } = sight.probes.get(probe)?;
            let total = Energy::from_millijoules(u64::try_from((*total_mj)?).unwrap_or(0));
            Some((total, super::instant(*since)))
        });
        WindowsAnswer {
            position: sight.position,
            totals: totals.collect(),
            windows: windows.iter().map(|window| self.window(&sight, &probes, *window, now)).collect(),
            probes,
        }
    }

    /// How sure the energy of a probe is in a window (begin and end), by stretches of `step` that are cut at its multiples since
    /// 1970: whole ones, the first has the begin in it. `None` where the ledger does not have the probe, or files that
    /// may have some of it cannot be read. Reads files, and may take a while.
    pub fn statuses(
        &self,
        probe: &ProbeId,
        window: (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Option<Vec<EnergySpan>> {
        SettledSpans::read(&self.settled, &self.query, Whose::Probe(probe.clone()), window, step, now)
    }

    /// The same of `probes` together: energy and time are the sums of theirs. `None` where the ledger has none of them,
    /// or files that may have some of it cannot be read.
    pub fn sum_statuses(
        &self,
        probes: &[ProbeId],
        window: (Timestamp, Timestamp),
        step: Duration,
        now: Timestamp,
    ) -> Option<Vec<EnergySpan>> {
        let mut probes = probes.to_vec();
        probes.sort_unstable();
        probes.dedup();
        SettledSpans::read(&self.settled, &self.query, Whose::Sum(probes.into()), window, step, now)
    }

    /// How many stretches are kept.
    #[cfg(test)]
    pub(super) fn settled_count(&self) -> usize {
        self.settled.lock().count()
    }

    fn window(
        &self,
        sight: &LedgerSight<'_>,
        probes: &[ProbeId],
        (start, end): (u64, u64),
        now: Timestamp,
    ) -> Vec<WindowEnergy> {
        let length = end.saturating_sub(start);
        let mut energies: Vec<Option<WindowEnergy>> = {
            let kept = self.kept.lock();
            let energy = |probe: &ProbeId| {
                let outside = kept.get(&(probe.clone(), length))?;
                outside.energy(sight.probes.get(probe)?, sight.corrections, start)
            };
            probes.iter().map(energy).collect()
        };
        let missing = probes.iter().zip(&energies).filter(|(_, energy)| energy.is_none());
        let missing: Vec<ProbeId> = missing.map(|(probe, _)| probe.clone()).collect();
        let mut read = Vec::with_capacity(missing.len());
        for probes in missing.chunks(TOGETHER) {
            let (mut unreadable, mut without_samples) = Default::default();
            let edges = Edges { spans: vec![(start, end)], is_to_now: true };
            let spans = self.query.spans(sight, probes, &edges, now, &mut unreadable, &mut without_samples);
            read.extend(
                spans.into_iter().map(|of| (of.probe, of.spans.first().copied().unwrap_or_default())),
            );
        }
        let mut kept = self.kept.lock();
        let places = energies.iter_mut().filter(|energy| energy.is_none());
        for (place, (probe, span)) in places.zip(read) {
            *place = Some(WindowEnergy::of(&span));
            let seen = sight.probes.get(&probe);
            if let Some(outside) = seen.and_then(|seen| Outside::of(&span, seen, sight.corrections, start)) {
                if kept.len() >= KEPT_MAX {
                    kept.clear();
                }
                kept.insert((probe, length), outside);
            }
        }
        energies.into_iter().map(Option::unwrap_or_default).collect()
    }
}

impl WindowEnergy {
    pub(super) fn of(span: &EnergySpan) -> Self {
        match span.energy_mj() {
            _ if span.is_incomplete => Self::Unreadable,
            _ if span.known_ms() == 0 => Self::Unknown,
            energy if span.rrd_ms > 0 => Self::WithRrd(energy),
            energy => Self::Ledger(energy),
        }
    }
}

impl Outside {
    /// What to keep of an answer, if it stays true: nothing before the window may come to lie elsewhere without a correction.
    fn of(span: &EnergySpan, seen: &SeenProbe, corrections: u64, start: u64) -> Option<Self> {
        let is_settled =
            seen.since >= start || RowStep::Minute.end(RowStep::Minute.begin(start)) <= seen.until;
        let is_whole = !span.is_incomplete && span.known_ms() > 0;
        let total_mj = seen.total_mj.filter(|_| is_settled && is_whole)?;
        let outside_mj = total_mj.saturating_sub(span.energy_mj());
        Some(Self { start, corrections, total_mj, outside_mj, has_rrd: span.rrd_ms > 0 })
    }

    /// What was used in the window, if what is kept is still true.
    fn energy(&self, seen: &SeenProbe, corrections: u64, start: u64) -> Option<WindowEnergy> {
        let is_same = self.start == start && self.corrections == corrections;
        let total_mj = seen.total_mj.filter(|total| is_same && *total >= self.total_mj)?;
        let energy = total_mj.saturating_sub(self.outside_mj);
        Some(if self.has_rrd { WindowEnergy::WithRrd(energy) } else { WindowEnergy::Ledger(energy) })
    }
}
