//! What the crates count, as metric families.

mod nats;
mod records;
mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kwapi_bus::{BusContext, Forwarder, LinkCounters, LinkSide, Publisher, Subscriber};
use kwapi_drivers::manager::{Manager, MeterState, MeterStatus, ProbeStatus};
use kwapi_plugins::auth::Auth;
use kwapi_plugins::descriptions::Descriptions;
use kwapi_plugins::metrics::{Exposition, Kind, MetricSource};

pub(super) use nats::{nats, spool};
pub(super) use records::{groups, history, ledger};
pub(super) use samples::samples;

/// Bounds of how late readings are, as text and in milliseconds.
const LATENESS_BOUNDS: [(&str, u64); 9] = [
    ("0.001", 1),
    ("0.005", 5),
    ("0.02", 20),
    ("0.05", 50),
    ("0.1", 100),
    ("0.2", 200),
    ("0.5", 500),
    ("1", 1_000),
    ("5", 5_000),
];

/// Meters by state, and each meter's state, latency and failures.
pub(super) fn drivers(manager: Arc<Manager>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let statuses = manager.statuses();
        let by_state = out.family("kwapi_meters", Kind::Gauge, "Meters by driver state.");
        for state in MeterState::ALL {
            let count = statuses.iter().filter(|meter| meter.state == state).count();
            by_state.count(&[("state", state.as_str())], count as u64);
        }
        let lateness = manager.lateness();
        out.family(
            "kwapi_meter_lateness_seconds",
            Kind::Histogram,
            "How late readings were in hand, behind the tick they were due at; of all meters that are polled.",
        )
        .histogram(
            &[],
            &LATENESS_BOUNDS.map(|(bound, _)| bound),
            &lateness.buckets(LATENESS_BOUNDS.map(|(_, milliseconds)| Duration::from_millis(milliseconds))),
            lateness.sum().as_secs_f64(),
        );
        for meter in &statuses {
            let labels = [("meter", meter.name.as_str()), ("driver", meter.driver)];
            let up = f64::from(u8::from(meter.state.is_up()));
            out.family(
                "kwapi_meter_up",
                Kind::Gauge,
                "Whether the meter is healthy: read, or waiting for pushed data.",
            )
            .sample(&labels, up);
            out.family("kwapi_meter_reads", Kind::Counter, "Polling rounds with readings.")
                .count(&labels, meter.reads);
            out.family("kwapi_meter_failures", Kind::Counter, "Failed polling rounds and session openings.")
                .count(&labels, meter.failures);
            out.family("kwapi_meter_sessions", Kind::Counter, "Sessions opened.")
                .count(&labels, meter.sessions);
            out.family("kwapi_meter_ticks_missed", Kind::Counter, "Intervals without a read.")
                .count(&labels, meter.ticks_missed);
            out.family(
                "kwapi_meter_probes_refused",
                Kind::Counter,
                "Probes reported by a meter and rejected: too many, or invalid name.",
            )
            .count(&labels, meter.probes_refused);
            let resets = meter.probes.iter().map(|probe| probe.counter_resets).sum();
            out.family(
                "kwapi_meter_counter_resets",
                Kind::Counter,
                "Resets and jumps of the outlets' energy counters.",
            )
            .count(&labels, resets);
            if let Some(latency) = meter.last_latency {
                out.family("kwapi_meter_latency_seconds", Kind::Gauge, "Duration of the latest response.")
                    .sample(&labels, latency.as_secs_f64());
            }
            energy(out, meter);
            let causes = meter.no_readings;
            for (cause, count) in [
                ("not_ready", causes.not_ready),
                ("not_available", causes.not_available),
                ("no_such_outlet", causes.no_such_outlet),
                ("implausible", causes.implausible),
                ("stale", causes.stale),
            ] {
                if count > 0 {
                    let labels = [("meter", meter.name.as_str()), ("driver", meter.driver), ("cause", cause)];
                    out.family(
                        "kwapi_meter_no_readings",
                        Kind::Counter,
                        "Outlets without a reading, by cause.",
                    )
                    .count(&labels, count);
                }
            }
        }
    }
}

/// What the meter's probes say of their energy, where there is something to say.
fn energy(out: &mut Exposition, meter: &MeterStatus) {
    let labels = [("meter", meter.name.as_str()), ("driver", meter.driver)];
    let sum = |of: fn(&ProbeStatus) -> u64| meter.probes.iter().map(of).sum::<u64>();
    for (name, kind, help, count) in [
        (
            "kwapi_meter_outliers",
            Kind::Counter,
            "Implausible power values discarded: above max_watts, or far above all earlier values of the outlet.",
            sum(|probe| probe.outliers),
        ),
        (
            "kwapi_meter_counters_disbelieved",
            Kind::Gauge,
            "Outlets whose energy counter contradicted their power.",
            sum(|probe| u64::from(!probe.counter_believed)),
        ),
        (
            "kwapi_meter_held",
            Kind::Gauge,
            "Probes not published until the wall clock is correct.",
            sum(|probe| u64::from(probe.is_held)),
        ),
        (
            "kwapi_meter_counters_shared",
            Kind::Gauge,
            "Probes read from an energy counter that another probe is read from as well.",
            sum(|probe| u64::from(probe.counter_shared_with.is_some())),
        ),
    ] {
        if count > 0 {
            out.family(name, kind, help).count(&labels, count);
        }
    }
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for cause in meter.probes.iter().filter_map(|probe| probe.not_bridged) {
        *causes.entry(cause.as_str()).or_default() += 1;
    }
    for (cause, count) in causes {
        let labels = [("meter", meter.name.as_str()), ("driver", meter.driver), ("cause", cause)];
        let help = "Probes whose energy counter could not bridge the time before this process, by cause.";
        out.family("kwapi_meter_not_bridged", Kind::Gauge, help).count(&labels, count);
    }
}

/// What has been published.
pub(super) fn publisher(publisher: Arc<Publisher>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = publisher.counters();
        out.family("kwapi_bus_published", Kind::Counter, "Measurements signed and sent.")
            .count(&[], counters.published);
        let help = "Measurements sent with a description of their probe.";
        out.family("kwapi_bus_publish_described", Kind::Counter, help).count(&[], counters.described);
        out.family("kwapi_bus_publish_dropped", Kind::Counter, "Measurements dropped before sending.")
            .count(&[], counters.dropped);
        let help = "Measurements not sent, because no signing key was valid.";
        out.family("kwapi_bus_publish_unsigned", Kind::Counter, help).count(&[], counters.unsigned);
        out.family("kwapi_bus_publish_failed", Kind::Counter, "Sends rejected by a socket.")
            .count(&[], counters.failed);
    }
}

/// Whether the wall clock is known to be wrong.
pub(super) fn clock(is_wrong: impl Fn() -> bool + Send + Sync + 'static) -> impl MetricSource {
    move |out: &mut Exposition| {
        out.family(
            "kwapi_clock_wrong",
            Kind::Gauge,
            "Whether the wall clock is known to be wrong: earlier than the release date of this program, or behind recorded data.",
        )
        .sample(&[], f64::from(u8::from(is_wrong())));
    }
}

/// What has been heard, and refused by cause. `plugin` tells the subscribers of one process apart.
pub(super) fn subscriber(subscriber: Arc<Subscriber>, plugin: &'static str) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = subscriber.counters();
        let labels = [("plugin", plugin)];
        out.family("kwapi_bus_received", Kind::Counter, "Messages received.")
            .count(&labels, counters.received);
        out.family("kwapi_bus_verified", Kind::Counter, "Messages verified and decoded.")
            .count(&labels, counters.verified);
        out.family(
            "kwapi_bus_unwanted",
            Kind::Counter,
            "Messages of unsubscribed probes, delivered by ZeroMQ's prefix match.",
        )
        .count(&labels, counters.unwanted);
        out.family("kwapi_bus_reserved", Kind::Counter, "Messages on the bus's own topics.")
            .count(&labels, counters.reserved);
        out.family(
            "kwapi_bus_receive_dropped",
            Kind::Counter,
            "Measurements dropped because the plugin was too slow.",
        )
        .count(&labels, counters.dropped);
        let refused = out.family("kwapi_bus_refused", Kind::Counter, "Messages refused, by cause.");
        for (cause, count) in &counters.refused {
            refused.count(&[("plugin", plugin), ("cause", cause.name())], *count);
        }
        for skew in subscriber.skews() {
            let labels =
                [("plugin", plugin), ("endpoint", &skew.url), ("key", skew.key.as_deref().unwrap_or(""))];
            out.family(
                "kwapi_bus_skew_seconds",
                Kind::Gauge,
                "How far a publisher's clock is behind, including transit time.",
            )
            .sample(&labels, skew.micros as f64 / 1e6);
        }
    }
}

/// What publishers say of their probes.
pub(super) fn descriptions(descriptions: Descriptions, plugin: &'static str) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counts = descriptions.counts();
        let labels = [("plugin", plugin)];
        let help = "Probes described by their publishers.";
        out.family("kwapi_described_probes", Kind::Gauge, help).sample(&labels, counts.probes as f64);
        let help = "Descriptions of probes accepted.";
        out.family("kwapi_bus_descriptions", Kind::Counter, help).count(&labels, counts.heard);
        let help = "Descriptions of probes refused, by cause; their measurements were not.";
        let refused = out.family("kwapi_bus_descriptions_refused", Kind::Counter, help);
        for (cause, count) in counts.refused {
            refused.count(&[("plugin", plugin), ("cause", cause.name())], count);
        }
        let help = "Failed writes of the descriptions of probes.";
        out.family("kwapi_descriptions_write_failures", Kind::Counter, help)
            .count(&labels, counts.writes_failed);
    }
}

/// What the bus has refused to hold for its peers, whatever this process does on it.
pub(super) fn bus(bus: BusContext) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = bus.counters();
        out.family("kwapi_bus_connections", Kind::Gauge, "Connections accepted on bound endpoints.")
            .sample(&[], counters.connections as f64);
        out.family(
            "kwapi_bus_connections_refused",
            Kind::Counter,
            "Connections rejected at the connection limit.",
        )
        .count(&[], counters.connections_refused);
        out.family(
            "kwapi_bus_messages_cut_off",
            Kind::Counter,
            "Messages with too many frames; the sender was disconnected.",
        )
        .count(&[], counters.messages_refused);
        out.family(
            "kwapi_bus_subscriptions_refused",
            Kind::Counter,
            "Subscriptions rejected at the limit of a subscriber or an endpoint.",
        )
        .count(&[], counters.subscriptions_refused);
    }
}

/// What has been forwarded.
pub(super) fn forwarder(forwarder: Arc<Forwarder>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = forwarder.counters();
        out.family("kwapi_forwarder_messages", Kind::Counter, "Messages received from upstream.")
            .count(&[], counters.messages);
        out.family("kwapi_forwarder_received_bytes", Kind::Counter, "Bytes received from upstream.")
            .count(&[], counters.bytes);
        out.family("kwapi_forwarder_failed", Kind::Counter, "Sends rejected by a socket.")
            .count(&[], counters.failed);
        out.family(
            "kwapi_forwarder_subscriptions",
            Kind::Counter,
            "Subscriptions and unsubscriptions passed upstream.",
        )
        .count(&[], counters.subscriptions);
        out.family(
            "kwapi_forwarder_subscriptions_refused",
            Kind::Counter,
            "Subscriptions not passed upstream: too long, or too many.",
        )
        .count(&[], counters.refused_subscriptions);
        for link in forwarder.links() {
            forwarder_link(out, &link);
        }
    }
}

/// What one of a forwarder's links carries.
fn forwarder_link(out: &mut Exposition, link: &LinkCounters) {
    let labels = [("endpoint", link.endpoint.as_str()), ("side", link.side.name())];
    let help = "Messages of a link: received from upstream, or offered downstream.";
    out.family("kwapi_forwarder_link_messages", Kind::Counter, help).count(&labels, link.messages);
    let help = "Bytes of the messages of a link.";
    out.family("kwapi_forwarder_link_bytes", Kind::Counter, help).count(&labels, link.bytes);
    let help = "Topics subscribed to on a link.";
    out.family("kwapi_forwarder_link_subscriptions", Kind::Gauge, help)
        .sample(&labels, link.subscriptions as f64);
    if link.side == LinkSide::Downstream {
        return;
    }
    let help = "Whether a link is cut, because it closes a loop of forwarders.";
    out.family("kwapi_forwarder_link_cut", Kind::Gauge, help)
        .sample(&labels, f64::from(u8::from(link.is_cut)));
    let help = "How often a link was cut, because it closed a loop of forwarders.";
    out.family("kwapi_forwarder_link_cuts", Kind::Counter, help).count(&labels, link.cuts);
    if let Some(at) = link.last_message {
        let help = "When the newest message of a link came, Unix time.";
        out.family("kwapi_forwarder_link_last_message_timestamp_seconds", Kind::Gauge, help)
            .sample(&labels, at.seconds_f64());
    }
    if let Some(lag) = link.lag_micros {
        let help = "How long the newest message of a link took from its measurement to this forwarder.";
        out.family("kwapi_forwarder_link_lag_seconds", Kind::Gauge, help).sample(&labels, lag as f64 / 1e6);
    }
}

/// What Keystone was asked.
pub(super) fn keystone(auth: Auth) -> impl MetricSource {
    move |out: &mut Exposition| {
        out.family("kwapi_keystone_requests", Kind::Counter, "Token validation requests to Keystone.")
            .count(&[], auth.keystone_requests());
    }
}
