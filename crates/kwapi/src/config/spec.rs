//! From a meter as written to one the driver manager can keep.

use kwapi_drivers::manager::MeterSpec;

use super::document::{ConfigError, Document, Step};
use super::meters::{COMMON_KEYS, Meter};

/// A message in one line. Of TOML's, which shows the line that is wrong in between, the place and the reason.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first}: {last}"),
        (Some(only), None) => only.to_owned(),
        (None, _) => String::new(),
    }
}

/// Turns a written meter into one the manager can keep, its driver's own keys checked.
pub(super) fn of(document: &Document, meter: &Meter) -> Result<MeterSpec, ConfigError> {
    let at = |key: &str| {
        let keys = key.split('.').map(|key| Step::Key(key.to_owned()));
        meter.path.iter().cloned().chain(keys).collect::<Vec<_>>()
    };
    let Some(entry) = kwapi_drivers::registry::find(&meter.driver) else {
        let known: Vec<&str> = kwapi_drivers::registry::DRIVERS.iter().map(|entry| entry.name).collect();
        let advice = super::names::nearest(&meter.driver, known.iter().copied()).map_or_else(
            || format!("available: {}", known.join(", ")),
            |name| format!("did you mean `{name}`?"),
        );
        let message = format!("unknown driver `{}`; {advice}", meter.driver);
        return Err(meter.error(document, &[Step::Key("driver".to_owned())], message));
    };
    let driver = entry.configure(meter.keys.clone()).map_err(|error| {
        let path = error.key.as_deref().map_or_else(|| meter.path.clone(), at);
        let explained = document.explain(&path, &error.message, COMMON_KEYS);
        meter.placed(explained.with_note(format!("meter `{}`, driver `{}`", meter.name, meter.driver)))
    })?;
    driver.check().and_then(|()| driver.check_outlets(&meter.outlets)).map_err(|message| {
        let note = format!("meter `{}`, driver `{}`", meter.name, meter.driver);
        // What is wrong with one key begins with its name.
        let key = message.split(':').next().filter(|key| meter.keys.contains_key(*key));
        let path = key.map_or_else(|| meter.path.clone(), at);
        meter.placed(document.error(&path, one_line(&message)).with_note(note))
    })?;
    let mut spec = MeterSpec::new(meter.name.clone(), driver, meter.outlets.clone());
    spec.interval = meter.interval;
    spec.deadline = meter.deadline;
    spec.max_gap = meter.max_gap;
    spec.max_watts = meter.max_watts.map(kwapi_core::Watts);
    spec.max_gap_follows = meter.max_gap_follows;
    spec.assumptions.voltage = meter.voltage.map(kwapi_core::Volts);
    spec.assumptions.power_factor = meter.power_factor;
    spec.assumptions.device_clock = meter.device_clock;
    Ok(spec)
}

#[cfg(test)]
mod tests;
