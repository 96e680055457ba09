//! Every driver there is, by the name that selects it, and drivers whose type is forgotten.
//!
//! A new driver is one line in [`DRIVERS`]. Everything below turns `D: Driver` into values that the manager and
//! `kwapi probe` can hold for any driver: an [`DriverEntry`] (it exists), a [`ConfiguredDriver`] (its keys are right), a
//! [`Connector`] (it has what its meters share) and a [`MeterSession`] (it is open).

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kwapi_core::ProbeId;
use parking_lot::Mutex;

use crate::config::{ConfigError, DriverKey, Names, Problem, Step, typed};
use crate::driver::{Cadence, Driver, Finding, Readings};
use crate::error::DriverError;
use crate::outlets::Outlets;
use crate::words;

/// Every driver there is, in the order the manual lists them.
pub const DRIVERS: &[DriverEntry] = &[
    DriverEntry::of::<crate::ipmi::Ipmi>(),
    DriverEntry::of::<crate::snmp::Snmp>(),
    DriverEntry::of::<crate::redfish::Redfish>(),
    DriverEntry::of::<crate::modbus::Modbus>(),
    DriverEntry::of::<crate::nut::Nut>(),
    DriverEntry::of::<crate::shelly::Shelly>(),
    DriverEntry::of::<crate::tasmota::Tasmota>(),
    DriverEntry::of::<crate::fritz::Fritz>(),
    DriverEntry::of::<crate::kasa::Kasa>(),
    DriverEntry::of::<crate::mqtt::Mqtt>(),
    DriverEntry::of::<crate::http_json::HttpJson>(),
    DriverEntry::of::<crate::prometheus::Prometheus>(),
    DriverEntry::of::<crate::p1::P1>(),
    DriverEntry::of::<crate::sml::Sml>(),
    DriverEntry::of::<crate::wattsup::WattsUp>(),
    DriverEntry::of::<crate::rapl::Rapl>(),
    DriverEntry::of::<crate::hwmon::Hwmon>(),
    DriverEntry::of::<crate::nvml::Nvml>(),
    DriverEntry::of::<crate::pm_counters::PmCounters>(),
    DriverEntry::of::<crate::push::Push>(),
    DriverEntry::of::<crate::dummy::Dummy>(),
];

/// The entry called `name`.
pub fn find(name: &str) -> Option<&'static DriverEntry> {
    DRIVERS.iter().find(|entry| entry.name == name)
}

/// One driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverEntry {
    /// What selects it in a `[[meter]]` table.
    pub name: &'static str,
    /// Which devices, over what.
    pub summary: &'static str,
    /// Who sets the pace of its meters.
    pub cadence: Cadence,
    /// The shortest interval that its meters may have.
    pub interval_min: Duration,
    /// Whether a thread reads them at each tick of an interval below 50 ms.
    pub(crate) is_sampled: bool,
    /// Its own keys of a `[[meter]]` table. One that all meters have too (`labels` of prometheus) is the driver's where it
    /// has it.
    pub keys: &'static [DriverKey],
    configure: fn(toml::Table) -> Result<ConfiguredDriver, ConfigError>,
}

impl DriverEntry {
    /// The entry of driver `D`.
    pub const fn of<D: Driver>() -> Self {
        Self {
            name: D::NAME,
            summary: D::SUMMARY,
            cadence: D::CADENCE,
            interval_min: D::INTERVAL_MIN,
            is_sampled: D::IS_SAMPLED,
            keys: D::KEYS,
            configure: configure::<D>,
        }
    }

    /// Its own key of that name.
    pub fn key(&self, name: &str) -> Option<&'static DriverKey> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Checks a meter's own keys (those of the `[[meter]]` table that are not common to all drivers). Nothing is
    /// opened.
    ///
    /// # Errors
    /// When a key is unknown, missing or of the wrong type; secrets' values are not repeated.
    pub fn configure(&self, keys: toml::Table) -> Result<ConfiguredDriver, ConfigError> {
        (self.configure)(keys)
    }
}

fn configure<D: Driver>(keys: toml::Table) -> Result<ConfiguredDriver, ConfigError> {
    if let Some(unknown) = keys.keys().find(|name| D::KEYS.iter().all(|key| key.name != name.as_str())) {
        let known = D::KEYS.iter().map(|key| key.name).collect();
        let path = vec![Step::Key(unknown.clone())];
        return Err(ConfigError { path, problem: Problem::UnknownKey(known) });
    }
    let config = typed(toml::Value::Table(keys.clone()))?;
    Ok(ConfiguredDriver { keys, config: Arc::new(Checked::<D>(config)) })
}

/// A driver with its keys checked. Two are equal when driver and keys are: then a reload leaves the meter alone.
#[derive(Clone)]
pub struct ConfiguredDriver {
    keys: toml::Table,
    config: Arc<dyn AnyConfig>,
}

impl ConfiguredDriver {
    /// The driver's name.
    pub fn name(&self) -> &'static str {
        self.config.entry().name
    }

    /// Who sets the pace.
    pub fn cadence(&self) -> Cadence {
        self.config.entry().cadence
    }

    /// What the driver is, its keys included.
    pub fn entry(&self) -> DriverEntry {
        self.config.entry()
    }

    /// What its keys name on this machine, each with its key.
    pub fn paths(&self) -> impl Iterator<Item = (&'static DriverKey, Names, &Path)> {
        let value = |key: &'static DriverKey| Some((key, self.keys.get(key.name)?.as_str()?));
        self.config.entry().keys.iter().filter_map(value).filter_map(|(key, value)| {
            let (names, path) = key.path(value)?;
            Some((key, names, path))
        })
    }

    /// The text that `key` was given, if it is one; of a secret too.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.keys.get(key)?.as_str()
    }

    /// Whether `key` was given to the driver.
    pub fn has_key(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The checked keys, if the driver is `D`.
    pub fn config<D: Driver>(&self) -> Option<&D::Config> {
        self.config.as_any().downcast_ref::<Checked<D>>().map(|checked| &checked.0)
    }

    /// The driver's own keys as they are written, secrets included.
    pub(crate) fn keys(&self) -> &toml::Table {
        &self.keys
    }

    /// Validates what the types of the keys cannot express.
    ///
    /// # Errors
    /// See [`Driver::check`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.config.check()
    }

    /// What the files in the directories that it names mean to this meter.
    ///
    /// # Errors
    /// See [`Driver::definitions`].
    pub fn definitions(&self) -> Result<String, ConfigError> {
        self.config.definitions()
    }

    /// Checks the meter's outlets as far as that can be done without the device.
    ///
    /// # Errors
    /// See [`Driver::check_outlets`].
    pub fn check_outlets(&self, outlets: &Outlets) -> Result<(), ConfigError> {
        self.config.check_outlets(outlets)
    }

    /// Takes what the driver's meters share from `pool`. Still nothing is opened.
    pub fn connector(&self, pool: &SharedPool) -> Connector {
        Connector(self.config.connector(pool))
    }
}

impl PartialEq for ConfiguredDriver {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.keys == other.keys
    }
}

impl fmt::Debug for ConfiguredDriver {
    /// The typed configuration, whose secrets do not print; never the raw keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.name()).field(&self.config).finish()
    }
}

/// What meters of one driver share, one of each in the process: made with the driver's first meter, dropped with
/// its last.
#[derive(Clone, Default)]
pub struct SharedPool(Arc<Mutex<HashMap<TypeId, Weak<dyn Any + Send + Sync>>>>);

impl SharedPool {
    fn get<D: Driver>(&self) -> Arc<D::Shared> {
        let mut shared = self.0.lock();
        let alive = shared.get(&TypeId::of::<D>()).and_then(Weak::upgrade);
        if let Some(Ok(shared)) = alive.map(Arc::downcast) {
            return shared;
        }
        let made = Arc::new(D::Shared::default());
        let erased: Arc<dyn Any + Send + Sync> = made.clone();
        shared.insert(TypeId::of::<D>(), Arc::downgrade(&erased));
        made
    }
}

impl fmt::Debug for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedPool")
    }
}

/// Opens sessions with one meter.
pub struct Connector(Box<dyn Connect>);

impl Connector {
    /// Opens a session.
    ///
    /// # Errors
    /// See [`Driver::open`].
    pub async fn open(&self, outlets: &Outlets) -> Result<MeterSession, DriverError> {
        self.0.open(outlets).await.map(MeterSession).map_err(words::fit_error)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// One open session with a meter of any driver; dropping it closes it.
pub struct MeterSession(Box<dyn Open>);

impl MeterSession {
    /// Takes the next readings.
    ///
    /// # Errors
    /// See [`Driver::read`].
    pub async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        self.0.read(readings).await.map_err(words::fit_error)
    }

    /// See [`Driver::accuracy`].
    pub(crate) fn accuracy(&self) -> Vec<(ProbeId, f64)> {
        self.0.accuracy()
    }

    /// What it found out and decided.
    pub fn findings(&self) -> Vec<Finding> {
        self.0.findings().into_iter().map(fit).collect()
    }
}

impl fmt::Debug for MeterSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeterSession")
    }
}

/// What a driver found out, in words fit for a terminal.
fn fit(finding: Finding) -> Finding {
    let Finding { what, value, is_used, why } = finding;
    Finding { what: words::fit(what), value: words::fit(value), is_used, why: words::fit(why) }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A checked configuration, whatever its driver.
trait AnyConfig: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn entry(&self) -> DriverEntry;
    fn check(&self) -> Result<(), ConfigError>;
    fn check_outlets(&self, outlets: &Outlets) -> Result<(), ConfigError>;
    fn definitions(&self) -> Result<String, ConfigError>;
    fn connector(&self, pool: &SharedPool) -> Box<dyn Connect>;
}

struct Checked<D: Driver>(D::Config);

impl<D: Driver> fmt::Debug for Checked<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<D: Driver> AnyConfig for Checked<D> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn entry(&self) -> DriverEntry {
        DriverEntry::of::<D>()
    }

    fn check(&self) -> Result<(), ConfigError> {
        D::check(&self.0)
    }

    fn check_outlets(&self, outlets: &Outlets) -> Result<(), ConfigError> {
        D::check_outlets(&self.0, outlets)
    }

    fn definitions(&self) -> Result<String, ConfigError> {
        D::definitions(&self.0)
    }

    fn connector(&self, pool: &SharedPool) -> Box<dyn Connect> {
        Box::new(Connected::<D> { config: self.0.clone(), shared: pool.get::<D>() })
    }
}

/// A configuration with what its driver shares.
trait Connect: Send + Sync {
    fn open<'a>(&'a self, outlets: &'a Outlets) -> BoxFuture<'a, Result<Box<dyn Open>, DriverError>>;
}

struct Connected<D: Driver> {
    config: D::Config,
    shared: Arc<D::Shared>,
}

impl<D: Driver> Connect for Connected<D> {
    fn open<'a>(&'a self, outlets: &'a Outlets) -> BoxFuture<'a, Result<Box<dyn Open>, DriverError>> {
        Box::pin(async move {
            let session = D::open(&self.config, outlets, &self.shared).await?;
            Ok(Box::new(Opened(session)) as Box<dyn Open>)
        })
    }
}

/// An open session, whatever its driver.
trait Open: Send {
    fn read<'a>(&'a mut self, readings: &'a mut Readings) -> BoxFuture<'a, Result<(), DriverError>>;
    fn findings(&self) -> Vec<Finding>;
    fn accuracy(&self) -> Vec<(ProbeId, f64)>;
}

struct Opened<D: Driver>(D);

impl<D: Driver> Open for Opened<D> {
    fn read<'a>(&'a mut self, readings: &'a mut Readings) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(self.0.read(readings))
    }

    fn findings(&self) -> Vec<Finding> {
        self.0.findings()
    }

    fn accuracy(&self) -> Vec<(ProbeId, f64)> {
        self.0.accuracy()
    }
}

#[cfg(test)]
mod tests;
