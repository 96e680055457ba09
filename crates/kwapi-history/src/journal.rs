//! The journal: every message an account credited, in order, in append-only files; a log with readers. All else of
//! history is made by a reader from it, and can be made again as far back as it is kept.
//!
//! A batch is appended whole or not at all, and is then the operating system's: a process killed with SIGKILL loses
//! nothing of it. What a power failure leaves is what [`Journal::sync`] had returned for.
//!
//! A **reader** has a name and a place. It is woken by an append, gets batches from memory while it keeps up and from
//! the disk otherwise, and commits its place once what it makes of them is on the disk. Readers neither depend on nor
//! slow each other. A reader gets a report of each stretch that it does not get, see [`Lost`].
//!
//! **What is kept.** A segment is deleted once it is older than [`JournalConfig::age_max`] and every reader has
//! committed it. Required readers hold segments up to [`JournalConfig::bytes_max`], an optional one up to its own
//! smaller limit; near a full disk what only optional readers lack goes first.
//!
//! **Damage.** Blocks of at most 64 KiB stand alone: a damaged one costs itself and is kept aside.

mod block;
pub(crate) mod codec;
mod damage;
mod open;
mod position;
mod reader;
mod record;
mod released;
mod retention;
mod segment;
mod state;
mod writer;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use parking_lot::{Condvar, Mutex};

pub use damage::{LossCause, Lost};
pub use open::{OpenError, Opened};
pub use position::Position;
pub(crate) use reader::replay_files;
pub use reader::{Bookmark, Delivery, Reader, Replayed};
pub use record::{Credited, Taken};
pub use state::JournalCounters;

use crate::store::DirectoryLock;
use open::open_files;
#[cfg(any(test, feature = "fuzzing"))]
use segment::{SegmentReader, Step};
use state::JournalState;
use writer::Writer;

/// The folder of segments and positions in the directory of history.
const FOLDER: &str = "journal";
/// How often what was appended should be forced to the disk at least.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// Bytes on disk. Full: the oldest segment is deleted and counted, and readers that lack it get a report.
    pub bytes_max: u64,
    /// A segment closed longer ago than this is deleted once every reader has committed it.
    pub age_max: Duration,
    /// Free bytes of the file system below which it counts as nearly full; 2 % of it where that is less.
    pub free_bytes_min: u64,
    /// A position known from elsewhere (a snapshot of accounts): what is appended comes after it, even where the
    /// journal was lost.
    pub known: Position,
}

impl Default for JournalConfig {
    /// 1 GiB and a day; 64 MiB free.
    fn default() -> Self {
        Self {
            bytes_max: 1 << 30,
            age_max: Duration::from_secs(86_400),
            free_bytes_min: 64 << 20,
            known: Position::default(),
        }
    }
}

/// What a reader's lack of a segment is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Segments are kept for it up to [`JournalConfig::bytes_max`].
    Required,
    /// Segments are kept for it while it is behind by no more than this, and there is room.
    Optional {
        /// In bytes.
        bytes_max: u64,
    },
}

/// Records as they were appended together.
pub type Records = Arc<Vec<Credited>>;

/// The open journal of one directory. Clones are the same journal; all may be used at once.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The directory of history, which is locked…
    home: PathBuf,
    /// …and the folder in it.
    directory: PathBuf,
    config: JournalConfig,
    lock: Mutex<Option<DirectoryLock>>,
    /// Taken before `state` where both are.
    writer: Mutex<Writer>,
    state: Mutex<JournalState>,
    appended: Condvar,
}

impl Journal {
    /// Takes `directory` (that of history: the journal is a folder in it), opens the journal there, or begins one. What
    /// a crash left of an append is cut off; what is appended goes to a new segment. A full or read-only disk does not
    /// prevent it: appends fail then.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        directory: &Path,
        config: JournalConfig,
        now: Timestamp,
    ) -> Result<(Self, Opened), OpenError> {
        let failed = |error| OpenError::Io(directory.to_owned(), error);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let lock = DirectoryLock::take(directory)?;
        let folder = directory.join(FOLDER);
        let created = std::fs::create_dir_all(&folder);
        let (state, number, opened) = open_files(&folder, config, now).map_err(failed)?;
        if let (Err(error), true) = (created, state.closed.is_empty()) {
            tracing::error!(%error, directory = %folder.display(), "cannot create the journal");
        }
        let shared = Shared {
            home: directory.to_owned(),
            directory: folder,
            config,
            lock: Mutex::new(Some(lock)),
            writer: Mutex::new(Writer::new(number)),
            state: Mutex::new(state),
            appended: Condvar::new(),
        };
        {
            let mut writer = shared.writer.lock();
            let begun = writer.begin_segment(&shared, now);
            if let Err(error) = begun {
                tracing::error!(%error, "cannot append to the journal");
                shared.state.lock().append_trouble = Some(format!("cannot write the journal: {error}"));
            }
        }
        Ok((Self { shared: Arc::new(shared) }, opened))
    }

    /// Appends a batch: when this returns, the operating system has all of it. `now` decides whether a segment is due.
    /// Returns the position after it.
    ///
    /// # Errors
    /// When the disk refuses: nothing of the batch is in the journal then, and it may be tried again.
    pub fn append(&self, records: &Records, now: Timestamp) -> io::Result<Position> {
        if records.is_empty() {
            return Ok(self.end());
        }
        let mut writer = self.shared.writer.lock();
        let mut appended = writer.append(&self.shared, records, now);
        if appended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
            && self.shared.make_room(now)
        {
            appended = writer.append(&self.shared, records, now);
        }
        let mut state = self.shared.state.lock();
        match &appended {
            Ok(position) => {
                state.append(records, *position);
                drop(state);
                self.shared.appended.notify_all();
            }
            Err(error) => {
                state.counters.failures += 1;
                state.append_trouble = Some(format!("cannot write the journal: {error}"));
            }
        }
        appended
    }

    /// Forces what was appended to the disk, and deletes what need not be kept any longer. Returns the position up to
    /// which all survives a power failure. Waits for the disk without keeping appends waiting.
    ///
    /// # Errors
    /// When the disk refuses; the position before stands.
    pub fn sync(&self, now: Timestamp) -> io::Result<Position> {
        let pending = self.shared.writer.lock().pending_sync(self.end());
        let synced = pending.sync(&self.shared.directory);
        let mut writer = self.shared.writer.lock();
        match synced {
            Ok(()) => {
                let durable = writer.synced(pending);
                drop(writer);
                let mut state = self.shared.state.lock();
                (state.removed, state.sync_trouble) = (false, None);
                drop(state);
                self.shared.retain(now);
                Ok(durable)
            }
            Err(error) => {
                writer.sync_failed(pending);
                let mut state = self.shared.state.lock();
                state.counters.failures += 1;
                state.sync_trouble = Some(format!("cannot sync the journal: {error}"));
                Err(error)
            }
        }
    }

    /// The end: where the next batch will be.
    pub fn end(&self) -> Position {
        self.shared.state.lock().end
    }

    /// The oldest position there is.
    pub fn begin(&self) -> Position {
        self.shared.state.lock().first()
    }

    /// Hands over all that is in the journal now from `from` on, whatever version wrote it; all there is with the
    /// default position. What cannot be read is skipped and reported.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn replay(&self, from: Position, each: impl FnMut(&Credited)) -> io::Result<Replayed> {
        reader::replay(&self.shared, from..self.end(), u64::MAX, each)
    }

    /// As [`Journal::replay`], of what lies before the end of `range`, and no further than the batch with which `bytes_max`
    /// bytes have been read.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn replay_part(
        &self,
        range: Range<Position>,
        bytes_max: u64,
        each: impl FnMut(&Credited),
    ) -> io::Result<Replayed> {
        reader::replay(&self.shared, range, bytes_max, each)
    }

    /// How many bytes are kept from `from` to `to`; from the oldest with the default position.
    pub(crate) fn bytes_between(&self, from: Position, to: Position) -> u64 {
        self.shared.state.lock().bytes_between(from, to)
    }

    /// The reader called `name` (a name of ours, of letters and dashes), at the place it has committed; a new one at the oldest
    /// record there is.
    pub fn reader(&self, name: &'static str, need: Need) -> Reader {
        Reader::new(self.bookmark(name, need))
    }

    /// As [`Journal::reader`], for one that reads by [`Journal::replay`] alone and only keeps its place here.
    pub fn bookmark(&self, name: &'static str, need: Need) -> Bookmark {
        Bookmark::new(Arc::clone(&self.shared), name, need)
    }

    /// Running totals.
    pub fn counters(&self) -> JournalCounters {
        let state = self.shared.state.lock();
        JournalCounters { bytes: state.bytes(), ..state.counters }
    }

    /// What keeps the journal from doing its work, for readiness checks: the last append or
    /// sync failed, or its directory was removed and what was appended since is not yet on the disk.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state.lock().trouble()
    }

    /// Waits for the next append, for so long at most.
    pub(crate) fn wait(&self, timeout: Duration) {
        self.shared.appended.wait_for(&mut self.shared.state.lock(), timeout);
    }

    /// The directory of history.
    pub fn home(&self) -> &Path {
        &self.shared.home
    }
}

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
}

/// Where the journal of a directory of history is.
pub(crate) fn folder(home: &Path) -> PathBuf {
    home.join(FOLDER)
}

/// The segments of the journal in a directory of history, oldest first.
pub(crate) fn segments(home: &Path) -> io::Result<Vec<SegmentFile>> {
    let folder = folder(home);
    let numbers = segment::list(&folder)?.into_iter();
    Ok(numbers.map(|number| SegmentFile { number, path: segment::path(&folder, number) }).collect())
}

/// Reads bytes from anywhere as a segment; for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn exercise(bytes: &[u8]) -> usize {
    let mut count = 0;
    if let Ok(mut reader) = SegmentReader::new(bytes, 0, 0) {
        while let Ok(step) = reader.next(bytes.len() as u64) {
            match step {
                Step::Batch { records, .. } => count += records.len(),
                Step::Lost { .. } => {}
                Step::Torn { .. } | Step::End => break,
            }
        }
    }
    // Blocks are guarded by their CRC; see what the codecs make of bytes that are not.
    for records in [
        record::RecordDecoder::default().block(bytes, usize::from(u16::MAX)),
        record::RecordDecoder::default().block(bytes, 1),
        released::ReleasedDecoder::default().block(bytes, crc32fast::hash(bytes)),
    ] {
        count += records.map_or(0, |records| records.len());
    }
    count
}

#[cfg(test)]
mod tests;
