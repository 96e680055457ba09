//! Where Redfish resources keep power and energy, and how to read them there.
//!
//! Source: DMTF DSP2046 (resource guide), schemas EnvironmentMetrics 1.3, Power 1.7, Sensor 1.9, Outlet 1.4 and
//! PowerDistributionMetrics 1.3; Fujitsu iRMC S5/S6, *Redfish White Paper*, `ts_fujitsu`.

use kwapi_core::{Amperes, MeterCounter, NoReading, Quality, Reading, Timestamp, Volts};
use serde_json::Value;

use crate::value::{self, Decimals, EnergyUnit, PowerUnit};

/// One place where a card may say its power.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// For `kwapi probe` and errors.
    pub(super) name: &'static str,
    /// The resource below its chassis, and the property that links to it there.
    pub(super) resource: &'static str,
    /// Where in the resource the watts are.
    power: &'static str,
    quality: Quality,
}

/// Below a chassis, in the order tried: the newest first, then the one that is everywhere although deprecated.
pub(super) const CHASSIS: &[Place] = &[
    Place {
        name: "EnvironmentMetrics",
        resource: "EnvironmentMetrics",
        power: "/PowerWatts/Reading",
        quality: Quality::Measured,
    },
    Place {
        name: "Power",
        resource: "Power",
        power: "/PowerControl/0/PowerConsumedWatts",
        quality: Quality::Measured,
    },
    // The mean of the last minutes is not the power now.
    Place {
        name: "Power, average",
        resource: "Power",
        power: "/PowerControl/0/PowerMetrics/AverageConsumedWatts",
        quality: Quality::Estimated,
    },
];

/// Fujitsu hides the chassis' watts here; tried after the sensors.
pub(super) const FUJITSU: Place = Place {
    name: "Power, Oem.ts_fujitsu",
    resource: "Power",
    power: "/Oem/ts_fujitsu/ChassisPowerConsumption/CurrentPowerConsumptionW",
    quality: Quality::Measured,
};

/// A sensor of `ReadingType` `Power`.
pub(super) const SENSOR: Place =
    Place { name: "Sensors", resource: "Sensors", power: "/Reading", quality: Quality::Measured };

/// One outlet of a PDU, or the metrics of all of it.
pub(super) const OUTLET: Place =
    Place { name: "Outlets", resource: "Outlets", power: "/PowerWatts/Reading", quality: Quality::Measured };

/// What a resource says at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    /// There is no such property.
    Absent,
    /// The property is there and null: measured, but not now.
    Null,
    /// A number.
    Number(f64),
}

impl Place {
    /// What `resource` says of power here.
    pub(super) fn power(&self, resource: &Value) -> Said {
        match resource.pointer(self.power) {
            None => Said::Absent,
            Some(value) => number(value).map_or(Said::Null, Said::Number),
        }
    }

    /// Everything `resource` says here; `energy` remembers which counter was taken first.
    ///
    /// # Errors
    /// When there is neither power nor a counter.
    pub(super) fn read(&self, resource: &Value, energy: &mut EnergySource) -> Result<Reading, NoReading> {
        let state = resource.pointer("/Status/State").and_then(Value::as_str).unwrap_or("Enabled");
        if matches!(state, "Absent" | "Disabled" | "UnavailableOffline") {
            return Err(NoReading::NotAvailable(format!("{}: Status.State is {state}", self.name)));
        }
        let counter = energy.read(resource)?;
        let power = match self.power(resource) {
            Said::Number(watts) => Some(value::power(watts, PowerUnit::W)?),
            Said::Null if counter.is_none() => {
                let why = format!("{}: power is null; the host may be off", self.name);
                return Err(NoReading::NotAvailable(why));
            }
            Said::Absent if counter.is_none() => {
                return Err(NoReading::NotAvailable(format!("{} no longer has power", self.name)));
            }
            Said::Null | Said::Absent => None,
        };
        Ok(Reading {
            power,
            voltage: resource.pointer("/Voltage/Reading").and_then(number).map(Volts),
            current: resource.pointer("/CurrentAmps/Reading").and_then(number).map(Amperes),
            counter,
            register: None,
            measured_at: measured_at(resource),
            quality: self.quality,
        })
    }
}

/// When the card took the value, if it says so: not when it was asked.
fn measured_at(resource: &Value) -> Option<Timestamp> {
    ["/ReadingTime", "/PowerWatts/ReadingTime"]
        .iter()
        .find_map(|place| value::rfc3339(resource.pointer(place)?.as_str()?))
}

/// Numbers, and texts that are numbers: metric reports and some cards write `"236"`.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The counters a resource may have, the finest and most lasting first.
const COUNTERS: &[(&str, EnergyUnit, Option<&str>)] = &[
    ("/EnergyJoules/LifetimeReading", EnergyUnit::Joule, None),
    ("/EnergykWh/LifetimeReading", EnergyUnit::KilowattHour, None),
    ("/EnergyJoules/Reading", EnergyUnit::Joule, Some("/EnergyJoules/SensorResetTime")),
    ("/EnergykWh/Reading", EnergyUnit::KilowattHour, Some("/EnergykWh/SensorResetTime")),
];

/// The same for a sensor, whose type decides the unit.
const SENSOR_COUNTERS: &[(&str, Option<&str>)] =
    &[("/LifetimeReading", None), ("/Reading", Some("/SensorResetTime"))];

/// Which counter of a resource is read: the first that had a value, and then no other, since a change between two
/// counters would look like a reset.
#[derive(Clone, Debug, Default)]
pub struct EnergySource {
    chosen: Option<(&'static str, EnergyUnit, Option<&'static str>)>,
    decimals: Decimals,
}

impl EnergySource {
    /// The name of the counter in use.
    pub(super) fn name(&self) -> Option<&'static str> {
        self.chosen.map(|(place, ..)| place)
    }

    /// The counter of a resource, or of an energy sensor, if it shows one now.
    pub(super) fn read(&mut self, resource: &Value) -> Result<Option<MeterCounter>, NoReading> {
        let has_value =
            |place: &str| resource.pointer(place).and_then(number).is_some_and(|value| value >= 0.0);
        if self.chosen.is_none() {
            self.chosen = match resource.pointer("/ReadingType").and_then(Value::as_str) {
                None => COUNTERS.iter().find(|(place, ..)| has_value(place)).copied(),
                Some(kind) => unit_of(kind).and_then(|unit| {
                    let (place, reset) = SENSOR_COUNTERS.iter().find(|(place, _)| has_value(place))?;
                    Some((*place, unit, *reset))
                }),
            };
        }
        let Some((place, unit, reset)) = self.chosen else { return Ok(None) };
        let Some(printed) = resource.pointer(place) else { return Ok(None) };
        let Some(count) = number(printed) else { return Ok(None) };
        let resolution = self.decimals.resolution(printed.to_string().trim_matches('"'));
        let mut counter = value::counter(count, resolution, unit)?;
        counter.reset_at = reset.and_then(|place| value::rfc3339(resource.pointer(place)?.as_str()?));
        Ok(Some(counter))
    }
}

fn unit_of(reading_type: &str) -> Option<EnergyUnit> {
    match reading_type {
        "EnergykWh" => Some(EnergyUnit::KilowattHour),
        "EnergyWh" => Some(EnergyUnit::WattHour),
        "EnergyJoules" => Some(EnergyUnit::Joule),
        _ => None,
    }
}

/// The links of a collection, at most `max`.
pub(super) fn members(collection: &Value, max: usize) -> Vec<String> {
    let members = collection.pointer("/Members").and_then(Value::as_array).map(Vec::as_slice);
    members.unwrap_or_default().iter().filter_map(|member| link(member, "")).take(max).collect()
}

/// The path that `resource` links to as `property` (or its own), if it is a path of this device.
pub(super) fn link(resource: &Value, property: &str) -> Option<String> {
    let holder = if property.is_empty() { resource } else { resource.get(property)? };
    holder.get("@odata.id")?.as_str().filter(|path| path.starts_with('/')).map(str::to_owned)
}

/// A resource's id: what it says, or the end of its path.
pub(super) fn id(resource: &Value, path: &str) -> String {
    let from_path = || path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    resource.get("Id").and_then(Value::as_str).unwrap_or_else(from_path).to_owned()
}

/// The sensor that stands for the whole chassis among those of one type: the one called total, or the only one.
/// Several supplies are not added up: one that is missing from the list would go unnoticed.
pub(super) fn total(sensors: &[(String, Value)]) -> Option<&(String, Value)> {
    let is_total = |(path, sensor): &&(String, Value)| {
        let name = sensor.get("Name").and_then(Value::as_str).unwrap_or_default();
        format!("{path} {name}").to_ascii_lowercase().contains("total")
    };
    match sensors {
        [only] => Some(only),
        several => several.iter().find(is_total),
    }
}

/// Reads any resource as every place would, for the fuzzer.
#[doc(hidden)]
pub fn parse_anything(bytes: &[u8]) {
    let Ok(resource) = serde_json::from_slice::<Value>(bytes) else { return };
    for place in CHASSIS.iter().chain([&FUJITSU, &SENSOR, &OUTLET]) {
        _ = place.read(&resource, &mut EnergySource::default());
    }
    _ = (members(&resource, 8), link(&resource, "Power"), id(&resource, "/a/b"));
}

#[cfg(test)]
mod tests;
