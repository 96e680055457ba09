//! One place where a thing measured may report its watts: how it is looked at and read.

use kwapi_core::{NoReading, Reading, Watts};

use super::energy::EnergySource;
use super::resource::{PowerPlace, Shown, is_present};
use super::search::{Search, get};
use crate::driver::DriverError;
use crate::http::DeviceClient;

/// Where watts may come from: a place in one resource, or in several whose watts are added.
#[derive(Debug)]
pub(super) struct RedfishSource {
    /// What stands for it in findings: a place, or a sensor's path.
    pub(super) name: String,
    /// Each is read and added; never empty.
    pub(super) paths: Vec<String>,
    /// Where in each of them the watts are.
    pub(super) place: &'static PowerPlace,
    /// A second resource with the counter, where the first has none.
    pub(super) energy_path: Option<String>,
    /// What it showed when it was looked at last.
    pub(super) shown: Shown,
    /// Its accuracy in percent, where it reports one.
    pub(super) accuracy: Option<f64>,
}

impl RedfishSource {
    /// A place in one resource.
    pub(super) fn of(place: &'static PowerPlace, path: String, shown: Shown) -> Self {
        Self {
            name: place.name.to_owned(),
            paths: vec![path],
            place,
            energy_path: None,
            shown,
            accuracy: None,
        }
    }
}

impl RedfishSource {
    /// Reads all its resources, and its counter's where that is another.
    pub(super) async fn read(
        &self,
        device: &DeviceClient,
        energy: &mut EnergySource,
    ) -> Result<Result<Reading, NoReading>, DriverError> {
        if let [path] = self.paths.as_slice() {
            return self.read_one(device, path, energy).await;
        }
        let mut sum = 0.0;
        for path in &self.paths {
            let Some(answer) = get(device, path).await?.found()? else {
                return Ok(Err(NoReading::NotAvailable(format!("{path} has disappeared"))));
            };
            let reading = self.place.read(&answer.json()?, &mut EnergySource::default());
            match reading.map(|reading| reading.power) {
                Ok(Some(power)) => sum += power.0,
                Ok(None) => return Ok(Err(NoReading::NotAvailable(format!("{path} has no power value")))),
                Err(no_reading) => return Ok(Err(no_reading)),
            }
        }
        Ok(Ok(Reading { power: Some(Watts(sum)), quality: self.place.quality, ..Reading::default() }))
    }

    async fn read_one(
        &self,
        device: &DeviceClient,
        path: &str,
        energy: &mut EnergySource,
    ) -> Result<Result<Reading, NoReading>, DriverError> {
        let Some(answer) = get(device, path).await?.found()? else {
            return Ok(Err(NoReading::NoSuchOutlet(format!("{path} has disappeared"))));
        };
        let resource = answer.json()?;
        let Some(energy_path) = &self.energy_path else { return Ok(self.place.read(&resource, energy)) };
        let reading = self.place.read(&resource, &mut EnergySource::default());
        let Ok(reading) = reading else { return Ok(reading) };
        // A counter that cannot be read takes nothing from the watts.
        let counter = match get(device, energy_path).await?.found() {
            Ok(Some(answer)) => answer.json().ok().map_or(Ok(None), |resource| energy.read(&resource)),
            Ok(None) | Err(_) => Ok(None),
        };
        Ok(counter.map(|counter| Reading { counter, ..reading }))
    }
}

impl Search<'_> {
    /// What a source shows now: the sum of its resources, where each that is fitted has a number.
    pub(super) async fn shown(&mut self, paths: &[String], place: &PowerPlace) -> Result<Shown, DriverError> {
        let mut sum = None;
        for path in paths {
            let Some(resource) = self.get(path).await? else { return Ok(Shown::Empty) };
            match place.power(&resource) {
                _ if !is_present(&resource) => return Ok(Shown::Null),
                Shown::Number(watts) => sum = Some(sum.unwrap_or(0.0) + watts),
                other => return Ok(other),
            }
        }
        Ok(sum.map_or(Shown::Empty, Shown::Number))
    }
}
