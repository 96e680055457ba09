//! The counters of an HPE Cray node's controller, which Linux shows there as files: power and energy of the node and of its
//! processors, memory and accelerators, ten times a second, each with the controller's stamp.
//!
//! Source: HPE Cray, *XC Series Power Management and SMW/NC Administration Guide* (S-0043), "Node power and energy
//! counters": `265 W 1414013342123456 us`.

mod file;

use std::path::Path;
use std::sync::Arc;

use kwapi_core::{NoReading, Reading, Register};

use crate::driver::DriverError;
use crate::local_sensors::{LocalSensor, LocalSensors};
use crate::parts::{Notes, power_and_counter};
use file::{CounterTrouble, CounterValue, NODE, NodePart, PartValues, parts};

/// `driver = "pm_counters"`. Outlets are `total` (also `1`, the node), `cpu`, `cpu0`, `memory`, `accel0` and their like.
pub(crate) type PmCounters = LocalSensors<NodePart>;

impl LocalSensor for NodePart {
    type Values = PartValues;
    const NAME: &'static str = "pm_counters";
    const SUMMARY: &'static str = "the power and energy counters of the HPE Cray node kwapi runs on";
    const ROOT: &'static str = "/sys/cray/pm_counters";
    const ROOT_ABOUT: &'static str = "directory of the counters";
    const THREAD: &'static str = "kwapi-cray";
    const ONE: &'static str = "counter";
    const ALL: &'static str = "counters";
    const OUTLETS: &'static str = "total = \"…\", accel0 = \"…\"";

    fn find(root: &Path) -> Result<Vec<Self>, DriverError> {
        parts(root)
    }

    /// The node itself where it shows no parts.
    fn counted(parts: &[Self]) -> Vec<usize> {
        file::counted(parts)
    }

    fn called(parts: &[Self], key: &str) -> Vec<usize> {
        let key = if key == "1" { NODE } else { key };
        parts.iter().position(|part| part.key == key).into_iter().collect()
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
