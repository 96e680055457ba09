//! What a history counts.

/// What became of measurements, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Journalled, and on their way to the files.
    pub recorded: u64,
    /// Journalled, but too late for the RRD files, which take nothing before their newest.
    pub late: u64,
    /// Seen before.
    pub duplicate: u64,
    /// Another publisher of the probe is alive.
    pub conflicting: u64,
    /// Stamped more than a minute ahead of their arrival.
    pub future: u64,
}

/// The running totals of a history, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryCounters {
    /// What became of measurements.
    pub measurements: Recorded,
    /// Batches the journal could not take.
    pub journal_failures: u64,
    /// Bytes of journal on disk.
    pub journal_bytes: u64,
    /// Journal segments deleted for want of room or for age.
    pub journal_segments_dropped: u64,
    /// Times a probe's files could not be written; its samples wait.
    pub flush_failures: u64,
    /// Samples dropped because their files could not be written for too long. They are still in the journal.
    pub samples_dropped: u64,
    /// Unusable files that were set aside.
    pub files_set_aside: u64,
    /// Times a file was found last updated more than a minute after the samples it was to take.
    pub files_ahead: u64,
    /// Probes known.
    pub probes: u64,
    /// RRD files in the directory whose probes have not been seen.
    pub orphan_files: u64,
}

impl Recorded {
    /// Adds `other` to this.
    pub(super) fn add(&mut self, other: &Self) {
        self.recorded += other.recorded;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.conflicting += other.conflicting;
        self.future += other.future;
    }
}
