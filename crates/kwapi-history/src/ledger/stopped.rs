//! The ledger of a service that does not run, read as it lies: nothing is written, repaired or removed.

use std::io;
use std::path::Path;

use kwapi_core::ProbeId;

use super::book::Book;
use super::files::Files;
use super::seen::LedgerSight;
use super::{OPEN, OPEN_BEFORE, State, snapshot};
use crate::journal::{OpenError, replay_files};
use crate::store::DirectoryLock;

/// Rows that the journal has beyond the files, at most: a service writes them every few minutes.
const ROWS_BEYOND_MAX: usize = 1 << 22;

/// The ledger in a directory of history that no process uses.
#[derive(Debug)]
pub struct StoppedLedger {
    files: Files,
    state: State,
    _lock: Option<DirectoryLock>,
}

impl StoppedLedger {
    /// Reads what is there: the last open rows, and what the journal has beyond them. Until it is dropped, no service
    /// starts on the directory.
    ///
    /// # Errors
    /// When a process uses it, or what is there cannot be read.
    pub fn open(home: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io(home.to_owned(), error);
        std::fs::metadata(home).map_err(failed)?;
        let lock = DirectoryLock::share(home)?;
        let files = Files::new(home, None);
        let mut state = State::default();
        let (mut is_there, mut found) = (false, None);
        for name in [OPEN, OPEN_BEFORE] {
            let Some(bytes) = files.tree().read(name).map_err(failed)? else { continue };
            is_there = true;
            found = snapshot::decode(&bytes);
            if found.is_some() {
                break;
            }
        }
        if is_there && found.is_none() {
            let why = "the open rows of the ledger are damaged; the service makes them again when it starts";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        if let Some((head, probes)) = found {
            state.book = Book::new(head.corrections, probes);
            state.position = head.position;
        }
        (state.parts, _) = files.list(state.position).map_err(failed)?;
        let (book, mut is_too_much) = (&mut state.book, false);
        let end = replay_files(home, state.position, |record| {
            is_too_much |= book.waiting.len() >= ROWS_BEYOND_MAX;
            if !is_too_much {
                book.take(record);
            }
        });
        state.position = end.map_err(failed)?;
        if is_too_much {
            let why = "the ledger is far behind its journal; start the service, which catches up";
            return Err(failed(io::Error::other(why)));
        }
        Ok(Self { files, state, _lock: lock })
    }

    /// All probes it has, in order of their ids.
    pub fn probes(&self) -> Vec<ProbeId> {
        let mut probes: Vec<_> = self.state.book.probes.iter().map(|probe| probe.id.clone()).collect();
        probes.sort_unstable();
        probes
    }

    /// The probes whose newest stamp is not before `at` (Unix milliseconds), in order of their ids.
    pub(crate) fn measured_since(&self, at: u64) -> Vec<ProbeId> {
        self.state.measured_since(at)
    }

    pub(crate) fn sight(&self, probes: &[ProbeId], from: u64, to: u64) -> LedgerSight<'static> {
        self.state.sight(&self.files, probes, (from, to), None)
    }
}
