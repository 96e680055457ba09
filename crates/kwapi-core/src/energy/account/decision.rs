//! What an account answers to a message, and what a journal keeps of it.

use serde::{Deserialize, Serialize};

use crate::{Energy, Timestamp, Totals};

/// What a message was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The account's totals before the message…
    pub before: Totals,
    /// …and with it. Energy never falls from one to the other; a status may, when a late message shows that what was
    /// bridged had been measured.
    pub totals: Totals,
    /// The wall time the gain belongs to.
    pub stretch: Stretch,
    /// Whether nothing newer of this probe has been seen: only then is its power the present one.
    pub is_newest: bool,
    /// How the account took the message, for [`Account::replay`](super::Account::replay).
    pub decision: Decision,
}

impl Credit {
    /// How much the total rose.
    pub fn gained(&self) -> Energy {
        self.totals.energy.saturating_sub(self.before.energy)
    }
}

/// Wall time from one stamp to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its begin: the newest stamp before the message, in the order of its publisher.
    pub from: Timestamp,
    /// Its end: the message's stamp. Not after `from` where a clock was set back: energy lies where it is stamped.
    pub to: Timestamp,
}

/// How an account took a message: all that was decided by the time it arrived, so that who reads it again from a
/// journal need not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It continues a known session, or the curve of one.
    Continue,
    /// As `Continue`; and while the publisher with the newest session is silent, this one is the present.
    Present,
    /// It begins another segment of the account, after all that was received before.
    Begin {
        /// What kind of segment.
        kind: SegmentKind,
        /// Where its credited time begins.
        begin: Timestamp,
        /// Where on its curve (or in its session's energy) its credit begins.
        base: Energy,
    },
    /// It begins a segment before others that were received earlier.
    Insert,
    /// It is a message of the original Kwapi.
    Legacy {
        /// New watts times the time covered.
        gained: Energy,
        /// The time covered, which ends at the message's stamp, in milliseconds; 0 across a gap.
        covered_ms: u64,
    },
}

/// How a segment of an account began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SegmentKind {
    /// The account began in it: it counts from the lowest point received.
    First,
    /// It began after what was received before: all of it counts.
    Follower,
    /// It ran beside what was received before: it counts from where the account took it up.
    Rival,
}

/// Two publishers of one probe, by their session ids, for the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The session that is credited.
    pub(crate) credited: Timestamp,
    /// The session that is refused.
    pub(crate) refused: Timestamp,
}
