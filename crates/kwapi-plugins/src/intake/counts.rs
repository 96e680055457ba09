//! What became of the messages that came in, counted by cause.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use kwapi_core::Refused;

/// A snapshot of the intake's counters; all but `probes` and `record_bytes` count from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeCounts {
    /// Messages that carried totals and were credited.
    pub credited: u64,
    /// Messages of the original Kwapi that were integrated on arrival.
    pub legacy: u64,
    /// Of the credited, those that came after a newer one.
    pub late: u64,
    /// Refused: seen before, or too old to distinguish.
    pub duplicate: u64,
    /// Refused: of a session that has been closed.
    pub session_closed: u64,
    /// Refused: a second publisher of a probe whose first is alive.
    pub conflicting_publisher: u64,
    /// Refused: there are as many probes as there may be.
    pub too_many_probes: u64,
    /// Dropped, the oldest first, while the journal took nothing. The next totals carry their energy.
    pub dropped: u64,
    /// Messages known to exist by their sequence that have not come.
    pub lost: u64,
    /// Probes with an account, silent ones included.
    pub probes: u64,
    /// Attempts to write the record that failed.
    pub record_failures: u64,
    /// The size of the record.
    pub record_bytes: u64,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Credited,
    Late,
    Legacy,
    Refused(Refused),
}

/// Written by the intake alone.
#[derive(Debug, Default)]
pub(crate) struct IntakeTally {
    credited: AtomicU64,
    legacy: AtomicU64,
    late: AtomicU64,
    duplicate: AtomicU64,
    session_closed: AtomicU64,
    conflicting_publisher: AtomicU64,
    too_many_probes: AtomicU64,
    has_reported_too_many: AtomicBool,
    dropped: AtomicU64,
    lost: AtomicI64,
}

impl IntakeTally {
    pub(crate) fn starting_at(lost: i64) -> Self {
        Self { lost: AtomicI64::new(lost), ..Self::default() }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Credited => &self.credited,
            Outcome::Late => {
                self.credited.fetch_add(1, Ordering::Relaxed);
                &self.late
            }
            Outcome::Legacy => &self.legacy,
            Outcome::Refused(Refused::Duplicate) => &self.duplicate,
            Outcome::Refused(Refused::SessionClosed) => &self.session_closed,
            Outcome::Refused(Refused::ConflictingPublisher) => &self.conflicting_publisher,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message of one probe more than there may be, and reports it once.
    pub(super) fn too_many_probes(&self, max: usize) {
        self.too_many_probes.fetch_add(1, Ordering::Relaxed);
        if !self.has_reported_too_many.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                probes_max = max,
                "[api] probes_max reached; further probes are refused and counted"
            );
        }
    }

    pub(super) fn dropped(&self, count: u64) {
        if count > 0 {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// A late message takes back one that had been counted as lost.
    pub(super) fn lost(&self, change: i64) {
        if change != 0 {
            self.lost.fetch_add(change, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self, probes: u64, record_failures: u64, record_bytes: u64) -> IntakeCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IntakeCounts {
            credited: read(&self.credited),
            legacy: read(&self.legacy),
            late: read(&self.late),
            duplicate: read(&self.duplicate),
            session_closed: read(&self.session_closed),
            conflicting_publisher: read(&self.conflicting_publisher),
            too_many_probes: read(&self.too_many_probes),
            dropped: read(&self.dropped),
            lost: u64::try_from(self.lost.load(Ordering::Relaxed)).unwrap_or(0),
            probes,
            record_failures,
            record_bytes,
        }
    }
}
