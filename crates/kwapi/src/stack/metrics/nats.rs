//! The connections to NATS, as metric families.

use std::sync::Arc;

use kwapi_bus::{NatsLink, NatsSide, Publisher};
use kwapi_core::WallClock;
use kwapi_plugins::metrics::{Exposition, MetricSource};

/// How each is doing.
pub(in crate::stack) fn nats(
    links: impl Fn() -> Vec<NatsLink> + Send + Sync + 'static,
    clock: WallClock,
) -> impl MetricSource {
    move |out: &mut Exposition| {
        for link in links() {
            let labels = [("endpoint", link.endpoint.as_str()), ("side", link.side.name())];
            out.sample("kwapi_nats_up", &labels, f64::from(u8::from(link.problem.is_none())));
            out.count("kwapi_nats_waiting", &labels, link.waiting);
            if let Some(until) = link.read_until {
                let lag = clock.now().since(until);
                out.sample("kwapi_nats_lag_seconds", &labels, lag.as_secs_f64());
            }
            for site in &link.sites {
                let labels = [("endpoint", link.endpoint.as_str()), ("site", site.name.as_str())];
                out.sample("kwapi_nats_site_waiting", &labels, site.waiting as f64);
                if let Some(lacking) = site.lacking_for {
                    out.sample("kwapi_nats_site_lacking_seconds", &labels, lacking.as_secs_f64());
                }
            }
            if link.side == NatsSide::Subscribe {
                out.sample("kwapi_nats_unverified", &labels, link.aside as f64);
            }
            out.count("kwapi_nats_connections", &labels, link.connections);
            out.count("kwapi_nats_messages", &labels, link.messages);
            out.count("kwapi_nats_batches", &labels, link.batches);
            out.count("kwapi_nats_repeated", &labels, link.repeated);
            out.count("kwapi_nats_dropped", &labels, link.dropped);
            out.count("kwapi_nats_rejected", &labels, link.rejected);
            out.count("kwapi_nats_known", &labels, link.known);
            out.count("kwapi_nats_early", &labels, link.early);
            out.count("kwapi_nats_lost", &labels, link.lost);
            out.count("kwapi_nats_misplaced", &labels, link.misplaced);
        }
    }
}

/// What is kept for the consumers of streams, and where each of them stands.
pub(in crate::stack) fn spool(publisher: Arc<Publisher>, clock: WallClock) -> impl MetricSource {
    move |out: &mut Exposition| {
        let Some((counters, readers)) = publisher.spool() else { return };
        let now = clock.now();
        out.count("kwapi_spool_bytes", &[], counters.bytes);
        if let Some(oldest) = counters.oldest {
            out.sample("kwapi_spool_oldest_seconds", &[], now.since(oldest).as_secs_f64());
        }
        out.count("kwapi_spool_messages", &[], counters.messages);
        out.count("kwapi_spool_dropped", &[], counters.dropped);
        out.count("kwapi_spool_unwritten", &[], counters.unwritten);
        out.count("kwapi_spool_damaged", &[], counters.damaged);
        for reader in &readers {
            let endpoint = ("endpoint", reader.endpoint.as_str());
            out.count("kwapi_spool_repeated", &[endpoint], reader.repeated);
            for (cause, refused) in &reader.refused {
                out.count("kwapi_spool_positions_refused", &[endpoint, ("cause", cause)], *refused);
            }
            for consumer in &reader.consumers {
                let labels = [endpoint, ("consumer", consumer.name.as_str())];
                out.count("kwapi_spool_lacking", &labels, consumer.lacking);
                if let Some(received_at) = consumer.received_at {
                    out.sample("kwapi_spool_heard_seconds", &labels, now.since(received_at).as_secs_f64());
                }
            }
        }
    }
}
