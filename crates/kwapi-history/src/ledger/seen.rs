//! What the ledger has of some time: the rows in files, those that wait to be written, and those that are open.

use std::collections::HashMap;
use std::io;

use kwapi_core::{ProbeId, RowStep};

use super::book::WaitingRow;
use super::files::{Day, Part};
use super::table::{self, LedgerRow, Wanted};
use super::{DAY_MS, Ledger};
use crate::journal::Position;

/// What of the ledger answers a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// All before it is in the rows.
    pub(crate) position: Position,
    pub(crate) rows: Vec<SeenRow>,
    /// Of each probe that is known: since when, and up to which stamp.
    pub(crate) spans: HashMap<ProbeId, (u64, u64)>,
    /// Files that could not be read, and why.
    pub(crate) unreadable: Vec<String>,
}

/// A row, and where what it has ends: an open row's is the newest stamp.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeenRow {
    pub(crate) step: RowStep,
    pub(crate) end: u64,
    pub(crate) row: LedgerRow,
}

impl Ledger {
    /// Where the oldest minutes and quarter hours begin that are kept, in Unix milliseconds: what was before is in longer
    /// rows alone.
    pub(crate) fn kept_from(&self) -> [u64; 2] {
        let state = self.state.lock();
        let oldest = |step| {
            let (first, _) = state.parts.range((step, 0)..=(step, Day::MAX)).next()?;
            Some(first.1.saturating_mul(DAY_MS))
        };
        let longest = oldest(RowStep::Day).unwrap_or_default();
        // Without a longer row that is older, nothing is gone.
        [(RowStep::Minute, RowStep::Quarter), (RowStep::Quarter, RowStep::Day)].map(|(step, longer)| {
            let longer = oldest(longer).unwrap_or(longest);
            oldest(step).filter(|from| *from > longer).unwrap_or_default()
        })
    }

    /// The rows of `probes` (in order of their ids) that begin in one of `spans`: a step and Unix milliseconds.
    pub(crate) fn rows(&self, probes: &[ProbeId], spans: &[(RowStep, u64, u64)]) -> Seen {
        // A merge may take a file away between the list and its opening: then all is asked again.
        for _ in 0..3 {
            let (mut seen, parts) = self.look(probes, spans);
            let mut is_moved = false;
            for part in parts {
                let path = self.files.path(&part);
                let rows = std::fs::read(&path)
                    .and_then(|bytes| table::decode(bytes.into(), Wanted::Sorted(probes)));
                match rows {
                    Ok(rows) => {
                        let of_span = rows.into_iter().filter(|row| is_in(spans, part.step, row.row.begin));
                        seen.rows.extend(of_span.map(|row| SeenRow::closed(part.step, row)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        is_moved = true;
                        seen.unreadable.push(format!("{}: {error}", path.display()));
                    }
                    Err(error) => seen.unreadable.push(format!("{}: {error}", path.display())),
                }
            }
            if !is_moved {
                return seen;
            }
        }
        let (mut seen, parts) = self.look(probes, spans);
        seen.unreadable = parts.iter().map(|part| self.files.path(part).display().to_string()).collect();
        seen
    }

    /// What is in memory, and the files that have the rest.
    fn look(&self, probes: &[ProbeId], spans: &[(RowStep, u64, u64)]) -> (Seen, Vec<Part>) {
        let state = self.state.lock();
        let mut seen = Seen { position: state.position, ..Seen::default() };
        for WaitingRow { step, row } in &state.book.waiting {
            if probes.binary_search(&row.probe).is_ok() && is_in(spans, *step, row.row.begin) {
                seen.rows.push(SeenRow::closed(*step, row.clone()));
            }
        }
        for id in probes {
            let Some(probe) = state.book.probe(id) else { continue };
            let (since, until) = (probe.trace.account().since().micros() / 1_000, probe.open.closed_until());
            seen.spans.insert(id.clone(), (since, until));
            for (step, row) in probe.open.rows().filter(|(step, row)| is_in(spans, *step, row.begin)) {
                let row = LedgerRow { probe: id.clone(), row, correction: 0, cause: None };
                seen.rows.push(SeenRow { step, end: until, row });
            }
        }
        let is_wanted = |(step, day): &(RowStep, Day)| {
            let (from, to) = (day.saturating_mul(DAY_MS), day.saturating_add(1).saturating_mul(DAY_MS));
            spans.iter().any(|(of, begin, end)| of == step && *begin < to && *end > from)
        };
        let wanted = state.parts.iter().filter(|(key, _)| is_wanted(key));
        let parts = wanted.flat_map(|(_, parts)| parts).copied().collect();
        (seen, parts)
    }
}

impl SeenRow {
    fn closed(step: RowStep, row: LedgerRow) -> Self {
        Self { step, end: step.end(row.row.begin), row }
    }
}

fn is_in(spans: &[(RowStep, u64, u64)], step: RowStep, begin: u64) -> bool {
    spans.iter().any(|(of, from, to)| *of == step && (*from..*to).contains(&begin))
}
