//! What a register counted over a stop, laid where it was used, within one row of the ledger.
//!
//! After a stop a driver manager is sure of a coarse register only once that has ticked. Until then its messages lack what was
//! used over the stop, and, where it was killed, what they measured until they were past its last record; the message of
//! the tick has all of it at once. The ledger records which time that is of and lays it there; the totals of samples have it
//! where it came. So within a row only a few stretches differ from the row: the stop, those right after it, and that of the
//! tick. All others keep what their totals gained, and these come to what is left of the row.

use kwapi_core::Increment;

use super::stretch::{ROUNDING, Stretch};

/// What moved is known by watts times time, which the row may differ from by this part of it: the wall clock runs a little
/// faster or slower than the clock that measures.
const SLACK_PART: i64 = 128;
/// Stops in one row.
const STOPS_MAX: usize = 8;
/// A stop's length is rounded to the millisecond at each end.
const LENGTH_ROUNDING: u64 = 2;

/// The stretches of a row that comes to `whole` as if each had come with what was used in it; `None` where what differs from
/// the row is not a stop's.
pub(super) fn settled(mut stretches: Vec<Stretch>, whole: &Increment) -> Option<Vec<Stretch>> {
    let ([.., bridged_mj], [.., bridged_ms]) = (whole.mj, whole.ms);
    let stops = stops(&stretches, u64::try_from(bridged_ms).ok()?)?;
    let lacking = lacking(&stretches, &stops);
    lay_stops(&mut stretches, &stops, bridged_mj);
    let sum: i64 = stretches.iter().fold(0, |sum, stretch| sum.saturating_add(stretch.all().0));
    let rest = whole.energy_mj().saturating_sub(sum);
    if rest.abs() <= ROUNDING {
        return Some(stretches);
    }
    let moved =
        [Vec::new(), lacking].into_iter().filter_map(|lacking| Moved::find(&stretches, lacking, rest));
    moved.min_by_key(|moved| moved.mismatch)?.lay(&mut stretches);
    Some(stretches)
}

/// The places of the stretches that were bridged for so long together; none where nothing was. `None`: it is not clear which
/// these are.
fn stops(stretches: &[Stretch], bridged_ms: u64) -> Option<Vec<usize>> {
    if bridged_ms == 0 {
        return Some(Vec::new());
    }
    // Of several that are as long the one whose power shows least of what it gained: others are measured.
    let is_it = |stretch: &Stretch| stretch.length().abs_diff(bridged_ms) <= LENGTH_ROUNDING;
    let alone = stretches.iter().enumerate().filter(|(_, stretch)| is_it(stretch));
    if let Some((place, _)) = alone.max_by_key(|(_, stretch)| stretch.gained.abs_diff(stretch.held)) {
        return Some(vec![place]);
    }
    let mut longest: Vec<(u64, usize)> = stretches.iter().map(Stretch::length).zip(0..).collect();
    longest.sort_unstable_by(|one, other| other.cmp(one));
    let (mut places, mut sum) = (Vec::new(), 0);
    for (length, place) in longest.into_iter().take(STOPS_MAX) {
        places.push(place);
        sum += length;
        if sum.abs_diff(bridged_ms) <= LENGTH_ROUNDING * places.len() as u64 {
            places.sort_unstable();
            return Some(places);
        }
    }
    None
}

/// The places after stops, or at the row's begin after one before it, whose messages did not count all that they measured: the
/// manager had gone on from a record older than its last message.
fn lacking(stretches: &[Stretch], stops: &[usize]) -> Vec<usize> {
    let firsts: Vec<usize> = if stops.is_empty() {
        vec![0]
    } else {
        // Where a stop gained anything at once, all that follows did.
        let is_behind = |place: &&usize| stretches.get(**place).is_some_and(|stop| stop.gained == 0);
        stops.iter().filter(is_behind).map(|place| place + 1).collect()
    };
    let mut lacking = Vec::new();
    for first in firsts {
        for (place, stretch) in stretches.iter().enumerate().skip(first) {
            if stretch.gained < stretch.held && !stops.contains(&place) {
                lacking.push(place);
            }
            if stretch.gained > 0 {
                break;
            }
        }
    }
    lacking
}

/// Gives stops what the row has bridged: one all of it, several as much as they gained, or as their power comes to.
fn lay_stops(stretches: &mut [Stretch], stops: &[usize], bridged_mj: i64) {
    let of_stops = |of: fn(&Stretch) -> u64| -> i64 {
        let parts = stops.iter().filter_map(|place| stretches.get(*place));
        parts.fold(0, |sum, stretch| sum.saturating_add(stretch.part(of(stretch))))
    };
    let (gained, held) = (of_stops(|stretch| stretch.gained), of_stops(|stretch| stretch.held));
    let has_come = gained.abs_diff(bridged_mj) <= ROUNDING.unsigned_abs();
    let mut left = bridged_mj;
    for (count, place) in stops.iter().enumerate() {
        let Some(stretch) = stretches.get_mut(*place) else { continue };
        stretch.is_stop = true;
        if has_come {
            continue;
        }
        let share = i128::from(bridged_mj) * i128::from(stretch.part(stretch.held)) / i128::from(held.max(1));
        let is_last = count + 1 == stops.len();
        let own = if is_last { left } else { i64::try_from(share).unwrap_or(left).min(left) };
        left -= own;
        let before = stretch.part(stretch.gained);
        stretch.gain(own.saturating_sub(before));
    }
}

/// What came at another time than it was used, but for the stop itself.
struct Moved {
    /// The places that lack something…
    lacking: Vec<usize>,
    /// …and the one that had what they lack, and what the stop does, where that is in the row; and how much, in millijoules.
    tick: Option<(usize, i64)>,
    /// What the power of these is off by.
    mismatch: i64,
    /// What the row has beyond what the lacking held, where there is no tick.
    left: i64,
}

impl Moved {
    /// What accounts for the `rest` that the row has over the totals of its samples; `None` where these places do not.
    fn find(stretches: &[Stretch], lacking: Vec<usize>, rest: i64) -> Option<Self> {
        let lacked = |place: &usize| {
            let stretch = stretches.get(*place)?;
            Some(stretch.part(stretch.held.saturating_sub(stretch.gained)))
        };
        let given: i64 = lacking.iter().filter_map(lacked).fold(0, i64::saturating_add);
        let surplus = given.saturating_sub(rest);
        let slack = |of: i64| ROUNDING.saturating_add(of / SLACK_PART);
        if !lacking.is_empty() && surplus.abs() <= slack(given) {
            return Some(Self { lacking, tick: None, mismatch: surplus.abs(), left: -surplus });
        }
        let candidates = stretches.iter().enumerate().filter(|(place, stretch)| {
            !stretch.is_stop && !lacking.contains(place) && stretch.part(stretch.gained) >= surplus
        });
        let mismatches = candidates.map(|(place, stretch)| {
            let over = stretch.part(stretch.gained).saturating_sub(stretch.part(stretch.held));
            (over.saturating_sub(surplus).abs(), place, stretch.part(stretch.held))
        });
        let (mismatch, place, held) = mismatches.min().filter(|_| surplus > 0)?;
        let is_it = mismatch <= slack(given.saturating_add(held));
        is_it.then_some(Self { lacking, tick: Some((place, surplus)), mismatch, left: 0 })
    }

    fn lay(&self, stretches: &mut [Stretch]) {
        for place in &self.lacking {
            if let Some(stretch) = stretches.get_mut(*place) {
                stretch.gained = stretch.held;
            }
        }
        let tick = self.tick.map(|(place, surplus)| (place, -surplus));
        let last = self.lacking.last().map(|place| (*place, self.left));
        if let Some((place, difference)) = tick.or(last)
            && let Some(stretch) = stretches.get_mut(place)
        {
            stretch.gain(difference);
        }
    }
}

#[cfg(test)]
mod tests;
