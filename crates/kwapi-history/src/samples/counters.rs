//! What the keeping of samples counts.

/// Running totals of what keeps samples, since the process began unless stated otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SamplesCounters {
    /// Samples that wait to be written.
    pub waiting: u64,
    /// Samples written.
    pub written: u64,
    /// Files there are…
    pub files: u64,
    /// …and their bytes.
    pub bytes: u64,
    /// Files that became one with others.
    pub merges: u64,
    /// Files that could not be read when they were to be merged.
    pub files_damaged: u64,
    /// Stretches of the journal that it did not get.
    pub losses: u64,
    /// Hours removed, for age or for want of room.
    pub hours_removed: u64,
    /// Writes that the disk refused, and reads of the journal.
    pub failures: u64,
    /// Files of the position that were damaged when the samples were opened.
    pub places_damaged: u64,
    /// Files uploaded to object storage and verified there…
    pub uploads: u64,
    /// …and their bytes.
    pub upload_bytes: u64,
    /// Attempts to upload that failed.
    pub upload_failures: u64,
    /// Files that are on this disk alone, those of the current hour among them; 0 without object storage…
    pub not_uploaded: u64,
    /// …and their bytes.
    pub not_uploaded_bytes: u64,
    /// Reads of objects.
    pub object_reads: u64,
    /// Reads of objects that failed.
    pub object_read_failures: u64,
}
