//! Where Redfish resources keep power, and how to read it there.
//!
//! Source: DMTF DSP2046 (resource guide), schemas `EnvironmentMetrics` 1.3, Power 1.7, `PowerSupplyMetrics` 1.1, Sensor 1.9,
//! Outlet 1.4 and `PowerDistributionMetrics` 1.3; Fujitsu iRMC S5/S6, *Redfish White Paper*, `ts_fujitsu`.

use kwapi_core::{Amperes, NoReading, Quality, Reading, Timestamp, Volts, Watts};
use serde_json::Value;

use super::energy::EnergySource;
use crate::http::printable;
use crate::power_role::{Role, role};
use crate::value::{self, PowerUnit, Sentinel, number};

/// Longer names and links are no card's.
const NAME_CHARACTERS_MAX: usize = 64;
const LINK_BYTES_MAX: usize = 1_024;

/// One place where a card may report its power.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PowerPlace {
    /// For `kwapi probe` and errors.
    pub(super) name: &'static str,
    /// The resource below its chassis, and the property that links to it there.
    pub(super) resource: &'static str,
    /// Where in the resource the watts are.
    power: At,
    pub(super) quality: Quality,
}

/// Where in a resource watts are.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// At the first of these that is there.
    First(&'static [&'static str]),
    /// At these places of the one `PowerControl` that stands for the machine, else at these of the resource.
    Control(&'static [&'static str], &'static [&'static str]),
    /// The sum of what the members of a list report, which all must.
    Sum { list: &'static str, each: &'static str },
}

/// Below a chassis, in the order tried: the newest first, then the one that is everywhere although deprecated.
pub(super) const CHASSIS: &[PowerPlace] = &[
    PowerPlace {
        name: "EnvironmentMetrics",
        resource: "EnvironmentMetrics",
        power: At::First(&["/PowerWatts/Reading"]),
        quality: Quality::Measured,
    },
    PowerPlace {
        name: "Power",
        resource: "Power",
        power: At::Control(&["/PowerConsumedWatts"], &["/PowerConsumedWatts"]),
        quality: Quality::Measured,
    },
];

/// In `Power`, what its makers add to it; tried after the sensors.
pub(super) const OEM: &[PowerPlace] = &[
    PowerPlace {
        name: "Power, Oem.ts_fujitsu",
        resource: "Power",
        power: At::First(&["/Oem/ts_fujitsu/ChassisPowerConsumption/CurrentPowerConsumptionW"]),
        quality: Quality::Measured,
    },
    // Inspur (ISBMC of the NF5000 M6 series), beside what processors, memory and fans draw.
    PowerPlace {
        name: "Power, Oem.Public",
        resource: "Power",
        power: At::First(&["/Oem/Public/TotalPower"]),
        quality: Quality::Measured,
    },
];

/// What the supplies draw, in `Power`: a supply that is missing from the list would go unnoticed.
pub(super) const SUPPLIES: PowerPlace = PowerPlace {
    name: "Power, supplies",
    resource: "Power",
    power: At::Sum { list: "/PowerSupplies", each: "/PowerInputWatts" },
    quality: Quality::Estimated,
};

/// What one supply draws, in the metrics of a `PowerSubsystem`'s supply.
pub(super) const SUPPLY_METRICS: PowerPlace = PowerPlace {
    name: "PowerSubsystem, supplies",
    resource: "PowerSubsystem",
    power: At::First(&["/InputPowerWatts/Reading"]),
    quality: Quality::Estimated,
};

/// The mean of the last minutes is not the power now.
pub(super) const AVERAGE: PowerPlace = PowerPlace {
    name: "Power, average",
    resource: "Power",
    power: At::Control(&["/PowerMetrics/AverageConsumedWatts"], &[]),
    quality: Quality::Estimated,
};

/// A sensor of `ReadingType` `Power`.
pub(super) const SENSOR: PowerPlace = PowerPlace {
    name: "Sensors",
    resource: "Sensors",
    power: At::First(&["/Reading"]),
    quality: Quality::Measured,
};

/// A sensor of `ReadingType` `Power` of one supply.
pub(super) const SUPPLY_SENSOR: PowerPlace = PowerPlace {
    name: "Sensors, supplies",
    resource: "Sensors",
    power: At::First(&["/Reading"]),
    quality: Quality::Estimated,
};

/// One outlet of a PDU, or the metrics of all of it.
pub(super) const OUTLET: PowerPlace = PowerPlace {
    name: "Outlets",
    resource: "Outlets",
    power: At::First(&["/PowerWatts/Reading"]),
    quality: Quality::Measured,
};

/// What a resource shows at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shown {
    /// Nothing of the kind.
    Absent,
    /// What holds the property is there, but not the property: some cards leave it out while the host is off.
    Empty,
    /// The property is there and null: measured, but not now.
    Null,
    /// A number.
    Number(f64),
}

impl Shown {
    /// The watts, if they can be those of something that is on.
    pub(super) fn watts(self) -> Option<f64> {
        match self {
            Self::Number(watts) if watts > 0.0 && plausible(watts).is_ok() => Some(watts),
            Self::Number(_) | Self::Absent | Self::Empty | Self::Null => None,
        }
    }

    /// In words, for the operator.
    pub(super) fn words(self) -> String {
        match self {
            Self::Absent => "absent".to_owned(),
            Self::Empty => "no value".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Number(watts) => format!("{watts} W"),
        }
    }
}

/// The watts a card reports, unless that means that it has none.
fn plausible(watts: f64) -> Result<Watts, NoReading> {
    if Sentinel::any_written(&Sentinel::WRITTEN, watts) {
        return Err(NoReading::Implausible(format!("{watts} W, a placeholder for no value")));
    }
    value::power(watts, PowerUnit::W)
}

impl PowerPlace {
    /// What `resource` shows of power here.
    pub(super) fn power(&self, resource: &Value) -> Shown {
        match self.power {
            At::First(places) => first(resource, places).unwrap_or_else(|| {
                let holder =
                    places.first().and_then(|place| place.rsplit_once('/')).map(|(holder, _)| holder);
                let holder = holder.filter(|holder| !holder.is_empty());
                empty_if(holder.and_then(|holder| resource.pointer(holder)).is_some())
            }),
            At::Control(places, whole) => {
                let controls = resource.get("PowerControl");
                let in_control = controls.and_then(control).and_then(|control| first(control, places));
                in_control.or_else(|| first(resource, whole)).unwrap_or_else(|| empty_if(controls.is_some()))
            }
            At::Sum { list, each } => {
                let members = resource.pointer(list).and_then(Value::as_array).map(Vec::as_slice);
                sum(members.unwrap_or_default(), each)
            }
        }
    }

    /// Everything `resource` reports here; `energy` remembers which counter was taken first.
    ///
    /// # Errors
    /// When there is neither power nor a counter.
    pub(super) fn read(&self, resource: &Value, energy: &mut EnergySource) -> Result<Reading, NoReading> {
        if !is_present(resource) {
            let state = resource.pointer("/Status/State").and_then(Value::as_str).unwrap_or_default();
            let state = printable(state, NAME_CHARACTERS_MAX);
            return Err(NoReading::NotAvailable(format!("{}: Status.State is {state}", self.name)));
        }
        let counter = energy.read(resource)?;
        let power = match self.power(resource) {
            Shown::Number(watts) => Some(plausible(watts)?),
            Shown::Null if counter.is_none() => {
                let why = format!("{}: power is null; the host may be off", self.name);
                return Err(NoReading::NotAvailable(why));
            }
            Shown::Empty if counter.is_none() => {
                let why = format!("{} has no value; the host may be off", self.name);
                return Err(NoReading::NotAvailable(why));
            }
            Shown::Absent if counter.is_none() => {
                return Err(NoReading::NotAvailable(format!("{} no longer reports power", self.name)));
            }
            Shown::Null | Shown::Absent | Shown::Empty => None,
        };
        Ok(Reading {
            power,
            voltage: resource.pointer("/Voltage/Reading").and_then(number).map(Volts),
            current: resource.pointer("/CurrentAmps/Reading").and_then(number).map(Amperes),
            counter,
            measured_at: measured_at(resource),
            quality: self.quality,
            ..Reading::default()
        })
    }
}

fn empty_if(has_holder: bool) -> Shown {
    if has_holder { Shown::Empty } else { Shown::Absent }
}

/// What the first of these places that is there shows.
fn first(resource: &Value, places: &[&str]) -> Option<Shown> {
    let value = places.iter().find_map(|place| resource.pointer(place))?;
    Some(number(value).map_or(Shown::Null, Shown::Number))
}

/// Of several `PowerControl` the first is the machine, as every card we know of has it, unless its name states that it
/// is a part and another's that it is not. Some cards have an object in place of the list.
fn control(controls: &Value) -> Option<&Value> {
    let Some(list) = controls.as_array() else {
        return Some(controls).filter(|controls| controls.is_object());
    };
    let role_of =
        |control: &Value| role(control.get("Name").and_then(Value::as_str).unwrap_or_default(), false);
    match list.first() {
        Some(first) if role_of(first) == Role::Part => {
            list.iter().find(|control| role_of(control) == Role::System).or(Some(first))
        }
        first => first,
    }
}

/// The sum of what is there: a supply that is not fitted is left out, one that does not report spoils the sum.
fn sum(members: &[Value], each: &str) -> Shown {
    let mut sum = None;
    for member in members.iter().filter(|member| is_present(member)) {
        let shown = member.pointer(each).map(|value| number(value).filter(|watts| *watts >= 0.0));
        match shown {
            None => return Shown::Absent,
            Some(None) => return Shown::Null,
            Some(Some(watts)) => sum = Some(sum.unwrap_or(0.0) + watts),
        }
    }
    sum.map_or(Shown::Absent, Shown::Number)
}

/// Whether what a resource describes is fitted and working.
pub(super) fn is_present(resource: &Value) -> bool {
    let state = resource.pointer("/Status/State").and_then(Value::as_str).unwrap_or("Enabled");
    !matches!(state, "Absent" | "Disabled" | "UnavailableOffline")
}

/// Why the supplies a chassis lists may not be its own: added up for each node they would count the enclosure so many times.
pub(super) fn shares_supplies(chassis: &Value) -> Option<&'static str> {
    let several =
        |place: &str| chassis.pointer(place).and_then(Value::as_array).is_some_and(|list| list.len() > 1);
    if several("/Links/ComputerSystems") {
        return Some("they feed several systems");
    }
    if chassis.pointer("/Links/ContainedBy/@odata.id").is_some() {
        return Some("the chassis is inside another one, which may own them");
    }
    None
}

/// When the card took the value, if it states that: not when it was queried.
fn measured_at(resource: &Value) -> Option<Timestamp> {
    ["/ReadingTime", "/PowerWatts/ReadingTime"]
        .iter()
        .find_map(|place| value::rfc3339(resource.pointer(place)?.as_str()?))
}

/// The links of one page of a collection.
pub(super) fn members(collection: &Value) -> impl Iterator<Item = String> + '_ {
    let members = collection.get("Members").and_then(Value::as_array).map(Vec::as_slice);
    members.unwrap_or_default().iter().filter_map(|member| link(member, ""))
}

/// The path that `resource` links to as `property` (or its own). Only the path of a link is ever used: what names another
/// host is still requested from this one, where our login belongs.
pub(super) fn link(resource: &Value, property: &str) -> Option<String> {
    let holder = if property.is_empty() { resource } else { resource.get(property)? };
    path_of(holder.get("@odata.id")?.as_str()?)
}

/// The path, with its query, of a link; `None` for what is none.
pub(super) fn path_of(link: &str) -> Option<String> {
    let path = match link.split_once("://") {
        Some(("http" | "https", rest)) => rest.find('/').and_then(|at| rest.get(at..))?,
        Some(_) => return None,
        None => link,
    };
    let path = path.split('#').next().unwrap_or_default();
    let is_path = path.starts_with('/') && path.len() <= LINK_BYTES_MAX;
    (is_path && !path.contains(char::is_control)).then(|| path.to_owned())
}

/// The end of a resource's path, which is its `Id` on most cards.
pub(super) fn segment(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// A resource's id: what it states, or the end of its path.
pub(super) fn id(resource: &Value, path: &str) -> String {
    let name = resource.get("Id").and_then(Value::as_str).unwrap_or_else(|| segment(path));
    printable(name, NAME_CHARACTERS_MAX)
}

/// What distinguishes a resource's device from another of its kind: its serial number, or the UUID that the card made
/// for it.
pub(super) fn serial(resource: &Value) -> Option<String> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).map(str::trim);
    let number = text("SerialNumber").filter(|serial| !serial.is_empty()).or_else(|| text("UUID"))?;
    Some(printable(number, NAME_CHARACTERS_MAX)).filter(|serial| !serial.is_empty())
}

/// A name that its owner gave it.
pub(super) fn label(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(|name| printable(name, NAME_CHARACTERS_MAX))
}

/// Reads any resource as every place would, for the fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn parse_anything(bytes: &[u8]) {
    let Ok(resource) = serde_json::from_slice::<Value>(bytes) else { return };
    let others = [&SUPPLIES, &SUPPLY_METRICS, &AVERAGE, &SENSOR, &SUPPLY_SENSOR, &OUTLET];
    for place in CHASSIS.iter().chain(OEM).chain(others) {
        _ = place.read(&resource, &mut EnergySource::default());
    }
    _ = (members(&resource).count(), link(&resource, "Power"), id(&resource, "/a/b"));
}

#[cfg(test)]
mod tests;
