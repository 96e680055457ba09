//! What the ledger has of some time: the rows in files, those that wait to be written, and those that are open.

use std::collections::HashMap;

use kwapi_core::{ProbeId, RowStep, Timestamp};
use parking_lot::RwLockReadGuard;

use super::book::WaitingRow;
use super::files::{Day, Files, Part};
use super::table::{self, LedgerRow, Wanted};
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
    rows: Vec<SeenRow>,
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

/// What of it answers a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) rows: Vec<SeenRow>,
    pub(crate) unreadable: Vec<UnreadableRows>,
}

/// A row, and where what it has ends: an open row's is the newest stamp.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenRow {
    pub(crate) step: RowStep,
    pub(crate) end: u64,
    pub(crate) row: LedgerRow,
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
}

impl State {
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
                rows.push(SeenRow::closed(*step, row.clone()));
            }
        }
        for id in probes {
            let Some(probe) = self.book.probe(id) else { continue };
            let (since, until) = (probe.trace.account().since().micros() / 1_000, probe.open.closed_until());
            let sum = |parts: [i64; 3]| parts.into_iter().fold(0, i64::saturating_add);
            seen.insert(id.clone(), SeenProbe { since, until, total_mj: probe.trace.register().map(sum) });
            for (step, row) in probe.open.rows().filter(|(step, row)| is_in(*step, row.begin)) {
                let row = LedgerRow { probe: id.clone(), row, correction: 0, cause: None };
                rows.push(SeenRow { step, end: until, row });
            }
        }
        rows.sort_by(|left, right| left.row.probe.cmp(&right.row.probe));
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
    /// The rows of `probes` (in order of their ids) that begin in one of `ranges`: a step and Unix milliseconds.
    pub(crate) fn rows(&self, probes: &[ProbeId], ranges: &[(RowStep, u64, u64)]) -> Seen {
        let mut seen = Seen::default();
        if let (Some(first), Some(last)) = (probes.first(), probes.last()) {
            let begin = self.rows.partition_point(|row| row.row.probe < *first);
            let end = self.rows.partition_point(|row| row.row.probe <= *last);
            let near = self.rows.get(begin..end).unwrap_or_default();
            let wanted = near.iter().filter(|row| is_in(ranges, row.step, row.row.row.begin));
            seen.rows.extend(wanted.filter(|row| probes.binary_search(&row.row.probe).is_ok()).cloned());
        }
        for part in &self.parts {
            let (begin, end) = of_day(part);
            if !ranges.iter().any(|(step, from, to)| *step == part.step && *from < end && *to > begin) {
                continue;
            }
            let path = self.files.path(part);
            let rows =
                std::fs::File::open(&path).and_then(|file| table::decode(file, Wanted::Sorted(probes)));
            match rows {
                Ok(rows) => {
                    let wanted = rows.into_iter().filter(|row| is_in(ranges, part.step, row.row.begin));
                    seen.rows.extend(wanted.map(|row| SeenRow::closed(part.step, row)));
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
    fn closed(step: RowStep, row: LedgerRow) -> Self {
        Self { step, end: step.end(row.row.begin), row }
    }
}

/// The day of a part, in Unix milliseconds.
fn of_day(part: &Part) -> (u64, u64) {
    (part.day.saturating_mul(DAY_MS), part.day.saturating_add(1).saturating_mul(DAY_MS))
}

fn is_in(ranges: &[(RowStep, u64, u64)], step: RowStep, begin: u64) -> bool {
    ranges.iter().any(|(of, from, to)| *of == step && (*from..*to).contains(&begin))
}
