//! History and the pages over it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use kwapi_core::{Gaps, ProbeId, Timestamp, WallClock};
use kwapi_graph::Tariff;
use kwapi_history::journal::Journal;
use kwapi_history::{
    Flusher, Groups, GroupsConfig, History, HistoryConfig, Ledger, LedgerConfig, LedgerWriter, Query,
    Samples, SamplesConfig, SamplesWriter, Windows,
};
use kwapi_plugins::audit::AuditLog;
use kwapi_plugins::auth::{Auth, AuthConfig, LoginConfig, Logins};
use kwapi_plugins::bills::Bills;
use kwapi_plugins::directory::Directory;
use kwapi_plugins::metrics::Metrics;
use kwapi_plugins::object_storage::{ObjectRanges, S3Bucket, upload_samples};
use kwapi_plugins::web::{LiveStreams, PageSources, ReceptionProblems, Settings};

use super::backlog::Backlog;
use super::feed::Feed;
use super::{Process, metrics, readiness};
use crate::config::{Config, chain};

/// History of this process, and what the pages show besides.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) history: Arc<History>,
    flusher: Flusher,
    groups: Option<KeptGroups>,
    ledger: Option<LedgerWriter>,
    /// What questions about energy are answered from, where a ledger is kept.
    pub(super) query: Option<Query>,
    samples: Option<KeptSamples>,
}

/// The history of groups, and what writes it.
#[derive(Debug)]
struct KeptGroups {
    groups: Groups,
    flusher: Flusher,
}

/// The samples, what writes them, and what uploads them, where that is configured.
#[derive(Debug)]
struct KeptSamples {
    samples: Arc<Samples>,
    writer: SamplesWriter,
    uploading: Option<tokio::task::JoinHandle<()>>,
}

impl Pages {
    /// Opens the history over `journal`. What the clock ends waits for the backlog.
    ///
    /// # Errors
    /// When the directory is in use or unusable, as one line.
    pub(super) fn open(
        process: &Process,
        config: &Config,
        gaps: &Gaps,
        journal: &Journal,
        backlog: &Backlog,
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let history = History::open_unread(history_config(config, gaps.clone()), journal)
            .map_err(|error| chain(&error))?;
        let history = Arc::new(history);
        let clock = process.monotonic.clone();
        let flusher = Flusher::start(history.clone(), move || clock.now(), process.clock.clone())
            .map_err(|error| chain(&error))?;
        readiness::history(all, history.clone());
        all.add(metrics::history(history.clone()));
        readiness::directory(all, "history_directory", config.state_directory.join("history"));
        let ends = backlog.clock();
        let samples = samples(process, config, journal, &ends, all)?;
        let kept = samples.as_ref().map(|kept| kept.samples.clone());
        let (ledger, query) = ledger(process, config, (journal, &ends), &history, all)?.unzip();
        let query = query.map(|query| query.with_samples(kept));
        let groups = groups(process, config, gaps, journal, query.as_ref(), all)?;
        Ok(Self { history, flusher, groups, ledger, query, samples })
    }

    /// The history of groups, where it is kept.
    pub(super) fn groups(&self) -> Option<Groups> {
        self.groups.as_ref().map(|kept| kept.groups.clone())
    }

    /// What the pages are made of; `feed` is what this process receives.
    pub(super) fn sources(&self, directory: &Directory, bills: &Bills, feed: Option<&Feed>) -> PageSources {
        let windows = self.query.clone().map(Windows::new);
        let directory = directory.clone().with_windows(windows).with_groups(self.groups());
        let subscriber = feed.map(|feed| feed.subscriber.clone());
        let reception = subscriber
            .map(|subscriber| -> ReceptionProblems { Arc::new(move || readiness::reception(&subscriber)) });
        PageSources { directory, bills: Some(bills.clone()), reception }
    }

    /// Takes up which probes are sums of others.
    pub(super) fn apply(&self, config: &Config) {
        if let Some(kept) = &self.groups {
            kept.groups.set_sums(sums(config));
        }
    }

    /// The samples, where they are kept.
    pub(super) fn samples(&self) -> Option<Arc<Samples>> {
        self.samples.as_ref().map(|kept| kept.samples.clone())
    }

    /// Writes to its files what can be written by `deadline`; the journal has the rest.
    pub(super) async fn stop(self, deadline: Instant) {
        let (flusher, ledger, samples) = (self.flusher, self.ledger, self.samples);
        let groups = self.groups.map(|kept| kept.flusher);
        let groups = tokio::task::spawn_blocking(move || groups.map(|groups| groups.stop_by(deadline)));
        let ledger = tokio::task::spawn_blocking(move || ledger.map(|ledger| ledger.stop_by(deadline)));
        // What was begun is done again by the next start.
        samples.iter().filter_map(|kept| kept.uploading.as_ref()).for_each(tokio::task::JoinHandle::abort);
        let samples = tokio::task::spawn_blocking(move || samples.map(|kept| kept.writer.stop_by(deadline)));
        _ = tokio::task::spawn_blocking(move || flusher.stop_by(deadline)).await;
        _ = groups.await;
        _ = ledger.await;
        _ = samples.await;
    }
}

/// Those who may log in at the pages: whom `auth` lets read, and users of a trusted proxy.
///
/// # Errors
/// When `[rrd.auth]` is wrong, as one line.
pub(super) fn logins(
    process: &Process,
    config: &Config,
    login: &LoginConfig,
    auth: Option<Auth>,
    directory: &Directory,
    audit: &AuditLog,
) -> Result<Logins, String> {
    let auth = match auth {
        Some(auth) => Ok(auth),
        // Only a proxy names the user.
        None => Auth::new(&AuthConfig::default(), process.clock.clone(), directory.clone()),
    };
    let logins = auth.and_then(|auth| Logins::new(login, auth, audit.clone()));
    let logins = logins.map_err(|error| format!("[rrd.auth]: {}", chain(&error)))?;
    if config.rrd.tls.is_none() && login.trusted_proxies.is_empty() {
        tracing::info!("pages are served without TLS, for this machine alone: their cookie is not Secure");
    }
    Ok(logins)
}

/// The streams of open pages. A quarter of the connections that pages may have is left to other requests to them.
pub(super) fn streams(process: &Process, config: &Config) -> LiveStreams {
    let connections = config.api.config.connections_max.min(process.seats.max());
    LiveStreams::new((connections - connections / 4).max(1))
}

/// The pages, over what `sources` have.
pub(super) fn router(
    process: &Process,
    config: &Config,
    sources: PageSources,
    streams: LiveStreams,
    logins: Option<Logins>,
) -> axum::Router {
    let rrd = &config.rrd;
    let mut settings = Settings {
        refresh_interval: Duration::try_from_secs_f64(rrd.refresh_interval_seconds.max(1.0))
            .unwrap_or(Duration::from_secs(5)),
        tariff: Some(Tariff { currency: rrd.currency.clone(), price_per_kwh: rrd.kwh_price }),
        zone: TimeZone::system(),
        power_max: rrd.max_watts,
        streams,
        ..Settings::default()
    };
    if let Some(hue) = rrd.hue {
        settings.hue = hue;
    }
    kwapi_plugins::web::router(sources, settings, process.clock.clone(), logins)
}

/// How RRD files are kept.
pub(crate) fn history_config(config: &Config, gaps: Gaps) -> HistoryConfig {
    HistoryConfig {
        rrd_directory: config.rrd.directory.clone(),
        flush_interval: Duration::from_secs(config.rrd.flush_interval_seconds),
        gaps,
        probes: config.rrd.probes.clone(),
    }
}

/// How the ledger is kept; `None` where it is not.
pub(crate) fn ledger_config(config: &Config) -> Option<LedgerConfig> {
    let section = &config.ledger;
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    section.enabled.then(|| LedgerConfig {
        minutes_kept: days(section.minutes_days),
        quarters_kept: days(section.quarter_hours_days),
        write_interval: Duration::from_secs(section.write_interval_seconds.max(1).into()),
    })
}

/// The probes that are sums of others, and so members of no group.
fn sums(config: &Config) -> HashSet<ProbeId> {
    config.virtual_probes.iter().map(|sum| sum.probe.clone()).collect()
}

/// Opens the history of groups over `journal` and starts what writes it, unless it is not to be kept.
fn groups(
    process: &Process,
    config: &Config,
    gaps: &Gaps,
    journal: &Journal,
    query: Option<&Query>,
    all: &mut Metrics,
) -> Result<Option<KeptGroups>, String> {
    /// A probe received since counts in the share known before it is received again.
    const RECENT_SECONDS: u64 = 86_400;
    if !config.groups.enabled {
        return Ok(None);
    }
    let now = process.clock.now();
    let since = Timestamp::from_seconds(now.seconds().saturating_sub(RECENT_SECONDS));
    let groups_config = GroupsConfig {
        flush_interval: Duration::from_secs(config.rrd.flush_interval_seconds),
        gaps: gaps.clone(),
        sums: sums(config),
        recent: query.map(|query| query.measured_since(since)).unwrap_or_default(),
    };
    let groups = match Groups::open(groups_config, journal, now) {
        Ok(groups) => groups,
        // A disk that is full or read-only before there is a directory is no reason not to start.
        Err(error) => {
            let cause = chain(&error);
            tracing::error!(%cause, "no RRD files of groups until the next start");
            all.add_readiness("groups", move || Err(cause.clone()));
            return Ok(None);
        }
    };
    let clock = process.monotonic.clone();
    let flusher = groups.start(move || clock.now(), process.clock.clone()).map_err(|error| chain(&error))?;
    all.add(metrics::groups(groups.clone()));
    readiness::groups(all, groups.clone());
    Ok(Some(KeptGroups { groups, flusher }))
}

/// Opens the ledger over `journal` and starts what writes it, unless it is not to be kept.
fn ledger(
    process: &Process,
    config: &Config,
    (journal, ends): (&Journal, &WallClock),
    history: &Arc<History>,
    all: &mut Metrics,
) -> Result<Option<(LedgerWriter, Query)>, String> {
    let Some(ledger_config) = ledger_config(config) else { return Ok(None) };
    let ledger = Arc::new(Ledger::open(ledger_config, journal).map_err(|error| chain(&error))?);
    let clock = process.monotonic.clone();
    let writer = LedgerWriter::start(ledger.clone(), move || clock.now(), ends.clone())
        .map_err(|error| chain(&error))?;
    all.add(metrics::ledger(ledger.clone()));
    readiness::ledger(all, ledger.clone());
    Ok(Some((writer, Query::new(ledger, Some(history.clone())))))
}

/// Opens the samples over `journal` and starts what writes them, unless they are not to be kept.
fn samples(
    process: &Process,
    config: &Config,
    journal: &Journal,
    ends: &WallClock,
    all: &mut Metrics,
) -> Result<Option<KeptSamples>, String> {
    let section = &config.samples;
    if !section.enabled {
        return Ok(None);
    }
    let samples_config = SamplesConfig {
        kept: Duration::from_secs(u64::from(section.days) * 86_400),
        bytes_max: u64::from(section.megabytes_max) * 1_000_000,
        write_interval: Duration::from_secs(section.write_interval_seconds.max(1).into()),
        ..SamplesConfig::default()
    };
    let samples = Samples::open(samples_config, journal).map_err(|error| chain(&error))?;
    let bucket = match &section.s3 {
        Some(s3) => Some(Arc::new(S3Bucket::new(s3, process.clock.clone()).map_err(|error| chain(&error))?)),
        None => None,
    };
    let samples = Arc::new(match &bucket {
        Some(bucket) => {
            let runtime = tokio::runtime::Handle::current();
            samples.with_objects(Arc::new(ObjectRanges::new(bucket.clone(), runtime)))
        }
        None => samples,
    });
    let clock = process.monotonic.clone();
    let writer = SamplesWriter::start(samples.clone(), move || clock.now(), ends.clone())
        .map_err(|error| chain(&error))?;
    all.add(metrics::samples(samples.clone()));
    readiness::samples(all, samples.clone());
    let uploading = bucket.map(|bucket| tokio::spawn(upload_samples(samples.clone(), bucket, ends.clone())));
    Ok(Some(KeptSamples { samples, writer, uploading }))
}
