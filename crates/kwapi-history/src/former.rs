//! The journal: every verified sample in order of arrival, in append-only files. Everything else of history is read
//! from it and can be rebuilt from it, as far back as it is kept.
//!
//! A batch is appended with one `write` and is then the operating system's: a process killed with SIGKILL loses
//! nothing it had appended. A power failure loses at most what was appended since the last [`Journal::sync`], which the
//! caller does every [`SYNC_INTERVAL`].

mod record;
mod segment;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

pub use record::Record;
use record::{BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, Encoder, PROBES_MAX};
use segment::{HEADER_BYTES, Next, SegmentReader};

/// How often what was appended is forced to the disk: what a power failure can lose.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// A segment is closed at this age, so that closed hours can become sample files.
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// A segment is closed at this size, or at an eighth of what the journal may take.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// A block is closed when it has this much; a record has a few hundred bytes at most.
const BLOCK_BYTES_USUAL: usize = 64 << 10;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bytes on disk. Full: the oldest segment is deleted and counted.
    pub bytes_max: u64,
    /// Segments begun and closed before this are deleted.
    pub age_max: Duration,
}

impl Default for Retention {
    /// 1 GiB and a day: 10 000 probes at 1 Hz fill the former in two hours.
    fn default() -> Self {
        Self { bytes_max: 1 << 30, age_max: Duration::from_secs(86_400) }
    }
}

/// A place between two blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Which segment.
    pub segment: u64,
    /// Where in it, in bytes.
    pub offset: u64,
}

/// The open journal of one directory, which nobody else may write.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    retention: Retention,
    /// Closed segments, oldest first: number, bytes, and when they were closed, as far as known.
    closed: Vec<Closed>,
    file: Arc<File>,
    position: Position,
    begun: Timestamp,
    encoder: Encoder,
    block: Vec<u8>,
    /// An append failed: this segment takes no more, since the encoder remembers what is not in it.
    spoiled: bool,
    segments_dropped: u64,
    bytes_truncated: u64,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    number: u64,
    bytes: u64,
    until: Timestamp,
}

impl Journal {
    /// Opens the journal in `directory`, or begins one, and starts a new segment. A tail cut by a crash is cut off.
    ///
    /// # Errors
    /// When the directory cannot be read or written.
    pub fn open(directory: &Path, retention: Retention, now: Timestamp) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut closed = Vec::new();
        let mut bytes_truncated = 0;
        let numbers = segment::list(directory)?;
        for number in &numbers {
            let path = segment::path(directory, *number);
            let metadata = std::fs::metadata(&path)?;
            let mut bytes = metadata.len();
            if Some(number) == numbers.last() {
                let intact = intact_bytes(&path)?;
                if intact < bytes {
                    OpenOptions::new().write(true).open(&path)?.set_len(intact)?;
                    bytes_truncated = bytes - intact;
                    bytes = intact;
                }
                if intact <= HEADER_BYTES {
                    std::fs::remove_file(&path)?; // A process that starts over and over leaves no trail.
                    continue;
                }
            }
            let modified =
                metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let until = modified.map_or(now, |since| Timestamp::EPOCH.after(since));
            closed.push(Closed { number: *number, bytes, until });
        }
        let number = numbers.last().map_or(0, |last| last.saturating_add(1));
        let (file, position) = begin(directory, number, now)?;
        // What is too old or too much goes when the next segment is closed: readers come first.
        Ok(Self {
            directory: directory.to_owned(),
            retention,
            closed,
            file,
            position,
            begun: now,
            encoder: Encoder::default(),
            block: Vec::new(),
            spoiled: false,
            segments_dropped: 0,
            bytes_truncated,
        })
    }

    /// Appends a batch: when this returns, the operating system has it. `now` decides whether a segment is due.
    ///
    /// # Errors
    /// When the disk refuses. What was written of the batch is cut off again, if the disk lets us, so that the journal
    /// stays readable; the batch is not in it.
    pub fn append(&mut self, records: &[Record], now: Timestamp) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let segment_bytes_max = SEGMENT_BYTES_MAX.min(self.retention.bytes_max / 8).max(HEADER_BYTES + 1);
        if self.spoiled
            || self.position.offset >= segment_bytes_max
            || now.since(self.begun) >= SEGMENT_AGE_MAX
            || self.encoder.probes() >= PROBES_MAX / 2
        {
            self.close_segment(now)?;
        }
        let mut bytes = std::mem::take(&mut self.block);
        bytes.clear();
        let mut block_begin = 0;
        bytes.extend([0; BLOCK_HEAD_BYTES]);
        for record in records {
            if bytes.len() - block_begin >= BLOCK_BYTES_USUAL {
                segment::seal(bytes.get_mut(block_begin..).unwrap_or_default());
                block_begin = bytes.len();
                bytes.extend([0; BLOCK_HEAD_BYTES]);
            }
            self.encoder.push(record, &mut bytes);
        }
        debug_assert!(bytes.len() - block_begin <= BLOCK_BYTES_MAX);
        segment::seal(bytes.get_mut(block_begin..).unwrap_or_default());
        let written = (&*self.file).write_all(&bytes);
        if written.is_ok() {
            self.position.offset += bytes.len() as u64;
        } else {
            self.spoiled = true;
            self.file.set_len(self.position.offset)?;
        }
        self.block = bytes;
        written
    }

    /// The end: where the next batch will be.
    pub fn end(&self) -> Position {
        self.position
    }

    /// The file to call `sync_data` on, away from any lock: when it returns, all that was appended by now survives a
    /// power failure. (Segments are synced when they are closed.)
    pub fn sync_handle(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Forces what was appended to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Segments deleted for want of room or for age.
    pub fn segments_dropped(&self) -> u64 {
        self.segments_dropped
    }

    /// Bytes of an unfinished block that a crash had left.
    pub fn bytes_truncated(&self) -> u64 {
        self.bytes_truncated
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.closed.iter().map(|closed| closed.bytes).sum::<u64>() + self.position.offset
    }

    fn close_segment(&mut self, now: Timestamp) -> io::Result<()> {
        let (file, position) = begin(&self.directory, self.position.segment.saturating_add(1), now)?;
        self.file.sync_data()?;
        let bytes = self.position.offset;
        self.closed.push(Closed { number: self.position.segment, bytes, until: now });
        (self.file, self.position, self.begun) = (file, position, now);
        self.encoder = Encoder::default();
        self.spoiled = false;
        self.drop_oldest(now);
        Ok(())
    }

    /// Deletes what is too old or too much. A reader that has not read it finds out by its position.
    fn drop_oldest(&mut self, now: Timestamp) {
        while let Some(oldest) = self.closed.first() {
            let keep =
                self.bytes() <= self.retention.bytes_max && now.since(oldest.until) <= self.retention.age_max;
            if keep || std::fs::remove_file(segment::path(&self.directory, oldest.number)).is_err() {
                break;
            }
            self.closed.remove(0);
            self.segments_dropped += 1;
        }
    }
}

fn begin(directory: &Path, number: u64, now: Timestamp) -> io::Result<(Arc<File>, Position)> {
    let path = segment::path(directory, number);
    let file = OpenOptions::new().append(true).create(true).truncate(false).open(path)?;
    file.set_len(0)?;
    (&file).write_all(&segment::header(number, now))?;
    Ok((Arc::new(file), Position { segment: number, offset: HEADER_BYTES }))
}

/// How much of a segment can be read.
fn intact_bytes(path: &Path) -> io::Result<u64> {
    let Some(mut reader) = SegmentReader::open(path)? else { return Ok(0) };
    let mut records = Vec::new();
    while reader.next(&mut records)? == Next::Block {
        records.clear();
    }
    Ok(reader.position())
}

/// What [`replay`] has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Where it ended.
    pub end: Position,
    /// Segments of which a part could not be read, or that were gone before they were read.
    pub segments_damaged: u64,
}

/// Reads the journal in `directory` from `from` to its present end, block by block. A writer may be at work.
///
/// # Errors
/// When the disk refuses. Damage is counted, not an error: reading goes on with the next segment.
pub fn replay(directory: &Path, from: Position, mut each: impl FnMut(&[Record])) -> io::Result<Replayed> {
    let mut replayed = Replayed { end: from, segments_damaged: 0 };
    let numbers = segment::list(directory)?;
    if numbers.first().is_some_and(|first| *first > from.segment && from != Position::default()) {
        replayed.segments_damaged += 1;
    }
    let mut records = Vec::new();
    for number in numbers.iter().copied().filter(|number| *number >= from.segment) {
        let opened = SegmentReader::open(&segment::path(directory, number));
        let Ok(Some(mut reader)) = opened else {
            replayed.segments_damaged += 1;
            continue;
        };
        loop {
            let before = Position { segment: number, offset: reader.position() };
            records.clear();
            match reader.next(&mut records)? {
                Next::Block if before >= from => each(&records),
                Next::Block => {}
                Next::End => break,
                Next::Damaged => {
                    replayed.segments_damaged += 1;
                    break;
                }
            }
        }
        replayed.end = Position { segment: number, offset: reader.position() };
    }
    Ok(replayed)
}

/// Keeps the position of a reader called `name` (a name of ours, never from outside), whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub fn save_position(directory: &Path, name: &'static str, position: Position) -> io::Result<()> {
    let (path, unfinished) = (position_path(directory, name), directory.join(format!("{name}.new")));
    std::fs::write(&unfinished, serde_json::to_vec(&position)?)?;
    std::fs::rename(unfinished, path)
}

/// The position kept for a reader; the very beginning when there is none, or none that can be read.
pub fn load_position(directory: &Path, name: &'static str) -> Position {
    let bytes = std::fs::read(position_path(directory, name)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn position_path(directory: &Path, name: &'static str) -> PathBuf {
    directory.join(format!("{name}.position"))
}

/// Reads bytes from anywhere as a segment; for fuzzing.
#[doc(hidden)]
pub fn exercise(bytes: &[u8]) -> usize {
    let Ok(Some(mut reader)) = SegmentReader::new(bytes) else { return 0 };
    let mut records = Vec::new();
    let mut count = 0;
    while let Ok(Next::Block) = reader.next(&mut records) {
        count += records.len();
        records.clear();
    }
    // Blocks are guarded by their CRC; see what the codec makes of bytes that are not.
    _ = record::Decoder::default().block(bytes, &mut records);
    count + records.len()
}
