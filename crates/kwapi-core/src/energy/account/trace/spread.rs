//! A stretch of wall time, spread evenly over rows.

use super::super::coverage::Coverage;
use crate::{Increment, Piece, RowStep};

/// Of a longer stretch no minutes are written, as none are kept so long…
const MINUTES_MAX_MS: u64 = 7 * 86_400_000;
/// …and of one longer than this only days.
const QUARTERS_MAX_MS: u64 = 400 * 86_400_000;
/// A wall clock that differs from the monotonic one by no more than this, and a hundredth, was not set.
const DRIFT_MS: u64 = 1_000;

/// What was credited for a stretch of wall time, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Laid {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Measured, estimated, bridged.
    pub(super) mj: [i64; 3],
    /// The publisher's monotonic time of these…
    pub(super) ms: [u64; 3],
    /// …and all of it.
    pub(super) monotonic: u64,
}

impl Laid {
    /// Where its time begins: where the clock was set forward, the publisher's time ends at the later stamp.
    fn begin(&self) -> u64 {
        let most = self.monotonic.saturating_add(DRIFT_MS).saturating_add(self.monotonic / 100);
        if self.to.saturating_sub(self.from) > most { self.to - self.monotonic } else { self.from }
    }

    /// Covers its time as [`Spread::lay`] does.
    pub(super) fn cover(&self, coverage: &mut Coverage) {
        if self.ms != [0; 3] {
            coverage.add(self.begin().saturating_mul(1_000), self.to.saturating_mul(1_000));
        }
    }
}

/// Lays stretches over rows.
#[derive(Debug)]
pub(super) struct Spread<'a> {
    /// Nothing lies before.
    pub(super) since: u64,
    /// What has been covered, in microseconds; `None`: nothing of what is laid.
    pub(super) coverage: &'a mut Option<Coverage>,
}

impl Spread<'_> {
    /// Emits the pieces of a stretch, in order: rows get their share of what is left, so that all of it is emitted.
    pub(super) fn lay(&mut self, laid: &Laid, each: &mut impl FnMut(Piece)) {
        let (mut from, to) = (laid.begin(), laid.to);
        let wall = to.saturating_sub(from);
        let step = if wall <= MINUTES_MAX_MS {
            RowStep::Minute
        } else if wall <= QUARTERS_MAX_MS {
            RowStep::Quarter
        } else {
            RowStep::Day
        };
        let [measured, estimated, bridged] = laid.ms;
        let known = laid.ms.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
        let unknown = laid.monotonic.saturating_sub(known);
        let mut left_ms = if laid.monotonic > 0 {
            largest_remainder([measured, estimated, bridged, unknown], wall)
        } else {
            [0, 0, 0, wall]
        };
        let mut left_mj = laid.mj;
        loop {
            let inside = if from < to { from } else { to.saturating_sub(1).max(self.since) };
            let begin = step.begin(inside);
            let end = to.min(step.end(begin));
            let (mut ms, mut mj) = (left_ms, left_mj);
            if end < to {
                ms = largest_remainder(left_ms, end - from);
                for (((part, of), left), part_ms) in mj.iter_mut().zip(left_mj).zip(left_ms).zip(ms) {
                    *part =
                        if left > 0 { share(of, part_ms, left) } else { share(of, end - from, to - from) };
                }
            }
            for (left, part) in left_ms.iter_mut().zip(ms) {
                *left -= part;
            }
            for (left, part) in left_mj.iter_mut().zip(mj) {
                *left = left.saturating_sub(part);
            }
            let [measured, estimated, bridged, _] = self.uncovered(from, end, ms);
            let increment = Increment {
                mj,
                ms: [measured, estimated, bridged].map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            };
            if !increment.is_zero() {
                each(Piece { step, begin, increment });
            }
            from = end;
            if from >= to {
                return;
            }
        }
    }

    /// The parts of so much time as has not been covered before; covers it.
    fn uncovered(&mut self, from: u64, to: u64, ms: [u64; 4]) -> [u64; 4] {
        let Some(coverage) = self.coverage else { return ms };
        let [measured, estimated, bridged, _] = ms;
        if [measured, estimated, bridged] == [0; 3] {
            return ms;
        }
        let length = to.saturating_sub(from);
        // What was closed ends at a microsecond: the millisecond in which it does belongs to what follows.
        let gained = coverage.add(from.saturating_mul(1_000), to.saturating_mul(1_000)).div_ceil(1_000);
        if gained < length { largest_remainder(ms, gained) } else { ms }
    }
}

/// `part` of `of`'s whole.
fn share(of: i64, part: u64, whole: u64) -> i64 {
    let share = i128::from(of) * i128::from(part) / i128::from(whole.max(1));
    i64::try_from(share).unwrap_or(of)
}

/// Whole numbers in proportion to `shares` that add up to `whole`; of equal remainders the first counts.
pub(super) fn largest_remainder(shares: [u64; 4], whole: u64) -> [u64; 4] {
    let sum: u128 = shares.iter().map(|share| u128::from(*share)).sum();
    if sum == 0 {
        return [0; 4];
    }
    if let [share, 0, 0, 0] = shares
        && share > 0
    {
        return [whole, 0, 0, 0];
    }
    let mut parts = [0; 4];
    let mut rests = [(0, 0); 4];
    let mut left = whole;
    for (index, ((part, rest), share)) in parts.iter_mut().zip(&mut rests).zip(shares).enumerate() {
        let product = u128::from(share) * u128::from(whole);
        *part = u64::try_from(product / sum).unwrap_or(whole);
        *rest = (product % sum, index);
        left = left.saturating_sub(*part);
    }
    rests.sort_by_key(|(rest, index)| (std::cmp::Reverse(*rest), *index));
    for (_, index) in rests {
        if left == 0 {
            break;
        }
        if let Some(part) = parts.get_mut(index) {
            *part += 1;
            left -= 1;
        }
    }
    parts
}
