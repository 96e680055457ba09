//! The driver manager and its publisher.

use std::sync::Arc;

use kwapi_bus::{BusError, Publisher};
use kwapi_drivers::manager::{Host, Manager, VirtualError};
use kwapi_plugins::metrics::Metrics;

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
        let publisher = Arc::new(Publisher::start(&process.bus, &publisher_config, expected_probes(config))?);
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

/// Why the drivers cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Virtual(#[from] VirtualError),
}

/// About how many messages an interval brings, to size queues by.
pub(super) fn expected_probes(config: &Config) -> usize {
    let of_meters: usize = config
        .meters
        .iter()
        .map(|meter| if meter.outlets.wants_all() { OUTLETS_EXPECTED } else { meter.outlets.named().len() })
        .sum();
    of_meters + config.virtual_probes.len()
}
