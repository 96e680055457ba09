//! The contract between a wattmeter's driver and the driver manager.
//!
//! A driver only translates: it reports what the device reports, in SI units. Pacing, retrying, deriving, stamping,
//! integrating and publishing happen once, upstream, for every driver.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Timestamp};
use serde::de::DeserializeOwned;

use crate::config::{ConfigError, DriverKey};
pub(crate) use crate::error::DriverError;
use crate::outlets::Outlets;
use crate::words;

/// Meters of a shorter interval are read once in so long for all that they have measured meanwhile: a wake-up for each
/// value would cost more than the value.
pub(crate) const BLOCK: Duration = Duration::from_millis(50);

/// One open session with one device.
///
/// Opening is connecting and dropping is disconnecting, so after any error, deadline or cancellation there is no
/// half-used session to repair. A device whose sessions outlive the connection (IPMI, Redfish) is logged out of in
/// `Drop`, without waiting.
pub trait Driver: Sized + Send + 'static {
    /// The name that selects this driver in a `[[meter]]` table.
    const NAME: &'static str;

    /// One line for `kwapi drivers --list` and the manual: which devices, over what.
    const SUMMARY: &'static str;

    /// Whether the manager or the device sets the pace.
    const CADENCE: Cadence = Cadence::Polled;

    /// The shortest `interval` that a meter may have. A polled one with one shorter than 50 ms reports what was
    /// measured at each of `Readings::due`, as the manager reads it once in a block. For a pushed one it states how
    /// often values are expected.
    const INTERVAL_MIN: Duration = BLOCK;

    /// Whether it cannot report afterwards what was measured at a tick, so that a thread reads it at each one of an
    /// interval below 50 ms. Its reads must not wait.
    const IS_SAMPLED: bool = false;

    /// The driver's own keys of the `[[meter]]` table, as the manual lists them: all that [`Driver::Config`] takes. What
    /// they name on this machine is looked at by `kwapi check` and watched by a reload.
    const KEYS: &'static [DriverKey];

    /// The same keys by their types; `#[serde(deny_unknown_fields)]`, secrets as [`kwapi_core::Secret`]. Two meters with
    /// equal keys are the same meter on reload.
    type Config: DeserializeOwned + Clone + fmt::Debug + Send + Sync + 'static;

    /// What all meters of this driver in the process have in common: one UDP socket, one broker connection. Made
    /// when the first meter is, closed with the last. `()` where there is nothing to share.
    type Shared: Default + Send + Sync + 'static;

    /// Validates what the types of the keys cannot express (keys that do not go together, a profile that is not there),
    /// so that `kwapi check` reports it before anything starts. Nothing is opened but files the configuration names.
    ///
    /// # Errors
    /// With the key that is at fault, as far as it is one; never a secret.
    fn check(config: &Self::Config) -> Result<(), ConfigError> {
        _ = config;
        Ok(())
    }

    /// Checks the outlets as far as that can be done without the device: a key that no device of the kind has, two
    /// probes where there is one outlet.
    ///
    /// # Errors
    /// With the outlet that is at fault and what there is instead, of the key `probes` unless one of the driver's own is.
    fn check_outlets(config: &Self::Config, outlets: &Outlets) -> Result<(), ConfigError> {
        _ = (config, outlets);
        Ok(())
    }

    /// What the files in the directories that it names ([`Names::Definitions`](crate::config::Names)) mean to this
    /// meter: a reload reopens it when that has changed.
    ///
    /// # Errors
    /// As [`Driver::check`].
    fn definitions(config: &Self::Config) -> Result<String, ConfigError> {
        _ = config;
        Ok(String::new())
    }

    /// Opens a session with the device.
    ///
    /// # Errors
    /// See [`DriverError`]: each variant determines what the manager does next.
    fn open(
        config: &Self::Config,
        outlets: &Outlets,
        shared: &Arc<Self::Shared>,
    ) -> impl Future<Output = Result<Self, DriverError>> + Send;

    /// Takes the next readings: requests them if polled, waits for them if pushed. Cancelled at the deadline; one
    /// outlet that cannot be read is a [`NoReading`] pushed for it, and no error of the whole.
    ///
    /// A reading with a counter states in `Reading::register` what identifies the register after a restart, as far as the
    /// device reports it cheaply (a serial number read at opening, an address of its own); without that the manager
    /// goes by driver, address and outlet.
    ///
    /// # Errors
    /// See [`DriverError`].
    fn read(&mut self, readings: &mut Readings) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// What this session found out and decided, for `kwapi probe`: which sources of power and energy the device
    /// offers, which one is used and why. Called after [`Driver::open`] and one [`Driver::read`].
    fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// How accurate the power of its outlets is, in percent of the reading, of those of which the device itself reports
    /// it. Called after a [`Driver::read`] that returned readings.
    fn accuracy(&self) -> Vec<(ProbeId, f64)> {
        Vec::new()
    }
}

/// Who sets the pace of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// The manager calls [`Driver::read`] once per `interval`.
    Polled,
    /// The device sends when it likes; `read` is called again at once. A device that sends nothing for longer than
    /// the deadline and `max_gap` is taken for hung, so a driver whose device may rest (a broker, a socket) returns
    /// with nothing now and then.
    Pushed,
}

/// What one round of a meter returned.
#[derive(Debug, Default)]
pub struct Readings {
    all: Vec<(ProbeId, Result<Reading, NoReading>)>,
    /// How many the round before returned.
    usual: usize,
    request: ReadRequest,
}

/// When a round's readings are due: so many, each an interval before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadRequest {
    /// When it was requested.
    pub(crate) at: Timestamp,
    /// How long before that the newest is due.
    pub(crate) newest_age: Duration,
    pub(crate) interval: Duration,
    /// How many are due before the newest.
    pub(crate) before: u32,
}

impl ReadRequest {
    /// Of one reading, now.
    pub(crate) fn at_once(self) -> Self {
        Self { newest_age: Duration::ZERO, before: 0, ..self }
    }
}

/// An instant at which a reading is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// By the wall clock.
    pub(crate) at: Timestamp,
    /// How long ago; [`Reading::age`] of what was measured then.
    pub(crate) age: Duration,
}

impl Readings {
    /// Sets when readings are due.
    pub(crate) fn request(&mut self, request: ReadRequest) {
        self.request = request;
    }

    /// The instants at which readings are due, in order: of most meters one, and that is now.
    pub(crate) fn due(&self) -> impl Iterator<Item = Due> + use<> {
        let ReadRequest { at, newest_age, interval, before } = self.request;
        (0..=before).rev().map(move |before| {
            let age = newest_age.saturating_add(interval.saturating_mul(before));
            Due { at: at.before(age), age }
        })
    }

    /// Whether they are due more often than they are collected.
    pub(crate) fn are_fast(&self) -> bool {
        !self.request.interval.is_zero()
    }

    /// Adds what one outlet reported, or why it reported nothing.
    pub fn push(&mut self, probe: &ProbeId, reading: Result<Reading, NoReading>) {
        if self.all.capacity() == 0 {
            self.all.reserve_exact(self.usual);
        }
        self.all.push((probe.clone(), reading.map_err(words::fit_reason)));
    }

    /// Takes all readings out, in the order they came, and their room with them: between two rounds a hundred thousand
    /// outlets need none.
    pub fn drain(&mut self) -> impl Iterator<Item = (ProbeId, Result<Reading, NoReading>)> + use<> {
        self.usual = self.all.len();
        std::mem::take(&mut self.all).into_iter()
    }

    /// Ends a round in which `problem` came up: it has failed where nothing was read.
    ///
    /// # Errors
    /// That problem.
    pub(crate) fn end(&mut self, problem: Option<DriverError>, is_read: bool) -> Result<(), DriverError> {
        match problem {
            Some(error) if !is_read => {
                _ = self.drain().count();
                Err(error)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The probes reported, in the order they came.
    pub fn probes(&self) -> impl Iterator<Item = &ProbeId> {
        self.all.iter().map(|(probe, _)| probe)
    }

    /// The device's own stamps, each with its probe.
    pub(crate) fn stamped(&self) -> impl Iterator<Item = (&ProbeId, Timestamp)> {
        self.all.iter().filter_map(|(probe, reading)| Some((probe, reading.as_ref().ok()?.measured_at?)))
    }

    /// How many outlets were reported.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// One thing a driver found out about its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A source or a fact: `DCMI Get Power Reading`, `profile`.
    pub what: String,
    /// Its text: `236 W`, `Raritan PX2`.
    pub value: String,
    /// For sources: whether this is the one used.
    pub is_used: bool,
    /// Why it is used or not.
    pub why: String,
}
