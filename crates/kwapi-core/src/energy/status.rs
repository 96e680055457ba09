//! How sure energy and time are: the statuses, and sums by status.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Energy;

/// Energy and time, by status. The parts add up: what is neither estimated nor bridged is measured.
///
/// Unknown time holds no energy, and time before a probe was first received or after it was last (`absent`)
/// is in no sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Energy used, of whatever status.
    pub energy: Energy,
    /// The part of `energy` that was derived from amperes or load, or that the device calls an estimate.
    pub estimated: Energy,
    /// The part of `energy` that a register gives for a time without readings.
    pub bridged: Energy,
    /// Time covered by measured values, in milliseconds.
    pub measured_ms: u64,
    /// Time covered by estimated values, in milliseconds.
    pub estimated_ms: u64,
    /// Time without readings of which a register gives the energy, in milliseconds.
    pub bridged_ms: u64,
    /// Time about which nothing is known, in milliseconds.
    pub unknown_ms: u64,
}

impl Totals {
    /// The part of the energy that was measured.
    #[must_use]
    pub fn measured(&self) -> Energy {
        self.energy.saturating_sub(self.estimated).saturating_sub(self.bridged)
    }

    /// Whether the parts do not exceed the whole.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.estimated
            .millijoules()
            .checked_add(self.bridged.millijoules())
            .is_some_and(|parts| parts <= self.energy.millijoules())
    }

    /// What this has over `earlier`, field by field.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.with(earlier, Energy::saturating_sub, u64::saturating_sub)
    }

    /// The sum, field by field.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, Energy::saturating_add, u64::saturating_add)
    }

    /// The larger of each field.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        self.with(other, Energy::max, u64::max)
    }

    fn with(&self, other: &Self, energy: fn(Energy, Energy) -> Energy, time: fn(u64, u64) -> u64) -> Self {
        Self {
            energy: energy(self.energy, other.energy),
            estimated: energy(self.estimated, other.estimated),
            bridged: energy(self.bridged, other.bridged),
            measured_ms: time(self.measured_ms, other.measured_ms),
            estimated_ms: time(self.estimated_ms, other.estimated_ms),
            bridged_ms: time(self.bridged_ms, other.bridged_ms),
            unknown_ms: time(self.unknown_ms, other.unknown_ms),
        }
    }
}

/// A source's own sums, finer than they travel: microjoules and monotonic time, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) measured_uj: u128,
    pub(super) estimated_uj: u128,
    pub(super) bridged_uj: u128,
    pub(super) measured: Duration,
    pub(super) estimated: Duration,
    pub(super) bridged: Duration,
    pub(super) unknown: Duration,
}

impl Sums {
    /// All energy.
    pub(super) fn total_uj(&self) -> u128 {
        self.measured_uj.saturating_add(self.estimated_uj).saturating_add(self.bridged_uj)
    }

    /// What has come since `base`, as it travels. Parts are rounded down, so that they never exceed the whole.
    pub(super) fn since(&self, base: &Self) -> Totals {
        let energy = |now: u128, then: u128| energy(now.saturating_sub(then));
        let time = |now: Duration, then: Duration| milliseconds(now.saturating_sub(then));
        Totals {
            energy: energy(self.total_uj(), base.total_uj()),
            estimated: energy(self.estimated_uj, base.estimated_uj),
            bridged: energy(self.bridged_uj, base.bridged_uj),
            measured_ms: time(self.measured, base.measured),
            estimated_ms: time(self.estimated, base.estimated),
            bridged_ms: time(self.bridged, base.bridged),
            unknown_ms: time(self.unknown, base.unknown),
        }
    }
}

/// Whole millijoules, rounded down.
pub(super) fn energy(microjoules: u128) -> Energy {
    Energy::from_millijoules(u64::try_from(microjoules / 1000).unwrap_or(u64::MAX))
}

/// In the precision of the sums.
pub(super) fn microjoules(energy: Energy) -> u128 {
    u128::from(energy.millijoules()) * 1000
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
