//! The connections to NATS, as metric families.

use kwapi_bus::NatsLink;
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
            ] {
                out.family(name, Kind::Counter, help).count(&labels, count);
            }
        }
    }
}
