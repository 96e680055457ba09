//! `driver = "modbus"`: which meter, on which line, by which map.

use std::path::PathBuf;

use serde::Deserialize;

use super::line::LineAddress;
use super::map::{Map, Parity};
use crate::config::ConfigError;

/// `driver = "modbus"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusConfig {
    /// A gateway or meter: `gw1` or `gw1:502`. Either this or `device`.
    pub host: Option<String>,
    /// A serial line. Prefer `/dev/serial/by-id/…`: `ttyUSB0` moves on replug.
    pub device: Option<PathBuf>,
    /// The meter's address behind the gateway or on the line, 1 to 247; 0 and 255 too on Modbus TCP, for a meter that is
    /// addressed by its IP address alone (*Messaging on TCP/IP* 4.4.1.2).
    #[serde(default = "default_unit")]
    pub unit: u8,
    /// The register map: `eastron-sdm630`.
    pub map: String,
    /// A directory of maps of one's own, looked into before ours.
    pub maps: Option<PathBuf>,
    /// How a gateway frames: `tcp`, or `rtu` for a plain converter of serial line to network.
    #[serde(default)]
    pub framing: Framing,
    /// Bits a second on the line, if not as in the map.
    pub baud: Option<u32>,
    /// The check of each character, if not as in the map.
    pub parity: Option<Parity>,
    /// 1 or 2, if not as in the map.
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

/// Checks the meter's address for the way it is reached.
pub(super) fn check_unit(config: &ModbusConfig) -> Result<(), ConfigError> {
    let is_tcp = config.host.is_some() && config.framing == Framing::Tcp;
    match config.unit {
        1..=247 => Ok(()),
        0 | 255 if is_tcp => Ok(()),
        unit if is_tcp => {
            let why =
                format!("must be 1 to 247, or 0 or 255 for the meter at that address itself, not {unit}");
            Err(ConfigError::of("unit", why))
        }
        unit => Err(ConfigError::of("unit", format!("must be 1 to 247, not {unit}"))),
    }
}

pub(super) fn address(config: &ModbusConfig, map: &Map) -> Result<LineAddress, ConfigError> {
    match (&config.host, &config.device) {
        (Some(host), None) => {
            // Modbus' port (*Messaging on TCP/IP* 4.3.1.1).
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let host = if has_port { host.clone() } else { format!("{host}:502") };
            Ok(LineAddress::Tcp { host, is_rtu: config.framing == Framing::Rtu })
        }
        (None, Some(device)) => {
            let mut settings = map.serial;
            settings.baud = config.baud.unwrap_or(settings.baud);
            settings.parity = config.parity.unwrap_or(settings.parity);
            settings.stop_bits = config.stop_bits.unwrap_or(settings.stop_bits);
            if !matches!(settings.stop_bits, 1 | 2) {
                return Err(ConfigError::of("stop_bits", "must be 1 or 2"));
            }
            if !(300..=4_000_000).contains(&settings.baud) {
                return Err(ConfigError::of("baud", "must be 300 to 4000000"));
            }
            Ok(LineAddress::Serial { device: device.clone(), settings })
        }
        (Some(_), Some(_)) => {
            Err(ConfigError::of("device", "host and device are mutually exclusive; remove one of them"))
        }
        (None, None) => Err(ConfigError::new("set host (a gateway) or device (a serial line)")),
    }
}
