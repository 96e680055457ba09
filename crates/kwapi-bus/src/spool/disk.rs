//! The directory of a spool, and the segment that is written.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::{Timestamp, hex};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::fs::{FlockOperation, flock};

use super::segment::{self, HEADER_BYTES};
use super::{SpoolConfig, Spooled};
use crate::transport::nats::SPOOL_ID_DIGITS;

/// A segment is closed at this size, or at a sixteenth of what the spool may take…
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// …and at this age, so that what is old can go.
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// The file with the spool's identity, which is locked.
const IDENTITY: &str = "identity";
const IDENTITY_VERSION: &str = "kwapi spool 1";

/// A segment, as far as it is known without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpoolSegment {
    pub(super) first: u64,
    /// No message in it has a greater number.
    pub(super) last: u64,
    pub(super) bytes: u64,
    pub(super) begun: Timestamp,
}

/// What the writing thread has.
#[derive(Debug)]
pub(super) struct SpoolDisk {
    /// Held while this process has the directory.
    lock: Option<File>,
    open: Option<OpenSegment>,
    is_failing: bool,
    unsynced: u64,
    synced_at: Instant,
    pub(super) damaged: u64,
}

#[derive(Debug)]
struct OpenSegment {
    file: File,
    first: u64,
    bytes: u64,
    begun: Timestamp,
}

impl SpoolDisk {
    /// Takes the directory, which is made if need be. Returns what is there: the identity, the segments, and what keeps it from
    /// being used.
    ///
    /// # Errors
    /// When the system has no random numbers for an identity.
    pub(super) fn open(
        config: &SpoolConfig,
    ) -> io::Result<(Self, String, VecDeque<SpoolSegment>, Option<String>)> {
        let (lock, open, synced_at) = (None, None, Instant::now());
        let mut disk = Self { lock, open, is_failing: false, unsynced: 0, synced_at, damaged: 0 };
        let mut random = [0; SPOOL_ID_DIGITS / 2];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let new = hex::encode(&random);
        match disk.take(&config.directory, &new).and_then(|id| Ok((disk.segments(config, &id)?, id))) {
            Ok((segments, id)) => Ok((disk, id, segments, None)),
            Err(error) => {
                (disk.lock, disk.is_failing) = (None, true);
                Ok((disk, new, VecDeque::new(), Some(format!("cannot open the spool: {error}"))))
            }
        }
    }

    /// Locks the directory; its identity is `new` where it has none.
    fn take(&mut self, directory: &Path, new: &str) -> io::Result<String> {
        let made = fs::create_dir_all(directory);
        let path = directory.join(IDENTITY);
        let (file, id) = match File::open(&path) {
            Ok(file) => {
                let mut text = String::new();
                (&file).take(1_024).read_to_string(&mut text)?;
                let id = text.lines().nth(1).filter(|_| text.lines().next() == Some(IDENTITY_VERSION));
                let id = id.filter(|id| id.len() == SPOOL_ID_DIGITS && hex::decode(id).is_some());
                let invalid =
                    || io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()));
                (file, id.map(str::to_owned).ok_or_else(invalid)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                made?;
                let text = format!("{IDENTITY_VERSION}\n{new}\n");
                put(directory, IDENTITY, text.as_bytes(), true)?;
                (File::open(&path)?, new.to_owned())
            }
            Err(error) => return Err(error),
        };
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other(format!("{} is in use by another kwapi", directory.display())))?;
        self.lock = Some(file);
        Ok(id)
    }

    fn segments(&mut self, config: &SpoolConfig, id: &str) -> io::Result<VecDeque<SpoolSegment>> {
        let mut segments: VecDeque<SpoolSegment> = VecDeque::new();
        for first in segment::list(&config.directory)? {
            let path = segment::path(&config.directory, first);
            match segment::read_header(&path, id, first) {
                Ok((begun, bytes)) => {
                    if let Some(before) = segments.back_mut() {
                        before.last = first - 1;
                    }
                    // The next start is above the next multiple of 2^32.
                    let last = first.saturating_add(u64::from(u32::MAX));
                    segments.push_back(SpoolSegment { first, last, bytes, begun });
                }
                Err(error) => {
                    tracing::error!(%error, file = %path.display(), "segment of the spool removed");
                    self.damaged += 1;
                    _ = fs::remove_file(&path);
                }
            }
        }
        Ok(segments)
    }

    /// Begins a segment for the messages from `first` on, before any has that number: a start after a power failure is above it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn begin(
        &mut self,
        config: &SpoolConfig,
        id: &str,
        first: u64,
        now: Timestamp,
    ) -> io::Result<SpoolSegment> {
        let begun = begin(&config.directory, id, first, now);
        self.is_failing = begun.is_err();
        let bytes = self.open.insert(begun?).bytes;
        Ok(SpoolSegment { first, last: first - 1, bytes, begun: now })
    }

    /// Whether the last attempt to write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// The first number of the segment that is written.
    pub(super) fn open_segment(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.first)
    }

    /// Writes messages, all or none; returns the bytes of the segment then.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(
        &mut self,
        config: &SpoolConfig,
        id: &str,
        batch: &[Arc<Spooled>],
        now: Timestamp,
    ) -> io::Result<u64> {
        let written = self.try_write(config, id, batch, now);
        self.is_failing = written.is_err();
        if written.is_err() {
            // What it may have of the batch is passed over by any reader.
            self.open = None;
        }
        written
    }

    fn try_write(
        &mut self,
        config: &SpoolConfig,
        id: &str,
        batch: &[Arc<Spooled>],
        now: Timestamp,
    ) -> io::Result<u64> {
        if self.lock.is_none() && self.take(&config.directory, id)? != id {
            self.lock = None;
            return Err(io::Error::other("the directory has another spool now; restart to use it"));
        }
        let bytes_max = SEGMENT_BYTES_MAX.min(config.bytes_max / 16).max(1);
        let is_done =
            |open: &OpenSegment| open.bytes >= bytes_max || now.since(open.begun) >= SEGMENT_AGE_MAX;
        if self.open.as_ref().is_some_and(is_done) {
            self.sync()?;
            self.open = None;
        }
        let first = batch.first().map_or(0, |first| first.number);
        let open = match self.open.take() {
            Some(open) => self.open.insert(open),
            None => self.open.insert(begin(&config.directory, id, first, now)?),
        };
        let mut buffer = Vec::new();
        batch.iter().for_each(|spooled| segment::write(spooled, &mut buffer));
        if let Err(error) = open.file.write_all_at(&buffer, open.bytes) {
            _ = open.file.set_len(open.bytes);
            if open.bytes == HEADER_BYTES as u64 {
                // A disk that stays full would come to have one of them a second.
                _ = fs::remove_file(segment::path(&config.directory, open.first));
            }
            return Err(error);
        }
        open.bytes += buffer.len() as u64;
        self.unsynced += buffer.len() as u64;
        Ok(open.bytes)
    }

    /// Whether something should be forced to the disk.
    pub(super) fn is_sync_due(&self, interval: Duration, bytes: u64) -> bool {
        self.unsynced > bytes || (self.unsynced > 0 && self.synced_at.elapsed() >= interval)
    }

    /// Forces what was written to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        (self.unsynced, self.synced_at) = (0, Instant::now());
        let Some(open) = &mut self.open else { return Ok(()) };
        let synced = open.file.sync_data();
        if synced.is_err() {
            // The system counts what it could not write as written.
            (self.open, self.is_failing) = (None, true);
        }
        synced
    }
}

fn begin(directory: &Path, id: &str, first: u64, now: Timestamp) -> io::Result<OpenSegment> {
    fs::create_dir_all(directory)?;
    let path = segment::path(directory, first);
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let begun = file.write_all_at(&segment::header(id, first, now), 0).and_then(|()| file.sync_all());
    begun.and_then(|()| File::open(directory)?.sync_all()).inspect_err(|_| _ = fs::remove_file(&path))?;
    Ok(OpenSegment { file, first, bytes: HEADER_BYTES as u64, begun: now })
}

/// Puts a whole file in the place of what was there.
///
/// # Errors
/// When the disk refuses; what was there is there still.
pub(crate) fn put(directory: &Path, name: &str, content: &[u8], is_synced: bool) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    if is_synced {
        file.sync_all()?;
    }
    fs::rename(&new, directory.join(name))?;
    if is_synced {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
