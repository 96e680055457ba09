//! `kwapi discover`: asks hosts politely, with the credentials there are, and prints a configuration.

mod attempt;
mod hosts;
mod print;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwapi_drivers::Outlets;
use kwapi_drivers::manager::MeterSpec;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cli::Discover;
use crate::config::{Config, credentials};

use attempt::{Attempt, Protocol};

/// A device that has not answered by then is not there, or not of that kind.
const ATTEMPT_MAX: Duration = Duration::from_secs(6);
/// Hosts asked at the same time, whatever the rate.
const HOSTS_AT_ONCE: usize = 64;

/// One device that answered.
#[derive(Clone, Debug)]
struct Found {
    host: String,
    driver: &'static str,
    credentials: Option<String>,
    port: Option<u16>,
    answer: Answer,
}

/// What it said.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// It is a meter.
    Meter {
        /// What its driver found out, for grouping and for a comment.
        description: String,
        outlets: usize,
        /// The watts it says itself; a counter alone says none.
        watts: Option<f64>,
    },
    /// It is there, and is no meter for us: refused, or nothing measured.
    Nothing(String),
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
    let (protocols, remarks) = attempt::protocols(&shared, &attempt::ports(&arguments.port)?);
    if !(arguments.rate.is_finite() && arguments.rate > 0.0) {
        return Err("--rate takes a positive number of hosts a second".to_owned());
    }
    for remark in remarks {
        eprintln!("{remark}");
    }
    let with: Vec<&str> = protocols.iter().map(|protocol| protocol.entry.name).collect();
    let count = hosts.len();
    let many = if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") };
    eprintln!("asking {many} over {}, {} a second at most", with.join(", "), arguments.rate);
    let found = ask_all(hosts, protocols, arguments.rate).await;
    print!("{}", print::configuration(found));
    Ok(())
}

async fn ask_all(hosts: Vec<String>, protocols: Vec<Protocol>, rate: f64) -> Vec<Found> {
    let protocols = Arc::new(protocols);
    let at_once = Arc::new(Semaphore::new(HOSTS_AT_ONCE));
    // Longer than a day between hosts is as good as never, and more than a timer is sure to take.
    let mut pace = tokio::time::interval(Duration::from_secs_f64((1.0 / rate).clamp(1e-6, 86_400.0)));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut asking, mut found) = (JoinSet::new(), Vec::new());
    let (count, mut done) = (hosts.len(), 0);
    let shows_progress = std::io::stderr().is_terminal();
    let mut note = |answer: Result<Vec<Found>, tokio::task::JoinError>| {
        done += 1;
        found.extend(answer.unwrap_or_default());
        if shows_progress {
            let meters = found.iter().filter(|found| matches!(found.answer, Answer::Meter { .. })).count();
            eprint!("\r{done} of {count} hosts asked, {meters} meters found ");
        }
    };
    for host in hosts {
        pace.tick().await;
        let Ok(turn) = at_once.clone().acquire_owned().await else { break };
        let protocols = protocols.clone();
        asking.spawn(async move {
            let _turn = turn;
            ask(&host, &protocols).await
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

/// Tries every protocol on one host at the same time.
async fn ask(host: &str, protocols: &[Protocol]) -> Vec<Found> {
    let mut asking = JoinSet::new();
    for protocol in protocols {
        let (host, protocol) = (host.to_owned(), protocol.clone());
        asking.spawn(async move { ask_over(&host, &protocol).await });
    }
    let mut found = Vec::new();
    while let Some(answer) = asking.join_next().await {
        found.extend(answer.unwrap_or_default());
    }
    found
}

/// Tries one protocol's credentials on each of its ports one after the other, each once, until one works: cards lock
/// accounts.
async fn ask_over(host: &str, protocol: &Protocol) -> Vec<Found> {
    let mut found = Vec::new();
    for port in &protocol.ports {
        let mut denials = Vec::new();
        for attempt in &protocol.attempts {
            let Some(answer) = try_once(host, *port, protocol, attempt).await else {
                // An SNMP agent is silent when the community is wrong; who else is silent is not there.
                if protocol.is_silent_when_refusing() { continue } else { break }
            };
            let credentials = attempt.credentials.clone();
            let answered = Found {
                host: host.to_owned(),
                driver: protocol.entry.name,
                credentials,
                port: *port,
                answer,
            };
            if matches!(answered.answer, Answer::Meter { .. }) {
                denials.clear();
                found.push(answered);
                break;
            }
            // A web server that is no plug answers as well; only who was asked with credentials is of interest.
            if attempt.credentials.is_some() {
                denials.push(answered);
            }
        }
        found.extend(denials);
    }
    found
}

/// `None` where nobody answers.
async fn try_once(host: &str, port: Option<u16>, protocol: &Protocol, attempt: &Attempt) -> Option<Answer> {
    let driver = protocol.entry.configure(protocol.keys(attempt, host, port)).ok()?;
    let mut meter = MeterSpec::new(host, driver, Outlets::all("{outlet}"));
    meter.deadline = ATTEMPT_MAX;
    let (session, readings) = match super::probe::read(&meter).await {
        Ok(read) => read,
        Err(failure) => return failure.has_answered.then_some(Answer::Nothing(failure.message)),
    };
    let mut heard = Vec::new();
    let mut problem = None;
    for (_, reading) in readings {
        match reading {
            Ok(reading) => heard.push(reading),
            Err(no_reading) => problem = Some(no_reading.to_string()),
        }
    }
    if heard.is_empty() {
        let problem = problem.unwrap_or_else(|| "it names no outlet that is measured".to_owned());
        return Some(Answer::Nothing(format!("no power: {problem}")));
    }
    let used: Vec<_> = session.findings().into_iter().filter(|finding| finding.is_used).collect();
    let description = used
        .iter()
        .find(|finding| finding.what.starts_with("profile "))
        .map(|profile| format!("{} ({})", profile.value, profile.what))
        .or_else(|| used.first().map(|finding| finding.what.clone()))
        .unwrap_or_default();
    let watts: Vec<f64> = heard.iter().filter_map(|reading| Some(reading.power?.0)).collect();
    let watts = (!watts.is_empty()).then(|| watts.iter().sum());
    Some(Answer::Meter { description, outlets: heard.len(), watts })
}
