//! `kwapi probe`: one meter, read once and explained.

use std::path::Path;
use std::sync::Arc;

use kwapi_drivers::manager::MeterSpec;
use kwapi_drivers::registry::{Session, SharedPool};
use kwapi_drivers::{Cadence, DriverError, Readings};

use crate::cli::Probe;
use crate::config::Config;

/// Reads it and prints what was found, which source is used and why.
///
/// # Errors
/// When there is no such meter or it cannot be read, as one line.
pub(crate) async fn probe(arguments: &Probe, named: Option<&Path>) -> Result<(), String> {
    let config = super::configuration(named)?;
    let meter = find(&config, &arguments.meter)?;
    if let Some(file) = &arguments.record {
        return record(meter, file).await;
    }
    println!("{}  ({})", meter.name, meter.driver.name());
    let (session, readings) = read(meter).await.map_err(|error| format!("{}: {error}", meter.name))?;
    for finding in session.findings() {
        let mark = if finding.is_used { "✓" } else { "·" };
        println!("  {mark} {:<32} {:<24} {}", finding.what, finding.value, finding.why);
    }
    println!();
    for (probe, reading) in readings {
        match reading {
            Ok(reading) => println!("  {:<40} {reading}", probe.to_string()),
            Err(no_reading) => println!("  {:<40} no reading: {no_reading}", probe.to_string()),
        }
    }
    Ok(())
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a MeterSpec, String> {
    config
        .meters
        .iter()
        .find(|meter| meter.name == name)
        .or_else(|| {
            let measures =
                |meter: &&MeterSpec| meter.outlets.named().iter().any(|outlet| outlet.probe.as_str() == name);
            config.meters.iter().find(measures)
        })
        .ok_or_else(|| {
            let names: Vec<&str> = config.meters.iter().map(|meter| meter.name.as_str()).take(20).collect();
            format!(
                "there is no meter {name:?}; there are {}{}",
                names.join(", "),
                if config.meters.len() > 20 { ", …" } else { "" }
            )
        })
}

/// What a round brings.
pub(super) type Round = Vec<(kwapi_core::ProbeId, Result<kwapi_core::Reading, kwapi_core::NoReading>)>;

/// Opens a session and takes the first readings, within the meter's deadline. A counter alone says no watts, so it is read twice.
pub(super) async fn read(meter: &MeterSpec) -> Result<(Session, Round), String> {
    let pool = SharedPool::default();
    let connector = meter.driver.connector(&pool);
    let attempt = async {
        let mut session = connector.open(&meter.outlets).await?;
        let mut readings = Readings::default();
        loop {
            session.read(&mut readings).await?;
            // A pushed record may be a header; wait for one that says something.
            if meter.driver.cadence() == Cadence::Polled || !readings.is_empty() {
                break;
            }
        }
        Ok::<_, DriverError>((session, readings.drain().collect()))
    };
    match tokio::time::timeout(meter.deadline, attempt).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s (deadline_seconds)", meter.deadline.as_secs_f64())),
    }
}

async fn record(meter: &MeterSpec, file: &Path) -> Result<(), String> {
    let Some(config) = meter.driver.config::<kwapi_drivers::snmp::Snmp>() else {
        return Err(format!(
            "{}: --record saves SNMP walks; this meter's driver is {}",
            meter.name,
            meter.driver.name()
        ));
    };
    eprintln!("walking {} …", meter.name);
    let shared = Arc::new(kwapi_drivers::snmp::Shared::default());
    let walk = kwapi_drivers::snmp::record(config, &shared).await.map_err(|error| error.to_string())?;
    std::fs::write(file, &walk).map_err(|error| format!("{}: {error}", file.display()))?;
    println!(
        "{} objects in {}; names and addresses have been replaced",
        walk.lines().count(),
        file.display()
    );
    Ok(())
}
