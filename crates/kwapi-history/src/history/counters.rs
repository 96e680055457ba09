//! What a history counts.

use std::sync::atomic::AtomicU64;

/// The running totals of a history, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryCounters {
    /// Samples taken from the journal, on their way to the files.
    pub recorded: u64,
    /// Samples too late for the RRD files, which take nothing before their newest: the rows that they touch are made again
    /// from the journal…
    pub late: u64,
    /// …but for those of so many of them, or some: the journal since then is too long, or they are too many.
    pub late_left_out: u64,
    /// Bytes of the journal that were read for that.
    pub late_bytes_read: u64,
    /// Stretches of the journal that could not be read, or were gone before they were.
    pub losses: u64,
    /// Times a probe's files could not be written; its samples wait.
    pub flush_failures: u64,
    /// Times a file could not be read on request.
    pub read_failures: u64,
    /// Samples dropped because their files could not be written for too long. They are still in the journal.
    pub samples_dropped: u64,
    /// Unusable files that were set aside.
    pub files_set_aside: u64,
    /// Times files were found last updated long after the samples they were to take.
    pub files_ahead: u64,
    /// Probes in whose files what was later than now was taken back.
    pub files_rewound: u64,
    /// Times the directory of RRD files was found removed, and made again.
    pub directories_removed: u64,
    /// Probes known.
    pub probes: u64,
    /// RRD files in the directory whose probes have not been seen.
    pub orphan_files: u64,
    /// Lines of the index that could not be read.
    pub index_lines_damaged: u64,
    /// Bytes of samples that wait for their files.
    pub waiting_bytes: u64,
}

/// The same while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) recorded: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) late_left_out: AtomicU64,
    pub(super) late_bytes_read: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) flush_failures: AtomicU64,
    pub(super) read_failures: AtomicU64,
    pub(super) samples_dropped: AtomicU64,
    pub(super) files_set_aside: AtomicU64,
    pub(super) files_ahead: AtomicU64,
    pub(super) files_rewound: AtomicU64,
    pub(super) directories_removed: AtomicU64,
    pub(super) orphan_files: AtomicU64,
}
