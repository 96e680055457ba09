//! What a card offers, what is read of it and why, for `kwapi probe`.

use kwapi_core::{Quality, Reading};

use super::catalogue::SensorCatalogue;
use super::choice;
use super::completion::meaning;
use super::config::SourceWanted;
use super::message::GET_POWER_READING;
use super::node_manager::NodeManagerFound;
use super::sdr::IpmiSensor;
use super::source::{DcmiFound, FoundSource, IpmiSource};
use crate::driver::Finding;
use crate::power_role::Role;

/// Every source, the one that is read marked.
pub(super) fn of(found: &FoundSource, catalogue: &SensorCatalogue, wanted: SourceWanted) -> Vec<Finding> {
    let mut findings = vec![of_dcmi(found, wanted)];
    if found.node_manager != NodeManagerFound::NotQueried {
        findings.push(of_node_manager(found));
    }
    match catalogue.sensors() {
        None if wanted == SourceWanted::NodeManager => {}
        None => findings.push(Finding {
            what: "SDR sensors in watts".to_owned(),
            value: "not listed".to_owned(),
            is_used: false,
            why: "DCMI is available; set source = \"sensor\" to use a sensor instead".to_owned(),
        }),
        Some(sensors) => findings.extend(sensors.iter().map(|sensor| of_sensor(sensor, found))),
    }
    if catalogue.unread > 0 {
        findings.push(Finding {
            what: "SDR records".to_owned(),
            value: format!("{} unreadable", catalogue.unread),
            is_used: false,
            why: "one may be a power sensor; a sum of sensors is estimated".to_owned(),
        });
    }
    findings
}

fn of_dcmi(found: &FoundSource, wanted: SourceWanted) -> Finding {
    let is_used = matches!(found.source, IpmiSource::Dcmi);
    let (value, why) = match found.dcmi {
        DcmiFound::NotQueried if wanted == SourceWanted::NodeManager => {
            ("not requested".to_owned(), "source = \"node_manager\" is configured".to_owned())
        }
        DcmiFound::NotQueried => ("not requested".to_owned(), "a sensor is configured".to_owned()),
        DcmiFound::Silent => ("no response".to_owned(), "the BMC responds to other commands".to_owned()),
        DcmiFound::Refused(code) => {
            (format!("{} ({code:#04x})", meaning(code)), "not available to this user".to_owned())
        }
        DcmiFound::Reports(power) => {
            let value = power.to_string();
            let why = match power.reading() {
                _ if !is_used && wanted == SourceWanted::Sensor => "a sensor is configured".to_owned(),
                Ok(Reading { power: Some(watts), .. }) if watts.0 == 0.0 => {
                    match (is_used, found.is_zero_confirmed) {
                        (true, true) => "the sensors report 0 W as well".to_owned(),
                        (true, false) => {
                            "0 W although the BMC is on; estimated, no other source has a value".to_owned()
                        }
                        (false, _) => {
                            "0 W is implausible for a machine that is on; its sensors have a value".to_owned()
                        }
                    }
                }
                Ok(Reading { quality: Quality::Estimated, .. }) => {
                    "the whole machine; estimated, as the BMC reports that power measurement is not active"
                        .to_owned()
                }
                Ok(_) => "the whole machine".to_owned(),
                Err(reason) => reason.to_string(),
            };
            (value, why)
        }
    };
    Finding { what: GET_POWER_READING.name.to_owned(), value, is_used, why }
}

fn of_node_manager(found: &FoundSource) -> Finding {
    let is_used = matches!(found.source, IpmiSource::NodeManager(_));
    let why = match &found.node_manager {
        NodeManagerFound::Reports(channel, power) => match power.reading() {
            Ok(Reading { quality: Quality::Estimated, .. }) => {
                "the whole machine; estimated, as it reports that power measurement is not active".to_owned()
            }
            Ok(_) => format!("the whole machine, by the Management Engine behind channel {channel}"),
            Err(reason) => reason.to_string(),
        },
        NodeManagerFound::NotQueried | NodeManagerFound::Silent | NodeManagerFound::Absent(_) => {
            "no Management Engine with Node Manager behind the BMC".to_owned()
        }
    };
    Finding { what: "Intel Node Manager".to_owned(), value: found.node_manager.to_string(), is_used, why }
}

fn of_sensor(sensor: &IpmiSensor, found: &FoundSource) -> Finding {
    let role = choice::role(sensor);
    let chosen = match &found.source {
        IpmiSource::Sensors(choice) if choice.sensors.contains(sensor) => Some(choice.why),
        IpmiSource::Sensors(_) | IpmiSource::Dcmi | IpmiSource::NodeManager(_) => None,
    };
    let why = match (chosen, &sensor.conversion, role) {
        (Some(why), _, _) => why.to_owned(),
        (None, Err(fault), _) => (*fault).to_owned(),
        (None, Ok(_), _) if found.absent.contains(sensor) => {
            "no reading; ignored, so the sum is estimated; retried later".to_owned()
        }
        (None, Ok(_), Role::Part) => "measures a part only, or is a limit".to_owned(),
        (None, Ok(_), _) => {
            "another source covers the whole machine; adding this one would count it twice".to_owned()
        }
    };
    Finding {
        what: format!("sensor {:?}", sensor.name),
        value: sensor
            .conversion
            .map_or("unreadable".to_owned(), |conversion| format!("steps of {} W", conversion.step())),
        is_used: chosen.is_some(),
        why,
    }
}
