//! Which sensors make up the machine's power.
//!
//! Cards name as they like, and put a total beside its parts: adding "System Level" to the supplies would bill the
//! machine twice.

use kwapi_core::Quality;

use super::sdr::IpmiSensor;
use crate::power_role::{self, Role, names_any};

/// Power supply: IPMI 2.0, 43.14.
const ENTITY_POWER_SUPPLY: u8 = 0x0A;

/// What a sensor measures, by its name and by what it belongs to.
pub(super) fn role(sensor: &IpmiSensor) -> Role {
    power_role::role(&sensor.name, sensor.entity == ENTITY_POWER_SUPPLY)
}

/// The sensors to add up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SensorChoice {
    pub(super) sensors: Vec<IpmiSensor>,
    pub(super) quality: Quality,
    pub(super) why: &'static str,
    /// Whether each of several adds its part.
    pub(super) is_sum: bool,
}

/// Whether a card is one of several in an enclosure, by what its sensors are called: then supplies, and what measures the
/// chassis, are the enclosure's, and each node would count them.
fn is_node(sensors: &[IpmiSensor]) -> bool {
    sensors.iter().any(|sensor| names_any(&sensor.name, &["node", "sled", "blade"]))
}

/// What may be read of a card's sensors of power, the best first, or what is wrong and what to set.
pub(super) fn options(sensors: &[IpmiSensor], named: Option<&[String]>) -> Result<Vec<SensorChoice>, String> {
    if let Some(named) = named {
        return choose_named(sensors, named).map(|choice| vec![choice]);
    }
    let readable = |wanted: Role| -> Vec<IpmiSensor> {
        let is_wanted = |sensor: &&IpmiSensor| sensor.conversion.is_ok() && role(sensor) == wanted;
        sensors.iter().filter(is_wanted).cloned().collect()
    };
    let mut options = Vec::new();
    let mut add =
        |sensors, quality, why, is_sum| options.push(SensorChoice { sensors, quality, why, is_sum });

    let is_node = is_node(sensors);
    let mut systems = readable(Role::System);
    // A node before its enclosure; what is drawn before what is delivered.
    systems.sort_by_key(|sensor| {
        let is_of_enclosure = is_node && !names_any(&sensor.name, &["node", "sled", "blade"]);
        (is_of_enclosure, names_any(&sensor.name, &["out", "output"]))
    });
    for system in systems {
        add(vec![system], Quality::Measured, "measures the whole machine", false);
    }
    let inputs = readable(Role::SupplyInput);
    if !inputs.is_empty() && !is_node {
        add(inputs, Quality::Measured, "the power supplies together draw what the machine draws", true);
    }
    let unknown = readable(Role::Unknown);
    let is_unknown_empty = unknown.is_empty();
    if unknown.len() == 1 {
        add(unknown, Quality::Measured, "the only power sensor that is not a part's", false);
    }
    let outputs = readable(Role::SupplyOutput);
    if is_unknown_empty && !outputs.is_empty() && !is_node {
        add(outputs, Quality::Estimated, "output of the power supplies, without their losses", true);
    }
    if !options.is_empty() {
        return Ok(options);
    }
    Err(match sensors {
        [] => "the BMC has no sensor in watts".to_owned(),
        sensors => format!(
            "none of the BMC's sensors in watts clearly covers the whole machine ({}); set sensor to one or more of them",
            listed(sensors)
        ),
    })
}

fn choose_named(sensors: &[IpmiSensor], named: &[String]) -> Result<SensorChoice, String> {
    let mut chosen: Vec<IpmiSensor> = Vec::new();
    for name in named {
        let Some(sensor) = sensors.iter().find(|sensor| sensor.name.eq_ignore_ascii_case(name.trim())) else {
            return Err(format!("the BMC has no sensor {name:?} in watts; available: {}", listed(sensors)));
        };
        if let Err(fault) = sensor.conversion {
            return Err(format!("sensor {name:?} is unreadable: {fault}"));
        }
        if chosen.iter().any(|other| other.number == sensor.number && other.lun == sensor.lun) {
            return Err(format!("sensor {name:?} is listed twice"));
        }
        chosen.push(sensor.clone());
    }
    if chosen.is_empty() {
        return Err("sensor must not be empty".to_owned());
    }
    Ok(SensorChoice {
        sensors: chosen,
        quality: Quality::Measured,
        why: "set in the configuration",
        is_sum: true,
    })
}

fn listed(sensors: &[IpmiSensor]) -> String {
    if sensors.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = sensors.iter().map(|sensor| format!("{:?}", sensor.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
