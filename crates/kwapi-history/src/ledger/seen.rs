//! What the ledger has of some time: the rows in files, those that wait to be written, and those that are open.

use std::collections::HashMap;
use std::fs::File;

use kwapi_core::{ProbeId, Row, RowStep, Timestamp};
use parking_lot::RwLockReadGuard;

use super::book::WaitingRow;
use super::files::{Day, Files, Part};
use super::table::{self, Begins, Wanted};
use super::{DAY_MS, Ledger, State};
use crate::journal::Position;

/// The ledger as it was at one position in the journal. While there is one, the files that it names stay.
#[derive(Debug)]
pub(crate) struct LedgerSight<'a> {
    /// All before it is in the rows, and nothing after.
    pub(crate) position: Position,
    /// See [`State::kept_from`].
    pub(crate) kept_from: [u64; 2],
    /// How many corrections there were.
    pub(crate) corrections: u64,
    /// Each probe that is known.
    pub(crate) probes: HashMap<ProbeId, SeenProbe>,
    /// What was in memory, in order of the probes.
    rows: Vec<(ProbeId, SeenRow)>,
    parts: Vec<Part>,
    files: Files,
    _stay: Option<RwLockReadGuard<'a, ()>>,
}

/// What the ledger has of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeenProbe {
    /// Since when…
    pub(crate) since: u64,
    /// …and up to which stamp, in Unix milliseconds.
    pub(crate) until: u64,
    /// All that its account had come to, in millijoules; `None` before its first record.
    pub(crate) total_mj: Option<i64>,
}

/// What it took to answer a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) unreadable: Vec<UnreadableRows>,
    /// Files that were opened, and the rows of the groups in them that were read.
    pub(crate) files_read: u64,
    pub(crate) rows_read: u64,
}

/// A row, and where what it has ends: an open row's is the newest stamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SeenRow {
    pub(crate) step: RowStep,
    pub(crate) end: u64,
    pub(crate) row: Row,
    pub(crate) is_correction: bool,
}

/// A file of the ledger that could not be read: rows of its time are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRows {
    /// How long its rows are.
    pub step: RowStep,
    /// The day that it is of: its begin…
    pub start: Timestamp,
    /// …and end.
    pub end: Timestamp,
    /// Which file, and why.
    pub cause: String,
}

impl Ledger {
    /// The ledger at this moment, as far as it has `probes` (in order of their ids) between two Unix milliseconds.
    ///
    /// Hold one at a time in a thread, and not for longer than it takes to answer: files are not merged meanwhile.
    pub(crate) fn sight(&self, probes: &[ProbeId], from: u64, to: u64) -> LedgerSight<'_> {
        let stay = self.files_stay.read();
        self.state.lock().sight(&self.files, probes, (from, to), Some(stay))
    }

    /// The probes whose newest stamp is not before `at` (Unix milliseconds), in order of their ids.
    pub(crate) fn measured_since(&self, at: u64) -> Vec<ProbeId> {
        self.state.lock().measured_since(at)
    }
}

impl State {
    /// The probes whose newest stamp is not before `at` (Unix milliseconds), in order of their ids.
    pub(super) fn measured_since(&self, at: u64) -> Vec<ProbeId> {
        let recent = self.book.probes.iter().filter(|probe| probe.open.closed_until() >= at);
        let mut probes: Vec<_> = recent.map(|probe| probe.id.clone()).collect();
        probes.sort_unstable();
        probes
    }

    /// Where the oldest minutes and quarter hours begin that are kept, in Unix milliseconds: what was before is in longer
    /// rows alone.
    fn kept_from(&self) -> [u64; 2] {
        let oldest = |step| {
            let (first, _) = self.parts.range((step, 0)..=(step, Day::MAX)).next()?;
            Some(first.1.saturating_mul(DAY_MS))
        };
        let longest = oldest(RowStep::Day).unwrap_or_default();
        // Without a longer row that is older, nothing is gone.
        [(RowStep::Minute, RowStep::Quarter), (RowStep::Quarter, RowStep::Day)].map(|(step, longer)| {
            let longer = oldest(longer).unwrap_or(longest);
            oldest(step).filter(|from| *from > longer).unwrap_or_default()
        })
    }

    /// What is in memory, and the files that have the rest.
    pub(super) fn sight<'a>(
        &self,
        files: &Files,
        probes: &[ProbeId],
        (from, to): (u64, u64),
        stay: Option<RwLockReadGuard<'a, ()>>,
    ) -> LedgerSight<'a> {
        let is_in = |step: RowStep, begin: u64| begin < to && step.end(begin) > from;
        let (mut rows, mut seen) = (Vec::new(), HashMap::new());
        for WaitingRow { step, row } in &self.book.waiting {
            if is_in(*step, row.row.begin) && probes.binary_search(&row.probe).is_ok() {
                let seen = SeenRow::closed(*step, row.row, row.correction);
                rows.push((row.probe.clone(), seen));
            }
        }
        for id in probes {
            let Some(probe) = self.book.probe(id) else { continue };
            let (since, until) = (probe.trace.account().since().micros() / 1_000, probe.open.closed_until());
            let sum = |parts: [i64; 3]| parts.into_iter().fold(0, i64::saturating_add);
            seen.insert(id.clone(), SeenProbe { since, until, total_mj: probe.trace.register().map(sum) });
            for (step, row) in probe.open.rows().filter(|(step, row)| is_in(*step, row.begin)) {
                rows.push((id.clone(), SeenRow { step, end: until, row, is_correction: false }));
            }
        }
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        let of_time = self.parts.iter().filter(|((_, day), _)| {
            let begin = day.saturating_mul(DAY_MS);
            begin < to && begin.saturating_add(DAY_MS) > from
        });
        LedgerSight {
            position: self.position,
            kept_from: self.kept_from(),
            corrections: self.book.corrections,
            probes: seen,
            rows,
            parts: of_time.flat_map(|(_, parts)| parts).copied().collect(),
            files: files.clone(),
            _stay: stay,
        }
    }
}

impl LedgerSight<'_> {
    /// Hands over the rows of `probes` (in order of their ids) that begin in one of `ranges` (a step and Unix milliseconds):
    /// of a file that cannot be read none. Those of a probe come a good many at a time.
    pub(crate) fn rows(
        &self,
        probes: &[ProbeId],
        ranges: &[(RowStep, u64, u64)],
        mut each: impl FnMut(&ProbeId, SeenRow),
    ) -> Seen {
        let [minutes, quarters, days] = RowStep::ALL.map(|step| {
            let of_step = ranges.iter().filter(|(of, ..)| *of == step);
            Begins::of(of_step.map(|(_, from, to)| *from..*to))
        });
        let begins = |step: RowStep| match step {
            RowStep::Minute => &minutes,
            RowStep::Quarter => &quarters,
            RowStep::Day => &days,
        };
        if let (Some(first), Some(last)) = (probes.first(), probes.last()) {
            let begin = self.rows.partition_point(|(probe, _)| probe < first);
            let end = self.rows.partition_point(|(probe, _)| probe <= last);
            let near = self.rows.get(begin..end).unwrap_or_default();
            let in_time = near.iter().filter(|(_, seen)| begins(seen.step).has(seen.row.begin));
            in_time
                .filter(|(probe, _)| probes.binary_search(probe).is_ok())
                .for_each(|(probe, seen)| each(probe, *seen));
        }
        let mut seen = Seen::default();
        for part in &self.parts {
            let (begin, end) = of_day(part);
            let begins = begins(part.step);
            let extent = self.files.extent(part);
            if !begins.may_have(&extent.clone().unwrap_or(begin..=end.saturating_sub(1))) {
                continue;
            }
            let path = self.files.path(part);
            seen.files_read += 1;
            match File::open(&path).and_then(|file| table::decode(file, Wanted::Sorted(probes), begins)) {
                Ok(rows) => {
                    rows.each(begins, |probe, read| {
                        each(probe, SeenRow::closed(part.step, read.row, read.correction));
                    });
                    seen.rows_read += rows.rows_read;
                    if let (None, Some(found)) = (extent, rows.extent) {
                        self.files.note_extent(*part, found);
                    }
                }
                Err(error) => seen.unreadable.push(UnreadableRows {
                    step: part.step,
                    start: Timestamp::from_micros(begin.saturating_mul(1_000)),
                    end: Timestamp::from_micros(end.saturating_mul(1_000)),
                    cause: format!("{}: {error}", path.display()),
                }),
            }
        }
        seen
    }
}

impl SeenRow {
    fn closed(step: RowStep, row: Row, correction: u64) -> Self {
        Self { step, end: step.end(row.begin), row, is_correction: correction > 0 }
    }
}

/// The day of a part, in Unix milliseconds.
fn of_day(part: &Part) -> (u64, u64) {
    (part.day.saturating_mul(DAY_MS), part.day.saturating_add(1).saturating_mul(DAY_MS))
}
