//! The end of the journal that is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;

use super::segment::{self, HEADER_BYTES};
use super::state::Closed;
use super::{Credited, DirectoryLock, Position, Shared, block};

/// A segment is closed at this age, so that what is old can go…
const SEGMENT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// …and at this size, or at an eighth of what the journal may take.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The segment that is written, and what waits for the disk.
#[derive(Debug)]
pub(super) struct Writer {
    open: Option<Open>,
    /// The next segment's number.
    number: u64,
    buffer: Vec<u8>,
    /// Up to where all is on the disk.
    durable: Position,
    /// Files whose end is not, oldest first: the number, and from where on.
    unsynced: Vec<Unsynced>,
    /// Segments begun, and of how many the disk has the name.
    begun: u64,
    begun_synced: u64,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    number: u64,
    /// Device and inode, to notice that somebody removed it.
    identity: (u64, u64),
    bytes: u64,
    begun: Timestamp,
    /// A failed append could not be cut off: it takes no more.
    is_spoiled: bool,
}

#[derive(Clone, Debug)]
struct Unsynced {
    file: Arc<File>,
    number: u64,
    from: u64,
    /// A sync of it failed. The system counts what it could not write as written: it is written again first.
    has_failed: bool,
}

/// What a sync is about.
#[derive(Debug)]
pub(super) struct PendingSync {
    files: Vec<(Unsynced, u64)>,
    /// How many segments had been begun; `None` where the disk has all their names.
    begun: Option<u64>,
    end: Position,
}

impl PendingSync {
    /// Waits for the disk.
    pub(super) fn sync(&self, directory: &Path) -> io::Result<()> {
        for (unsynced, to) in &self.files {
            if unsynced.has_failed {
                write_again(&unsynced.file, unsynced.from, *to)?;
            }
            unsynced.file.sync_data()?;
        }
        if self.begun.is_some() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

/// Writes a stretch of a file over itself, so that the next sync has it to write.
pub(super) fn write_again(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut place = from;
    while place < to {
        let count = usize::try_from(to - place).unwrap_or(usize::MAX).min(buffer.len());
        let Some(piece) = buffer.get_mut(..count) else { break };
        file.read_exact_at(piece, place)?;
        file.write_all_at(piece, place)?;
        place += count as u64;
    }
    Ok(())
}

impl Writer {
    pub(super) fn new(number: u64) -> Self {
        Self {
            open: None,
            number,
            buffer: Vec::new(),
            durable: Position { segment: number, offset: 0 },
            unsynced: Vec::new(),
            begun: 0,
            begun_synced: 0,
        }
    }

    /// Appends a batch, or nothing of it.
    pub(super) fn append(
        &mut self,
        shared: &Shared,
        records: &[Credited],
        now: Timestamp,
    ) -> io::Result<Position> {
        self.notice_removal(shared);
        let segment_bytes_max = SEGMENT_BYTES_MAX.min(shared.config.bytes_max / 8).max(HEADER_BYTES + 1);
        let is_done = self.open.as_ref().is_none_or(|open| {
            open.is_spoiled || open.bytes >= segment_bytes_max || now.since(open.begun) >= SEGMENT_AGE_MAX
        });
        if is_done {
            self.begin_segment(shared, now)?;
            shared.retain(now);
        }
        let Self { open, buffer, .. } = self;
        let Some(open) = open else { return Err(io::Error::other("no open segment")) };
        buffer.clear();
        block::write(records, open.number, open.bytes, buffer);
        if let Err(error) = open.file.write_all_at(buffer, open.bytes) {
            // What cannot be cut off has no last block, and is not taken for a batch by any reader.
            open.is_spoiled = open.file.set_len(open.bytes).is_err();
            return Err(error);
        }
        open.bytes += buffer.len() as u64;
        if buffer.capacity() > 4 * segment_buffer(buffer.len()) {
            buffer.shrink_to(segment_buffer(buffer.len()));
        }
        Ok(Position { segment: open.number, offset: open.bytes })
    }

    /// Begins a segment, and closes the one before.
    pub(super) fn begin_segment(&mut self, shared: &Shared, now: Timestamp) -> io::Result<()> {
        let mut made = make(shared, self.number);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            // Of a directory that could not be seen when the journal was opened. What is there is not ours to write.
            let newest = segment::list(&shared.directory)?.last().copied().unwrap_or_default();
            self.number = self.number.max(newest.saturating_add(1));
            made = make(shared, self.number);
        }
        let (file, number) = (made?, self.number);
        let path = segment::path(&shared.directory, number);
        let begun = file.write_all_at(&segment::header(number, now), 0).and_then(|()| file.metadata());
        let metadata = begun.inspect_err(|_| _ = std::fs::remove_file(&path))?;
        self.close(shared, now);
        let file = Arc::new(file);
        self.unsynced.push(Unsynced { file: Arc::clone(&file), number, from: 0, has_failed: false });
        self.begun += 1;
        self.number = number.saturating_add(1);
        self.open = Some(Open {
            file,
            number,
            identity: (metadata.dev(), metadata.ino()),
            bytes: HEADER_BYTES,
            begun: now,
            is_spoiled: false,
        });
        Ok(())
    }

    /// Closes the open segment; one with nothing in it goes.
    fn close(&mut self, shared: &Shared, now: Timestamp) {
        let Some(open) = self.open.take() else { return };
        if open.bytes <= HEADER_BYTES {
            self.unsynced.retain(|unsynced| unsynced.number != open.number);
            _ = std::fs::remove_file(segment::path(&shared.directory, open.number));
            return;
        }
        let closed = Closed { number: open.number, bytes: open.bytes, until: now };
        shared.state.lock().closed.push_back(closed);
    }

    /// Makes the directory again where somebody removed it.
    fn notice_removal(&mut self, shared: &Shared) {
        let Some(open) = &self.open else {
            // It could not be begun: perhaps for that reason.
            _ = std::fs::create_dir_all(&shared.directory);
            return;
        };
        let identity = std::fs::metadata(segment::path(&shared.directory, open.number))
            .map(|metadata| (metadata.dev(), metadata.ino()));
        match identity {
            Ok(identity) if identity == open.identity => return,
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return;
            }
            _ => {}
        }
        tracing::error!(
            directory = %shared.home.display(),
            "journal removed while running; its data is lost, creating a new one"
        );
        self.open = None;
        self.unsynced.clear();
        let made = std::fs::create_dir_all(&shared.directory).and_then(|()| segment::list(&shared.directory));
        let left = made.unwrap_or_default();
        let mut lock = shared.lock.lock();
        *lock = None;
        *lock = DirectoryLock::take(&shared.home)
            .inspect_err(|error| tracing::error!(%error, "the history directory is no longer locked"))
            .ok();
        drop(lock);
        let mut state = shared.state.lock();
        state.closed.retain(|closed| left.contains(&closed.number));
        state.counters.directories_removed += 1;
        state.removed = true;
        // What was in the open segment is gone: readers that had not come so far get a report.
        state.dropped_end = state.end;
        state.end = Position { segment: self.number, offset: 0 };
        state.dropped = state.end;
        drop(state);
    }

    /// What there is to sync.
    pub(super) fn pending_sync(&self, end: Position) -> PendingSync {
        let bytes = |unsynced: &Unsynced| {
            let open = self.open.as_ref().filter(|open| open.number == unsynced.number);
            open.map_or_else(
                || unsynced.file.metadata().map_or(unsynced.from, |metadata| metadata.len()),
                |open| open.bytes,
            )
        };
        let files = self.unsynced.iter().map(|unsynced| (unsynced.clone(), bytes(unsynced))).collect();
        PendingSync { files, begun: (self.begun > self.begun_synced).then_some(self.begun), end }
    }

    /// Notes that a sync went well. Returns up to where all is on the disk.
    pub(super) fn synced(&mut self, done: PendingSync) -> Position {
        let open = self.open.as_ref().map(|open| open.number);
        for (synced, to) in done.files {
            if Some(synced.number) == open {
                for unsynced in self.unsynced.iter_mut().filter(|unsynced| unsynced.number == synced.number) {
                    (unsynced.from, unsynced.has_failed) = (to, false);
                }
            } else {
                // Closed meanwhile, perhaps with more in it.
                self.unsynced.retain_mut(|unsynced| {
                    let is_whole = unsynced.file.metadata().is_ok_and(|metadata| metadata.len() <= to);
                    if unsynced.number == synced.number {
                        (unsynced.from, unsynced.has_failed) = (to, false);
                    }
                    unsynced.number != synced.number || !is_whole
                });
            }
        }
        self.begun_synced = self.begun_synced.max(done.begun.unwrap_or_default());
        self.durable = self.durable.max(done.end);
        self.durable
    }

    /// Notes that a sync failed.
    pub(super) fn sync_failed(&mut self, failed: PendingSync) {
        for (failed, _) in failed.files {
            for unsynced in self.unsynced.iter_mut().filter(|unsynced| unsynced.number == failed.number) {
                unsynced.has_failed = true;
            }
        }
    }
}

fn make(shared: &Shared, number: u64) -> io::Result<File> {
    let path = segment::path(&shared.directory, number);
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// How much room for blocks is worth keeping between batches of this many bytes.
fn segment_buffer(bytes: usize) -> usize {
    bytes.max(64 << 10)
}
