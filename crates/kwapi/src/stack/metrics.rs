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
use kwapi_plugins::metrics::{Exposition, MetricSource};

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
        let by_state = out.family("kwapi_meters");
        for state in MeterState::ALL {
            let meters = statuses.iter().filter(|meter| meter.state == state).count();
            by_state.count(&[("state", state.as_str())], meters as u64);
        }
        let lateness = manager.lateness();
        out.family("kwapi_meter_lateness_seconds").histogram(
            &[],
            &LATENESS_BOUNDS.map(|(bound, _)| bound),
            &lateness.buckets(LATENESS_BOUNDS.map(|(_, milliseconds)| Duration::from_millis(milliseconds))),
            lateness.sum().as_secs_f64(),
        );
        for meter in &statuses {
            let labels = [("meter", meter.name.as_str()), ("driver", meter.driver)];
            let up = f64::from(u8::from(meter.state.is_up()));
            out.sample("kwapi_meter_up", &labels, up);
            out.count("kwapi_meter_reads", &labels, meter.reads);
            out.count("kwapi_meter_failures", &labels, meter.failures);
            out.count("kwapi_meter_sessions", &labels, meter.sessions);
            out.count("kwapi_meter_ticks_missed", &labels, meter.ticks_missed);
            out.count("kwapi_meter_probes_refused", &labels, meter.probes_refused);
            let resets = meter.probes.iter().map(|probe| probe.counter_resets).sum();
            out.count("kwapi_meter_counter_resets", &labels, resets);
            if let Some(latency) = meter.last_latency {
                out.sample("kwapi_meter_latency_seconds", &labels, latency.as_secs_f64());
            }
            energy(out, meter);
            let causes = meter.no_readings;
            for (cause, number) in [
                ("not_ready", causes.not_ready),
                ("not_available", causes.not_available),
                ("no_such_outlet", causes.no_such_outlet),
                ("implausible", causes.implausible),
                ("stale", causes.stale),
            ] {
                if number > 0 {
                    let labels = [("meter", meter.name.as_str()), ("driver", meter.driver), ("cause", cause)];
                    out.count("kwapi_meter_no_readings", &labels, number);
                }
            }
        }
    }
}

/// What the meter's probes report of their energy, where there is something to report.
fn energy(out: &mut Exposition, meter: &MeterStatus) {
    let labels = [("meter", meter.name.as_str()), ("driver", meter.driver)];
    let sum = |of: fn(&ProbeStatus) -> u64| meter.probes.iter().map(of).sum::<u64>();
    for (name, number) in [
        ("kwapi_meter_outliers", sum(|probe| probe.outliers)),
        ("kwapi_meter_counters_disbelieved", sum(|probe| u64::from(!probe.counter_trusted))),
        ("kwapi_meter_held", sum(|probe| u64::from(probe.is_held))),
        ("kwapi_meter_counters_shared", sum(|probe| u64::from(probe.counter_shared_with.is_some()))),
    ] {
        if number > 0 {
            out.count(name, &labels, number);
        }
    }
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for cause in meter.probes.iter().filter_map(|probe| probe.not_bridged) {
        *causes.entry(cause.as_str()).or_default() += 1;
    }
    for (cause, number) in causes {
        let labels = [("meter", meter.name.as_str()), ("driver", meter.driver), ("cause", cause)];
        out.count("kwapi_meter_not_bridged", &labels, number);
    }
}

/// What has been published.
pub(super) fn publisher(publisher: Arc<Publisher>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = publisher.counters();
        out.count("kwapi_bus_published", &[], counters.published);
        out.count("kwapi_bus_publish_described", &[], counters.described);
        out.count("kwapi_bus_publish_dropped", &[], counters.dropped);
        out.count("kwapi_bus_publish_unsigned", &[], counters.unsigned);
        out.count("kwapi_bus_publish_failed", &[], counters.failed);
    }
}

/// Whether the wall clock is known to be wrong.
pub(super) fn clock(is_wrong: impl Fn() -> bool + Send + Sync + 'static) -> impl MetricSource {
    move |out: &mut Exposition| {
        out.sample("kwapi_clock_wrong", &[], f64::from(u8::from(is_wrong())));
    }
}

/// What has been received, and refused by cause. `plugin` distinguishes the subscribers of one process.
pub(super) fn subscriber(subscriber: Arc<Subscriber>, plugin: &'static str) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = subscriber.counters();
        let labels = [("plugin", plugin)];
        out.count("kwapi_bus_received", &labels, counters.received);
        out.count("kwapi_bus_verified", &labels, counters.verified);
        out.count("kwapi_bus_unwanted", &labels, counters.unwanted);
        out.count("kwapi_bus_reserved", &labels, counters.reserved);
        out.count("kwapi_bus_receive_dropped", &labels, counters.dropped);
        let refused = out.family("kwapi_bus_refused");
        for (cause, count) in &counters.refused {
            refused.count(&[("plugin", plugin), ("cause", cause.name())], *count);
        }
        for skew in subscriber.skews() {
            let labels =
                [("plugin", plugin), ("endpoint", &skew.url), ("key", skew.key.as_deref().unwrap_or(""))];
            out.sample("kwapi_bus_skew_seconds", &labels, skew.micros as f64 / 1e6);
        }
    }
}

/// What publishers describe of their probes.
pub(super) fn descriptions(descriptions: Descriptions, plugin: &'static str) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counts = descriptions.counts();
        let labels = [("plugin", plugin)];
        out.sample("kwapi_described_probes", &labels, counts.probes as f64);
        out.count("kwapi_bus_descriptions", &labels, counts.received);
        let refused = out.family("kwapi_bus_descriptions_refused");
        for (cause, count) in counts.refused {
            refused.count(&[("plugin", plugin), ("cause", cause.name())], count);
        }
        out.count("kwapi_descriptions_write_failures", &labels, counts.writes_failed);
    }
}

/// What the bus has refused to hold for its peers, whatever this process does on it.
pub(super) fn bus(bus: BusContext) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = bus.counters();
        out.sample("kwapi_bus_connections", &[], counters.connections as f64);
        out.count("kwapi_bus_connections_refused", &[], counters.connections_refused);
        out.count("kwapi_bus_messages_cut_off", &[], counters.messages_refused);
        out.count("kwapi_bus_subscriptions_refused", &[], counters.subscriptions_refused);
    }
}

/// What has been forwarded.
pub(super) fn forwarder(forwarder: Arc<Forwarder>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = forwarder.counters();
        out.count("kwapi_forwarder_messages", &[], counters.messages);
        out.count("kwapi_forwarder_received_bytes", &[], counters.bytes);
        out.count("kwapi_forwarder_failed", &[], counters.failed);
        out.count("kwapi_forwarder_subscriptions", &[], counters.subscriptions);
        out.count("kwapi_forwarder_subscriptions_refused", &[], counters.refused_subscriptions);
        for link in forwarder.links() {
            forwarder_link(out, &link);
        }
    }
}

/// What one of a forwarder's links carries.
fn forwarder_link(out: &mut Exposition, link: &LinkCounters) {
    let labels = [("endpoint", link.endpoint.as_str()), ("side", link.side.name())];
    out.count("kwapi_forwarder_link_messages", &labels, link.messages);
    out.count("kwapi_forwarder_link_bytes", &labels, link.bytes);
    out.sample("kwapi_forwarder_link_subscriptions", &labels, link.subscriptions as f64);
    if link.side == LinkSide::Downstream {
        return;
    }
    out.sample("kwapi_forwarder_link_cut", &labels, f64::from(u8::from(link.is_cut)));
    out.count("kwapi_forwarder_link_cuts", &labels, link.cuts);
    if let Some(at) = link.last_message {
        out.sample("kwapi_forwarder_link_last_message_timestamp_seconds", &labels, at.seconds_f64());
    }
    if let Some(lag) = link.lag_micros {
        out.sample("kwapi_forwarder_link_lag_seconds", &labels, lag as f64 / 1e6);
    }
}

/// The requests to Keystone.
pub(super) fn keystone(auth: Auth) -> impl MetricSource {
    move |out: &mut Exposition| {
        out.count("kwapi_keystone_requests", &[], auth.keystone_requests());
    }
}
