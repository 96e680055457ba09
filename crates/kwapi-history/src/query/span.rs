//! The energy of a span of time, of one probe or of several.

use kwapi_core::{Increment, Timestamp, Watts};

use super::instant;

/// The energy of a span of time. Of several probes energy and time are the sums of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EnergySpan {
    /// Its begin…
    pub start: Timestamp,
    /// …and end.
    pub end: Timestamp,
    /// Measured, estimated and bridged, in millijoules and milliseconds.
    pub known: Increment,
    /// Time of which nothing is known, in milliseconds.
    pub unknown_ms: u64,
    /// Time before the probe was first received, and after it was last, in milliseconds.
    pub absent_ms: u64,
    /// The highest power measured; of a row that the span has in part, that of the whole row. `None` of several probes.
    pub peak: Option<Watts>,
    /// Whether it begins or ends within a row, so that energy there was taken in proportion to time.
    pub is_interpolated: bool,
    /// Whether files that may have rows of it could not be read.
    pub is_incomplete: bool,
    /// How many corrections are in it.
    pub corrections: u64,
    /// Energy before the ledger had the probe, from its RRD file, in millijoules; not in `known`…
    pub rrd_mj: i64,
    /// …and the time that it covers, in milliseconds.
    pub rrd_ms: u64,
    /// Of several probes the sum of their mean powers, each over the time that is known of it, in watts.
    means: Option<f64>,
}

impl EnergySpan {
    /// Between two Unix milliseconds, nothing in it yet.
    pub(super) fn new(from: u64, to: u64) -> Self {
        Self { start: instant(from), end: instant(to), ..Self::default() }
    }

    /// All energy, in millijoules.
    pub fn energy_mj(&self) -> i64 {
        self.known.energy_mj().saturating_add(self.rrd_mj)
    }

    /// The time of which the energy is known, in milliseconds.
    pub fn known_ms(&self) -> u64 {
        u64::try_from(self.known.known_ms()).unwrap_or(0).saturating_add(self.rrd_ms)
    }

    /// The mean power while it was known, in watts; of several probes the sum of theirs.
    pub fn mean_watts(&self) -> Option<f64> {
        let known_ms = self.known_ms();
        // Millijoules by milliseconds are watts.
        self.means.or_else(|| (known_ms > 0).then(|| self.energy_mj() as f64 / known_ms as f64))
    }

    /// Adds what another probe used in the same span.
    pub(super) fn add_probe(&mut self, other: &Self) {
        self.known.add(&other.known, 1);
        self.unknown_ms = self.unknown_ms.saturating_add(other.unknown_ms);
        self.absent_ms = self.absent_ms.saturating_add(other.absent_ms);
        self.rrd_mj = self.rrd_mj.saturating_add(other.rrd_mj);
        self.rrd_ms = self.rrd_ms.saturating_add(other.rrd_ms);
        if let Some(mean) = other.mean_watts() {
            self.means = Some(self.means.unwrap_or_default() + mean);
        }
        self.note(other);
    }

    /// Takes away energy that is counted elsewhere, and no time: that of a probe whose meter above stays.
    pub(super) fn take_away(&mut self, other: &Self) {
        for (sum, part) in self.known.mj.iter_mut().zip(other.known.mj) {
            *sum = sum.saturating_sub(part);
        }
        self.rrd_mj = self.rrd_mj.saturating_sub(other.rrd_mj);
        if let Some(mean) = other.mean_watts() {
            self.means = Some(self.means.unwrap_or_default() - mean);
        }
        self.note(other);
    }

    fn note(&mut self, other: &Self) {
        self.is_interpolated |= other.is_interpolated;
        self.is_incomplete |= other.is_incomplete;
        self.corrections = self.corrections.saturating_add(other.corrections);
    }
}
