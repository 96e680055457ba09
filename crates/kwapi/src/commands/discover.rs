//! `kwapi discover`: asks hosts politely, with the credentials there are, and prints a configuration.

mod hosts;
mod print;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwapi_drivers::Outlets;
use kwapi_drivers::manager::MeterSpec;
use kwapi_drivers::registry::{self, Entry};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use toml::{Table, Value};

use crate::cli::Discover;
use crate::config::{Config, credentials};

/// Protocols that find a meter by its address. Each is tried once a host and credential: cards lock accounts.
const NEED_CREDENTIALS: [&str; 3] = ["snmp", "ipmi", "redfish"];
/// Protocols that ask for none.
const NEED_NONE: [&str; 4] = ["modbus", "nut", "shelly", "tasmota"];
/// A device that has not answered by then is not there, or not of that kind.
const ATTEMPT_MAX: Duration = Duration::from_secs(6);
/// Hosts asked at the same time, whatever the rate.
const HOSTS_AT_ONCE: usize = 64;

/// One meter that answered.
#[derive(Clone, Debug)]
struct Found {
    host: String,
    driver: &'static str,
    credentials: Option<String>,
    port: Option<u16>,
    /// What its driver found out, for grouping and for a comment.
    description: String,
    outlets: usize,
    watts: Option<f64>,
}

/// A way to ask a host.
#[derive(Clone, Debug)]
struct Attempt {
    entry: &'static Entry,
    credentials: Option<String>,
    keys: Table,
    port: Option<u16>,
}

/// Asks and prints.
///
/// # Errors
/// When the hosts or ports make no sense, as one line.
pub(crate) async fn discover(arguments: &Discover, named: Option<&Path>) -> Result<(), String> {
    let hosts = hosts::expand(&arguments.hosts)?;
    let shared = match Config::find(named) {
        Some(file) => credentials(&file).map_err(|error| error.to_string())?,
        None => BTreeMap::new(),
    };
    let attempts = attempts(&shared, &ports(&arguments.port)?);
    if !(arguments.rate.is_finite() && arguments.rate > 0.0) {
        return Err("--rate takes a positive number of hosts a second".to_owned());
    }
    let with: Vec<&str> = attempts.iter().map(|attempt| attempt.entry.name).collect();
    eprintln!("asking {} hosts over {}, {} a second at most", hosts.len(), with.join(", "), arguments.rate);
    if shared.is_empty() {
        eprintln!("no [credentials.NAME] in the configuration: SNMP, IPMI and Redfish are not tried");
    }
    let found = ask_all(hosts, attempts, arguments.rate).await;
    print!("{}", print::configuration(found));
    Ok(())
}

async fn ask_all(hosts: Vec<String>, attempts: Vec<Attempt>, rate: f64) -> Vec<Found> {
    let attempts = Arc::new(attempts);
    let at_once = Arc::new(Semaphore::new(HOSTS_AT_ONCE));
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    let (mut asking, mut found) = (JoinSet::new(), Vec::new());
    let (count, mut done) = (hosts.len(), 0);
    let shows_progress = std::io::stderr().is_terminal();
    let mut note = |answer: Result<Vec<Found>, tokio::task::JoinError>| {
        done += 1;
        found.extend(answer.unwrap_or_default());
        if shows_progress {
            eprint!("\r{done} of {count} hosts asked, {} meters found ", found.len());
        }
    };
    for host in hosts {
        pace.tick().await;
        let Ok(turn) = at_once.clone().acquire_owned().await else { break };
        let attempts = attempts.clone();
        asking.spawn(async move {
            let _turn = turn;
            ask(&host, &attempts).await
        });
        while let Some(answer) = asking.try_join_next() {
            note(answer);
        }
    }
    while let Some(answer) = asking.join_next().await {
        note(answer);
    }
    if shows_progress {
        eprintln!();
    }
    found
}

/// Tries every way on one host, one after the other; of several credentials for one protocol, the first that works.
async fn ask(host: &str, attempts: &[Attempt]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for attempt in attempts {
        if found.iter().any(|other| other.driver == attempt.entry.name) {
            continue;
        }
        let mut keys = attempt.keys.clone();
        keys.insert("host".to_owned(), Value::String(host.to_owned()));
        if let Some(port) = attempt.port {
            keys.insert("port".to_owned(), Value::Integer(port.into()));
        }
        let Ok(driver) = attempt.entry.configure(keys) else { continue };
        let mut meter = MeterSpec::new(host, driver, Outlets::all("{outlet}"));
        meter.deadline = ATTEMPT_MAX;
        let Ok((session, readings)) = super::probe::read(&meter).await else { continue };
        let used: Vec<String> = session
            .findings()
            .into_iter()
            .filter(|finding| finding.is_used)
            .map(|finding| finding.what)
            .collect();
        let heard: Vec<_> = readings.into_iter().filter_map(|(_, reading)| reading.ok()).collect();
        if heard.is_empty() {
            continue;
        }
        let watts: Vec<f64> = heard.iter().filter_map(|reading| Some(reading.power?.0)).collect();
        found.push(Found {
            host: host.to_owned(),
            driver: attempt.entry.name,
            credentials: attempt.credentials.clone(),
            port: attempt.port,
            description: used.first().cloned().unwrap_or_default(),
            outlets: heard.len(),
            watts: (!watts.is_empty()).then(|| watts.iter().sum()),
        });
    }
    found
}

/// Every protocol with every credential whose keys its driver takes.
fn attempts(shared: &BTreeMap<String, Table>, ports: &BTreeMap<String, u16>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for name in NEED_CREDENTIALS.iter().chain(&NEED_NONE) {
        let Some(entry) = registry::find(name) else { continue };
        let port = ports.get(*name).copied();
        if NEED_NONE.contains(name) {
            attempts.push(Attempt { entry, credentials: None, keys: Table::new(), port });
            continue;
        }
        for (credentials, keys) in shared {
            let mut tried = keys.clone();
            tried.insert("host".to_owned(), Value::String("host.invalid".to_owned()));
            if entry.configure(tried).is_ok() {
                attempts.push(Attempt {
                    entry,
                    credentials: Some(credentials.clone()),
                    keys: keys.clone(),
                    port,
                });
            }
        }
    }
    attempts
}

fn ports(written: &[String]) -> Result<BTreeMap<String, u16>, String> {
    written
        .iter()
        .map(|text| {
            let parsed =
                text.split_once('=').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
            parsed.ok_or_else(|| format!("--port {text}: write PROTOCOL=PORT, for example snmp=1161"))
        })
        .collect()
}
