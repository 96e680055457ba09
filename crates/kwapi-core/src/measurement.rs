//! Measurements: what travels on the bus.

use serde::{Deserialize, Serialize};

use crate::{Amperes, Energy, ProbeId, Timestamp, Totals, Volts, Watts};

/// More than this is no probe but a mistake of scale; the bus refuses it (1 GW, a large power station).
pub const WATTS_MAX: Watts = Watts(1e9);

/// How a value came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The meter measured it.
    #[default]
    Measured,
    /// Derived from something else (V × A × power factor, a load share of a rating).
    Estimated,
}

/// One probe's power at one instant, with the running account that makes a lost message harmless.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Whose.
    pub probe: ProbeId,
    /// Active power: finite, 0 to [`WATTS_MAX`].
    pub power: Watts,
    /// Potential, when the meter reports it.
    pub voltage: Option<Volts>,
    /// Current, when the meter reports it.
    pub current: Option<Amperes>,
    /// Stamp, session and totals; `None` on a message of the original Kwapi, which carried none of it.
    pub accounting: Option<Accounting>,
}

impl Measurement {
    /// Whether `power` may travel: finite, not negative, at most [`WATTS_MAX`].
    pub fn power_is_valid(power: Watts) -> bool {
        power.0 >= 0.0 && power.0 <= WATTS_MAX.0
    }
}

/// What Kwapi adds to the original's message, for accounting: all integers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// When it was measured.
    pub timestamp: Timestamp,
    /// Start stamp of this probe's account at its publisher: unique and increasing; a new one after a restart or a
    /// backward clock step. After a step it is later than every stamp before it, though the clock is not: by that it is
    /// known to follow.
    pub session: Timestamp,
    /// Counts this probe's messages of the session from 0.
    pub seq: u64,
    /// Energy and the make-up of time since the session began.
    pub totals: Totals,
    /// Where the session stands on its register's curve; `None` without a register that is trusted.
    pub curve: Option<CurvePoint>,
    /// The meter's own counter, where it has one.
    pub meter: Option<MeterTotal>,
    /// How the power came about.
    pub quality: Quality,
}

/// A run of a cumulative curve: what a trusted register gave over all processes that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The id of the session that was the curve's first run.
    pub id: Timestamp,
    /// Which run on the curve this session is: 1, 2, …
    pub run: u32,
    /// Where on the curve this run's own sums begin: all runs before it and the stop before this one.
    pub begin: Energy,
}

/// The meter's own energy counter as it stood, for whoever wants to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterTotal {
    /// The counter.
    pub energy: Energy,
    /// When the device reports that it was last reset.
    pub since: Option<Timestamp>,
}
