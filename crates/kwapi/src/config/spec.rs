//! From a meter as written to one the driver manager can keep.

use kwapi_drivers::manager::MeterSpec;

use super::document::{Document, DocumentError, Step};
use super::meters::{COMMON_KEYS, MeterConfig, driver_entry};

/// Turns a written meter into one the manager can keep, its driver's own keys checked.
pub(super) fn of(document: &Document, meter: &MeterConfig) -> Result<MeterSpec, DocumentError> {
    let entry = driver_entry(&meter.driver)
        .map_err(|message| meter.error(document, &[Step::Key("driver".to_owned())], message))?;
    let wrong = |error: kwapi_drivers::config::ConfigError| {
        let explained = document.explain(&meter.path, &error, COMMON_KEYS);
        meter.placed(explained.with_note(format!("meter `{}`, driver `{}`", meter.name, meter.driver)))
    };
    let driver = entry.configure(meter.keys.clone()).map_err(wrong)?;
    driver.check().and_then(|()| driver.check_outlets(&meter.outlets)).map_err(wrong)?;
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
