//! The API's routes, who may use them, and what is known of probes besides their measurements.

use std::collections::BTreeMap;
use std::sync::Arc;

use kwapi_core::ProbeId;
use kwapi_plugins::api::{self, Api, Auth, FactsSource, ProbeFacts, Scope};
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::Metrics;
use parking_lot::RwLock;

use super::{Process, metrics};
use crate::config::{Config, Labels, TemplateLabels};

/// The routes, with `/metrics` where everybody who can reach them may read anyway.
pub(super) fn router(
    config: &Config,
    live: &Live,
    facts: FactsSource,
    auth: Option<Auth>,
    metrics: axum::Router,
) -> axum::Router {
    let is_open = auth.is_none();
    let patterns = &config.api.probes;
    let shown = if patterns.is_empty() { Scope::All } else { Scope::Only(patterns.as_slice().into()) };
    let api = Api::new(live.clone(), facts).limited_to(shown);
    let router = api::router(api, auth, config.api.config.cors());
    if is_open { metrics.fallback_service(router) } else { router }
}

/// Authentication, if there is to be any. With Keystone, the API is ready once that has let us in.
///
/// # Errors
/// When a file it names cannot be used, as one line.
pub(super) fn auth(process: &Process, config: &Config, all: &mut Metrics) -> Result<Option<Auth>, String> {
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
pub(super) struct Labelling(Arc<RwLock<Book>>);

#[derive(Debug)]
struct Book {
    of_probes: BTreeMap<ProbeId, Labels>,
    of_templates: TemplateLabels,
}

impl Labelling {
    pub(super) fn new(config: &Config) -> Self {
        Self(Arc::new(RwLock::new(Book::new(config))))
    }

    pub(super) fn replace(&self, config: &Config) {
        *self.0.write() = Book::new(config);
    }

    /// Those of the probe itself, and of its template what those do not say.
    pub(super) fn of(&self, probe: &ProbeId) -> Labels {
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
pub(super) fn facts(
    labels: Labelling,
    problem: impl Fn(&ProbeId) -> Option<String> + Send + Sync + 'static,
) -> FactsSource {
    FactsSource::new(move |probe| ProbeFacts { labels: labels.of(probe), last_error: problem(probe) })
}
