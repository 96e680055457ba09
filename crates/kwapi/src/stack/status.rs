//! The status listener every process has, on loopback: `/metrics`, `/healthz`, `/readyz`, `/meters`, `/links`, `/peers`,
//! `/streams`, `/backlog`, `/troubles`, `/v2/energy`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use kwapi_bus::{Forwarder, LinkCounters, Publisher, Subscriber};
use kwapi_core::{Timestamp, WallClock, is_silent};
use kwapi_drivers::manager::{Manager, MeterStatus, ProbeStatus};
use kwapi_history::Samples;
use kwapi_plugins::answers::RestWatch;
use kwapi_plugins::api::ENERGY;
use kwapi_plugins::http::{Hosts, Listen, Routes, Seats};
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::{HEALTH, METRICS, Metrics, READY};
use kwapi_plugins::peers::{ApiPeer, ApiPeerReport};
use kwapi_plugins::remote_write::RemoteWrite;
use serde::{Deserialize, Serialize};

use super::Roles;
use super::backlog::{Backlog, BacklogReport};
use super::spool::SpoolReport;
use super::streams::{StreamReport, Streams};
use crate::config::Config;

/// One Prometheus, one operator and some to spare.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// Where a process of these roles has its status listener by default: each service a port of its own, so that they can
/// share a machine unconfigured. `kwapi run` has the drivers', since `kwapi status` queries those.
pub(crate) const fn default_address(roles: Roles) -> SocketAddr {
    let port = match roles {
        Roles { drivers: true, .. } => 5061,
        Roles { forwarder: true, .. } => 5062,
        Roles { api: true, .. } => 5063,
        Roles { .. } => 5064,
    };
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// Where the state of each meter is shown…
const METERS: &str = "/meters";
/// …what each link of a forwarder carries…
const LINKS: &str = "/links";
/// …what is kept for consumers at NATS…
const SPOOL: &str = "/spool";
/// …how the streams of NATS are doing that it publishes to and receives from…
const STREAMS: &str = "/streams";
/// …how the exchange with each other instance of the API is doing…
const PEERS: &str = "/peers";
/// …up to when history has been read that others keep for it…
const BACKLOG: &str = "/backlog";
/// …and what is wrong with the process itself.
const TROUBLES: &str = "/troubles";
/// What is served there.
static ROUTES: Routes = Routes {
    server: "status",
    table: &[],
    others: &[METRICS, HEALTH, READY, METERS, LINKS, SPOOL, STREAMS, PEERS, BACKLOG, TROUBLES, ENERGY],
};

/// How the status listener of a process listens.
pub(super) fn listen(config: &Config, roles: Roles, seats: &Seats) -> Listen {
    Listen {
        address: config.status.listen.unwrap_or(default_address(roles)),
        tls: None,
        connections_max: CONNECTIONS_MAX,
        seats: seats.clone(),
        hosts: Hosts::Only { names: config.status.hosts.clone(), key: "`hosts` in [status]" },
        access_log: config.api.config.access_log,
        routes: &ROUTES,
    }
}

/// The routes; `manager` is there where meters are read, `energy` where measurements are received. `clock` determines
/// how old what was measured is.
pub(super) fn router(
    metrics: axum::Router,
    manager: Option<Arc<Manager>>,
    energy: Option<axum::Router>,
    sources: TroubleSources,
    clock: WallClock,
) -> axum::Router {
    let mut router = match energy {
        Some(energy) => metrics.merge(energy),
        None => metrics,
    };
    if let Some(forwarder) = sources.forwarder.clone() {
        router = router.route(LINKS, get(links).with_state((forwarder, clock.clone())));
    }
    if let Some(peers) = sources.peers.clone() {
        router = router.route(PEERS, get(api_peers).with_state(peers));
    }
    if let Some(publisher) = sources.publisher.clone().filter(|publisher| publisher.spool().is_some()) {
        router = router.route(SPOOL, get(spool).with_state((publisher, clock.clone())));
    }
    if let Some(backlog) = sources.backlog.clone().filter(|backlog| backlog.report().is_some()) {
        router = router.route(BACKLOG, get(backlog_report).with_state(backlog));
    }
    let streams = Streams {
        publisher: sources.publisher.clone(),
        subscriber: sources.subscriber.clone(),
        clock: clock.clone(),
    };
    router = router.route(STREAMS, get(reported_streams).with_state(streams));
    router = router.route(TROUBLES, get(troubles).with_state((sources, clock.clone())));
    match manager {
        Some(manager) => router.route(METERS, get(meters).with_state((manager, clock))),
        None => router,
    }
}

async fn meters(State((manager, clock)): State<(Arc<Manager>, WallClock)>) -> Json<Vec<MeterReport>> {
    let statuses = manager.statuses();
    let now = clock.now();
    Json(statuses.into_iter().map(|status| MeterReport::new(status, now)).collect())
}

async fn links(State((forwarder, clock)): State<(Arc<Forwarder>, WallClock)>) -> Json<Vec<LinkReport>> {
    let now = clock.now();
    Json(forwarder.links().into_iter().map(|link| LinkReport::new(link, now)).collect())
}

async fn spool(State((publisher, clock)): State<(Arc<Publisher>, WallClock)>) -> Json<Option<SpoolReport>> {
    Json(SpoolReport::new(&publisher, clock.now()))
}

async fn reported_streams(State(streams): State<Streams>) -> Json<Vec<StreamReport>> {
    Json(streams.reports())
}

async fn api_peers(State(peers): State<Vec<ApiPeer>>) -> Json<Vec<ApiPeerReport>> {
    Json(peers.iter().map(ApiPeer::report).collect())
}

async fn backlog_report(State(backlog): State<Backlog>) -> Json<Option<BacklogReport>> {
    Json(backlog.report())
}

/// What reports troubles, as far as the process has it.
#[derive(Clone, Debug)]
pub(super) struct TroubleSources {
    pub(super) manager: Option<Arc<Manager>>,
    /// Where meters are read.
    pub(super) publisher: Option<Arc<Publisher>>,
    pub(super) forwarder: Option<Arc<Forwarder>>,
    /// Where measurements are received.
    pub(super) subscriber: Option<Arc<Subscriber>>,
    /// Where measurements are received.
    pub(super) live: Option<Live>,
    pub(super) samples: Option<Arc<Samples>>,
    pub(super) rests: Option<RestWatch>,
    pub(super) remote_writes: Vec<RemoteWrite>,
    /// Where there are other instances of the API.
    pub(super) peers: Option<Vec<ApiPeer>>,
    /// Where history is kept.
    pub(super) backlog: Option<Backlog>,
    /// What each part of the process is ready for.
    pub(super) parts: Arc<Metrics>,
}

/// The parts that keep records, here or at a NATS server: what keeps them from it is a trouble, and not only a reason
/// to use another instance.
const RECORDS: [&str; 10] = [
    "history_directory",
    "journal",
    "accounts",
    "history",
    "groups",
    "ledger",
    "samples",
    "nats_publish",
    "nats_subscribe",
    "spool",
];

/// The warnings shown on request: what history has not read yet, or cannot any more.
const BACKLOG_PARTS: [&str; 3] = ["backlog", "nats_live", "nats_lost"];

/// Of probes that two publishers claim, so many are named.
const RIVALS_SHOWN: usize = 10;

/// What is wrong with the clock or the state of the process itself, what keeps records from being kept or is still to be read, samples from object
/// storage and measurements from remote write, and which meters contradict those below them: a sentence each.
async fn troubles(State((sources, clock)): State<(TroubleSources, WallClock)>) -> Json<Vec<String>> {
    let mut all = sources.manager.map(|manager| manager.troubles()).unwrap_or_default();
    let unready = sources.parts.unready().filter(|(part, _)| RECORDS.contains(part));
    all.extend(unready.map(|(part, why)| format!("{part}: {why}")));
    let spool = sources.publisher.and_then(|publisher| SpoolReport::new(&publisher, clock.now()));
    all.extend(spool.iter().flat_map(SpoolReport::troubles));
    all.extend(sources.parts.warnings().filter(|(part, _)| BACKLOG_PARTS.contains(part)).map(|(_, why)| why));
    let links = sources.forwarder.map(|forwarder| forwarder.links()).unwrap_or_default();
    all.extend(links.iter().filter(|link| link.is_cut).map(|link| {
        format!("{}: loop of forwarders, link cut; remove one `subscribe` of the loop", link.endpoint)
    }));
    let rivals = sources.live.map(|live| live.rivals()).unwrap_or_default();
    all.extend(rivals.iter().take(RIVALS_SHOWN).map(ToString::to_string));
    if rivals.len() > RIVALS_SHOWN {
        all.push(format!("{} more probes have two publishers at the same time", rivals.len() - RIVALS_SHOWN));
    }
    all.extend(sources.samples.and_then(|samples| samples.upload_trouble()));
    all.extend(sources.rests.iter().flat_map(RestWatch::troubles));
    all.extend(sources.remote_writes.iter().filter_map(RemoteWrite::trouble));
    all.extend(sources.peers.iter().flatten().filter_map(ApiPeer::trouble));
    Json(all)
}

/// One link of a forwarder, as `/links` shows it and `kwapi status` reads it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct LinkReport {
    pub(crate) endpoint: String,
    /// `upstream` or `downstream`.
    pub(crate) side: String,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) subscriptions: u64,
    /// How long ago the newest message came.
    pub(crate) last_message_seconds_ago: Option<f64>,
    /// How long the newest message took from its measurement to the forwarder.
    pub(crate) lag_seconds: Option<f64>,
    /// Whether it is cut, since it closes a loop.
    pub(crate) is_cut: bool,
    pub(crate) cuts: u64,
}

impl LinkReport {
    fn new(link: LinkCounters, now: Timestamp) -> Self {
        Self {
            side: link.side.name().to_owned(),
            messages: link.messages,
            bytes: link.bytes,
            subscriptions: link.subscriptions,
            last_message_seconds_ago: link.last_message.map(|at| now.since(at).as_secs_f64()),
            lag_seconds: link.lag_micros.map(|lag| lag as f64 / 1e6),
            is_cut: link.is_cut,
            cuts: link.cuts,
            endpoint: link.endpoint,
        }
    }
}

/// One meter, as `/meters` shows it and `kwapi status` reads it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct MeterReport {
    pub(crate) name: String,
    pub(crate) driver: String,
    pub(crate) state: String,
    pub(crate) is_up: bool,
    /// Unix seconds.
    pub(crate) since: f64,
    pub(crate) last_error: Option<String>,
    pub(crate) latency_seconds: Option<f64>,
    /// Unix seconds.
    pub(crate) last_reading: Option<f64>,
    pub(crate) reads: u64,
    pub(crate) failures: u64,
    pub(crate) is_slow: bool,
    /// Readings that were due and were not taken.
    #[serde(default)]
    pub(crate) ticks_missed: u64,
    pub(crate) probes: Vec<ProbeReport>,
}

/// One probe of a meter.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ProbeReport {
    pub(crate) probe: String,
    pub(crate) watts: Option<f64>,
    /// Unix seconds.
    pub(crate) measured_at: Option<f64>,
    pub(crate) problem: Option<String>,
    /// Whether it is silent: its watts are of the past, and no part of any sum. An earlier version does not report it.
    #[serde(default)]
    pub(crate) is_silent: Option<bool>,
    #[serde(rename = "counter_believed")]
    pub(crate) counter_trusted: bool,
    /// Resets and jumps of its counter.
    #[serde(default)]
    pub(crate) counter_resets: u64,
    /// Absurd values of power, all of them and those in a row to the latest.
    #[serde(default)]
    pub(crate) outliers: u64,
    #[serde(default)]
    pub(crate) outliers_in_a_row: u32,
    /// Whether nothing is published of it until the wall clock is right.
    #[serde(default)]
    pub(crate) is_held: bool,
    /// Why the time before this process is not bridged by its counter.
    #[serde(default)]
    pub(crate) not_bridged: Option<String>,
    /// Another probe that is read from the same energy counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counter_shared_with: Option<String>,
    /// What its device reports of its accuracy, in percent of the reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accuracy_percent: Option<f64>,
}

/// One reading missed in so many that were taken is worth reporting.
const MISSED_SHARE: u64 = 100;

impl MeterReport {
    /// That the meter misses readings, if that is more than an accident.
    pub(crate) fn missed(&self) -> Option<String> {
        let missed = self.ticks_missed;
        (missed.saturating_mul(MISSED_SHARE) > self.reads).then(|| {
            format!("{missed} readings missed; the meter or this machine is slower than `interval_seconds`")
        })
    }

    pub(super) fn new(status: MeterStatus, now: Timestamp) -> Self {
        Self {
            driver: status.driver.to_owned(),
            state: status.state.to_string(),
            is_up: status.state.is_up(),
            since: status.since.seconds_f64(),
            last_error: status.last_error,
            latency_seconds: status.last_latency.as_ref().map(Duration::as_secs_f64),
            last_reading: status.last_reading.map(Timestamp::seconds_f64),
            reads: status.reads,
            failures: status.failures,
            is_slow: status.is_slow,
            ticks_missed: status.ticks_missed,
            probes: status.probes.into_iter().map(|probe| ProbeReport::new(probe, now)).collect(),
            name: status.name,
        }
    }
}

/// More absurd values in a row than this are a finding; one now and then is not.
const OUTLIERS_IN_A_ROW: u32 = 3;

impl ProbeReport {
    /// Whether what was measured last is of the past.
    pub(super) fn is_old(status: &ProbeStatus, now: Timestamp) -> bool {
        // The gap follows the probe's own intervals already.
        let is_old = |at: Timestamp| is_silent(now.since(at), Duration::ZERO, status.max_gap);
        status.measured_at.is_none_or(is_old)
    }

    /// What is odd about the probe at present.
    pub(super) fn present_findings(&self) -> impl Iterator<Item = String> + use<> {
        let outliers = (self.outliers_in_a_row >= OUTLIERS_IN_A_ROW).then(|| {
            format!("{} implausible values in a row; check the meter and `max_watts`", self.outliers_in_a_row)
        });
        let held = self.is_held.then(|| "held until the wall clock is correct".to_owned());
        let doubted =
            (!self.counter_trusted).then(|| "energy counter contradicts the power readings".to_owned());
        let shared = self.counter_shared_with.as_ref().map(|other| {
            format!(
                "read from the same energy counter as {other}: only one of them is bridged across restarts"
            )
        });
        [outliers, held, doubted, shared].into_iter().flatten()
    }

    /// What is worth an operator's attention in the probe's energy, its past included.
    pub(crate) fn findings(&self) -> impl Iterator<Item = String> + use<> {
        let not_bridged =
            self.not_bridged.as_ref().map(|cause| format!("time before the start is unknown: {cause}"));
        self.present_findings().chain(not_bridged)
    }

    fn new(status: ProbeStatus, now: Timestamp) -> Self {
        Self {
            is_silent: Some(Self::is_old(&status, now)),
            probe: status.probe.to_string(),
            watts: status.power.map(|power| power.0),
            measured_at: status.measured_at.map(Timestamp::seconds_f64),
            problem: status.problem.map(|problem| problem.to_string()),
            counter_trusted: status.counter_trusted,
            counter_resets: status.counter_resets,
            outliers: status.outliers,
            outliers_in_a_row: status.outliers_in_a_row,
            is_held: status.is_held,
            not_bridged: status.not_bridged.map(|cause| cause.to_string()),
            counter_shared_with: status.counter_shared_with.map(|other| other.to_string()),
            accuracy_percent: status.accuracy_percent,
        }
    }
}
