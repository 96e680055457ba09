//! Where on the wall clock the energy and the time of an account lie, derived message by message as a journal has them.
//!
//! A stretch between two successive stamps, in the order of curve, run and sequence, is spread evenly over its rows. A
//! message that follows the newest yields one stretch. Any other (late, of another run, with another begin of its
//! curve) changes stretches that were laid before: the account's stretches are laid with and without it, and what it
//! yields is the difference. For that the account and those messages are kept beside which another may yet come; all
//! between two of these was laid as it came and is one stretch in both.
//!
//! **What is laid adds up to the account.** A record holds the totals that the account had with it; what the stretches
//! come to is compared with that, and what is left is laid where the message is stamped. So nothing is lost where the
//! journal has lost messages, nor where a late message cuts from a run what lies further back than is kept.

mod snapshot;
mod spread;
mod stretches;

use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use super::fold::Step;
use super::place::Place;
use super::run::{Point, Run};
use super::{Account, Decision};
use crate::{Accounting, Cause, Energy, Increment, Piece, RowStep, Timestamp, Totals};

use spread::{Laid, Spread};
use stretches::{between, milliseconds, signed};

/// Messages whose energy is cut that are kept, more than a driver manager sends between two records of a register at an
/// interval of a tenth of a second. What further ones measured lies evenly between these and the first that is not cut.
const CUT_KEPT_MAX: usize = 64;

/// One probe's account as a journal records it, and where its time was laid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    account: Account,
    /// Messages between the lowest and the highest of their runs beside which others are missing that may yet come, and those
    /// of the newest whose energy is cut.
    beside_holes: Vec<Kept>,
    /// What the account had come to; `None` before the first record.
    register: Option<[i64; 3]>,
    /// The end of all that was laid, in Unix milliseconds.
    reach: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    session: Timestamp,
    point: Point,
}

/// What is to be known of a message besides its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Why a closed row changed, if one did.
    pub cause: Cause,
    /// Whether the trace begins with it: the account had begun before, or started afresh with less than it had.
    pub begins: bool,
    /// Millijoules that had no stretch and were laid at the stamp.
    pub unplaced_mj: u64,
}

impl Trace {
    /// Takes a record of a journal: the message (`None`: one of the original Kwapi), stamped `at`, how the account took
    /// it and what it had come to. What that adds to wall time is put into `pieces`, in order of time.
    pub fn take(
        &mut self,
        at: Timestamp,
        message: Option<&Accounting>,
        decision: &Decision,
        register: &Totals,
        pieces: &mut Vec<Piece>,
    ) -> Traced {
        pieces.clear();
        let register = [register.measured(), register.estimated, register.bridged].map(signed);
        let total = |of: &[i64; 3]| of.iter().fold(0, |sum: i64, part| sum.saturating_add(*part));
        if self.register.is_some_and(|before| total(&before) > total(&register)) {
            *self = Self::default(); // The account itself started afresh.
        }
        let before = self.register;
        let begins = self.register.is_none();
        let cause = match message {
            Some(message) => self.message(message, decision, pieces),
            None => self.legacy(at, decision, pieces),
        };
        self.register = Some(register);
        let mut unplaced = Increment::default();
        if let Some(before) = before {
            let laid = pieces.iter().fold(Increment::default(), |mut sum, piece| {
                sum.add(&piece.increment, 1);
                sum
            });
            for (left, ((now, then), laid)) in
                unplaced.mj.iter_mut().zip(register.iter().zip(before).zip(laid.mj))
            {
                *left = now.saturating_sub(then).saturating_sub(laid);
            }
        } else {
            // It continues from somewhere: what came before is not known here.
            for piece in pieces.iter_mut() {
                piece.increment.mj = [0; 3];
            }
        }
        let unplaced_mj = unplaced.mj.iter().fold(0_u64, |sum, part| sum.saturating_add(part.unsigned_abs()));
        if unplaced_mj > 0 {
            let begin = RowStep::Minute.begin(at.micros().saturating_sub(1) / 1_000);
            add(pieces, Piece { step: RowStep::Minute, begin, increment: unplaced });
        }
        Traced { cause, begins, unplaced_mj }
    }

    /// The account as the journal records it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What was credited from the trace's begin on cannot be derived from this alone: measured, estimated, bridged, in
    /// millijoules, as the last record had it.
    pub fn register(&self) -> Option<[i64; 3]> {
        self.register
    }

    fn message(&mut self, message: &Accounting, decision: &Decision, pieces: &mut Vec<Piece>) -> Cause {
        let Some(place) = self.account.place_again(message, decision) else { return Cause::Late };
        if let Place::Run(index) = place
            && self.continues(index, message)
        {
            self.append(index, message, pieces);
            return Cause::Silence;
        }
        let newest = self.account.last;
        let is_stop = self.account.runs.last().is_some_and(|run| {
            run.session == message.session
                && message.seq > run.top.seq
                && begin_of(message, run) != run.top.begin
        });
        let before = self.stretches();
        let mut moved = None;
        if let Place::Run(index) = place {
            let point = Point::of(message);
            moved = self.account.runs.get(index).map(|run| {
                let beside = if message.seq > run.top.seq {
                    run.top
                } else if message.seq < run.low().seq {
                    run.low()
                } else {
                    point
                };
                Kept { session: run.session, point: beside }
            });
        }
        let Ok((index, _)) = self.account.take(message, place) else { return Cause::Late };
        if let Some(kept) = moved {
            let at = self
                .beside_holes
                .partition_point(|other| (other.session, other.point.seq) < (kept.session, kept.point.seq));
            self.beside_holes.insert(at, kept);
        }
        let after = self.stretches();
        self.lay_difference(&before, &after, pieces);
        let is_newest_run = index + 1 == self.account.runs.len();
        let is_top = self.account.runs.get(index).is_some_and(|run| run.top.seq == message.seq);
        let is_newest = is_top && is_newest_run || *decision == Decision::Present;
        self.account.settle(message, is_newest);
        self.thin();
        match (is_newest, is_stop) {
            (false, _) => Cause::Late,
            (true, true) => Cause::Stop,
            (true, false) if message.timestamp < newest => Cause::Clock,
            (true, false) => Cause::Silence,
        }
    }

    /// Whether a message of the run at `index` yields one stretch after all that was laid.
    fn continues(&self, index: usize, message: &Accounting) -> bool {
        let Some(run) = self.account.runs.get(index) else { return false };
        let (from, to) = (milliseconds(run.top.stamp), milliseconds(message.timestamp));
        index + 1 == self.account.runs.len()
            && message.seq > run.top.seq
            && begin_of(message, run) == run.top.begin
            && from >= self.reach
            && to >= from
            && self.cut(run).is_none_or(|cut| run.top.totals.measured() >= cut)
    }

    /// What is cut from the newest run's sums, unless nothing is.
    fn cut(&self, newest: &Run) -> Option<Energy> {
        if newest.opens == Some(super::SegmentKind::First) {
            return None;
        }
        let mut curve = self.account.past.as_ref().and_then(|past| past.sum.curve);
        let mut cut = Energy::ZERO;
        for run in &self.account.runs {
            let step = Step::new(curve, run);
            (curve, cut) = (Some(step.curve), step.cut);
        }
        (cut != Energy::ZERO).then_some(cut)
    }

    /// The usual message.
    fn append(&mut self, index: usize, message: &Accounting, pieces: &mut Vec<Piece>) {
        let Some(run) = self.account.runs.get(index) else { return };
        let (session, low, top) = (run.session, run.low(), run.top);
        if self.account.take(message, Place::Run(index)).is_err() {
            return;
        }
        let Some(run) = self.account.runs.get(index) else { return };
        let stretch = between(&top, &run.top, Energy::ZERO);
        let has_hole = run.top.seq != top.seq + 1 || run.seen & 0b100 == 0;
        self.reach = stretch.to;
        let since = milliseconds(self.account.since());
        let mut coverage = None;
        let mut spread = Spread { since, coverage: &mut coverage };
        spread.lay(&stretch, &mut |piece| pieces.push(piece));
        if top.seq != low.seq && (has_hole || !self.beside_holes.is_empty()) {
            let kept = Kept { session, point: top };
            let at = self
                .beside_holes
                .partition_point(|other| (other.session, other.point.seq) < (kept.session, kept.point.seq));
            self.beside_holes.insert(at, kept);
        }
        self.account.settle(message, true);
        if !self.beside_holes.is_empty() {
            self.thin();
        }
    }

    /// A message of the original Kwapi.
    fn legacy(&mut self, at: Timestamp, decision: &Decision, pieces: &mut Vec<Piece>) -> Cause {
        let Decision::Legacy { gained, covered_ms } = *decision else { return Cause::Late };
        let last = self.account.last;
        let from = if self.account.first_stamp().is_some() { last } else { at };
        self.account.take_legacy(at, gained, covered_ms);
        self.beside_holes.clear();
        let stretch = Laid {
            from: milliseconds(from.min(at)),
            to: milliseconds(at),
            mj: [signed(gained), 0, 0],
            ms: [covered_ms, 0, 0],
            monotonic: covered_ms,
        };
        let covered_before = self.reach > stretch.from;
        let since = milliseconds(self.account.since());
        // What is laid again (the clock was set back) gains energy and no time.
        let mut coverage = covered_before.then(|| {
            let mut coverage = Coverage::new(0);
            coverage.add(0, self.reach.saturating_mul(1_000));
            coverage
        });
        let mut spread = Spread { since, coverage: &mut coverage };
        spread.lay(&stretch, &mut |piece| pieces.push(piece));
        self.reach = self.reach.max(stretch.to);
        if at < last { Cause::Clock } else { Cause::Silence }
    }

    /// Forgets messages beside which none may come any more, but for those whose energy is cut: a register that ticks later
    /// lifts the begin of their run, and what each had measured counts then, where it was.
    fn thin(&mut self) {
        let runs = &self.account.runs;
        let mut cut = runs.last().and_then(|newest| Some((newest, self.cut(newest)?)));
        let mut left = CUT_KEPT_MAX;
        self.beside_holes.retain(|kept| {
            let run = runs.iter().find(|run| run.session == kept.session);
            let is_cut = cut.is_some_and(|(newest, cut_energy)| {
                if kept.session != newest.session || kept.point.seq <= newest.low().seq {
                    return false;
                }
                if kept.point.totals.energy >= cut_energy {
                    cut = None; // From this message on nothing is cut.
                    return true;
                }
                let has_room = left > 0;
                left = left.saturating_sub(1);
                has_room
            });
            is_cut || run.is_some_and(|run| run.is_beside_hole(kept.point.seq))
        });
    }
}

/// Where on its curve a message places the begin of its run.
fn begin_of(message: &Accounting, run: &Run) -> Energy {
    if message.curve.map_or(message.session, |curve| curve.id) == run.curve {
        Point::of(message).begin
    } else {
        run.top.begin
    }
}

/// Adds a piece to those of its row, in its place.
fn add(pieces: &mut Vec<Piece>, piece: Piece) {
    let at = pieces.partition_point(|other| other.begin < piece.begin);
    match pieces.get_mut(at) {
        Some(other) if other.begin == piece.begin && other.step == piece.step => {
            other.increment.add(&piece.increment, 1);
        }
        _ => pieces.insert(at, piece),
    }
}

#[cfg(test)]
mod tests;
