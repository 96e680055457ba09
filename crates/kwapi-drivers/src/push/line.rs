//! One line: a JSON object, told in SI units.

use kwapi_core::{Amperes, Energy, MeterCounter, Quality, Reading, Timestamp, Volts, Watts};
use serde::Deserialize;

/// A counter that does not say how finely it counts is taken to count millijoules.
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

/// Reads one line as the outlet's key and what it says.
///
/// # Errors
/// What is wrong with it, for whoever sent it.
pub fn parse_line(line: &[u8]) -> Result<(String, Reading), String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let energy = |name: &str, joules: Option<f64>| match joules {
        Some(joules) => {
            Energy::from_joules(joules).map(Some).ok_or_else(|| format!("`{name}` cannot be {joules}"))
        }
        None => Ok(None),
    };
    let resolution = energy("joules_resolution", line.joules_resolution)?.unwrap_or(RESOLUTION);
    let counter =
        energy("joules_total", line.joules_total)?.map(|value| MeterCounter::new(value, resolution));
    let reading = Reading {
        power: line.watts.map(Watts),
        voltage: line.volts.map(Volts),
        current: line.amperes.map(Amperes),
        counter,
        register: None,
        measured_at: line.timestamp.map(timestamp).transpose()?,
        quality: if line.estimated { Quality::Estimated } else { Quality::Measured },
    };
    if reading.is_empty() {
        return Err("one of `watts`, `amperes` and `joules_total` is needed".to_owned());
    }
    if reading.power.is_some_and(|power| power.0 < 0.0) {
        return Err("`watts` cannot be negative".to_owned());
    }
    Ok((line.outlet.unwrap_or_else(|| "1".to_owned()), reading))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked just above")]
fn timestamp(seconds: f64) -> Result<Timestamp, String> {
    if !(0.0..TIMESTAMP_MAX).contains(&seconds) {
        return Err(format!("`timestamp` is in Unix seconds, and cannot be {seconds}"));
    }
    Ok(Timestamp::from_micros((seconds * 1e6).round() as u64))
}
