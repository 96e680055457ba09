//! The metrics of the directory: of what is live, and of how it came in.

use std::ops::ControlFlow;

use crate::directory::Directory;
use crate::live::Listing;
use crate::metrics::{Exposition, MetricSource};

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
        let power = out.family("kwapi_probe_power_watts");
        for (id, present, ..) in views.iter().filter(|(.., is_silent)| !is_silent) {
            power.sample(&[("probe", id.as_str())], present.power.0);
        }
        let energy = out.family("kwapi_probe_energy_joules");
        for (id, _, joules, ..) in &views {
            energy.sample(&[("probe", id.as_str())], *joules);
        }
        let timestamps = out.family("kwapi_probe_timestamp_seconds");
        for (id, present, ..) in &views {
            timestamps.sample(&[("probe", id.as_str())], present.timestamp.seconds_f64());
        }
        let recorded = out.family("kwapi_probe_recorded_timestamp_seconds");
        for (id, _, _, recorded_at, _) in
            views.iter().filter(|(_, present, _, recorded_at, _)| present.timestamp != *recorded_at)
        {
            recorded.sample(&[("probe", id.as_str())], recorded_at.seconds_f64());
        }

        let counts = live.counts();
        out.family("kwapi_collector_messages")
            .count(&[("kind", "ledgered")], counts.credited)
            .count(&[("kind", "legacy")], counts.legacy);
        out.family("kwapi_collector_refused")
            .count(&[("cause", "duplicate")], counts.duplicate)
            .count(&[("cause", "session_closed")], counts.session_closed)
            .count(&[("cause", "conflicting_publisher")], counts.conflicting_publisher)
            .count(&[("cause", "too_many_probes")], counts.too_many_probes);
        out.count("kwapi_collector_late", &[], counts.late);
        out.count("kwapi_collector_lost_messages", &[], counts.lost);
        out.count("kwapi_collector_dropped", &[], counts.dropped);
        out.count("kwapi_collector_probes_max", &[], live.config().probes_max as u64);
        out.count("kwapi_collector_probes", &[], counts.probes);
        out.count("kwapi_collector_record_bytes", &[], counts.record_bytes);
        out.count("kwapi_collector_record_failures", &[], counts.record_failures);
    }
}
