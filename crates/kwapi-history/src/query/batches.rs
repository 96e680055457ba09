//! An answer a part at a time.

use std::collections::{BTreeMap, BTreeSet};

use kwapi_core::{ProbeId, Timestamp};

use super::{EnergyRequest, EnergySpan, EnergyStep, ProbeEnergy, Query};
use crate::journal::Position;
use crate::ledger::{LedgerSight, UnreadableRows};

/// Spans in memory at once.
const CELLS: usize = 1 << 16;

/// An answer that is made as it is read, probe after probe, at one position in the journal.
#[derive(Debug)]
pub struct Batches<'a> {
    query: &'a Query,
    sight: LedgerSight<'a>,
    probes: Vec<ProbeId>,
    /// How many probes are read together, and the first of them.
    together: usize,
    probe: usize,
    step: EnergyStep,
    start: u64,
    end: u64,
    /// Where the next window begins…
    at: u64,
    /// …of so many spans, and those of the last one.
    window: usize,
    edges: Edges,
    /// Whether the last span has all that is newer too.
    is_to_now: bool,
    now: Timestamp,
    unreadable: BTreeMap<String, UnreadableRows>,
    /// Begins of hours, in Unix milliseconds.
    without_samples: BTreeSet<u64>,
}

impl<'a> Batches<'a> {
    /// The answer to a question that was checked.
    pub(super) fn new(query: &'a Query, request: &EnergyRequest) -> Self {
        let (start, end) = (request.start.micros() / 1_000, request.end.micros() / 1_000);
        let probes = request.sorted_probes();
        let is_to_now = request.is_to_now;
        let sight = query.sight(&probes, start, if is_to_now { Edges::far(end) } else { end });
        // Exactly: several probes share a part only if it has all their spans.
        let window = edges(&request.step, start, end, CELLS).len().max(1);
        Self {
            query,
            sight,
            probes,
            together: CELLS / window,
            probe: 0,
            step: request.step.clone(),
            start,
            end,
            at: start,
            window,
            edges: Edges::default(),
            is_to_now,
            now: request.now,
            unreadable: BTreeMap::new(),
            without_samples: BTreeSet::new(),
        }
    }

    /// All before this position in the journal is in the answer, and nothing after.
    pub fn position(&self) -> Position {
        self.sight.position
    }

    /// The next part: probes in order of their ids, spans in order of time. A probe with very many spans comes several
    /// times in a row. `None` at the end.
    pub fn next_batch(&mut self) -> Option<Vec<ProbeEnergy>> {
        if self.at >= self.end {
            (self.at, self.probe) = (self.start, self.probe.saturating_add(self.together));
        }
        let probes = self.probes.get(self.probe..).filter(|rest| !rest.is_empty())?;
        let probes = probes.get(..self.together).unwrap_or(probes);
        if self.edges.spans.first().is_none_or(|(begin, _)| *begin != self.at) {
            let spans = edges(&self.step, self.at, self.end, self.window);
            let is_last = spans.last().is_none_or(|(_, end)| *end >= self.end);
            self.edges = Edges { spans, is_to_now: self.is_to_now && is_last };
        }
        self.at = self.edges.spans.last().map_or(self.end, |(_, end)| *end);
        let (unreadable, without) = (&mut self.unreadable, &mut self.without_samples);
        Some(self.query.spans(&self.sight, probes, &self.edges, self.now, unreadable, without))
    }

    /// All spans of the question, nothing in them.
    pub(super) fn empty(&self) -> Vec<EnergySpan> {
        let all = edges(&self.step, self.start, self.end, usize::MAX);
        all.into_iter().map(|(from, to)| EnergySpan::new(from, to)).collect()
    }

    /// The hours, by their begins, in which energy was taken in proportion to time for want of samples, by now.
    pub fn without_samples(&self) -> Vec<Timestamp> {
        self.without_samples.iter().map(|hour| super::instant(*hour)).collect()
    }

    /// The files that could not be read by now.
    pub fn unreadable(&self) -> Vec<UnreadableRows> {
        self.unreadable.values().cloned().collect()
    }
}

/// Spans of time, in Unix milliseconds, one after the other.
#[derive(Debug, Default)]
pub(super) struct Edges {
    pub(super) spans: Vec<(u64, u64)>,
    /// Whether the last one has all that is newer too.
    pub(super) is_to_now: bool,
}

impl Edges {
    /// So far ahead of now nothing is stamped that was taken, in milliseconds.
    const AHEAD_MAX: u64 = 86_400_000;

    /// Beyond all that was measured by an instant.
    pub(super) fn far(now: u64) -> u64 {
        now.saturating_add(Self::AHEAD_MAX)
    }

    /// The time of which each has what was measured.
    pub(super) fn covered(&self) -> impl Iterator<Item = (u64, u64)> {
        let last = self.spans.len().saturating_sub(1);
        let spans = self.spans.iter().enumerate();
        spans.map(move |(at, (from, to))| {
            (*from, if self.is_to_now && at == last { Self::far(*to) } else { *to })
        })
    }
}

/// The first spans between two Unix milliseconds, so many at most.
pub(super) fn edges(step: &EnergyStep, from: u64, end: u64, count: usize) -> Vec<(u64, u64)> {
    let mut edges = Vec::new();
    let mut from = from;
    while from < end && edges.len() < count {
        let to = step.next(from).min(end);
        edges.push((from, to));
        from = to;
    }
    edges
}
