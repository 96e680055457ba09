//! Plugs and meters with the Tasmota firmware, over HTTP on the local network.
//!
//! Source: tasmota.github.io/docs: *Commands* (`Status 8`), *Energy monitoring*.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Amperes, MeterCounter, NoReading, Reading, Register, Volts};
use serde_json::Value;
use tokio::time::timeout;

use crate::config::{ConfigError, DriverKey};
use crate::deadline;
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::http::{Access, Clients, DeviceClient, PlugConfig, encoded};
use crate::outlets::Outlets;
use crate::parts::{ListedProbes, Notes, not_listed, power_and_counter, printable};
use crate::value::{self, EnergyUnit, number};

/// Tasmota counts hundred-thousandths of a kWh and shows three decimals unless configured otherwise (`EnergyRes`).
const RESOLUTION_KWH: f64 = 0.001;
/// So long a device may take to report its hardware address.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// More channels than any device has are left out.
const CHANNELS_MAX: usize = 64;

/// One device.
#[derive(Debug)]
pub struct Tasmota {
    device: DeviceClient,
    /// The login, as the end of a query.
    login: String,
    /// Its hardware address, where it reports it.
    serial: Option<String>,
    /// Whether it has been queried for it.
    is_serial_known: bool,
    /// What counters are known by, by channel and what counts.
    registers: BTreeMap<String, Arc<Register>>,
    counts: Counts,
    outlets: Outlets,
    channels: usize,
    notes: Notes,
    listed: ListedProbes,
}

impl Driver for Tasmota {
    const NAME: &'static str = "tasmota";
    const SUMMARY: &'static str = "plugs and meters with the Tasmota firmware, over HTTP";
    const KEYS: &'static [DriverKey] = PlugConfig::KEYS;
    type Config = PlugConfig;
    type Shared = Clients;

    fn check(config: &PlugConfig) -> Result<(), ConfigError> {
        config.access().check()
    }

    fn check_outlets(_: &PlugConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        let is_channel = |key: &str| key == "total" || key.parse::<usize>().is_ok_and(|channel| channel > 0);
        match outlets.named().iter().find(|outlet| !is_channel(&outlet.key)) {
            Some(outlet) => Err(ConfigError::of(
                "probes",
                format!("outlet {:?}: must be a channel number from 1, or total", outlet.key),
            )),
            None => Ok(()),
        }
    }

    async fn open(
        config: &PlugConfig,
        outlets: &Outlets,
        clients: &Arc<Clients>,
    ) -> Result<Self, DriverError> {
        // Tasmota takes its login in the query, which no error ever shows.
        let access = config.access();
        let login = access.login()?.user.map_or_else(String::new, |(username, password)| {
            format!("&user={}&password={}", encoded(&username), encoded(password.expose()))
        });
        let device = Access { username: None, password: None, ..access }.device(clients)?;
        Ok(Self {
            device,
            login,
            serial: None,
            is_serial_known: false,
            registers: BTreeMap::new(),
            counts: Counts::Total,
            outlets: outlets.clone(),
            channels: 0,
            notes: Notes::default(),
            listed: ListedProbes::default(),
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let answer = self.device.get("/cm", Some(&self.query(8))).await;
        let answer = answer
            .map_err(DriverError::of_whoever_answers)?
            .required("check that this is a Tasmota device")?;
        let status = answer.json()?;
        if let Some(warning) = status.get("WARNING").and_then(Value::as_str) {
            let host = self.device.base();
            return Err(DriverError::Locked(format!(
                "{host}cm: {warning:?}; set password to its web password"
            )));
        }
        let Some(energy) = status.pointer("/StatusSNS/ENERGY") else {
            let host = self.device.base();
            let why = format!("{host}cm, Status 8: {}", no_energy(&status, host.as_str()));
            // It has shown it before: it has just been started again.
            return Err(match status.get("StatusSNS") {
                _ if self.channels > 0 => DriverError::Busy(why),
                Some(_) => DriverError::NothingToRead(why),
                None => DriverError::Refused(why),
            });
        };
        self.counts = Counts::of(energy);
        let mut channels = read(energy, &mut self.notes);
        self.channels = channels.len().saturating_sub(1);
        self.register(&mut channels).await;
        // One channel is the total; of several, each is an outlet, and the total would count them twice.
        let skipped = usize::from(channels.len() > 2);
        let listed = channels.iter().enumerate().skip(skipped).take(self.channels.max(1));
        let listed = listed.map(|(place, (key, _))| (place, key.as_str(), None));
        let find = |key: &str| {
            let place = channels.iter().position(|(known, _)| known == key);
            place.ok_or_else(|| format!("{key:?}; number of channels: {}", self.channels))
        };
        let reading =
            |place: usize| channels.get(place).map_or_else(not_listed, |(_, reading)| reading.clone());
        self.listed.hand_out(&self.outlets, listed, find, reading, readings);
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let energy = Finding {
            what: "Status 8, StatusSNS.ENERGY".to_owned(),
            value: format!("{} channels", self.channels),
            is_used: true,
            why: format!(
                "{} is its counter, TotalStartTime the reset of Total (local time, read as UTC)",
                self.counts.symbol()
            ),
        };
        std::iter::once(energy).chain(self.notes.findings()).collect()
    }
}

impl Tasmota {
    /// The query of `Status` with a number.
    fn query(&self, number: u8) -> String {
        format!("cmnd=Status%20{number}{}", self.login)
    }

    /// Sets for each counter what identifies it after a restart. The device is queried for its hardware address once,
    /// when it has shown that it is a meter; one that does not report it is identified by its network address alone.
    async fn register(&mut self, channels: &mut [(String, Result<Reading, NoReading>)]) {
        if !self.is_serial_known {
            self.serial = self.hardware_address().await;
            self.is_serial_known = true;
        }
        for (key, reading) in channels {
            let Ok(reading) = reading else { continue };
            if reading.counter.is_some() {
                let path = match self.counts {
                    Counts::Total => key.clone(),
                    Counts::TotalAndExport | Counts::Import => format!("{key} {}", self.counts.symbol()),
                };
                let (serial, known) = (self.serial.clone(), Some(path.clone()));
                let register = || Arc::new(Register { serial, path: known, ..Register::default() });
                reading.register = Some(self.registers.entry(path).or_insert_with(register).clone());
            }
        }
    }

    /// What distinguishes the device from another; `None` where it does not report it in time, which costs no reading.
    async fn hardware_address(&self) -> Option<String> {
        let query = self.query(5);
        let limit = deadline::request_limit().unwrap_or(ADDRESS_TIMEOUT).min(ADDRESS_TIMEOUT);
        let Ok(answer) = timeout(limit, self.device.get("/cm", Some(&query))).await else {
            deadline::moved_on();
            return None;
        };
        let status = answer.ok()?.found().ok()??.json().ok()?;
        let address = status.pointer("/StatusNET/Mac").and_then(Value::as_str).map(printable)?;
        Some(address).filter(|address| !address.is_empty())
    }
}

/// What a device without `ENERGY` shows instead, and how that is read. House meters on an optical head (SML, OBIS) and
/// bridges have names of their own, which only their script defines.
fn no_energy(status: &Value, host: &str) -> String {
    const SHOWN_MAX: usize = 8;
    let sensors = status.get("StatusSNS").and_then(Value::as_object).into_iter().flatten();
    let numbers = sensors.filter_map(|(sensor, values)| {
        let names = values.as_object()?.iter().filter(|(_, value)| number(value).is_some());
        let names: Vec<_> = names.take(SHOWN_MAX).map(|(name, _)| printable(name)).collect();
        (!names.is_empty()).then(|| (printable(sensor), names))
    });
    let numbers: Vec<_> = numbers.take(SHOWN_MAX).collect();
    let Some((sensor, names)) = numbers.first() else {
        return "no StatusSNS.ENERGY; check that the device measures power and that its template is right"
            .to_owned();
    };
    let shown: Vec<_> =
        numbers.iter().map(|(sensor, names)| format!("{sensor}: {}", names.join(", "))).collect();
    let first = names.iter().find(|name| name.to_lowercase().contains("power")).or(names.first());
    let first = first.map_or("…", String::as_str);
    format!(
        "no StatusSNS.ENERGY, but {}; if power is among these, use driver = \"http_json\", \
         url = \"{host}cm?cmnd=Status%208\", values = {{ power = \"/StatusSNS/{sensor}/{first}\" }}",
        shown.join("; ")
    )
}

/// What `ENERGY` holds: `total` first, then each channel from 1. A device with one channel reports the same twice.
fn read(energy: &Value, notes: &mut Notes) -> Vec<(String, Result<Reading, NoReading>)> {
    let channels = match energy.get("Power") {
        Some(Value::Array(powers)) => powers.len().clamp(1, CHANNELS_MAX),
        Some(_) | None => 1,
    };
    let whole = if channels == 1 { Some(0) } else { None };
    let mut all = vec![("total".to_owned(), channel("total", energy, whole, channels, notes))];
    for index in 0..channels {
        let key = (index + 1).to_string();
        let reading = channel(&key, energy, Some(index), channels, notes);
        all.push((key, reading));
    }
    all
}

/// What a device counts imported energy by. Most have `Total` alone. Of a house meter that Tasmota reads, `ImportActive` is the
/// meter's own register, and `Total` may be import plus export. Where Tasmota itself counts what flows back (Shelly EM, 3EM),
/// `Total` runs backwards meanwhile, and what it ran back by is in `ExportActive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Total,
    TotalAndExport,
    Import,
}

impl Counts {
    fn of(energy: &Value) -> Self {
        match (energy.get("ImportActive"), energy.get("ExportActive")) {
            (Some(_), _) => Self::Import,
            (None, Some(_)) => Self::TotalAndExport,
            (None, None) => Self::Total,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Total => "Total",
            Self::TotalAndExport => "Total + ExportActive",
            Self::Import => "ImportActive",
        }
    }
}

/// One channel, or with `None` all of them: the device reports its counter for all, and its watts each.
fn channel(
    key: &str,
    energy: &Value,
    index: Option<usize>,
    channels: usize,
    notes: &mut Notes,
) -> Result<Reading, NoReading> {
    let item = |name: &str| match (energy.get(name)?, index) {
        (Value::Array(items), Some(index)) => number(items.get(index)?),
        (Value::Array(items), None) => items.iter().take(channels).map(number).sum(),
        // A single number stands for all channels together (or for the one there is); never for one of several.
        (single, Some(_)) if channels == 1 => number(single),
        (single, None) => number(single),
        (_, Some(_)) => None,
    };
    let watts = item("Power").ok_or_else(|| NoReading::NotAvailable("Power has no value".to_owned()))?;
    let counts = Counts::of(energy);
    let (count, resolution) = match counts {
        Counts::Total => (item("Total"), RESOLUTION_KWH),
        Counts::TotalAndExport => (sum(item("Total"), item("ExportActive")), 2.0 * RESOLUTION_KWH),
        Counts::Import => (item("ImportActive"), RESOLUTION_KWH),
    };
    let counter = count.map(|count| {
        let mut counter = value::counter(count, resolution, EnergyUnit::KilowattHour)?;
        // Local time without its zone: good to see a reset by, and some hours off.
        let stamp = energy.get("TotalStartTime").and_then(Value::as_str).filter(|_| counts != Counts::Import);
        counter.reset_at = stamp.and_then(|stamp| value::rfc3339(&format!("{stamp}Z")));
        Ok::<MeterCounter, NoReading>(counter)
    });
    let absent = || NoReading::NotAvailable("no Power".to_owned());
    let (power, counter) = power_and_counter(key, Some(Ok(watts)), counter, absent, notes)?;
    // Volts and amperes of several channels have no sum that means something.
    let electrical = |name: &str| {
        index.or(Some(0).filter(|_| channels == 1)).and_then(|_| {
            let shared = energy.get(name).and_then(number).filter(|_| channels == 1 || name == "Voltage");
            item(name).or(shared)
        })
    };
    Ok(Reading {
        power,
        voltage: electrical("Voltage").map(Volts),
        current: electrical("Current").map(Amperes),
        counter,
        ..Reading::default()
    })
}

/// Both together, where both are reported.
fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? + other?)
}

/// Reads anything as an answer to `Status 8`, for the fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn parse_anything(bytes: &[u8]) {
    if let Ok(energy) = serde_json::from_slice(bytes) {
        _ = read(&energy, &mut Notes::default());
    }
}

#[cfg(test)]
mod tests;
