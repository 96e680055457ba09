//! What a journal has recorded of its segments, of its readers and of what was appended last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kwapi_core::Timestamp;

use super::{Need, Position, Records};

/// Records that are kept in memory for readers that have not come to them yet. More: the oldest are read from the disk.
const RING_RECORDS_MAX: usize = 1 << 15;

/// The running totals of a journal, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalCounters {
    /// Bytes on disk.
    pub bytes: u64,
    /// Appends and syncs that failed.
    pub failures: u64,
    /// Segments deleted, for age or for want of room.
    pub segments_dropped: u64,
    /// Of those, segments that a required reader had not committed.
    pub segments_dropped_unread: u64,
    /// Stretches that could not be read.
    pub stretches_lost: u64,
    /// Their bytes.
    pub bytes_lost: u64,
    /// Bytes that a crash had left of an append.
    pub bytes_torn: u64,
    /// Readers' positions that could not be read.
    pub positions_damaged: u64,
    /// Positions dropped since nobody reads by that name any more.
    pub positions_dropped: u64,
    /// Times the directory was found removed, and made again.
    pub directories_removed: u64,
}

/// A segment that takes no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// When it was closed, as far as known.
    pub(super) until: Timestamp,
}

impl Closed {
    pub(super) fn end(&self) -> Position {
        Position { segment: self.number, offset: self.bytes }
    }
}

/// A reader as the journal sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    /// What it has committed.
    pub(super) position: Position,
    pub(super) need: Need,
    /// Whether somebody reads by this name in this process.
    pub(super) is_claimed: bool,
    /// When the file was last written, by an earlier process.
    pub(super) committed: Timestamp,
    /// How far it has read, while it reads.
    pub(super) cursor: Option<Position>,
}

/// A batch in memory.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) before: Position,
    pub(super) after: Position,
    pub(super) records: Records,
}

#[derive(Debug, Default)]
pub(super) struct JournalState {
    pub(super) closed: VecDeque<Closed>,
    pub(super) end: Position,
    pub(super) holders: BTreeMap<String, Holder>,
    recent: VecDeque<Recent>,
    recent_records: usize,
    /// Where what was deleted ended: who has read less gets a report of a loss…
    pub(super) dropped_end: Position,
    /// …and where what is kept begins.
    pub(super) dropped: Position,
    /// Damage that was counted and logged.
    pub(super) known_damage: BTreeSet<Position>,
    pub(super) counters: JournalCounters,
    /// Why the last append failed, and the last sync.
    pub(super) append_trouble: Option<String>,
    pub(super) sync_trouble: Option<String>,
    /// Whether the directory was removed and made again, and no sync has ended since.
    pub(super) removed: bool,
    pub(super) opened: Timestamp,
}

impl JournalState {
    /// The oldest position there is.
    pub(super) fn first(&self) -> Position {
        let number = self.closed.front().map_or(self.end.segment, |closed| closed.number);
        Position { segment: number, offset: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        // The open segment is among the closed for as long as the next has nothing in it.
        let closed = self.closed.iter().filter(|closed| closed.number != self.end.segment);
        closed.map(|closed| closed.bytes).sum::<u64>() + self.end.offset
    }

    /// Bytes from `from` to `to`, as far as they are kept.
    pub(super) fn bytes_between(&self, from: Position, to: Position) -> u64 {
        let of = |Closed { number, bytes, .. }: &Closed| {
            let begin = if *number == from.segment { from.offset } else { 0 };
            let end = if *number == to.segment { to.offset.min(*bytes) } else { *bytes };
            let is_between = (from.segment..=to.segment).contains(number);
            if is_between { end.saturating_sub(begin) } else { 0 }
        };
        let open = Closed { number: self.end.segment, bytes: self.end.offset, until: self.opened };
        // The open segment is among the closed for as long as the next has nothing in it.
        let closed = self.closed.iter().filter(|closed| closed.number != self.end.segment);
        closed.chain([&open]).map(of).sum()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let removed = || "history directory removed while running; recreating it".to_owned();
        self.append_trouble
            .clone()
            .or_else(|| self.sync_trouble.clone())
            .or_else(|| self.removed.then(removed))
    }

    /// Notes a reader's place.
    pub(super) fn hold(&mut self, name: String, position: Position, need: Need, committed: Timestamp) {
        let first = self.first();
        if position < first && position != Position::default() {
            // Its segment is gone, and with it what came after its place.
            self.dropped = self.dropped.max(first);
            self.dropped_end = self.dropped;
        }
        self.holders.insert(name, Holder { position, need, is_claimed: false, committed, cursor: None });
    }

    /// Notes a batch that was appended and keeps it for who is awake.
    pub(super) fn append(&mut self, records: &Records, after: Position) {
        let before = std::mem::replace(&mut self.end, after);
        self.append_trouble = None;
        if self.holders.values().all(|holder| holder.cursor.is_none()) {
            return;
        }
        self.recent_records += records.len();
        self.recent.push_back(Recent { before, after, records: records.clone() });
        while self.recent.len() > 1 && self.recent_records > RING_RECORDS_MAX {
            self.forget_oldest();
        }
    }

    /// The batch that begins at `position`, if it is in memory.
    pub(super) fn recent(&self, position: Position) -> Option<(Records, Position)> {
        let index = self.recent.binary_search_by_key(&position, |recent| recent.before).ok()?;
        self.recent.get(index).map(|recent| (recent.records.clone(), recent.after))
    }

    /// Notes how far a reader has read, and forgets what all have.
    pub(super) fn moved(&mut self, name: &str, cursor: Option<Position>) {
        if let Some(holder) = self.holders.get_mut(name) {
            holder.cursor = cursor;
        }
        let slowest = self.holders.values().filter_map(|holder| holder.cursor).min();
        while self.recent.front().is_some_and(|recent| slowest.is_none_or(|slowest| recent.after <= slowest))
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(recent) = self.recent.pop_front() {
            self.recent_records -= recent.records.len();
        }
    }
}
