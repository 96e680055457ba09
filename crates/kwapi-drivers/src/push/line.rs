//! One line: a JSON object, in SI units.

use kwapi_core::{Amperes, Energy, MeterCounter, Quality, Reading, Timestamp, Volts};
use serde::Deserialize;

use crate::parts::drawn;

/// A counter that does not state how finely it counts is taken to count millijoules.
const RESOLUTION: Energy = Energy::from_millijoules(1);
/// Stamps beyond this (the year 9999) are not seconds.
const TIMESTAMP_MAX: f64 = 253_402_300_800.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    outlet: Option<String>,
    #[serde(default)]
    watts: Option<f64>,
    #[serde(default)]
    volts: Option<f64>,
    #[serde(default)]
    amperes: Option<f64>,
    #[serde(default)]
    joules_total: Option<f64>,
    #[serde(default)]
    joules_resolution: Option<f64>,
    #[serde(default)]
    timestamp: Option<f64>,
    #[serde(default)]
    estimated: bool,
}

/// Reads one line as the outlet's key and what it holds.
///
/// # Errors
/// What is wrong with it, for whoever sent it.
pub(crate) fn parse_line(line: &[u8]) -> Result<(String, Reading), String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let energy = |name: &str, joules: Option<f64>| match joules {
        Some(joules) => {
            Energy::from_joules(joules).map(Some).ok_or_else(|| format!("`{name}` must not be {joules}"))
        }
        None => Ok(None),
    };
    let resolution = energy("joules_resolution", line.joules_resolution)?.unwrap_or(RESOLUTION);
    let counter =
        energy("joules_total", line.joules_total)?.map(|value| MeterCounter::new(value, resolution));
    let power = line.watts.map(|watts| drawn(watts, counter.as_ref()).map_err(|_| watts)).transpose();
    let power = power.map_err(|watts| match watts {
        ..0.0 => "`watts` must not be negative without an import counter in `joules_total`".to_owned(),
        watts => format!("`watts` must not be {watts}"),
    })?;
    let reading = Reading {
        power,
        voltage: line.volts.map(Volts),
        current: line.amperes.map(Amperes),
        counter,
        measured_at: line.timestamp.map(timestamp).transpose()?,
        quality: if line.estimated { Quality::Estimated } else { Quality::Measured },
        ..Reading::default()
    };
    if reading.is_empty() {
        return Err("one of `watts`, `amperes` and `joules_total` is required".to_owned());
    }
    Ok((line.outlet.unwrap_or_else(|| "1".to_owned()), reading))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked just above")]
fn timestamp(seconds: f64) -> Result<Timestamp, String> {
    if !(0.0..TIMESTAMP_MAX).contains(&seconds) {
        return Err(format!("`timestamp` must be in Unix seconds, not {seconds}"));
    }
    Ok(Timestamp::from_micros((seconds * 1e6).round() as u64))
}
