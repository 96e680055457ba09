//! What the crates count, as metric families.

mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;

use kwapi_bus::{BusContext, Forwarder, Publisher, Subscriber};
use kwapi_drivers::manager::{Manager, MeterState, MeterStatus, ProbeStatus};
use kwapi_history::{Groups, History, Ledger};
use kwapi_plugins::auth::Auth;
use kwapi_plugins::metrics::{Exposition, Kind, MetricSource};

pub(super) use samples::samples;

/// Meters by state, and each meter's state, latency and failures.
pub(super) fn drivers(manager: Arc<Manager>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let statuses = manager.statuses();
        let by_state = out.family("kwapi_meters", Kind::Gauge, "Meters by driver state.");
        for state in MeterState::ALL {
            let count = statuses.iter().filter(|meter| meter.state == state).count();
            by_state.count(&[("state", state.as_str())], count as u64);
        }
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
        out.family("kwapi_bus_publish_dropped", Kind::Counter, "Measurements dropped before sending.")
            .count(&[], counters.dropped);
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
    }
}

/// What the ledger has kept.
pub(super) fn ledger(ledger: Arc<Ledger>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = ledger.counters();
        for (name, kind, help, count) in [
            ("kwapi_ledger_probes", Kind::Gauge, "Probes with rows in the ledger.", counters.probes),
            (
                "kwapi_ledger_rows",
                Kind::Counter,
                "Rows written: minutes, quarter hours, days.",
                counters.rows,
            ),
            ("kwapi_ledger_rows_waiting", Kind::Gauge, "Rows that wait to be written.", counters.waiting),
            ("kwapi_ledger_corrections", Kind::Counter, "Corrections of closed rows.", counters.corrections),
            ("kwapi_ledger_files", Kind::Gauge, "Files of the ledger.", counters.files),
            ("kwapi_ledger_merges", Kind::Counter, "Days whose files became one.", counters.merges),
            (
                "kwapi_ledger_losses",
                Kind::Counter,
                "Stretches of the journal that the ledger did not get.",
                counters.losses,
            ),
            (
                "kwapi_ledger_failures",
                Kind::Counter,
                "Writes that the disk refused, and reads of the journal.",
                counters.failures,
            ),
            (
                "kwapi_ledger_snapshots_damaged",
                Kind::Gauge,
                "Files of open rows found damaged at the start.",
                counters.snapshots_damaged,
            ),
        ] {
            out.family(name, kind, help).count(&[], count);
        }
        let unplaced = counters.unplaced_mj as f64 / 1e3;
        let help = "Energy laid where a message was stamped, as nothing more was known of its time.";
        out.family("kwapi_ledger_unplaced_joules", Kind::Counter, help).sample(&[], unplaced);
    }
}

/// What history has kept.
pub(super) fn history(history: Arc<History>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = history.counters();
        let journal = history.journal().counters();
        let measurements =
            out.family("kwapi_history_measurements", Kind::Counter, "Measurements, by result.");
        for (result, count) in [
            ("recorded", counters.recorded),
            ("late", counters.late),
            // What is refused does not come here any more.
            ("duplicate", 0),
            ("conflicting", 0),
            ("future", 0),
        ] {
            measurements.count(&[("result", result)], count);
        }
        let help = "Late measurements that are missing from RRD rows they belong to.";
        out.family("kwapi_history_late_left_out", Kind::Counter, help).count(&[], counters.late_left_out);
        let help = "Bytes of the journal read to put late measurements into RRD rows.";
        out.family("kwapi_history_late_read_bytes", Kind::Counter, help).count(&[], counters.late_bytes_read);
        out.family("kwapi_history_probes", Kind::Gauge, "Probes with history.").count(&[], counters.probes);
        out.family("kwapi_history_journal_bytes", Kind::Gauge, "Size of the journal on disk.")
            .count(&[], journal.bytes);
        out.family(
            "kwapi_history_journal_failures",
            Kind::Counter,
            "Batches that could not be written to the journal.",
        )
        .count(&[], journal.failures);
        out.family("kwapi_history_flush_failures", Kind::Counter, "Failed writes of RRD files.")
            .count(&[], counters.flush_failures);
        out.family(
            "kwapi_history_samples_dropped",
            Kind::Counter,
            "Samples dropped because their file was not writable.",
        )
        .count(&[], counters.samples_dropped);
        out.family("kwapi_history_files_set_aside", Kind::Counter, "Unusable RRD files renamed.")
            .count(&[], counters.files_set_aside);
        out.family(
            "kwapi_history_files_ahead",
            Kind::Counter,
            "RRD files found last updated in the future because of a wrong clock.",
        )
        .count(&[], counters.files_ahead);
        out.family(
            "kwapi_history_files_rewound",
            Kind::Counter,
            "Probes whose RRD files were rewound after being written while the clock was ahead.",
        )
        .count(&[], counters.files_rewound);
        out.family(
            "kwapi_history_waiting_bytes",
            Kind::Gauge,
            "Size of samples waiting to be written to RRD files.",
        )
        .count(&[], counters.waiting_bytes);
        out.family(
            "kwapi_history_index_lines_damaged",
            Kind::Gauge,
            "Unreadable lines of the RRD index at startup.",
        )
        .count(&[], counters.index_lines_damaged);
        out.family(
            "kwapi_history_journal_torn_bytes",
            Kind::Gauge,
            "Size of an incomplete batch removed from the journal at startup.",
        )
        .count(&[], journal.bytes_torn);
        out.family(
            "kwapi_history_journal_positions_damaged",
            Kind::Gauge,
            "Journal readers with an unreadable position at startup; they read everything again.",
        )
        .count(&[], journal.positions_damaged);
        out.family("kwapi_history_losses", Kind::Counter, "Parts of the journal missing from RRD files.")
            .count(&[], counters.losses);
        out.family("kwapi_history_read_failures", Kind::Counter, "Failed reads of RRD files for a request.")
            .count(&[], counters.read_failures);
        out.family(
            "kwapi_history_directories_removed",
            Kind::Counter,
            "History directories found removed and recreated.",
        )
        .count(&[], counters.directories_removed + journal.directories_removed);
        out.family("kwapi_history_journal_stretches_lost", Kind::Counter, "Unreadable parts of the journal.")
            .count(&[], journal.stretches_lost);
        out.family(
            "kwapi_history_journal_lost_bytes",
            Kind::Counter,
            "Size of the unreadable parts of the journal.",
        )
        .count(&[], journal.bytes_lost);
        out.family("kwapi_history_orphan_files", Kind::Gauge, "RRD files of unknown probes.")
            .count(&[], counters.orphan_files);
        out.family(
            "kwapi_history_journal_segments_dropped",
            Kind::Counter,
            "Journal segments deleted for size or age.",
        )
        .count(&[], journal.segments_dropped);
    }
}

/// What is kept of groups.
pub(super) fn groups(groups: Groups) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = groups.counters();
        for (name, kind, help, count) in [
            ("kwapi_groups", Kind::Gauge, "Groups with RRD files.", counters.groups),
            (
                "kwapi_groups_late",
                Kind::Counter,
                "Measurements that came too late for the RRD files of their groups.",
                counters.late,
            ),
            (
                "kwapi_groups_refused",
                Kind::Counter,
                "Times a group got no RRD files: too many groups, or its name is too long.",
                counters.refused,
            ),
            (
                "kwapi_groups_flush_failures",
                Kind::Counter,
                "Failed writes of RRD files of groups.",
                counters.files.flush_failures,
            ),
            (
                "kwapi_groups_losses",
                Kind::Counter,
                "Parts of the journal missing from the RRD files of groups.",
                counters.files.losses,
            ),
        ] {
            out.family(name, kind, help).count(&[], count);
        }
    }
}

/// What Keystone was asked.
pub(super) fn keystone(auth: Auth) -> impl MetricSource {
    move |out: &mut Exposition| {
        out.family("kwapi_keystone_requests", Kind::Counter, "Token validation requests to Keystone.")
            .count(&[], auth.keystone_requests());
    }
}
