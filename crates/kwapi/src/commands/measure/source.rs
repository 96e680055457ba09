//! Where running totals come from: a service's API, or the configured meters, read by this process.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{
    Account, Energy, Measurement, MonotonicClock, Pattern, ProbeId, Secret, Timestamp, Totals, WallClock,
    Watts,
};
use kwapi_drivers::manager::Manager;
use parking_lot::Mutex;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use super::tally::Point;
use crate::config::{Config, chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);
/// A page of the API is smaller than this.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Pages that are read at most: more would be a server that never ends.
const PAGES_MAX: usize = 1_000;

/// A source of readings.
pub(super) enum TotalsSource {
    Service(Service),
    Meters(Meters),
}

/// Why a source gives nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nobody listens there.
    Absent(String),
    /// Anything else.
    Other(String),
}

impl TotalsSource {
    /// The newest reading of each wanted probe.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) async fn points(&self, wanted: &[Pattern]) -> Result<Vec<(ProbeId, Point)>, Fault> {
        match self {
            Self::Service(service) => service.points(wanted).await,
            Self::Meters(meters) => Ok(meters.points(wanted)),
        }
    }

    /// Whether all energy is of registers, where that is known.
    pub(super) fn is_register(&self) -> Option<bool> {
        match self {
            Self::Service(_) => None,
            Self::Meters(meters) => Some(meters.state.lock().values().all(|meter| meter.has_register)),
        }
    }

    /// Closes sessions.
    pub(super) async fn stop(self) {
        if let Self::Meters(meters) = self {
            meters.manager.stop().await;
        }
    }
}

/// A kwapi with an API.
pub(super) struct Service {
    client: Client,
    base: Url,
    token: Option<Secret>,
}

#[derive(Deserialize)]
struct Page {
    next: Option<String>,
    probes: Vec<ApiProbe>,
}

#[derive(Deserialize)]
struct ApiProbe {
    id: ProbeId,
    watts: f64,
    energy_timestamp: f64,
    joules: f64,
    estimated_joules: f64,
    bridged_joules: f64,
    time: Time,
}

#[derive(Deserialize)]
struct Time {
    measured_seconds: f64,
    estimated_seconds: f64,
    bridged_seconds: f64,
    unknown_seconds: f64,
}

impl Service {
    /// The API at `url`, with the token that a file or the environment has.
    ///
    /// # Errors
    /// When an address or a file makes no sense, as one line.
    pub(super) fn at(
        url: &str,
        token_file: Option<&PathBuf>,
        ca_file: Option<&PathBuf>,
    ) -> Result<Self, String> {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").or_else(|| base.strip_suffix("/v2")).unwrap_or(base);
        let base = Url::parse(base).map_err(|error| format!("{url}: {error}"))?;
        let token = match token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                Some(text.map_err(|error| format!("{}: {error}", file.display()))?.trim().to_owned())
            }
            None => ["KWAPI_TOKEN", "OS_TOKEN"].into_iter().find_map(|name| std::env::var(name).ok()),
        };
        // A redirect would be told the token.
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        if let Some(file) = ca_file {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let pem = std::fs::read(file).map_err(|error| failed(&error))?;
            client = client
                .tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?);
        } else if base.scheme() == "http" {
            client = client.no_proxy().tls_certs_only([]);
        }
        let client = client.build().map_err(|error| chain(&error))?;
        Ok(Self { client, base, token: token.filter(|token| !token.is_empty()).map(Secret::new) })
    }

    async fn points(&self, wanted: &[Pattern]) -> Result<Vec<(ProbeId, Point)>, Fault> {
        let mut url = self.base.clone();
        url.set_path("/v2/probes/");
        for pattern in wanted {
            url.query_pairs_mut().append_pair("pattern", &pattern.to_string());
        }
        let mut points = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(url.clone()).await?;
            points.extend(page.probes.iter().map(|probe| (probe.id.clone(), probe.point())));
            let Some(next) = page.next else { return Ok(points) };
            url = self.base.join(&next).map_err(|error| Fault::Other(error.to_string()))?;
        }
        Ok(points)
    }

    async fn page(&self, url: Url) -> Result<Page, Fault> {
        let place = self.base.origin().ascii_serialization();
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            request = request.header("X-Auth-Token", token.expose());
        }
        let failed = |error: reqwest::Error| {
            let is_absent = error.is_connect();
            let text = format!("cannot ask {place}: {}", chain(&error.without_url()));
            if is_absent { Fault::Absent(text) } else { Fault::Other(text) }
        };
        let mut response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Fault::Other(format!(
                    "{place} requires a token; set KWAPI_TOKEN or use --token-file"
                )));
            }
            status => return Err(Fault::Other(format!("{place} answered {status}; is it a kwapi?"))),
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Fault::Other(format!("{place} does not end its answer")));
            }
        }
        serde_json::from_slice(&body).map_err(|_| Fault::Other(format!("{place} is not a kwapi API")))
    }
}

impl ApiProbe {
    fn point(&self) -> Point {
        let energy = |joules: f64| Energy::from_joules(joules).unwrap_or_default();
        let stamp = Duration::try_from_secs_f64(self.energy_timestamp).unwrap_or_default();
        let ms = |seconds: f64| {
            let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX)
        };
        let totals = Totals {
            energy: energy(self.joules),
            estimated: energy(self.estimated_joules),
            bridged: energy(self.bridged_joules),
            measured_ms: ms(self.time.measured_seconds),
            estimated_ms: ms(self.time.estimated_seconds),
            bridged_ms: ms(self.time.bridged_seconds),
            unknown_ms: ms(self.time.unknown_seconds),
        };
        Point { at: Timestamp::EPOCH.after(stamp), watts: Watts(self.watts), totals }
    }
}

/// The meters of a configuration, read here.
pub(super) struct Meters {
    manager: Manager,
    state: Arc<Mutex<HashMap<ProbeId, Metered>>>,
}

/// A probe that is measured here.
#[derive(Debug, Default)]
struct Metered {
    account: Account,
    watts: Watts,
    has_register: bool,
}

impl Meters {
    /// Starts reading.
    pub(super) fn start(config: &Config, wall: WallClock, monotonic: MonotonicClock) -> Self {
        let state: Arc<Mutex<HashMap<ProbeId, Metered>>> = Arc::default();
        let (kept, max_gap) = (state.clone(), config.max_gap());
        let sink = Arc::new(move |measurement: Measurement| {
            let Some(accounting) = measurement.accounting else { return };
            let mut state = kept.lock();
            let meter = state.entry(measurement.probe).or_default();
            meter.watts = measurement.power;
            meter.has_register = accounting.curve.is_some();
            // What is refused changes nothing.
            _ = meter.account.credit(&accounting, monotonic.now(), max_gap);
        });
        let manager = Manager::new(sink, wall);
        manager.apply(config.meters.clone());
        Self { manager, state }
    }

    fn points(&self, wanted: &[Pattern]) -> Vec<(ProbeId, Point)> {
        let state = self.state.lock();
        let is_wanted =
            |probe: &ProbeId| wanted.is_empty() || wanted.iter().any(|pattern| pattern.matches(probe));
        let chosen = state.iter().filter(|(probe, _)| is_wanted(probe));
        chosen
            .map(|(probe, meter)| {
                let (at, totals) = (meter.account.last(), meter.account.totals());
                (probe.clone(), Point { at, watts: meter.watts, totals })
            })
            .collect()
    }
}
