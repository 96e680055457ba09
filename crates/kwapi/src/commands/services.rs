//! `kwapi drivers | forwarder | api | rrd`: the seed's services, a process each.

use std::path::Path;

use kwapi_drivers::config::{DriverKey, KeyDefault};
use kwapi_drivers::registry;

use crate::config::nearest;
use crate::shutdown::Shutdown;
use crate::stack::{AddressInUse, Descriptors, Listeners, Process, Roles, Stack, tunnel};

/// Prints every driver with what it reads.
pub(crate) fn list_drivers() {
    for driver in registry::DRIVERS {
        println!("{:<12} {}", driver.name, driver.summary);
    }
}

/// Prints one driver with its keys.
///
/// # Errors
/// When there is none of that name, as one line.
pub(crate) fn describe_driver(name: &str) -> Result<(), String> {
    let Some(driver) = registry::find(name) else {
        let known = || registry::DRIVERS.iter().map(|driver| driver.name);
        let advice = nearest(name, known()).map_or_else(
            || format!("available: {}", known().collect::<Vec<_>>().join(", ")),
            |name| format!("did you mean {name:?}?"),
        );
        return Err(format!("unknown driver {name:?}; {advice}"));
    };
    println!("{}: {}\n", driver.name, driver.summary);
    let default = |key: &DriverKey| match (key.default, key.unit) {
        (KeyDefault::Required, _) => "(required)".to_owned(),
        (KeyDefault::Value(value), Some(unit)) => format!("{value} {unit}"),
        (default, _) => default.text().to_owned(),
    };
    let width = |texts: &dyn Fn(&DriverKey) -> usize| driver.keys.iter().map(texts).max().unwrap_or_default();
    let name_width = width(&|key| key.name.chars().count());
    let default_width = width(&|key| default(key).chars().count());
    for key in driver.keys {
        let unit = key.unit.map_or_else(String::new, |unit| format!(", in {unit}"));
        let secret = if key.is_secret { "; a secret" } else { "" };
        println!(
            "{:<name_width$}  {:<default_width$}  {}{unit}{secret}",
            key.name,
            default(key),
            key.meaning
        );
    }
    Ok(())
}

/// Runs a process of these roles until it is requested to stop.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn serve(roles: Roles, named: Option<&Path>) -> Result<(), String> {
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let config = super::configuration(named)?;
    roles.check(&config)?;
    let descriptors = Descriptors::of(&config, roles);
    let process = Process::new(&descriptors);
    let listeners = Listeners::bind(&config, roles, &process.seats, AddressInUse::IsAnError)?;
    let addresses = listeners.addresses();
    descriptors.log();
    let stack = Stack::start(&process, &config, roles, &[], listeners, &shutdown)?;
    if let Some((scheme, address)) = addresses.api {
        tracing::info!("API at {scheme}://{address}/v1/probes/");
    }
    if let Some((scheme, address)) = addresses.web {
        let from_elsewhere = tunnel(address).map_or_else(String::new, |tunnel| {
            format!("; from another machine: {tunnel}, then the same address there")
        });
        tracing::info!("web pages at {scheme}://{address}/{from_elsewhere}");
    }
    crate::notify::ready();
    stack.work(&config, &shutdown).await;
    Ok(())
}
