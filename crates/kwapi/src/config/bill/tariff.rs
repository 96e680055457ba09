//! `[[tariff]]`: a price, and when it applies. Entries of one name are one rate, which changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use kwapi_core::{Decimal, Rate, RateEntry, RateSeries, RateUnit, RateValue, WeekHours};
use kwapi_plugins::answers::when;
use serde::Deserialize;
use toml::Value;

use super::super::document::{Document, DocumentError, Step};

/// The keys of a `[[tariff]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TariffKeys {
    name: String,
    price_per_kwh: Option<Value>,
    price_per_month: Option<Value>,
    price_per_peak_kw: Option<Value>,
    pue: Option<Value>,
    co2_grams_per_kwh: Option<Value>,
    from: Option<String>,
    until: Option<String>,
    #[serde(default)]
    weekdays: Vec<String>,
    #[serde(default)]
    hours: Vec<String>,
}

/// A price by the quarter hour: `{ csv = "prices.csv" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesKeys {
    csv: PathBuf,
    minutes: Option<u64>,
}

impl TariffKeys {
    /// Its one value, with its key.
    fn value(&self) -> Result<(&'static str, RateUnit, &Value), &'static str> {
        let values = [
            ("price_per_kwh", RateUnit::Kwh, &self.price_per_kwh),
            ("price_per_month", RateUnit::Month, &self.price_per_month),
            ("price_per_peak_kw", RateUnit::PeakKw, &self.price_per_peak_kw),
            ("pue", RateUnit::Pue, &self.pue),
            ("co2_grams_per_kwh", RateUnit::Co2, &self.co2_grams_per_kwh),
        ];
        let mut set = values.into_iter().filter_map(|(key, unit, value)| Some((key, unit, value.as_ref()?)));
        match (set.next(), set.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(
                "a [[tariff]] requires exactly one of `price_per_kwh`, `price_per_month`, `price_per_peak_kw`, `pue`, `co2_grams_per_kwh`",
            ),
        }
    }
}

/// A rate being read: its unit, its entries, and where each stands.
type Entries = (RateUnit, Vec<RateEntry>, Vec<usize>);

/// Reads all tariffs.
///
/// # Errors
/// At the first thing that makes no sense, with file and line.
pub(super) fn read(document: &Document, zone: &TimeZone) -> Result<Vec<Rate>, DocumentError> {
    let Some(tariffs) = document.tables.get("tariff") else { return Ok(Vec::new()) };
    let Some(tariffs) = tariffs.as_array() else {
        return Err(
            document.error(&[Step::Key("tariff".to_owned())], "write [[tariff]], once for each price")
        );
    };
    let mut names: Vec<String> = Vec::new();
    let mut rates: BTreeMap<String, Entries> = BTreeMap::new();
    for (index, tariff) in tariffs.iter().enumerate() {
        let path = [Step::Key("tariff".to_owned()), Step::Index(index)];
        let at = |key: &str| [&path[..], &[Step::Key(key.to_owned())]].concat();
        let keys: TariffKeys = document.typed(&path, tariff.clone(), &[])?;
        if keys.name.trim().is_empty() {
            return Err(document.error(&at("name"), "`name` must not be empty"));
        }
        let (key, unit, value) = keys.value().map_err(|message| document.error(&path, message))?;
        let valid = super::valid(keys.from.as_deref(), keys.until.as_deref(), zone)
            .map_err(|(key, message)| document.error(&at(key), message))?;
        let hours = WeekHours::new(&keys.weekdays, &keys.hours).map_err(|error| {
            let key = if matches!(error, kwapi_core::HoursError::Weekday(_)) { "weekdays" } else { "hours" };
            document.error(&at(key), error.to_string())
        })?;
        let value = if value.is_table() {
            let series: SeriesKeys = document.typed(&at(key), value.clone(), &[])?;
            let minutes = series.minutes.unwrap_or(15);
            let of_file = series_of(&document.folder().join(&series.csv), minutes, zone);
            RateValue::Series(of_file.map_err(|message| document.error(&at(key), message))?)
        } else {
            RateValue::Constant(document.typed(&at(key), value.clone(), &[])?)
        };
        if !rates.contains_key(&keys.name) {
            names.push(keys.name.clone());
        }
        let (of_name, entries, places) =
            rates.entry(keys.name.clone()).or_insert_with(|| (unit, Vec::new(), Vec::new()));
        if *of_name != unit {
            let message = format!("the entries of tariff {:?} are for different things", keys.name);
            return Err(document.error(&at(key), message));
        }
        entries.push(RateEntry { valid, hours, value });
        places.push(index);
        // At once, so that the error is about this entry.
        Rate::new(keys.name.as_str(), unit, entries.clone()).map_err(|error| {
            let message = format!("tariff {:?} {error}", keys.name);
            document.error(&path, message)
        })?;
    }
    for (unit, key) in [(RateUnit::Pue, "pue"), (RateUnit::Co2, "co2_grams_per_kwh")] {
        let mut of_unit = rates.values().filter(|(of_rate, ..)| *of_rate == unit);
        if let (Some(_), Some((.., places))) = (of_unit.next(), of_unit.next()) {
            let place = places.first().copied().unwrap_or_default();
            let message = format!("`{key}` is set by tariffs of two names; give both the same name");
            return Err(document.error(&[Step::Key("tariff".to_owned()), Step::Index(place)], message));
        }
    }
    let made = |name: String| {
        let (unit, entries, _) = rates.remove(&name)?;
        Rate::new(name, unit, entries).ok()
    };
    Ok(names.into_iter().filter_map(made).collect())
}

/// The rows of a price file: `begin` and `value`, each for so many minutes.
fn series_of(file: &Path, minutes: u64, zone: &TimeZone) -> Result<RateSeries, String> {
    if ![15, 30, 60].contains(&minutes) {
        return Err("`minutes` must be 15, 30 or 60".to_owned());
    }
    let step_ms = minutes * 60_000;
    let mut values: BTreeMap<u64, Decimal> = BTreeMap::new();
    super::csv_rows(file, &["begin", "value"], |_, cells| {
        let [begin, value] = cells else { return Err("a row has begin and value".to_owned()) };
        let at = when::fixed(begin, Some(zone));
        let at = at.map_err(|error| format!("{begin:?} {error}"))?.micros();
        if !at.is_multiple_of(900_000_000) {
            return Err(format!("{begin:?} is within a quarter hour"));
        }
        let value = value.parse().map_err(|error| format!("{value:?} {error}"))?;
        let begin_ms = at / 1_000;
        let next =
            values.range(begin_ms.saturating_sub(step_ms - 1)..begin_ms.saturating_add(step_ms)).next();
        if next.is_some() {
            return Err(format!("{begin:?} overlaps another row; each is for {minutes} minutes"));
        }
        values.insert(begin_ms, value);
        Ok(())
    })?;
    if values.is_empty() {
        return Err(format!("{}: has no rows", file.display()));
    }
    Ok(RateSeries::new(step_ms, values))
}
