//! `kwapi drivers | forwarder | api | rrd`: the seed's services, a process each.

use std::path::Path;

use crate::shutdown::Shutdown;
use crate::stack::{Descriptors, Listeners, Process, Roles, Stack, Taken, notify_ready};

/// Prints every driver with what it reads.
pub(crate) fn list_drivers() {
    for driver in kwapi_drivers::registry::DRIVERS {
        println!("{:<12} {}", driver.name, driver.summary);
    }
}

/// Runs a process of these roles until it is told to stop.
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
    let listeners = Listeners::bind(&config, roles, &process.seats, Taken::IsAnError)?;
    let addresses = listeners.addresses();
    descriptors.tell();
    let stack = Stack::start(&process, &config, roles, &[], listeners, &shutdown)?;
    if let Some((scheme, address)) = addresses.api {
        tracing::info!("API at {scheme}://{address}/v1/probes/");
    }
    if let Some(address) = addresses.web {
        tracing::info!("web pages at http://{address}/");
    }
    notify_ready();
    stack.work(&config, &shutdown).await;
    Ok(())
}
