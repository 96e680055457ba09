//! `[bill]`, `[[tariff]]` and the shares in `[labels]`: what energy costs, and whose it is.

mod shares;
mod tariff;

use std::path::PathBuf;

use jiff::tz::TimeZone;
use kwapi_core::{Pattern, Rate, RateEntry, RateUnit, RateValue, WeekHours};
use kwapi_plugins::answers::when;
use kwapi_plugins::bills::BillConfig;
use serde::Deserialize;

use super::document::{Document, DocumentError, Step};
use super::sections::RrdSection;

/// Decimals of most currencies.
const DECIMALS: u32 = 2;

/// The keys of `[bill]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BillKeys {
    zone: Option<String>,
    currency: Option<String>,
    decimals: Option<u32>,
    shares: Option<PathBuf>,
    calibrated: Vec<Pattern>,
}

/// Reads all of it. `rrd` has the price of those who have no tariff.
///
/// # Errors
/// At the first thing that makes no sense, with file and line.
pub(super) fn read(document: &Document, rrd: &RrdSection) -> Result<BillConfig, DocumentError> {
    let keys: BillKeys = document.section("bill")?;
    let at = |key: &str| ["bill", key].map(|key| Step::Key(key.to_owned()));
    let zone = match &keys.zone {
        Some(name) => when::zone(name).map_err(|error| document.error(&at("zone"), error.to_string()))?,
        None if document.tables.contains_key("tariff") => {
            let message = "[[tariff]] requires `zone` in [bill], such as \"Europe/Paris\"";
            return Err(document.error(&[Step::Key("tariff".to_owned())], message));
        }
        None => TimeZone::system(),
    };
    if keys.decimals.is_some_and(|decimals| decimals > 4) {
        return Err(document.error(&at("decimals"), "`decimals` must be 0 to 4"));
    }
    let mut rates = tariff::read(document, &zone)?;
    if !document.tables.contains_key("tariff") {
        let price = rrd.kwh_price.to_string().parse();
        let price = price.map_err(|error| {
            let path = ["rrd", "kwh_price"].map(|key| Step::Key(key.to_owned()));
            document.error(&path, format!("`kwh_price` {error}"))
        })?;
        let value = RateValue::Constant(price);
        let entry = RateEntry { valid: 0..u64::MAX, hours: WeekHours::default(), value };
        rates.extend(Rate::new("energy", RateUnit::Kwh, vec![entry]));
    }
    let file = keys.shares.map(|file| document.folder().join(file));
    Ok(BillConfig {
        rates,
        shares: shares::read(document, &zone, file.as_deref())?,
        currency: keys.currency.unwrap_or_else(|| rrd.currency.clone()),
        decimals: keys.decimals.unwrap_or(DECIMALS),
        calibrated: keys.calibrated,
        zone,
    })
}

/// Notes the CSV files of prices and shares: a change of one is a change of the configuration.
pub(super) fn note(document: &mut Document) {
    let shares = document.tables.get("bill").and_then(|bill| bill.get("shares")?.as_str());
    let tariffs = document.tables.get("tariff").and_then(toml::Value::as_array).into_iter().flatten();
    let values = tariffs.filter_map(toml::Value::as_table).flat_map(toml::Table::values);
    let files = values.filter_map(|value| value.get("csv")?.as_str()).chain(shares);
    let files: Vec<PathBuf> = files.map(|file| document.folder().join(file)).collect();
    files.into_iter().for_each(|file| document.note_source(file));
}

/// The shares that stand in `[labels]` are lists, and no texts.
pub(super) fn is_shares(value: &toml::Value) -> bool {
    value.is_array()
}

/// From when until when something applies, in Unix milliseconds; which of the two is wrong, and why.
fn valid(
    from: Option<&str>,
    until: Option<&str>,
    zone: &TimeZone,
) -> Result<std::ops::Range<u64>, (&'static str, String)> {
    let instant = |key: &'static str, text: &str| {
        let at = when::fixed(text, Some(zone));
        let at = at.map_err(|error| (key, format!("`{key}` {text:?} {error}")))?;
        if at.micros() % 1_000 > 0 {
            return Err((key, format!("`{key}` {text:?} begins or ends within a quarter hour")));
        }
        Ok(at.micros() / 1_000)
    };
    let from = from.map_or(Ok(0), |text| instant("from", text))?;
    let until = until.map_or(Ok(u64::MAX), |text| instant("until", text))?;
    Ok(from..until)
}

/// Rows of a CSV file with these columns in its header, each with its line.
///
/// # Errors
/// When it cannot be read, or lacks a column, as one line.
fn csv_rows(
    file: &std::path::Path,
    columns: &[&str],
    mut take: impl FnMut(u64, &[&str]) -> Result<(), String>,
) -> Result<(), String> {
    let shown = file.display();
    let (mut reader, headers) = super::inventory::open(file)?;
    if let Some(other) = headers.iter().find(|header| !columns.contains(header)) {
        return Err(format!("{shown}:1: unknown column {other:?}; valid columns: {}", columns.join(", ")));
    }
    let places: Vec<Option<usize>> =
        columns.iter().map(|column| headers.iter().position(|header| header == *column)).collect();
    for record in reader.records() {
        let record = record.map_err(|error| format!("{shown}: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |place: &Option<usize>| place.and_then(|place| record.get(place)).unwrap_or_default();
        let cells: Vec<&str> = places.iter().map(cell).collect();
        take(line, &cells).map_err(|message| format!("{shown}:{line}: {message}"))?;
    }
    Ok(())
}
