//! From `[[meter]]` tables to the list of single wattmeters: credentials, host ranges, templates, inventories.

mod keys;
mod outlets;

use std::collections::BTreeMap;
use std::time::Duration;

use kwapi_core::Watts;
use kwapi_core::ranges::{self, RangeName};
use kwapi_drivers::Outlets;
use kwapi_plugins::directory::Labels;
use serde::Deserialize;
use toml::{Table, Value};

use super::document::{Document, DocumentError, Step};
use super::inventory;
pub(crate) use keys::{COMMON_KEYS, driver_entry};
use keys::{divided, driver_takes_host, interval_min};
use outlets::{outlets, refuse_twins};

/// Shortest interval between readings of one meter, but of a driver that has its own: most devices do not measure faster.
const INTERVAL_MIN: f64 = 0.05;
/// Longest interval between readings of one meter.
const INTERVAL_MAX: f64 = 86_400.0;

/// What every meter has when its table does not set it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MeterDefaults {
    /// Seconds between readings.
    pub(crate) interval_seconds: f64,
    /// Longest time without a reading that still counts as measured, in seconds; the default is ten intervals, at
    /// least 10 s.
    pub(crate) max_gap_seconds: Option<f64>,
    /// Longest time one reading may take, in seconds.
    pub(crate) deadline_seconds: f64,
}

impl Default for MeterDefaults {
    fn default() -> Self {
        Self { interval_seconds: 1.0, max_gap_seconds: None, deadline_seconds: 10.0 }
    }
}

/// One wattmeter, with everything configured about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeterConfig {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) outlets: Outlets,
    pub(crate) interval: Duration,
    pub(crate) deadline: Duration,
    pub(crate) max_gap: Duration,
    /// Whether that was left to us: then it grows with the meter's own pace.
    pub(crate) max_gap_follows: bool,
    /// Volts to assume where the meter reports amperes only.
    pub(crate) voltage: Option<f64>,
    /// Power factor to assume where the meter reports no watts.
    pub(crate) power_factor: Option<f64>,
    /// Whether the device's own stamps are used.
    pub(crate) device_clock: bool,
    /// The most one outlet can draw.
    pub(crate) max_watts: Option<f64>,
    /// How far it may be off, in percent of its reading, if configured.
    pub(crate) accuracy: Option<f64>,
    pub(crate) labels: Labels,
    /// The driver's own keys.
    pub(crate) keys: Table,
    /// Where its table stands, for errors.
    pub(crate) path: Vec<Step>,
    /// The line of the inventory it comes from, for errors: `meters.csv:7`.
    pub(crate) row: Option<String>,
}

impl MeterConfig {
    /// An error about one of its keys (`path` below its table), with the line of the inventory where there is one.
    pub(crate) fn error(
        &self,
        document: &Document,
        path: &[Step],
        message: impl Into<String>,
    ) -> DocumentError {
        self.placed(document.error(&[self.path.as_slice(), path].concat(), message))
    }

    /// Adds the line of the inventory to an error.
    pub(crate) fn placed(&self, error: DocumentError) -> DocumentError {
        match &self.row {
            Some(row) => error.with_note(row),
            None => error,
        }
    }
}

/// The common keys as they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    name: Option<String>,
    driver: Option<String>,
    probe: Option<String>,
    probes: Option<Value>,
    hosts: Option<String>,
    credentials: Option<String>,
    interval_seconds: Option<f64>,
    deadline_seconds: Option<f64>,
    max_gap_seconds: Option<f64>,
    voltage: Option<f64>,
    power_factor: Option<f64>,
    device_clock: Option<bool>,
    max_watts: Option<f64>,
    accuracy: Option<String>,
    labels: Labels,
    /// The same under a name that no driver has.
    probe_labels: Labels,
}

/// Expands all `[[meter]]` and `[[inventory]]` tables, in the order they stand.
///
/// # Errors
/// At the first meter that makes no sense, with file and line.
pub(crate) fn expand(
    document: &Document,
    defaults: &MeterDefaults,
) -> Result<Vec<MeterConfig>, DocumentError> {
    let credentials: BTreeMap<String, Table> = document.section("credentials")?;
    let mut meters = Vec::new();
    for (path, table) in tables(document, "meter")? {
        expand_table(document, &path, &table, &credentials, defaults, &mut meters)?;
    }
    for (path, mut table) in tables(document, "inventory")? {
        let Some(Value::String(file)) = table.remove("csv") else {
            return Err(document.error(&path, "`csv` is missing; set it to a file with one meter per line"));
        };
        let rows = inventory::rows(&document.folder().join(&file))
            .map_err(|message| document.error(&path, message))?;
        for (line, row) in rows {
            let mut meter = table.clone();
            meter.extend(row);
            let place = format!("{file}:{line}");
            let first = meters.len();
            expand_table(document, &path, &meter, &credentials, defaults, &mut meters)
                .map_err(|error| error.with_note(&place))?;
            for meter in meters.iter_mut().skip(first) {
                meter.row = Some(place.clone());
            }
        }
    }
    refuse_twins(document, &meters)?;
    Ok(meters)
}

fn tables(document: &Document, name: &str) -> Result<Vec<(Vec<Step>, Table)>, DocumentError> {
    let key = Step::Key(name.to_owned());
    let Some(value) = document.tables.get(name) else { return Ok(Vec::new()) };
    let all = value.as_array().ok_or_else(|| {
        document.error(std::slice::from_ref(&key), format!("write [[{name}]] with double brackets"))
    })?;
    all.iter()
        .enumerate()
        .map(|(index, value)| {
            let path = vec![key.clone(), Step::Index(index)];
            match value.as_table() {
                Some(table) => Ok((path, table.clone())),
                None => Err(document.error(&path, format!("[[{name}]] must be a table"))),
            }
        })
        .collect()
}

fn expand_table(
    document: &Document,
    path: &[Step],
    table: &Table,
    credentials: &BTreeMap<String, Table>,
    defaults: &MeterDefaults,
    meters: &mut Vec<MeterConfig>,
) -> Result<(), DocumentError> {
    // Whose a key is, and what is wrong with it, depends on the driver.
    if let Some(name) = table.get("driver").and_then(Value::as_str) {
        driver_entry(name).map_err(|message| {
            document.error(&[path, &[Step::Key("driver".to_owned())]].concat(), message)
        })?;
    }
    let (common, mut keys) = divided(table);
    let mut written: Written = document.typed(path, Value::Table(common), &[])?;
    written.labels.append(&mut written.probe_labels);
    if let Some(name) = &written.credentials {
        let Some(shared) = credentials.get(name) else {
            let known = super::names::nearest(name, credentials.keys().map(String::as_str));
            let advice = known.map_or_else(
                || format!("add a [credentials.{name}] table"),
                |known| format!("did you mean `{known}`?"),
            );
            let path = [path, &[Step::Key("credentials".to_owned())]].concat();
            return Err(document.error(&path, format!("unknown credentials `{name}`; {advice}")));
        };
        for (key, value) in shared {
            keys.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    let Some(driver) = written.driver.clone() else {
        return Err(document.error(path, "`driver` is missing; `kwapi drivers --list` shows all drivers"));
    };
    let hosts = match &written.hosts {
        None => vec![None],
        Some(pattern) => ranges::expand(pattern, ranges::NAMES_MAX)
            .map_err(|problem| {
                document.error(&[path, &[Step::Key("hosts".to_owned())]].concat(), problem.to_string())
            })?
            .into_iter()
            .map(Some)
            .collect(),
    };
    // A driver that has no `host` takes the range in whichever key it has: `url = "http://{host}/status"`.
    let takes_host = !keys.contains_key("device") && driver_takes_host(&driver);
    for host in hosts {
        let mut keys = keys.clone();
        if let Some(host) = &host {
            if takes_host {
                keys.entry("host").or_insert_with(|| Value::String(host.name.clone()));
            }
            keys.iter_mut().for_each(|(_, value)| fill_in(value, host));
        }
        let number = meters.len() + 1;
        meters.push(one(document, path, &written, &driver, keys, host.as_ref(), defaults, number)?);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "called once, where all of these are at hand")]
fn one(
    document: &Document,
    path: &[Step],
    written: &Written,
    driver: &str,
    keys: Table,
    host: Option<&RangeName>,
    defaults: &MeterDefaults,
    number: usize,
) -> Result<MeterConfig, DocumentError> {
    let at = |key: &str| [path, &[Step::Key(key.to_owned())]].concat();
    let seconds = |key: &str, value: f64, least: f64| {
        if (least..=INTERVAL_MAX).contains(&value) {
            Ok(Duration::from_secs_f64(value))
        } else {
            Err(document.error(&at(key), format!("`{key}` must be {least} to {INTERVAL_MAX}, not {value}")))
        }
    };
    let interval_seconds = written.interval_seconds.unwrap_or(defaults.interval_seconds);
    let least = interval_min(driver);
    let interval = seconds("interval_seconds", interval_seconds, least.unwrap_or(INTERVAL_MIN));
    let interval = interval.map_err(|error| match least {
        Some(least) if 0.0 < interval_seconds && interval_seconds < least => {
            error.with_note(format!("the shortest of driver `{driver}`"))
        }
        Some(_) | None => error,
    })?;
    let max_gap_seconds =
        written.max_gap_seconds.or(defaults.max_gap_seconds).unwrap_or((interval_seconds * 10.0).max(10.0));
    let deadline_seconds = written.deadline_seconds.unwrap_or(defaults.deadline_seconds);
    let written_name =
        written.name.as_deref().map(|name| host.map_or_else(|| name.to_owned(), |host| host.fill_in(name)));
    let address =
        ["host", "device", "url", "topic", "broker"].iter().find_map(|key| keys.get(*key)?.as_str());
    // Several meters may share a host and differ in their port.
    let port = keys.get("port").and_then(Value::as_integer);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    // Several meters may stand behind one address.
    let part = ["unit", "ups"].iter().find_map(|key| match keys.get(*key)? {
        Value::Integer(number) => Some(format!("/{number}")),
        Value::String(text) => Some(format!("/{text}")),
        _ => None,
    });
    let part = part.unwrap_or_default();
    let name = written_name
        .or_else(|| address.map(|address| format!("{driver}:{address}{port}{part}")))
        .unwrap_or_else(|| format!("{driver}#{number}"));
    Ok(MeterConfig {
        name,
        driver: driver.to_owned(),
        outlets: outlets(document, path, written, host)?,
        interval,
        deadline: seconds("deadline_seconds", deadline_seconds, INTERVAL_MIN)?,
        max_gap_follows: written.max_gap_seconds.or(defaults.max_gap_seconds).is_none(),
        max_gap: seconds("max_gap_seconds", max_gap_seconds, interval_seconds.min(INTERVAL_MAX))?,
        voltage: written.voltage,
        power_factor: written.power_factor,
        device_clock: written.device_clock.unwrap_or(true),
        max_watts: match written.max_watts {
            Some(watts) if watts <= 0.0 || !kwapi_core::Measurement::power_is_valid(Watts(watts)) => {
                let most = kwapi_core::WATTS_MAX.0;
                let message = format!("`max_watts` must be more than 0 and at most {most}, not {watts}");
                return Err(document.error(&at("max_watts"), message));
            }
            max_watts => max_watts,
        },
        accuracy: written
            .accuracy
            .as_deref()
            .map(super::percent::percent)
            .transpose()
            .map_err(|message| document.error(&at("accuracy"), message))?,
        labels: match host {
            Some(host) => {
                written.labels.iter().map(|(name, value)| (name.clone(), host.fill_in(value))).collect()
            }
            None => written.labels.clone(),
        },
        keys,
        path: path.to_vec(),
        row: None,
    })
}

fn fill_in(value: &mut Value, host: &RangeName) {
    match value {
        Value::String(text) => *text = host.fill_in(text),
        Value::Array(all) => all.iter_mut().for_each(|value| fill_in(value, host)),
        Value::Table(all) => all.iter_mut().for_each(|(_, value)| fill_in(value, host)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
