//! Where in an account a message belongs, as far as what was received determines it, and not when it arrives.
//!
//! Sessions and curves of a probe are ordered by their ids, which rise for ever; stamps label. The next run of a curve
//! follows at once. What continues beside its successor, or fits nowhere, is another publisher's.

use std::ops::Range;

use super::Account;
use super::decision::SegmentKind;
use super::run::{Point, Run};
use crate::{Accounting, Energy, Timestamp};

/// Where a message belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To this run.
    Run(usize),
    /// It begins a run on a curve that is followed: to be put here, and whether it goes before all others of it.
    Join(usize, Lowest),
    /// It begins a segment before the run here.
    Insert(usize),
    /// It begins a segment after all others.
    Begin(Begin),
}

/// Whether a run is to be the lowest of its curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lowest {
    Yes,
    No,
}

/// A new segment at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) kind: SegmentKind,
    /// Where its credited time begins.
    pub(super) from: Timestamp,
    /// Where on the curve its credit begins.
    pub(super) base: Energy,
}

/// A message has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// It is of a time that has been closed.
    Closed,
    /// It is another publisher's.
    Rival,
}

impl Begin {
    fn follower(from: Timestamp) -> Self {
        Self { kind: SegmentKind::Follower, from, base: Energy::ZERO }
    }

    /// A rival from this message on.
    pub(super) fn rival_at(message: &Accounting) -> Self {
        Self { kind: SegmentKind::Rival, from: message.timestamp, base: Point::of(message).value() }
    }

    /// A rival received for the first time when ours was last received at `newest`. A session that begins now has nothing
    /// before its first message that another could have been credited.
    pub(super) fn rival(message: &Accounting, newest: Timestamp) -> Self {
        if message.seq > 0 {
            return Self::rival_at(message);
        }
        Self { kind: SegmentKind::Rival, from: newest, base: Point::of(message).begin }
    }
}

impl Account {
    /// Where `message` belongs. `is_silent`: the newest publisher has sent nothing for `max_gap`.
    pub(super) fn place(&self, message: &Accounting, is_silent: bool) -> Result<Place, Nowhere> {
        let (curve, begin) =
            message.curve.map_or((message.session, Energy::ZERO), |curve| (curve.id, curve.begin));
        let (session, stamp) = (message.session, message.timestamp);
        let Some(newest) = self.runs.last() else {
            return Ok(Place::Begin(self.begin_after_legacy(message, curve, begin)));
        };
        // The usual message first: it continues where the newest one was, on its curve or without.
        if newest.session == session {
            return Ok(Place::Run(self.runs.len() - 1));
        }
        // A session that has a curve no more, or has one by now, is the same session.
        if let Some(index) = self.runs.iter().rposition(|run| run.session == session && run.curve != curve) {
            let segment = self.segment_of(index);
            return self.within(message, index, &segment).map(|()| Place::Run(index));
        }
        if let Some(index) = self.runs.iter().rposition(|run| run.curve == curve) {
            return self.place_on_curve(message, self.segment_of(index));
        }
        if curve > newest.session && curve > newest.top.stamp {
            return Ok(Place::Begin(Begin::follower(curve)));
        }
        // The curve began while another was followed, this run of it after: its earlier runs are not ours.
        if session > newest.session && session > newest.top.stamp {
            return Ok(Place::Begin(Begin { kind: SegmentKind::Rival, from: session, base: begin }));
        }
        // A publisher that keeps no record of its ids started afresh, and the clock is behind the newest id.
        if is_silent && session > newest.top.stamp {
            let base = if curve > newest.top.stamp { Energy::ZERO } else { begin };
            return Ok(Place::Begin(Begin { base, ..Begin::follower(session) }));
        }
        match self.room_for(curve, session, stamp) {
            Some(0) if self.past.is_some() => Err(Nowhere::Closed),
            Some(index) => Ok(Place::Insert(index)),
            None => Err(Nowhere::Rival),
        }
    }

    /// The first session with sums ever received, or the first after messages that had none: these cover the time up to
    /// the newest.
    fn begin_after_legacy(&self, message: &Accounting, curve: Timestamp, begin: Energy) -> Begin {
        if self.past.is_none() {
            return Begin { kind: SegmentKind::First, ..Begin::follower(curve) };
        }
        if curve > self.last {
            return Begin::follower(curve);
        }
        if message.session > self.last {
            return Begin { kind: SegmentKind::Rival, from: message.session, base: begin };
        }
        Begin::rival_at(message)
    }

    /// The place of a message whose curve is followed in `segment`.
    fn place_on_curve(&self, message: &Accounting, segment: Range<usize>) -> Result<Place, Nowhere> {
        let number = message.curve.map_or(1, |curve| curve.run);
        let runs = self.runs.get(segment.clone()).unwrap_or_default();
        let at = segment.start + runs.iter().take_while(|run| run.number < number).count();
        let known = self.runs.get(at).filter(|run| at < segment.end && run.number == number);
        if known.is_some_and(|run| run.session != message.session) {
            return Err(Nowhere::Rival); // Two managers with one state.
        }
        let before_next = if known.is_some() { at } else { at.saturating_sub(1) };
        if known.is_some() || at > segment.start {
            self.within(message, before_next, &segment)?;
        } else if runs.first().is_some_and(|lowest| message.timestamp > lowest.session) {
            return Err(Nowhere::Rival);
        }
        if known.is_some() {
            return Ok(Place::Run(at));
        }
        if at > segment.start {
            return Ok(Place::Join(at, Lowest::No));
        }
        match runs.first().and_then(|run| run.opens) {
            Some(SegmentKind::First | SegmentKind::Follower) => Ok(Place::Join(at, Lowest::Yes)),
            Some(SegmentKind::Rival) | None => Err(Nowhere::Closed),
        }
    }

    /// Whether a message of the run at `index`, or of one just after it, is from before what follows.
    fn within(&self, message: &Accounting, index: usize, segment: &Range<usize>) -> Result<(), Nowhere> {
        let Some(next) = self.runs.get(index + 1) else { return Ok(()) };
        let end = if index + 1 < segment.end { next.session } else { next.begin };
        if message.timestamp > end { Err(Nowhere::Rival) } else { Ok(()) }
    }

    /// The runs of the segment to which the run at `index` belongs.
    fn segment_of(&self, index: usize) -> Range<usize> {
        let opens = |run: &Run| run.opens.is_some();
        let upto = self.runs.get(..=index).unwrap_or_default();
        let after = self.runs.get(index + 1..).unwrap_or_default();
        let start = upto.iter().rposition(opens).unwrap_or(0);
        let end = after.iter().position(opens).map_or(self.runs.len(), |ahead| index + 1 + ahead);
        start..end
    }

    /// Where a late curve fits: after all of the one before, before the one that follows began.
    pub(super) fn room_for(&self, curve: Timestamp, session: Timestamp, stamp: Timestamp) -> Option<usize> {
        let mut newest: Option<Timestamp> = None;
        for (index, run) in self.runs.iter().enumerate() {
            if index == 0 || run.opens.is_some() {
                let newest_before = newest.take();
                let begin = if index == 0 { run.curve } else { run.begin };
                let is_after = newest_before.is_none_or(|newest| newest <= curve);
                if is_after && stamp <= begin && session < begin {
                    return Some(index);
                }
            }
            newest = newest.max(Some(run.top.stamp));
        }
        None
    }
}
