//! SI quantities as types, so that a kilowatt never meets a watt unnoticed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Active power in watts.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Watts(pub f64);

/// Potential in volts (RMS on alternating current).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Volts(pub f64);

/// Current in amperes (RMS on alternating current).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amperes(pub f64);

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} W", self.0)
    }
}

impl fmt::Display for Volts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} V", self.0)
    }
}

impl fmt::Display for Amperes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} A", self.0)
    }
}

/// Energy in whole millijoules: exact under addition, and a counter of 1 GW overflows after 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Energy(u64);

impl Energy {
    /// No energy at all.
    pub const ZERO: Self = Self(0);

    /// Takes whole millijoules.
    pub const fn from_millijoules(millijoules: u64) -> Self {
        Self(millijoules)
    }

    /// Takes whole watt-hours, the unit most PDUs count in (1 Wh = 3 600 J).
    pub const fn from_watt_hours(watt_hours: u64) -> Self {
        Self(watt_hours.saturating_mul(3_600_000))
    }

    /// Takes joules; a negative or non-finite number is no energy and gives `None`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked just above")]
    pub fn from_joules(joules: f64) -> Option<Self> {
        let millijoules = (joules * 1e3).round();
        (0.0..18_446_744_073_709_549_568.0).contains(&millijoules).then_some(Self(millijoules as u64))
    }

    /// Whole millijoules.
    pub const fn millijoules(self) -> u64 {
        self.0
    }

    /// Joules; exact below 9 TJ.
    pub fn joules(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// Kilowatt-hours, the unit of the API and of every bill.
    pub fn kwh(self) -> f64 {
        self.0 as f64 / 3.6e9
    }

    /// The sum, held at the largest count there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What this has over `other`, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// An instant of wall-clock time in Unix microseconds. It labels; it never measures a duration that is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch; doubles as "never".
    pub const EPOCH: Self = Self(0);

    /// Takes Unix microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Takes Unix seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Unix microseconds.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole Unix seconds, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Unix seconds with their fraction, as the API has always shown them.
    pub fn seconds_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// How long after `earlier` this is; nothing when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The instant `duration` earlier; the epoch where there is none.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The instant `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Where a component gets its wall-clock stamps; the binary gives it, a test gives its own.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    /// A clock that calls `now` each time.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// When this version was made: a wall clock that shows an earlier time is wrong.
pub const PROGRAM_DATE: Timestamp = Timestamp::from_seconds(1_767_225_600); // 2026-01-01

/// Where a component gets the time that silence and gaps are measured in; the binary gives it, a test gives its own.
#[derive(Clone)]
pub struct MonotonicClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl MonotonicClock {
    /// A clock that calls `now` each time.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Time since the process's origin, which is the same for all of the process.
    pub fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for MonotonicClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MonotonicClock")
    }
}

/// Both clocks of a process, handed on together by their one owner: what one part measures, another can compare.
#[derive(Clone, Debug)]
pub struct ProcessClocks {
    /// Labels.
    pub wall: WallClock,
    /// Measures.
    pub monotonic: MonotonicClock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilowatt_hour_is_three_point_six_megajoules() {
        assert_eq!(Energy::from_joules(3.6e6), Some(Energy::from_watt_hours(1_000)));
        assert!((Energy::from_millijoules(3_600_000_000).kwh() - 1.0).abs() < 1e-12);
        assert_eq!(Energy::from_watt_hours(1), Energy::from_millijoules(3_600_000));
        assert!((Energy::from_watt_hours(1500).kwh() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_no_energy() {
        for nonsense in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Energy::from_joules(nonsense), None, "{nonsense}");
        }
    }
}
