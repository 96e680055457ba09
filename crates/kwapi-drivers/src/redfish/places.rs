//! Where one chassis may report its power, the best first.

use serde_json::Value;

use super::resource::{
    AVERAGE, CHASSIS, OEM, PowerPlace, SUPPLIES, SUPPLY_METRICS, Shown, is_present, link, shares_supplies,
};
use super::search::{ABSENT, Search};
use super::source::RedfishSource;
use crate::driver::DriverError;

/// More supplies of one chassis are not added up.
const SUPPLIES_MAX: usize = 16;

impl Search<'_> {
    /// Where one chassis may report its power, the best first; the search ends at the first that has a number.
    pub(super) async fn sources(
        &mut self,
        path: &str,
        chassis: &Value,
        id: &str,
        sensor: Option<&str>,
    ) -> Result<Vec<RedfishSource>, DriverError> {
        if sensor.is_some() {
            return self.sensors(chassis, path, id, sensor).await;
        }
        let below = |place: &PowerPlace| {
            let guessed = || format!("{}/{}", path.trim_end_matches('/'), place.resource);
            link(chassis, place.resource).unwrap_or_else(guessed)
        };
        let mut sources = Vec::new();
        let mut power = None;
        for place in CHASSIS {
            let at = below(place);
            let resource = self.get(&at).await?;
            let shown = resource.as_ref().map_or(Shown::Absent, |resource| place.power(resource));
            if place.resource == "Power" {
                power = resource.map(|resource| (at.clone(), resource));
            }
            if self.add(&mut sources, id, RedfishSource::of(place, at, shown)) {
                return Ok(sources);
            }
        }
        for source in self.sensors(chassis, path, id, None).await? {
            if self.add(&mut sources, id, source) {
                return Ok(sources);
            }
        }
        let in_power = |place: &'static PowerPlace| {
            power.as_ref().map(|(at, resource)| RedfishSource::of(place, at.clone(), place.power(resource)))
        };
        for place in OEM {
            if in_power(place).is_some_and(|source| self.add(&mut sources, id, source)) {
                return Ok(sources);
            }
        }
        if let Some(why) = shares_supplies(chassis) {
            self.note(format!("{id}: supplies"), "not summed", why);
        } else {
            if in_power(&SUPPLIES).is_some_and(|source| self.add(&mut sources, id, source)) {
                return Ok(sources);
            }
            if let Some(source) = self.supply_metrics(chassis).await?
                && self.add(&mut sources, id, source)
            {
                return Ok(sources);
            }
        }
        if let Some(source) = in_power(&AVERAGE) {
            self.add(&mut sources, id, source);
        }
        Ok(sources)
    }

    /// Adds a source that is there; whether it has a number.
    fn add(&mut self, sources: &mut Vec<RedfishSource>, id: &str, source: RedfishSource) -> bool {
        if source.shown == Shown::Absent {
            self.note(format!("{id}: {}", source.name), ABSENT, "");
            return false;
        }
        // A mean is no present power: what comes before it may get its number later.
        let has_number = source.shown.watts().is_some();
        sources.push(source);
        has_number
    }

    /// The metrics of each supply that is fitted, below `PowerSubsystem`, which has taken the place of `Power`.
    async fn supply_metrics(&mut self, chassis: &Value) -> Result<Option<RedfishSource>, DriverError> {
        let Some(subsystem) = link(chassis, SUPPLY_METRICS.resource) else { return Ok(None) };
        let Some(subsystem) = self.get(&subsystem).await? else { return Ok(None) };
        let Some(supplies) = link(&subsystem, "PowerSupplies") else { return Ok(None) };
        let mut paths = Vec::new();
        for path in self.members(&supplies).await?.into_iter().take(SUPPLIES_MAX) {
            let Some(supply) = self.get(&path).await? else { return Ok(None) };
            if is_present(&supply) {
                // One that is fitted and has no metrics would be missing from the sum.
                let Some(metrics) = link(&supply, "Metrics") else { return Ok(None) };
                paths.push(metrics);
            }
        }
        if paths.is_empty() {
            return Ok(None);
        }
        let shown = self.shown(&paths, &SUPPLY_METRICS).await?;
        let name = SUPPLY_METRICS.name.to_owned();
        let place = &SUPPLY_METRICS;
        Ok(Some(RedfishSource { name, paths, place, energy_path: None, shown, accuracy: None }))
    }
}
