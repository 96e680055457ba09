//! Writing: the rows that are done as parts, then what is open, with the position that both are true at.

use std::collections::BTreeMap;
use std::io;

use kwapi_core::{RowStep, Timestamp};

use super::book::WaitingRow;
use super::files::{Day, Part};
use super::table::{self, LedgerRow, order};
use super::{DAY_MS, Ledger, OPEN, OPEN_BEFORE, snapshot};

impl Ledger {
    /// Writes all that is done, then what is open with the position. Says whether that went well.
    ///
    /// # Errors
    /// When the disk refuses: all is kept in memory, and written next time.
    pub fn write(&self, wall: Timestamp) -> io::Result<()> {
        // Nothing is taken meanwhile: what is committed has its rows in files.
        let reader = self.reader.lock();
        let written = self.spill_now(wall).and_then(|()| self.commit());
        drop(reader);
        if let Err(error) = &written {
            self.note_trouble(&format!("the ledger cannot be written: {error}"));
        } else if self.upkeep.lock().trouble.take().is_some() {
            tracing::info!("the ledger is written again");
        }
        written
    }

    pub(super) fn note_trouble(&self, trouble: &str) {
        self.state.lock().counters.failures += 1;
        let mut upkeep = self.upkeep.lock();
        if upkeep.trouble.is_none() {
            tracing::error!("{trouble}; it is kept in the journal");
        }
        upkeep.trouble = Some(trouble.to_owned());
    }

    /// Writes the rows that are done as parts.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn spill(&self, wall: Timestamp) -> io::Result<()> {
        let _nothing_is_taken = self.reader.lock();
        self.spill_now(wall)
    }

    /// As [`Ledger::spill`], for who holds the reader.
    fn spill_now(&self, wall: Timestamp) -> io::Result<()> {
        // What a power failure would take from the journal must not be in the ledger.
        self.journal.sync(wall)?;
        let mut groups: BTreeMap<(RowStep, Day), Vec<LedgerRow>> = BTreeMap::new();
        {
            let mut state = self.state.lock();
            state.book.close_silent(wall.micros() / 1_000);
            for WaitingRow { step, row } in &state.book.waiting {
                groups.entry((*step, row.row.begin / DAY_MS)).or_default().push(row.clone());
            }
        }
        for ((step, day), mut rows) in groups {
            rows.sort_by(|left, right| order(left).cmp(&order(right)));
            let part = {
                let state = self.state.lock();
                let number = state.numbers.get(&(step, day)).copied().unwrap_or_default();
                Part { step, day, from: state.committed, number }
            };
            self.files.write_part(&part, &table::encode(&rows)?)?;
            let mut state = self.state.lock();
            state
                .book
                .waiting
                .retain(|waiting| (waiting.step, waiting.row.row.begin / DAY_MS) != (step, day));
            state.parts.entry((step, day)).or_default().push(part);
            *state.numbers.entry((step, day)).or_default() += 1;
            state.counters.rows += rows.len() as u64;
            state.counters.parts += 1;
        }
        Ok(())
    }

    /// Writes what is open, and the position it is true at.
    fn commit(&self) -> io::Result<()> {
        let (bytes, position) = {
            let state = self.state.lock();
            let is_whole = state.batch.is_none() && state.book.waiting.is_empty();
            if !is_whole || state.position == state.committed {
                return Ok(());
            }
            (snapshot::encode(state.position, state.book.corrections, &state.book.probes), state.position)
        };
        self.files.tree().replace(OPEN, OPEN_BEFORE, &bytes)?;
        let before = {
            let mut state = self.state.lock();
            state.numbers.clear();
            state.committed_before = state.committed;
            state.committed = position;
            state.committed_before
        };
        // The snapshot before must be able to do without this one.
        self.bookmark.commit(before)
    }
}
