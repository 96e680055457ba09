//! Which of a resource's counters of energy is read.

use kwapi_core::{MeterCounter, NoReading};
use serde_json::Value;

use crate::value::{self, Decimals, EnergyUnit, Sentinel, number};

/// The counters a resource may have, the finest and most lasting first.
const COUNTERS: &[(&str, EnergyUnit, Option<&str>)] = &[
    ("/EnergyJoules/LifetimeReading", EnergyUnit::Joule, None),
    ("/EnergykWh/LifetimeReading", EnergyUnit::KilowattHour, None),
    ("/EnergyJoules/Reading", EnergyUnit::Joule, Some("/EnergyJoules/SensorResetTime")),
    ("/EnergykWh/Reading", EnergyUnit::KilowattHour, Some("/EnergykWh/SensorResetTime")),
    // In `Power`, of Huawei's iBMC and its successor xFusion's: hundredths of a kWh since the statistics were begun.
    (
        "/PowerControl/0/Oem/Huawei/PowerMetricsExtended/TotalConsumedPowerkWh",
        EnergyUnit::KilowattHour,
        Some("/PowerControl/0/Oem/Huawei/PowerMetricsExtended/StatisticsCollected"),
    ),
    (
        "/PowerControl/0/Oem/xFusion/PowerMetricsExtended/TotalConsumedPowerkWh",
        EnergyUnit::KilowattHour,
        Some("/PowerControl/0/Oem/xFusion/PowerMetricsExtended/StatisticsCollected"),
    ),
];

/// The same for a sensor, whose type decides the unit.
const SENSOR_COUNTERS: &[(&str, Option<&str>)] =
    &[("/LifetimeReading", None), ("/Reading", Some("/SensorResetTime"))];

/// Which counter of a resource is read: the first that had a value, and then no other, since a change between two
/// counters would look like a reset.
#[derive(Clone, Debug, Default)]
pub(super) struct EnergySource {
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
        let Some(count) =
            number(printed).filter(|count| !Sentinel::any_written(&Sentinel::WRITTEN_COUNTER, *count))
        else {
            return Ok(None);
        };
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
