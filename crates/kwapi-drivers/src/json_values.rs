//! Values in a JSON document, found where the operator says: shared by the drivers whose devices have no manual of
//! their own (`mqtt`, `http_json`).
//!
//! A place is a JSON pointer (RFC 6901): `/ENERGY/Power`, `/meters/0/power`; empty for a document that is the number
//! itself. `{outlet}` in it stands for the outlet's key.

use kwapi_core::{Amperes, NoReading, Reading, Timestamp, Volts};
use serde::Deserialize;
use serde_json::Value;

use crate::driver::DriverError;
use crate::value::{self, Decimals, EnergyUnit, PowerUnit};

/// `values = { power = "/power", energy = "/total", energy_unit = "Wh", time = "/ts" }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Where active power is.
    pub power: Option<String>,
    /// Its unit.
    #[serde(default)]
    pub power_unit: PowerUnit,
    /// Where volts are.
    pub voltage: Option<String>,
    /// Where amperes are.
    pub current: Option<String>,
    /// Where the device's own energy counter is.
    pub energy: Option<String>,
    /// Its unit.
    #[serde(default)]
    pub energy_unit: EnergyUnit,
    /// Where the counter's last reset is: a stamp as for `time`.
    pub energy_reset: Option<String>,
    /// When it was measured: Unix seconds, milliseconds or microseconds, or RFC 3339 with its zone.
    pub time: Option<String>,
}

impl Values {
    /// Checks what can be checked before a document comes.
    ///
    /// # Errors
    /// [`DriverError::Refused`] for a place that is no pointer, and when neither power nor energy has one.
    pub(crate) fn check(&self) -> Result<(), DriverError> {
        if self.power.is_none() && self.energy.is_none() {
            return Err(DriverError::Refused("values: set power or energy, or both".to_owned()));
        }
        let places =
            [&self.power, &self.voltage, &self.current, &self.energy, &self.energy_reset, &self.time];
        match places.into_iter().flatten().find(|place| !place.is_empty() && !place.starts_with('/')) {
            Some(place) => Err(DriverError::Refused(format!(
                "values: {place:?} is no JSON pointer; write /a/b for {{\"a\": {{\"b\": …}}}}"
            ))),
            None => Ok(()),
        }
    }

    /// Whether power and energy of different outlets are at different places.
    pub(crate) fn tell_outlets_apart(&self) -> bool {
        [&self.power, &self.energy].into_iter().flatten().all(|place| place.contains("{outlet}"))
    }

    /// What `document` says of one outlet.
    ///
    /// # Errors
    /// When neither power nor energy is there, or one of them makes no sense.
    pub(crate) fn read(
        &self,
        document: &Value,
        outlet: &str,
        decimals: &mut Decimals,
    ) -> Result<Reading, NoReading> {
        let at = |place: &Option<String>| {
            document
                .pointer(&place.as_ref()?.replace("{outlet}", &escape(outlet)))
                .filter(|value| !value.is_null())
        };
        let number_at = |place: &Option<String>| match at(place) {
            Some(value) => number(value).map(Some).ok_or_else(|| {
                let shown: String = value.to_string().chars().take(40).collect();
                NoReading::Implausible(format!("{shown} at {:?}", place.as_deref().unwrap_or_default()))
            }),
            None => Ok(None),
        };
        let power = match number_at(&self.power)? {
            Some(watts) => Some(value::power(watts, self.power_unit)?),
            None => None,
        };
        let counter = match (number_at(&self.energy)?, at(&self.energy)) {
            (Some(count), Some(printed)) => {
                let resolution = decimals.resolution(printed.to_string().trim_matches('"'));
                let mut counter = value::counter(count, resolution, self.energy_unit)?;
                counter.reset_at = at(&self.energy_reset).and_then(stamp);
                Some(counter)
            }
            _ => None,
        };
        if power.is_none() && counter.is_none() {
            let places = [&self.power, &self.energy].into_iter().flatten().cloned().collect::<Vec<_>>();
            return Err(NoReading::NotAvailable(format!("nothing at {}", places.join(" or "))));
        }
        let measured_at = match (&self.time, at(&self.time)) {
            (Some(place), found) => Some(found.and_then(stamp).ok_or_else(|| {
                let shown = found.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let shown: String = shown.chars().take(40).collect();
                NoReading::Implausible(format!("{shown} at {place:?} is no time; is the device's clock set?"))
            })?),
            (None, _) => None,
        };
        Ok(Reading {
            power,
            voltage: number_at(&self.voltage)?.map(Volts),
            current: number_at(&self.current)?.map(Amperes),
            counter,
            measured_at,
            ..Reading::default()
        })
    }
}

/// An outlet's key as one step of a pointer (RFC 6901, section 3).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Numbers, and texts that are numbers.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A stamp in any of the usual forms. Seconds, milliseconds and microseconds of this century are a thousandfold
/// apart, so at most one of them fits.
fn stamp(value: &Value) -> Option<Timestamp> {
    match number(value) {
        Some(count) => [1.0, 1e-3, 1e-6].iter().find_map(|unit| value::unix_seconds(count * unit)),
        None => value::rfc3339(value.as_str()?),
    }
}

/// Reads any document as a few shapes of values would, for the fuzzer.
#[doc(hidden)]
pub fn parse_anything(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    for place in ["", "/a", "/0/{outlet}"] {
        let place = Some(place.to_owned());
        let values = Values {
            power: place.clone(),
            energy: place.clone(),
            time: place.clone(),
            energy_reset: place,
            ..Values::default()
        };
        _ = values.read(&document, "1", &mut Decimals::default());
    }
}

#[cfg(test)]
mod tests;
