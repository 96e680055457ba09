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

use std::path::Path;
use std::sync::Arc;

use kwapi_core::{NoReading, Reading, Register};

use crate::driver::DriverError;
use crate::local_sensors::{LocalSensor, LocalSensors};
use crate::parts::{Notes, drawn, power_and_counter};
pub use scope::SensorScope;
use sensor::{HwmonSensor, Raw};

/// Where Linux shows the chips.
pub const ROOT: &str = "/sys/class/hwmon";

/// `driver = "hwmon"`. Outlets are `CHIP.SENSOR` (`amdgpu-pci-0300.power1`), `CHIP.LABEL`, and `CHIP` alone where it has one
/// sensor that counts.
pub(crate) type Hwmon = LocalSensors<HwmonSensor>;

impl LocalSensor for HwmonSensor {
    type Values = Raw;
    const NAME: &'static str = "hwmon";
    const SUMMARY: &'static str =
        "power and energy sensors of the machine kwapi runs on (Linux hwmon): GPUs, INA2xx, ACPI, PMBus";
    const ROOT: &'static str = ROOT;
    const ROOT_ABOUT: &'static str = "directory of Linux's hwmon chips";
    const THREAD: &'static str = "kwapi-hwmon";
    const ONE: &'static str = "sensor";
    const ALL: &'static str = "sensors";
    const OUTLETS: &'static str = "amdgpu-pci-0300 = \"…\"";

    fn find(root: &Path) -> Result<Vec<Self>, DriverError> {
        chip::find(root)
    }

    /// None that is a part of another.
    fn counted(sensors: &[Self]) -> Vec<usize> {
        let of = |wanted: &[SensorScope]| -> Vec<usize> {
            let sensors = sensors.iter().enumerate();
            sensors.filter(|(_, sensor)| wanted.contains(&sensor.scope)).map(|(index, _)| index).collect()
        };
        let parts = of(&[SensorScope::Consumer, SensorScope::Processor]);
        // The whole machine contains them.
        if parts.is_empty() { of(&[SensorScope::Machine]) } else { parts }
    }

    fn called(sensors: &[Self], key: &str) -> Vec<usize> {
        if let Some(exact) = sensors.iter().position(|sensor| sensor.key == key) {
            return vec![exact];
        }
        if key == "1" {
            return Self::counted(sensors);
        }
        let is_labelled = |sensor: &Self| format!("{}.{}", sensor.chip, sensor.label()) == key;
        let labelled = sensors.iter().position(is_labelled);
        labelled.map_or_else(|| of_chip(sensors, key), |index| vec![index])
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn label(&self) -> Option<&str> {
        Some(self.label())
    }

    fn why(&self) -> String {
        format!("{}: {}", self.describe(), self.scope.why())
    }

    fn read(&self) -> Raw {
        self.read_files()
    }

    fn reading(&self, raw: &Raw, register: &Arc<Register>, notes: &mut Notes) -> Result<Reading, NoReading> {
        let (voltage, mut current) = (raw.volts(), raw.amperes());
        if self.is_volts_and_amperes() {
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
        let (power, counter) = power_and_counter(&self.key, raw.watts(), raw.counter(), absent, notes)?;
        let register = counter.map(|_| Arc::clone(register));
        Ok(Reading { power, voltage, current, counter, register, ..Reading::default() })
    }

    fn problem(raw: &Raw) -> Option<DriverError> {
        raw.problem()
    }

    /// The driver of a chip was unloaded, or it has another number.
    fn is_gone(raw: &Raw) -> bool {
        raw.is_gone()
    }
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

/// The sensors below `root` that return power or energy when read. Blocks as long as the slowest of them.
pub fn readable(root: &Path) -> Vec<FoundSensor> {
    let sensors = chip::find(root).unwrap_or_default();
    let is_readable = |sensor: &&HwmonSensor| {
        let notes = &mut Notes::default();
        sensor.scope.is_consumption() && sensor.reading(&sensor.read_files(), &Arc::default(), notes).is_ok()
    };
    let found = |sensor: &HwmonSensor| FoundSensor { key: sensor.key.clone(), scope: sensor.scope };
    sensors.iter().filter(is_readable).map(found).collect()
}

#[cfg(test)]
mod tests;
