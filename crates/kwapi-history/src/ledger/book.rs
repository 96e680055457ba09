//! What the ledger has in memory: of each probe where its account stands and its open rows, and the rows that are done.

use std::collections::HashMap;

use kwapi_core::{OpenRows, Piece, ProbeId, RowStep, Trace, WrittenRow};

use super::DAY_MS;
use super::files::Day;
use super::snapshot::SnapshotProbe;
use super::table::{LedgerRow, order};
use crate::journal::Credited;

#[derive(Debug, Default)]
pub(super) struct Book {
    index: HashMap<ProbeId, usize>,
    pub(super) probes: Vec<SnapshotProbe>,
    /// Rows that are done, to be written.
    pub(super) waiting: Vec<WaitingRow>,
    /// The number of the last correction.
    pub(super) corrections: u64,
    /// Energy that was laid where a message is stamped, as nothing else was known of it.
    pub(super) unplaced_mj: u64,
    pieces: Vec<Piece>,
}

/// A row to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WaitingRow {
    pub(super) step: RowStep,
    pub(super) row: LedgerRow,
}

impl Book {
    pub(super) fn new(corrections: u64, probes: Vec<SnapshotProbe>) -> Self {
        let index = probes.iter().enumerate().map(|(at, probe)| (probe.id.clone(), at)).collect();
        Self { index, probes, corrections, ..Self::default() }
    }

    pub(super) fn probe(&self, id: &ProbeId) -> Option<&SnapshotProbe> {
        self.probes.get(*self.index.get(id)?)
    }

    /// Takes a record. One that has nothing of its account was written before there was a ledger.
    pub(super) fn take(&mut self, record: &Credited) {
        let Some(taken) = &record.taken else { return };
        let at = if let Some(at) = self.index.get(&record.probe) {
            *at
        } else {
            let id = record.probe.clone();
            self.index.insert(id.clone(), self.probes.len());
            self.probes.push(SnapshotProbe { id, trace: Trace::default(), open: OpenRows::default() });
            self.probes.len() - 1
        };
        let Some(probe) = self.probes.get_mut(at) else { return };
        let message = record.accounting.as_ref();
        let stamp = message.map_or(record.at, |message| message.timestamp);
        let traced = probe.trace.take(stamp, message, &taken.decision, &taken.register, &mut self.pieces);
        self.unplaced_mj = self.unplaced_mj.saturating_add(traced.unplaced_mj);
        let (waiting, corrections) = (&mut self.waiting, &mut self.corrections);
        probe.open.take(stamp.micros() / 1_000, record.power, &self.pieces, traced.cause, &mut |written| {
            waiting.push(done(&record.probe, written, corrections));
        });
    }

    /// Where in `waiting` the rows of a step and day are, in the order of a file.
    pub(super) fn places(&self, step: RowStep, day: Day) -> Vec<u32> {
        let numbered = self.waiting.iter().zip(0..);
        let mut places: Vec<u32> =
            numbered.filter(|(waiting, _)| key(waiting) == (step, day)).map(|(_, place)| place).collect();
        places.sort_by_key(|place| self.waiting.get(*place as usize).map(|waiting| order(&waiting.row)));
        places
    }

    /// The rows at some places in `waiting`.
    pub(super) fn rows(&self, places: &[u32]) -> Vec<LedgerRow> {
        let waiting = places.iter().filter_map(|place| self.waiting.get(*place as usize));
        waiting.map(|waiting| waiting.row.clone()).collect()
    }

    /// Closes what nobody has ended for two days.
    pub(super) fn close_silent(&mut self, now_ms: u64) {
        let (waiting, corrections) = (&mut self.waiting, &mut self.corrections);
        for SnapshotProbe { id, open, .. } in &mut self.probes {
            open.close_silent(now_ms, &mut |written| waiting.push(done(id, written, corrections)));
        }
    }
}

/// The step and day that have a row.
pub(super) fn key(waiting: &WaitingRow) -> (RowStep, Day) {
    (waiting.step, waiting.row.row.begin / DAY_MS)
}

fn done(probe: &ProbeId, written: WrittenRow, corrections: &mut u64) -> WaitingRow {
    let correction = if written.correction.is_some() {
        *corrections += 1;
        *corrections
    } else {
        0
    };
    let row = LedgerRow { probe: probe.clone(), row: written.row, correction, cause: written.correction };
    WaitingRow { step: written.step, row }
}
