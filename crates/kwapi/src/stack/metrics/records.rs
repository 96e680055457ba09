//! What is counted of what is on record: the ledger, history and groups.

use std::sync::Arc;

use kwapi_history::{Groups, History, Ledger};
use kwapi_plugins::metrics::{Exposition, MetricSource};

/// What the ledger has kept.
pub(in crate::stack) fn ledger(ledger: Arc<Ledger>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = ledger.counters();
        out.counts(
            &[],
            [
                ("kwapi_ledger_probes", counters.probes),
                ("kwapi_ledger_rows", counters.rows),
                ("kwapi_ledger_rows_waiting", counters.waiting),
                ("kwapi_ledger_corrections", counters.corrections),
                ("kwapi_ledger_files", counters.files),
                ("kwapi_ledger_merges", counters.merges),
                ("kwapi_ledger_files_damaged", counters.files_damaged),
                ("kwapi_ledger_losses", counters.losses),
                ("kwapi_ledger_failures", counters.failures),
                ("kwapi_ledger_snapshots_damaged", counters.snapshots_damaged),
            ],
        );
        let unplaced = counters.unplaced_mj as f64 / 1e3;
        out.sample("kwapi_ledger_unplaced_joules", &[], unplaced);
    }
}

/// What history has kept.
pub(in crate::stack) fn history(history: Arc<History>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = history.counters();
        let journal = history.journal().counters();
        let measurements = out.family("kwapi_history_measurements");
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
        out.counts(
            &[],
            [
                ("kwapi_history_late_left_out", counters.late_left_out),
                ("kwapi_history_late_read_bytes", counters.late_bytes_read),
                ("kwapi_history_probes", counters.probes),
                ("kwapi_history_journal_bytes", journal.bytes),
                ("kwapi_history_journal_failures", journal.failures),
                ("kwapi_history_flush_failures", counters.flush_failures),
                ("kwapi_history_samples_dropped", counters.samples_dropped),
                ("kwapi_history_files_set_aside", counters.files_set_aside),
                ("kwapi_history_files_ahead", counters.files_ahead),
                ("kwapi_history_files_rewound", counters.files_rewound),
                ("kwapi_history_waiting_bytes", counters.waiting_bytes),
            ],
        );
        losses(out, &history);
    }
}

/// What of the records is damaged, lost or gone.
fn losses(out: &mut Exposition, history: &History) {
    let (counters, journal) = (history.counters(), history.journal().counters());
    out.counts(
        &[],
        [
            ("kwapi_history_index_lines_damaged", counters.index_lines_damaged),
            ("kwapi_history_journal_torn_bytes", journal.bytes_torn),
            ("kwapi_history_journal_positions_damaged", journal.positions_damaged),
            ("kwapi_history_losses", counters.losses),
            ("kwapi_history_read_failures", counters.read_failures),
            ("kwapi_history_directories_removed", counters.directories_removed + journal.directories_removed),
            ("kwapi_history_journal_stretches_lost", journal.stretches_lost),
            ("kwapi_history_journal_lost_bytes", journal.bytes_lost),
            ("kwapi_history_orphan_files", counters.orphan_files),
            ("kwapi_history_journal_segments_dropped", journal.segments_dropped),
        ],
    );
}

/// What is kept of groups.
pub(in crate::stack) fn groups(groups: Groups) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = groups.counters();
        out.counts(
            &[],
            [
                ("kwapi_groups", counters.groups),
                ("kwapi_groups_late", counters.late),
                ("kwapi_groups_late_left_out", counters.files.late_left_out),
                ("kwapi_groups_refused", counters.refused),
                ("kwapi_groups_flush_failures", counters.files.flush_failures),
                ("kwapi_groups_losses", counters.files.losses),
            ],
        );
    }
}
