//! Whose a key of a `[[meter]]` table is: common to all meters, or the driver's own.

use kwapi_drivers::registry::{self, DriverEntry};
use toml::{Table, Value};

use crate::config::names::nearest;

/// The keys of a `[[meter]]` table that are the same for every driver, but where the driver has one of that name.
pub(crate) const COMMON_KEYS: &[&str] = &[
    "name",
    "driver",
    "probe",
    "probes",
    "hosts",
    "credentials",
    "interval_seconds",
    "deadline_seconds",
    "max_gap_seconds",
    "voltage",
    "power_factor",
    "device_clock",
    "max_watts",
    "accuracy",
    "labels",
    "probe_labels",
];

/// The driver of a name.
///
/// # Errors
/// When there is none, with the one that was meant or all that there are.
pub(crate) fn driver_entry(name: &str) -> Result<&'static DriverEntry, String> {
    registry::find(name).ok_or_else(|| {
        let known: Vec<&str> = registry::DRIVERS.iter().map(|entry| entry.name).collect();
        let advice = nearest(name, known.iter().copied()).map_or_else(
            || format!("available: {}", known.join(", ")),
            |known| format!("did you mean `{known}`?"),
        );
        format!("unknown driver `{name}`; {advice}")
    })
}

/// Whether `host` is one of the driver's keys.
pub(super) fn driver_takes_host(driver: &str) -> bool {
    registry::find(driver).is_none_or(|entry| entry.key("host").is_some())
}

/// The shortest interval that meters of a driver may have, in seconds.
pub(super) fn interval_min(driver: &str) -> Option<f64> {
    registry::find(driver).map(|entry| entry.interval_min.as_secs_f64())
}

/// Whose a key is that all meters have and the driver has as well.
enum Owner {
    Driver,
    Common,
    Both,
}

/// A meter's table as the keys common to all meters and the driver's own.
pub(super) fn divided(table: &Table) -> (Table, Table) {
    let driver = table.get("driver").and_then(Value::as_str).and_then(registry::find);
    let is_own = |key: &str| driver.is_some_and(|driver| driver.key(key).is_some());
    let (mut common, mut own) = (Table::new(), Table::new());
    for (key, value) in table {
        let owner = match (COMMON_KEYS.contains(&key.as_str()), is_own(key)) {
            (true, true) => owner(key, value),
            (true, false) => Owner::Common,
            (false, _) => Owner::Driver,
        };
        if matches!(owner, Owner::Common | Owner::Both) {
            common.insert(key.clone(), value.clone());
        }
        if matches!(owner, Owner::Driver | Owner::Both) {
            own.insert(key.clone(), value.clone());
        }
    }
    (common, own)
}

/// A name of a thing to read is the driver's, and volts to assume are every meter's (`voltage`); a number that both
/// compute with is for both (`power_factor`); anything else is the driver's, whose manual names it.
fn owner(key: &str, value: &Value) -> Owner {
    match (key, value) {
        ("voltage", Value::Integer(_) | Value::Float(_)) => Owner::Common,
        ("power_factor", _) => Owner::Both,
        _ => Owner::Driver,
    }
}
