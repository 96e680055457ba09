//! Electricity meters with an optical interface, through a reading head on a serial line: SML, as German meters send it by
//! themselves, and the text telegrams of IEC 62056-21, sent by themselves or on request.
//!
//! Which of both comes is found out. A meter that shows whole kilowatt-hours only reports its power once its extended
//! data set is switched on (`Inf on`, with the PIN of the grid operator).
//!
//! Source: `obis/sml.rs`, `obis/text.rs`.

mod request;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::obis::{Expects, LineBuffer, PortConfig, TelegramLine, TelegramMeter, check_outlets};
use crate::outlets::Outlets;

/// German meters: 8N1 (BSI TR-03109-1, Anlage IV b, 8).
const BAUD: u32 = 9_600;
const ADVICE: &str = "check the head's position on the meter's diode (cable down); for a meter that does not send by \
                      itself set request_seconds";
/// A request takes up to a minute at 300 bits a second.
const REQUEST_SECONDS: std::ops::RangeInclusive<f64> = 1.0..=3_600.0;
/// Between requests a sign of life is given.
const REST: Duration = Duration::from_secs(2);

/// `driver = "sml"`. Outlets are `total` (also `1`), `L1`, `L2`, `L3`, `export`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmlConfig {
    /// Serial device of the reading head.
    pub device: Option<PathBuf>,
    /// A network converter, `HOST:PORT`.
    pub host: Option<String>,
    /// Speed of the serial line, in bits a second, of a meter that sends by itself.
    #[serde(default = "default_baud")]
    pub baud: u32,
    /// How often a meter is polled that does not send by itself (IEC 62056-21, modes A to C), in seconds.
    pub request_seconds: Option<f64>,
}

fn default_baud() -> u32 {
    BAUD
}

impl SmlConfig {
    fn port(&self) -> Result<PortConfig, ConfigError> {
        if self.request_seconds.is_some_and(|seconds| !REQUEST_SECONDS.contains(&seconds)) {
            return Err(ConfigError::of("request_seconds", "must be 1 to 3600"));
        }
        PortConfig::of(self.device.as_ref(), self.host.as_ref(), self.baud)
    }
}

/// A meter under its reading head.
#[derive(Debug)]
pub struct Sml {
    line: TelegramLine,
    meter: TelegramMeter,
    polling: Option<Polling>,
}

/// When a meter is polled next.
#[derive(Debug)]
struct Polling {
    every: Duration,
    next: Instant,
}

impl Driver for Sml {
    const NAME: &'static str = "sml";
    const SUMMARY: &'static str =
        "meters under an optical head: SML and IEC 62056-21, over serial or a converter";
    const CADENCE: Cadence = Cadence::Pushed;
    const KEYS: &'static [DriverKey] = &[
        DriverKey::new("device", "serial line; either this or host").naming(Names::Device),
        DriverKey::new("host", "HOST:PORT of a converter that forwards the bytes"),
        DriverKey::new("baud", "speed of the serial line, of a meter that sends by itself")
            .in_unit("bit/s")
            .or("9600"),
        DriverKey::new("request_seconds", "interval of requests, for a meter that does not send by itself")
            .in_unit("s"),
    ];
    type Config = SmlConfig;
    type Shared = ();

    fn check(config: &SmlConfig) -> Result<(), ConfigError> {
        config.port().map(drop)
    }

    fn check_outlets(_: &SmlConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        check_outlets(outlets)
    }

    async fn open(config: &SmlConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let port = config.port()?;
        let every = config.request_seconds.map(Duration::from_secs_f64);
        Ok(Self {
            meter: TelegramMeter::new(outlets)?,
            line: TelegramLine::open(&port, LineBuffer::new(Expects::Any, None), ADVICE).await?,
            polling: every.map(|every| Polling { every, next: Instant::now() }),
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if let Some(polling) = &mut self.polling {
            let wait = polling.next.saturating_duration_since(Instant::now());
            sleep(wait.min(REST)).await;
            if wait > REST {
                return Ok(());
            }
            polling.next = Instant::now() + polling.every;
            let registers = request::exchange(&mut self.line).await?;
            self.meter.take(registers, readings);
            return Ok(());
        }
        if let Some(telegram) = self.line.telegram().await? {
            self.meter.take(telegram.registers, readings);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        self.meter.findings()
    }
}

#[cfg(test)]
mod tests;
