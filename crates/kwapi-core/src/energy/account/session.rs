//! What an account keeps of its publishers: their sessions, as far as they have been heard.

use serde::{Deserialize, Serialize};

use crate::{Accounting, Timestamp, Totals};

/// How far below its newest message a session's messages are told apart, one bit each.
const WINDOW: u64 = 64;

/// One publisher's session.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: Timestamp,
    /// Where its credited time begins.
    pub(super) from: Timestamp,
    /// The stamp of its newest message.
    pub(super) last: Timestamp,
    pub(super) seq_max: u64,
    pub(super) seq_min: u64,
    /// Which of the `WINDOW` messages up to `seq_max` have been seen, newest in bit 0.
    pub(super) seen: u64,
    pub(super) highest: Totals,
    pub(super) base: Totals,
}

/// What a message is among its session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The newest; so many between it and the newest before have not come.
    Newest(u64),
    /// One of those that had not come.
    Between,
    /// Before all others.
    Earliest,
    /// Seen before, or too old to tell.
    Duplicate,
}

impl Session {
    pub(super) fn open(message: &Accounting, from: Timestamp, base: Totals) -> Self {
        Self {
            id: message.session,
            from,
            last: message.timestamp,
            seq_max: message.seq,
            seq_min: message.seq,
            seen: 1,
            highest: message.totals,
            base,
        }
    }

    /// Takes note of one of its messages. However far back, one before all others is told from a duplicate.
    pub(super) fn note(&mut self, message: &Accounting) -> Place {
        if let Some(ahead) = message.seq.checked_sub(self.seq_max).filter(|ahead| *ahead > 0) {
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.seq_max = message.seq;
            self.highest = self.highest.max(&message.totals);
            self.last = message.timestamp;
            return Place::Newest(ahead - 1);
        }
        let behind = self.seq_max - message.seq;
        let bit = if behind < WINDOW { 1 << behind } else { 0 };
        let is_earliest = message.seq < self.seq_min;
        if self.seen & bit != 0 || (bit == 0 && !is_earliest) {
            return Place::Duplicate;
        }
        self.seen |= bit;
        self.seq_min = self.seq_min.min(message.seq);
        if is_earliest { Place::Earliest } else { Place::Between }
    }

    /// What it is good for.
    pub(super) fn credit(&self) -> Totals {
        self.highest.since(&self.base)
    }

    /// The time between this session and the next, of which nothing is known, in milliseconds.
    pub(super) fn gap_ms(&self, next: &Self) -> u64 {
        u64::try_from(next.from.since(self.last).as_millis()).unwrap_or(u64::MAX)
    }
}

/// A second publisher of the same probe, refused for now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Challenger {
    pub(super) id: Timestamp,
    seq: u64,
    highest: Totals,
    /// Where its credit begins should it take over.
    pub(super) begin: Begin,
}

/// Where credit begins: the totals from which it counts, and the stamp they are of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) base: Totals,
    pub(super) from: Timestamp,
}

impl Begin {
    /// Where the credit of a rival begins if the publisher we have, last heard at `ours_last`, is not heard again: at
    /// its first message when that is the one we hear first, as its session began only then, and else at what it has
    /// by now, which may be the same time's.
    pub(super) fn of_rival(message: &Accounting, ours_last: Timestamp) -> Self {
        if message.seq == 0 {
            Self { base: Totals::default(), from: ours_last }
        } else {
            Self { base: message.totals, from: message.timestamp }
        }
    }
}

impl Challenger {
    pub(super) fn new(message: &Accounting, begin: Begin) -> Self {
        Self { id: message.session, seq: message.seq, highest: message.totals, begin }
    }

    /// Takes note of a further message of its.
    pub(super) fn note(&mut self, message: &Accounting) {
        if message.seq > self.seq {
            self.seq = message.seq;
            self.highest = self.highest.max(&message.totals);
        }
    }

    /// The publisher we have was heard at `last`: both are alive, and what this one has so far is not ours to credit.
    pub(super) fn postpone(&mut self, last: Timestamp) {
        self.begin = Begin { base: self.highest, from: last };
    }
}
