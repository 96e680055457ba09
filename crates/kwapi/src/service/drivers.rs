//! The driver manager and its publisher.

use std::sync::Arc;

use kwapi_bus::{BusError, Publisher};
use kwapi_core::ProbeId;
use kwapi_drivers::manager::{Manager, MeterStatus, VirtualError};
use kwapi_plugins::metrics::Metrics;

use super::{Process, metrics};
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
    pub(crate) fn start(process: &Process, config: &Config, inside: &[Endpoint]) -> Result<Self, StartError> {
        let publisher_config = config.bus.publisher(&config.drivers, inside);
        let publisher = Arc::new(Publisher::start(&process.bus, &publisher_config, expected_probes(config))?);
        let sink = {
            let publisher = publisher.clone();
            Arc::new(move |measurement| publisher.publish(measurement))
        };
        let drivers = Self { manager: Arc::new(Manager::new(sink, process.clock.clone())), publisher };
        drivers.apply(config)?;
        Ok(drivers)
    }

    /// Makes the meters those of `config`; the ones that did not change miss no beat.
    ///
    /// # Errors
    /// When the sums of virtual probes go round in a circle; nothing has changed then.
    pub(crate) fn apply(&self, config: &Config) -> Result<(), StartError> {
        self.manager.apply_virtual(config.virtual_probes.clone())?;
        self.manager.apply(config.meters.clone());
        Ok(())
    }

    /// How each meter is doing.
    pub(crate) fn manager(&self) -> Arc<Manager> {
        self.manager.clone()
    }

    /// Why the meter of `probe` last failed, if it has not been read since.
    pub(crate) fn problem_of(statuses: &[MeterStatus], probe: &ProbeId) -> Option<String> {
        let mut of_probe = statuses.iter().filter_map(|meter| {
            let status = meter.probes.iter().find(|status| status.probe == *probe)?;
            Some((meter, status))
        });
        of_probe.find_map(|(meter, status)| match (&status.problem, meter.state.is_up()) {
            (Some(problem), _) => Some(problem.to_string()),
            (None, false) => meter.last_error.clone(),
            (None, true) => None,
        })
    }

    /// How many measurements have been published.
    pub(crate) fn published(&self) -> u64 {
        self.publisher.counters().published
    }

    /// Adds what drivers and publisher have to tell.
    pub(crate) fn add_metrics(&self, all: &mut Metrics) {
        let (manager, publisher) = (self.manager.clone(), self.publisher.clone());
        all.add(metrics::drivers(manager));
        all.add(metrics::publisher(publisher));
    }

    /// Ends all sessions.
    pub(crate) async fn stop(self) {
        self.manager.stop().await;
    }
}

/// Why the drivers cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Virtual(#[from] VirtualError),
}

/// About how many messages an interval brings, to size queues by.
pub(crate) fn expected_probes(config: &Config) -> usize {
    let of_meters: usize = config
        .meters
        .iter()
        .map(|meter| if meter.outlets.wants_all() { OUTLETS_EXPECTED } else { meter.outlets.named().len() })
        .sum();
    of_meters + config.virtual_probes.len()
}
