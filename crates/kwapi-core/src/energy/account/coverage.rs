//! Which wall time has been covered, and by what: so that no second counts twice, though a clock was set back or two
//! publishers ran side by side.
//!
//! All that was ever covered would grow without bound. Kept is the newest instant covered and the newest holes before
//! it, which may be covered yet (a clock was ahead, and now that time is lived through; a late message). Holes older than
//! these pass for covered: time there gains nothing any more, and stays unknown.
//!
//! Instants are cut to whole milliseconds where they come in, and nowhere else: so the statuses, which are given out in
//! milliseconds, add up to the span to the millisecond.

use serde::{Deserialize, Serialize};

/// In microseconds.
const MILLISECOND: u64 = 1_000;
/// How many holes are known.
const HOLES_MAX: usize = 8;

/// Covered wall time since an account began, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Coverage {
    /// Nothing before counts.
    pub(super) since: u64,
    /// The end of what is covered.
    reach: u64,
    /// From and to of what is not covered between `since` and `reach`, in order, in the first `holes_len` places.
    holes: [(u64, u64); HOLES_MAX],
    holes_len: u8,
    /// Of what is covered: measured, estimated, bridged.
    pub(super) by_status: [u64; 3],
}

impl Coverage {
    pub(super) fn new(since: u64) -> Self {
        let since = whole_ms(since);
        Self { since, reach: since, ..Self::default() }
    }

    /// Covers `from` to `to`; answers how much of it was not covered before.
    pub(super) fn add(&mut self, from: u64, to: u64) -> u64 {
        let (from, to) = (whole_ms(from).max(self.since), whole_ms(to).max(self.since));
        if to <= from {
            return 0;
        }
        let mut gained = 0_u64;
        if from < self.reach {
            gained = self.fill(from, to.min(self.reach));
        } else if from > self.reach {
            self.push_hole(usize::from(self.holes_len), (self.reach, from));
        }
        if to > self.reach {
            gained = gained.saturating_add(to - from.max(self.reach));
            self.reach = to;
        }
        gained
    }

    /// Gives the statuses their shares of `gained`, and `unknown` time (which is not kept) its own.
    pub(super) fn share(&mut self, gained: u64, shares: [u64; 3], unknown: u64) {
        for (covered, part) in self.by_status.iter_mut().zip(split(gained, shares, unknown)) {
            *covered = covered.saturating_add(part);
        }
    }

    /// The end of what is covered.
    pub(super) fn end(&self) -> u64 {
        self.reach
    }

    /// Notes that nothing is known to be covered from `from` to `to`, which is after all earlier holes.
    pub(super) fn leave_hole(&mut self, from: u64, to: u64) {
        let (from, to) = (whole_ms(from), whole_ms(to));
        if from < to {
            self.push_hole(usize::from(self.holes_len), (from, to));
        }
    }

    /// Notes that all up to `reach` is covered, but for the holes.
    pub(super) fn reach(&mut self, reach: u64) {
        self.reach = self.reach.max(whole_ms(reach));
    }

    /// Continues with what was covered `later`; nothing is known of the time between.
    pub(super) fn append(&mut self, later: &Self) {
        self.leave_hole(self.reach, later.since);
        for &(from, to) in later.holes.iter().take(later.holes_len.into()) {
            self.leave_hole(from, to);
        }
        self.reach(later.reach);
        for (covered, part) in self.by_status.iter_mut().zip(later.by_status) {
            *covered = covered.saturating_add(part);
        }
    }

    /// Cuts to whole milliseconds what an earlier program kept in microseconds.
    pub(super) fn cut(&mut self) {
        (self.since, self.reach) = (whole_ms(self.since), whole_ms(self.reach));
        let holes = self.holes.iter_mut().take(self.holes_len.into());
        let mut open = 0_u64;
        for (from, to) in holes {
            (*from, *to) = (whole_ms(*from), whole_ms(*to));
            open = open.saturating_add(to.saturating_sub(*from));
        }
        let [measured, estimated, bridged] = self.by_status;
        let covered = measured.saturating_add(estimated).saturating_add(bridged);
        if covered != whole_ms(covered) || self.by_status.iter().any(|us| *us != whole_ms(*us)) {
            let most = self.reach.saturating_sub(self.since).saturating_sub(open);
            let covered = whole_ms(covered.saturating_add(MILLISECOND - 1)).min(most.max(whole_ms(covered)));
            self.by_status = split(covered, self.by_status, 0);
        }
    }

    /// Whether it can be of this program's making.
    pub(super) fn is_within_bounds(&self) -> bool {
        usize::from(self.holes_len) <= HOLES_MAX
    }

    /// Fills the holes between `from` and `to`; answers how much that is.
    fn fill(&mut self, from: u64, to: u64) -> u64 {
        let mut filled = 0_u64;
        let mut index = usize::from(self.holes_len);
        // From the newest: what is covered mostly lies near the end.
        while let Some(&hole) = index.checked_sub(1).and_then(|index| self.holes.get(index)) {
            index -= 1;
            if hole.1 <= from {
                break;
            }
            let (begin, end) = (hole.0.max(from), hole.1.min(to));
            if begin >= end {
                continue;
            }
            filled = filled.saturating_add(end - begin);
            self.remove_hole(index);
            if end < hole.1 {
                self.push_hole(index, (end, hole.1));
            }
            if hole.0 < begin {
                self.push_hole(index, (hole.0, begin));
            }
        }
        filled
    }

    fn remove_hole(&mut self, index: usize) {
        if let Some(rest) = self.holes.get_mut(index..usize::from(self.holes_len)) {
            rest.rotate_left(1);
            self.holes_len -= 1;
        }
    }

    /// Puts a hole at its place. Full: the oldest is forgotten.
    fn push_hole(&mut self, mut index: usize, hole: (u64, u64)) {
        if usize::from(self.holes_len) == HOLES_MAX {
            if index == 0 {
                return;
            }
            self.remove_hole(0);
            index -= 1;
        }
        self.holes_len += 1;
        if let Some(rest) = self.holes.get_mut(index..usize::from(self.holes_len)) {
            rest.rotate_right(1);
            if let Some(first) = rest.first_mut() {
                *first = hole;
            }
        }
    }
}

/// The parts of `whole` that each of `shares` has beside the others and `unknown`, in whole milliseconds. What rounding
/// leaves is the largest share's, so that the parts and what is unknown add up to the whole: the largest is mostly the one
/// that grows, and no part is less the next time.
pub(super) fn split(whole: u64, shares: [u64; 3], unknown: u64) -> [u64; 3] {
    let [measured, estimated, bridged] = shares;
    let all = [measured, estimated, bridged, unknown];
    let sum: u128 = all.iter().map(|share| u128::from(*share)).sum();
    let mut parts = all.map(|share| {
        let part = (u128::from(whole) * u128::from(share)).checked_div(sum);
        whole_ms(part.and_then(|part| u64::try_from(part).ok()).unwrap_or(0))
    });
    let rest = parts.iter().fold(whole, |rest, part| rest.saturating_sub(*part));
    let largest = all.iter().max().copied().filter(|share| *share > 0);
    if let Some((part, _)) = parts.iter_mut().zip(all).find(|(_, share)| Some(*share) == largest) {
        *part = part.saturating_add(rest);
    }
    let [measured, estimated, bridged, _] = parts;
    [measured, estimated, bridged]
}

/// The last whole millisecond not after an instant in microseconds.
pub(super) fn whole_ms(microseconds: u64) -> u64 {
    microseconds - microseconds % MILLISECOND
}

#[cfg(test)]
mod tests;
