//! The energy ledger: the journal's reader that keeps what each probe used in each minute, quarter hour and day.
//!
//! Rows are derived by `kwapi_core::Trace` and `OpenRows`. Those that are done wait in memory until they are written as
//! Parquet, at most `write_interval` later, in files that are never changed; what is open is in memory, and with the
//! position in the journal in `ledger-open`. A write goes in this order: parts, each synced and renamed into place;
//! `ledger-open`; the reader's place. Whatever a kill leaves of it, the next process begins at the position in
//! `ledger-open`, and removes and derives again what came after.

mod book;
mod counters;
mod files;
mod merge;
mod seen;
mod snapshot;
mod stopped;
mod table;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use kwapi_core::{ProbeId, RowStep, Timestamp};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::journal::{Bookmark, Delivery, Journal, Need, OpenError, Position, Reader, Records};
use crate::reader_thread::{JournalConsumer, ReaderThread};

pub use counters::LedgerCounters;
pub use seen::UnreadableRows;
pub(crate) use seen::{LedgerSight, SeenProbe, SeenRow};
pub use stopped::StoppedLedger;
pub use table::LedgerRow;

use book::Book;
use files::{Day, Files, Gate, Part};

/// The journal's reader that keeps the ledger.
const READER: &str = "ledger";
/// What is in memory, the one before it.
const OPEN: &str = "ledger-open";
const OPEN_BEFORE: &str = "ledger-open.before";
/// Rows that wait to be written. Full: they are written, or the journal is not read on.
const WAITING_MAX: usize = 1 << 17;
const DAY_MS: u64 = 86_400_000;

/// How the ledger is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// How long minutes are kept.
    pub minutes_kept: Duration,
    /// How long quarter hours are kept. Days are kept for ever.
    pub quarters_kept: Duration,
    /// How far files may trail, and how much of the journal a start reads again.
    pub write_interval: Duration,
}

impl Default for LedgerConfig {
    /// 7 days, 400 days; written every five minutes.
    fn default() -> Self {
        Self {
            minutes_kept: Duration::from_secs(7 * 86_400),
            quarters_kept: Duration::from_secs(400 * 86_400),
            write_interval: Duration::from_secs(300),
        }
    }
}

/// The open ledger over a journal. All its methods may be called from several threads.
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    journal: Journal,
    files: Files,
    /// Read by answers: while there are any, no file is removed. Taken before `state` where both are.
    files_stay: RwLock<()>,
    reader: Mutex<Reader>,
    bookmark: Bookmark,
    /// Taken after `reader` where both are. Who has the reader takes records and writes, nobody else.
    state: Mutex<State>,
    /// Woken when `state.reached` has risen.
    moved: Condvar,
    upkeep: Mutex<Upkeep>,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    /// What has been taken of a batch that made too many rows at once.
    batch: Option<Batch>,
    /// All before it is in `book` and files.
    position: Position,
    /// The same, or the journal's end where nothing lies between the two.
    reached: Position,
    /// What `ledger-open` holds, and the one before.
    committed: Position,
    committed_before: Position,
    parts: BTreeMap<(RowStep, Day), Vec<Part>>,
    /// Those of them that cannot be read, and are not merged.
    left_out: BTreeSet<Part>,
    /// How many parts of a step and day were written since `committed`.
    numbers: HashMap<(RowStep, Day), u32>,
    newest: Timestamp,
    counters: LedgerCounters,
}

#[derive(Debug)]
struct Batch {
    records: Records,
    next: usize,
    end: Position,
}

#[derive(Debug, Default)]
struct Upkeep {
    written: Duration,
    /// Why the ledger could last not be written or the journal not be read.
    trouble: Option<String>,
    /// When files are merged again that could last not be, on the process's clock.
    merge_again: Option<Duration>,
}

/// What [`Ledger::take`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Took {
    Nothing,
    Some,
    /// Rows must be written first.
    Full,
}

impl Ledger {
    /// Opens the ledger in the journal's directory and takes from the journal what it does not have.
    ///
    /// # Errors
    /// When the disk does not give what is there.
    pub fn open(config: LedgerConfig, journal: &Journal) -> Result<Self, OpenError> {
        Self::open_through(config, journal, None)
    }

    fn open_through(config: LedgerConfig, journal: &Journal, gate: Option<Gate>) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io(journal.home().to_owned(), error);
        let files = Files::new(journal.home(), gate);
        let reader = journal.reader(READER, Need::Required);
        let mut state = State::default();
        let (found, damaged) =
            files.tree().read_whole([OPEN, OPEN_BEFORE], snapshot::decode).map_err(failed)?;
        state.counters.snapshots_damaged = damaged;
        let is_new = found.is_none();
        let position = match found {
            Some((head, probes)) => {
                state.book = Book::new(head.corrections, probes);
                head.position
            }
            None => reader.committed(),
        };
        (state.position, state.committed, state.committed_before) = (position, position, reader.committed());
        state.parts = files.open(position).map_err(failed)?;
        if is_new && !state.parts.is_empty() {
            tracing::error!(
                "the ledger has lost its open rows: energy used in them, and until each probe's next message, is missing"
            );
        }
        let bookmark = journal.bookmark(READER, Need::Required);
        let ledger = Self {
            config,
            journal: journal.clone(),
            files,
            files_stay: RwLock::default(),
            reader: Mutex::new(reader),
            bookmark,
            state: Mutex::new(state),
            moved: Condvar::new(),
            upkeep: Mutex::default(),
        };
        Ok(ledger)
    }

    /// The position in the journal up to which the ledger in `home` has it: what is appended must come after it, even
    /// where the journal was lost.
    pub fn position_in(home: &Path) -> Position {
        let head = |name: &str| {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(home.join(name)).ok()?;
            file.take(snapshot::HEAD_BYTES_MAX).read_to_end(&mut bytes).ok()?;
            snapshot::position(&bytes)
        };
        [OPEN, OPEN_BEFORE].into_iter().filter_map(head).max().unwrap_or_default()
    }

    /// Takes what is in the journal now; writes where much of that is done.
    pub fn catch_up(&self, wall: Timestamp) {
        loop {
            match self.take(Duration::ZERO) {
                Took::Some => {}
                Took::Nothing => return,
                Took::Full => {
                    if self.spill(wall).is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes the next batch, or what is left of one, waiting up to `timeout`.
    fn take(&self, timeout: Duration) -> Took {
        let mut reader = self.reader.lock();
        if self.state.lock().batch.is_none() {
            let end = self.journal.end();
            let delivery = match reader.next(timeout) {
                Ok(None) => {
                    self.has_reached(&mut self.state.lock(), end);
                    return Took::Nothing;
                }
                Ok(Some(delivery)) => delivery,
                Err(error) => {
                    drop(reader);
                    self.note_trouble(&format!("the journal cannot be read: {error}"));
                    self.journal.wait(timeout);
                    return Took::Nothing;
                }
            };
            let mut state = self.state.lock();
            match delivery {
                // Taken before the snapshot was.
                Delivery::Records(_, end) if end <= state.position => return Took::Some,
                Delivery::Records(records, end) => state.batch = Some(Batch { records, next: 0, end }),
                Delivery::Lost(lost) => {
                    state.counters.losses += 1;
                    tracing::warn!(
                        cause = ?lost.cause, records = ?lost.records, after = ?lost.after, before = ?lost.before,
                        "part of the journal is missing from the ledger: its energy is spread from the message before it to the one after"
                    );
                    return Took::Some;
                }
            }
        }
        let mut state = self.state.lock();
        let took = state.work();
        let position = state.position;
        self.has_reached(&mut state, position);
        took
    }

    fn has_reached(&self, state: &mut State, position: Position) {
        if position > state.reached {
            state.reached = position;
            self.moved.notify_all();
        }
    }

    /// Waits until it has all that is in the journal now, for `limit` at most: what somebody has seen elsewhere is in the
    /// next answer.
    pub(crate) fn keep_up(&self, limit: Duration) {
        let end = self.journal.end();
        let mut state = self.state.lock();
        self.moved.wait_while_for(&mut state, |state| state.reached < end, limit);
    }

    /// Running totals.
    pub fn counters(&self) -> LedgerCounters {
        let state = self.state.lock();
        LedgerCounters {
            probes: state.book.probes.len() as u64,
            waiting: state.book.waiting.len() as u64,
            corrections: state.book.corrections,
            unplaced_mj: state.book.unplaced_mj,
            files: state.parts.values().map(|parts| parts.len() as u64).sum(),
            ..state.counters
        }
    }

    /// What keeps the ledger from being written, for readiness checks.
    pub fn trouble(&self) -> Option<String> {
        self.upkeep.lock().trouble.clone()
    }

    /// Up to where in the journal the ledger has it.
    pub fn position(&self) -> Position {
        self.state.lock().position
    }

    /// All probes it has, in order of their ids.
    pub fn probes(&self) -> Vec<ProbeId> {
        let mut probes: Vec<_> = self.state.lock().book.probes.iter().map(|probe| probe.id.clone()).collect();
        probes.sort_unstable();
        probes
    }
}

/// The thread that keeps a ledger.
pub type LedgerWriter = ReaderThread<Ledger>;

impl JournalConsumer for Ledger {
    const THREAD: &'static str = "ledger";

    fn follow(&self, limit: Duration, wall: &dyn Fn() -> Timestamp) {
        let begun = Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            if self.take(left) == Took::Full && self.spill(wall()).is_err() {
                self.journal.wait(left);
            }
            if left.is_zero() {
                return;
            }
        }
    }

    /// Writes, forgets what need not be kept and merges.
    fn tick(&self, now: Duration, wall: Timestamp) {
        let is_due = now.saturating_sub(self.upkeep.lock().written) >= self.config.write_interval
            || self.state.lock().book.waiting.len() > WAITING_MAX / 2;
        if !is_due {
            return;
        }
        self.upkeep.lock().written = now;
        if self.write(wall).is_ok() {
            self.retain(wall);
            self.merge_if_due(now, wall);
        }
    }

    fn finish(&self, wall: Timestamp) -> bool {
        self.catch_up(wall);
        self.write(wall).is_ok()
    }
}

impl State {
    /// Takes on the batch at hand until it is done or the rows are many.
    fn work(&mut self) -> Took {
        let Some(batch) = &mut self.batch else { return Took::Nothing };
        while let Some(record) = batch.records.get(batch.next) {
            if self.book.waiting.len() >= WAITING_MAX {
                return Took::Full;
            }
            self.book.take(record);
            self.newest = self.newest.max(record.at);
            batch.next += 1;
        }
        self.position = batch.end;
        self.batch = None;
        Took::Some
    }
}

#[cfg(test)]
pub(crate) mod tests;
