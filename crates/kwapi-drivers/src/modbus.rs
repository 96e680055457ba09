//! Energy meters that speak Modbus, on TCP or on a serial line; which registers they keep what in is a map.
//!
//! Several meters behind one gateway or on one line share its connection, which carries one request at a time.
//!
//! Source: `modbus/codec.rs` for the protocol, the head of each map for the meter.

#[doc(hidden)]
pub mod codec;
mod identify;
mod line;
pub mod map;

use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::{NoReading, ProbeId};
use serde::Deserialize;

use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use codec::{Answer, Request};
pub use identify::{Identity, identify, parse_identification};
pub use line::Lines;
use line::{Address, Line};
use map::{Map, Parity, Registers, addressed};

/// `driver = "modbus"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A gateway or meter: `gw1` or `gw1:502`. Either this or `device`.
    pub host: Option<String>,
    /// A serial line. Prefer `/dev/serial/by-id/…`: `ttyUSB0` moves on replug.
    pub device: Option<PathBuf>,
    /// The meter's address behind the gateway or on the line, 1 to 247.
    #[serde(default = "default_unit")]
    pub unit: u8,
    /// The register map: `eastron-sdm630`.
    pub map: String,
    /// A directory of maps of one's own, looked into before ours.
    pub maps: Option<PathBuf>,
    /// How a gateway frames: `tcp`, or `rtu` for a plain converter of serial line to network.
    #[serde(default)]
    pub framing: Framing,
    /// Bits a second on the line, if not as the map says.
    pub baud: Option<u32>,
    /// The check of each character, if not as the map says.
    pub parity: Option<Parity>,
    /// 1 or 2, if not as the map says.
    pub stop_bits: Option<u8>,
}

fn default_unit() -> u8 {
    1
}

/// How a gateway frames requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// Modbus TCP.
    #[default]
    Tcp,
    /// A serial line's frames, with their checksum.
    Rtu,
}

/// One meter on its line.
#[derive(Debug)]
pub struct Modbus {
    line: Arc<Line>,
    unit: u8,
    map: Map,
    /// Probe, and the key of its outlet in the map.
    outlets: Vec<(ProbeId, String)>,
    missing: Vec<(ProbeId, String)>,
    requests: Vec<(u16, u16)>,
    /// Registers that this meter says it does not have.
    refused: Vec<(u16, u8)>,
}

impl Driver for Modbus {
    const NAME: &'static str = "modbus";
    const SUMMARY: &'static str =
        "energy meters over Modbus TCP and RTU: Eastron SDM, Schneider iEM, maps of one's own";
    type Config = Config;
    type Shared = Lines;

    fn check(config: &Config) -> Result<(), String> {
        if !(1..=247).contains(&config.unit) {
            return Err(format!("unit is 1 to 247, not {}", config.unit));
        }
        let map = Map::load(&config.map, config.maps.as_deref()).map_err(DriverError::into_message)?;
        address(config, &map).map(drop).map_err(DriverError::into_message)
    }

    fn check_outlets(config: &Config, outlets: &Outlets) -> Result<(), String> {
        let map = Map::load(&config.map, config.maps.as_deref()).map_err(DriverError::into_message)?;
        match assign(outlets, &map).1.first() {
            Some((_, missing)) => Err(format!("outlet {missing}")),
            None => Ok(()),
        }
    }

    async fn open(config: &Config, outlets: &Outlets, lines: &Arc<Lines>) -> Result<Self, DriverError> {
        if !(1..=247).contains(&config.unit) {
            return Err(DriverError::Refused(format!("unit is 1 to 247, not {}", config.unit)));
        }
        let map = Map::load(&config.map, config.maps.as_deref())?;
        let line = lines.line(&address(config, &map)?)?;
        line.open().await?;
        let (outlets, missing) = assign(outlets, &map);
        if outlets.is_empty() && missing.is_empty() {
            return Err(DriverError::Refused("no probe is configured for it".to_owned()));
        }
        let requests = Map::requests(outlets.iter().filter_map(|(_, key)| map.outlets.get(key)));
        Ok(Self { line, unit: config.unit, map, outlets, missing, requests, refused: Vec::new() })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let mut registers = Registers::new();
        let refused = &self.refused;
        let is_refused = |at: u16| refused.iter().any(|(refused, _)| *refused == at);
        let mut newly_refused = Vec::new();
        for &(address, count) in self.requests.iter().filter(|(at, _)| !is_refused(*at)) {
            let request = Request { unit: self.unit, function: self.map.function, address, count };
            match self.line.ask(request).await? {
                Answer::Registers(words) => registers.extend(addressed(address, words)),
                // The meter knows no such register or function: no use to ask again.
                Answer::Exception(code @ 1..=3) => newly_refused.push((address, code)),
                Answer::Exception(code) => {
                    let said = self.said(address, code);
                    return Err(if code == 10 || code == 11 {
                        DriverError::link(said)
                    } else {
                        DriverError::Busy(said)
                    });
                }
            }
        }
        self.refused.append(&mut newly_refused);
        if let (true, Some((at, code))) = (registers.is_empty(), self.refused.first()) {
            let said = self.said(*at, *code);
            return Err(DriverError::Refused(format!("{said}; is {:?} the right map?", self.map.name)));
        }
        for (probe, key) in &self.missing {
            readings.push(probe, Err(NoReading::NoSuchOutlet(key.clone())));
        }
        for (probe, key) in &self.outlets {
            let Some(outlet) = self.map.outlets.get(key) else { continue };
            readings.push(probe, outlet.read(&registers, self.map.word_order));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let map = Finding {
            what: "register map".to_owned(),
            value: self.map.name.clone(),
            is_used: true,
            why: format!("unit {} of {}", self.unit, self.line.address()),
        };
        let requests = self.requests.iter().map(|(at, count)| {
            let refused = self.refused.iter().find(|(refused, _)| refused == at);
            Finding {
                what: format!("registers 0x{at:04X}–0x{:04X}", at.saturating_add(count.saturating_sub(1))),
                value: refused.map_or("answered", |(_, code)| codec::exception(*code)).to_owned(),
                is_used: refused.is_none(),
                why: if refused.is_some() { "not asked for again" } else { "" }.to_owned(),
            }
        });
        std::iter::once(map).chain(requests).collect()
    }
}

impl Modbus {
    fn said(&self, at: u16, code: u8) -> String {
        format!(
            "{}: unit {}, registers 0x{at:04X} and on: exception {code}, {}",
            self.line.address(),
            self.unit,
            codec::exception(code)
        )
    }
}

fn address(config: &Config, map: &Map) -> Result<Address, DriverError> {
    let refused = |why: &str| Err(DriverError::Refused(why.to_owned()));
    match (&config.host, &config.device) {
        (Some(host), None) => {
            // Modbus' port (*Messaging on TCP/IP* 4.3.1.1).
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let host = if has_port { host.clone() } else { format!("{host}:502") };
            Ok(Address::Tcp { host, is_rtu: config.framing == Framing::Rtu })
        }
        (None, Some(device)) => {
            let mut settings = map.serial;
            settings.baud = config.baud.unwrap_or(settings.baud);
            settings.parity = config.parity.unwrap_or(settings.parity);
            settings.stop_bits = config.stop_bits.unwrap_or(settings.stop_bits);
            if !matches!(settings.stop_bits, 1 | 2) {
                return refused("stop_bits is 1 or 2");
            }
            if !(300..=4_000_000).contains(&settings.baud) {
                return refused("baud is 300 to 4000000");
            }
            Ok(Address::Serial { device: device.clone(), settings })
        }
        (Some(_), Some(_)) => refused("host and device are both set; a meter is on one of them"),
        (None, None) => refused("set host (a gateway) or device (a serial line)"),
    }
}

/// Probes with the key of their outlet, and those that the map lacks, each with why.
type Assigned = (Vec<(ProbeId, String)>, Vec<(ProbeId, String)>);

/// Which probe is which outlet of the map. A single probe by position is the whole meter.
fn assign(outlets: &Outlets, map: &Map) -> Assigned {
    let total = "total".to_owned();
    if let ([only], true) = (outlets.named(), map.outlets.contains_key(&total))
        && !map.outlets.contains_key(&only.key)
        && only.key == "1"
    {
        return (vec![(only.probe.clone(), total)], Vec::new());
    }
    let found = map.outlets.keys().filter_map(|key| Some((outlets.probe(key, None)?, key.clone()))).collect();
    let keys: Vec<_> = map.outlets.keys().collect();
    let missing = outlets.named().iter().filter(|outlet| !map.outlets.contains_key(&outlet.key));
    let missing =
        missing.map(|outlet| (outlet.probe.clone(), format!("{:?}; the map has {keys:?}", outlet.key)));
    (found, missing.collect())
}

#[cfg(test)]
mod tests;
