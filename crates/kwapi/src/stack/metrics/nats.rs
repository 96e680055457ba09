//! The connections to NATS, as metric families.

use std::sync::Arc;

use kwapi_bus::{NatsLink, Publisher};
use kwapi_core::WallClock;
use kwapi_plugins::metrics::{Exposition, Kind, MetricSource};

/// How each is doing.
pub(in crate::stack) fn nats(
    links: impl Fn() -> Vec<NatsLink> + Send + Sync + 'static,
    clock: WallClock,
) -> impl MetricSource {
    move |out: &mut Exposition| {
        for link in links() {
            let labels = [("endpoint", link.endpoint.as_str()), ("side", link.side.name())];
            let help = "Whether messages pass between this process and a stream of NATS.";
            out.family("kwapi_nats_up", Kind::Gauge, help)
                .sample(&labels, f64::from(u8::from(link.problem.is_none())));
            let help = "Messages waiting: here until NATS has stored them, or there until they are received.";
            out.family("kwapi_nats_waiting", Kind::Gauge, help).sample(&labels, link.waiting as f64);
            if let Some(until) = link.read_until {
                let help = "How far the history is behind what NATS keeps for it.";
                out.family("kwapi_nats_lag_seconds", Kind::Gauge, help)
                    .sample(&labels, clock.now().since(until).as_secs_f64());
            }
            for (name, help, count) in [
                ("kwapi_nats_connections", "Connections opened to NATS.", link.connections),
                ("kwapi_nats_messages", "Messages stored by NATS, or received from it.", link.messages),
                ("kwapi_nats_repeated", "Messages sent or received more than once.", link.repeated),
                (
                    "kwapi_nats_dropped",
                    "Messages dropped because too many waited: for NATS, oldest first, or to be shown (side live).",
                    link.dropped,
                ),
                ("kwapi_nats_rejected", "Messages that NATS does not accept.", link.rejected),
                ("kwapi_nats_known", "Messages received that had been taken already.", link.known),
                (
                    "kwapi_nats_early",
                    "Messages received and not taken, since one before them is missing; they come again.",
                    link.early,
                ),
                (
                    "kwapi_nats_misplaced",
                    "Messages whose position is not signed by a key that is accepted.",
                    link.misplaced,
                ),
            ] {
                out.family(name, Kind::Counter, help).count(&labels, count);
            }
        }
    }
}

/// What is kept for the consumers of streams, and where each of them stands.
pub(in crate::stack) fn spool(publisher: Arc<Publisher>, clock: WallClock) -> impl MetricSource {
    move |out: &mut Exposition| {
        let Some((counters, readers)) = publisher.spool() else { return };
        let now = clock.now();
        let help = "Size of the messages kept for consumers, in bytes.";
        out.family("kwapi_spool_bytes", Kind::Gauge, help).sample(&[], counters.bytes as f64);
        if let Some(oldest) = counters.oldest {
            let help = "Age of the oldest file of messages kept for consumers, in seconds.";
            out.family("kwapi_spool_oldest_seconds", Kind::Gauge, help)
                .sample(&[], now.since(oldest).as_secs_f64());
        }
        for (name, help, count) in [
            ("kwapi_spool_messages", "Messages kept for consumers.", counters.messages),
            (
                "kwapi_spool_dropped",
                "Messages dropped that a consumer lacked, because there were too many or they were too old.",
                counters.dropped,
            ),
            (
                "kwapi_spool_unwritten",
                "Messages sent that could not be written to the disk before.",
                counters.unwritten,
            ),
            ("kwapi_spool_damaged", "Stretches of kept messages that could not be read.", counters.damaged),
        ] {
            out.family(name, Kind::Counter, help).count(&[], count);
        }
        for reader in &readers {
            let endpoint = ("endpoint", reader.endpoint.as_str());
            let help = "Messages sent again, because a server had lost them or a consumer missed them.";
            out.family("kwapi_spool_repeated", Kind::Counter, help).count(&[endpoint], reader.repeated);
            for (cause, count) in &reader.refused {
                let help = "Positions of consumers that were not accepted.";
                out.family("kwapi_spool_positions_refused", Kind::Counter, help)
                    .count(&[endpoint, ("cause", cause)], *count);
            }
            for consumer in &reader.consumers {
                let labels = [endpoint, ("consumer", consumer.name.as_str())];
                let help = "Messages that a consumer has not confirmed to have on its disk.";
                out.family("kwapi_spool_lacking", Kind::Gauge, help).sample(&labels, consumer.lacking as f64);
                if let Some(heard) = consumer.heard {
                    let help = "Time since a consumer said where it stands, in seconds.";
                    out.family("kwapi_spool_heard_seconds", Kind::Gauge, help)
                        .sample(&labels, now.since(heard).as_secs_f64());
                }
            }
        }
    }
}
