//! The driver manager and its publisher.

use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::{BusError, Publisher, PublisherCounters, SpoolConfig};
use kwapi_drivers::manager::{Host, Manager, MeterSpec, VirtualError};
use kwapi_plugins::live::Live;
use kwapi_plugins::metrics::Metrics;

use super::{Process, metrics, readiness};
use crate::config::{BusSection, Config, Endpoint};

/// At a stop, how long NATS may take to store what was measured last.
const STORE_LIMIT: Duration = Duration::from_millis(800);

/// Probes to expect of a meter that names its outlets itself.
const OUTLETS_EXPECTED: usize = 24;

/// Meters being read, measurements being published.
#[derive(Debug)]
pub(crate) struct Drivers {
    manager: Arc<Manager>,
    publisher: Arc<Publisher>,
}

impl Drivers {
    /// Opens the endpoints (`inside` besides the configured ones) and starts every meter; `live` has the probes that are on record.
    ///
    /// # Errors
    /// When an endpoint cannot be opened, or the sums of virtual probes go round in a circle.
    pub(super) fn start(
        process: &Process,
        config: &Config,
        inside: &[Endpoint],
        live: Option<&Live>,
        all: &mut Metrics,
    ) -> Result<Self, StartError> {
        let expected = expected_messages(config, live.map_or(0, Live::probes));
        let publisher_config = config.bus.publisher(&config.drivers.publish, inside);
        let directory = config.state_directory.join("drivers");
        let spool = SpoolConfig {
            directory: directory.join("spool"),
            bytes_max: u64::from(config.drivers.spool_megabytes_max) * 1_000_000,
            age_max: Duration::from_secs(config.bus.stored_age_max_seconds),
            clock: process.clock.clone(),
        };
        let publisher = Publisher::start_with_spool(&process.bus, &publisher_config, expected, spool)?;
        let publisher = Arc::new(publisher);
        let sink = {
            let publisher = publisher.clone();
            Arc::new(move |measurement, facts| publisher.publish_described(measurement, facts))
        };
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
        let links = publisher.clone();
        readiness::nats(all, "nats_publish", move || links.nats_links());
        let links = publisher.clone();
        all.add(metrics::nats(move || links.nats_links(), process.clock.clone()));
        if publisher.spool().is_some() {
            readiness::spool(all, publisher.clone());
            all.add(metrics::spool(publisher.clone(), process.clock.clone()));
        }
        all.add(metrics::drivers(manager));
        all.add(metrics::publisher(publisher));
        Ok(drivers)
    }

    /// Makes the meters those of `config`; the ones that did not change miss no beat.
    ///
    /// # Errors
    /// When the sums of virtual probes go round in a circle; nothing has changed then.
    pub(super) fn apply(&self, config: &Config) -> Result<(), StartError> {
        self.publisher.describe_with(super::api::describe(config));
        self.manager.apply_virtual(config.virtual_probes.clone())?;
        self.manager.apply(config.meters.clone());
        Ok(())
    }

    /// Takes up the keys of a configuration: what is signed with from now on, and who may connect.
    ///
    /// # Errors
    /// When a key is unfit; nothing has changed then.
    pub(super) fn sign_with(&self, config: &Config, bus: &BusSection) -> Result<(), BusError> {
        let publisher = bus.publisher(&config.drivers.publish, &[]);
        let unfit = |source| BusError::Key { url: "[bus] key".to_owned(), source };
        self.publisher.let_in(&publisher.endpoints)?;
        self.publisher.sign_with(&publisher.keys).map_err(unfit)
    }

    /// How each meter is doing.
    pub(crate) fn manager(&self) -> Arc<Manager> {
        self.manager.clone()
    }

    /// What sends their measurements.
    pub(super) fn publisher(&self) -> Arc<Publisher> {
        self.publisher.clone()
    }

    /// What has been published, and what has not.
    pub(crate) fn counters(&self) -> PublisherCounters {
        self.publisher.counters()
    }

    /// Ends all sessions.
    pub(super) async fn stop(self) {
        self.manager.stop().await;
        if !self.publisher.stored(STORE_LIMIT).await {
            tracing::warn!("stopped before NATS had stored all messages");
        }
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

/// More messages a second are not made room for.
const MESSAGES_EXPECTED_MAX: usize = 1 << 20;

/// About how many messages come at once, to size queues by: one of each probe, or as many as a probe has in a second. As many
/// as are on record at least: a meter that names its outlets itself may have a hundred times as many as is expected of one, and
/// all come at once at a start, when there is most to do besides.
pub(super) fn expected_messages(config: &Config, known: usize) -> usize {
    let outlets = |meter: &MeterSpec| {
        if meter.outlets.selects_all() { OUTLETS_EXPECTED } else { meter.outlets.named().len() }
    };
    let of_meters = config.meters.iter().map(|meter| {
        let a_second = Duration::from_secs(1).as_nanos().div_ceil(meter.interval.as_nanos().max(1));
        outlets(meter).saturating_mul(usize::try_from(a_second).unwrap_or(usize::MAX))
    });
    let all = of_meters.fold(config.virtual_probes.len(), usize::saturating_add);
    all.max(known).min(MESSAGES_EXPECTED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_messages_are_expected_as_there_are_probes_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kwapi.toml");
        let toml =
            "[[meter]]\ndriver = 'dummy'\nprobe = 'rack.{outlet}'\noutlets = 500\ninterval_seconds = 1\n";
        std::fs::write(&file, toml).unwrap();
        let config = Config::read(&file).unwrap();
        let expected = [0, 500, 5_000_000].map(|known| expected_messages(&config, known));
        assert_eq!(expected, [OUTLETS_EXPECTED, 500, MESSAGES_EXPECTED_MAX]);
    }
}
