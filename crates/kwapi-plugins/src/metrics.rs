//! `/metrics`, `/healthz` and `/readyz`: what Kwapi reports of itself, for Prometheus and for whoever restarts it.
//!
//! Lower crates have plain counters; a [`MetricSource`] made of a closure turns a snapshot of them into families. Names
//! follow Prometheus's conventions: base units, `_total` on counters.

mod families;
mod live;
mod text;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use text::{Exposition, Family};

use crate::scope::Scope;

/// Something that has metrics.
pub trait MetricSource: Send + Sync {
    /// Adds the present values.
    fn collect(&self, out: &mut Exposition);
}

impl<F: Fn(&mut Exposition) + Send + Sync> MetricSource for F {
    fn collect(&self, out: &mut Exposition) {
        self(out);
    }
}

/// Returns why a part is not ready, if it is not.
type Readiness = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// All sources and checks of a process.
#[derive(Default)]
pub struct Metrics {
    sources: Vec<Box<dyn MetricSource>>,
    readiness: Vec<(&'static str, Readiness)>,
    warnings: Vec<(&'static str, Readiness)>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("sources", &self.sources.len())
            .field("readiness", &self.readiness.len())
            .field("warnings", &self.warnings.len())
            .finish()
    }
}

impl Metrics {
    /// Nothing but the program's version.
    pub fn new() -> Self {
        let mut metrics = Self::default();
        metrics.add(|out: &mut Exposition| {
            let labels = [("version", env!("CARGO_PKG_VERSION"))];
            out.sample("kwapi_build_info", &labels, 1.0);
        });
        metrics
    }

    /// Adds a source. Sources may share a family as long as their labels differ.
    pub fn add(&mut self, source: impl MetricSource + 'static) {
        self.sources.push(Box::new(source));
    }

    /// Adds a part that must be ready before the process is. The error states why it is not.
    pub fn add_readiness(
        &mut self,
        part: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.readiness.push((part, Box::new(check)));
    }

    /// Adds something that the readiness check reports, and that is no reason to use another instance.
    pub fn add_warning(
        &mut self,
        part: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.warnings.push((part, Box::new(check)));
    }

    /// The parts that are not ready, and why not.
    pub fn unready(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.readiness.iter().filter_map(|(part, check)| Some((*part, check().err()?)))
    }

    /// What there is to warn of, by part.
    pub fn warnings(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.warnings.iter().filter_map(|(part, check)| Some((*part, check().err()?)))
    }

    pub(crate) fn exposition(&self, scope: Scope) -> Exposition {
        let mut out = Exposition::limited_to(scope);
        for source in &self.sources {
            source.collect(&mut out);
        }
        out
    }
}

/// `/metrics`, for Prometheus.
pub const METRICS: &str = "/metrics";
/// `/healthz`: whether the process answers.
pub const HEALTH: &str = "/healthz";
/// `/readyz`: whether it can do its work, and else what it waits for.
pub const READY: &str = "/readyz";

/// These three routes, naming no probe outside `scope`. They are not behind authentication: they belong on a loopback
/// listener.
pub fn router(metrics: Arc<Metrics>, scope: Scope) -> Router {
    Router::new()
        .route(METRICS, get(show))
        .route(HEALTH, get(health))
        .route(READY, get(ready))
        .with_state(Shown { metrics, scope })
}

/// The metrics, as far as the caller may see them.
#[derive(Clone, Debug)]
struct Shown {
    metrics: Arc<Metrics>,
    scope: Scope,
}

/// OpenMetrics for clients that request it, as Prometheus does; the older text for others.
async fn show(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let is_openmetrics = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/openmetrics-text"));
    // With a hundred thousand probes this takes a while, and may write the collector's record.
    let made = tokio::task::spawn_blocking(move || {
        let exposition = shown.metrics.exposition(shown.scope);
        if is_openmetrics { exposition.open_metrics() } else { exposition.prometheus() }
    });
    let kind = if is_openmetrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    match made.await {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be collected");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The process answers: that is all it takes.
async fn health() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "ok" }))
}

async fn ready(State(Shown { metrics, .. }): State<Shown>) -> Response {
    let waiting: serde_json::Map<String, serde_json::Value> =
        metrics.unready().map(|(part, why)| (part.to_owned(), why.into())).collect();
    let warnings: serde_json::Map<String, serde_json::Value> =
        metrics.warnings().map(|(part, why)| (part.to_owned(), why.into())).collect();
    let is_ready = waiting.is_empty();
    let mut answer = serde_json::json!({ "status": if is_ready { "ready" } else { "not ready" } });
    for (name, entries) in [("waiting", waiting), ("warnings", warnings)] {
        if let Some(answer) = answer.as_object_mut().filter(|_| !entries.is_empty()) {
            answer.insert(name.to_owned(), entries.into());
        }
    }
    json(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &answer)
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests;
