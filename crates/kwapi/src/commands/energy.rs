//! `kwapi energy`: how much energy between two instants, queried from a running kwapi or read from a stopped one's
//! ledger.

mod output;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::{Timestamp, chain};
use kwapi_history::upgrade::refuse_newer;
use kwapi_history::{OpenError, Query, StoppedLedger, StoppedSamples};
use kwapi_plugins::Scope;
use kwapi_plugins::answers::{EnergyAnswers, EnergyQuestion};
use kwapi_plugins::api::ENERGY;
use kwapi_plugins::directory::Directory;
use kwapi_plugins::object_storage::{ObjectRanges, S3Bucket};

use super::client::{ClientFailure, KwapiClient};
use crate::cli::{EnergyArgs, EnergyPrint, LedgerArgs};
use crate::stack::status::default_address;
use crate::stack::{Roles, configured};

use output::EnergyPrinter;
pub(super) use output::print;

/// Queries and prints.
///
/// # Errors
/// When there is no answer, as one line.
pub(crate) async fn energy(arguments: &EnergyArgs, named: Option<&Path>) -> Result<(), String> {
    let pairs = pairs(arguments);
    let mut output = EnergyPrinter::new(arguments.format);
    answer(&arguments.ledger, named, &pairs, &mut |part| output.take(part)).await?;
    output.end()
}

/// Takes an answer part by part; an error ends it.
pub(super) type TakeAnswer<'a> = dyn FnMut(&[u8]) -> Result<(), String> + 'a;

/// Answers a question of `/v2/energy` from the ledger that is meant. Returns the position in the journal that the answer is
/// true at, where that is disclosed.
///
/// # Errors
/// When there is no answer, as one line.
pub(super) async fn answer(
    ledger: &LedgerArgs,
    named: Option<&Path>,
    pairs: &[(&'static str, String)],
    take: &mut TakeAnswer<'_>,
) -> Result<Option<String>, String> {
    if let Some(directory) = &ledger.state_directory {
        return read(directory, pairs, named, take);
    }
    let Some(url) = &ledger.url else { return fetch_or_read(ledger, named, pairs, take).await };
    let client = KwapiClient::of_api(url, ledger.token_file.as_deref(), ledger.ca_file.as_deref())?;
    fetch(&client, pairs, take).await.map_err(ClientFailure::into_line)
}

/// Queries, and hands the answer to `take` as it comes. Returns its position in the journal.
async fn fetch(
    client: &KwapiClient,
    pairs: &[(&'static str, String)],
    take: &mut TakeAnswer<'_>,
) -> Result<Option<String>, ClientFailure> {
    let mut answer = client.get(ENERGY, pairs).await?;
    let position = answer.position();
    while let Some(part) = answer.part().await? {
        take(part.as_ref()).map_err(ClientFailure::Other)?;
    }
    Ok(position)
}

/// Where services of this machine are queried.
fn addresses(ledger: &LedgerArgs, named: Option<&Path>) -> Result<Vec<SocketAddr>, String> {
    let first = super::status::address(ledger.address, named)?;
    let mut addresses = vec![first];
    // Where history is a service of its own it has the next port but three.
    if ledger.address.is_none() && first == default_address(Roles::DRIVERS) {
        addresses.push(default_address(Roles::RRD));
    }
    Ok(addresses)
}

/// Up to when the services of this machine wait for nothing more; `None` where none runs that reads what
/// others keep for it, or another machine is queried.
///
/// # Errors
/// When there is no place to query, as one line.
pub(super) async fn complete_until(
    ledger: &LedgerArgs,
    named: Option<&Path>,
) -> Result<Option<Timestamp>, String> {
    if ledger.state_directory.is_some() || ledger.url.is_some() {
        return Ok(None);
    }
    let mut until: Option<Timestamp> = None;
    for address in addresses(ledger, named)? {
        if let Some(report) = super::status::backlog(address).await {
            let of_this = Timestamp::from_seconds(report.complete_until);
            until = Some(until.map_or(of_this, |until| until.min(of_this)));
        }
    }
    Ok(until)
}

/// Queries a service's status listener; if no service runs, reads its files.
async fn fetch_or_read(
    ledger: &LedgerArgs,
    named: Option<&Path>,
    pairs: &[(&'static str, String)],
    take: &mut TakeAnswer<'_>,
) -> Result<Option<String>, String> {
    let addresses = addresses(ledger, named)?;
    let (mut absent, mut without) = (None, None);
    for address in addresses {
        match fetch(&KwapiClient::on_this_machine(address)?, pairs, take).await {
            Ok(position) => return Ok(position),
            Err(ClientFailure::Absent(why)) => absent = absent.or(Some(why)),
            Err(ClientFailure::NotKept(why)) => without = without.or(Some(why)),
            Err(ClientFailure::Other(why)) => return Err(why),
        }
    }
    if let Some(why) = without {
        return Err(why);
    }
    let absent = absent.unwrap_or_default();
    if ledger.address.is_some() {
        return Err(absent);
    }
    let config = super::configuration(named).map_err(|error| format!("{absent}; {error}"))?;
    read(&config.state_directory, pairs, named, take).map_err(|error| format!("{absent}; {error}"))
}

/// Reads the ledger of a stopped service.
fn read(
    directory: &Path,
    pairs: &[(&'static str, String)],
    named: Option<&Path>,
    take: &mut TakeAnswer<'_>,
) -> Result<Option<String>, String> {
    let now = crate::stack::wall_clock().now();
    let query = pairs.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.as_str())));
    let question = EnergyQuestion::parse(query, "", now).map_err(|error| error.message().to_owned())?;
    if kwapi_history::is_restore_unfinished(directory) {
        return Err(format!(
            "a restore into {} was interrupted; start the service, or restore again",
            directory.display()
        ));
    }
    refuse_newer(directory).map_err(|error| chain(&error))?;
    let home: PathBuf = directory.join("history");
    let ledger = StoppedLedger::open(&home).map_err(|error| match &error {
        OpenError::InUse(in_use) => format!("{in_use}, or query it with --address"),
        OpenError::Io(..) => chain(&error),
    })?;
    // Labels are the configuration's; without one there are none.
    let config = super::configuration(named).ok();
    let keeps_samples = config.as_ref().is_none_or(|config| config.samples.enabled);
    let samples = keeps_samples.then(|| StoppedSamples::open(&home)).transpose();
    let samples = samples.map_err(|error| format!("{}: {error}", home.display()))?;
    let s3 = config.as_ref().and_then(|config| config.samples.s3.as_ref());
    let samples = match (samples, s3) {
        (Some(samples), Some(s3)) if samples.has_uploads() => {
            let bucket = S3Bucket::new(s3, crate::stack::wall_clock()).map_err(|error| chain(&error))?;
            let runtime = tokio::runtime::Handle::current();
            Some(samples.with_objects(Arc::new(ObjectRanges::new(Arc::new(bucket), runtime))))
        }
        (samples, _) => samples,
    };
    let directory = Directory::new(config.as_ref().map(configured).unwrap_or_default());
    let answers = EnergyAnswers::new(Query::of_stopped(ledger, samples), directory);
    let prepared = answers.prepare(question, &Scope::All).map_err(|error| error.message().to_owned())?;
    let (mut failed, mut position) = (None, None);
    // What is in object storage comes by this runtime.
    let written = tokio::task::block_in_place(|| {
        prepared.write(|at| position = at, &mut |part| {
            failed = take(&part).err();
            failed.is_none()
        })
    });
    written.map_err(|error| error.message().to_owned())?;
    failed.map_or(Ok(position), Err)
}

/// The question, as the API takes it.
fn pairs(arguments: &EnergyArgs) -> Vec<(&'static str, String)> {
    let EnergyArgs { probes, label, group, start, end, step, by, zone, format, .. } = arguments;
    let mut pairs = Vec::new();
    let lists = [("pattern", probes), ("label", label), ("group", group)];
    for (name, values) in lists {
        pairs.extend(values.iter().map(|value| (name, value.clone())));
    }
    for (name, value) in [("start", start), ("step", step), ("by", by)] {
        pairs.extend(value.iter().map(|value| (name, value.clone())));
    }
    pairs.push(("end", end.clone()));
    let here = || jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC").to_owned();
    pairs.push(("zone", zone.clone().unwrap_or_else(here)));
    let format = match format {
        EnergyPrint::Table | EnergyPrint::Csv => "csv",
        EnergyPrint::Json => "json",
    };
    pairs.push(("format", format.to_owned()));
    pairs
}
