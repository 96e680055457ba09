//! Sensors of power and energy that Linux shows as hwmon chips: AMD and Intel GPUs, INA219/226/238/3221 and their like on
//! I²C, ACPI power meters, `PMBus` supplies.
//!
//! A chip is named by its driver and its place on the bus, as `sensors` names it (`amdgpu-pci-0300`, `ina226-i2c-1-40`):
//! `hwmon3` is another chip after the next boot.
//!
//! Source: Linux, *Documentation/hwmon/sysfs-interface.rst* and *ABI/testing/sysfs-class-hwmon*.

mod chip;
mod file;
mod scope;
mod sensor;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Register};
use serde::Deserialize;
use tokio::time::Instant;

use crate::blocking::OneThread;
use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::{Notes, drawn, power_and_counter};
pub use scope::SensorScope;
use sensor::{HwmonSensor, Raw};

/// Where Linux shows the chips.
pub const ROOT: &str = "/sys/class/hwmon";

/// How often it looks whether there are other chips: a driver may be loaded, a GPU plugged in.
const CHIPS_PAUSE: Duration = Duration::from_secs(60);

/// `driver = "hwmon"`. Outlets are `CHIP.SENSOR` (`amdgpu-pci-0300.power1`), `CHIP.LABEL`, and `CHIP` alone where it has one
/// sensor that counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HwmonConfig {
    /// Where the chips are.
    pub root: PathBuf,
}

impl Default for HwmonConfig {
    fn default() -> Self {
        Self { root: ROOT.into() }
    }
}

/// The sensors of this machine.
#[derive(Debug)]
pub struct Hwmon {
    root: PathBuf,
    outlets: Outlets,
    thread: Arc<OneThread>,
    sensors: Arc<Vec<HwmonSensor>>,
    sources: Vec<ReadSensor>,
    looked_at: Instant,
    /// Whether a file that was there is gone: the driver of a chip was unloaded, or it has another number.
    is_other: bool,
    notes: Notes,
}

/// Which sensor is read for a probe.
#[derive(Debug)]
struct ReadSensor {
    probe: ProbeId,
    sensor: usize,
    register: Arc<Register>,
    last: String,
}

impl Driver for Hwmon {
    const NAME: &'static str = "hwmon";
    const SUMMARY: &'static str =
        "power and energy sensors of the machine kwapi runs on (Linux hwmon): GPUs, INA2xx, ACPI, PMBus";
    const KEYS: &'static [DriverKey] =
        &[DriverKey::new("root", "where Linux shows the chips").or(ROOT).naming(Names::Kernel)];
    type Config = HwmonConfig;
    type Shared = OneThread;

    fn check_outlets(_: &HwmonConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.refuse_numbers("sensors", "amdgpu-pci-0300 = \"…\"")
    }

    async fn open(
        config: &HwmonConfig,
        outlets: &Outlets,
        thread: &Arc<OneThread>,
    ) -> Result<Self, DriverError> {
        let root = config.root.clone();
        let sensors = thread.run("kwapi-hwmon", move || chip::find(&root)).await??;
        let sources = choose(&sensors, outlets)?;
        let mut meter = Self {
            root: config.root.clone(),
            outlets: outlets.clone(),
            thread: Arc::clone(thread),
            sensors: Arc::new(sensors),
            sources,
            looked_at: Instant::now(),
            is_other: false,
            notes: Notes::default(),
        };
        // A missing permission is told now, not at the first reading.
        match meter.read(&mut Readings::default()).await {
            Err(error @ DriverError::Refused(_)) => Err(error),
            Ok(()) | Err(_) => Ok(meter),
        }
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.is_other || self.looked_at.elapsed() >= CHIPS_PAUSE {
            self.look_again().await?;
        }
        let (sensors, wanted) = (Arc::clone(&self.sensors), self.sources.iter());
        let wanted: Vec<usize> = wanted.map(|source| source.sensor).collect();
        let read = move || -> Vec<Raw> {
            wanted
                .iter()
                .map(|index| sensors.get(*index).map(HwmonSensor::read).unwrap_or_default())
                .collect()
        };
        let raw = self.thread.run("kwapi-hwmon", read).await?;
        let (mut problem, mut is_read) = (None, false);
        for (source, raw) in self.sources.iter_mut().zip(raw) {
            let Some(sensor) = self.sensors.get(source.sensor) else { continue };
            self.is_other |= raw.is_gone();
            problem = problem.or_else(|| raw.problem());
            let reading = reading(sensor, &raw, &source.register, &mut self.notes);
            is_read |= reading.is_ok();
            source.last = match &reading {
                Ok(reading) => reading.to_string(),
                Err(no_reading) => no_reading.to_string(),
            };
            readings.push(&source.probe, reading);
        }
        readings.end(problem, is_read)
    }

    fn findings(&self) -> Vec<Finding> {
        let sensors = self.sensors.iter().enumerate().map(|(index, sensor)| {
            let source = self.sources.iter().find(|source| source.sensor == index);
            Finding {
                what: sensor.key.clone(),
                value: source.map_or_else(|| "not read".to_owned(), |source| source.last.clone()),
                is_used: source.is_some(),
                why: format!("{}: {}", sensor.describe(), sensor.scope.why()),
            }
        });
        sensors.chain(self.notes.findings()).collect()
    }
}

impl Hwmon {
    /// Looks whether there are other chips, or the same under other numbers.
    async fn look_again(&mut self) -> Result<(), DriverError> {
        (self.looked_at, self.is_other) = (Instant::now(), false);
        let root = self.root.clone();
        let Ok(sensors) = self.thread.run("kwapi-hwmon", move || chip::find(&root)).await? else {
            return Ok(());
        };
        if sensors == *self.sensors {
            return Ok(());
        }
        // What is configured and gone has no reading until it is back.
        if let Ok(sources) = choose(&sensors, &self.outlets) {
            tracing::info!(
                sensors = sensors.len(),
                before = self.sensors.len(),
                "the list of hwmon sensors has changed"
            );
            (self.sensors, self.sources) = (Arc::new(sensors), sources);
        }
        Ok(())
    }
}

/// What was read of a sensor, in SI units.
fn reading(
    sensor: &HwmonSensor,
    raw: &Raw,
    register: &Arc<Register>,
    notes: &mut Notes,
) -> Result<Reading, NoReading> {
    let (voltage, mut current) = (raw.volts(), raw.amperes());
    if sensor.is_volts_and_amperes() {
        let (Some(volts), Some(amperes)) = (voltage, current) else {
            return Err(raw.no_reading());
        };
        // An idle channel's amperes are a hair above or below nothing.
        if amperes.0 < 0.0 && drawn(volts.0 * amperes.0, None)?.0 == 0.0 {
            current = Some(kwapi_core::Amperes(0.0));
        }
        return Ok(Reading { voltage, current, ..Reading::default() });
    }
    let absent = || raw.no_reading();
    let (power, counter) = power_and_counter(&sensor.key, raw.watts(), raw.counter(), absent, notes)?;
    let register = counter.map(|_| Arc::clone(register));
    Ok(Reading { power, voltage, current, counter, register, ..Reading::default() })
}

/// Which sensor is read for which probe.
fn choose(sensors: &[HwmonSensor], outlets: &Outlets) -> Result<Vec<ReadSensor>, DriverError> {
    let source = |probe: ProbeId, index: usize| {
        let path = sensors.get(index).map(|sensor| sensor.key.clone());
        let register = Arc::new(Register { path, is_in_host: true, ..Register::default() });
        ReadSensor { probe, sensor: index, register, last: String::new() }
    };
    let counted = counted(sensors);
    if outlets.wants_all() {
        let parts: Vec<_> = counted.iter().filter_map(|index| Some((*index, sensors.get(*index)?))).collect();
        let listed = parts.iter().map(|(_, sensor)| (sensor.key.as_str(), Some(sensor.label())));
        let probes = outlets.probes(listed);
        let sources = parts.iter().zip(probes).filter_map(|((index, _), probe)| Some(source(probe?, *index)));
        return Ok(sources.collect());
    }
    let known = || sensors.iter().map(|sensor| sensor.key.as_str()).collect::<Vec<_>>().join(", ");
    let mut sources = Vec::new();
    for outlet in outlets.named() {
        let key = outlet.key.as_str();
        let exact = sensors.iter().position(|sensor| sensor.key == key);
        let mut meant: Vec<usize> = match (exact, key) {
            (Some(index), _) => vec![index],
            (None, "1") => counted.clone(),
            (None, key) => {
                let is_labelled = |sensor: &HwmonSensor| format!("{}.{}", sensor.chip, sensor.label()) == key;
                let labelled = sensors.iter().position(is_labelled);
                labelled.map_or_else(|| of_chip(sensors, key), |index| vec![index])
            }
        };
        match (meant.pop(), meant.is_empty()) {
            (Some(index), true) => sources.push(source(outlet.probe.clone(), index)),
            (Some(_), false) => {
                return Err(DriverError::NothingToRead(format!(
                    "{key:?} matches several sensors; use one of {}",
                    known()
                )));
            }
            (None, _) => {
                return Err(DriverError::NothingToRead(format!(
                    "unknown sensor {key:?}; available: {}",
                    known()
                )));
            }
        }
    }
    Ok(sources)
}

/// The sensors that add up to what the machine draws: none that is a part of another.
fn counted(sensors: &[HwmonSensor]) -> Vec<usize> {
    let of = |wanted: &[SensorScope]| -> Vec<usize> {
        let sensors = sensors.iter().enumerate();
        sensors.filter(|(_, sensor)| wanted.contains(&sensor.scope)).map(|(index, _)| index).collect()
    };
    let parts = of(&[SensorScope::Consumer, SensorScope::Processor]);
    // The whole machine contains them.
    if parts.is_empty() { of(&[SensorScope::Machine]) } else { parts }
}

/// The sensors of the chip called `key`: those that count, or the only one.
fn of_chip(sensors: &[HwmonSensor], key: &str) -> Vec<usize> {
    let of_chip = || sensors.iter().enumerate().filter(|(_, sensor)| sensor.chip == key);
    let counted: Vec<usize> =
        of_chip().filter(|(_, sensor)| sensor.scope.is_consumption()).map(|(index, _)| index).collect();
    if counted.is_empty() { of_chip().map(|(index, _)| index).collect() } else { counted }
}

/// A sensor that can be read now, for `kwapi run` without a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSensor {
    /// Its outlet.
    pub key: String,
    /// What it contains.
    pub scope: SensorScope,
}

/// The sensors below `root` that say power or energy when asked. Blocks as long as the slowest of them.
pub fn readable(root: &Path) -> Vec<FoundSensor> {
    let sensors = chip::find(root).unwrap_or_default();
    let is_readable = |sensor: &&HwmonSensor| {
        let notes = &mut Notes::default();
        sensor.scope.is_consumption() && reading(sensor, &sensor.read(), &Arc::default(), notes).is_ok()
    };
    let found = |sensor: &HwmonSensor| FoundSensor { key: sensor.key.clone(), scope: sensor.scope };
    sensors.iter().filter(is_readable).map(found).collect()
}

#[cfg(test)]
mod tests;
