//! Writing: the rows that are done as parts, then what is open, with the position that both are true at.

use std::collections::BTreeSet;
use std::io;

use kwapi_core::{RowStep, Timestamp};

use super::book::key;
use super::files::{Day, Part};
use super::table::{GROUP_ROWS, RowsWriter};
use super::{Ledger, OPEN, OPEN_BEFORE, snapshot};

/// Probes of a snapshot that are in memory at once as they are written.
const SNAPSHOT_PROBES: usize = 1 << 10;

impl Ledger {
    /// Writes all that is done, then what is open with the position. Returns whether that went well.
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
            tracing::info!("the ledger is writable again");
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
        let keys: BTreeSet<(RowStep, Day)> = {
            let mut state = self.state.lock();
            state.book.close_silent(wall.micros() / 1_000);
            state.book.waiting.iter().map(key).collect()
        };
        for (step, day) in keys {
            let (part, places) = {
                let state = self.state.lock();
                let number = state.numbers.get(&(step, day)).copied().unwrap_or_default();
                (Part { step, day, from: state.committed, number }, state.book.places(step, day))
            };
            let mut begins = (u64::MAX, 0);
            // A group at a time: a query meanwhile waits for none of it, and sees all rows.
            self.files.write_part(&part, |output| {
                let mut writer = RowsWriter::new(output)?;
                for places in places.chunks(GROUP_ROWS) {
                    let rows = self.state.lock().book.rows(places);
                    for row in &rows {
                        begins = (row.row.begin.min(begins.0), row.row.begin.max(begins.1));
                    }
                    writer.push(&rows)?;
                }
                writer.finish()
            })?;
            self.files.note_extent(part, begins.0..=begins.1);
            let mut state = self.state.lock();
            state.book.waiting.retain(|waiting| key(waiting) != (step, day));
            state.parts.entry((step, day)).or_default().push(part);
            *state.numbers.entry((step, day)).or_default() += 1;
            state.counters.rows += places.len() as u64;
            state.counters.parts += 1;
        }
        Ok(())
    }

    /// Writes what is open, and the position it is true at.
    fn commit(&self) -> io::Result<()> {
        let head = {
            let state = self.state.lock();
            let is_whole = state.batch.is_none() && state.book.waiting.is_empty();
            if !is_whole || state.position == state.committed {
                return Ok(());
            }
            (state.position, state.book.corrections, state.book.probes.len())
        };
        let (position, ..) = head;
        let mut begin = 0;
        self.files.tree().replace(OPEN, OPEN_BEFORE, |output| {
            snapshot::write(output, head, || {
                let state = self.state.lock();
                let probes = state.book.probes.get(begin..).unwrap_or_default();
                let probes = probes.get(..SNAPSHOT_PROBES).unwrap_or(probes);
                begin += probes.len();
                snapshot::entries(probes)
            })
        })?;
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
