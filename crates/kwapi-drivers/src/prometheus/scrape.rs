//! From the text of one scrape to the readings of the outlets.

use std::collections::BTreeMap;
use std::time::Duration;

use kwapi_core::{Amperes, MeterCounter, NoReading, Reading, Timestamp, Volts};

use super::PrometheusConfig;
use super::exposition::{ExpositionSample, parse_sample};
use crate::driver::{DriverError, Finding, Readings};
use crate::http::excerpt;
use crate::outlets::Outlets;
use crate::parts::{ListedProbes, Notes, power_and_counter};
use crate::value::{self, Decimals, EnergyUnit, PowerUnit, Sentinel};

/// More series of one metric are refused: a filter is missing.
const SERIES_MAX: usize = 10_000;

/// What is looked for in each scrape.
#[derive(Debug)]
pub(super) struct Scrape {
    metrics: [Option<String>; 5],
    /// What one count of each metric is worth.
    scales: [f64; 5],
    power_unit: PowerUnit,
    energy_unit: EnergyUnit,
    label: Option<String>,
    labels: BTreeMap<String, String>,
    stale_after: Duration,
    decimals: BTreeMap<String, Decimals>,
    notes: Notes,
    listed: ListedProbes,
    /// Whether any scrape had a series.
    has_found: bool,
}

/// Places in `Scrape::metrics`, and in what is found of one outlet.
const POWER: usize = 0;
const VOLTAGE: usize = 1;
const CURRENT: usize = 2;
const ENERGY: usize = 3;
const CREATED: usize = 4;

/// The value as printed, and its stamp; more than one series is remembered as such.
#[derive(Clone, Debug, Default)]
struct Found {
    values: [Option<(f64, Option<f64>)>; 5],
    series: [usize; 5],
    energy_printed: String,
}

impl Scrape {
    pub(super) fn new(config: &PrometheusConfig) -> Self {
        // OpenMetrics: the family of `x_total` states in `x_created` when it began.
        let created = config
            .energy
            .as_ref()
            .map(|energy| format!("{}_created", energy.strip_suffix("_total").unwrap_or(energy)));
        Self {
            metrics: [
                config.power.clone(),
                config.voltage.clone(),
                config.current.clone(),
                config.energy.clone(),
                created,
            ],
            scales: [
                config.power_scale.unwrap_or(1.0),
                config.voltage_scale.unwrap_or(1.0),
                config.current_scale.unwrap_or(1.0),
                config.energy_scale.unwrap_or(1.0),
                1.0,
            ],
            power_unit: config.power_unit,
            energy_unit: config.energy_unit,
            label: config.label.clone(),
            labels: config.labels.clone(),
            stale_after: config.stale_after(),
            decimals: BTreeMap::new(),
            notes: Notes::default(),
            listed: ListedProbes::default(),
            has_found: false,
        }
    }

    /// Reads a scrape; `now` is the exporter's own clock.
    ///
    /// # Errors
    /// [`DriverError::Refused`] when no metric of these names is there, or far too many series are; `Malformed` for a
    /// text without any sample, which a proxy or a starting exporter may answer for a while.
    pub(super) fn read(
        &mut self,
        text: &str,
        is_openmetrics: bool,
        now: Option<Timestamp>,
        outlets: &Outlets,
        readings: &mut Readings,
    ) -> Result<Vec<Finding>, DriverError> {
        let found = self.find(text, is_openmetrics)?;
        let names: Vec<_> = self.metrics.iter().take(CREATED).flatten().cloned().collect();
        if found.is_empty() {
            let samples = text.lines().filter_map(|line| parse_sample(line, is_openmetrics)).count();
            if samples == 0 {
                return Err(DriverError::Malformed { what: "metrics", input: excerpt(text.as_bytes()) });
            }
            let missing = format!(
                "no series of {names:?}{} among {samples} samples",
                if self.labels.is_empty() { String::new() } else { format!(" with {:?}", self.labels) }
            );
            // It has shown them before: it has just been started again.
            return Err(if self.has_found {
                DriverError::Busy(missing)
            } else {
                DriverError::Refused(missing)
            });
        }
        self.has_found = true;
        if self.decimals.len() > SERIES_MAX {
            self.decimals.retain(|key, _| found.contains_key(key)); // Labels come and go.
        }
        let keys: Vec<_> = found.keys().cloned().collect();
        if outlets.selects_all() || self.label.is_none() {
            for (key, found) in &found {
                let probe =
                    if self.label.is_some() { outlets.probe(key, None) } else { Some(outlets.only()?) };
                if let Some(probe) = probe {
                    readings.push(&probe, self.reading(key, found, now));
                }
            }
            if outlets.selects_all() {
                self.listed.complete(readings);
            }
        } else {
            for outlet in outlets.named() {
                let reading = match found.get(&outlet.key) {
                    Some(found) => self.reading(&outlet.key, found, now),
                    None => {
                        Err(NoReading::NoSuchOutlet(format!("{:?}; available: {}", outlet.key, some(&keys))))
                    }
                };
                readings.push(&outlet.probe, reading);
            }
        }
        let series = Finding {
            what: names.join(", "),
            value: format!("{} outlets: {}", keys.len(), some(&keys)),
            is_used: true,
            why: self
                .label
                .as_ref()
                .map_or_else(|| "one series".to_owned(), |label| format!("by label {label}")),
        };
        Ok(std::iter::once(series).chain(self.notes.findings()).collect())
    }

    fn find(&self, text: &str, is_openmetrics: bool) -> Result<BTreeMap<String, Found>, DriverError> {
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        for line in text.lines() {
            let Some(sample) = parse_sample(line, is_openmetrics) else { continue };
            let Some(place) = self.metrics.iter().position(|name| name.as_deref() == Some(sample.name))
            else {
                continue;
            };
            let Some(key) = self.key(&sample) else { continue };
            if found.len() >= SERIES_MAX && !found.contains_key(key) {
                return Err(DriverError::Refused(format!(
                    "more than {SERIES_MAX} series; filter them with labels"
                )));
            }
            let outlet = found.entry(key.to_owned()).or_default();
            if place == ENERGY {
                outlet.energy_printed = sample.value.to_string();
            }
            if let (Some(value), Some(series)) = (outlet.values.get_mut(place), outlet.series.get_mut(place))
            {
                *value = Some((sample.value, sample.seconds));
                *series += 1;
            }
        }
        Ok(found)
    }

    /// The outlet of a series; `None` for one that is not wanted.
    fn key<'a>(&self, sample: &'a ExpositionSample<'_>) -> Option<&'a str> {
        let is_wanted = self.labels.iter().all(|(name, value)| sample.label(name) == Some(value));
        match &self.label {
            Some(label) => sample.label(label).filter(|_| is_wanted),
            None => is_wanted.then_some(""),
        }
    }

    fn reading(&mut self, key: &str, found: &Found, now: Option<Timestamp>) -> Result<Reading, NoReading> {
        let outlet = if key.is_empty() { "the series" } else { key };
        let name = |place: usize| self.metrics.get(place).and_then(Clone::clone).unwrap_or_default();
        let is_several = |place: &usize| found.series.get(*place).is_some_and(|series| *series > 1);
        let advice = "distinguish them with label, or select one with labels";
        if let Some(place) = [POWER, ENERGY].into_iter().find(is_several) {
            return Err(NoReading::Implausible(format!("several series of {}; {advice}", name(place))));
        }
        for (place, part) in [(VOLTAGE, "voltage"), (CURRENT, "current")] {
            if is_several(&place) {
                self.notes.add(outlet, part, format!("several series of {}; {advice}", name(place)));
            } else {
                self.notes.clear(outlet, part);
            }
        }
        let get = |place: usize| found.values.get(place).copied().flatten().filter(|_| !is_several(&place));
        // Not a number is how exporters report "not now".
        let scale = |place: usize| self.scales.get(place).copied().unwrap_or(1.0);
        let number =
            |place: usize| get(place).map(|(value, _)| value * scale(place)).filter(|value| !value.is_nan());
        let stamps: Vec<f64> =
            [POWER, ENERGY].iter().filter_map(|place| get(*place)?.1).filter(|s| s.is_finite()).collect();
        let measured_at = match stamps.iter().copied().reduce(f64::min) {
            Some(seconds) => Some(value::unix_seconds(seconds).ok_or_else(|| {
                NoReading::Implausible(format!("invalid timestamp {seconds} s; check the exporter's clock"))
            })?),
            None => None,
        };
        if let (Some(measured_at), Some(now)) = (measured_at, now) {
            let age = now.since(measured_at);
            if age > self.stale_after {
                return Err(NoReading::Stale(format!("measured {} s before the scrape", age.as_secs())));
            }
        }
        let written = |place: usize, fields: &[Sentinel]| {
            get(place).map_or(Ok(()), |(raw, _)| value::written(raw, fields).map(drop))
        };
        let watts = number(POWER).map(|power| {
            written(POWER, &Sentinel::WRITTEN)?;
            Ok(self.power_unit.to_watts(power))
        });
        let counter = number(ENERGY).map(|count| {
            written(ENERGY, &Sentinel::WRITTEN_COUNTER)?;
            let decimals = self.decimals.entry(key.to_owned()).or_default();
            let resolution = decimals.resolution(&found.energy_printed) * scale(ENERGY).abs();
            let mut counter = value::counter(count, resolution, self.energy_unit)?;
            counter.reset_at = number(CREATED).and_then(value::unix_seconds);
            Ok::<MeterCounter, NoReading>(counter)
        });
        let absent = || NoReading::NotReady(format!("{} is NaN", [name(POWER), name(ENERGY)].concat()));
        let (power, counter) = power_and_counter(outlet, watts, counter, absent, &mut self.notes)?;
        Ok(Reading {
            power,
            voltage: number(VOLTAGE).map(Volts),
            current: number(CURRENT).map(Amperes),
            counter,
            measured_at,
            ..Reading::default()
        })
    }
}

/// The first few keys, for a message.
fn some(keys: &[String]) -> String {
    const SHOWN_MAX: usize = 12;
    let more = if keys.len() > SHOWN_MAX { " …" } else { "" };
    format!("{:?}{more}", keys.iter().take(SHOWN_MAX).collect::<Vec<_>>())
}
