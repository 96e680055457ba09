//! Power that cannot be: a plug that reports 8 MW for a second, a register of all ones.
//!
//! Above `max_watts` a value is none. Without that, a value far above all that the outlet ever showed waits for the next:
//! if that is of the same size, both are the load, and what the first would have added is added then; if not, it was an
//! outlier and adds no more than the value before it.

use crate::{Quality, Watts};

use super::PLAUSIBLE_FACTOR;

/// Below three times this nothing is absurd: what a socket of 16 A can give, in watts.
const SOCKET_WATTS: f64 = 3_680.0;

#[derive(Clone, Debug, Default)]
pub(super) struct Outliers {
    /// The power of the latest reading, if it waits for the next.
    suspect: Option<f64>,
    /// What it would have added, had it been trusted.
    held: Option<Box<Held>>,
    /// Whether the reading before was suspect too, and the latest is of the same size: then both are the load.
    is_confirmed: bool,
    /// Whether the reading before was suspect, and the latest is too, but of another size.
    is_second: bool,
    /// Whether the latest is above `max_watts`.
    is_above: bool,
    pub(super) count: u64,
    pub(super) in_a_row: u32,
}

/// Energy that is added if the next reading confirms it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) uj: u128,
    pub(super) quality: Quality,
}

impl Outliers {
    /// The power of a reading, unless it cannot be. `near`: whether it follows closely on the one before.
    pub(super) fn judge(
        &mut self,
        power: Option<f64>,
        near: bool,
        watts_max: f64,
        max_watts: Option<Watts>,
    ) -> Option<f64> {
        let before = self.suspect.take();
        self.is_above = matches!((power, max_watts), (Some(watts), Some(Watts(most))) if watts > most);
        self.is_confirmed = matches!((before, power), (Some(before), Some(watts))
            if near && watts >= before / PLAUSIBLE_FACTOR && watts <= before * PLAUSIBLE_FACTOR);
        let is_absurd = max_watts.is_none()
            && power.is_some_and(|watts| watts > PLAUSIBLE_FACTOR * watts_max.max(SOCKET_WATTS));
        if before.is_some() && !self.is_confirmed {
            self.counted();
        } else if !is_absurd && !self.is_above && power.is_some() {
            self.in_a_row = 0;
        }
        if self.is_above {
            self.counted();
            self.is_second = false;
            return None;
        }
        self.suspect = power.filter(|_| is_absurd && !self.is_confirmed);
        self.is_second = before.is_some() && self.suspect.is_some();
        power
    }

    /// What was held, if the reading just judged confirms it; if not, it is gone.
    pub(super) fn settle(&mut self) -> Option<Held> {
        self.held.take().filter(|_| self.is_confirmed).map(|held| *held)
    }

    /// What a reading that nothing else checks adds now, `added_uj` by its watts, of which the reading before confirms
    /// `confirmed_uj`; the rest of an absurd one is held.
    pub(super) fn hold(&mut self, added_uj: u128, confirmed_uj: u128, quality: Quality) -> u128 {
        if self.suspect.is_none() {
            return added_uj;
        }
        self.held = Some(Box::new(Held { uj: added_uj.saturating_sub(confirmed_uj), quality }));
        added_uj.min(confirmed_uj)
    }

    /// Whether the latest value is absurd, as far as can be determined without the next.
    pub(super) fn is_last(&self) -> bool {
        self.is_above || self.suspect.is_some()
    }

    /// Whether the two latest values are absurd and do not agree: neither confirms the other.
    pub(super) fn is_second(&self) -> bool {
        self.is_second
    }

    fn counted(&mut self) {
        self.count = self.count.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
