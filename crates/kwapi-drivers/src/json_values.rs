//! Values in a JSON document, found where the operator configures: shared by the drivers whose devices have no manual of
//! their own (`mqtt`, `http_json`).
//!
//! A place is a JSON pointer (RFC 6901): `/ENERGY/Power`, `/meters/0/power`; empty for a document that is the number
//! itself. `{outlet}` in it stands for the outlet's key.

mod place;

use kwapi_core::{Amperes, MeterCounter, NoReading, Reading, Timestamp, Volts};
use serde::Deserialize;
use serde_json::Value;

use crate::config::ConfigError;
use crate::driver::Finding;
use crate::parts::{Notes, power_and_counter};
use crate::value::{self, Decimals, EnergyUnit, PowerUnit, Sentinel};
pub(crate) use place::Places;
use place::{number, printed_number, shown};

/// `values = { power = "/power", energy = "/total", energy_unit = "Wh", time = "/ts" }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Where active power is; of several places, their sum.
    pub power: Option<Places>,
    /// Its unit.
    #[serde(default)]
    pub power_unit: PowerUnit,
    /// What one count of it is worth in that unit: `0.1` for tenths, `-1` for a consumption reported as negative.
    pub power_scale: Option<f64>,
    /// Where volts are.
    pub voltage: Option<String>,
    /// What one count is worth in volts.
    pub voltage_scale: Option<f64>,
    /// Where amperes are.
    pub current: Option<String>,
    /// What one count is worth in amperes.
    pub current_scale: Option<f64>,
    /// Where the device's own energy counter is; of several places (two tariffs), their sum.
    pub energy: Option<Places>,
    /// Its unit.
    #[serde(default)]
    pub energy_unit: EnergyUnit,
    /// What one count of it is worth in that unit.
    pub energy_scale: Option<f64>,
    /// Where the counter's last reset is: a stamp as for `time`.
    pub energy_reset: Option<String>,
    /// When it was measured: Unix seconds, milliseconds or microseconds, or RFC 3339 with its zone.
    pub time: Option<String>,
}

/// What is remembered of one outlet from document to document.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutletMemory {
    decimals: Decimals,
    notes: Notes,
}

impl OutletMemory {
    /// The parts that are left out, and why.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        self.notes.findings()
    }
}

impl Values {
    /// In words, for findings: where each number is, in which unit and by which factor.
    pub(crate) fn describe(&self) -> String {
        let at = |name: &str, place: &str, unit: &str, scale: Option<f64>| {
            let factor = scale.map(|scale| format!(" times {scale}")).unwrap_or_default();
            format!("{name} at {place:?} in {unit}{factor}")
        };
        let sum = |places: &Places| places.iter().collect::<Vec<_>>().join(" + ");
        let (watts, joules) = (self.power_unit.symbol(), self.energy_unit.symbol());
        let parts = [
            self.power.as_ref().map(|places| at("power", &sum(places), watts, self.power_scale)),
            self.voltage.as_ref().map(|place| at("voltage", place, "V", self.voltage_scale)),
            self.current.as_ref().map(|place| at("current", place, "A", self.current_scale)),
            self.energy.as_ref().map(|places| at("energy", &sum(places), joules, self.energy_scale)),
            self.energy_reset.as_ref().map(|place| format!("its reset at {place:?}")),
            self.time.as_ref().map(|place| format!("time at {place:?}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Checks what can be checked before a document comes.
    ///
    /// # Errors
    /// For a place that is no pointer or a factor that is none, and when neither power nor energy has a place.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.power.is_none() && self.energy.is_none() {
            return Err(ConfigError::new("set power or energy, or both"));
        }
        for (name, places) in [("power", &self.power), ("energy", &self.energy)] {
            if let Some(why) = places.as_ref().and_then(Places::fault) {
                return Err(ConfigError::of(name, why));
            }
        }
        value::check_scales([
            ("power_scale", self.power_scale),
            ("voltage_scale", self.voltage_scale),
            ("current_scale", self.current_scale),
            ("energy_scale", self.energy_scale),
        ])?;
        let is_place = |place: &str| place.is_empty() || place.starts_with('/');
        match self.all_places().find(|place| !is_place(place)) {
            Some(place) => Err(ConfigError::new(format!(
                "{place:?} is not a JSON pointer; write /a/b for {{\"a\": {{\"b\": …}}}}"
            ))),
            None => Ok(()),
        }
    }

    /// Whether power and energy of different outlets are at different places.
    pub(crate) fn distinguishes_outlets(&self) -> bool {
        self.main_places().all(|place| place.contains("{outlet}"))
    }

    fn main_places(&self) -> impl Iterator<Item = &str> {
        [&self.power, &self.energy].into_iter().flatten().flat_map(Places::iter)
    }

    fn all_places(&self) -> impl Iterator<Item = &str> {
        let others = [&self.voltage, &self.current, &self.energy_reset, &self.time];
        self.main_places().chain(others.into_iter().flatten().map(String::as_str))
    }

    /// Whether a document has anything, be it `null`, where power or energy are.
    pub(crate) fn is_about_power(&self, document: &Value, outlet: &str) -> bool {
        self.main_places().any(|place| document.pointer(&filled_in(place, outlet)).is_some())
    }

    /// What `document` holds of one outlet, which is `name` in the log. A part that makes no sense is left out and noted.
    ///
    /// # Errors
    /// When neither power nor energy is there or makes sense, and when the time of measuring is not given.
    pub(crate) fn read(
        &self,
        name: &str,
        document: &Value,
        outlet: &str,
        memory: &mut OutletMemory,
    ) -> Result<Reading, NoReading> {
        let OutletMemory { decimals, notes } = memory;
        let at = |place: &str| document.pointer(&filled_in(place, outlet)).filter(|value| !value.is_null());
        let watts = self.power.as_ref().and_then(|places| sum(places, &Sentinel::WRITTEN, at)).map(|sum| {
            sum.map(|(watts, _)| self.power_unit.to_watts(watts * self.power_scale.unwrap_or(1.0)))
        });
        let counted = self.energy.as_ref().and_then(|places| sum(places, &Sentinel::WRITTEN_COUNTER, at));
        let counter = counted.map(|sum| {
            let (count, printed) = sum?;
            let scale = self.energy_scale.unwrap_or(1.0);
            let tick = printed.iter().map(|printed| decimals.resolution(printed)).fold(0.0, f64::max);
            let tick = tick * printed.len() as f64;
            let mut counter = value::counter(count * scale, tick * scale.abs(), self.energy_unit)?;
            counter.reset_at = self.energy_reset.as_ref().and_then(|place| at(place)).and_then(stamp);
            Ok::<MeterCounter, NoReading>(counter)
        });
        let absent = || {
            let places: Vec<&str> = self.main_places().collect();
            NoReading::NotAvailable(format!("no value at {}", places.join(" or ")))
        };
        let (power, counter) = power_and_counter(name, watts, counter, absent, notes)?;
        let measured_at = match &self.time {
            Some(place) => {
                let found = at(place);
                Some(found.and_then(stamp).ok_or_else(|| {
                    let shown = found.map_or_else(|| "nothing".to_owned(), shown);
                    NoReading::Implausible(format!(
                        "{shown} at {place:?} is not a valid time; check the device's clock"
                    ))
                })?)
            }
            None => None,
        };
        let mut neighbour = |part: &str, place: &Option<String>, scale: Option<f64>| {
            let (place, found) = place.as_ref().and_then(|place| Some((place, at(place)?)))?;
            let count = number(found);
            match count {
                Some(_) => notes.clear(name, part),
                None => notes.add(name, part, format!("{} at {place:?} is not a number", shown(found))),
            }
            Some(count? * scale.unwrap_or(1.0))
        };
        Ok(Reading {
            power,
            voltage: neighbour("voltage", &self.voltage, self.voltage_scale).map(Volts),
            current: neighbour("current", &self.current, self.current_scale).map(Amperes),
            counter,
            measured_at,
            ..Reading::default()
        })
    }
}

/// The sum of what is at all `places`, with each number as it is printed; `None` where one of them is absent, since a
/// sum without a part would fall. None may be the end of one of `fields`.
fn sum<'a>(
    places: &Places,
    fields: &[Sentinel],
    at: impl Fn(&str) -> Option<&'a Value>,
) -> Option<Result<(f64, Vec<String>), NoReading>> {
    let found: Vec<(&str, &Value)> =
        places.iter().map(|place| Some((place, at(place)?))).collect::<Option<_>>()?;
    let read = |(place, value): (&str, &Value)| {
        let found = printed_number(value)
            .ok_or_else(|| NoReading::Implausible(format!("{} at {place:?}", shown(value))))?;
        value::written(found.0, fields)?;
        Ok(found)
    };
    let numbers: Result<Vec<(f64, String)>, NoReading> = found.into_iter().map(read).collect();
    Some(numbers.map(|numbers| {
        numbers.into_iter().fold((0.0, Vec::new()), |(sum, mut all), (number, printed)| {
            all.push(printed);
            (sum + number, all)
        })
    }))
}

/// A place with the outlet's key as one step of its pointer (RFC 6901, section 3).
fn filled_in(place: &str, key: &str) -> String {
    place.replace("{outlet}", &key.replace('~', "~0").replace('/', "~1"))
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
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn parse_anything(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return };
    for place in ["", "/a", "/0/{outlet}"] {
        let place = Some(place.to_owned());
        let places = place.clone().map(Places::from);
        let values = Values {
            power: places.clone(),
            energy: places,
            time: place.clone(),
            energy_reset: place.clone(),
            voltage: place,
            ..Values::default()
        };
        _ = values.read("fuzzer", &document, "1", &mut OutletMemory::default());
    }
}

#[cfg(test)]
mod tests;
