//! The forwarder.

use std::sync::Arc;

use kwapi_bus::{BusError, Forwarder, ForwarderConfig};
use kwapi_plugins::metrics::Metrics;

use super::{Process, metrics, readiness};
use crate::config::Config;

/// Messages of this many probes an interval are kept for a slow peer; a forwarder knows no meters.
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
    let plain = |endpoints: &[crate::config::Endpoint]| {
        endpoints.iter().map(|endpoint| endpoint.plain(&config.bus)).collect()
    };
    let forwarder_config = ForwarderConfig {
        upstream: plain(&config.forwarder.subscribe),
        downstream: plain(&config.forwarder.publish),
        high_water: config.bus.high_water,
    };
    let forwarder = Arc::new(Forwarder::start(&process.bus, &forwarder_config, MESSAGES_EXPECTED)?);
    for endpoint in forwarder.bound() {
        tracing::info!(endpoint, "forwarding");
    }
    all.add(metrics::forwarder(forwarder.clone()));
    readiness::forwarder(all, forwarder.clone());
    Ok(forwarder)
}
