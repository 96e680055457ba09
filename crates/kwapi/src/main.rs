//! `kwapi`: know where the watts go.

mod cli;
mod commands;
mod config;
mod demo;
mod import;
mod logging;
mod notify;
mod ports;
mod reload;
mod shutdown;
mod snmp_walks;
mod stack;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use stack::Roles;

/// A hundred thousand probes are many small allocations, made on one thread and freed on another (ADR 0024).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match begin(&cli) {
        Ok(code) => code,
        Err(message) => {
            logging::failed(&message);
            ExitCode::FAILURE
        }
    }
}

fn begin(cli: &Cli) -> Result<ExitCode, String> {
    logging::begin(&cli.log)?;
    // Once a process; any other user of TLS finds it.
    _ = rustls::crypto::ring::default_provider().install_default();
    // `check` reports what the service will have: it is to find the same.
    stack::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    let ended = runtime.block_on(async {
        let ended = match &cli.command {
            Some(Command::Measure(arguments)) => {
                commands::measure::measure(arguments, cli.config.as_deref()).await
            }
            _ => obey(cli).await.map(|()| ExitCode::SUCCESS),
        };
        // Sessions on cards that were dropped a moment ago are closed there before we go.
        kwapi_drivers::cleanup::finished(shutdown::STOP_LIMIT).await;
        ended
    });
    // A thread that blocks (a file system that hangs) does not keep the process.
    runtime.shutdown_timeout(shutdown::STOP_LIMIT);
    ended
}

async fn obey(cli: &Cli) -> Result<(), String> {
    let named = cli.config.as_deref();
    match cli.command.as_ref() {
        None => commands::run::run(&cli::RunArgs::default(), named).await,
        Some(Command::Run(arguments)) => commands::run::run(arguments, named).await,
        Some(Command::Drivers(arguments)) if arguments.list => {
            commands::services::list_drivers();
            Ok(())
        }
        Some(Command::Drivers(cli::DriversArgs { driver: Some(name), .. })) => {
            commands::services::describe_driver(name)
        }
        Some(Command::Drivers(_)) => commands::services::serve(Roles::DRIVERS, named).await,
        Some(Command::Forwarder) => commands::services::serve(Roles::FORWARDER, named).await,
        Some(Command::Api) => commands::services::serve(Roles::API, named).await,
        Some(Command::Rrd) => commands::services::serve(Roles::RRD, named).await,
        Some(Command::Check(arguments)) => commands::check::check(arguments, named),
        Some(Command::Tail(arguments)) => commands::tail::tail(arguments, named).await,
        Some(Command::Status(arguments)) => commands::status::status(arguments, named).await,
        Some(Command::Energy(arguments)) => commands::energy::energy(arguments, named).await,
        Some(Command::Bill(arguments)) => commands::bill::bill(arguments, named).await,
        Some(Command::Report(arguments)) => commands::report::report(arguments, named).await,
        Some(Command::Probe(arguments)) => commands::probe::probe(arguments, named).await,
        Some(Command::Discover(arguments)) => commands::discover::discover(arguments, named).await,
        Some(Command::Simulate(arguments)) => commands::simulate::simulate(arguments).await,
        Some(Command::Bench(arguments)) => commands::bench::bench(arguments).await,
        Some(Command::Import(arguments)) => {
            tokio::task::block_in_place(|| commands::import::import(arguments, named))
        }
        Some(Command::ImportConfig(arguments)) => commands::import_config::import_config(arguments),
        Some(Command::Backup(arguments)) => {
            tokio::task::block_in_place(|| commands::backup::backup(arguments, named))
        }
        Some(Command::Restore(arguments)) => {
            tokio::task::block_in_place(|| commands::backup::restore(arguments, named))
        }
        // It has an exit status of its own.
        Some(Command::Measure(_)) => Ok(()),
        Some(Command::Keys(arguments)) => commands::keys::keys(&arguments.command, named),
        Some(Command::NatsSetup(arguments)) => commands::nats_setup::nats_setup(arguments, named).await,
        Some(Command::KeystoneRegister(arguments)) => {
            commands::keystone_register::print(arguments);
            Ok(())
        }
        Some(Command::Man(arguments)) => commands::manual::pages(arguments),
        Some(Command::Completions(arguments)) => commands::manual::completions(arguments),
    }
}
