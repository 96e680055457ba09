//! Which sensors make up the machine's power.
//!
//! Cards name as they like, and put a total beside its parts: adding "System Level" to the supplies would bill the
//! machine twice.

use kwapi_core::Quality;

use super::sdr::Sensor;

/// Power supply: IPMI 2.0, 43.14.
const ENTITY_POWER_SUPPLY: u8 = 0x0A;

/// What a sensor of power measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The whole machine.
    System,
    /// What one power supply draws.
    SupplyInput,
    /// What one power supply delivers, its own losses left out.
    SupplyOutput,
    /// A part of the machine, or a limit, which is no measurement.
    Part,
    /// The name does not tell.
    Unknown,
}

const PARTS: &[&str] = &[
    "cpu", "mem", "dimm", "ddr", "gpu", "fan", "hdd", "ssd", "disk", "drive", "pch", "vr", "pcie", "soc",
    "riser", "core", "proc", "limit", "cap", "budget", "max", "min", "thresh", "rated", "peak", "avg",
    "average", "avail",
];
const SYSTEMS: &[&str] =
    &["system", "sys", "total", "chassis", "consumption", "usage", "meter", "node", "server"];

/// Judges by name, as vendors give them: Dell "Pwr Consumption" and "System Level", HPE "Power Meter", Lenovo "Sys
/// Power", Cisco `POWER_USAGE`, Inspur `Total_Power`, Huawei "Power"; supplies "PS1 Input Power", `PSU2_PIN`, "PSU1
/// POUT", "Power Supply 1".
pub(super) fn role(name: &str, entity: u8) -> Role {
    let name = name.to_lowercase().replace(['_', '-', '.', '/'], " ");
    let has_word = |words: &[&str]| {
        name.split_whitespace().any(|word| {
            let word = word.trim_end_matches(|character: char| character.is_ascii_digit());
            words.contains(&word)
        })
    };
    if has_word(PARTS) {
        return Role::Part;
    }
    let is_supply = name.starts_with("ps") || name.contains("supply");
    if !is_supply && (has_word(SYSTEMS) || name == "power" || name == "pwr") {
        return Role::System;
    }
    if !is_supply && entity != ENTITY_POWER_SUPPLY {
        return Role::Unknown;
    }
    if name.contains("out") { Role::SupplyOutput } else { Role::SupplyInput }
}

/// The sensors to add up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) sensors: Vec<Sensor>,
    pub(super) quality: Quality,
    pub(super) why: &'static str,
}

/// Chooses among a card's sensors of power, or says what is wrong and what to set.
pub(super) fn choose(sensors: &[Sensor], named: Option<&[String]>) -> Result<Choice, String> {
    if let Some(named) = named {
        return choose_named(sensors, named);
    }
    let readable = |wanted: Role| -> Vec<Sensor> {
        let is_wanted =
            |sensor: &&Sensor| sensor.conversion.is_ok() && role(&sensor.name, sensor.entity) == wanted;
        sensors.iter().filter(is_wanted).cloned().collect()
    };
    let choice = |sensors, quality, why| Ok(Choice { sensors, quality, why });

    if let Some(system) = readable(Role::System).into_iter().next() {
        return choice(vec![system], Quality::Measured, "it measures the whole machine");
    }
    let inputs = readable(Role::SupplyInput);
    if !inputs.is_empty() {
        return choice(inputs, Quality::Measured, "together the supplies draw what the machine draws");
    }
    let unknown = readable(Role::Unknown);
    if unknown.len() == 1 {
        return choice(unknown, Quality::Measured, "it is the only sensor of power that is no part's");
    }
    let outputs = readable(Role::SupplyOutput);
    if unknown.is_empty() && !outputs.is_empty() {
        return choice(
            outputs,
            Quality::Estimated,
            "what the supplies deliver; their own losses are not in it",
        );
    }
    Err(match sensors {
        [] => "the card has no sensor in watts".to_owned(),
        sensors => format!(
            "none of its sensors in watts is surely the machine's ({}): set sensor to one or more of them",
            listed(sensors)
        ),
    })
}

fn choose_named(sensors: &[Sensor], named: &[String]) -> Result<Choice, String> {
    let mut chosen: Vec<Sensor> = Vec::new();
    for name in named {
        let Some(sensor) = sensors.iter().find(|sensor| sensor.name.eq_ignore_ascii_case(name.trim())) else {
            return Err(format!("the card has no sensor {name:?} in watts; it has: {}", listed(sensors)));
        };
        if let Err(fault) = sensor.conversion {
            return Err(format!("the sensor {name:?} cannot be read: {fault}"));
        }
        if chosen.iter().any(|other| other.number == sensor.number && other.lun == sensor.lun) {
            return Err(format!("the sensor {name:?} is named twice; its watts would count twice"));
        }
        chosen.push(sensor.clone());
    }
    if chosen.is_empty() {
        return Err("sensor names none".to_owned());
    }
    Ok(Choice { sensors: chosen, quality: Quality::Measured, why: "named in the configuration" })
}

fn listed(sensors: &[Sensor]) -> String {
    if sensors.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = sensors.iter().map(|sensor| format!("{:?}", sensor.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
