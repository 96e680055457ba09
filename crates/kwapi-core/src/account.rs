//! A probe's account at a plugin: what has been credited to it, from messages that may come late, twice, in any
//! order or not at all.
//!
//! The publisher integrates; the account only takes differences of its running totals. A session's credit is its
//! highest total less its base: for the first session ever seen, the total at its lowest message (nothing is known
//! of the time before); for every other session, nothing, so that all of it counts. Sessions must follow each other in time.
//! Two that overlap are two publishers: the first stays until it has been silent for `max_gap`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Energy, Ledgered, Timestamp, Totals, Watts};

/// How many sessions may still be credited late; an older one is closed.
const SESSIONS_MAX: usize = 3;
/// How far below its newest message a session's messages are told apart, one bit each.
const WINDOW: u64 = 64;

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
    /// When the current publisher was last heard, on the plugin's monotonic clock, in microseconds: half of a
    /// `Duration`, as there may be a hundred thousand accounts.
    #[serde(skip)]
    heard_us: u64,
}

/// One publisher's session, as far as it has been heard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Session {
    id: Timestamp,
    /// Where its credited time begins.
    from: Timestamp,
    last: Timestamp,
    seq_max: u64,
    seq_min: u64,
    /// Which of the `WINDOW` messages up to `seq_max` have been seen, newest in bit 0.
    seen: u64,
    highest: Totals,
    base: Totals,
}

/// A second publisher of the same probe, refused for now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Challenger {
    id: Timestamp,
    seq: u64,
    highest: Totals,
    base: Totals,
}

/// What a message was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// How much the total rose.
    pub gained: Energy,
    /// Whether nothing newer of this probe has been seen, by session and number: only then is its power the present one.
    /// Stamps do not tell, since a clock may be set back.
    pub is_newest: bool,
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

    /// The stamp of the newest measurement credited.
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

    /// Energy credited since [`Account::since`], with what is known of the time; what neither is measured nor
    /// estimated between `since` and `last` is unknown.
    pub fn totals(&self) -> Totals {
        let credited = self.sessions.iter().fold(self.closed, |sum, session| sum.plus(&session.credit()));
        let span_ms = u64::try_from(self.last.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let known_ms = credited.measured_ms.saturating_add(credited.estimated_ms);
        Totals { unknown_ms: span_ms.saturating_sub(known_ms), ..credited }
    }

    /// Tells an account read from disk that monotonic time is now `heard`, so that its publisher is not taken for
    /// silent.
    pub fn resume(&mut self, heard: Duration) {
        self.heard_us = microseconds(heard);
    }

    /// Credits a message that carries its publisher's totals. `heard` is now, on the plugin's monotonic clock.
    ///
    /// # Errors
    /// See [`Refused`]: the total is unchanged then.
    pub fn credit(
        &mut self,
        message: &Ledgered,
        heard: Duration,
        max_gap: Duration,
    ) -> Result<Credit, Refused> {
        let before = self.totals().energy;
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
        if index + 1 == self.sessions.len() {
            self.heard_us = self.heard_us.max(microseconds(heard));
            if let Some(challenger) = &mut self.challenger {
                challenger.base = challenger.highest; // Both are alive: what it has so far is not ours to credit.
            }
        }
        let is_newest = index + 1 == self.sessions.len()
            && self.sessions.last().is_some_and(|session| session.seq_max == message.seq);
        self.last = self.last.max(message.timestamp);
        while self.sessions.len() > SESSIONS_MAX {
            let oldest = self.sessions.remove(0);
            self.closed = self.closed.plus(&oldest.credit());
            self.first_is_open = false;
        }
        Ok(Credit { gained: self.totals().energy.saturating_sub(before), is_newest })
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
        let mut gained = Energy::ZERO;
        if self.since == Timestamp::EPOCH {
            self.since = now;
        } else if elapsed <= max_gap {
            gained = Energy::from_joules(power.0.max(0.0) * elapsed.as_secs_f64()).unwrap_or_default();
            self.closed.energy = self.closed.energy.saturating_add(gained);
            self.closed.measured_ms += u64::try_from(elapsed.as_millis()).unwrap_or(0);
        }
        self.close_all();
        self.heard_us = microseconds(heard);
        self.last = self.last.max(now);
        Ok(Credit { gained, is_newest: true })
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
        for session in self.sessions.drain(..) {
            self.closed = self.closed.plus(&session.credit());
        }
        self.first_is_open = false;
        self.challenger = None;
    }

    /// A message of a session already known.
    fn continue_session(&mut self, index: usize, message: &Ledgered) -> Result<(), Refused> {
        let is_first = index == 0 && self.first_is_open;
        let Some(session) = self.sessions.get_mut(index) else { return Err(Refused::SessionClosed) };
        if let Some(ahead) = message.seq.checked_sub(session.seq_max).filter(|ahead| *ahead > 0) {
            session.seen = if ahead < WINDOW { session.seen << ahead | 1 } else { 1 };
            session.seq_max = message.seq;
            session.highest = session.highest.max(&message.totals);
            session.last = session.last.max(message.timestamp);
            self.lost = self.lost.saturating_add(ahead - 1);
            return Ok(());
        }
        let behind = session.seq_max - message.seq;
        if behind < WINDOW {
            if session.seen & (1 << behind) != 0 {
                return Err(Refused::Duplicate);
            }
            session.seen |= 1 << behind;
        } else if !is_first || message.seq >= session.seq_min {
            return Err(Refused::Duplicate);
        }
        if message.seq < session.seq_min {
            session.seq_min = message.seq;
            if is_first {
                session.base = message.totals;
                self.since = self.since.min(message.timestamp);
            }
        } else {
            self.lost = self.lost.saturating_sub(1);
        }
        Ok(())
    }

    /// A message of a session not seen before: a successor, a late predecessor, or somebody else.
    fn open_session(
        &mut self,
        message: &Ledgered,
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
            let base = if covered { message.totals } else { Totals::default() };
            self.push_session(Session::open(message, message.session.max(self.last), base));
            return Ok(0);
        };
        let newest_last = newest.last;
        if succeeds(message.session, newest.id) {
            self.challenger = None;
            self.push_session(Session::open(message, newest_last, Totals::default()));
            return Ok(self.sessions.len() - 1);
        }
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
            let base = rival.map_or_else(|| base_of_rival(message), |challenger| challenger.base);
            self.push_session(Session::open(message, newest_last, base));
            return Ok(self.sessions.len() - 1);
        }
        self.challenge(message, base_of_rival(message));
        Err(Refused::ConflictingPublisher)
    }

    /// Notes a message of a second publisher; `base` is where its credit begins should it take over.
    fn challenge(&mut self, message: &Ledgered, base: Totals) {
        match &mut self.challenger {
            Some(challenger) if challenger.id == message.session => {
                if message.seq > challenger.seq {
                    challenger.seq = message.seq;
                    challenger.highest = challenger.highest.max(&message.totals);
                }
            }
            challenger => {
                let (id, seq, highest) = (message.session, message.seq, message.totals);
                *challenger = Some(Box::new(Challenger { id, seq, highest, base }));
            }
        }
    }

    /// Whether a message of an earlier session is from the time of the next.
    fn is_overtaken(&self, index: usize, message: &Ledgered) -> bool {
        let Some(session) = self.sessions.get(index) else { return false };
        let is_others = |next: &Session| message.timestamp > next.from && !succeeds(next.id, session.id);
        self.sessions.get(index + 1).is_some_and(is_others)
    }

    /// An earlier session that goes on into the time of a later one: somebody else's, or the present one since the
    /// clock was set back to before the later one began. It takes over once that is silent.
    fn overtake(
        &mut self,
        index: usize,
        message: &Ledgered,
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
            self.challenge(message, session.highest);
            return Err(Refused::ConflictingPublisher);
        }
        let from = newest.last;
        let rival = self.challenger.take().filter(|challenger| challenger.id == message.session);
        let base = rival.map_or(session.highest, |challenger| challenger.base);
        self.closed = self.closed.plus(&session.credit());
        self.sessions.remove(index);
        if index == 0 {
            self.first_is_open = false;
        }
        self.push_session(Session::open(message, from, base));
        Ok(self.sessions.len() - 1)
    }

    /// Where in the row of sessions a late one fits without overlapping its neighbours.
    fn room_for(&self, message: &Ledgered) -> Option<usize> {
        (0..self.sessions.len()).find(|index| {
            let after_previous = index
                .checked_sub(1)
                .and_then(|previous| self.sessions.get(previous))
                .is_none_or(|previous| previous.last <= message.session);
            let before_next = self.sessions.get(*index).is_some_and(|next| message.timestamp <= next.from);
            after_previous && before_next
        })
    }

    fn insert_late(&mut self, index: usize, message: &Ledgered) -> Result<usize, Refused> {
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

/// Whether `session` is the one with which a publisher went on from `before` when its clock was set back: such a one is
/// named by the instant after, so that nobody takes it for somebody else's (ADR 0003).
fn succeeds(session: Timestamp, before: Timestamp) -> bool {
    before.micros().checked_add(1) == Some(session.micros())
}

/// Where the credit of a rival begins if the publisher we have is not heard again: at its first message when that is
/// the one we hear first, as its session began only then, and else at what it has by now, which may be the same time's.
fn base_of_rival(message: &Ledgered) -> Totals {
    if message.seq == 0 { Totals::default() } else { message.totals }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Session {
    fn open(message: &Ledgered, from: Timestamp, base: Totals) -> Self {
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

    fn credit(&self) -> Totals {
        self.highest.since(&self.base)
    }
}

#[cfg(test)]
mod tests;
