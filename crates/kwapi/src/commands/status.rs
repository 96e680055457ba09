//! `kwapi status`: how each meter of a running kwapi is doing, each link of a forwarder, or each peer of an API; of a process
//! with none of them, whether it is ready.

mod streams;

use std::net::SocketAddr;
use std::path::Path;

use kwapi_drivers::manager::MeterState;
use kwapi_plugins::peers::ApiPeerReport;
use serde::de::DeserializeOwned;

use super::client::{ClientFailure, KwapiClient, fetch_status};
use super::instance::{SERVICES, WantedInstance};
use crate::cli::StatusArgs;
use crate::stack::backlog::BacklogReport;
use crate::stack::spool::SpoolReport;
use crate::stack::status::{LinkReport, MeterReport, ProbeReport};
use streams::print_streams;

/// Queries and prints.
///
/// # Errors
/// When nobody answers, as one line.
pub(crate) async fn status(arguments: &StatusArgs, named: Option<&Path>) -> Result<(), String> {
    let address = status_address(arguments.address, named).await?;
    if let Some(links) = links(address).await? {
        return print_links(address, &links, arguments).await;
    }
    let meters: Vec<MeterReport> = match fetch_status(address, "/meters").await {
        Ok(body) => parsed(address, &body)?,
        Err(ClientFailure::Absent(why)) => return Err(absent(&why)),
        Err(ClientFailure::NotKept(_) | ClientFailure::Other(_)) => {
            return print_readiness(address, arguments).await;
        }
    };
    if meters.is_empty() && !arguments.json {
        return print_readiness(address, arguments).await;
    }
    let shown: Vec<&MeterReport> =
        meters.iter().filter(|meter| !arguments.troubled || !meter.is_up).collect();
    if arguments.json {
        let text = serde_json::to_string_pretty(&shown).map_err(|error| error.to_string())?;
        println!("{text}");
        return Ok(());
    }
    if !shown.is_empty() || !arguments.troubled {
        print(&shown);
    }
    println!("{}", summary(&meters));
    print_streams(address).await;
    print_spool(address).await;
    print_troubles(address).await;
    Ok(())
}

/// Whether a process that reads no meters is ready (`kwapi api`, `kwapi rrd`), and if not, why.
///
/// # Errors
/// When that is no kwapi, as one line.
async fn print_readiness(address: SocketAddr, arguments: &StatusArgs) -> Result<(), String> {
    let readiness = fetch_status(address, "/readyz").await;
    // A process that is not ready states that with an error's status, and one that is no kwapi has no troubles to report.
    parsed::<Vec<String>>(address, &get(address, "/troubles").await?)?;
    let peers = peers(address).await?;
    if arguments.json {
        // Of all its meters there is none.
        let text = serde_json::to_string_pretty(&shown_peers(&peers, arguments));
        println!("{}", text.map_err(|error| error.to_string())?);
        return Ok(());
    }
    if !peers.is_empty() {
        print_peers(&peers, arguments);
    }
    let readiness = readiness.map_or_else(ClientFailure::into_line, |_| "ready".to_owned());
    println!("no meters in this process; {readiness}");
    print_streams(address).await;
    print_troubles(address).await;
    Ok(())
}

/// What is kept for consumers at NATS, where anything is. An earlier version reports none.
async fn print_spool(address: SocketAddr) {
    let Ok(body) = fetch_status(address, "/spool").await else { return };
    let Ok(Some(spool)) = serde_json::from_slice::<Option<SpoolReport>>(&body) else { return };
    let megabytes = spool.bytes as f64 / 1e6;
    let oldest = spool.oldest_seconds.map_or_else(String::new, |age| format!(", the oldest for {age:.0} s"));
    println!("{megabytes:.1} MB of messages kept for consumers{oldest}; {} dropped", spool.dropped);
    for consumer in &spool.consumers {
        let since = consumer.received_seconds_ago;
        let since = since
            .map_or_else(|| "no report received".to_owned(), |ago| format!("last report {ago:.1} s ago"));
        println!(
            "  {} at {}: lacks {}, {since}; {} sent again",
            consumer.consumer, consumer.endpoint, consumer.lacking, consumer.repeated
        );
    }
}

/// What is wrong with the process at `address` itself. An earlier version reports none.
async fn print_troubles(address: SocketAddr) {
    let troubles = get(address, "/troubles").await.unwrap_or_default();
    for trouble in serde_json::from_slice::<Vec<String>>(&troubles).unwrap_or_default() {
        println!("trouble: {trouble}");
    }
}

/// Where the instance that is meant shows its status; where neither the command line nor a configuration names a place, the
/// first of its services that responds at its own.
///
/// # Errors
/// When only others respond, or the configuration cannot be read, as one line.
async fn status_address(given: Option<SocketAddr>, named: Option<&Path>) -> Result<SocketAddr, String> {
    let instance = WantedInstance::new(given, named)?;
    KwapiClient::on_this_machine(instance.address)?;
    let mut other = None;
    for address in instance.addresses(&SERVICES) {
        if get(address, "/healthz").await.is_err() {
            continue;
        }
        match instance.mismatch(address).await {
            None => return Ok(address),
            Some(why) => other = other.or(Some(why)),
        }
    }
    other.map_or(Ok(instance.address), |why| {
        Err(format!("{why}, which is not running or has another status address; use --address to select one"))
    })
}

/// The links of the forwarder at `address`; `None` where that is no forwarder.
///
/// # Errors
/// When nobody answers, as one line.
async fn links(address: SocketAddr) -> Result<Option<Vec<LinkReport>>, String> {
    match fetch_status(address, "/links").await {
        Ok(body) => parsed(address, &body).map(Some),
        Err(ClientFailure::Absent(why)) => Err(absent(&why)),
        Err(ClientFailure::NotKept(_) | ClientFailure::Other(_)) => Ok(None),
    }
}

/// The other instances of the API at `address`, where it has any.
///
/// # Errors
/// When nobody answers, as one line.
async fn peers(address: SocketAddr) -> Result<Vec<ApiPeerReport>, String> {
    match fetch_status(address, "/peers").await {
        Ok(body) => Ok(serde_json::from_slice(&body).unwrap_or_default()),
        Err(ClientFailure::Absent(why)) => Err(absent(&why)),
        Err(ClientFailure::NotKept(_) | ClientFailure::Other(_)) => Ok(Vec::new()),
    }
}

/// Up to when the process at `address` has read what others keep for its history, if they do.
pub(super) async fn backlog(address: SocketAddr) -> Option<BacklogReport> {
    let body = fetch_status(address, "/backlog").await.ok()?;
    serde_json::from_slice::<Option<BacklogReport>>(&body).ok()?
}

/// All of them, or those that something is wrong with.
fn shown_peers<'a>(peers: &'a [ApiPeerReport], arguments: &StatusArgs) -> Vec<&'a ApiPeerReport> {
    let is_fine = |peer: &ApiPeerReport| peer.is_up && peer.diverged == 0;
    peers.iter().filter(|peer| !arguments.troubled || !is_fine(peer)).collect()
}

fn print_peers(peers: &[ApiPeerReport], arguments: &StatusArgs) {
    let shown = shown_peers(peers, arguments);
    if !shown.is_empty() {
        let width = shown.iter().map(|peer| peer.peer.chars().count()).max().unwrap_or(4).max(4);
        println!("{:width$}  {:<5} {:>14} {:>8}", "PEER", "STATE", "ACCOUNTS TAKEN", "DIVERGED");
        for peer in &shown {
            let state = if peer.is_up { "up" } else { "down" };
            println!("{:width$}  {state:<5} {:>14} {:>8}", peer.peer, peer.accounts_taken, peer.diverged);
        }
    }
    println!("{} of {} peers up", peers.iter().filter(|peer| peer.is_up).count(), peers.len());
}

async fn print_links(
    address: SocketAddr,
    links: &[LinkReport],
    arguments: &StatusArgs,
) -> Result<(), String> {
    let shown: Vec<&LinkReport> = links.iter().filter(|link| !arguments.troubled || link.is_cut).collect();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&shown).map_err(|error| error.to_string())?);
        return Ok(());
    }
    if !shown.is_empty() || !arguments.troubled {
        let width = shown.iter().map(|link| link.endpoint.chars().count()).max().unwrap_or(4).max(4);
        println!(
            "{:width$}  {:<10} {:>12} {:>14} {:>7} {:>10} {:>10}",
            "LINK", "SIDE", "MESSAGES", "BYTES", "TOPICS", "LAG", "LAST"
        );
        let seconds =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3} s"));
        for link in &shown {
            println!(
                "{:width$}  {:<10} {:>12} {:>14} {:>7} {:>10} {:>10}{}",
                link.endpoint,
                link.side,
                link.messages,
                link.bytes,
                link.subscriptions,
                seconds(link.lag_seconds),
                seconds(link.last_message_seconds_ago),
                if link.is_cut { "  cut" } else { "" },
            );
        }
    }
    let cut = links.iter().filter(|link| link.is_cut).count();
    println!("{} links, {cut} cut", links.len());
    print_troubles(address).await;
    Ok(())
}

/// Every meter, as the driver manager at `address` sees it.
///
/// # Errors
/// When nobody answers there, or no driver manager, as one line.
pub(super) async fn meters(address: SocketAddr) -> Result<Vec<MeterReport>, String> {
    parsed(address, &get(address, "/meters").await?)
}

fn parsed<T: DeserializeOwned>(address: SocketAddr, body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|_| format!("{address} is not a kwapi status endpoint"))
}

fn print(meters: &[&MeterReport]) {
    let width = meters.iter().map(|meter| meter.name.chars().count()).max().unwrap_or(5).max(5);
    println!(
        "{:width$}  {:<10} {:<9} {:>9} {:>10} {:>8}  PROBES",
        "METER", "DRIVER", "STATE", "LATENCY", "READS", "FAILED"
    );
    for meter in meters {
        let latency = meter
            .latency_seconds
            .map_or_else(|| "-".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3));
        let watts =
            watts(&meter.probes).map_or_else(|| "no power".to_owned(), |watts| format!("{watts:.1} W"));
        let silent = meter.probes.iter().filter(|probe| is_silent(probe)).count();
        let trouble = if silent > 0 { format!(", {silent} silent") } else { String::new() };
        println!(
            "{:width$}  {:<10} {:<9} {latency:>9} {:>10} {:>8}  {} ({watts}{trouble})",
            meter.name,
            meter.driver,
            meter.state,
            meter.reads,
            meter.failures,
            meter.probes.len(),
        );
        if let Some(error) = meter.last_error.as_ref().filter(|_| !meter.is_up) {
            println!("{:width$}  └ {error}", "");
        }
    }
    for meter in meters {
        if let Some(missed) = meter.missed() {
            println!("{}: {missed}", meter.name);
        }
        if let Some(unmeasured) = unmeasured(meter) {
            println!("{}: {unmeasured}", meter.name);
        }
        for (probe, finding) in
            meter.probes.iter().flat_map(|probe| probe.findings().map(move |it| (probe, it)))
        {
            println!("{}, {}: {finding}", meter.name, probe.probe);
        }
    }
}

/// How many of all meters are up, also where only those are shown that are not.
fn summary(meters: &[MeterReport]) -> String {
    let up = meters.iter().filter(|meter| meter.is_up).count();
    let waiting = meters.iter().filter(|meter| meter.state == MeterState::Waiting.as_str()).count();
    let waiting = if waiting > 0 { format!(", {waiting} of them waiting") } else { String::new() };
    format!("{up} of {} meters up{waiting}", meters.len())
}

/// Whether a probe is not measured at present. An earlier version reports problems only.
fn is_silent(probe: &ProbeReport) -> bool {
    probe.is_silent.unwrap_or(probe.problem.is_some())
}

/// The probes of a meter of which no data was received, once it has been tried: `no data received yet of a, b and 3 more`.
fn unmeasured(meter: &MeterReport) -> Option<String> {
    /// As many are named.
    const NAMED_MAX: usize = 5;
    if meter.state == MeterState::Starting.as_str() {
        return None;
    }
    let all = meter.probes.iter().filter(|probe| probe.measured_at.is_none());
    let mut all: Vec<&str> = all.map(|probe| probe.probe.as_str()).collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    all.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!all.is_empty()).then(|| format!("no data received yet of {}{more}", all.join(", ")))
}

/// What the probes draw that are measured; of the others only the past is known.
fn watts(probes: &[ProbeReport]) -> Option<f64> {
    let measured = probes.iter().filter(|probe| !is_silent(probe));
    measured.filter_map(|probe| probe.watts).reduce(|one, other| one + other)
}

/// What the status listener at `address` answers to `path`, or why there is no answer, as one line.
async fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    KwapiClient::on_this_machine(address)?;
    fetch_status(address, path).await.map_err(|failure| match failure {
        ClientFailure::Absent(why) => absent(&why),
        ClientFailure::NotKept(_) => format!(
            "the process at {address} reads no meters; use --address with the driver manager's status address"
        ),
        ClientFailure::Other(_) => format!("{address} is not a kwapi status endpoint"),
    })
}

fn absent(why: &str) -> String {
    format!("{why}; check that kwapi is running, or use --address")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A probe as a status listener reports it; `more` are further members.
    fn probe(watts: f64, problem: Option<&str>, more: &str) -> ProbeReport {
        let problem = serde_json::json!(problem);
        let json = format!(
            r#"{{"probe": "a", "watts": {watts}, "measured_at": 1.0, "problem": {problem}, "counter_believed": true{more}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn watts_that_nobody_measures_any_more_are_not_added() {
        let now = || probe(40.0, None, r#", "is_silent": false"#);
        let silent = || probe(500.0, None, r#", "is_silent": true"#);
        let missed_once = || probe(20.0, Some("not ready"), r#", "is_silent": false"#);
        let of_before = || probe(500.0, Some("not ready"), "");
        assert_eq!(watts(&[now(), silent(), missed_once(), of_before(), now()]), Some(100.0));
        assert_eq!(watts(&[silent(), of_before()]), None);
        assert_eq!(watts(&[probe(2.0, None, "")]), Some(2.0));
    }
}
