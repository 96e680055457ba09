//! What is kept, and for whom.

use std::time::Duration;

use kwapi_core::Timestamp;

use super::state::{Closed, JournalState};
use super::{Need, Position, Shared, position, segment};

/// A position that nobody has read by for so long is dropped…
const UNCLAIMED_MAX: Duration = Duration::from_secs(86_400);
/// …but not before this process has had the time to claim it.
const UNCLAIMED_GRACE: Duration = Duration::from_secs(600);

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The journal has more than it may.
    TooMuch,
    /// It is old, and nobody needs it.
    Age,
    /// The disk is nearly full, and no required reader needs it.
    Room,
}

impl Shared {
    /// Deletes what need not, or cannot, be kept.
    pub(super) fn retain(&self, now: Timestamp) {
        let is_disk_nearly_full = self.is_disk_nearly_full();
        self.delete(now, is_disk_nearly_full);
        self.drop_unclaimed(now);
    }

    /// Deletes what can go so that an append may have its room. Returns whether there was anything.
    pub(super) fn make_room(&self, now: Timestamp) -> bool {
        self.delete(now, true)
    }

    fn delete(&self, now: Timestamp, mut is_disk_nearly_full: bool) -> bool {
        let mut has_deleted = false;
        loop {
            let mut state = self.state.lock();
            let Some((oldest, reason)) = self.next_to_go(&state, now, is_disk_nearly_full) else { break };
            // Who stands at its end moves to the next: its place is not to look like one in a segment that is lost.
            let next = state.closed.get(1).map_or(state.end.segment, |next| next.number);
            let next = Position { segment: next, offset: 0 };
            let mut is_unread = false;
            for (name, holder) in &mut state.holders {
                if holder.position >= oldest.end() && holder.position < next {
                    holder.position = next;
                    _ = position::save(&self.directory, name, next, holder.need);
                }
                is_unread |= holder.need == Need::Required && holder.position < next;
            }
            let removed = std::fs::remove_file(segment::path(&self.directory, oldest.number));
            if removed.is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound) {
                break;
            }
            state.closed.pop_front();
            state.dropped = state.dropped.max(next);
            state.dropped_end = state.dropped_end.max(oldest.end());
            state.counters.segments_dropped += 1;
            state.counters.segments_dropped_unread += u64::from(is_unread);
            has_deleted = true;
            drop(state);
            if is_unread {
                tracing::error!(
                    segment = oldest.number,
                    ?reason,
                    "journal segment deleted before all readers had read it"
                );
            }
            is_disk_nearly_full = is_disk_nearly_full && self.is_disk_nearly_full();
        }
        has_deleted
    }

    fn next_to_go(
        &self,
        state: &JournalState,
        now: Timestamp,
        is_disk_nearly_full: bool,
    ) -> Option<(Closed, Reason)> {
        let oldest = *state.closed.front().filter(|oldest| oldest.number != state.end.segment)?;
        let is_behind = |position: Position| position < oldest.end();
        let required =
            state.holders.values().any(|holder| holder.need == Need::Required && is_behind(holder.position));
        let optional = state.holders.values().any(|holder| match holder.need {
            Need::Required => false,
            Need::Optional { bytes_max } => {
                is_behind(holder.position) && state.bytes_after(holder.position) <= bytes_max
            }
        });
        let reason = if state.bytes() > self.config.bytes_max {
            Reason::TooMuch
        } else if required {
            return None;
        } else if now.since(oldest.until) > self.config.age_max && !optional {
            Reason::Age
        } else if is_disk_nearly_full {
            Reason::Room
        } else {
            return None;
        };
        Some((oldest, reason))
    }

    fn is_disk_nearly_full(&self) -> bool {
        let Ok(disk) = rustix::fs::statvfs(&self.directory) else { return false };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let all = disk.f_blocks.saturating_mul(disk.f_frsize);
        free < self.config.free_bytes_min.min(all / 50)
    }

    /// Drops the positions of readers that are not configured any more.
    fn drop_unclaimed(&self, now: Timestamp) {
        let mut state = self.state.lock();
        if now.since(state.opened) < UNCLAIMED_GRACE {
            return;
        }
        let gone: Vec<_> = state
            .holders
            .iter()
            .filter(|(_, holder)| !holder.is_claimed && now.since(holder.committed) > UNCLAIMED_MAX)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            tracing::warn!(reader = %name, "journal reader inactive for a day; position dropped");
            _ = position::remove(&self.directory, &name);
            state.holders.remove(&name);
            state.counters.positions_dropped += 1;
        }
    }
}

impl JournalState {
    /// Bytes that a reader at `position` has yet to commit.
    fn bytes_after(&self, position: Position) -> u64 {
        let closed = self.closed.iter().filter(|closed| closed.end() > position).map(|closed| {
            if closed.number == position.segment {
                closed.bytes.saturating_sub(position.offset)
            } else {
                closed.bytes
            }
        });
        let open = if position.segment == self.end.segment {
            self.end.offset.saturating_sub(position.offset)
        } else {
            self.end.offset
        };
        closed.sum::<u64>() + open
    }
}
