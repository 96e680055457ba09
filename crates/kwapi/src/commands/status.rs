//! `kwapi status`: how each meter of a running kwapi is doing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use kwapi_drivers::manager::MeterState;

use crate::cli::Status;
use crate::config::Config;
use crate::stack::Roles;
use crate::stack::status::{Meter, default_address};

/// A listener on loopback answers at once, or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than the meters of the largest site in JSON.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Asks and prints.
///
/// # Errors
/// When nobody answers, as one line.
pub(crate) fn status(arguments: &Status, named: Option<&Path>) -> Result<(), String> {
    let mut meters = meters(address(arguments.address, named)?)?;
    meters.retain(|meter| !arguments.troubled || !meter.is_up);
    if arguments.json {
        let text = serde_json::to_string_pretty(&meters).map_err(|error| error.to_string())?;
        println!("{text}");
        return Ok(());
    }
    print(&meters);
    Ok(())
}

/// Where to ask: as told, as configured, or where a driver manager is by default. A configuration that was broken
/// after the start is no reason not to ask.
///
/// # Errors
/// When the configuration that was named cannot be read, as one line.
pub(super) fn address(told: Option<SocketAddr>, named: Option<&Path>) -> Result<SocketAddr, String> {
    if let Some(address) = told {
        return Ok(address);
    }
    let default = default_address(Roles::DRIVERS);
    let Some(file) = Config::find(named) else { return Ok(default) };
    match crate::config::status_listener(&file) {
        Ok(listen) => Ok(listen.unwrap_or(default)),
        Err(error) if !file.is_file() => Err(error.to_string()),
        Err(error) => {
            eprintln!("the configuration is broken ({error}); asking at {default}");
            Ok(default)
        }
    }
}

/// Every meter, as the driver manager at `address` sees it. Blocks.
///
/// # Errors
/// When nobody answers there, or no driver manager, as one line.
pub(super) fn meters(address: SocketAddr) -> Result<Vec<Meter>, String> {
    let body = get(address, "/meters")?;
    serde_json::from_slice(&body).map_err(|_| format!("{address} is no driver manager's status listener"))
}

fn print(meters: &[Meter]) {
    let width = meters.iter().map(|meter| meter.name.chars().count()).max().unwrap_or(5).max(5);
    println!(
        "{:width$}  {:<10} {:<9} {:>9} {:>10} {:>8}  PROBES",
        "METER", "DRIVER", "STATE", "LATENCY", "READS", "FAILED"
    );
    for meter in meters {
        let latency = meter
            .latency_seconds
            .map_or_else(|| "-".to_owned(), |seconds| format!("{:.1} ms", seconds * 1e3));
        let watts = meter.probes.iter().filter_map(|probe| probe.watts).reduce(|one, other| one + other);
        let watts = watts.map_or_else(|| "no watts".to_owned(), |watts| format!("{watts:.1} W"));
        let silent = meter.probes.iter().filter(|probe| probe.problem.is_some()).count();
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
    let up = meters.iter().filter(|meter| meter.is_up).count();
    let waiting = meters.iter().filter(|meter| meter.state == MeterState::Waiting.as_str()).count();
    let waiting = if waiting > 0 { format!(", {waiting} of them waiting") } else { String::new() };
    println!("{up} of {} meters up{waiting}", meters.len());
}

/// One request over HTTP/1.0, whose answer ends with the connection.
fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    let fetch = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = fetch().map_err(|error| {
        format!(
            "nobody answers at {address} ({error}): is kwapi running? --address names another status listener"
        )
    })?;
    let strange = || format!("what answers at {address} is no kwapi");
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(strange)?;
    let head = String::from_utf8_lossy(answer.get(..head_end).unwrap_or_default()).into_owned();
    match head.split(' ').nth(1) {
        Some("200") => Ok(answer.get(head_end + 4..).unwrap_or_default().to_vec()),
        Some("404") => {
            Err(format!("what answers at {address} reads no meters: ask the driver manager's (--address)"))
        }
        _ => Err(strange()),
    }
}
