//! The API plugin: a subscriber, the collector, and the routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwapi_bus::{Subscriber, SubscriberConfig};
use kwapi_core::ProbeId;
use kwapi_history::store::DirectoryLock;
use kwapi_plugins::api::{self, Api, Auth, FactsSource, ProbeFacts};
use kwapi_plugins::collector::{Collector, StoreError};
use kwapi_plugins::metrics::Metrics;
use parking_lot::RwLock;
use tokio::task::JoinHandle;

use super::{Process, metrics, readiness};
use crate::config::{Config, Labels, TemplateLabels};

/// The collector, fed from the bus.
#[derive(Debug)]
pub(crate) struct Collecting {
    pub(crate) collector: Collector,
    /// Two processes on one record would each undo the other's.
    _lock: DirectoryLock,
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
        let clock = process.monotonic.clone();
        let expected = super::drivers::expected_probes(config);
        let subscriber = Subscriber::start(&process.bus, subscriber_config, &process.clocks(), expected)
            .map_err(|error| crate::config::chain(&error))?;
        let subscriber = Arc::new(subscriber);
        let state = config.state_directory.join(directory);
        std::fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
        let lock = DirectoryLock::take(&state).map_err(|error| crate::config::chain(&error))?;
        let collector_config = config.api.config.collector(Some(&state), config.max_gap());
        let collector = Collector::open(collector_config, process.clock.clone(), clock)
            .map_err(|error: StoreError| crate::config::chain(&error))?;
        all.add(metrics::subscriber(subscriber.clone(), directory));
        let [bus, writable] = match directory {
            "rrd" => ["totals_bus", "totals_directory"],
            _ => ["bus", "state_directory"],
        };
        readiness::subscriber(all, bus, subscriber.clone());
        readiness::directory(all, writable, state);
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
        Ok(Self { collector, _lock: lock, feed, upkeep })
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
pub(crate) fn router(
    config: &Config,
    collector: &Collector,
    facts: FactsSource,
    auth: Option<Auth>,
    metrics: axum::Router,
) -> axum::Router {
    let is_open = auth.is_none();
    let router = api::router(Api::new(collector.clone(), facts), auth, config.api.config.cors());
    if is_open { metrics.fallback_service(router) } else { router }
}

/// Authentication, if there is to be any. With Keystone, the API is ready once that has let us in.
///
/// # Errors
/// When a file it names cannot be used, as one line.
pub(crate) fn auth(process: &Process, config: &Config, all: &mut Metrics) -> Result<Option<Auth>, String> {
    let auth = config.api.config.auth(process.clock.clone()).map_err(|error| crate::config::chain(&error))?;
    if let Some(auth) = auth.clone().filter(Auth::asks_keystone) {
        tokio::spawn(auth.clone().introduce());
        all.add(metrics::keystone(auth.clone()));
        all.add_readiness("keystone", move || auth.readiness());
    }
    Ok(auth)
}

/// The operator's labels of probes, which a reload replaces.
#[derive(Clone, Debug)]
pub(crate) struct Labelling(Arc<RwLock<Book>>);

#[derive(Debug)]
struct Book {
    of_probes: BTreeMap<ProbeId, Labels>,
    of_templates: TemplateLabels,
}

impl Labelling {
    pub(crate) fn new(config: &Config) -> Self {
        Self(Arc::new(RwLock::new(Book::new(config))))
    }

    pub(crate) fn replace(&self, config: &Config) {
        *self.0.write() = Book::new(config);
    }

    /// Those of the probe itself, and of its template what those do not say.
    pub(crate) fn of(&self, probe: &ProbeId) -> Labels {
        let book = self.0.read();
        let own = book.of_probes.get(probe);
        let mut labels = book.of_templates.of(probe).unwrap_or_default();
        labels.extend(own.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        labels
    }
}

impl Book {
    fn new(config: &Config) -> Self {
        Self { of_probes: config.labels.clone(), of_templates: config.template_labels.clone() }
    }
}

/// Labels from the configuration, errors from the drivers of this process, if it has any.
pub(crate) fn facts(
    labels: Labelling,
    problem: impl Fn(&ProbeId) -> Option<String> + Send + Sync + 'static,
) -> FactsSource {
    FactsSource::new(move |probe| ProbeFacts { labels: labels.of(probe), last_error: problem(probe) })
}
