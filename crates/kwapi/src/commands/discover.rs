//! `kwapi discover`: queries hosts politely, with the credentials there are, and prints a configuration.

mod attempt;
mod hosts;
mod one_host;
mod plausible;
mod print;
mod serial;
mod sweep;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cli::DiscoverArgs;
use crate::config::{Config, credentials};
use crate::shutdown::Shutdown;

pub(in crate::commands) use print::range;
use sweep::{Progress, sweep};

/// One device that answered.
#[derive(Clone, Debug)]
struct Found {
    host: String,
    driver: &'static str,
    credentials: Option<String>,
    /// The register map it was read with, where `--modbus-map` named it.
    map: Option<String>,
    /// Its name at a NUT server that watches several.
    ups: Option<String>,
    port: Option<u16>,
    answer: Answer,
}

/// What it reported.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// It is a meter.
    Meter {
        /// What its driver found out, for grouping and for a comment.
        description: String,
        outlets: usize,
        /// The watts it reports itself; a counter alone reports none.
        watts: Option<f64>,
    },
    /// It is there, and is no meter for us: refused, or nothing measured.
    Nothing(String),
    /// It is a device of this kind, and nothing can be read as it is.
    Unread(String),
    /// It is a device of this kind, and requires a password.
    Locked(String),
    /// It supports the protocol, which does not state what it measures; in brackets, what it reports of itself.
    Unmapped(String),
}

/// Queries and prints.
///
/// # Errors
/// When the hosts or ports make no sense, as one line.
pub(crate) async fn discover(arguments: &DiscoverArgs, named: Option<&Path>) -> Result<(), String> {
    let lines = serial::listen(&arguments.serial).await;
    if arguments.hosts.is_empty() {
        _ = std::io::stdout().write_all(lines.as_bytes());
        return Ok(());
    }
    let hosts = hosts::expand(&arguments.hosts)?;
    let shared = match Config::find(named) {
        Some(file) => credentials(&file).map_err(|error| error.to_string())?,
        None => BTreeMap::new(),
    };
    let maps = attempt::register_maps(&arguments.modbus_map)?;
    let (protocols, remarks) = attempt::protocols(&shared, &maps, &attempt::ports(&arguments.port)?);
    if !(arguments.rate.is_finite() && arguments.rate > 0.0) {
        return Err("--rate must be a positive number of hosts per second".to_owned());
    }
    let shutdown =
        Shutdown::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    for remark in remarks {
        eprintln!("{remark}");
    }
    let with: Vec<&str> = protocols.iter().map(|protocol| protocol.entry.name).collect();
    let count = hosts.len();
    let many = if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") };
    eprintln!("probing {many} over {}, at most {} per second", with.join(", "), arguments.rate);

    let (protocols, found) = (Arc::new(protocols), Arc::new(Mutex::new(Vec::new())));
    let mut pools = one_host::Pools::default();
    let probe_host = |host| one_host::host(host, protocols.clone(), pools.next(), found.clone());
    // A pipe or a file gets no line that is written over and over.
    let shows_progress = std::io::stderr().is_terminal();
    let note = |Progress { probed, hosts }| {
        if shows_progress {
            let is_meter = |found: &&Found| matches!(found.answer, Answer::Meter { .. });
            let meters = found.lock().iter().filter(is_meter).count();
            eprint!("\r{probed} of {hosts} hosts probed, {meters} meters found ");
        }
    };
    let progress = sweep(hosts, arguments.rate, probe_host, note, shutdown.begun()).await;
    if shows_progress {
        eprintln!();
    }
    if progress.probed < progress.hosts {
        eprintln!("interrupted after {} of {} hosts; found so far:", progress.probed, progress.hosts);
    }
    let found = std::mem::take(&mut *found.lock());
    // A reader that has ended (head) reads no more.
    _ = std::io::stdout().write_all((print::configuration(found) + &lines).as_bytes());
    Ok(())
}
