//! `kwapi probe`: one meter, read once and explained.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Quality, Reading, Watts};
use kwapi_drivers::deadline::{Silent, since_last_answer};
use kwapi_drivers::manager::{CounterPower, MeterSpec, derived_power};
use kwapi_drivers::registry::{MeterSession, SharedPool};
use kwapi_drivers::{Cadence, DriverError, Readings};

use crate::cli::ProbeArgs;
use crate::config::{Config, nearest};

/// A counter alone reports no watts: it is read twice, this long apart.
const COUNTER_PAUSE: Duration = Duration::from_secs(1);
/// A busy device, or a serial line joined in the middle of a record, may do better after this.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// More names than this in a complaint help nobody.
const NAMES_SHOWN: usize = 20;

/// Reads it and prints what was found, which source is used and why.
///
/// # Errors
/// When there is no such meter or it cannot be read, as one line.
pub(crate) async fn probe(arguments: &ProbeArgs, named: Option<&Path>) -> Result<(), String> {
    let config = super::configuration(named)?;
    let meter = find(&config, &arguments.meter)?;
    if let Some(file) = &arguments.record {
        return record(meter, file).await;
    }
    println!("{}  ({})", meter.name, meter.driver.name());
    let failed = |error: Failure| format!("{}: {}", meter.name, error.message);
    let (mut session, round) = read(meter, &SharedPool::default()).await.map_err(failed)?;
    for finding in session.findings() {
        let mark = if finding.is_used { "✓" } else { "·" };
        println!("  {mark} {:<28}  {:<32}  {}", finding.what, finding.value, finding.why);
    }
    println!();
    let counted = if has_counters_only(&round) {
        println!("  energy counter only; reading again after {} s to derive power", COUNTER_PAUSE.as_secs());
        count(meter, &mut session, &round).await.map_err(failed)?
    } else {
        HashMap::new()
    };
    for (probe, reading) in round {
        match reading {
            Ok(reading) => {
                println!(
                    "  {:<40} {reading}{}",
                    probe.to_string(),
                    derived(meter, &reading, counted.get(&probe))
                );
            }
            Err(no_reading) => println!("  {:<40} no reading: {no_reading}", probe.to_string()),
        }
    }
    Ok(())
}

/// The watts of a reading that does not have them, as the driver manager would derive them.
fn derived(meter: &MeterSpec, reading: &Reading, counted: Option<&(Watts, Quality)>) -> String {
    if reading.power.is_some() {
        return String::new();
    }
    match derived_power(reading, counted.copied(), &meter.assumptions) {
        Ok((power, Quality::Measured)) => format!("  → {}", to_milliwatts(power)),
        Ok((power, Quality::Estimated)) => format!("  → {} (estimated)", to_milliwatts(power)),
        Err(no_reading) => format!("  → no power: {no_reading}"),
    }
}

/// What is derived from volts and amperes or a counter, without the digits that only arithmetic has.
fn to_milliwatts(power: Watts) -> Watts {
    Watts((power.0 * 1e3).round() / 1e3)
}

fn has_counters_only(round: &Round) -> bool {
    let counts_only = |reading: &Reading| reading.power.is_none() && reading.counter.is_some();
    round.iter().any(|(_, reading)| reading.as_ref().is_ok_and(counts_only))
}

/// Reads a second time and derives power from what the counters advanced.
async fn count(
    meter: &MeterSpec,
    session: &mut MeterSession,
    first: &Round,
) -> Result<HashMap<ProbeId, (Watts, Quality)>, Failure> {
    let begin = tokio::time::Instant::now();
    let mut counters: HashMap<ProbeId, CounterPower> = HashMap::new();
    let mut observe = |round: &Round, at: Duration| {
        let mut counted = HashMap::new();
        for (probe, reading) in round {
            let Some(counter) = reading.as_ref().ok().and_then(|reading| reading.counter) else { continue };
            let power = counters.entry(probe.clone()).or_default().observe(&counter, at, meter.max_gap);
            counted.extend(power.map(|power| (probe.clone(), power)));
        }
        counted
    };
    observe(first, begin.elapsed());
    tokio::time::sleep(COUNTER_PAUSE).await;
    let mut readings = Readings::default();
    let second = since_last_answer(meter.deadline, session.read(&mut readings)).await;
    let at = begin.elapsed();
    match second {
        Ok(result) => result.map_err(Failure::from)?,
        Err(silent) => return Err(Failure::silent(meter, silent)),
    }
    Ok(observe(&readings.drain().collect(), at))
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a MeterSpec, String> {
    let measures =
        |meter: &&MeterSpec| meter.outlets.named().iter().any(|outlet| outlet.probe.as_str() == name);
    let by_name = config.meters.iter().find(|meter| meter.name == name);
    by_name.or_else(|| config.meters.iter().find(measures)).ok_or_else(|| {
        let names = config.meters.iter().map(|meter| meter.name.as_str());
        let probes = config.meters.iter().flat_map(|meter| meter.outlets.named());
        let all = names.clone().chain(probes.map(|outlet| outlet.probe.as_str()));
        if config.meters.is_empty() {
            return format!("unknown meter {name:?}; no meters are configured");
        }
        if let Some(known) = nearest(name, all) {
            return format!("unknown meter {name:?}; did you mean {known:?}?");
        }
        let shown: Vec<&str> = names.take(NAMES_SHOWN).collect();
        let more = if config.meters.len() > NAMES_SHOWN { ", …" } else { "" };
        format!("unknown meter {name:?}; available: {}{more}", shown.join(", "))
    })
}

/// What a round returns.
pub(super) type Round = Vec<(ProbeId, Result<Reading, NoReading>)>;

/// Why a meter could not be read.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) kind: FailureKind,
}

/// What a failure shows of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It did not answer.
    Silent,
    /// It is there, and refuses or makes no sense.
    Answered,
    /// It is of the driver's kind, and requires a login, or another one.
    Locked,
    /// It is of the driver's kind, and nothing can be read as it is configured.
    NothingToRead,
}

impl Failure {
    fn silent(meter: &MeterSpec, silent: Silent) -> Self {
        let seconds = meter.deadline.as_secs_f64();
        let message = format!("timed out after {seconds} s (deadline_seconds){}", silent.advice());
        let kind = if silent.answers > 0 { FailureKind::Answered } else { FailureKind::Silent };
        Self { message, kind }
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        let message = error.to_string();
        let kind = match error {
            DriverError::Link(_) => FailureKind::Silent,
            // Who shows a certificate is there, trusted or not.
            DriverError::Untrusted(_)
            | DriverError::Malformed { .. }
            | DriverError::Busy(_)
            | DriverError::Refused(_) => FailureKind::Answered,
            DriverError::Locked(_) => FailureKind::Locked,
            DriverError::NothingToRead(_) => FailureKind::NothingToRead,
        };
        Self { message, kind }
    }
}

/// Opens a session with what `pool` has in common and takes the first readings, each within the meter's deadline. A device
/// that is busy or makes no sense is read again until the deadline.
pub(super) async fn read(meter: &MeterSpec, pool: &SharedPool) -> Result<(MeterSession, Round), Failure> {
    let connector = meter.driver.connector(pool);
    let mut session = match since_last_answer(meter.deadline, connector.open(&meter.outlets)).await {
        Ok(opened) => opened?,
        Err(silent) => return Err(Failure::silent(meter, silent)),
    };
    let end = tokio::time::Instant::now() + meter.deadline;
    let mut readings = Readings::default();
    let mut last = None;
    loop {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        if let (true, Some(failure)) = (left.is_zero(), last.take()) {
            return Err(failure);
        }
        match since_last_answer(left, session.read(&mut readings)).await {
            // A pushed record may be a header; wait for one that holds something.
            Ok(Ok(())) if meter.driver.cadence() == Cadence::Polled || !readings.is_empty() => {
                return Ok((session, readings.drain().collect()));
            }
            Ok(Ok(())) => {
                last = Some(Failure::silent(meter, Silent { deadline: meter.deadline, answers: 0 }));
            }
            Ok(Err(error @ (DriverError::Malformed { .. } | DriverError::Busy(_)))) => {
                last = Some(error.into());
                tokio::time::sleep(RETRY_PAUSE.min(left)).await;
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(silent) => return Err(last.unwrap_or_else(|| Failure::silent(meter, silent))),
        }
    }
}

async fn record(meter: &MeterSpec, file: &Path) -> Result<(), String> {
    let Some(config) = meter.driver.config::<kwapi_drivers::snmp::Snmp>() else {
        return Err(format!(
            "{}: --record requires an SNMP meter; this meter's driver is {}",
            meter.name,
            meter.driver.name()
        ));
    };
    eprintln!("walking {} …", meter.name);
    let shared = Arc::new(kwapi_drivers::snmp::SnmpShared::default());
    let walk = kwapi_drivers::snmp::record(config, &shared).await.map_err(|error| error.to_string())?;
    std::fs::write(file, &walk).map_err(|error| format!("{}: {error}", file.display()))?;
    println!(
        "{} objects written to {}; names and addresses have been anonymised",
        walk.lines().count(),
        file.display()
    );
    Ok(())
}
