//! The customer port of smart meters in the Netherlands, Belgium, Luxembourg, Sweden and elsewhere (DSMR P1): a telegram of text
//! every 1 or 10 s, over a serial cable or a network converter.
//!
//! Import is one register, whatever the tariffs; export is an outlet of its own. Telegrams are checked by their checksum;
//! those of DSMR 2.2 and 3, which have none, by their parity. Encrypted ones are opened by the meter's key.
//!
//! Source: *Dutch Smart Meter Requirements, P1 Companion Standard* 2.2 to 5.0.2; Fluvius *e-MUCS P1* 1.7; Swedish energy
//! industry, *Branschrekommendation för lokalt kundgränssnitt*.

use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::Secret;
use serde::Deserialize;

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::obis::encrypted::TelegramKeys;
use crate::obis::{Expects, LineBuffer, PortConfig, TelegramLine, TelegramMeter, check_outlets};
use crate::outlets::Outlets;

/// DSMR 4 and 5: 8N1 (companion standard 5.1). DSMR 2.2 and 3 have 9 600.
const BAUD: u32 = 115_200;
const ADVICE: &str = "check that the cable raises the port's request line and that the port is enabled";

/// `driver = "p1"`. Outlets are `total` (also `1`), `L1`, `L2`, `L3`, `export`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P1Config {
    /// Serial device. Prefer `/dev/serial/by-id/…`: `ttyUSB0` moves on replug.
    pub device: Option<PathBuf>,
    /// A network converter, `HOST:PORT`.
    pub host: Option<String>,
    /// Speed of the serial line, in bits a second.
    #[serde(default = "default_baud")]
    pub baud: u32,
    /// The key of a meter that encrypts, 32 hexadecimal digits; its grid operator has it.
    pub encryption_key: Option<Secret>,
    /// The key that its telegrams are authenticated with, likewise; Luxembourg's is public and need not be given.
    pub authentication_key: Option<Secret>,
}

fn default_baud() -> u32 {
    BAUD
}

impl P1Config {
    fn port(&self) -> Result<PortConfig, ConfigError> {
        PortConfig::of(self.device.as_ref(), self.host.as_ref(), self.baud)
    }

    fn keys(&self) -> Result<Option<TelegramKeys>, ConfigError> {
        TelegramKeys::of(self.encryption_key.as_ref(), self.authentication_key.as_ref())
    }
}

/// A meter at its port.
#[derive(Debug)]
pub struct P1 {
    line: TelegramLine,
    meter: TelegramMeter,
}

impl Driver for P1 {
    const NAME: &'static str = "p1";
    const SUMMARY: &'static str =
        "smart meters with a P1 port (DSMR; NL, BE, LU, SE, …), over serial or a converter";
    const CADENCE: Cadence = Cadence::Pushed;
    const KEYS: &'static [DriverKey] = &[
        DriverKey::new("device", "serial line; either this or host").naming(Names::Device),
        DriverKey::new("host", "HOST:PORT of a converter that forwards the bytes"),
        DriverKey::new("baud", "speed of the serial line").in_unit("bit/s").or("115200"),
        DriverKey::new("encryption_key", "key of a meter that encrypts, 32 hexadecimal digits").secret(),
        DriverKey::new(
            "authentication_key",
            "key that telegrams are authenticated with, 32 hexadecimal digits",
        )
        .secret()
        .otherwise("Luxembourg's, which is public"),
    ];
    type Config = P1Config;
    type Shared = ();

    fn check(config: &P1Config) -> Result<(), ConfigError> {
        config.keys()?;
        config.port().map(drop)
    }

    fn check_outlets(_: &P1Config, outlets: &Outlets) -> Result<(), ConfigError> {
        check_outlets(outlets)
    }

    async fn open(config: &P1Config, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let port = config.port()?;
        Ok(Self {
            meter: TelegramMeter::new(outlets)?,
            line: TelegramLine::open(&port, LineBuffer::new(Expects::P1, config.keys()?), ADVICE).await?,
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if let Some(telegram) = self.line.telegram().await? {
            self.meter.take(telegram.registers, readings);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        self.meter.findings()
    }
}
