//! What a register counted over a stop, laid where it was used.
//!
//! After a stop a driver manager is sure of a meter's register only once that has moved: until then the messages lack what was
//! used over the stop (their totals do not rise, at a power that is not 0), and one message later has all of it at once. The
//! ledger records which time that is of and lays it there; the totals of samples have it where it came.

use super::stretch::Point;

/// A sample with less than this part of what others lack does not make up for them: it is the next step of a register.
const PART_MIN: u64 = 4;

/// The points as if each had come with what was used until then; `None` where none lacks anything that came later. `points`
/// are in order of time.
pub(super) fn settled(points: &[Point]) -> Option<Vec<Point>> {
    let mut gains: Vec<u64> = Vec::with_capacity(points.len());
    // Places of points that lack what they held, one after the other, and what they lack together.
    let (mut lacking, mut lacked, mut is_changed) = (Vec::new(), 0_u64, false);
    for (place, pair) in (1_usize..).zip(points.windows(2)) {
        let &[before, after] = pair else { continue };
        let (gained, held) = (after.total.checked_sub(before.total)?, after.held_since(&before));
        gains.push(gained);
        if gained == 0 && held > 0 {
            if lacking.last().is_some_and(|last| last + 1 != place) {
                // What an earlier stop lacks did not come.
                (lacking, lacked) = (Vec::new(), 0);
            }
            lacking.push(place);
            lacked = lacked.saturating_add(held);
            continue;
        }
        let surplus = gained.saturating_sub(held);
        if !lacking.is_empty() && surplus > lacked / PART_MIN {
            if let Some(last) = gains.last_mut() {
                *last = held;
            }
            give(&lacking, surplus, points, &mut gains);
            (lacking, lacked, is_changed) = (Vec::new(), 0, true);
        }
    }
    let mut total = points.first()?.total;
    let rest = points.iter().skip(1).zip(gains).map(|(point, gained)| {
        total = total.saturating_add(gained);
        Point { total, ..*point }
    });
    is_changed.then(|| points.iter().take(1).copied().chain(rest).collect())
}

/// Gives each of the points what its power held, and what is left to the one after the longest time, which is the stop.
fn give(lacking: &[usize], surplus: u64, points: &[Point], gains: &mut [u64]) {
    let pair = |place: usize| Some((points.get(place.checked_sub(1)?)?, points.get(place)?));
    let length = |place: usize| pair(place).map_or(0, |(before, after)| after.at.saturating_sub(before.at));
    let held = |place: usize| pair(place).map_or(0, |(before, after)| after.held_since(before));
    let Some(stop) = lacking.iter().copied().max_by_key(|place| length(*place)) else { return };
    let mut left = surplus;
    for place in lacking.iter().copied().filter(|place| *place != stop).chain([stop]) {
        let share = if place == stop { left } else { held(place).min(left) };
        left -= share;
        if let Some(gained) = place.checked_sub(1).and_then(|at| gains.get_mut(at)) {
            *gained = share;
        }
    }
}

#[cfg(test)]
mod tests;
