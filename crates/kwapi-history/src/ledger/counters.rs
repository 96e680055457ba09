//! What the ledger counts.

/// Running totals of a ledger, since the process began unless stated otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerCounters {
    /// Probes it has.
    pub probes: u64,
    /// Rows that are done and wait to be written.
    pub waiting: u64,
    /// Rows written.
    pub rows: u64,
    /// Corrections made since the ledger began.
    pub corrections: u64,
    /// Parts written.
    pub parts: u64,
    /// Files there are.
    pub files: u64,
    /// Days whose parts were merged.
    pub merges: u64,
    /// Files that could not be read when they were to be merged.
    pub files_damaged: u64,
    /// Stretches of the journal that it did not get.
    pub losses: u64,
    /// Energy in millijoules of which no stretch was known: laid where a message is stamped.
    pub unplaced_mj: u64,
    /// Writes that the disk refused, and reads of the journal.
    pub failures: u64,
    /// Files of open rows that were damaged when the ledger was opened.
    pub snapshots_damaged: u64,
}
