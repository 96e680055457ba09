//! Readers of the journal.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::Timestamp;

use super::damage::{LossCause, Lost, keep_aside};
use super::segment::{self, SegmentReader, Step};
use super::{Credited, Need, Position, Records, Shared, position};

/// How many stretches a [`Replayed`] names.
const LOST_MAX: usize = 1_000;

/// What a reader gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// A batch, and the position after it.
    Records(Records, Position),
    /// A stretch that it does not get. What it makes of the journal is unknown there.
    Lost(Lost),
}

/// A reader's committed place, which the journal keeps for it.
#[derive(Debug)]
pub struct Bookmark {
    shared: Arc<Shared>,
    name: &'static str,
    need: Need,
}

impl Bookmark {
    pub(super) fn new(shared: Arc<Shared>, name: &'static str, need: Need) -> Self {
        let mut state = shared.state.lock();
        if !state.holders.contains_key(name) {
            let first = state.first();
            state.hold(name.to_owned(), first, need, Timestamp::EPOCH);
        }
        if let Some(holder) = state.holders.get_mut(name) {
            (holder.need, holder.is_claimed) = (need, true);
        }
        drop(state);
        Self { shared, name, need }
    }

    /// What is committed; at first the oldest record there is.
    pub fn position(&self) -> Position {
        self.shared.state.lock().holders.get(self.name).map_or(Position::default(), |holder| holder.position)
    }

    /// Notes that what was made of all before `position` is on the disk. Earlier than what is noted already: nothing.
    ///
    /// # Errors
    /// When the disk refuses: the position before stands.
    pub fn commit(&self, position: Position) -> io::Result<()> {
        if position <= self.position() {
            return Ok(());
        }
        position::save(&self.shared.directory, self.name, position, self.need)?;
        if let Some(holder) = self.shared.state.lock().holders.get_mut(self.name) {
            holder.position = holder.position.max(position);
        }
        Ok(())
    }
}

/// Reads the journal batch by batch.
#[derive(Debug)]
pub struct Reader {
    bookmark: Bookmark,
    /// Up to where it has been handed over, and up to where it has been read.
    handed: Position,
    cursor: Position,
    disk: Option<SegmentReader<File>>,
    queue: VecDeque<(Delivery, Position)>,
    newest: Option<Timestamp>,
}

impl Reader {
    pub(super) fn new(bookmark: Bookmark) -> Self {
        let cursor = bookmark.position();
        bookmark.shared.state.lock().moved(bookmark.name, Some(cursor));
        Self { bookmark, handed: cursor, cursor, disk: None, queue: VecDeque::new(), newest: None }
    }

    /// The next batch or loss; waits up to `timeout` for one. `None` when there was none.
    ///
    /// # Errors
    /// When the disk refuses: it may be tried again, nothing is passed over.
    pub fn next(&mut self, timeout: Duration) -> io::Result<Option<Delivery>> {
        let begun = Instant::now();
        loop {
            if let Some((delivery, end)) = self.queue.pop_front() {
                self.handed = end;
                self.bookmark.shared.state.lock().moved(self.bookmark.name, Some(end));
                return Ok(Some(delivery));
            }
            let mut state = self.bookmark.shared.state.lock();
            if self.cursor >= state.end {
                let left = timeout.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    return Ok(None);
                }
                self.bookmark.shared.appended.wait_for(&mut state, left);
                continue;
            }
            if let Some((records, after)) = state.recent(self.cursor) {
                state.moved(self.bookmark.name, Some(after));
                drop(state);
                (self.handed, self.cursor, self.disk) = (after, after, None);
                self.newest = self.newest.max(newest(&records));
                return Ok(Some(Delivery::Records(records, after)));
            }
            drop(state);
            self.read_disk()?;
        }
    }

    /// Notes that what was made of all before `position` is on the disk.
    ///
    /// # Errors
    /// See [`Bookmark::commit`].
    pub fn commit(&mut self, position: Position) -> io::Result<()> {
        self.bookmark.commit(position)
    }

    /// Up to where it has been handed over.
    pub fn position(&self) -> Position {
        self.handed
    }

    /// What is committed.
    pub(crate) fn committed(&self) -> Position {
        self.bookmark.position()
    }

    /// Reads one step from the disk into the queue. A loss waits there for what comes after it, whose stamps place it
    /// in time.
    fn read_disk(&mut self) -> io::Result<()> {
        let mut lost: Option<Lost> = None;
        loop {
            match step(&self.bookmark.shared, &mut self.cursor, &mut self.disk)? {
                DiskStep::Lost(mut next) => {
                    next.after = self.newest;
                    lost = Some(lost.map_or(next, |lost| joined(lost, next)));
                }
                DiskStep::Records(records) => {
                    if let Some(mut lost) = lost {
                        lost.before = records.iter().map(|record| record.at).min();
                        self.queue.push_back((Delivery::Lost(lost), lost.to));
                    }
                    self.newest = self.newest.max(newest(&records));
                    let delivery = Delivery::Records(Arc::new(records), self.cursor);
                    self.queue.push_back((delivery, self.cursor));
                    return Ok(());
                }
                DiskStep::End => {
                    self.queue.extend(lost.map(|lost| (Delivery::Lost(lost), lost.to)));
                    return Ok(());
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.bookmark.shared.state.lock().moved(self.bookmark.name, None);
    }
}

fn newest(records: &[Credited]) -> Option<Timestamp> {
    records.iter().map(|record| record.at).max()
}

/// Two stretches in a row as one.
fn joined(first: Lost, second: Lost) -> Lost {
    let records = first.records.zip(second.records).map(|(first, second)| first.saturating_add(second));
    Lost { from: first.from, to: second.to, records, ..first }
}

/// What a replay has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Where it ended.
    pub end: Position,
    /// Records handed over.
    pub records: u64,
    /// Bytes of the batches that they came in.
    pub bytes: u64,
    /// The first stretches that could not be read…
    pub lost: Vec<Lost>,
    /// …and how many there were.
    pub lost_count: u64,
}

pub(super) fn replay(
    shared: &Shared,
    Range { start: from, end }: Range<Position>,
    bytes_max: u64,
    mut each: impl FnMut(&Credited),
) -> io::Result<Replayed> {
    let first = shared.state.lock().first();
    let mut replayed = Replayed::default();
    let mut cursor = if from == Position::default() { first } else { from };
    let (mut disk, mut newest_read, mut is_lost_open) = (None, None, false);
    while cursor < end && replayed.bytes < bytes_max {
        let before = cursor;
        match step(shared, &mut cursor, &mut disk)? {
            DiskStep::Records(records) => {
                if std::mem::take(&mut is_lost_open)
                    && let Some(lost) = replayed.lost.last_mut()
                {
                    lost.before = records.iter().map(|record| record.at).min();
                }
                newest_read = newest_read.max(newest(&records));
                replayed.records += records.len() as u64;
                let begin = if before.segment == cursor.segment { before.offset } else { 0 };
                replayed.bytes += cursor.offset.saturating_sub(begin);
                for record in &records {
                    each(record);
                }
            }
            DiskStep::Lost(mut lost) => {
                lost.after = newest_read;
                replayed.lost_count += 1;
                is_lost_open = replayed.lost.len() < LOST_MAX;
                if is_lost_open {
                    replayed.lost.push(lost);
                }
            }
            DiskStep::End => break,
        }
    }
    replayed.end = cursor;
    Ok(replayed)
}

/// Hands over all from `from` on that lies in the directory of history `home`, which no process uses; changes nothing
/// there. Returns the position after it. What cannot be read is passed over, as a process that starts does.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn replay_files(
    home: &Path,
    from: Position,
    mut each: impl FnMut(&Credited),
) -> io::Result<Position> {
    let folder = home.join(super::FOLDER);
    let mut end = from;
    for number in segment::list(&folder)?.into_iter().filter(|number| *number >= from.segment) {
        let offset = if number == from.segment { from.offset } else { 0 };
        let bytes = std::fs::metadata(segment::path(&folder, number))?.len();
        if bytes <= offset {
            continue;
        }
        let mut reader = SegmentReader::open(&folder, number, offset)?;
        loop {
            match reader.next(bytes)? {
                Step::Batch { records, end: offset } => {
                    records.iter().for_each(&mut each);
                    end = end.max(Position { segment: number, offset });
                }
                Step::Lost { .. } => {}
                Step::Torn { .. } | Step::End => break,
            }
        }
    }
    Ok(end)
}

/// What the disk has next.
enum DiskStep {
    Records(Vec<Credited>),
    Lost(Lost),
    End,
}

/// Reads on from `cursor`.
fn step(
    shared: &Shared,
    cursor: &mut Position,
    disk: &mut Option<SegmentReader<File>>,
) -> io::Result<DiskStep> {
    loop {
        let from = *cursor;
        let (end, number, next, closed) = {
            let state = shared.state.lock();
            if from >= state.end {
                return Ok(DiskStep::End);
            }
            if from < state.dropped {
                *cursor = state.first().max(state.dropped);
                *disk = None;
                if from >= state.dropped_end {
                    continue;
                }
                let (records, after, before, cause) = (None, None, None, LossCause::Retention);
                return Ok(DiskStep::Lost(Lost { from, to: *cursor, records, after, before, cause }));
            }
            let numbers = || state.closed.iter().map(|closed| closed.number).chain([state.end.segment]);
            let number = numbers().find(|number| *number >= from.segment).unwrap_or(state.end.segment);
            let next = numbers().find(|next| *next > number);
            let closed =
                state.closed.iter().find(|closed| closed.number == number).map(|closed| closed.bytes);
            (state.end, number, next, closed)
        };
        if number != from.segment {
            *cursor = Position { segment: number, offset: 0 };
            *disk = None;
            continue;
        }
        let reader = match disk {
            Some(reader) => reader,
            None => match SegmentReader::open(&shared.directory, number, from.offset) {
                Ok(reader) => disk.insert(reader),
                Err(error) if error.kind() == io::ErrorKind::NotFound && shared.is_kept(number) => {
                    let Some(next) = next else { return Err(error) };
                    *cursor = Position { segment: next, offset: 0 };
                    let (records, after, before, cause) = (None, None, None, LossCause::Missing);
                    let lost = Lost { from, to: *cursor, records, after, before, cause };
                    shared.note_damage(&lost, 0);
                    return Ok(DiskStep::Lost(lost));
                }
                // Deleted meanwhile: the state shows it. The open segment is missed by the next append.
                Err(error) if error.kind() == io::ErrorKind::NotFound && number != end.segment => continue,
                Err(error) => return Err(error),
            },
        };
        // What lies behind the end of a closed segment could not be cut off when its append failed.
        let limit = if number == end.segment { end.offset } else { closed.unwrap_or_default() };
        let at = |offset| Position { segment: number, offset };
        let lose = |from, to, records, cause| {
            let lost = Lost { from: at(from), to: at(to), records, after: None, before: None, cause };
            shared.note_damage(&lost, to - from);
            DiskStep::Lost(lost)
        };
        match reader.next(limit)? {
            Step::Batch { records, end } => {
                *cursor = at(end);
                return Ok(DiskStep::Records(records));
            }
            Step::Lost { from, to, records, cause } => {
                let lost = lose(from, to, records, cause);
                *cursor = at(to);
                return Ok(lost);
            }
            // The end of each segment was looked through when the next was begun: it was whole then.
            Step::Torn { from } => {
                let lost = lose(from, limit, None, LossCause::Damage);
                *cursor = next.map_or(at(limit), |next| Position { segment: next, offset: 0 });
                *disk = None;
                return Ok(lost);
            }
            Step::End => {
                let Some(next) = next else { return Ok(DiskStep::End) };
                *cursor = Position { segment: next, offset: 0 };
                *disk = None;
            }
        }
    }
}

impl Shared {
    fn is_kept(&self, number: u64) -> bool {
        self.state.lock().closed.iter().any(|closed| closed.number == number)
    }

    /// Counts and logs a stretch that cannot be read, the first time, and keeps its bytes aside.
    fn note_damage(&self, lost: &Lost, bytes: u64) {
        {
            let mut state = self.state.lock();
            if !state.known_damage.insert(lost.from) {
                return;
            }
            state.counters.stretches_lost += 1;
            state.counters.bytes_lost += bytes;
        }
        let (segment, offset, records) = (lost.from.segment, lost.from.offset, lost.records);
        let aside = if lost.cause == LossCause::Missing {
            None
        } else {
            let file = segment::path(&self.directory, lost.from.segment);
            keep_aside(&file, offset, offset.saturating_add(bytes)).ok().flatten()
        };
        tracing::error!(
            segment, offset, bytes, ?records, cause = ?lost.cause, kept = ?aside,
            "unreadable part of the journal skipped"
        );
    }
}
