//! The spool of a publisher: signed messages that are kept on the disk until every listed consumer has them on its own,
//! since a server's confirmation does not survive a power failure of the server.
//!
//! Each message has a number, which rises; a spool has an identity, made at random when its directory was. Messages are
//! sent from memory while a reader keeps up, and from the disk otherwise. Whoever publishes waits for neither: what
//! cannot be written is counted, reported and sent all the same.
//!
//! A message is read once the operating system has it, so that a process that is killed has sent nothing that it does not
//! find again, or when the disk has not answered for a second.
//!
//! **Numbers are never used again.** A start begins at the next multiple of 2^32 above all there are, and not below the
//! present second times 2^32: what a power failure took of this disk may have been sent.
//!
//! **What is kept.** A segment is deleted once all its messages are released, or older than [`SpoolConfig::age_max`], or
//! beyond [`SpoolConfig::bytes_max`], the oldest first; what was still lacked is counted.

mod disk;
mod segment;
mod state;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::{Timestamp, WallClock};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::transport::nats::Outgoing;
use crate::worker::Worker;
pub(crate) use disk::put;
use disk::{SpoolDisk, SpoolSegment};
use state::SpoolState;

/// How long the writer waits for messages before it looks after what there is.
const IDLE: Duration = Duration::from_millis(200);
/// What was written is forced to the disk after so long…
const SYNC_INTERVAL: Duration = Duration::from_millis(200);
/// …or so much.
const SYNC_BYTES: u64 = 4 << 20;
/// A disk that refused is tried again after so long.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that are written at once, about.
const BATCH_BYTES: usize = 1 << 20;
/// Numbers of one start of the process, at least.
const RUN_SHIFT: u32 = 32;

/// How a spool is configured.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Its directory, of this publisher alone.
    pub directory: PathBuf,
    /// Bytes on disk. Full: the oldest messages are dropped and counted.
    pub bytes_max: u64,
    /// Messages kept longer than this are dropped: no consumer takes them any more.
    pub age_max: Duration,
    /// The clock that its age is measured on.
    pub clock: WallClock,
}

/// A message in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) number: u64,
    pub(crate) message: Outgoing,
}

/// What a spool has done since it was opened, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolCounters {
    /// Bytes on disk.
    pub bytes: u64,
    /// When the oldest segment was begun.
    pub oldest: Option<Timestamp>,
    /// Messages that were put into it.
    pub messages: u64,
    /// Messages that a consumer lacked and that were dropped, for want of room or because they were too old.
    pub dropped: u64,
    /// Messages that could not be written to the disk.
    pub unwritten: u64,
    /// Stretches of files that could not be read.
    pub damaged: u64,
    /// What keeps it from writing.
    pub trouble: Option<String>,
}

/// An open spool. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Spool(Arc<SpoolShared>);

/// The thread that writes; dropped, it writes what is left.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    spool: Spool,
    _worker: Worker,
}

#[derive(Debug)]
struct SpoolShared {
    id: String,
    config: SpoolConfig,
    state: Mutex<SpoolState>,
    filled: Condvar,
    /// Changes when there are messages to read, and at the end.
    readable: watch::Sender<()>,
}

/// A reader's place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpoolCursor {
    /// It has read up to this number.
    pub(crate) after: u64,
    /// Where the next is in the segment that begins with this number.
    place: Option<(u64, u64)>,
}

impl SpoolCursor {
    /// A place after the message of this number.
    pub(crate) fn after(number: u64) -> Self {
        Self { after: number, place: None }
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        self.spool.close();
    }
}

impl SpoolWriter {
    /// Opens a spool for so many readers, and starts the thread that writes it. A disk that refuses does not prevent it:
    /// messages are held in memory then, and the disk is tried again.
    ///
    /// # Errors
    /// When the system gives no thread or no random numbers.
    pub(crate) fn start(config: SpoolConfig, readers: usize) -> io::Result<Self> {
        let now = config.clock.now();
        let (mut disk, id, mut segments, mut trouble) = SpoolDisk::open(&config)?;
        let present = now.seconds() << RUN_SHIFT;
        // The newest segment may have come into the next multiple.
        let above = segments.back().map_or(0, |newest| ((newest.first >> RUN_SHIFT) + 2) << RUN_SHIFT);
        // The first is not a multiple itself: nothing of a start is before it.
        let next = present.max(above) + 1;
        if trouble.is_none() {
            match disk.begin(&config, &id, next, now) {
                Ok(segment) => segments.push_back(segment),
                Err(error) => trouble = Some(format!("cannot write the spool: {error}")),
            }
        }
        if let Some(trouble) = &trouble {
            tracing::error!(directory = %config.directory.display(), "{trouble}");
        }
        let counters = SpoolCounters { trouble, damaged: disk.damaged, ..SpoolCounters::default() };
        let state = SpoolState::new(next, segments, readers, counters);
        let (readable, _) = watch::channel(());
        let shared = SpoolShared { id, config, state: Mutex::new(state), filled: Condvar::new(), readable };
        let spool = Spool(Arc::new(shared));
        let of_thread = spool.clone();
        let worker = Worker::start("spool", move |_| of_thread.write_all(&mut disk))?;
        Ok(Self { spool, _worker: worker })
    }

    pub(crate) fn spool(&self) -> &Spool {
        &self.spool
    }
}

impl Spool {
    /// Its identity.
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    pub(crate) fn config(&self) -> &SpoolConfig {
        &self.0.config
    }

    /// Adds messages; never waits for the disk.
    pub(crate) fn extend(&self, messages: impl IntoIterator<Item = Outgoing>) {
        let mut state = self.0.state.lock();
        for message in messages {
            state.push(message);
        }
        state.trim();
        drop(state);
        self.0.filled.notify_one();
    }

    /// The newest number; that of before the first, where there is none yet.
    pub(crate) fn newest(&self) -> u64 {
        self.0.state.lock().next - 1
    }

    /// Up to which number there is something to read now.
    pub(crate) fn readable(&self) -> u64 {
        self.0.state.lock().readable()
    }

    /// How many messages there are after `number`, about: those of earlier starts count as one.
    pub(crate) fn count_after(&self, number: u64) -> u64 {
        let state = self.0.state.lock();
        let newest = state.next - 1;
        let begin = (newest >> RUN_SHIFT) << RUN_SHIFT;
        let is_earlier = |segment: &SpoolSegment| segment.first < begin && segment.last > number;
        u64::from(state.segments.iter().any(is_earlier)) + newest.saturating_sub(number.max(begin))
    }

    /// Changes when there is more to read, and at the end; not while the disk does not answer.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.0.readable.subscribe()
    }

    /// Ends it: what is there is still read and written.
    pub(crate) fn close(&self) {
        self.0.state.lock().is_closed = true;
        self.0.filled.notify_one();
        self.0.readable.send_replace(());
    }

    /// Whether it is closed, and all there is can be read.
    pub(crate) fn is_ended(&self) -> bool {
        let state = self.0.state.lock();
        state.is_closed && state.readable() == state.next - 1
    }

    /// Takes note that a reader needs no message up to `number` again.
    pub(crate) fn release(&self, reader: usize, number: u64) {
        let mut state = self.0.state.lock();
        if let Some(released) = state.released.get_mut(reader) {
            *released = number.max(*released);
        }
        state.trim();
    }

    pub(crate) fn counters(&self) -> SpoolCounters {
        let state = self.0.state.lock();
        SpoolCounters {
            bytes: state.segments.iter().map(|segment| segment.bytes).sum(),
            oldest: state.segments.front().map(|segment| segment.begun),
            ..state.counters.clone()
        }
    }

    /// The next messages after `cursor`, which advances past them: `count` at most, and none where there are no more.
    pub(crate) fn read(&self, cursor: &mut SpoolCursor, count: usize) -> Vec<Arc<Spooled>> {
        loop {
            let segment = {
                let state = self.0.state.lock();
                let in_memory = state.recent.front().map_or(u64::MAX, |front| front.number);
                let on_disk = state.segments.iter().find(|segment| segment.last > cursor.after);
                // What memory has of it is all there is of it.
                let is_before =
                    |segment: &&SpoolSegment| segment.first.max(cursor.after.saturating_add(1)) < in_memory;
                let Some(segment) = on_disk.filter(is_before) else {
                    let taken = state.after(cursor.after, count);
                    if let Some(last) = taken.last() {
                        *cursor = SpoolCursor::after(last.number);
                    }
                    return taken;
                };
                segment.clone()
            };
            let from = cursor.place.filter(|(first, _)| *first == segment.first).map(|(_, offset)| offset);
            let path = segment::path(&self.0.config.directory, segment.first);
            let read = segment::read(&path, from, segment.bytes, cursor.after, count);
            let piece = read.unwrap_or_else(|error| {
                tracing::error!(%error, file = %path.display(), "cannot read the spool");
                segment::Piece { damaged: 1, ..segment::Piece::default() }
            });
            if piece.damaged > 0 {
                self.0.state.lock().counters.damaged += piece.damaged;
            }
            match piece.messages.last() {
                Some(last) => {
                    *cursor = SpoolCursor { after: last.number, place: Some((segment.first, piece.offset)) };
                    return piece.messages.into_iter().map(Arc::new).collect();
                }
                // What there is of it has been read.
                None => *cursor = SpoolCursor::after(segment.last.max(cursor.after)),
            }
        }
    }

    /// Writes what comes, until it is closed and all is written.
    fn write_all(&self, disk: &mut SpoolDisk) {
        let Self(shared) = self;
        let mut retry_at = Instant::now();
        loop {
            let (batch, is_closed) = shared.take_unwritten();
            let now = shared.config.clock.now();
            if let Some(last) = batch.last() {
                let written = if disk.is_failing() && Instant::now() < retry_at {
                    Err(io::Error::other("not tried again yet"))
                } else {
                    disk.write(&shared.config, &shared.id, &batch, now)
                };
                let mut state = shared.state.lock();
                match written {
                    Ok(bytes) => {
                        let open = disk.open_segment().unwrap_or_default();
                        let segment = SpoolSegment { first: open, last: last.number, bytes, begun: now };
                        state.note_written(segment);
                    }
                    Err(error) => {
                        state.counters.unwritten += batch.len() as u64;
                        state.refused = last.number;
                        if Instant::now() >= retry_at {
                            retry_at = Instant::now() + RETRY_INTERVAL;
                            state.fails(format!("cannot write the spool: {error}"));
                        }
                    }
                }
                state.written = last.number;
                state.trim();
                drop(state);
                shared.readable.send_replace(());
            }
            if is_closed || disk.is_sync_due(SYNC_INTERVAL, SYNC_BYTES) {
                match disk.sync() {
                    Ok(()) if !disk.is_failing() => shared.state.lock().works(),
                    Ok(()) => {}
                    Err(error) => shared.state.lock().fails(format!("cannot sync the spool: {error}")),
                }
            }
            shared.retain(disk.open_segment(), now);
            if is_closed && batch.is_empty() {
                return;
            }
        }
    }
}

impl SpoolShared {
    /// Waits a moment for messages that are not written yet; about a [`BATCH_BYTES`] of them, and whether there will be no more.
    fn take_unwritten(&self) -> (Vec<Arc<Spooled>>, bool) {
        let mut state = self.state.lock();
        state.busy_since = None;
        if state.next - 1 == state.written && !state.is_closed {
            self.filled.wait_for(&mut state, IDLE);
        }
        state.busy_since = Some(Instant::now());
        let mut bytes = 0;
        let from = state.recent.partition_point(|spooled| spooled.number <= state.written);
        let fits = |spooled: &&Arc<Spooled>| {
            bytes += spooled.message.bytes();
            bytes <= BATCH_BYTES
        };
        (state.recent.iter().skip(from).take_while(fits).cloned().collect(), state.is_closed)
    }

    /// Deletes what need not or cannot be kept; `open` is the segment that is written.
    fn retain(&self, open: Option<u64>, now: Timestamp) {
        loop {
            let mut state = self.state.lock();
            let Some(oldest) = state.segments.front().filter(|oldest| Some(oldest.first) != open) else {
                return;
            };
            let released = state.released();
            let is_free = oldest.last <= released;
            let until = state.segments.get(1).map_or(now, |next| next.begun);
            let bytes: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
            let is_over = bytes > self.config.bytes_max || now.since(until) > self.config.age_max;
            if !is_free && !is_over {
                return;
            }
            let Some(oldest) = state.segments.pop_front() else { return };
            drop(state);
            let path = segment::path(&self.config.directory, oldest.first);
            if !is_free {
                let lacked = segment::count(&path, oldest.bytes, released).unwrap_or_default();
                self.state.lock().counters.dropped += lacked;
                if lacked > 0 {
                    tracing::error!(
                        messages = lacked,
                        "spool full or too old; messages that a consumer lacks were dropped"
                    );
                }
            }
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, file = %path.display(), "cannot remove a segment of the spool");
            }
        }
    }
}

#[cfg(test)]
mod tests;
