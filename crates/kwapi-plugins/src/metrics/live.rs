//! The metrics of the directory: of what is live, and of how it came in.

use std::ops::ControlFlow;

use crate::directory::Directory;
use crate::live::Listing;
use crate::metrics::{Exposition, Kind, MetricSource};

impl MetricSource for Directory {
    /// Power of probes whose value is of now, energy of all known ones, and what became of the messages.
    fn collect(&self, out: &mut Exposition) {
        let live = self.live();
        let mut views = Vec::with_capacity(live.probes());
        live.read(Listing::Known, None, |_, id, view| {
            if !out.may_name(id) {
                return ControlFlow::Continue(());
            }
            views.push((
                id.clone(),
                view.present,
                view.totals.energy.joules(),
                view.timestamp,
                view.is_silent,
            ));
            ControlFlow::Continue(())
        });
        let power = out.family("kwapi_probe_power_watts", Kind::Gauge, "Current power of a probe.");
        for (id, present, ..) in views.iter().filter(|(.., is_silent)| !is_silent) {
            power.sample(&[("probe", id.as_str())], present.power.0);
        }
        let energy = out.family(
            "kwapi_probe_energy_joules",
            Kind::Counter,
            "Energy of a probe since it was first seen; survives restarts, never decreases.",
        );
        for (id, _, joules, ..) in &views {
            energy.sample(&[("probe", id.as_str())], *joules);
        }
        let timestamps = out.family(
            "kwapi_probe_timestamp_seconds",
            Kind::Gauge,
            "When the last value of a probe was measured, Unix time.",
        );
        for (id, present, ..) in &views {
            timestamps.sample(&[("probe", id.as_str())], present.timestamp.seconds_f64());
        }
        let recorded = out.family(
            "kwapi_probe_recorded_timestamp_seconds",
            Kind::Gauge,
            "Time of the last measurement included in the energy of a probe, Unix time; only while its power is newer.",
        );
        for (id, _, _, recorded_at, _) in
            views.iter().filter(|(_, present, _, recorded_at, _)| present.timestamp != *recorded_at)
        {
            recorded.sample(&[("probe", id.as_str())], recorded_at.seconds_f64());
        }

        let counts = live.counts();
        out.family("kwapi_collector_messages", Kind::Counter, "Measurements credited.")
            .count(&[("kind", "ledgered")], counts.credited)
            .count(&[("kind", "legacy")], counts.legacy);
        out.family("kwapi_collector_refused", Kind::Counter, "Measurements not credited, by cause.")
            .count(&[("cause", "duplicate")], counts.duplicate)
            .count(&[("cause", "session_closed")], counts.session_closed)
            .count(&[("cause", "conflicting_publisher")], counts.conflicting_publisher)
            .count(&[("cause", "too_many_probes")], counts.too_many_probes);
        out.family("kwapi_collector_late", Kind::Counter, "Measurements credited out of order.")
            .count(&[], counts.late);
        out.family(
            "kwapi_collector_lost_messages",
            Kind::Gauge,
            "Measurements missing by sequence number; decreases when one arrives late. Their energy is not lost.",
        )
        .count(&[], counts.lost);
        out.family(
            "kwapi_collector_dropped",
            Kind::Counter,
            "Measurements dropped while the journal was not writable. Their energy is not lost.",
        )
        .count(&[], counts.dropped);
        out.family(
            "kwapi_collector_probes_max",
            Kind::Gauge,
            "Maximum number of probes; further ones are refused.",
        )
        .count(&[], live.config().probes_max as u64);
        out.family("kwapi_collector_probes", Kind::Gauge, "Probes with an account, silent ones included.")
            .count(&[], counts.probes);
        out.family("kwapi_collector_record_bytes", Kind::Gauge, "Size of the accounts file.")
            .count(&[], counts.record_bytes);
        out.family("kwapi_collector_record_failures", Kind::Counter, "Failed writes of the accounts file.")
            .count(&[], counts.record_failures);
    }
}
