//! What the collector did with the messages it was fed, counted by cause.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::probe::Outcome;

/// A snapshot of the collector's counters; all but `probes` and `record_bytes` count from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectorCounts {
    /// Messages that carried totals and were credited.
    pub credited: u64,
    /// Messages of the original Kwapi that were integrated on arrival.
    pub legacy: u64,
    /// Of the credited, those that came after a newer one.
    pub late: u64,
    /// Refused: seen before, or too old to tell.
    pub duplicate: u64,
    /// Refused: of a session that has been closed.
    pub session_closed: u64,
    /// Refused: a second publisher of a probe whose first is alive.
    pub conflicting_publisher: u64,
    /// Refused: the collector has as many probes as it may.
    pub too_many_probes: u64,
    /// Messages known to exist by their sequence that have not come.
    pub lost: u64,
    /// Probes with an account, silent ones included.
    pub probes: u64,
    /// Attempts to write the record that failed.
    pub record_failures: u64,
    /// The size of the record.
    pub record_bytes: u64,
}

/// Written by the feed alone.
#[derive(Debug, Default)]
pub(super) struct Counts {
    credited: AtomicU64,
    legacy: AtomicU64,
    late: AtomicU64,
    duplicate: AtomicU64,
    session_closed: AtomicU64,
    conflicting_publisher: AtomicU64,
    too_many_probes: AtomicU64,
    lost: AtomicI64,
}

impl Counts {
    pub(super) fn starting_at(lost: i64) -> Self {
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
            Outcome::Duplicate => &self.duplicate,
            Outcome::SessionClosed => &self.session_closed,
            Outcome::ConflictingPublisher => &self.conflicting_publisher,
            Outcome::TooManyProbes => &self.too_many_probes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A late message takes back one that had been counted as lost.
    pub(super) fn lost(&self, change: i64) {
        if change != 0 {
            self.lost.fetch_add(change, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self, probes: u64, record_failures: u64, record_bytes: u64) -> CollectorCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CollectorCounts {
            credited: read(&self.credited),
            legacy: read(&self.legacy),
            late: read(&self.late),
            duplicate: read(&self.duplicate),
            session_closed: read(&self.session_closed),
            conflicting_publisher: read(&self.conflicting_publisher),
            too_many_probes: read(&self.too_many_probes),
            lost: u64::try_from(self.lost.load(Ordering::Relaxed)).unwrap_or(0),
            probes,
            record_failures,
            record_bytes,
        }
    }
}
