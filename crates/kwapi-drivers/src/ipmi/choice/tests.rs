//! Names as owners of such servers have published them.

use super::super::sdr::full_sensor;
use super::*;

/// A sensor in a power supply (entity 10) or on the board (7).
fn sensor(number: u8, name: &str) -> IpmiSensor {
    let mut record = vec![0, 0, 0x51, 0x01, 0, 0x20, 0, number, 7, 1];
    record.extend([0; 10]);
    record.extend([0, 6, 0, 0, 1]);
    record.extend([0; 22]);
    record.push(0xC0 | u8::try_from(name.len()).unwrap());
    record.extend(name.bytes());
    full_sensor(&record).unwrap().unwrap()
}

/// Checks which of these sensors are read, or the error for the operator.
#[track_caller]
fn check(names: &[&str], expected: &str) {
    let sensors: Vec<_> = (1..).zip(names).map(|(number, name)| sensor(number, name)).collect();
    let outcome = match options(&sensors, None) {
        Ok(options) => {
            let choice = options.into_iter().next().unwrap();
            let names: Vec<_> = choice.sensors.into_iter().map(|sensor| sensor.name).collect();
            let mark = if choice.quality == Quality::Estimated { " (estimated)" } else { "" };
            format!("{}{mark}", names.join(" + "))
        }
        Err(reason) => reason,
    };
    assert_eq!(outcome, expected, "{names:?}");
}

#[test]
fn a_sensor_of_the_whole_machine_stands_alone() {
    check(&["Pwr Consumption", "PS1 Input Power"], "Pwr Consumption");
    check(&["PSU1_PIN", "PSU2_PIN", "Total_Power"], "Total_Power");
    check(&["Power", "Power1", "Power2", "CPU1 Power"], "Power");
    check(&["Power Supply 1", "Power Supply 2", "Power Meter"], "Power Meter");
    check(&["Sys Power", "CPU Power", "Mem Power"], "Sys Power");
    check(&["POWER_USAGE", "PSU1_POUT"], "POWER_USAGE");
    check(&["System Level", "PS 1 Input"], "System Level");
}

#[test]
fn inputs_of_the_supplies_are_summed_without_their_outputs() {
    check(&["PS1 Input Power", "PS2 Input Power"], "PS1 Input Power + PS2 Input Power");
    check(&["PSU1_PIN", "PSU1_POUT", "PSU2_PIN", "PSU2_POUT"], "PSU1_PIN + PSU2_PIN");
    check(&["Power Supply 1", "Power Supply 2"], "Power Supply 1 + Power Supply 2");
}

#[test]
fn outputs_alone_are_an_estimate() {
    check(&["PSU1_POUT", "PSU2_POUT"], "PSU1_POUT + PSU2_POUT (estimated)");
}

#[test]
fn limits_and_parts_are_never_read() {
    check(
        &["System Power Limit", "CPU1 Power"],
        "none of the BMC's sensors in watts clearly covers the whole machine (\"System Power Limit\", \"CPU1 Power\"); set sensor to one or more of them",
    );
    check(&["Max Power", "Power"], "Power");
}

#[test]
fn one_unknown_sensor_is_taken_and_two_are_queried_about() {
    check(&["Watts"], "Watts");
    check(
        &["Watts A", "Watts B"],
        "none of the BMC's sensors in watts clearly covers the whole machine (\"Watts A\", \"Watts B\"); set sensor to one or more of them",
    );
    check(&[], "the BMC has no sensor in watts");
}

#[test]
fn names_of_the_configuration_are_taken_as_they_are_but_never_twice() {
    let sensors = [sensor(1, "PS1"), sensor(2, "PS2")];
    let choose = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        options(&sensors, Some(&names)).map(|options| options[0].sensors.len())
    };
    assert_eq!(choose(&["ps1", "PS2"]), Ok(2));
    assert!(choose(&["PS1", "ps1"]).unwrap_err().contains("listed twice"));
    assert!(choose(&["PS3"]).unwrap_err().contains("available: \"PS1\", \"PS2\""));
    assert!(choose(&[]).is_err());
}

#[test]
fn a_node_of_an_enclosure_is_not_charged_with_all_of_it() {
    check(&["Chassis Power", "Node Power"], "Node Power");
    check(&["Enclosure Total Power", "Sled 3 Power", "PS1 Input Power"], "Sled 3 Power");
    check(
        &["PS1 Input Power", "PS2 Input Power", "Node CPU Power"],
        "none of the BMC's sensors in watts clearly covers the whole machine (\"PS1 Input Power\", \"PS2 Input Power\", \"Node CPU Power\"); set sensor to one or more of them",
    );
    check(&["Total Power Out", "Total Power"], "Total Power");
}
