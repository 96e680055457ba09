//! The box's list of devices, which is XML of a few kinds of elements: what each device with a meter reports.
//!
//! Source: AVM, *AHA HTTP Interface*, `getdevicelistinfos`: power in milliwatts, energy in watt-hours, voltage in millivolts.

use kwapi_core::{MeterCounter, NoReading, Volts};

use crate::parts::printable;
use crate::value::{self, EnergyUnit};

/// No box has more devices.
const DEVICES_MAX: usize = 1_024;
/// The counter's tick.
const TICK_WATT_HOURS: f64 = 1.0;

/// A device with a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plug {
    /// Its number, without spaces.
    pub(super) ain: String,
    /// What its owner calls it.
    pub(super) name: String,
    pub(super) product: String,
    /// Whether it is connected to the box. What the box reports of one that is not is old.
    pub(super) is_present: bool,
    power: String,
    energy: String,
    voltage: String,
}

/// All devices with a meter; `None` for what is no list of devices.
pub(super) fn parse(text: &str) -> Option<Vec<Plug>> {
    let list = text.split_once("<devicelist")?.1;
    let (list, _) =
        list.split_once("</devicelist>").or_else(|| list.trim_end().strip_suffix("/>").map(|_| ("", "")))?;
    let devices = list.split("<device ").skip(1).take(DEVICES_MAX);
    Some(devices.filter_map(|device| plug(device.split("</device>").next()?)).collect())
}

/// One device, from its attributes to its last element; `None` where it has no meter.
fn plug(device: &str) -> Option<Plug> {
    let (attributes, content) = device.split_once('>')?;
    let meter = element(content, "powermeter")?;
    let text = |of: &str, name| element(of, name).map(decoded).unwrap_or_default();
    let ain = bare(&decoded(attribute(attributes, "identifier")?));
    if ain.is_empty() {
        return None;
    }
    let name = Some(text(content, "name")).filter(|name| !name.is_empty()).unwrap_or_else(|| ain.clone());
    Some(Plug {
        ain,
        name,
        product: attribute(attributes, "productname").map(decoded).unwrap_or_default(),
        is_present: text(content, "present") != "0",
        power: text(meter, "power"),
        energy: text(meter, "energy"),
        voltage: text(meter, "voltage"),
    })
}

impl Plug {
    /// Watts, where it reports them.
    pub(super) fn watts(&self) -> Option<Result<f64, NoReading>> {
        count(&self.power).map(|milliwatts| milliwatts.map(|milliwatts| milliwatts / 1e3))
    }

    /// The counter, where it reports it.
    pub(super) fn counter(&self) -> Option<Result<MeterCounter, NoReading>> {
        let counter = |count| value::counter(count, TICK_WATT_HOURS, EnergyUnit::WattHour);
        count(&self.energy).map(|count| count.and_then(counter))
    }

    /// Volts, where it reports them.
    pub(super) fn volts(&self) -> Option<Volts> {
        count(&self.voltage)?.ok().map(|millivolts| Volts(millivolts / 1e3))
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        if self.is_present {
            format!("{} mW, {} Wh", self.power, self.energy)
        } else {
            "not connected".to_owned()
        }
    }
}

/// A whole number; `None` where the box has none (`inval`, or nothing).
fn count(text: &str) -> Option<Result<f64, NoReading>> {
    match text {
        "" | "inval" => None,
        text => Some(
            text.parse()
                .ok()
                .filter(|count: &f64| count.is_finite())
                .ok_or_else(|| NoReading::Implausible(format!("{text:?} is not a number"))),
        ),
    }
}

/// An AIN without the spaces that it is printed with.
pub(super) fn bare(ain: &str) -> String {
    ain.chars().filter(|character| !character.is_whitespace()).collect()
}

/// What is in the first element called `name`, which has no attributes.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside)
}

/// The value of an attribute.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = attributes.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// A text without XML's escapes, fit for a line.
fn decoded(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    printable(plain.replace("&amp;", "&").trim())
}

#[cfg(test)]
mod tests;
