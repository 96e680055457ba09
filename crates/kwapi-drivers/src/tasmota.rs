//! Plugs and meters with the Tasmota firmware, over HTTP on the local network.
//!
//! Source: tasmota.github.io/docs: *Commands* (`Status 8`), *Energy monitoring*.

use std::sync::Arc;

use kwapi_core::{Amperes, NoReading, Reading, Volts};
use serde_json::Value;

use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Clients, Device, Login, PlugConfig};
use crate::outlets::Outlets;
use crate::tls::Tls;
use crate::value::{self, EnergyUnit, PowerUnit};

/// Tasmota counts hundred-thousandths of a kWh and shows three decimals unless told otherwise (`EnergyRes`).
const RESOLUTION_KWH: f64 = 0.001;
/// More channels than any device has are left out.
const CHANNELS_MAX: usize = 64;

/// One device.
#[derive(Debug)]
pub struct Tasmota {
    device: Device,
    query: String,
    outlets: Outlets,
    channels: usize,
}

impl Driver for Tasmota {
    const NAME: &'static str = "tasmota";
    const SUMMARY: &'static str = "plugs and meters with the Tasmota firmware, over HTTP";
    type Config = PlugConfig;
    type Shared = Clients;

    fn check(config: &PlugConfig) -> Result<(), String> {
        config.check()
    }

    fn check_outlets(_: &PlugConfig, outlets: &Outlets) -> Result<(), String> {
        let is_channel = |key: &str| key == "total" || key.parse::<usize>().is_ok_and(|channel| channel > 0);
        match outlets.named().iter().find(|outlet| !is_channel(&outlet.key)) {
            Some(outlet) => Err(format!("outlet {:?}: a channel is a number from 1, or total", outlet.key)),
            None => Ok(()),
        }
    }

    async fn open(
        config: &PlugConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        // Tasmota takes its login in the query, which no error ever shows.
        let login = config.login()?.user.map_or_else(String::new, |(username, password)| {
            format!("&user={}&password={}", encode(&username), encode(password.expose()))
        });
        let device = Device::new(clients, &config.host, "http", &Tls::System, Login::default())?;
        Ok(Self { device, query: format!("cmnd=Status%208{login}"), outlets: outlets.clone(), channels: 0 })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let answer =
            self.device.get("/cm", Some(&self.query)).await?.required("is this a Tasmota device?")?;
        let status = answer.json()?;
        if let Some(warning) = status.get("WARNING").and_then(Value::as_str) {
            let host = self.device.base();
            return Err(DriverError::Refused(format!(
                "{host}cm: {warning:?}; set password to its web password"
            )));
        }
        let Some(energy) = status.pointer("/StatusSNS/ENERGY") else {
            let host = self.device.base();
            let why = "no StatusSNS.ENERGY; does this device measure power, and is its template right?";
            return Err(DriverError::Refused(format!("{host}cm, Status 8: {why}")));
        };
        let channels = read(energy);
        self.channels = channels.len().saturating_sub(1);
        if self.outlets.wants_all() {
            // One channel is the total; of several, each is an outlet, and the total would count them twice.
            let skipped = usize::from(channels.len() > 2);
            for (key, reading) in channels.into_iter().skip(skipped).take(self.channels.max(1)) {
                if let Some(probe) = self.outlets.probe(&key, None) {
                    readings.push(&probe, reading);
                }
            }
            return Ok(());
        }
        for outlet in self.outlets.named() {
            let found = channels.iter().find(|(key, _)| *key == outlet.key);
            let reading = found.map_or_else(
                || {
                    Err(NoReading::NoSuchOutlet(format!(
                        "{:?}; this device has {}",
                        outlet.key, self.channels
                    )))
                },
                |(_, reading)| reading.clone(),
            );
            readings.push(&outlet.probe, reading);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        vec![Finding {
            what: "Status 8, StatusSNS.ENERGY".to_owned(),
            value: format!("{} channels", self.channels),
            is_used: true,
            why: "Total is its counter, TotalStartTime the counter's reset (local time, read as UTC)"
                .to_owned(),
        }]
    }
}

/// What `ENERGY` says: `total` first, then each channel from 1. A device with one channel says the same twice.
fn read(energy: &Value) -> Vec<(String, Result<Reading, NoReading>)> {
    let channels = match energy.get("Power") {
        Some(Value::Array(powers)) => powers.len().clamp(1, CHANNELS_MAX),
        Some(_) | None => 1,
    };
    let total = if channels == 1 { channel(energy, Some(0), 1) } else { channel(energy, None, channels) };
    let each = (0..channels).map(|index| ((index + 1).to_string(), channel(energy, Some(index), channels)));
    std::iter::once(("total".to_owned(), total)).chain(each).collect()
}

/// One channel, or with `None` all of them: the device says its counter for all, and its watts each.
fn channel(energy: &Value, index: Option<usize>, channels: usize) -> Result<Reading, NoReading> {
    let item = |name: &str| match (energy.get(name)?, index) {
        (Value::Array(items), Some(index)) => number(items.get(index)?),
        (Value::Array(items), None) => items.iter().take(channels).map(number).sum(),
        // A single number stands for all channels together (or for the one there is); never for one of several.
        (single, Some(_)) if channels == 1 => number(single),
        (single, None) => number(single),
        (_, Some(_)) => None,
    };
    let watts = item("Power").ok_or_else(|| NoReading::NotAvailable("Power has no number now".to_owned()))?;
    let counter = match item("Total") {
        Some(total) => {
            let mut counter = value::counter(total, RESOLUTION_KWH, EnergyUnit::KilowattHour)?;
            // Local time without its zone: good to see a reset by, and some hours off.
            counter.reset_at = energy
                .get("TotalStartTime")
                .and_then(Value::as_str)
                .and_then(|stamp| value::rfc3339(&format!("{stamp}Z")));
            Some(counter)
        }
        None => None,
    };
    // Volts and amperes of several channels have no sum that means something.
    let electrical = |name: &str| {
        index.or(Some(0).filter(|_| channels == 1)).and_then(|_| {
            let shared = energy.get(name).and_then(number).filter(|_| channels == 1 || name == "Voltage");
            item(name).or(shared)
        })
    };
    Ok(Reading {
        power: Some(value::power(watts, PowerUnit::W)?),
        voltage: electrical("Voltage").map(Volts),
        current: electrical("Current").map(Amperes),
        counter,
        ..Reading::default()
    })
}

/// Numbers, and texts that are numbers: scripted meters write `"Total":"102.550"`.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        number => number.as_f64(),
    }
}

/// Percent-encodes everything but letters and digits (RFC 3986, 2.1).
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(["%", &crate::tls::hex(&[byte])]);
        }
        encoded
    })
}

/// Reads anything as an answer to `Status 8`, for the fuzzer.
#[doc(hidden)]
pub fn parse_anything(bytes: &[u8]) {
    if let Ok(energy) = serde_json::from_slice(bytes) {
        _ = read(&energy);
    }
}

#[cfg(test)]
mod tests;
