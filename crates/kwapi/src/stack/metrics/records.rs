//! What is counted of what is on record: the ledger, history and groups.

use std::sync::Arc;

use kwapi_history::{Groups, History, Ledger};
use kwapi_plugins::metrics::{Exposition, Kind, MetricSource};

/// What the ledger has kept.
pub(in crate::stack) fn ledger(ledger: Arc<Ledger>) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = ledger.counters();
        count_all(
            out,
            [
                ("kwapi_ledger_probes", Kind::Gauge, "Probes with rows in the ledger.", counters.probes),
                (
                    "kwapi_ledger_rows",
                    Kind::Counter,
                    "Rows written: minutes, quarter hours, days.",
                    counters.rows,
                ),
                ("kwapi_ledger_rows_waiting", Kind::Gauge, "Rows that wait to be written.", counters.waiting),
                (
                    "kwapi_ledger_corrections",
                    Kind::Counter,
                    "Corrections of closed rows.",
                    counters.corrections,
                ),
                ("kwapi_ledger_files", Kind::Gauge, "Files of the ledger.", counters.files),
                ("kwapi_ledger_merges", Kind::Counter, "Days whose files became one.", counters.merges),
                (
                    "kwapi_ledger_files_damaged",
                    Kind::Counter,
                    "Files of the ledger that could not be read when they were to be merged.",
                    counters.files_damaged,
                ),
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
            ],
        );
        let unplaced = counters.unplaced_mj as f64 / 1e3;
        let help = "Energy laid where a message was stamped, as nothing more was known of its time.";
        out.family("kwapi_ledger_unplaced_joules", Kind::Counter, help).sample(&[], unplaced);
    }
}

/// What history has kept.
pub(in crate::stack) fn history(history: Arc<History>) -> impl MetricSource {
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
        count_all(
            out,
            [
                (
                    "kwapi_history_late_left_out",
                    Kind::Counter,
                    "Late measurements that are missing from RRD rows they belong to.",
                    counters.late_left_out,
                ),
                (
                    "kwapi_history_late_read_bytes",
                    Kind::Counter,
                    "Bytes of the journal read to put late measurements into RRD rows.",
                    counters.late_bytes_read,
                ),
                ("kwapi_history_probes", Kind::Gauge, "Probes with history.", counters.probes),
                ("kwapi_history_journal_bytes", Kind::Gauge, "Size of the journal on disk.", journal.bytes),
                (
                    "kwapi_history_journal_failures",
                    Kind::Counter,
                    "Batches that could not be written to the journal.",
                    journal.failures,
                ),
                (
                    "kwapi_history_flush_failures",
                    Kind::Counter,
                    "Failed writes of RRD files.",
                    counters.flush_failures,
                ),
                (
                    "kwapi_history_samples_dropped",
                    Kind::Counter,
                    "Samples dropped because their file was not writable.",
                    counters.samples_dropped,
                ),
                (
                    "kwapi_history_files_set_aside",
                    Kind::Counter,
                    "Unusable RRD files renamed.",
                    counters.files_set_aside,
                ),
                (
                    "kwapi_history_files_ahead",
                    Kind::Counter,
                    "RRD files found last updated in the future because of a wrong clock.",
                    counters.files_ahead,
                ),
                (
                    "kwapi_history_files_rewound",
                    Kind::Counter,
                    "Probes whose RRD files were rewound after being written while the clock was ahead.",
                    counters.files_rewound,
                ),
                (
                    "kwapi_history_waiting_bytes",
                    Kind::Gauge,
                    "Size of samples waiting to be written to RRD files.",
                    counters.waiting_bytes,
                ),
            ],
        );
        losses(out, &history);
    }
}

/// What of the records is damaged, lost or gone.
fn losses(out: &mut Exposition, history: &History) {
    let (counters, journal) = (history.counters(), history.journal().counters());
    count_all(
        out,
        [
            (
                "kwapi_history_index_lines_damaged",
                Kind::Gauge,
                "Unreadable lines of the RRD index at startup.",
                counters.index_lines_damaged,
            ),
            (
                "kwapi_history_journal_torn_bytes",
                Kind::Gauge,
                "Size of an incomplete batch removed from the journal at startup.",
                journal.bytes_torn,
            ),
            (
                "kwapi_history_journal_positions_damaged",
                Kind::Gauge,
                "Journal readers with an unreadable position at startup; they read everything again.",
                journal.positions_damaged,
            ),
            (
                "kwapi_history_losses",
                Kind::Counter,
                "Parts of the journal missing from RRD files.",
                counters.losses,
            ),
            (
                "kwapi_history_read_failures",
                Kind::Counter,
                "Failed reads of RRD files for a request.",
                counters.read_failures,
            ),
            (
                "kwapi_history_directories_removed",
                Kind::Counter,
                "History directories found removed and recreated.",
                counters.directories_removed + journal.directories_removed,
            ),
            (
                "kwapi_history_journal_stretches_lost",
                Kind::Counter,
                "Unreadable parts of the journal.",
                journal.stretches_lost,
            ),
            (
                "kwapi_history_journal_lost_bytes",
                Kind::Counter,
                "Size of the unreadable parts of the journal.",
                journal.bytes_lost,
            ),
            (
                "kwapi_history_orphan_files",
                Kind::Gauge,
                "RRD files of unknown probes.",
                counters.orphan_files,
            ),
            (
                "kwapi_history_journal_segments_dropped",
                Kind::Counter,
                "Journal segments deleted for size or age.",
                journal.segments_dropped,
            ),
        ],
    );
}

/// What is kept of groups.
pub(in crate::stack) fn groups(groups: Groups) -> impl MetricSource {
    move |out: &mut Exposition| {
        let counters = groups.counters();
        count_all(
            out,
            [
                ("kwapi_groups", Kind::Gauge, "Groups with RRD files.", counters.groups),
                (
                    "kwapi_groups_late",
                    Kind::Counter,
                    "Measurements that came too late for the RRD files of their groups, and come into them later.",
                    counters.late,
                ),
                (
                    "kwapi_groups_late_left_out",
                    Kind::Counter,
                    "Late measurements missing from the rows of RRD files of groups, each for each file.",
                    counters.files.late_left_out,
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
            ],
        );
    }
}

/// A family each, without labels: its name, kind and help, and its count.
fn count_all<const N: usize>(out: &mut Exposition, families: [(&'static str, Kind, &'static str, u64); N]) {
    for (name, kind, help, count) in families {
        out.family(name, kind, help).count(&[], count);
    }
}
