//! A probe's account at a plugin: what has been credited to it, from messages that may come late, twice, in any
//! order or not at all.
//!
//! The publisher integrates; the account only takes differences of its running totals. It follows **segments**, one after
//! the other: a register's curve with its runs, or a session without one. Its first segment counts from the lowest point
//! received, one that began after all that was received before from its begin, and a rival, a second publisher, from
//! where it was taken up, once ours has been silent for `max_gap`. `place` has the order, `fold` the sums.
//!
//! **What is kept.** Of each run its lowest and its highest message and which of the last 64 have come, so that the total
//! is a function of what was received and not of the order. At most [`RUNS_MAX`] runs are open, and one once it has
//! lasted a day; older ones are closed: their part of the total is final, and what comes of them later is refused
//! ([`Refused::SessionClosed`]). A message more than 64 before its run's newest (of a probe that measures more than 32
//! times a second: more than two seconds and 2 048 messages) cannot be distinguished from a repeated one and is taken
//! for it; the total is the same.
//!
//! **Time** is wall time from `since` on: the publishers' monotonic milliseconds, laid where they are stamped. A second
//! counts once, though a clock was set back; what a clock that was set forward passes over is unknown. Unknown time is
//! not added up but is what is left between [`Account::since`] and [`Account::last`]. `coverage` has which instants are
//! known to be covered; within a run of mixed statuses the statuses are known by their sums and not by place. Whoever kept
//! every message could lay time more exactly in one case: where messages are lost around the very second in which a clock
//! was set, by no more than that step.

mod coverage;
mod decision;
mod fold;
mod merge;
mod missing;
mod place;
mod run;
mod snapshot;
mod standing;
mod trace;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use decision::Conflict;
pub use decision::{Credit, Decision, SegmentKind, Stretch};
pub use snapshot::SnapshotError;
pub use standing::{Standing, StandingOrder};
pub use trace::{Trace, Traced};

use fold::Past;
use place::{Begin, Lowest, Nowhere, Place};
use run::Run;

use crate::{Accounting, Energy, Timestamp, Totals, Watts};

/// How many runs (or sessions) may still be credited late; an older one is closed.
const RUNS_MAX: usize = 4;

/// What one probe has used, and what is needed to credit its next message.
///
/// Of a probe with one session it takes less than 250 bytes. A copy is cheap, and cheaper still over one that is there
/// already (`clone_from`): whoever must write a credit down before it counts takes it on a copy, and puts that in the
/// account's place afterwards.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The open runs, in the order of their segments and numbers.
    runs: Vec<Run>,
    /// What came before them; `None` while nothing was closed.
    past: Option<Box<Past>>,
    last: Timestamp,
    /// The largest total ever given: none after it is less, whatever a publisher sends.
    published: Energy,
    lost: u32,
    /// Whether nothing has been received since the account was read from disk: the publisher's silence is not fully
    /// known then.
    #[serde(skip)]
    is_resumed: bool,
    /// When a message of the newest publisher was last received, on the plugin's monotonic clock, in microseconds: half
    /// of a `Duration`, as there may be a hundred thousand accounts.
    #[serde(skip)]
    received_us: u64,
    #[serde(skip)]
    rival: Option<Box<Rival>>,
}

impl Clone for Account {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    /// Without an allocation where `self` has had a run.
    fn clone_from(&mut self, source: &Self) {
        let Self { runs, past, last, published, lost, is_resumed, received_us, rival } = source;
        if self.runs.capacity() < runs.len() {
            self.runs = Vec::with_capacity(runs.len());
        }
        self.runs.clone_from(runs);
        self.past.clone_from(past);
        self.rival.clone_from(rival);
        (self.last, self.published, self.lost) = (*last, *published, *lost);
        (self.is_resumed, self.received_us) = (*is_resumed, *received_us);
    }
}

/// A publisher other than the newest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rival {
    session: Timestamp,
    /// Where its credit begins should it take over. `None`: at its next message, as ours has been received since, and
    /// what it has by then is not ours to credit.
    begin: Option<Begin>,
    /// Whether it has been refused, or only continues a run that has a successor.
    is_refused: bool,
}

/// Why a message was not credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// This very message was credited before (a second route, a replay), or is too old to distinguish.
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
        self.first_stamp().unwrap_or_default()
    }

    /// The stamp of the newest measurement credited. It falls when the publisher's clock is set back.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Messages known to exist (by their sequence) that have not come.
    pub fn lost(&self) -> u64 {
        self.lost.into()
    }

    /// Whether a second publisher has claimed this probe since the current one took it.
    pub fn has_conflict(&self) -> bool {
        self.conflict().is_some()
    }

    /// Whose messages are refused beside whose, while a second publisher claims this probe.
    pub(crate) fn conflict(&self) -> Option<Conflict> {
        let rival = self.rival.as_ref().filter(|rival| rival.is_refused)?;
        Some(Conflict { credited: self.runs.last()?.session, refused: rival.session })
    }

    /// Energy credited since [`Account::since`], and how the wall time from there to [`Account::last`] is made up.
    pub fn totals(&self) -> Totals {
        self.fold()
    }

    /// Restarts an account read from disk at monotonic time `received_at`, so that its publisher is not taken for
    /// silent.
    pub fn resume(&mut self, received_at: Duration) {
        self.received_us = microseconds(received_at);
        self.is_resumed = true;
    }

    /// Credits a message that carries its publisher's totals. `received_at` is now, on the plugin's monotonic clock.
    ///
    /// # Errors
    /// See [`Refused`]: totals are unchanged then. The account notes who is refused, so that whoever credits on a copy keeps
    /// the copy in this case too.
    pub fn credit(
        &mut self,
        message: &Accounting,
        received_at: Duration,
        max_gap: Duration,
    ) -> Result<Credit, Refused> {
        let before = self.totals();
        let is_silent = self.silence(received_at) > max_gap;
        let place = match self.place(message, is_silent) {
            Ok(place) => place,
            Err(Nowhere::Closed) => return Err(Refused::SessionClosed),
            Err(Nowhere::Rival) => Place::Begin(self.challenge(message, is_silent)?),
        };
        let (index, stretch) = self.take(message, place)?;
        let is_newest_run = index + 1 == self.runs.len();
        let is_top = self.runs.get(index).is_some_and(|run| run.top.seq == message.seq);
        let is_present = is_top && !is_newest_run && is_silent && message.timestamp > self.last;
        let decision = match place {
            Place::Begin(Begin { kind, from, base }) => Decision::Begin { kind, begin: from, base },
            Place::Insert(_) => Decision::Insert,
            Place::Run(_) | Place::Join(..) if is_present => Decision::Present,
            Place::Run(_) | Place::Join(..) => Decision::Continue,
        };
        if is_newest_run {
            self.received_us = self.received_us.max(microseconds(received_at));
            self.is_resumed = false;
            if let Some(rival) = &mut self.rival {
                rival.begin = None;
            }
        } else if is_top {
            self.note_predecessor(message);
        }
        let is_newest = is_top && is_newest_run || decision == Decision::Present;
        let totals = self.settle(message, is_newest);
        Ok(Credit { before, totals, stretch, is_newest, decision })
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
        received_at: Duration,
        max_gap: Duration,
    ) -> Result<Credit, Refused> {
        let elapsed = self.silence(received_at);
        if !self.runs.is_empty() && elapsed <= max_gap && self.last != Timestamp::EPOCH {
            return Err(Refused::ConflictingPublisher);
        }
        let (mut gained, mut covered_ms) = (Energy::ZERO, 0);
        if self.first_stamp().is_some() && !self.is_resumed && elapsed <= max_gap {
            gained = Energy::from_joules(power.0 * elapsed.as_secs_f64()).unwrap_or_default();
            covered_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        }
        let (before, from) = (self.totals(), self.last);
        let totals = self.take_legacy(now, gained, covered_ms);
        self.received_us = microseconds(received_at);
        self.is_resumed = false;
        let decision = Decision::Legacy { gained, covered_ms };
        let from = if before == Totals::default() { from.max(self.since()) } else { from };
        Ok(Credit { before, totals, stretch: Stretch { from, to: now }, is_newest: true, decision })
    }

    /// Takes a message again, from a journal, as it was taken when it came: by the recorded decision and by nothing of
    /// the time it is read. `at` is the stamp of a message of the original Kwapi (`message` is `None`). What was refused
    /// is not to be given. Call [`Account::resume`] before the next credit.
    ///
    /// Where the journal has lost what came before, a message that has no place begins a segment of its own, at what its
    /// publisher had by then.
    pub fn replay(&mut self, at: Timestamp, message: Option<&Accounting>, decision: &Decision) {
        let Some(message) = message else {
            if let Decision::Legacy { gained, covered_ms } = *decision {
                self.take_legacy(at, gained, covered_ms);
            }
            return;
        };
        let Some(place) = self.place_again(message, decision) else { return };
        let Ok((index, _)) = self.take(message, place) else { return };
        let is_newest_run = index + 1 == self.runs.len();
        let is_top = self.runs.get(index).is_some_and(|run| run.top.seq == message.seq);
        self.settle(message, is_top && is_newest_run || *decision == Decision::Present);
    }

    /// Where a message is put by the recorded decision; `None`: nowhere.
    fn place_again(&self, message: &Accounting, decision: &Decision) -> Option<Place> {
        let place = match *decision {
            Decision::Begin { kind, begin, base } => Ok(Place::Begin(Begin { kind, from: begin, base })),
            Decision::Continue | Decision::Present | Decision::Insert => self.place(message, false),
            Decision::Legacy { .. } => return None,
        };
        match place {
            Ok(place) => Some(place),
            Err(Nowhere::Closed) => None,
            Err(Nowhere::Rival) => Some(Place::Begin(Begin::rival_at(message))),
        }
    }

    /// Puts a message in its place. Answers the index of its run and the time it belongs to.
    fn take(&mut self, message: &Accounting, place: Place) -> Result<(usize, Stretch), Refused> {
        let to = message.timestamp;
        let (index, opens) = match place {
            Place::Run(index) => return Ok((index, self.extend(message, index)?)),
            Place::Join(index, Lowest::No) => (index, None),
            Place::Join(index, Lowest::Yes) => {
                // It is the segment's first now, in the place of the one that was.
                let first = self.runs.get_mut(index).map(|run| (run.opens.take(), run.begin, run.base));
                (index, first.and_then(|(kind, from, base)| Some(Begin { kind: kind?, from, base })))
            }
            Place::Insert(index) => {
                let mut kind = SegmentKind::Follower;
                if let Some(first) = self.runs.first_mut().filter(|_| index == 0) {
                    // An earlier first: what the later one had when it was first received is known now.
                    (first.opens, first.begin, first.base) = (Some(kind), first.curve, Energy::ZERO);
                    kind = SegmentKind::First;
                }
                let from = message.curve.map_or(message.session, |curve| curve.id);
                (index, Some(Begin { kind, from, base: Energy::ZERO }))
            }
            Place::Begin(begin) => {
                self.rival = None;
                (self.runs.len(), Some(begin))
            }
        };
        let mut run = Run::new(message);
        if let Some(Begin { kind, from, base }) = opens {
            (run.opens, run.begin, run.base) = (Some(kind), from, base);
        }
        let from = if self.first_stamp().is_none() { to } else { self.last };
        // Most probes have one session for months; a vector's usual room for four would double the account's size.
        self.runs.reserve_exact(1);
        self.runs.insert(index.min(self.runs.len()), run);
        Ok((index, Stretch { from, to }))
    }

    /// Takes a message of a known run.
    fn extend(&mut self, message: &Accounting, index: usize) -> Result<Stretch, Refused> {
        let to = message.timestamp;
        let Some(run) = self.runs.get_mut(index) else { return Err(Refused::SessionClosed) };
        let (low, top) = (run.low().stamp, run.top.stamp);
        match run.note(message) {
            run::RunPlace::Newest(skipped) => {
                self.lost = self.lost.saturating_add(u32::try_from(skipped).unwrap_or(u32::MAX));
                Ok(Stretch { from: top, to })
            }
            run::RunPlace::Between => {
                self.lost = self.lost.saturating_sub(1);
                Ok(Stretch { from: to, to })
            }
            run::RunPlace::Earliest => Ok(Stretch { from: to, to: low }),
            run::RunPlace::Duplicate => Err(Refused::Duplicate),
        }
    }

    /// What follows from a message that was taken: the totals with it.
    fn settle(&mut self, message: &Accounting, is_newest: bool) -> Totals {
        if is_newest {
            self.last = message.timestamp;
        }
        while self.runs.len() > RUNS_MAX {
            self.close_oldest();
        }
        self.close_outlived();
        let totals = self.totals();
        self.published = totals.energy;
        totals
    }

    /// Takes a message of the original Kwapi that is good for `gained` and the `covered_ms` up to `now`.
    fn take_legacy(&mut self, now: Timestamp, gained: Energy, covered_ms: u64) -> Totals {
        while !self.runs.is_empty() {
            self.close_oldest();
        }
        self.rival = None;
        let since = self.first_stamp().unwrap_or(now);
        let past = self.past.get_or_insert_with(|| Box::new(Past::new(since)));
        past.take_legacy(self.last, now, gained, covered_ms);
        self.last = self.last.max(now);
        let totals = self.totals();
        self.published = totals.energy;
        totals
    }

    /// How long the current publisher has been silent at `received_at`.
    fn silence(&self, received_at: Duration) -> Duration {
        received_at.saturating_sub(Duration::from_micros(self.received_us))
    }

    /// Another publisher. It takes over once ours is silent, from its first message after the last message received of
    /// ours.
    fn challenge(&mut self, message: &Accounting, is_silent: bool) -> Result<Begin, Refused> {
        let newest = self.runs.last().map_or(self.last, |run| run.top.stamp);
        let begin = match self.rival.as_deref() {
            Some(rival) if rival.session == message.session => {
                rival.begin.unwrap_or_else(|| Begin::rival_at(message))
            }
            _ => Begin::rival(message, newest),
        };
        if is_silent {
            return Ok(begin);
        }
        let rival = Rival { session: message.session, begin: Some(begin), is_refused: true };
        self.rival = Some(Box::new(rival));
        Err(Refused::ConflictingPublisher)
    }

    /// A further message of a run that has a successor. Should it continue into the successor's time, the clock was set
    /// back, or it is a rival: it has been credited up to here.
    fn note_predecessor(&mut self, message: &Accounting) {
        let begin = Some(Begin::rival_at(message));
        match &mut self.rival {
            Some(rival) if rival.session == message.session => rival.begin = begin,
            Some(_) => {}
            None => self.rival = Some(Box::new(Rival { session: message.session, begin, is_refused: false })),
        }
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
