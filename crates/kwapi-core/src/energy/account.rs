//! A probe's account at a plugin: what has been credited to it, from messages that may come late, twice, in any
//! order or not at all.
//!
//! The publisher integrates; the account only takes differences of its running totals. A session's credit is its
//! highest total less its base: for the first session ever seen, the total at its lowest message (nothing is known
//! of the time before); for every other session, nothing, so that all of it counts. Sessions must follow each other in time.
//! Two that overlap are two publishers: the first stays until it has been silent for `max_gap`.
//!
//! Unknown time is what the sessions say of themselves, on their publishers' monotonic clocks, and the wall-clock time
//! between one session and the next: a wall clock that is set makes none.

mod decision;
mod session;
mod snapshot;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use decision::{Conflict, Credit, Decision, SegmentKind, Stretch};
pub use snapshot::SnapshotError;

use session::{Begin, Challenger, Place, Session};

use crate::{Accounting, Energy, Timestamp, Totals, Watts};

/// How many sessions may still be credited late; an older one is closed.
const SESSIONS_MAX: usize = 3;

/// What one probe has used, and what is needed to credit its next message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    since: Timestamp,
    last: Timestamp,
    closed: Totals,
    sessions: Vec<Session>,
    /// Whether the first session ever seen is still among `sessions` (at the front).
    first_is_open: bool,
    challenger: Option<Box<Challenger>>,
    lost: u64,
    /// Whether nothing has been heard since the account was read from disk: the silence is not all ours to know then.
    #[serde(skip)]
    is_resumed: bool,
    /// When the current publisher was last heard, on the plugin's monotonic clock, in microseconds: half of a
    /// `Duration`, as there may be a hundred thousand accounts.
    #[serde(skip)]
    heard_us: u64,
}

/// Why a message was not credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// This very message was credited before (a second route, a replay), or is too old to tell.
    #[error("duplicate")]
    Duplicate,
    /// It belongs to a session that has been closed.
    #[error("session closed")]
    SessionClosed,
    /// Another publisher of this probe is alive.
    #[error("conflicting publisher")]
    ConflictingPublisher,
}

impl Account {
    /// Where the total counts from: the stamp of the earliest message; the epoch before there is one.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The stamp of the newest measurement credited. It falls when the publisher's clock is set back.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Messages known to exist (by their sequence) that have not come.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether a second publisher has claimed this probe since the current one was last heard.
    pub fn is_challenged(&self) -> bool {
        self.challenger.is_some()
    }

    /// Energy credited since [`Account::since`], and what is known of the time.
    pub fn totals(&self) -> Totals {
        let mut totals = self.closed;
        let mut before: Option<&Session> = None;
        for session in &self.sessions {
            totals = totals.plus(&session.credit());
            if let Some(before) = before {
                totals.unknown_ms = totals.unknown_ms.saturating_add(before.gap_ms(session));
            }
            before = Some(session);
        }
        totals
    }

    /// Tells an account read from disk that monotonic time is now `heard`, so that its publisher is not taken for
    /// silent.
    pub fn resume(&mut self, heard: Duration) {
        self.heard_us = microseconds(heard);
        self.is_resumed = true;
    }

    /// Credits a message that carries its publisher's totals. `heard` is now, on the plugin's monotonic clock.
    ///
    /// # Errors
    /// See [`Refused`]: the total is unchanged then.
    pub fn credit(
        &mut self,
        message: &Accounting,
        heard: Duration,
        max_gap: Duration,
    ) -> Result<Credit, Refused> {
        let before = self.totals();
        let (last, segments) = (self.last, self.sessions.last().map(|session| session.id));
        let known = self.sessions.iter().position(|session| session.id == message.session);
        let index = match known {
            Some(index) if self.is_overtaken(index, message) => {
                self.overtake(index, message, heard, max_gap)?
            }
            Some(index) => {
                self.continue_session(index, message)?;
                index
            }
            None => self.open_session(message, heard, max_gap)?,
        };
        let newest = self.sessions.last().filter(|_| index + 1 == self.sessions.len());
        let is_newest = newest.is_some_and(|session| session.seq_max == message.seq);
        if let Some(newest) = newest {
            self.last = newest.last;
            self.heard_us = self.heard_us.max(microseconds(heard));
            self.is_resumed = false;
            if let Some(challenger) = &mut self.challenger {
                challenger.postpone(newest.last);
            }
        }
        let decision = match (known, self.sessions.get(index)) {
            (None, Some(session)) if segments != self.sessions.last().map(|session| session.id) => {
                let kind = if segments.is_none() && before == Totals::default() {
                    SegmentKind::First
                } else if session.base == Totals::default() {
                    SegmentKind::Follower
                } else {
                    SegmentKind::Rival
                };
                Decision::Begin { kind, begin: session.from, base: session.base.energy }
            }
            (None, _) => Decision::Insert,
            (Some(_), _) => Decision::Continue,
        };
        while self.sessions.len() > SESSIONS_MAX {
            self.close(0);
        }
        let stretch = Stretch { from: last, to: message.timestamp };
        Ok(Credit { before, totals: self.totals(), stretch, is_newest, decision })
    }

    /// Takes a message again, from a journal, as it was taken when it came: by the recorded decision and by nothing of
    /// the time it is read. `at` labels a message of the original Kwapi (`message` is `None`).
    pub fn replay(&mut self, at: Timestamp, message: Option<&Accounting>, decision: &Decision) {
        match (message, decision) {
            (Some(message), _) => {
                _ = self.credit(message, Duration::from_micros(self.heard_us), Duration::MAX);
            }
            (None, Decision::Legacy { gained, covered_ms }) => {
                self.closed.energy = self.closed.energy.saturating_add(*gained);
                self.closed.measured_ms = self.closed.measured_ms.saturating_add(*covered_ms);
                self.last = at;
            }
            (None, _) => {}
        }
    }

    /// Whose messages are refused beside whose, while a second publisher claims this probe.
    pub fn conflict(&self) -> Option<Conflict> {
        let refused = self.challenger.as_ref()?.id;
        Some(Conflict { credited: self.sessions.last()?.id, refused })
    }

    /// Credits a message of the original Kwapi, which has neither stamp nor totals: new watts times the time since
    /// the message before, on the plugin's monotonic clock, and nothing across a gap. `now` labels it.
    ///
    /// # Errors
    /// When a publisher that sends totals is alive.
    pub fn credit_legacy(
        &mut self,
        power: Watts,
        now: Timestamp,
        heard: Duration,
        max_gap: Duration,
    ) -> Result<Credit, Refused> {
        let elapsed = self.silence(heard);
        if !self.sessions.is_empty() && elapsed <= max_gap && self.last != Timestamp::EPOCH {
            return Err(Refused::ConflictingPublisher);
        }
        self.close_all();
        let (before, from) = (self.totals(), self.last);
        let (mut gained, mut covered_ms) = (Energy::ZERO, 0);
        if self.since == Timestamp::EPOCH {
            self.since = now;
        } else if self.is_resumed {
            self.add_unknown(now.since(self.last));
        } else if elapsed > max_gap {
            self.add_unknown(elapsed);
        } else {
            gained = Energy::from_joules(power.0.max(0.0) * elapsed.as_secs_f64()).unwrap_or_default();
            self.closed.energy = self.closed.energy.saturating_add(gained);
            covered_ms = u64::try_from(elapsed.as_millis()).unwrap_or(0);
            self.closed.measured_ms += covered_ms;
        }
        self.heard_us = microseconds(heard);
        self.is_resumed = false;
        self.last = self.last.max(now);
        let decision = Decision::Legacy { gained, covered_ms };
        let stretch = Stretch { from, to: now };
        Ok(Credit { before, totals: self.totals(), stretch, is_newest: true, decision })
    }

    /// How long the current publisher has been silent at `heard`.
    fn silence(&self, heard: Duration) -> Duration {
        heard.saturating_sub(Duration::from_micros(self.heard_us))
    }

    /// Most probes have one session for months; a vector's usual room for four would double the account's size.
    fn push_session(&mut self, session: Session) {
        self.sessions.reserve_exact(1);
        self.sessions.push(session);
    }

    fn close_all(&mut self) {
        while !self.sessions.is_empty() {
            self.close(0);
        }
        self.challenger = None;
    }

    /// Closes a session: its credit is final. The next now stands for the time of both.
    fn close(&mut self, index: usize) {
        let session = self.sessions.remove(index);
        self.closed = self.closed.plus(&session.credit());
        if let Some(next) = self.sessions.get_mut(index) {
            self.closed.unknown_ms = self.closed.unknown_ms.saturating_add(session.gap_ms(next));
            next.from = next.from.min(session.from);
        }
        self.first_is_open &= index != 0;
    }

    fn add_unknown(&mut self, time: Duration) {
        let unknown_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.closed.unknown_ms = self.closed.unknown_ms.saturating_add(unknown_ms);
    }

    /// A message of a session already known.
    fn continue_session(&mut self, index: usize, message: &Accounting) -> Result<(), Refused> {
        let is_first = index == 0 && self.first_is_open;
        let Some(session) = self.sessions.get_mut(index) else { return Err(Refused::SessionClosed) };
        match session.note(message) {
            Place::Newest(skipped) => self.lost = self.lost.saturating_add(skipped),
            Place::Between => self.lost = self.lost.saturating_sub(1),
            Place::Earliest if is_first => {
                session.base = message.totals;
                self.since = self.since.min(message.timestamp);
            }
            Place::Earliest => {}
            Place::Duplicate => return Err(Refused::Duplicate),
        }
        Ok(())
    }

    /// A message of a session not seen before: a successor, a late predecessor, or somebody else.
    fn open_session(
        &mut self,
        message: &Accounting,
        heard: Duration,
        max_gap: Duration,
    ) -> Result<usize, Refused> {
        let Some(newest) = self.sessions.last() else {
            // The first sighting ever, or the first after legacy messages. Those cover the time up to `last`.
            let never_seen = self.since == Timestamp::EPOCH;
            let covered = never_seen || message.session <= self.last;
            if never_seen {
                self.since = message.timestamp;
                self.first_is_open = true;
            }
            let (from, base) = if covered && !never_seen {
                (message.timestamp, message.totals)
            } else {
                (message.session, if never_seen { message.totals } else { Totals::default() })
            };
            if !never_seen {
                self.add_unknown(from.since(self.last));
            }
            self.push_session(Session::open(message, from, base));
            return Ok(0);
        };
        let newest_last = newest.last;
        if message.session > newest_last {
            self.challenger = None;
            self.push_session(Session::open(message, message.session, Totals::default()));
            return Ok(self.sessions.len() - 1);
        }
        if let Some(index) = self.room_for(message) {
            return self.insert_late(index, message);
        }
        if self.silence(heard) > max_gap {
            // The publisher we had is gone; its rival takes over from where it stood when ours was last heard.
            let rival = self.challenger.take().filter(|challenger| challenger.id == message.session);
            let Begin { base, from } =
                rival.map_or_else(|| Begin::of_rival(message, newest_last), |challenger| challenger.begin);
            self.push_session(Session::open(message, from, base));
            return Ok(self.sessions.len() - 1);
        }
        self.challenge(message, Begin::of_rival(message, newest_last));
        Err(Refused::ConflictingPublisher)
    }

    /// Notes a message of a second publisher, and where its credit is to begin if it is new.
    fn challenge(&mut self, message: &Accounting, begin: Begin) {
        match &mut self.challenger {
            Some(challenger) if challenger.id == message.session => challenger.note(message),
            challenger => *challenger = Some(Box::new(Challenger::new(message, begin))),
        }
    }

    /// Whether a message of an earlier session is from the time of the next.
    fn is_overtaken(&self, index: usize, message: &Accounting) -> bool {
        self.sessions.get(index + 1).is_some_and(|next| message.timestamp > next.from)
    }

    /// An earlier session that goes on into the time of a later one: somebody else's, or the present one since the
    /// clock was set back to before the later one began. It takes over once that is silent.
    fn overtake(
        &mut self,
        index: usize,
        message: &Accounting,
        heard: Duration,
        max_gap: Duration,
    ) -> Result<usize, Refused> {
        let (Some(session), Some(newest)) = (self.sessions.get(index).copied(), self.sessions.last()) else {
            return Err(Refused::SessionClosed);
        };
        if message.seq <= session.seq_max {
            return Err(Refused::ConflictingPublisher);
        }
        if self.silence(heard) <= max_gap {
            let begin = Begin { base: session.highest, from: newest.last };
            self.challenge(message, begin);
            return Err(Refused::ConflictingPublisher);
        }
        let from = newest.last;
        let rival = self.challenger.take().filter(|challenger| challenger.id == message.session);
        let base = rival.map_or(session.highest, |challenger| challenger.begin.base);
        self.close(index);
        self.push_session(Session::open(message, from, base));
        Ok(self.sessions.len() - 1)
    }

    /// Where in the row of sessions a late one fits without overlapping its neighbours.
    fn room_for(&self, message: &Accounting) -> Option<usize> {
        (0..self.sessions.len()).find(|index| {
            let after_previous = index
                .checked_sub(1)
                .and_then(|previous| self.sessions.get(previous))
                .is_none_or(|previous| previous.last <= message.session);
            let before_next = self.sessions.get(*index).is_some_and(|next| message.timestamp <= next.from);
            after_previous && before_next
        })
    }

    fn insert_late(&mut self, index: usize, message: &Accounting) -> Result<usize, Refused> {
        let mut base = Totals::default();
        if index == 0 {
            let Some(first) = self.sessions.first_mut().filter(|_| self.first_is_open) else {
                return Err(Refused::SessionClosed);
            };
            // An earlier first: what the later one had when it was first seen is now known time.
            first.base = Totals::default();
            base = message.totals;
            self.since = self.since.min(message.timestamp);
        }
        self.sessions.reserve_exact(1);
        self.sessions.insert(index, Session::open(message, message.session, base));
        Ok(index)
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
