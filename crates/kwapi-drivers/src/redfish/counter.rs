//! The counter of energy of a chassis whose watts are in a resource without one.
//!
//! Source: DMTF DSP2046, schemas `EnvironmentMetrics` 1.3 (`EnergykWh`, `EnergyJoules`: excerpts of sensors, which may have
//! the sensor's `DataSourceUri` in place of a reading) and Sensor 1.9 (`ReadingType` `EnergykWh`, `EnergyWh`,
//! `EnergyJoules`).

use serde_json::Value;

use super::energy::EnergySource;
use super::resource::{link, path_of, segment};
use super::search::Search;
use super::sensors::{RedfishSensor, is_energy, total};
use super::source::RedfishSource;
use crate::driver::{DriverError, Finding};

/// More sensors that are named after energy are not looked at.
const SENSORS_MAX: usize = 8;

impl Search<'_> {
    /// Gives those sources that have no counter in their own resource the one that stands for all of the chassis. `seen` are
    /// the resources that the search for watts has looked at, by path.
    pub(super) async fn add_counter(
        &mut self,
        sources: &mut [RedfishSource],
        seen: &[(String, Value)],
        chassis: &Value,
        id: &str,
    ) -> Result<(), DriverError> {
        let has_own = |source: &RedfishSource| {
            let of_path = |path: &String| seen.iter().find(|(at, _)| at == path);
            source.energy_path.is_some()
                || matches!(source.paths.as_slice(), [path] if of_path(path).is_some_and(|(_, it)| has_counter(it)))
        };
        if sources.iter().all(has_own) {
            return Ok(());
        }
        let Some(counter) = self.counter(seen, chassis, id).await? else { return Ok(()) };
        for source in sources.iter_mut().filter(|source| !has_own(source)) {
            source.energy_path = Some(counter.clone());
        }
        let (what, why) = (format!("{id}: {counter}"), "its energy register".to_owned());
        self.findings.push(Finding { what, value: "counter".to_owned(), is_used: true, why });
        Ok(())
    }

    /// Where the counter of a chassis is.
    async fn counter(
        &mut self,
        seen: &[(String, Value)],
        chassis: &Value,
        id: &str,
    ) -> Result<Option<String>, DriverError> {
        for (path, resource) in seen {
            if has_counter(resource) {
                return Ok(Some(path.clone()));
            }
            for property in ["EnergyJoules", "EnergykWh"] {
                let source = resource.pointer(&format!("/{property}/DataSourceUri")).and_then(Value::as_str);
                let Some(path) = source.and_then(path_of) else { continue };
                if self.get(&path).await?.is_some_and(|sensor| has_counter(&sensor)) {
                    return Ok(Some(path));
                }
            }
        }
        // Only where the card reports that it has sensors, and how they are called: others cost a request each.
        let Some(collection) = link(chassis, "Sensors") else { return Ok(None) };
        let mut members = self.members(&collection).await?;
        members.retain(|path| {
            let name = segment(path).to_ascii_lowercase();
            ["energy", "kwh", "joule"].iter().any(|word| name.contains(word))
        });
        let mut sensors = Vec::new();
        for path in members.into_iter().take(SENSORS_MAX) {
            let Some(resource) = self.get(&path).await? else { continue };
            if is_energy(&resource) && has_counter(&resource) {
                sensors.push(RedfishSensor::new(path, resource, id));
            }
        }
        // The only one may be that of a part, as the watts are another resource's: it has to say that it is the whole.
        sensors.retain(RedfishSensor::is_whole);
        Ok(total(&sensors).map(|sensor| sensor.path.clone()))
    }
}

/// Whether a resource shows a counter now.
fn has_counter(resource: &Value) -> bool {
    matches!(EnergySource::default().read(resource), Ok(Some(_)))
}
