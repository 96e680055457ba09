//! The API's routes, who may use them, and the directory of probes.

use std::sync::Arc;

use kwapi_bus::Describe;
use kwapi_core::ProbeId;
use kwapi_history::{History, Query, Samples};
use kwapi_plugins::Scope;
use kwapi_plugins::answers::RestWatch;
use kwapi_plugins::api::{self, Api};
use kwapi_plugins::auth::Auth;
use kwapi_plugins::bills::Bills;
use kwapi_plugins::descriptions::Descriptions;
use kwapi_plugins::directory::{ConfiguredProbes, Directory};
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::{self as served, Metrics};
use kwapi_plugins::peers::PeerServer;

use super::meters::MeterLooks;
use super::{Process, metrics};
use crate::config::{Config, Labels};
use crate::shutdown::Shutdown;

/// What the API answers from besides what is live.
pub(super) struct ApiSources {
    /// `None` where no ledger is kept.
    pub(super) query: Option<Query>,
    /// `None` where no samples are kept.
    pub(super) samples: Option<Arc<Samples>>,
    pub(super) bills: Bills,
}

/// The routes, with `/metrics` where everybody who can reach them may read anyway.
pub(super) fn router(
    config: &Config,
    directory: Directory,
    sources: ApiSources,
    auth: Option<Auth>,
    peers: Option<&PeerServer>,
    metrics: &Arc<Metrics>,
) -> axum::Router {
    let is_open = auth.is_none();
    let shown = Scope::of_patterns(&config.api.probes);
    let ApiSources { query, samples, bills } = sources;
    let api = answering(directory, query).limited_to(shown.clone()).with_samples(samples).with_bills(bills);
    let mut router = api::router(api, auth, config.api.config.cors());
    if let Some(peers) = peers {
        router = kwapi_plugins::peers::router(peers.clone()).fallback_service(router);
    }
    if is_open { served::router(metrics.clone(), shown).fallback_service(router) } else { router }
}

/// What a process's status listener answers of energy: that is for operators, on this machine.
pub(super) fn operators(directory: Directory, query: Option<Query>) -> axum::Router {
    api::operators(answering(directory, query))
}

fn answering(directory: Directory, query: Option<Query>) -> Api {
    let api = Api::new(directory);
    match query {
        Some(query) => api.with_energy(query),
        None => api,
    }
}

/// Watches the meters of subtrees until `shutdown`: whether those below one measure more than it does.
pub(super) fn watch_rests(
    process: &Process,
    query: Query,
    directory: &Directory,
    shutdown: &Shutdown,
) -> RestWatch {
    let watch = RestWatch::new(query, directory.clone());
    let (looking, clock, shutdown) = (watch.clone(), process.clock.clone(), shutdown.clone());
    tokio::spawn(async move {
        while tokio::time::timeout(RestWatch::INTERVAL, shutdown.begun()).await.is_err() {
            let (looking, now) = (looking.clone(), clock.now());
            let looked = tokio::task::spawn_blocking(move || looking.look(now)).await;
            if let Err(error) = looked {
                tracing::error!(%error, "meters are no longer compared with those below them");
                return;
            }
        }
    });
    watch
}

/// Authentication, if there is to be any. With Keystone, the API is ready once that has let us in.
///
/// # Errors
/// When a file it names cannot be used, as one line.
pub(super) fn auth(
    process: &Process,
    config: &Config,
    directory: &Directory,
    all: &mut Metrics,
) -> Result<Option<Auth>, String> {
    let auth = config.api.config.auth(process.clock.clone(), directory.clone());
    let auth = auth.map_err(|error| crate::config::chain(&error))?;
    if let Some(auth) = auth.clone().filter(Auth::has_keystone) {
        tokio::spawn(auth.clone().introduce());
        all.add(metrics::keystone(auth.clone()));
        all.add_readiness("keystone", move || auth.readiness());
    }
    Ok(auth)
}

/// What is known of probes: labels and sums from the configuration, power and energy from what is received and kept,
/// problems from the meters, each where this process has it.
pub(super) fn directory(
    config: &Config,
    live: Option<&Live>,
    history: Option<&Arc<History>>,
    descriptions: Option<Descriptions>,
    looks: Option<MeterLooks>,
    all: &mut Metrics,
) -> Directory {
    let mut directory = Directory::new(configured(config)).with_descriptions(descriptions);
    if let Some(live) = live {
        directory = directory.with_live(live.clone());
    }
    if let Some(history) = history {
        directory = directory.with_history(history.clone());
    }
    if let Some(looks) = looks.map(Arc::new) {
        let [meters, accuracies, origins] = [(); 3].map(|()| Arc::clone(&looks));
        directory = directory
            .with_problems(move |probe| looks.problem(probe))
            .with_meters(move || meters.meters())
            .with_device_accuracy(move |probe| accuracies.accuracy(probe))
            .with_origins(move |probe| origins.origin(probe));
    }
    if live.is_some() {
        all.add(directory.clone());
    }
    directory
}

/// What the configuration has of probes.
pub(crate) fn configured(config: &Config) -> ConfiguredProbes {
    let sums = config.virtual_probes.iter().map(|sum| sum.probe.clone());
    let (accuracy, shares) = (config.accuracy.clone(), config.bill.shares.clone());
    ConfiguredProbes::new(configured_labels(config), sums)
        .with_accuracy(move |probe| accuracy.of(probe))
        .with_shares(move |probe, name| shares.get(probe).is_some_and(|shares| shares.contains_key(name)))
}

/// Adds labels and accuracy, as configured, to what is published of a probe.
pub(super) fn describe(config: &Config) -> Describe {
    let (labels, accuracy) = (configured_labels(config), config.accuracy.clone());
    Box::new(move |probe, description| {
        description.labels = labels(probe);
        description.accuracy_percent = accuracy.of(probe).or(description.accuracy_percent);
    })
}

/// The labels that the configuration gives a probe.
fn configured_labels(config: &Config) -> impl Fn(&ProbeId) -> Labels + Send + Sync + use<> {
    let (of_probes, of_templates) = (config.labels.clone(), config.template_labels.clone());
    let of_bills = config.bill.shares.clone();
    // Those of the probe itself, and of its template what those do not set.
    move |probe: &ProbeId| {
        let own = of_probes.get(probe);
        let mut labels = of_templates.of(probe).unwrap_or_default();
        // What has shares or dates is no one text.
        labels.retain(|name, _| of_bills.get(probe).is_none_or(|shares| !shares.contains_key(name)));
        labels.extend(own.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        labels
    }
}
