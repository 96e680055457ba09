//! The counters of an HPE Cray node's controller, which Linux shows there as files: power and energy of the node and of its
//! processors, memory and accelerators, ten times a second, each with the controller's stamp.
//!
//! Source: HPE Cray, *XC Series Power Management and SMW/NC Administration Guide* (S-0043), "Node power and energy
//! counters": `265 W 1414013342123456 us`.

mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::{NoReading, ProbeId, Reading, Register};
use serde::Deserialize;

use crate::blocking::OneThread;
use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::local_sensors::{LocalSensor, LocalSensors};
use crate::outlets::Outlets;
use crate::parts::{Notes, power_and_counter};
use file::{CounterTrouble, CounterValue, NODE, NodePart, PartValues, parts};

/// Where Linux shows the counters.
const ROOT: &str = "/sys/cray/pm_counters";
/// `driver = "pm_counters"`. Outlets are `total` (also `1`, the node), `cpu`, `cpu0`, `memory`, `accel0` and their like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PmCountersConfig {
    /// Where the counters are.
    pub root: PathBuf,
}

impl Default for PmCountersConfig {
    fn default() -> Self {
        Self { root: ROOT.into() }
    }
}

/// The counters of this node.
#[derive(Debug)]
pub struct PmCounters(LocalSensors<NodePart>);

impl Driver for PmCounters {
    const NAME: &'static str = "pm_counters";
    const SUMMARY: &'static str = "the power and energy counters of the HPE Cray node kwapi runs on";
    const KEYS: &'static [DriverKey] =
        &[DriverKey::new("root", "directory of the counters").or(ROOT).naming(Names::Kernel)];
    type Config = PmCountersConfig;
    type Shared = OneThread;

    fn check_outlets(_: &PmCountersConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.refuse_numbers("counters", "total = \"…\", accel0 = \"…\"")
    }

    async fn open(
        config: &PmCountersConfig,
        outlets: &Outlets,
        thread: &Arc<OneThread>,
    ) -> Result<Self, DriverError> {
        LocalSensors::open(&config.root, outlets, thread).await.map(Self)
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        self.0.read(readings).await
    }

    fn findings(&self) -> Vec<Finding> {
        self.0.findings()
    }
}

impl LocalSensor for NodePart {
    type Values = PartValues;
    const THREAD: &'static str = "kwapi-cray";
    const LIST: &'static str = "counters";

    fn find(root: &Path) -> Result<Vec<Self>, DriverError> {
        parts(root)
    }

    /// Which part is read for which probe. A template takes the parts of the node that are each watt once; the node itself
    /// where it shows no parts.
    fn choose(parts: &[Self], outlets: &Outlets) -> Result<Vec<(ProbeId, usize)>, DriverError> {
        if outlets.wants_all() {
            let counted = file::counted(parts);
            let listed =
                counted.iter().filter_map(|index| parts.get(*index)).map(|part| (part.key.as_str(), None));
            let probes = outlets.probes(listed);
            return Ok(counted
                .iter()
                .zip(probes)
                .filter_map(|(index, probe)| Some((probe?, *index)))
                .collect());
        }
        let known = || parts.iter().map(|part| part.key.as_str()).collect::<Vec<_>>().join(", ");
        let mut sources = Vec::new();
        for outlet in outlets.named() {
            let key = if outlet.key == "1" { NODE } else { outlet.key.as_str() };
            let Some(part) = parts.iter().position(|part| part.key == key) else {
                return Err(DriverError::NothingToRead(format!(
                    "unknown counter {key:?}; available: {}",
                    known()
                )));
            };
            sources.push((outlet.probe.clone(), part));
        }
        Ok(sources)
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn why(&self) -> String {
        self.contents().to_owned()
    }

    fn read(&self) -> PartValues {
        self.read_files()
    }

    fn reading(
        &self,
        values: &PartValues,
        register: &Arc<Register>,
        notes: &mut Notes,
    ) -> Result<Reading, NoReading> {
        values.reading(&self.key, register, notes)
    }

    fn problem(values: &PartValues) -> Option<DriverError> {
        let trouble =
            [&values.power, &values.energy].into_iter().flatten().find_map(|part| part.as_ref().err());
        trouble.cloned().map(CounterTrouble::into_error)
    }
}

impl PartValues {
    /// In SI units, at the later of its stamps. A file that cannot be read costs itself alone.
    fn reading(&self, key: &str, register: &Arc<Register>, notes: &mut Notes) -> Result<Reading, NoReading> {
        let value = |read: &Result<CounterValue, CounterTrouble>| {
            read.as_ref().copied().map_err(CounterTrouble::no_reading)
        };
        let (power, energy) = (self.power.as_ref().map(value), self.energy.as_ref().map(value));
        let stamps = [&power, &energy].into_iter().flatten().flatten().filter_map(|value| value.stamp);
        let measured_at = stamps.max();
        let absent = || NoReading::NotAvailable("the counter is gone".to_owned());
        let watts = power.map(|power| power.map(|value| value.count));
        let counter = energy.map(|energy| energy.and_then(CounterValue::counter));
        let (power, counter) = power_and_counter(key, watts, counter, absent, notes)?;
        let register = counter.map(|_| Arc::clone(register));
        Ok(Reading { power, counter, register, measured_at, ..Reading::default() })
    }
}

#[cfg(test)]
mod tests;
