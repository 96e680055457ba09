//! Which of a chassis' sensors of power stands for all of it.

use serde_json::Value;

use super::resource::{PowerPlace, SENSOR, SUPPLY_SENSOR, Shown, is_present, link, segment, shares_supplies};
use super::search::Search;
use super::source::RedfishSource;
use crate::driver::DriverError;
use crate::power_role::{Role, names_any, role};
use crate::value::number;

/// More sensors are not looked at: each costs a request, and cards name theirs after what they measure.
const SENSORS_MAX: usize = 32;

/// A sensor: its path, its resource, what its names state that it measures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RedfishSensor {
    pub(super) path: String,
    pub(super) resource: Value,
    role: Role,
}

impl RedfishSensor {
    /// Judges by both names a sensor has, without that of its chassis before them.
    pub(super) fn new(path: String, resource: Value, chassis: &str) -> Self {
        let name = resource.get("Name").and_then(Value::as_str).unwrap_or_default();
        let roles = [segment(&path), name].map(|name| role(own_name(name, chassis), false));
        let role = [Role::Part, Role::System, Role::SupplyOutput, Role::SupplyInput]
            .into_iter()
            .find(|role| roles.contains(role))
            .unwrap_or(Role::Unknown);
        Self { path, resource, role }
    }

    /// Whether it is of the whole machine, by its name.
    pub(super) fn is_whole(&self) -> bool {
        self.role == Role::System
    }

    fn is_named(&self, word: &str) -> bool {
        let name = self.resource.get("Name").and_then(Value::as_str).unwrap_or_default();
        names_any(name, &[word]) || names_any(segment(&self.path), &[word])
    }

    fn shown(&self, place: &PowerPlace) -> Shown {
        match place.power(&self.resource) {
            Shown::Number(_) if !is_present(&self.resource) => Shown::Null,
            shown => shown,
        }
    }
}

/// Whether a sensor counts energy.
pub(super) fn is_energy(sensor: &Value) -> bool {
    let kind = sensor.get("ReadingType").and_then(Value::as_str);
    matches!(kind, Some("EnergykWh" | "EnergyWh" | "EnergyJoules"))
}

/// The accuracy that a sensor states, in percent of its reading (DMTF DSP0268, `Sensor`, `Accuracy`).
fn accuracy(resource: &Value) -> Option<f64> {
    resource.get("Accuracy").and_then(number)
}

/// A sensor's name without its chassis' before it: `HGX_Chassis_0_TotalHSC_Power_0` has no "chassis" of its own.
fn own_name<'a>(name: &'a str, chassis: &str) -> &'a str {
    let separated = chassis.replace('_', " ");
    let own =
        name.strip_prefix(chassis).or_else(|| name.strip_prefix(&separated)).filter(|_| !chassis.is_empty());
    own.unwrap_or(name)
}

/// The sensor that stands for the whole chassis among those of one type: the one that states it, or the only one. Of
/// several that state it, the one called total; of several totals, what goes in, without its parts (`total_power_in`
/// beside `total_power_in_A` and `total_power_out`). Other totals are none.
pub(super) fn total(sensors: &[RedfishSensor]) -> Option<&RedfishSensor> {
    let only = |wanted: &dyn Fn(&RedfishSensor) -> bool| {
        let mut found = sensors.iter().filter(|sensor| wanted(sensor));
        found.next().filter(|_| found.next().is_none())
    };
    let is_system = |sensor: &RedfishSensor| sensor.role == Role::System;
    let is_total = |sensor: &RedfishSensor| is_system(sensor) && sensor.is_named("total");
    if sensors.iter().any(is_system) {
        let goes_in = |sensor: &RedfishSensor| {
            is_total(sensor) && ["in", "input"].into_iter().any(|word| sensor.is_named(word))
        };
        let is_whole = |sensor: &RedfishSensor| {
            let id = segment(&sensor.path);
            goes_in(sensor)
                && sensors
                    .iter()
                    .filter(|other| goes_in(other))
                    .all(|other| segment(&other.path).starts_with(id))
        };
        return only(&is_system).or_else(|| only(&is_total)).or_else(|| only(&is_whole));
    }
    match sensors {
        [only] if only.role == Role::Unknown => Some(only),
        _ => None,
    }
}

/// What the supplies draw, of those that are fitted.
fn supplies(sensors: &[RedfishSensor]) -> Vec<&RedfishSensor> {
    let of =
        |role: Role| sensors.iter().filter(move |sensor| sensor.role == role && is_present(&sensor.resource));
    of(Role::SupplyInput).collect()
}

impl Search<'_> {
    /// The sensor that stands for the whole chassis, with the counter beside it; then the supplies' together.
    pub(super) async fn sensors(
        &mut self,
        chassis: &Value,
        path: &str,
        id: &str,
        sensor: Option<&str>,
    ) -> Result<Vec<RedfishSource>, DriverError> {
        let collection =
            link(chassis, "Sensors").unwrap_or_else(|| format!("{}/Sensors", path.trim_end_matches('/')));
        if let Some(sensor) = sensor {
            let at = format!("{}/{sensor}", collection.trim_end_matches('/'));
            let resource = self.get(&at).await?;
            let shown = resource.as_ref().map_or(Shown::Absent, |resource| SENSOR.power(resource));
            if shown == Shown::Absent {
                self.note(format!("{id}: {at}"), "absent", "set as sensor in the configuration");
                return Ok(Vec::new());
            }
            let accuracy = resource.as_ref().and_then(accuracy);
            let source = RedfishSource::of(&SENSOR, at.clone(), shown);
            return Ok(vec![RedfishSource { name: at, accuracy, ..source }]);
        }
        let mut candidates = self.members(&collection).await?;
        let is_stated = |path: &String| {
            let name = segment(path).to_ascii_lowercase();
            ["power", "watt", "energy"].iter().any(|word| name.contains(word))
        };
        if candidates.iter().any(is_stated) {
            candidates.retain(is_stated);
        }
        // What may be the whole is queried first, where there are many.
        candidates.sort_by_key(|path| match role(own_name(segment(path), id), false) {
            Role::System => 0,
            Role::SupplyInput => 1,
            Role::Unknown => 2,
            Role::SupplyOutput => 3,
            Role::Part => 4,
        });
        if candidates.len() > SENSORS_MAX {
            let count = format!("{SENSORS_MAX} of {}", candidates.len());
            self.note(
                format!("{id}: sensors"),
                count,
                "the others are ignored; set sensor = \"ID\" to read any of them",
            );
        }
        let (mut powers, mut energies) = (Vec::new(), Vec::new());
        for path in candidates.into_iter().take(SENSORS_MAX) {
            let Some(resource) = self.get(&path).await? else { continue };
            let sensor = RedfishSensor::new(path, resource, id);
            match sensor.resource.get("ReadingType").and_then(Value::as_str) {
                Some("Power") => powers.push(sensor),
                Some(_) if is_energy(&sensor.resource) => energies.push(sensor),
                Some(_) | None => {}
            }
        }
        Ok(self.sources_of(&powers, &energies, id, shares_supplies(chassis)))
    }

    fn sources_of(
        &mut self,
        powers: &[RedfishSensor],
        energies: &[RedfishSensor],
        id: &str,
        shared: Option<&'static str>,
    ) -> Vec<RedfishSource> {
        let mut sources = Vec::new();
        let whole = total(powers);
        if let Some(whole) = whole {
            let energy_path = total(energies).map(|sensor| sensor.path.clone());
            let source = RedfishSource::of(&SENSOR, whole.path.clone(), whole.shown(&SENSOR));
            let accuracy = accuracy(&whole.resource);
            if let Some(percent) = accuracy {
                self.note(
                    format!("{id}: {}", whole.path),
                    format!("±{percent} %"),
                    "its accuracy, as the BMC reports it",
                );
            }
            sources.push(RedfishSource { name: whole.path.clone(), energy_path, accuracy, ..source });
        }
        let supplies = if shared.is_none() { supplies(powers) } else { Vec::new() };
        if !supplies.is_empty() {
            let mut shown = Shown::Number(0.0);
            for supply in &supplies {
                shown = match (shown, supply.shown(&SUPPLY_SENSOR)) {
                    (Shown::Number(sum), Shown::Number(watts)) => Shown::Number(sum + watts),
                    (Shown::Number(_), other) | (other, _) => other,
                };
            }
            let paths = supplies.iter().map(|supply| supply.path.clone()).collect();
            let name = SUPPLY_SENSOR.name.to_owned();
            let place = &SUPPLY_SENSOR;
            sources.push(RedfishSource { name, paths, place, energy_path: None, shown, accuracy: None });
        }
        for sensor in powers.iter().filter(|sensor| whole != Some(*sensor)) {
            let why = match sensor.role {
                Role::Part => "measures a part only; sensor = \"ID\" selects it",
                Role::SupplyOutput => "output of a power supply, without its losses",
                Role::SupplyInput => shared.unwrap_or("one of the power supplies"),
                Role::System | Role::Unknown => "may not be the whole machine; sensor = \"ID\" selects it",
            };
            self.note(format!("{id}: {}", sensor.path), sensor.shown(&SENSOR).words(), why);
        }
        sources
    }
}

#[cfg(test)]
mod tests;
