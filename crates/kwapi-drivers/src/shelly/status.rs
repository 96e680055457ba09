//! The status of a Shelly device of any generation, as channels that measure.
//!
//! Source: *Shelly Gen1 API* (`/status`: meters, emeters) and *Shelly Gen2+ API* (Switch, PM1, EM, EM1, `EMData`,
//! `EM1Data`, Cover, Light, RGB, RGBW, CCT), shelly-api-docs.shelly.cloud. First-generation relays count watt-minutes, everything else
//! watt-hours.

use kwapi_core::{Amperes, MeterCounter, NoReading, Reading, Volts};
use serde_json::Value;

use crate::parts::{Notes, power_and_counter};
use crate::value::{self, EnergyUnit};

/// Counters are taken to be updated once a minute, as their history by the minute and their notifications
/// are, so they may be this many hours of the present power behind. To do: measure it on a device of each kind.
const COUNTER_DELAY_HOURS: f64 = 1.0 / 60.0;
/// More channels than any device has are left out.
const CHANNELS_MAX: usize = 64;

/// One channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Channel {
    /// The device's own name for it: `switch:0`, `meter:0`, `em:0:a`.
    pub(super) key: String,
    /// Counted from 1; the phases of a three-phase meter have none, since their sum is counted.
    pub(super) position: Option<usize>,
    /// What it reports.
    pub(super) reading: Result<Reading, NoReading>,
}

/// The channels of `/status` of a first-generation device. A Shelly 1 has no meter: its `meters` repeat what its owner
/// configured that the load draws, and count nothing.
pub(super) fn first_generation(status: &Value, notes: &mut Notes) -> Vec<Channel> {
    let list = |name: &str| status.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (name, unit, meters) = match list("emeters") {
        // Relays have `meters`; energy meters have both, and the relay's measures nothing there.
        [] => ("meter", EnergyUnit::WattMinute, list("meters")),
        emeters => ("emeter", EnergyUnit::WattHour, emeters),
    };
    let measured =
        meters.iter().take(CHANNELS_MAX).enumerate().filter(|(_, meter)| meter.get("total").is_some());
    let mut read = |key: &str, meter: &Value| {
        if meter.get("is_valid") == Some(&Value::Bool(false)) {
            return Err(NoReading::NotReady("is_valid is false".to_owned()));
        }
        reading(key, meter, "power", number(meter, "/total"), unit, notes)
    };
    measured
        .map(|(index, meter)| {
            let key = format!("{name}:{index}");
            Channel { position: Some(index + 1), reading: read(&key, meter), key }
        })
        .collect()
}

/// The channels of `Shelly.GetStatus` of a later device.
pub(super) fn later_generation(status: &Value, notes: &mut Notes) -> Vec<Channel> {
    let mut channels = Vec::new();
    let mut position = 0;
    let mut push = |key: String, counts: bool, reading| {
        position += usize::from(counts);
        channels.push(Channel { key, position: counts.then_some(position), reading });
    };
    for (key, component) in status.as_object().into_iter().flatten().take(CHANNELS_MAX) {
        let Some((kind, id)) = key.split_once(':') else { continue };
        let beside = |name: &str, place: &str| number(status, &format!("/{name}:{id}/{place}"));
        match kind {
            "switch" | "pm1" | "cover" | "light" | "rgb" | "rgbw" | "cct"
                if component.get("apower").is_some() =>
            {
                // What flows back is counted in the total as well.
                let returned = number(component, "/ret_aenergy/total").unwrap_or(0.0);
                let total = number(component, "/aenergy/total").map(|total| total - returned);
                push(
                    key.clone(),
                    true,
                    reading(key, component, "apower", total, EnergyUnit::WattHour, notes),
                );
            }
            "em1" => {
                let total = beside("em1data", "total_act_energy");
                push(
                    key.clone(),
                    true,
                    reading(key, component, "act_power", total, EnergyUnit::WattHour, notes),
                );
            }
            "em" => {
                let total = beside("emdata", "total_act");
                push(
                    key.clone(),
                    true,
                    reading(key, component, "total_act_power", total, EnergyUnit::WattHour, notes),
                );
                for phase in ["a", "b", "c"] {
                    let of_phase =
                        |name: &str| component.get(format!("{phase}_{name}")).cloned().unwrap_or_default();
                    let phase_component = serde_json::json!({
                        "act_power": of_phase("act_power"),
                        "voltage": of_phase("voltage"),
                        "current": of_phase("current"),
                        "errors": of_phase("errors"),
                    });
                    let total = beside("emdata", &format!("{phase}_total_act_energy"));
                    let key = format!("{key}:{phase}");
                    let unit = EnergyUnit::WattHour;
                    let reading = reading(&key, &phase_component, "act_power", total, unit, notes);
                    push(key, false, reading);
                }
            }
            _ => {}
        }
    }
    channels
}

fn number(holder: &Value, place: &str) -> Option<f64> {
    holder.pointer(place).and_then(Value::as_f64)
}

fn reading(
    key: &str,
    component: &Value,
    power_name: &str,
    total: Option<f64>,
    unit: EnergyUnit,
    notes: &mut Notes,
) -> Result<Reading, NoReading> {
    let errors = component.get("errors").and_then(Value::as_array).filter(|errors| !errors.is_empty());
    let Some(watts) = component.get(power_name).and_then(Value::as_f64) else {
        let errors =
            errors.map(|errors| format!(", errors {}", Value::from(errors.clone()))).unwrap_or_default();
        return Err(NoReading::NotAvailable(format!("{power_name} has no value{errors}")));
    };
    let counter = total.map(|total| counter(total, watts, unit));
    let absent = || NoReading::NotAvailable(format!("no {power_name}"));
    let (power, counter) = power_and_counter(key, Some(Ok(watts)), counter, absent, notes)?;
    Ok(Reading {
        power,
        voltage: component.get("voltage").and_then(Value::as_f64).map(Volts),
        current: component.get("current").and_then(Value::as_f64).map(Amperes),
        counter,
        ..Reading::default()
    })
}

fn counter(total: f64, watts: f64, unit: EnergyUnit) -> Result<MeterCounter, NoReading> {
    let behind = value::counter(watts.max(0.0) * COUNTER_DELAY_HOURS, 0.0, EnergyUnit::WattHour)?.value;
    let mut counter = value::counter(total, 1.0, unit)?;
    counter.resolution = counter.resolution.max(behind);
    Ok(counter)
}

/// Reads anything as a status of both kinds, for the fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn parse_anything(bytes: &[u8]) {
    let Ok(status) = serde_json::from_slice(bytes) else { return };
    let mut notes = Notes::default();
    _ = (first_generation(&status, &mut notes), later_generation(&status, &mut notes));
}

/// Statuses are shaped after the documentation and after those of real devices, in numbers of our own.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(channels: &[Channel], expected: &[&str]) {
        let lines: Vec<_> = channels
            .iter()
            .map(|Channel { key, position, reading }| {
                let position = position.map_or_else(|| "-".to_owned(), |position| position.to_string());
                let value = reading.as_ref().map_or_else(ToString::to_string, ToString::to_string);
                format!("{position} {key}: {value}")
            })
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_first_generation_relay_counts_watt_minutes() {
        let plug = json!({"meters": [{"power": 15.53, "is_valid": true, "timestamp": 1_600_000_000, "total": 1200}]});
        check(&first_generation(&plug, &mut Notes::default()), &["1 meter:0: 15.53 W, 72000 J"]);
        let invalid = json!({"meters": [{"power": 0, "is_valid": false, "total": 0}]});
        check(
            &first_generation(&invalid, &mut Notes::default()),
            &["1 meter:0: not ready: is_valid is false"],
        );
    }

    #[test]
    fn a_first_generation_energy_meter_counts_watt_hours() {
        // The second feeds back: its import counter stands still, and continues.
        let em = json!({"meters": [{"power": 0, "is_valid": true}],
            "emeters": [{"power": 100.5, "voltage": 231.2, "is_valid": true, "total": 20.0, "total_returned": 0.0},
                        {"power": -7.0, "voltage": 231.2, "is_valid": true, "total": 1.0}]});
        check(
            &first_generation(&em, &mut Notes::default()),
            &["1 emeter:0: 100.5 W, 231.2 V, 72000 J", "2 emeter:1: 0 W, 231.2 V, 3600 J"],
        );
    }

    #[test]
    fn a_relay_without_a_meter_has_no_channel() {
        let relay = json!({"relays": [{"ison": false}], "meters": [{"power": 60.0, "is_valid": true}]});
        check(&first_generation(&relay, &mut Notes::default()), &[]);
        let dimmer =
            json!({"meters": [{"power": 7.5, "is_valid": true, "total": 3}, {"power": 0, "is_valid": true}]});
        check(&first_generation(&dimmer, &mut Notes::default()), &["1 meter:0: 7.5 W, 180 J"]);
    }

    #[test]
    fn a_part_that_makes_no_sense_costs_itself_alone() {
        let status = json!({"switch:0": {"apower": 4.0, "aenergy": {"total": -3.0}},
            "pm1:0": {"apower": -0.4, "aenergy": {"total": 8.0}}, "pm1:1": {"apower": -55.0}});
        let mut notes = Notes::default();
        check(
            &later_generation(&status, &mut notes),
            &[
                "1 pm1:0: 0 W, 28800 J",
                "2 pm1:1: implausible: -55 W; check for a reversed current transformer or wiring",
                "3 switch:0: 4 W",
            ],
        );
    }

    /// All that a reversed plug counts has flowed back, and its volts times its amperes have no sign.
    #[test]
    fn a_channel_that_has_only_fed_back_has_no_reading() {
        let status = json!({"switch:0": {"apower": -4.5, "voltage": 231.0, "current": 0.05,
            "aenergy": {"total": 830.25}, "ret_aenergy": {"total": 830.25}}});
        let expected = "1 switch:0: implausible: -4.5 W; check for a reversed current transformer or wiring";
        check(&later_generation(&status, &mut Notes::default()), &[expected]);
    }

    #[test]
    fn a_later_switch_counts_watt_hours_without_what_flowed_back() {
        let status = json!({"sys": {"unixtime": 1_795_430_400}, "wifi": {"rssi": -50},
            "switch:0": {"id": 0, "output": true, "apower": 8.9, "voltage": 237.5, "current": 0.037,
                "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1_626_935_779}},
            "switch:1": {"apower": 0.0, "aenergy": {"total": 5.0}, "ret_aenergy": {"total": 2.0}},
            "switch:2": {"output": false}});
        check(
            &later_generation(&status, &mut Notes::default()),
            &["1 switch:0: 8.9 W, 237.5 V, 0.037 A, 23515.2 J", "2 switch:1: 0 W, 10800 J"],
        );
    }

    #[test]
    fn a_three_phase_meter_is_its_total_and_its_phases_by_name() {
        let status = json!({"em:0": {"total_act_power": 300.0, "a_act_power": 100.0, "a_voltage": 230.0, "a_current": 0.5,
                "b_act_power": 200.0, "c_act_power": null, "c_errors": ["power_meter_failure"]},
            "emdata:0": {"total_act": 1000.0, "a_total_act_energy": 400.0},
            "em1:0": {"act_power": 5.0}, "em1data:0": {"total_act_energy": 1.0}});
        check(
            &later_generation(&status, &mut Notes::default()),
            &[
                "1 em1:0: 5 W, 3600 J",
                "2 em:0: 300 W, 3600000 J",
                "- em:0:a: 100 W, 230 V, 0.5 A, 1440000 J",
                "- em:0:b: 200 W",
                "- em:0:c: not available: act_power has no value, errors [\"power_meter_failure\"]",
            ],
        );
    }

    #[test]
    fn whatever_else_a_device_has_is_no_channel() {
        // A Plus 2PM as a cover, a 3EM with two single-phase channels and its contactor, a dimmer for three colours.
        let status = json!({"ble": {}, "cloud": {"connected": false}, "input:0": {"id": 0, "state": false},
            "temperature:0": {"tC": 23.9}, "script:1": {"running": true},
            "cover:0": {"state": "stopped", "apower": 84.1, "voltage": 229.9, "current": 0.37, "pf": 0.98,
                "aenergy": {"total": 120.5, "by_minute": [0, 0, 0], "minute_ts": 1_795_430_400}},
            "switch:100": {"id": 100, "output": true},
            "em1:0": {"act_power": 12.5, "aprt_power": 14.0, "pf": 0.9, "freq": 50.0, "calibration": "factory"},
            "em1data:0": {"total_act_energy": 123_456.5, "total_act_ret_energy": 7.5},
            "pm1:0": {"voltage": 230.4, "current": 0.13, "apower": 29.5, "freq": 50.0,
                "aenergy": {"total": 900.0}, "ret_aenergy": {"total": 0.0}},
            "rgb:0": {"output": true, "apower": 4.5, "aenergy": {"total": 2.0}}});
        check(
            &later_generation(&status, &mut Notes::default()),
            &[
                "1 cover:0: 84.1 W, 229.9 V, 0.37 A, 433800 J",
                "2 em1:0: 12.5 W, 444443400 J",
                "3 pm1:0: 29.5 W, 230.4 V, 0.13 A, 3240000 J",
                "4 rgb:0: 4.5 W, 7200 J",
            ],
        );
    }

    #[test]
    fn a_counter_may_be_a_minute_behind() {
        let resolution = |watts| counter(10.0, watts, EnergyUnit::WattHour).expect("a counter").resolution;
        assert_eq!(resolution(3600.0).joules(), 216_000.0);
        assert_eq!(resolution(0.0).joules(), 3600.0);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in ".{0,200}", number in any::<f64>()) {
            parse_anything(noise.as_bytes());
            parse_anything(format!("{{\"switch:0\":{{\"apower\":{number},\"aenergy\":{{\"total\":{number}}}}},\
                \"meters\":[{{\"power\":{number},\"total\":{number}}}]}}").as_bytes());
        }
    }
}
