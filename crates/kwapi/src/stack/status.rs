//! The status listener every process has, on loopback: `/metrics`, `/healthz`, `/readyz`, `/meters`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use kwapi_drivers::manager::{Manager, MeterStatus, ProbeStatus};
use kwapi_plugins::http::{Hosts, Listen, Seats};
use serde::{Deserialize, Serialize};

use super::Roles;
use crate::config::Config;

/// One Prometheus, one operator and some to spare.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// Where a process of these roles has its status listener by default: each service a port of its own, so that they can
/// share a machine unconfigured. `kwapi run` has the drivers', since `kwapi status` asks those.
pub(crate) const fn default_address(roles: Roles) -> SocketAddr {
    let port = match roles {
        Roles { drivers: true, .. } => 5061,
        Roles { forwarder: true, .. } => 5062,
        Roles { api: true, .. } => 5063,
        Roles { .. } => 5064,
    };
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// How the status listener of a process listens.
pub(super) fn listen(config: &Config, roles: Roles, seats: &Seats) -> Listen {
    Listen {
        address: config.status.listen.unwrap_or(default_address(roles)),
        tls: None,
        connections_max: CONNECTIONS_MAX,
        seats: seats.clone(),
        hosts: Hosts::Only { names: config.status.hosts.clone(), key: "`hosts` in [status]" },
        access_log: config.api.config.access_log,
        routes: kwapi_plugins::metrics::ROUTES,
    }
}

/// The routes; `manager` is there where meters are read.
pub(super) fn router(metrics: axum::Router, manager: Option<Arc<Manager>>) -> axum::Router {
    match manager {
        Some(manager) => metrics.route("/meters", get(meters).with_state(manager)),
        None => metrics,
    }
}

async fn meters(State(manager): State<Arc<Manager>>) -> Json<Vec<Meter>> {
    Json(manager.statuses().into_iter().map(Meter::from).collect())
}

/// One meter, as `/meters` shows it and `kwapi status` reads it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Meter {
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
    pub(crate) probes: Vec<Probe>,
}

/// One probe of a meter.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Probe {
    pub(crate) probe: String,
    pub(crate) watts: Option<f64>,
    /// Unix seconds.
    pub(crate) measured_at: Option<f64>,
    pub(crate) problem: Option<String>,
    pub(crate) counter_believed: bool,
}

impl From<MeterStatus> for Meter {
    fn from(status: MeterStatus) -> Self {
        Self {
            driver: status.driver.to_owned(),
            state: status.state.to_string(),
            is_up: status.state.is_up(),
            since: status.since.seconds_f64(),
            last_error: status.last_error,
            latency_seconds: status.last_latency.as_ref().map(Duration::as_secs_f64),
            last_reading: status.last_reading.map(kwapi_core::Timestamp::seconds_f64),
            reads: status.reads,
            failures: status.failures,
            is_slow: status.is_slow,
            probes: status.probes.into_iter().map(Probe::from).collect(),
            name: status.name,
        }
    }
}

impl From<ProbeStatus> for Probe {
    fn from(status: ProbeStatus) -> Self {
        Self {
            probe: status.probe.to_string(),
            watts: status.power.map(|power| power.0),
            measured_at: status.measured_at.map(kwapi_core::Timestamp::seconds_f64),
            problem: status.problem.map(|problem| problem.to_string()),
            counter_believed: status.counter_believed,
        }
    }
}
