//! Where an account stands, in a few words: so that two plugins that received from the same publishers can determine
//! whether their accounts agree, without sending them.
//!
//! They are never queried at the same instant. But whatever the newest message, an account's energy less what that
//! message has is the same as long as its session lasts: two accounts that agree in it agree at every message of the
//! session.

use serde::{Deserialize, Serialize};

use super::Account;
use super::fold::Step;
use crate::{Energy, Timestamp};

/// Where an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where the total counts from.
    pub since: Timestamp,
    /// The total.
    pub energy: Energy,
    /// Session and number of the newest message; `None` where only messages of the original Kwapi were received.
    newest: Option<(Timestamp, u64)>,
    /// Measured, estimated and bridged energy, less what the newest message has of each, in millijoules. `None` while that
    /// is not the same at every message: a total is held, or two publishers send.
    base: Option<[i64; 3]>,
}

/// How one account stands to another of the same probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandingOrder {
    /// They agree, as far as can be determined.
    Equal,
    /// They cannot be compared, as neither has received the newest message of the other; or it is for the other to take
    /// ours.
    Ahead,
    /// The other begins earlier, or has a later session: it is to be taken.
    Behind,
    /// At the same message they have different energy, by so much; or the same with different statuses. The other is to be
    /// taken, as ours is there.
    Differs(Energy),
}

impl Account {
    /// Where it stands; `None` before the first message.
    pub fn standing(&self) -> Option<Standing> {
        let since = self.first_stamp()?;
        let totals = self.totals();
        let newest = self.runs.last();
        let base = newest.filter(|_| self.is_steady()).map(|run| {
            let point = run.top;
            // Of a run's begin on its curve, what counts is a stop's.
            let bridged = point.totals.bridged.saturating_add(point.begin);
            let parts = [
                (totals.measured(), point.totals.measured()),
                (totals.estimated, point.totals.estimated),
                (totals.bridged, bridged),
            ];
            parts.map(|(all, newest)| signed(all).saturating_sub(signed(newest)))
        });
        let newest = newest.map(|run| (run.session, run.top.seq));
        Some(Standing { since, energy: totals.energy, newest, base })
    }

    /// Whether the next message raises the total by what it has more than the newest.
    fn is_steady(&self) -> bool {
        let mut curve = self.past.as_ref().and_then(|past| past.sum.curve);
        let mut joules = self.past.as_ref().map_or(0, |past| past.energy());
        let mut is_at_top = false;
        for run in &self.runs {
            let step = Step::new(curve, run);
            is_at_top = step.curve.is_at(run.top.value());
            joules = joules.saturating_add(step.energy());
            curve = Some(step.curve);
        }
        is_at_top && self.rival.is_none() && joules >= self.published.millijoules()
    }
}

impl Standing {
    /// What is the same at every message of the newest session: where two accounts of a probe have the same, neither has to take
    /// anything of the other, as far as [`Standing::compare`] can determine. Begin, session and the three parts of the
    /// energy, as numbers of eight bytes, the least first. `None` while the next message may change it.
    pub fn constant(&self) -> Option<[u8; 40]> {
        let session = self.newest.map_or(u64::MAX, |(session, _)| session.micros());
        // Of the original Kwapi's messages only the begin is known.
        let [measured, estimated, bridged] = if self.newest.is_none() { [0; 3] } else { self.base? };
        let [since, session] = [self.since.micros(), session].map(u64::to_le_bytes);
        let parts = [measured, estimated, bridged].map(i64::to_le_bytes);
        let mut all = [0; 40];
        for (place, part) in all.chunks_exact_mut(8).zip([since, session].iter().chain(&parts)) {
            place.copy_from_slice(part);
        }
        Some(all)
    }

    /// Whether this one has received the newest message of `other`, or a later one.
    pub fn covers(&self, other: &Self) -> bool {
        self.newest >= other.newest
    }

    /// How the account that stands here stands to `other`'s.
    pub fn compare(&self, other: &Self) -> StandingOrder {
        let (Some((session, seq)), Some((other_session, other_seq))) = (self.newest, other.newest) else {
            // Of the original Kwapi's messages none can be distinguished from another.
            let is_behind = other.since < self.since || self.newest.is_none() && other.newest.is_some();
            return if is_behind { StandingOrder::Behind } else { StandingOrder::Ahead };
        };
        if other.since < self.since || other_session > session {
            return StandingOrder::Behind;
        }
        if self.since < other.since || session > other_session {
            return StandingOrder::Ahead;
        }
        match (self.base, other.base) {
            (Some(own), Some(others)) if own == others => StandingOrder::Equal,
            (Some(own), Some(others)) => {
                let sum = |base: [i64; 3]| base.iter().fold(0_i64, |sum, part| sum.saturating_add(*part));
                let difference = sum(own).saturating_sub(sum(others)).unsigned_abs();
                StandingOrder::Differs(Energy::from_millijoules(difference))
            }
            _ if seq != other_seq => StandingOrder::Ahead,
            _ if self.energy == other.energy => StandingOrder::Equal,
            _ => {
                let (more, less) = (self.energy.max(other.energy), self.energy.min(other.energy));
                StandingOrder::Differs(more.saturating_sub(less))
            }
        }
    }
}

fn signed(energy: Energy) -> i64 {
    i64::try_from(energy.millijoules()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
