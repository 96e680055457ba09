//! The driver manager and its publisher.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_bus::{BusError, Publisher};
use kwapi_core::ProbeId;
use kwapi_drivers::manager::{Host, Manager, MeterSpec, MeterStatus, VirtualError};
use kwapi_plugins::metrics::Metrics;
use parking_lot::Mutex;

use super::{Process, metrics, readiness};
use crate::config::{Config, Endpoint};

/// Probes to expect of a meter that names its outlets itself.
const OUTLETS_EXPECTED: usize = 24;

/// Meters being read, measurements being published.
#[derive(Debug)]
pub(crate) struct Drivers {
    manager: Arc<Manager>,
    publisher: Arc<Publisher>,
}

impl Drivers {
    /// Opens the endpoints (`inside` besides the configured ones) and starts every meter.
    ///
    /// # Errors
    /// When an endpoint cannot be opened, or the sums of virtual probes go round in a circle.
    pub(super) fn start(
        process: &Process,
        config: &Config,
        inside: &[Endpoint],
        all: &mut Metrics,
    ) -> Result<Self, StartError> {
        let publisher_config = config.bus.publisher(&config.drivers.publish, inside);
        let publisher =
            Arc::new(Publisher::start(&process.bus, &publisher_config, expected_messages(config))?);
        let sink = {
            let publisher = publisher.clone();
            Arc::new(move |measurement| publisher.publish(measurement))
        };
        let directory = config.state_directory.join("drivers");
        let manager = Arc::new(Manager::keeping(sink, process.clock.clone(), Host::this(), directory));
        let drivers = Self { manager: manager.clone(), publisher: publisher.clone() };
        for trouble in manager.troubles() {
            tracing::error!("{trouble}");
        }
        drivers.apply(config)?;
        for endpoint in &config.drivers.publish {
            tracing::info!(endpoint = endpoint.url(), "publishing");
        }
        readiness::drivers(all, manager.clone(), publisher.clone());
        all.add(metrics::drivers(manager));
        all.add(metrics::publisher(publisher));
        Ok(drivers)
    }

    /// Makes the meters those of `config`; the ones that did not change miss no beat.
    ///
    /// # Errors
    /// When the sums of virtual probes go round in a circle; nothing has changed then.
    pub(super) fn apply(&self, config: &Config) -> Result<(), StartError> {
        self.manager.apply_virtual(config.virtual_probes.clone())?;
        self.manager.apply(config.meters.clone());
        Ok(())
    }

    /// How each meter is doing.
    pub(crate) fn manager(&self) -> Arc<Manager> {
        self.manager.clone()
    }

    /// How many measurements have been published.
    pub(crate) fn published(&self) -> u64 {
        self.publisher.counters().published
    }

    /// Ends all sessions.
    pub(super) async fn stop(self) {
        self.manager.stop().await;
    }
}

/// A look at the meters serves all probes asked about within this time: one answer of the API asks about each of its own.
const PROBLEMS_AGE_MAX: Duration = Duration::from_secs(1);
/// What devices say of their accuracy changes with a device.
const ACCURACIES_AGE_MAX: Duration = Duration::from_secs(60);

/// Why each troubled probe has no reading, as its meter's latest round left it.
#[derive(Debug)]
pub(super) struct Problems {
    manager: Arc<Manager>,
    seen: Mutex<Option<(Instant, HashMap<ProbeId, String>)>>,
    accuracies: Mutex<Option<(Instant, HashMap<ProbeId, f64>)>>,
}

impl Problems {
    pub(super) fn new(manager: Arc<Manager>) -> Self {
        Self { manager, seen: Mutex::new(None), accuracies: Mutex::new(None) }
    }

    /// What the device of `probe` says of its accuracy, in percent of the reading.
    pub(super) fn accuracy(&self, probe: &ProbeId) -> Option<f64> {
        let mut seen = self.accuracies.lock();
        if seen.as_ref().is_none_or(|(at, _)| at.elapsed() > ACCURACIES_AGE_MAX) {
            let probes = self.manager.statuses().into_iter().flat_map(|meter| meter.probes);
            let told = probes.filter_map(|status| Some((status.probe, status.accuracy_percent?)));
            *seen = Some((Instant::now(), told.collect()));
        }
        seen.as_ref().and_then(|(_, told)| told.get(probe).copied())
    }

    /// Why the meter of `probe` last failed, if it has not been read since.
    pub(super) fn of(&self, probe: &ProbeId) -> Option<String> {
        let mut seen = self.seen.lock();
        if seen.as_ref().is_none_or(|(at, _)| at.elapsed() > PROBLEMS_AGE_MAX) {
            *seen = Some((Instant::now(), problems(&self.manager.statuses())));
        }
        seen.as_ref().and_then(|(_, problems)| problems.get(probe).cloned())
    }
}

fn problems(statuses: &[MeterStatus]) -> HashMap<ProbeId, String> {
    let mut all = HashMap::new();
    for meter in statuses {
        for status in &meter.probes {
            let problem = match (&status.problem, meter.state.is_up()) {
                (Some(problem), _) => Some(problem.to_string()),
                (None, false) => meter.last_error.clone(),
                (None, true) => None,
            };
            all.extend(problem.map(|problem| (status.probe.clone(), problem)));
        }
    }
    all
}

/// Why the drivers cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Virtual(#[from] VirtualError),
}

/// More messages a second are not made room for.
const MESSAGES_EXPECTED_MAX: usize = 1 << 20;

/// About how many messages come at once, to size queues by: one of each probe, or as many as a probe has in a second.
pub(super) fn expected_messages(config: &Config) -> usize {
    let outlets = |meter: &MeterSpec| {
        if meter.outlets.wants_all() { OUTLETS_EXPECTED } else { meter.outlets.named().len() }
    };
    let of_meters = config.meters.iter().map(|meter| {
        let a_second = Duration::from_secs(1).as_nanos().div_ceil(meter.interval.as_nanos().max(1));
        outlets(meter).saturating_mul(usize::try_from(a_second).unwrap_or(usize::MAX))
    });
    let all = of_meters.fold(config.virtual_probes.len(), usize::saturating_add);
    all.min(MESSAGES_EXPECTED_MAX)
}
