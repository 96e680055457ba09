//! The samples: the journal's reader that keeps each message's power, and what the meter reports besides, as Parquet.
//!
//! Samples wait in memory, about seven bytes each, until they are written: a file for each hour they are of, sorted by
//! probe and time. A write goes in this order: parts, each synced and renamed into place; `samples-place`; the reader's
//! place. Whatever a kill leaves of it, the next process begins at the position in `samples-place`, and removes and
//! writes again what came after.

mod buffer;
mod counters;
mod elsewhere;
mod files;
mod merge;
mod place;
mod remote;
mod sample;
mod seen;
mod stopped;
mod table;
mod upload;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use kwapi_core::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::journal::{Bookmark, Delivery, Journal, Need, OpenError, Position, Reader};
use crate::reader_thread::{JournalConsumer, ReaderThread};
use crate::tree::Gate;

pub use counters::SamplesCounters;
pub use elsewhere::UnreadableSamples;
pub use remote::ObjectReader;
pub use sample::SampleRow;
pub(crate) use sample::held_mj;
pub use seen::{SamplesError, SamplesFile, SamplesPage};
pub use stopped::StoppedSamples;
pub use upload::SampleUpload;

use buffer::SampleBuffer;
use files::{SampleFiles, SamplePart};
use sample::{Hour, hour_of};
use upload::Uploads;
use uploads::UploadLog;

/// The journal's reader that keeps samples.
const READER: &str = "samples";
/// Up to where the files have it, and the one before it.
const PLACE: &str = "samples-place";
const PLACE_BEFORE: &str = "samples-place.before";
/// Hours that samples waiting are of. More: they are written, as each costs a file and a pass.
const WAITING_HOURS_MAX: usize = 24;

/// How samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplesConfig {
    /// How long they are kept.
    pub kept: Duration,
    /// Bytes on disk. More: the oldest hours are removed.
    pub bytes_max: u64,
    /// How far files may trail, and how much of the journal a start reads again.
    pub write_interval: Duration,
    /// Bytes in memory that wait to be written, about seven a sample. Full: they are written, or the journal is not read on.
    pub waiting_bytes_max: usize,
}

impl Default for SamplesConfig {
    /// 30 days, 4 GiB; written every five minutes, or 40 MiB.
    fn default() -> Self {
        Self {
            kept: Duration::from_secs(30 * 86_400),
            bytes_max: 4 << 30,
            write_interval: Duration::from_secs(300),
            waiting_bytes_max: 40 << 20,
        }
    }
}

/// The samples kept from a journal. All methods may be called from several threads.
#[derive(Debug)]
pub struct Samples {
    config: SamplesConfig,
    journal: Journal,
    files: SampleFiles,
    uploads: Uploads,
    /// Taken first. Who has the reader takes records and writes, nobody else.
    reader: Mutex<Reader>,
    bookmark: Bookmark,
    /// Taken before `state` where both are.
    buffer: RwLock<SampleBuffer>,
    state: Mutex<SamplesState>,
    upkeep: Mutex<SamplesUpkeep>,
}

#[derive(Debug, Default)]
struct SamplesState {
    /// All before it is in `buffer` and files.
    position: Position,
    /// All before it is in files.
    written: Position,
    /// What `samples-place` holds, and the one before.
    committed: Position,
    committed_before: Position,
    parts: BTreeMap<Hour, Vec<SamplePart>>,
    /// Parts that cannot be read, and are not merged.
    left_out: BTreeSet<SamplePart>,
    /// Hours with nothing to be merged.
    looked_at: BTreeSet<Hour>,
    newest: Timestamp,
    counters: SamplesCounters,
}

#[derive(Debug, Default)]
struct SamplesUpkeep {
    written: Duration,
    /// Why samples could last not be written or the journal not be read.
    trouble: Option<String>,
    /// When files are merged again that could last not be, on the process's clock.
    merge_again: Option<Duration>,
}

impl Samples {
    /// Opens the samples in the journal's directory.
    ///
    /// # Errors
    /// When the disk does not give what is there.
    pub fn open(config: SamplesConfig, journal: &Journal) -> Result<Self, OpenError> {
        Self::open_through(config, journal, None)
    }

    fn open_through(config: SamplesConfig, journal: &Journal, gate: Option<Gate>) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io(journal.home().to_owned(), error);
        let files = SampleFiles::new(journal.home(), gate.clone());
        let reader = journal.reader(READER, Need::Required);
        let mut state = SamplesState::default();
        let (found, damaged) =
            files.tree().read_whole([PLACE, PLACE_BEFORE], place::decode).map_err(failed)?;
        state.counters.places_damaged = damaged;
        let position = found.unwrap_or(reader.committed());
        (state.position, state.written) = (position, position);
        (state.committed, state.committed_before) = (position, reader.committed());
        state.parts = files.open(position).map_err(failed)?;
        let log = UploadLog::new(journal.home(), gate);
        let uploads = Uploads::open(log, &state.parts).map_err(failed)?;
        let bookmark = journal.bookmark(READER, Need::Required);
        Ok(Self {
            config,
            journal: journal.clone(),
            files,
            uploads,
            reader: Mutex::new(reader),
            bookmark,
            buffer: RwLock::default(),
            state: Mutex::new(state),
            upkeep: Mutex::default(),
        })
    }

    /// The position in the journal up to which the samples in `home` may have it: what is appended must come after it,
    /// even where the journal was lost.
    pub fn position_in(home: &Path) -> Position {
        let files = SampleFiles::new(home, None);
        let place = |name: &str| place::decode(&files.tree().read(name).ok().flatten()?);
        let places = [PLACE, PLACE_BEFORE].into_iter().filter_map(place);
        places.chain(files.newest()).max().unwrap_or_default()
    }

    /// Takes what is in the journal now; writes where that is much.
    pub fn catch_up(&self, wall: Timestamp) {
        loop {
            let is_stuck = self.is_full() && self.write(wall).is_err();
            if is_stuck || !self.take(Duration::ZERO) {
                return;
            }
        }
    }

    fn is_full(&self) -> bool {
        let buffer = self.buffer.read();
        buffer.bytes() >= self.config.waiting_bytes_max || buffer.hours().len() > WAITING_HOURS_MAX
    }

    /// Takes the next batch, waiting up to `timeout`; returns whether there was one.
    fn take(&self, timeout: Duration) -> bool {
        let mut reader = self.reader.lock();
        match reader.next(timeout) {
            Ok(None) => false,
            Ok(Some(Delivery::Records(records, end))) => {
                let mut buffer = self.buffer.write();
                let mut state = self.state.lock();
                // What the place has may be ahead of what the journal has recorded of its reader.
                if end > state.position {
                    for record in records.iter() {
                        buffer.push(&record.probe, &SampleRow::of(record));
                        state.newest = state.newest.max(record.at);
                    }
                    state.position = end;
                }
                true
            }
            Ok(Some(Delivery::Lost(lost))) => {
                self.state.lock().counters.losses += 1;
                tracing::warn!(
                    cause = ?lost.cause, records = ?lost.records, after = ?lost.after, before = ?lost.before,
                    "part of the journal is missing from the samples"
                );
                true
            }
            Err(error) => {
                drop(reader);
                self.note_trouble(&format!("the journal cannot be read: {error}"));
                self.journal.wait(timeout);
                false
            }
        }
    }

    /// Writes all that waits, then the position. Returns whether that went well.
    ///
    /// # Errors
    /// When the disk refuses: all is kept in memory, and written next time.
    pub fn write(&self, wall: Timestamp) -> io::Result<()> {
        // Nothing is taken meanwhile: what is committed is in files.
        let reader = self.reader.lock();
        let written = self.write_parts(wall).and_then(|()| self.commit());
        drop(reader);
        if let Err(error) = &written {
            self.note_trouble(&format!("samples cannot be written: {error}"));
        } else if self.upkeep.lock().trouble.take().is_some() {
            tracing::info!("samples are writable again");
        }
        written
    }

    fn note_trouble(&self, trouble: &str) {
        self.state.lock().counters.failures += 1;
        let mut upkeep = self.upkeep.lock();
        if upkeep.trouble.is_none() {
            tracing::error!("{trouble}; they are kept in the journal");
        }
        upkeep.trouble = Some(trouble.to_owned());
    }

    fn write_parts(&self, wall: Timestamp) -> io::Result<()> {
        let buffer = self.buffer.read();
        if buffer.rows() == 0 {
            return Ok(());
        }
        // What a power failure would take from the journal must not be in the samples.
        self.journal.sync(wall)?;
        let from = self.state.lock().written;
        let mut written = Vec::new();
        for hour in buffer.hours() {
            let part = self.files.write_part(*hour, from, |output| {
                buffer.write(output, |sample| hour_of(sample.at.micros()) == *hour)
            })?;
            written.push(part);
        }
        let rows = buffer.rows();
        drop(buffer);
        // At once, so that whoever looks meanwhile sees each sample in one of the two.
        let mut buffer = self.buffer.write();
        let mut state = self.state.lock();
        for part in written {
            let parts = state.parts.entry(part.hour).or_default();
            parts.push(part);
            state.looked_at.remove(&part.hour);
        }
        state.written = state.position;
        state.counters.written += rows;
        buffer.clear();
        Ok(())
    }

    /// Writes the position that the files have come to.
    fn commit(&self) -> io::Result<()> {
        let position = {
            let state = self.state.lock();
            if state.position == state.committed {
                return Ok(());
            }
            state.position
        };
        let bytes = place::encode(position);
        self.files.tree().replace(PLACE, PLACE_BEFORE, |output| output.write_all(&bytes))?;
        let before = {
            let mut state = self.state.lock();
            state.committed_before = state.committed;
            state.committed = position;
            state.committed_before
        };
        // The place before must be able to do without this one.
        self.bookmark.commit(before)
    }

    /// Running totals.
    pub fn counters(&self) -> SamplesCounters {
        let waiting = self.buffer.read().rows();
        let (mut counters, parts) = {
            let state = self.state.lock();
            let parts: Vec<SamplePart> = state.parts.values().flatten().copied().collect();
            (SamplesCounters { waiting, ..state.counters }, parts)
        };
        counters.files = parts.len() as u64;
        counters.bytes = parts.iter().map(|part| part.bytes).sum();
        self.count_uploads(&mut counters, &parts);
        counters
    }

    /// What keeps samples from being written, for readiness checks.
    pub fn trouble(&self) -> Option<String> {
        self.upkeep.lock().trouble.clone()
    }

    /// Up to where in the journal the samples have it.
    pub fn position(&self) -> Position {
        self.state.lock().position
    }
}

/// The thread that keeps samples.
pub type SamplesWriter = ReaderThread<Samples>;

impl JournalConsumer for Samples {
    const THREAD: &'static str = "samples";

    fn follow(&self, limit: Duration, wall: &dyn Fn() -> Timestamp) {
        let begun = Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            if self.is_full() && self.write(wall()).is_err() {
                self.journal.wait(left);
            } else {
                self.take(left);
            }
            if left.is_zero() {
                return;
            }
        }
    }

    /// Writes, forgets what need not be kept and merges.
    fn tick(&self, now: Duration, wall: Timestamp) {
        if now.saturating_sub(self.upkeep.lock().written) >= self.config.write_interval {
            self.upkeep.lock().written = now;
            if self.write(wall).is_ok() {
                self.retain(wall);
            }
        }
        self.merge_if_due(now, wall);
    }

    fn finish(&self, wall: Timestamp) -> bool {
        self.catch_up(wall);
        self.write(wall).is_ok()
    }
}

#[cfg(test)]
mod tests;
