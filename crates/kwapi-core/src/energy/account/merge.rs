//! Two accounts of one probe, kept by two plugins that received from the same publishers, become one: what an account
//! would be that has received what either has.
//!
//! Of a session both have, the lowest and the highest message count, of either. A session that only one has takes its
//! place by its id. What is closed cannot be taken apart any more: runs that one has closed are closed in the other as
//! well, and of the two sums that come before the open runs the one is taken with which the total is greater.
//!
//! Where the two do not fit together (each followed another of two publishers that ran side by side), the account with
//! the greater total is taken as it is: nothing is counted twice.
//!
//! Merging is a pure function of what is kept, and takes no side: both plugins come to the same account. No total falls.

use std::cmp::Reverse;
use std::time::Duration;

use super::decision::SegmentKind;
use super::fold::Past;
use super::run::{Point, Run};
use super::{Account, RUNS_MAX, microseconds};
use crate::{Energy, Timestamp};

/// How a run's segment began, as [`Run`] keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Opening {
    /// Of two plugins the one that has more of what ran beside it has the higher.
    rank: u8,
    base: Energy,
    begin: Timestamp,
}

/// What a run is where it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// It continues the segment of the run before it.
    Continues,
    /// It begins a segment.
    Opens(Opening),
}

/// A run of the merged account, and where it is in the two it comes from.
struct Joint {
    run: Run,
    at: [Option<usize>; 2],
}

impl Account {
    /// The account that has received what this one and `other` have. `received_at` is now, on the plugin's monotonic
    /// clock: a publisher that only `other` has received from counts as received just now.
    ///
    /// [`Account::lost`] stays this one's: it counts what did not come here.
    #[must_use]
    pub fn merge(&self, other: &Self, received_at: Duration) -> Self {
        let mut merged = match (self.first_stamp(), other.first_stamp()) {
            (_, None) => self.clone(),
            (None, _) => other.clone(),
            (Some(_), Some(_)) => join(self, other).unwrap_or_else(|| greater(self, other).clone()),
        };
        let since = self.first_stamp().into_iter().chain(other.first_stamp()).min();
        since.into_iter().for_each(|since| merged.begin_at(since));
        merged.published = self.published.max(other.published);
        merged.published = merged.totals().energy;
        let newest = |account: &Self| account.runs.last().map(|run| run.session);
        let is_ours = newest(&merged) == newest(self) && self.first_stamp().is_some();
        merged.received_us = if is_ours { self.received_us } else { microseconds(received_at) };
        merged.is_resumed = self.is_resumed || !is_ours;
        merged.lost = self.lost;
        let is_followed = |session| merged.runs.iter().any(|run| run.session == session);
        merged.rival = self.rival.clone().filter(|rival| !is_followed(rival.session));
        merged
    }

    /// Has the account begin at `since`, if that is earlier.
    fn begin_at(&mut self, since: Timestamp) {
        if self.first_stamp().is_none_or(|own| own <= since) {
            return;
        }
        let past = self.past.get_or_insert_with(|| Box::new(Past::new(since)));
        past.since = since;
        past.origin = past.origin.min(since);
    }

    /// What is closed, if anything is: a past may also hold no more than where the account begins.
    fn closed(&self) -> Option<&Past> {
        self.past.as_deref().filter(|past| past.sum.newest.is_some())
    }

    /// Whether all was closed in the way that is understood here: an account of an earlier version has in its sum what
    /// its open runs hold again.
    fn is_plain(&self) -> bool {
        self.closed().is_none() || self.runs.iter().all(|run| run.opens != Some(SegmentKind::First))
    }

    /// Whatever can be ordered: two accounts that are equal in it are equal in all that is kept.
    fn order(&self) -> (Energy, Reverse<Timestamp>, Vec<u8>) {
        let mut kept = self.clone();
        kept.lost = 0; // That is each plugin's own.
        let mut bytes = Vec::new();
        kept.encode(&mut bytes);
        (self.totals().energy, Reverse(self.since()), bytes)
    }
}

/// That with the greater total; of equal ones that which begins earlier.
fn greater<'a>(one: &'a Account, other: &'a Account) -> &'a Account {
    if other.order() > one.order() { other } else { one }
}

/// One of the two accounts, as far as it can be compared with the other.
struct Side {
    /// With its runs from the first on that the other has not closed.
    account: Account,
    /// Its runs that the other has closed.
    older: Vec<Run>,
}

impl Side {
    /// Sets aside what `other` has closed: runs before the first that is open there. Answers whether there was any.
    fn set_aside(&mut self, other: &Self) -> bool {
        let has_closed = other.account.closed().is_some() || !other.older.is_empty();
        let Some(first) = other.account.runs.first().filter(|_| has_closed) else { return false };
        let runs = &mut self.account.runs;
        let is_open = |run: &Run| other.account.runs.iter().any(|open| open.session == run.session);
        let older = runs.iter().position(|run| run.session == first.session);
        let older = older.unwrap_or_else(|| {
            runs.iter().take_while(|run| run.session < first.session && !is_open(run)).count()
        });
        self.older.extend(runs.drain(..older.min(runs.len())));
        older > 0
    }

    /// The newest stamp and the newest id of what is closed or set aside. The stamps of a session may all be long before
    /// its id: its clock was set back.
    fn newest(&self) -> Option<Timestamp> {
        let newest = self.older.iter().map(|run| run.top.stamp.max(run.session)).max();
        newest.max(self.account.closed().and_then(|past| past.sum.newest))
    }

    /// Where what is closed or set aside begins.
    fn since(&self) -> Option<Timestamp> {
        let older = self.older.first().map(|run| run.low().stamp);
        self.account.closed().map(|past| past.since).or(older)
    }

    /// All that is closed or set aside, closed.
    fn past(&self) -> Option<Box<Past>> {
        let (runs, past) = (self.older.clone(), self.account.past.clone());
        let mut account = Account { runs, past, ..Account::default() };
        while !account.runs.is_empty() {
            account.close_oldest();
        }
        account.past
    }

    /// How a run begins that this side has not received, after all that it has.
    fn beginning(&self, run: &Run) -> Option<Beginning> {
        match self.older.last() {
            Some(last) if last.curve == run.curve && last.number < run.number => Some(Beginning::Continues),
            Some(_) | None => Opening::after(run, self.newest()).map(Beginning::Opens),
        }
    }
}

/// Both, unless they do not fit together.
fn join(one: &Account, other: &Account) -> Option<Account> {
    if !one.is_plain() || !other.is_plain() {
        return None;
    }
    let mut sides = [one, other].map(|account| Side { account: account.clone(), older: Vec::new() });
    let [a, b] = &mut sides;
    // What one sets aside may be what the other's first run is to be held against.
    while a.set_aside(b) | b.set_aside(a) {}
    let mut joints = zip(&a.account.runs, &b.account.runs)?;
    let last = match joints.last() {
        Some(joint) => last_of(joint, &sides),
        None => one.last.max(other.last),
    };
    for index in 1..joints.len() {
        let beginning = beginning(&joints, index, &sides)?;
        joints.get_mut(index)?.run.begin_as(beginning);
    }
    let with = |Before { past, older, first: beginning }| {
        let mut runs = older;
        let first = runs.len();
        runs.extend(joints.iter().map(|joint| joint.run.clone()));
        if let Some(run) = runs.get_mut(first) {
            run.begin_as(beginning);
        }
        let mut account = Account { runs, past, last, ..Account::default() };
        while account.runs.len() > RUNS_MAX {
            account.close_oldest();
        }
        account.close_outlived();
        account
    };
    before(&sides, joints.first()).into_iter().map(with).max_by_key(Account::order)
}

/// What may come before the runs of both.
struct Before {
    /// What is closed.
    past: Option<Box<Past>>,
    /// Runs that are open still.
    older: Vec<Run>,
    /// How the first run of both begins after them.
    first: Beginning,
}

/// All that may come before the runs of both, of which the first is `first`.
fn before(sides: &[Side; 2], first: Option<&Joint>) -> Vec<Before> {
    let mut all = Vec::new();
    let has_older = |side: &Side| side.account.closed().is_some() || !side.older.is_empty();
    if !sides.iter().any(has_older) {
        let begin = first.map(|joint| joint.run.curve).unwrap_or_default();
        let first = Beginning::Opens(Opening { rank: 0, base: Energy::ZERO, begin });
        return vec![Before { past: None, older: Vec::new(), first }];
    }
    for (index, side) in sides.iter().enumerate().filter(|(_, side)| has_older(side)) {
        let own = first.and_then(|joint| joint.at.get(index).copied().flatten());
        let known = match (first, own) {
            (None, _) => Some(Beginning::Continues), // There is none.
            (Some(_), Some(at)) => side.account.runs.get(at).map(Beginning::of),
            (Some(joint), None) if side.account.runs.is_empty() => side.beginning(&joint.run),
            (Some(_), None) => None,
        };
        let Some(beginning) = known else { continue };
        let past = side.account.past.clone();
        all.push(Before { past, older: side.older.clone(), first: beginning });
        // One that ended before the other began: both count.
        let earlier = sides.get(1 - index).filter(|earlier| earlier.account.runs.is_empty());
        if let Some(earlier) = earlier
            && earlier.newest() < side.since()
            && own.is_some() == first.is_some()
            && let Some(past) = earlier.past()
        {
            let later = side.account.closed().map(|later| Box::new(later.after(&past)));
            let mut older = side.older.clone();
            if let Some(run) = older.first_mut().filter(|run| run.opens == Some(SegmentKind::First)) {
                let low = run.low();
                let opening = Opening { rank: Opening::RIVAL, base: low.value(), begin: low.stamp };
                run.begin_as(Beginning::Opens(opening));
            }
            all.push(Before { past: later.or(Some(past)), older, first: beginning });
        }
    }
    all
}

/// The stamp of the newest measurement: of whoever has received the newest run furthest.
fn last_of(joint: &Joint, sides: &[Side; 2]) -> Timestamp {
    let newest = joint.at.iter().zip(sides).filter_map(|(at, side)| {
        let run = side.account.runs.get((*at)?)?;
        Some((run.top.seq, side.account.last))
    });
    newest.max().map_or(joint.run.top.stamp, |(_, last)| last)
}

/// The runs of both, each once, in the order that both have them in; of those that one alone has, by their ids.
fn zip(a: &[Run], b: &[Run]) -> Option<Vec<Joint>> {
    let has = |runs: &[Run], from: usize, session: Timestamp| {
        runs.get(from..).unwrap_or_default().iter().any(|run| run.session == session)
    };
    let (mut i, mut j) = (0, 0);
    let mut all = Vec::new();
    loop {
        let (take_a, take_b) = match (a.get(i), b.get(j)) {
            (None, None) => return Some(all),
            (Some(_), None) => (true, false),
            (None, Some(_)) => (false, true),
            (Some(one), Some(other)) if one.session == other.session => (true, true),
            (Some(one), Some(other)) => match (has(b, j, one.session), has(a, i, other.session)) {
                (true, true) => return None, // Each has them in another order.
                (true, false) => (false, true),
                (false, true) => (true, false),
                (false, false) => (one.session < other.session, one.session >= other.session),
            },
        };
        let (one, other) = (a.get(i).filter(|_| take_a), b.get(j).filter(|_| take_b));
        let run = match (one, other) {
            (Some(one), Some(other)) => one.merge(other)?,
            (Some(run), None) | (None, Some(run)) => run.clone(),
            (None, None) => return Some(all),
        };
        all.push(Joint { run, at: [one.map(|_| i), other.map(|_| j)] });
        i += usize::from(take_a);
        j += usize::from(take_b);
    }
}

/// How the run at `index`, which is not the first, begins; `None`: it does not fit there.
fn beginning(joints: &[Joint], index: usize, sides: &[Side; 2]) -> Option<Beginning> {
    let (joint, before) = (joints.get(index)?, joints.get(index.checked_sub(1)?)?);
    let (run, previous) = (&joint.run, &before.run);
    // Whoever has both next to each other, and received no less of the former than the other, decides.
    let decisive = |(at, side): (&Option<usize>, &Side)| {
        let (at, runs) = ((*at)?, &side.account.runs);
        let own = runs.get(at.checked_sub(1)?)?;
        let is_same = own.session == previous.session && own.top.seq == previous.top.seq;
        is_same.then(|| runs.get(at).map(Beginning::of)).flatten()
    };
    let known: Vec<Beginning> = joint.at.iter().zip(sides).filter_map(decisive).collect();
    let is_next_run = previous.curve == run.curve && previous.number < run.number;
    let is_after = run.session >= previous.top.stamp && run.session > previous.session;
    if is_next_run && (known.contains(&Beginning::Continues) || is_after) {
        return Some(Beginning::Continues);
    }
    if let Some(best) = known.into_iter().filter_map(Beginning::opening).max() {
        return Some(Beginning::Opens(best));
    }
    // Of those that have received less of the former, a rival's begin may still lie after it.
    let openings = joint.at.iter().zip(sides);
    let openings = openings.filter_map(|(at, side)| Beginning::of(side.account.runs.get((*at)?)?).opening());
    let is_later_rival = |known: &Opening| known.rank == Opening::RIVAL && known.begin >= previous.top.stamp;
    if let Some(rival) = openings.filter(is_later_rival).max() {
        return Some(Beginning::Opens(rival));
    }
    let earlier = joints.get(..index)?.iter();
    let newest = earlier.map(|joint| joint.run.top.stamp.max(joint.run.session)).max();
    let closed = sides.iter().filter_map(Side::newest).max();
    Opening::after(run, newest.max(closed)).map(Beginning::Opens)
}

impl Beginning {
    /// What a run is in its account.
    fn of(run: &Run) -> Self {
        let rank = match run.opens {
            None => return Self::Continues,
            Some(SegmentKind::First) => 0,
            Some(SegmentKind::Follower) => Opening::FOLLOWER,
            Some(SegmentKind::Rival) => Opening::RIVAL,
        };
        Self::Opens(Opening { rank, base: run.base, begin: run.begin })
    }

    fn opening(self) -> Option<Opening> {
        match self {
            Self::Continues => None,
            Self::Opens(opening) => Some(opening),
        }
    }
}

impl Opening {
    const FOLLOWER: u8 = 1;
    const RIVAL: u8 = 2;

    /// How a run begins that neither has received with what came before it, up to `newest`; `None`: beside it.
    fn after(run: &Run, newest: Option<Timestamp>) -> Option<Self> {
        let is_after = |at: Timestamp| newest.is_none_or(|newest| at > newest);
        if is_after(run.curve) {
            return Some(Self { rank: Self::FOLLOWER, base: Energy::ZERO, begin: run.curve });
        }
        // Its curve began while another was followed: earlier runs of it are not ours.
        is_after(run.session).then(|| Self { rank: Self::RIVAL, base: run.low().begin, begin: run.session })
    }
}

impl Run {
    fn begin_as(&mut self, beginning: Beginning) {
        let Some(Opening { rank, base, begin }) = beginning.opening() else {
            (self.opens, self.base, self.begin) = (None, Energy::ZERO, Timestamp::EPOCH);
            return;
        };
        let kind = match rank {
            0 => SegmentKind::First,
            Opening::FOLLOWER => SegmentKind::Follower,
            _ => SegmentKind::Rival,
        };
        (self.opens, self.base, self.begin) = (Some(kind), base, begin);
    }

    /// What either has received of one session. `None`: they take it for runs of different curves.
    fn merge(&self, other: &Self) -> Option<Self> {
        if (self.session, self.curve, self.number) != (other.session, other.curve, other.number) {
            return None;
        }
        let (high, less) = if self.top.seq >= other.top.seq { (self, other) } else { (other, self) };
        let ahead = high.top.seq - less.top.seq;
        let mut top = Point { totals: high.top.totals.max(&less.top.totals), ..high.top };
        if ahead == 0 {
            (top.begin, top.stamp) = (top.begin.max(less.top.begin), top.stamp.max(less.top.stamp));
        }
        let key = |point: &Point| (point.seq, point.value(), point.stamp);
        let low = [self.low(), other.low()].into_iter().min_by_key(key)?;
        let mut merged = Self { low: low.into(), top, ..high.clone() };
        merged.see(less.seen, ahead);
        if self.missing != other.missing {
            merged.missing = None;
        }
        // Neither has seen how the clock went between what one received and what the other did.
        let gap = (less.top.seq < high.low().seq).then(|| (less.top, high.low()));
        merged.merge_steps(less, gap);
        Some(merged)
    }
}

#[cfg(test)]
mod tests;
