//! The API plugin: a subscriber, the collector, and the routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwapi_bus::{Subscriber, SubscriberConfig};
use kwapi_core::ProbeId;
use kwapi_plugins::api::{self, Api, Auth, FactsSource, ProbeFacts};
use kwapi_plugins::collector::{Collector, StoreError};
use kwapi_plugins::metrics::Metrics;
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use super::{Process, metrics, monotonic_clock};
use crate::config::{Config, Labels, max_gap};

/// The collector, fed from the bus.
#[derive(Debug)]
pub(crate) struct Collecting {
    pub(crate) collector: Collector,
    feed: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl Collecting {
    /// Opens the accounts of `directory` below the state directory and starts listening.
    ///
    /// # Errors
    /// When the accounts or an endpoint cannot be opened, as one line.
    pub(crate) fn start(
        process: &Process,
        config: &Config,
        subscriber_config: &SubscriberConfig,
        directory: &'static str,
        all: &mut Metrics,
    ) -> Result<Self, String> {
        let clock = monotonic_clock();
        let expected = super::drivers::expected_probes(config);
        let subscriber = Subscriber::start(&process.bus, subscriber_config, process.clock.clone(), expected)
            .map_err(|error| crate::config::chain(&error))?;
        let subscriber = Arc::new(subscriber);
        let state = config.state_directory.join(directory);
        let collector_config = config.api.config.collector(Some(&state), max_gap(&config.meters));
        let collector = Collector::open(collector_config, process.clock.clone(), clock)
            .map_err(|error: StoreError| crate::config::chain(&error))?;
        all.add(metrics::subscriber(subscriber.clone(), directory));
        all.add(collector.clone());
        let feed = {
            let collector = collector.clone();
            tokio::spawn(async move {
                while let Some((batch, ack)) = subscriber.recv().await {
                    collector.feed(&batch);
                    ack.confirm();
                }
            })
        };
        // Until it is stopped: what comes last is recorded there, after the feed has ended.
        let upkeep = tokio::spawn(collector.clone().keep(std::future::pending()));
        Ok(Self { collector, feed, upkeep })
    }

    /// Puts everything on record.
    pub(crate) async fn stop(self) {
        self.feed.abort();
        self.upkeep.abort();
        let collector = self.collector;
        _ = tokio::task::spawn_blocking(move || collector.maintain(true)).await;
    }
}

/// The routes, with `/metrics` where everybody who can reach them may read anyway.
///
/// # Errors
/// When authentication cannot be set up, as one line.
pub(crate) fn router(
    process: &Process,
    config: &Config,
    collector: &Collector,
    facts: FactsSource,
    metrics: axum::Router,
) -> Result<axum::Router, String> {
    let auth: Option<Auth> =
        config.api.config.auth(process.clock.clone()).map_err(|error| crate::config::chain(&error))?;
    let is_open = auth.is_none();
    let router = api::router(Api::new(collector.clone(), facts), auth, config.api.config.cors());
    Ok(if is_open { metrics.fallback_service(router) } else { router })
}

/// The operator's labels of probes, which a reload replaces.
#[derive(Clone, Debug)]
pub(crate) struct Labelling(Arc<RwLock<BTreeMap<ProbeId, Labels>>>);

impl Labelling {
    pub(crate) fn new(labels: BTreeMap<ProbeId, Labels>) -> Self {
        Self(Arc::new(RwLock::new(labels)))
    }

    pub(crate) fn replace(&self, labels: BTreeMap<ProbeId, Labels>) {
        *self.0.write() = labels;
    }
}

/// Labels from the configuration, errors from the drivers of this process, if it has any.
pub(crate) fn facts(
    labels: Labelling,
    problem: impl Fn(&ProbeId) -> Option<String> + Send + Sync + 'static,
) -> FactsSource {
    FactsSource::new(move |probe| ProbeFacts {
        labels: labels.0.read().get(probe).cloned().unwrap_or_default(),
        last_error: problem(probe),
    })
}
