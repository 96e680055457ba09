//! Watts up? PRO and .NET plug-in meters, on a USB serial line.
//!
//! One meter, one probe. Once configured to log externally, the meter pushes a record a second, in units of 0.1 W, 0.1 V,
//! 0.001 A and 0.1 Wh.
//!
//! Source: *Watts Up? Communications Protocol*, 2009-08-24, commands `L` and `D`; field order as in pyrovski's
//! `watts-up/util.c`.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use kwapi_core::{Amperes, Energy, MeterCounter, ProbeId, Reading, Volts, Watts};
use serde::Deserialize;
use serial2_tokio::SerialPort;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::config::{ConfigError, DriverKey, Names};
use crate::device;
use crate::driver::{Cadence, Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;

/// Eighteen fields of at most ten digits fit; anything longer is line noise, and is dropped up to here.
const RECORD_BYTES_MAX: u64 = 256;
/// As much of a bad record as an error repeats.
const INPUT_CHARS_MAX: usize = 100;
/// 8N1, the only setting there is (protocol, "Communications").
const BAUD: u32 = 115_200;
/// External logging, every second (command `L`). Kwapi first sent `#R,W,0;`, which erases the owner's own log.
const LOG_EVERY_SECOND: &[u8] = b"#L,W,3,E,,1;";
/// One unit of the Wh field, 0.1 Wh.
const TENTH_WATT_HOUR: Energy = Energy::from_millijoules(360_000);

/// `driver = "wattsup"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WattsupConfig {
    /// Serial device. Prefer `/dev/serial/by-id/…`: `ttyUSB0` moves on replug.
    pub device: String,
}

/// A meter in external logging mode.
#[derive(Debug)]
pub struct WattsUp {
    port: BufReader<SerialPort>,
    probe: ProbeId,
    /// Whether a record has begun since the line was opened: what comes before is the tail of an older one.
    in_step: bool,
    last: Option<Reading>,
}

impl Driver for WattsUp {
    const NAME: &'static str = "wattsup";
    const SUMMARY: &'static str = "Watts up? PRO and .NET plug-in meters, over USB serial";
    const CADENCE: Cadence = Cadence::Pushed;
    const KEYS: &'static [DriverKey] =
        &[DriverKey::required("device", "serial device; /dev/serial/by-id/… survives a replug")
            .naming(Names::Device)];
    type Config = WattsupConfig;
    type Shared = ();

    fn check_outlets(_: &WattsupConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.only().map(drop)
    }

    async fn open(config: &WattsupConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let probe = outlets.only()?;
        let port = SerialPort::open(&config.device, BAUD)
            .map_err(|error| device::cannot_open(Path::new(&config.device), "meter", &error))?;
        port.write_all(LOG_EVERY_SECOND).await?;
        Ok(Self { port: BufReader::new(port), probe, in_step: false, last: None })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let mut record = Vec::new();
        (&mut self.port).take(RECORD_BYTES_MAX).read_until(b';', &mut record).await?;
        let is_cut = !record.ends_with(b";") && (record.len() as u64) < RECORD_BYTES_MAX;
        if is_cut {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "meter disconnected").into());
        }
        if !self.in_step && !record.contains(&b'#') {
            return Ok(());
        }
        self.in_step = true;
        if let Some(reading) = parse_record(&record)? {
            self.last = Some(reading.clone());
            readings.push(&self.probe, Ok(reading));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let Some(last) = &self.last else { return Vec::new() };
        let counter =
            last.counter.map_or_else(|| "0".to_owned(), |counter| format!("{} J", counter.value.joules()));
        let power = last.power.map_or_else(|| "masked".to_owned(), |power| power.to_string());
        let finding = |what: &str, value, is_used, why: &str| Finding {
            what: what.to_owned(),
            value,
            is_used,
            why: why.to_owned(),
        };
        vec![
            finding("record field W", power, last.power.is_some(), "active power, measured by the meter"),
            finding(
                "record field Wh",
                counter,
                last.counter.is_some(),
                "the meter's own counter; ignored while it is 0",
            ),
        ]
    }
}

/// Reads `#d,-,18,W,V,A,Wh,…;`, after whatever line noise comes before its `#`. Other records (version, header)
/// carry no reading.
///
/// # Errors
/// [`DriverError::Malformed`], with as much of the record as fits a log line.
pub(crate) fn parse_record(record: &[u8]) -> Result<Option<Reading>, DriverError> {
    let input = String::from_utf8_lossy(record);
    let malformed =
        || DriverError::Malformed { what: "record", input: input.chars().take(INPUT_CHARS_MAX).collect() };

    let (_, record) = input.rsplit_once('#').ok_or_else(malformed)?;
    let record = record.strip_suffix(';').ok_or_else(malformed)?;
    let Some(fields) = record.strip_prefix("d,-,") else { return Ok(None) };
    let mut fields = fields.split(',').skip(1); // How many follow; models differ.
    let mut next = || match fields.next() {
        Some("_") => Ok(None), // The meter is configured not to report this field.
        field => match field.map(str::parse::<u32>) {
            Some(Ok(count)) => Ok(Some(count)),
            Some(Err(_)) | None => Err(malformed()),
        },
    };
    let power = next()?.map(|tenths| Watts(f64::from(tenths) / 10.0));
    let voltage = next()?.map(|tenths| Volts(f64::from(tenths) / 10.0));
    let current = next()?.map(|thousandths| Amperes(f64::from(thousandths) / 1000.0));
    // Meters that do not count report 0, and one that does reports 0 for the first 0.1 Wh only.
    let counter = next().ok().flatten().filter(|tenths| *tenths > 0).map(|tenths| {
        let value = Energy::from_millijoules(u64::from(tenths) * TENTH_WATT_HOUR.millijoules());
        MeterCounter::new(value, TENTH_WATT_HOUR)
    });
    Ok(Some(Reading { power, voltage, current, counter, ..Reading::default() }))
}

#[cfg(test)]
mod tests;
