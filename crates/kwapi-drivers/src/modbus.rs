//! Energy meters that implement Modbus, on TCP or on a serial line; which registers they keep what in is a map.
//!
//! Several meters behind one gateway or on one line share its connection, which carries one request at a time.
//!
//! Source: `modbus/codec.rs` for the protocol, the head of each map for the meter.

pub(crate) mod codec;
mod config;
mod identify;
mod line;
pub mod map;
mod sunspec;

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Register};
use tokio::time::Instant;

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::Notes;
use codec::{ModbusRequest, ModbusResponse};
pub use config::{Framing, ModbusConfig};
use config::{address, check_unit};
#[cfg(feature = "fuzzing")]
pub(crate) use identify::parse_identification;
pub use identify::{ModbusIdentity, identify};
pub use line::Lines;
use line::{ModbusLine, Reply};
use map::{Block, Map, RegisterValues, addressed};

/// Registers that the meter refuses are requested again after this: the exceptions that mean that it has no such
/// registers also come while it starts, "in the wrong state to process a request" (*Application Protocol* 7).
const REFUSAL_PAUSE: Duration = Duration::from_secs(60);

/// One meter on its line.
#[derive(Debug)]
pub struct Modbus {
    line: Arc<ModbusLine>,
    unit: u8,
    map: Map,
    outlets: Vec<Measured>,
    missing: Vec<(ProbeId, String)>,
    requests: Vec<BlockRequest>,
    /// Whether this session has seen any register.
    has_answered: bool,
}

/// A probe and its outlet in the map.
#[derive(Debug)]
struct Measured {
    probe: ProbeId,
    key: String,
    /// What its counter is known by.
    register: Arc<Register>,
    notes: Notes,
}

/// A request of each round.
#[derive(Debug)]
struct BlockRequest {
    block: Block,
    /// Why it is left out for a while, and since when.
    refusal: Option<(Refusal, Instant)>,
}

impl BlockRequest {
    fn is_due(&self) -> bool {
        self.refusal.as_ref().is_none_or(|(_, since)| since.elapsed() >= REFUSAL_PAUSE)
    }
}

/// How a meter leaves registers out.
#[derive(Clone, Debug)]
enum Refusal {
    Exception(u8),
    /// It does not answer, though it answers other requests.
    Silence,
}

impl Refusal {
    fn text(&self) -> &'static str {
        match self {
            Self::Exception(code) => codec::exception(*code),
            Self::Silence => "no response",
        }
    }
}

impl Driver for Modbus {
    const NAME: &'static str = "modbus";
    const SUMMARY: &'static str = "energy meters over Modbus TCP and RTU: ABB, Carlo Gavazzi, Chint, Eastron, Janitza, PZEM, Schneider, Siemens, \
         Socomec, SunSpec, custom register maps";
    const KEYS: &'static [DriverKey] = &[
        DriverKey::new("host", "gateway or meter, HOST[:PORT]; either this or device"),
        DriverKey::new("device", "serial line; /dev/serial/by-id/… survives a replug").naming(Names::Device),
        DriverKey::new("unit", "the meter's address, 1 to 247; on Modbus TCP also 0 or 255").or("1"),
        DriverKey::required("map", "which registers: one of the maps there are, or one of your own"),
        DriverKey::new("maps", "directory of your own maps, looked into first")
            .naming(Names::Definitions { chosen_by: "map" }),
        DriverKey::new("framing", "tcp, or rtu for a plain serial-to-network converter").or("tcp"),
        DriverKey::new("baud", "bits a second on the line").in_unit("bit/s").otherwise("as in the map"),
        DriverKey::new("parity", "none, even or odd").otherwise("as in the map"),
        DriverKey::new("stop_bits", "1 or 2").otherwise("as in the map"),
    ];
    type Config = ModbusConfig;
    type Shared = Lines;

    fn check(config: &ModbusConfig) -> Result<(), ConfigError> {
        check_unit(config)?;
        let map = Map::load(&config.map, config.maps.as_deref())?;
        address(config, &map).map(drop)
    }

    fn check_outlets(config: &ModbusConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        let map = Map::load(&config.map, config.maps.as_deref())?;
        match assign(outlets, &map).1.first() {
            Some((_, missing)) => Err(ConfigError::of("probes", format!("no outlet {missing}"))),
            None => Ok(()),
        }
    }

    fn definitions(config: &ModbusConfig) -> Result<String, ConfigError> {
        Map::load(&config.map, config.maps.as_deref()).map(|map| format!("{map:?}"))
    }

    async fn open(config: &ModbusConfig, outlets: &Outlets, lines: &Arc<Lines>) -> Result<Self, DriverError> {
        check_unit(config)?;
        let map = Map::load(&config.map, config.maps.as_deref())?;
        let line = lines.line(&address(config, &map)?)?;
        line.open().await?;
        let mut serial = None;
        let map = if map.sunspec.is_empty() {
            map
        } else {
            let found = sunspec::find(&line, config.unit, &map.sunspec).await?;
            let base = found.base;
            serial = found.serial;
            let beyond = || DriverError::Refused(format!("{}: a model at register {base}", line.address()));
            map.moved(base).ok_or_else(beyond)?
        };
        let (outlets, missing) = assign(outlets, &map);
        if outlets.is_empty() && missing.is_empty() {
            return Err(DriverError::Refused("no probe configured".to_owned()));
        }
        let measured = outlets.iter().filter_map(|(_, key)| map.outlets.get(key));
        let requests =
            map.requests(measured).into_iter().map(|block| BlockRequest { block, refusal: None }).collect();
        let outlets = outlets
            .into_iter()
            .map(|(probe, key)| {
                let (serial, path) = (serial.clone(), Some(key.clone()));
                let register = Arc::new(Register { serial, path, ..Register::default() });
                Measured { probe, key, register, notes: Notes::default() }
            })
            .collect();
        Ok(Self { line, unit: config.unit, map, outlets, missing, requests, has_answered: false })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let registers = self.registers().await?;
        for (probe, key) in &self.missing {
            readings.push(probe, Err(NoReading::NoSuchOutlet(key.clone())));
        }
        let defaults = self.map.defaults();
        for Measured { probe, key, register, notes } in &mut self.outlets {
            let Some(outlet) = self.map.outlets.get(key) else { continue };
            let reading = outlet.read(probe.as_str(), &registers, defaults, notes);
            let register = &*register;
            readings.push(
                probe,
                reading.map(|reading| Reading {
                    register: reading.counter.map(|_| register.clone()),
                    ..reading
                }),
            );
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
        let requests =
            self.requests.iter().map(|BlockRequest { block: Block { at, count, .. }, refusal }| Finding {
                what: format!("registers 0x{at:04X}–0x{:04X}", at.saturating_add(count.saturating_sub(1))),
                value: refusal.as_ref().map_or("answered", |(refusal, _)| refusal.text()).to_owned(),
                is_used: refusal.is_none(),
                why: refusal.as_ref().map_or_else(String::new, |_| {
                    format!("requested again every {} s", REFUSAL_PAUSE.as_secs())
                }),
            });
        let left_out = self.outlets.iter().flat_map(|outlet| outlet.notes.findings());
        std::iter::once(map).chain(requests).chain(left_out).collect()
    }
}

impl Modbus {
    /// Requests all registers that are due. Those that are refused are left out for a while, one by one where several
    /// numbers were requested together.
    ///
    /// # Errors
    /// When no register can be read now.
    async fn registers(&mut self) -> Result<RegisterValues, DriverError> {
        let mut registers = RegisterValues::new();
        let mut busy = None;
        let mut position = 0;
        while let Some(planned) = self.requests.get(position) {
            position += 1;
            if !planned.is_due() {
                continue;
            }
            let block = planned.block;
            let Block { function, at: address, count } = block;
            let request = ModbusRequest { unit: self.unit, function, address, count };
            let refusal = match self.line.exchange(request).await? {
                Reply::Answer(ModbusResponse::Registers(words)) => {
                    registers.extend(addressed(block, words));
                    self.has_answered = true;
                    None
                }
                Reply::Answer(ModbusResponse::Exception(code @ 1..=3)) => {
                    if self.split(block) {
                        position -= 1;
                        continue;
                    }
                    Some(Refusal::Exception(code))
                }
                Reply::Answer(ModbusResponse::Exception(code @ (10 | 11))) => {
                    return Err(DriverError::link(self.exception(address, code)));
                }
                Reply::Answer(ModbusResponse::Exception(code)) => {
                    busy = busy.or_else(|| Some(self.exception(address, code)));
                    continue;
                }
                Reply::Silence(_) if !registers.is_empty() => Some(Refusal::Silence),
                Reply::Silence(reason) => return Err(DriverError::link(reason)),
            };
            let refusal = refusal.map(|refusal| (refusal, Instant::now()));
            if let Some(planned) = self.requests.get_mut(position - 1) {
                planned.refusal = refusal;
            }
        }
        if registers.is_empty() && !self.requests.is_empty() {
            return Err(self.nothing(busy));
        }
        Ok(registers)
    }

    /// Requests each number of `block` by itself from now on; whether there are several.
    fn split(&mut self, block: Block) -> bool {
        let measured = self.outlets.iter().filter_map(|outlet| self.map.outlets.get(&outlet.key));
        let mut singles = self.map.single_requests(measured);
        let end = |block: Block| block.at.saturating_add(block.count);
        singles.retain(|single| {
            single.function == block.function && single.at >= block.at && end(*single) <= end(block)
        });
        if singles.len() < 2 {
            return false;
        }
        let place = self.requests.iter().position(|planned| planned.block == block);
        let Some(place) = place else { return false };
        self.requests
            .splice(place..=place, singles.into_iter().map(|block| BlockRequest { block, refusal: None }));
        true
    }

    /// What it means that no register could be read.
    fn nothing(&mut self, busy: Option<String>) -> DriverError {
        let mut refused = None;
        for planned in &mut self.requests {
            refused = planned.refusal.take().map(|(refusal, _)| (planned.block.at, refusal)).or(refused);
        }
        let refused = refused.map(|(at, refusal)| match refusal {
            Refusal::Exception(code) => self.exception(at, code),
            Refusal::Silence => format!("{}: unit {}: no response", self.line.address(), self.unit),
        });
        match (busy, refused) {
            (Some(reason), _) => DriverError::Busy(reason),
            // It knew its registers a moment ago: it starts again, or is being set up.
            (None, Some(reason)) if self.has_answered => DriverError::Busy(reason),
            (None, reason) => DriverError::Refused(format!(
                "{}; check that {:?} is the right map",
                reason.unwrap_or_else(|| "no register can be read".to_owned()),
                self.map.name
            )),
        }
    }

    fn exception(&self, at: u16, code: u8) -> String {
        format!(
            "{}: unit {}, registers from 0x{at:04X}: exception {code}, {}",
            self.line.address(),
            self.unit,
            codec::exception(code)
        )
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
        missing.map(|outlet| (outlet.probe.clone(), format!("{:?}; available: {keys:?}", outlet.key)));
    (found, missing.collect())
}

#[cfg(test)]
mod tests;
