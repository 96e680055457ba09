//! What is kept of a message.

use kwapi_core::{Amperes, Energy, Quality, Timestamp, Volts, Watts};

use crate::journal::Credited;

const HOUR_US: u64 = 3_600_000_000;

/// An hour, counted from 1970-01-01 00:00 UTC.
pub(super) type Hour = u64;

/// The hour that has an instant, in Unix microseconds.
pub(super) const fn hour_of(micros: u64) -> Hour {
    micros / HOUR_US
}

/// One sample of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRow {
    /// When it was measured; on a message of the original Kwapi, when it arrived.
    pub at: Timestamp,
    /// Active power.
    pub power: Watts,
    /// Potential, when the meter reports it.
    pub voltage: Option<Volts>,
    /// Current, when the meter reports it.
    pub current: Option<Amperes>,
    /// The meter's own register, where it has one.
    pub register: Option<Energy>,
    /// Whether the power was measured or estimated.
    pub quality: Quality,
    /// The total of the probe's account with this sample; `None` in what version 0.1.0 recorded.
    pub total: Option<Energy>,
}

impl SampleRow {
    /// What is kept of a record of the journal.
    pub fn of(record: &Credited) -> Self {
        let accounting = record.accounting.as_ref();
        Self {
            at: record.at,
            power: record.power,
            voltage: record.voltage,
            current: record.current,
            register: accounting.and_then(|accounting| accounting.meter).map(|meter| meter.energy),
            quality: accounting.map_or(Quality::Measured, |accounting| accounting.quality),
            total: record.taken.map(|taken| taken.register.energy),
        }
    }
}

/// Millijoules of a power held for so long, as files leave them out: what is written is what a total has over them.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and reading does what writing did")]
pub(crate) fn held_mj(power: Watts, micros: u64) -> i64 {
    (power.0 * micros as f64 / 1e3).round() as i64
}
