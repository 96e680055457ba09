//! `kwapi measure`: how much energy a command used, or what ran between two marks.

mod job;
mod level;
mod report;
mod source;
mod tally;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kwapi_core::{Pattern, ProbeId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{ClientFailure, KwapiClient};
use crate::cli;
use crate::config::Config;
use crate::stack::clocks;

use job::{Job, Signals};
use report::{Facts, Report};
use source::{Meters, Service, TotalsSource};
use tally::{Point, Tally};

/// How often the probes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long is waited for a first reading, and after the end for one of each probe.
const READING_MAX: Duration = Duration::from_secs(10);
/// Probes that ranges in brackets may stand for.
const PATTERNS_MAX: usize = 100_000;
/// The exit status where nothing was measured, as `timeout` has it: a command's own are lower as a rule.
const NOT_MEASURED: u8 = 125;

/// What a mark has: the totals at its instant.
#[derive(Debug, Deserialize, Serialize)]
struct Mark {
    start: Timestamp,
    probes: BTreeMap<ProbeId, Point>,
}

/// Measures and prints. The exit status is the command's.
///
/// # Errors
/// When nothing can be measured, as one line; the command is not started then.
pub(crate) async fn measure(arguments: &cli::MeasureArgs, named: Option<&Path>) -> Result<ExitCode, String> {
    match measured(arguments, named).await {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(message) => {
            eprintln!("kwapi: {message}");
            Ok(ExitCode::from(NOT_MEASURED))
        }
    }
}

async fn measured(arguments: &cli::MeasureArgs, named: Option<&Path>) -> Result<u8, String> {
    let mut signals = Signals::take().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let config = Config::find(named).map(|file| Config::read(&file)).transpose();
    let config = config.map_err(|error| error.to_string())?;
    let clocks = clocks();
    let patterns = patterns(&arguments.probes)?;
    let source = source(arguments, &patterns, config.as_ref(), &clocks).await?;
    let probes = Wanted { patterns: &patterns, config: config.as_ref() };
    let first = first_points(&source, &probes).await?;
    if let Some(file) = &arguments.begin {
        let mark = Mark { start: clocks.wall.now(), probes: first };
        let text = serde_json::to_string(&mark).map_err(|error| error.to_string())?;
        std::fs::write(file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))?;
        source.stop().await;
        return Ok(0);
    }
    let (start, mut tallies) = begin(arguments, first, clocks.wall.now())?;
    let mut watch = Watch { source: &source, probes: &probes, tallies: &mut tallies, peak: None };
    let mut status = 0;
    if arguments.end.is_none() {
        status = match Job::start(&arguments.command) {
            Ok(job) => watch.while_it_runs(job, &mut signals).await?,
            Err((status, why)) => {
                eprintln!("kwapi: {why}");
                source.stop().await;
                return Ok(status);
            }
        };
    }
    let end = clocks.wall.now();
    watch.after_the_end(end).await;
    let peak_watts = watch.peak;
    let of_devices = match &source {
        TotalsSource::Service(service) => {
            let mut known = service.accuracy(&patterns).await.unwrap_or_default();
            // Somebody else's meters are not queried here.
            if arguments.url.is_none() {
                known.extend(accuracy_of_devices(named).await.unwrap_or_default());
            }
            known
        }
        TotalsSource::Meters(meters) => meters.accuracy(),
    };
    let facts = Facts {
        command: if arguments.end.is_some() { "what ran".to_owned() } else { shown(&arguments.command) },
        start,
        end,
        exit_status: arguments.end.is_none().then_some(status),
        peak_watts: peak_watts.filter(|_| arguments.end.is_none()),
        currency: config.as_ref().map_or_else(|| "€".to_owned(), |config| config.rrd.currency.clone()),
        price_per_kwh: config.as_ref().map_or(0.25, |config| config.rrd.kwh_price),
        accuracy: accuracy(arguments.accuracy, config.as_ref(), &of_devices, tallies.keys()),
        is_register: source.is_register(),
    };
    let of_ledger = source.energy(&patterns, start, end).await;
    source.stop().await;
    let used = tallies.into_iter().map(|(probe, tally)| {
        let used = tally.used();
        let used = of_ledger.get(&probe).map_or(used, |parts| used.by_ledger(*parts));
        (probe, used)
    });
    let used = used.collect();
    let report = Report::new(facts, used);
    let text = if arguments.json { report.json()? } else { report.text() };
    match &arguments.output {
        None => eprint!("{text}"),
        Some(file) => std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?,
    }
    Ok(status)
}

/// Where each probe begins: at the mark, or at what was just read.
fn begin(
    arguments: &cli::MeasureArgs,
    first: BTreeMap<ProbeId, Point>,
    now: Timestamp,
) -> Result<(Timestamp, BTreeMap<ProbeId, Tally>), String> {
    let mark = match &arguments.end {
        None => Mark { start: now, probes: first },
        Some(file) => {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
            serde_json::from_str(&text).map_err(|_| wrong(&"not written by `kwapi measure --begin`"))?
        }
    };
    let tallies = mark.probes.into_iter().map(|(probe, point)| {
        let mut tally = Tally::new(mark.start);
        tally.take(point);
        (probe, tally)
    });
    Ok((mark.start, tallies.collect()))
}

/// The service, if there is one; else the configured meters, read here.
async fn source(
    arguments: &cli::MeasureArgs,
    patterns: &[Pattern],
    config: Option<&Config>,
    clocks: &kwapi_core::ProcessClocks,
) -> Result<TotalsSource, String> {
    let own = |config: &Config| {
        TotalsSource::Meters(Meters::start(config, clocks.wall.clone(), clocks.monotonic.clone()))
    };
    if arguments.meters {
        return config
            .map(own)
            .ok_or_else(|| "no configuration found; --meters reads the meters of one".to_owned());
    }
    let url = arguments.url.clone().unwrap_or_else(|| {
        let api = config.map(|config| &config.api.config);
        let scheme = if api.is_some_and(|api| api.tls.is_some()) { "https" } else { "http" };
        let listen = api.map_or_else(|| kwapi_plugins::api::ApiConfig::default().listen, |api| api.listen);
        format!("{scheme}://{listen}")
    });
    let client = KwapiClient::of_api(&url, arguments.token_file.as_deref(), arguments.ca_file.as_deref())?;
    let source = TotalsSource::Service(Service(client));
    match (source.points(patterns).await, config) {
        (Ok(_), _) => Ok(source),
        // Nobody else reads them now.
        (Err(ClientFailure::Absent(why)), Some(config))
            if arguments.url.is_none() && !config.meters.is_empty() =>
        {
            eprintln!("kwapi: {why}; reading the configured meters");
            Ok(own(config))
        }
        (Err(failure), _) => Err(failure.into_line()),
    }
}

/// Reads patterns, in which brackets are ranges.
fn patterns(texts: &[String]) -> Result<Vec<Pattern>, String> {
    let mut patterns = Vec::new();
    for text in texts {
        let more = Pattern::expand(text, PATTERNS_MAX.saturating_sub(patterns.len()));
        patterns.extend(more.map_err(|error| format!("--probes {text}: {error}"))?);
    }
    Ok(patterns)
}

/// Which probes are measured.
struct Wanted<'a> {
    patterns: &'a [Pattern],
    config: Option<&'a Config>,
}

impl Wanted<'_> {
    /// Whether a probe counts: a sum of others only where it is named itself.
    fn has(&self, probe: &ProbeId) -> bool {
        let is_named =
            self.patterns.iter().any(|pattern| matches!(pattern, Pattern::Exact(id) if id == probe));
        let is_sum =
            self.config.is_some_and(|config| config.virtual_probes.iter().any(|sum| sum.probe == *probe));
        is_named || !is_sum
    }
}

/// Waits until each probe has a reading, for a while.
async fn first_points(
    source: &TotalsSource,
    wanted: &Wanted<'_>,
) -> Result<BTreeMap<ProbeId, Point>, String> {
    let until = Instant::now() + READING_MAX;
    let mut before = 0;
    loop {
        let points = points(source, wanted).await?;
        // Those of meters that are read here come one after the other.
        let is_settled =
            !points.is_empty() && (points.len() == before || matches!(source, TotalsSource::Service(_)));
        if is_settled || (Instant::now() >= until && !points.is_empty()) {
            return Ok(points);
        }
        if Instant::now() >= until {
            return Err("no reading of any of these probes; `kwapi status` shows the meters".to_owned());
        }
        before = points.len();
        sleep(2 * LOOK_INTERVAL).await;
    }
}

async fn points(source: &TotalsSource, wanted: &Wanted<'_>) -> Result<BTreeMap<ProbeId, Point>, String> {
    let points = source.points(wanted.patterns).await.map_err(ClientFailure::into_line)?;
    Ok(points.into_iter().filter(|(probe, _)| wanted.has(probe)).collect())
}

/// Looks at the probes while the command runs, and after.
struct Watch<'a> {
    source: &'a TotalsSource,
    probes: &'a Wanted<'a>,
    tallies: &'a mut BTreeMap<ProbeId, Tally>,
    peak: Option<f64>,
}

impl Watch<'_> {
    async fn while_it_runs(&mut self, job: Job, signals: &mut Signals) -> Result<u8, String> {
        let pid = job.pid();
        let mut ended = tokio::task::spawn_blocking(move || job.wait());
        let mut next = Instant::now() + LOOK_INTERVAL;
        loop {
            tokio::select! {
                biased;
                ended = &mut ended => {
                    let status = ended.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                    return Ok(job::code(status));
                }
                signal = signals.next() => job::pass_on(pid, signal),
                () = sleep_until(next) => {
                    // A service that is restarted meanwhile continues afterwards.
                    self.look().await;
                    next = Instant::now() + LOOK_INTERVAL;
                }
            }
        }
    }

    async fn look(&mut self) {
        let Ok(points) = points(self.source, self.probes).await else { return };
        let mut watts = 0.0;
        for (probe, point) in points {
            if let Some(tally) = self.tallies.get_mut(&probe) {
                tally.take(point);
                watts += point.watts.0;
            }
        }
        self.peak = Some(self.peak.map_or(watts, |peak| peak.max(watts)));
    }

    /// Waits for a reading of each probe after the end, for a while.
    async fn after_the_end(&mut self, end: Timestamp) {
        self.tallies.values_mut().for_each(|tally| tally.end(end));
        let peak = self.peak;
        let until = Instant::now() + READING_MAX;
        while self.tallies.values().any(|tally| !tally.is_whole()) && Instant::now() < until {
            self.look().await;
            sleep(LOOK_INTERVAL / 2).await;
        }
        // What is drawn after the end is none of the command's.
        if peak.is_some() {
            self.peak = peak;
        }
    }
}

/// What the devices of the driver manager on this machine report of their accuracy, in percent of the reading.
async fn accuracy_of_devices(named: Option<&Path>) -> Result<BTreeMap<ProbeId, f64>, String> {
    let meters = super::status::meters(super::status::address(None, named)?).await?;
    let probes = meters.into_iter().flat_map(|meter| meter.probes);
    let stated = probes.filter_map(|probe| Some((ProbeId::new(probe.probe).ok()?, probe.accuracy_percent?)));
    Ok(stated.collect())
}

/// The accuracy of each probe's meter, in percent: as given for all, as configured, or as the device or the probe's
/// publisher reports.
fn accuracy<'a>(
    given: Option<f64>,
    config: Option<&Config>,
    of_devices: &BTreeMap<ProbeId, f64>,
    probes: impl Iterator<Item = &'a ProbeId>,
) -> BTreeMap<ProbeId, f64> {
    let configured = |probe: &ProbeId| config.and_then(|config| config.accuracy.of(probe));
    let of = |probe: &ProbeId| given.or_else(|| configured(probe)).or_else(|| of_devices.get(probe).copied());
    probes.filter_map(|probe| Some((probe.clone(), of(probe)?))).collect()
}

fn shown(words: &[std::ffi::OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
