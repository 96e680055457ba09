//! `kwapi run`: everything in one process.

use std::path::Path;

use kwapi_bus::{Key, Scheme};

use crate::cli::RunArgs;
use crate::config::{Config, Endpoint};
use crate::demo::Demo;
use crate::shutdown::Shutdown;
use crate::stack::{AddressInUse, Descriptors, Listeners, Process, Roles, Stack, status, tunnel};

/// Where the plugins of this process find its drivers.
const INSIDE: &str = "inproc://kwapi-drivers";

/// Runs until requested to stop.
///
/// # Errors
/// When something cannot start, as one line.
pub(crate) async fn run(arguments: &RunArgs, named: Option<&Path>) -> Result<(), String> {
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let file = Config::find(named).filter(|_| !arguments.demo);
    let mut demo = None;
    let mut config = if let Some(file) = &file {
        Config::read(file).map_err(|error| error.to_string())?
    } else {
        let running = Demo::start().await?;
        let config = running.configuration()?;
        demo = Some(running);
        config
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    override_addresses(&mut config, arguments);
    sign_inside(&mut config)?;

    let roles = Roles::RUN;
    roles.check_peers(&config)?;
    let descriptors = Descriptors::of(&config, roles);
    let process = Process::new(&descriptors);
    let taken = if demo.is_some() { AddressInUse::TakesAnother } else { AddressInUse::IsAnError };
    let listeners = Listeners::bind(&config, roles, &process.seats, taken)?;
    let addresses = listeners.addresses();
    descriptors.log();
    let stack = Stack::start(&process, &config, roles, &[Endpoint::new(INSIDE)], listeners, &shutdown)?;
    if let Some((scheme, address)) = addresses.web {
        println!("web pages   {scheme}://{address}/");
        if let Some(tunnel) = tunnel(address) {
            println!("            from another machine: {tunnel}, then the same address there");
        }
    }
    if let Some((scheme, address)) = addresses.api {
        println!("API         {scheme}://{address}/v1/probes/");
    }
    if let Some(address) = addresses.status {
        let is_usual = address == status::default_address(roles);
        let option = if is_usual { String::new() } else { format!(" --address {address}") };
        println!("status      http://{address}/metrics   (or: kwapi status{option})");
    }
    if let Some(demo) = &demo {
        println!("{}", demo.introduction());
    }
    if config.api.config.auth.is_none() {
        tracing::info!("API is unauthenticated; configure [api.auth]");
    }
    crate::notify::ready();
    stack.work(&config, &shutdown).await;
    drop(demo);
    Ok(())
}

fn override_addresses(config: &mut Config, arguments: &RunArgs) {
    if let Some(address) = arguments.api {
        config.api.config.listen = address;
    }
    if let Some(address) = arguments.web {
        config.rrd.listen = address;
    }
    config.status.listen = arguments.status.or(config.status.listen);
}

/// Signs with a key of this process alone where none is configured: what travels inside is verified like anything else.
///
/// # Errors
/// When others are to listen: they could verify nothing signed with it.
fn sign_inside(config: &mut Config) -> Result<(), String> {
    if !config.drivers.publish.is_empty() {
        crate::stack::needs_key(config)?;
    }
    if config.bus.key.is_empty() && config.bus.signature == Scheme::Kwapi1 {
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        config.bus.inside = Some(Key::new("inside", secret));
    }
    Ok(())
}
