//! The connections to NATS, as metric families.

use kwapi_bus::NatsLink;
use kwapi_core::WallClock;
use kwapi_plugins::metrics::{Exposition, MetricSource};

use super::families::{count, sample};

/// How each is doing.
pub(in crate::stack) fn nats(
    links: impl Fn() -> Vec<NatsLink> + Send + Sync + 'static,
    clock: WallClock,
) -> impl MetricSource {
    move |out: &mut Exposition| {
        for link in links() {
            let labels = [("endpoint", link.endpoint.as_str()), ("side", link.side.name())];
            sample(out, "kwapi_nats_up", &labels, f64::from(u8::from(link.problem.is_none())));
            count(out, "kwapi_nats_waiting", &labels, link.waiting);
            if let Some(until) = link.read_until {
                let lag = clock.now().since(until);
                sample(out, "kwapi_nats_lag_seconds", &labels, lag.as_secs_f64());
            }
            for site in &link.sites {
                let labels = [("endpoint", link.endpoint.as_str()), ("site", site.name.as_str())];
                sample(out, "kwapi_nats_site_waiting", &labels, site.waiting as f64);
                if let Some(lacking) = site.lacking_for {
                    sample(out, "kwapi_nats_site_lacking_seconds", &labels, lacking.as_secs_f64());
                }
            }
            count(out, "kwapi_nats_connections", &labels, link.connections);
            count(out, "kwapi_nats_messages", &labels, link.messages);
            count(out, "kwapi_nats_repeated", &labels, link.repeated);
            count(out, "kwapi_nats_dropped", &labels, link.dropped);
            count(out, "kwapi_nats_rejected", &labels, link.rejected);
        }
    }
}
