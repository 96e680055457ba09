//! The forwarder.

use std::sync::Arc;

use kwapi_bus::{BusError, EndpointConfig, Forwarder, ForwarderConfig};
use kwapi_plugins::metrics::Metrics;

use super::{Process, metrics, readiness};
use crate::config::{BusSection, Config, Endpoint};

/// Messages of this many probes an interval are kept for a slow peer; a forwarder has no meters.
const MESSAGES_EXPECTED: usize = 10_000;

/// Starts it.
///
/// # Errors
/// When an endpoint cannot be opened, or there are none.
pub(super) fn start(
    process: &Process,
    config: &Config,
    all: &mut Metrics,
) -> Result<Arc<Forwarder>, BusError> {
    let forwarder_config = ForwarderConfig {
        upstream: plain(&config.forwarder.subscribe, &config.bus),
        downstream: plain(&config.forwarder.publish, &config.bus),
        high_water: config.bus.high_water,
    };
    let forwarder =
        Forwarder::start(&process.bus, &forwarder_config, &process.clock, MESSAGES_EXPECTED).map(Arc::new)?;
    for endpoint in forwarder.bound() {
        tracing::info!(endpoint, "forwarding");
    }
    all.add(metrics::forwarder(forwarder.clone()));
    readiness::forwarder(all, forwarder.clone());
    Ok(forwarder)
}

/// Lets in the clients of a configuration that is taken up.
///
/// # Errors
/// When a key is none; nothing has changed then.
pub(super) fn let_in(forwarder: &Forwarder, config: &Config, bus: &BusSection) -> Result<(), BusError> {
    let section = &config.forwarder;
    let endpoints = [plain(&section.subscribe, bus), plain(&section.publish, bus)].concat();
    forwarder.let_in(&endpoints)
}

fn plain(endpoints: &[Endpoint], bus: &BusSection) -> Vec<EndpointConfig> {
    endpoints.iter().map(|endpoint| endpoint.plain(bus)).collect()
}
