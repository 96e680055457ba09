//! Readings: what one outlet of a meter reported, in SI units and nothing more.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Amperes, MeterCounter, Quality, Register, Timestamp, Volts, Watts};

/// What the device reported of one outlet at one moment. Absent is not zero: a field the device does not give is `None`.
/// Deriving (V × A, energy over time), stamping and integrating are the driver manager's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Active power, if the device reports it.
    pub power: Option<Watts>,
    /// Potential, if the device reports it.
    pub voltage: Option<Volts>,
    /// Current, if the device reports it.
    pub current: Option<Amperes>,
    /// The device's own energy counter, if it has one.
    pub counter: Option<MeterCounter>,
    /// What the register that `counter` was read from is recognised by after a restart; made once when the device is
    /// opened, where it reports a serial number or the register has an address of its own. `None`: the driver manager
    /// goes by driver, address and outlet.
    pub register: Option<Arc<Register>>,
    /// When the device took it, if the device reports it; `None` means "just now".
    pub measured_at: Option<Timestamp>,
    /// How long ago it was taken, by the host's clock, of a driver that reads more often than its readings are collected; zero
    /// means "just now". A device's own stamp goes before it.
    pub age: Duration,
    /// Whether the device measured this or estimated it.
    pub quality: Quality,
}

impl Reading {
    /// A reading of active power alone, measured just now.
    pub fn watts(watts: f64) -> Self {
        Self { power: Some(Watts(watts)), ..Self::default() }
    }

    /// Whether the device reported anything that energy can be derived from.
    pub fn is_empty(&self) -> bool {
        self.power.is_none() && self.current.is_none() && self.counter.is_none()
    }
}

impl fmt::Display for Reading {
    /// The values that are there, in a fixed order: `97.2 W, 227.7 V, 0.433 A, 1200000 J (estimated)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.power.map(|power| power.to_string()));
        parts.extend(self.voltage.map(|voltage| voltage.to_string()));
        parts.extend(self.current.map(|current| current.to_string()));
        parts.extend(self.counter.as_ref().map(|counter| format!("{} J", counter.value.joules())));
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        f.write_str(&parts.join(", "))?;
        match self.quality {
            Quality::Measured => Ok(()),
            Quality::Estimated => f.write_str(" (estimated)"),
        }
    }
}

/// Why an outlet that should have reported something did not. None of these is 0 W.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReading {
    /// The device is busy or has not measured yet; the next round may do better.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The device reports that it cannot measure this outlet now (lost sensor, outlet off and unmetered).
    #[error("not available: {0}")]
    NotAvailable(String),
    /// The device has no such outlet.
    #[error("no such outlet: {0}")]
    NoSuchOutlet(String),
    /// A value came that cannot be right (negative, out of range, of the wrong type).
    #[error("implausible: {0}")]
    Implausible(String),
    /// The value is older than the meter's interval allows.
    #[error("stale: {0}")]
    Stale(String),
}
