//! How far a sender is in the spool: what it sends next, and from where it resumes. It reads no spool and uses no
//! connection.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::spool::SpoolCursor;

/// How far the sender is.
#[derive(Debug, Default)]
pub(in crate::transport::nats::outlet) struct Progress {
    pub(super) cursor: SpoolCursor,
    /// The number of the message sent before, or that the consumers are known to have.
    pub(super) before: u64,
    /// Changes whenever it goes back; never that of another process.
    pub(super) pass: u64,
    /// The greatest number sent.
    pub(super) sent: u64,
    pub(super) confirmed: Confirmed,
    pub(super) rejected: BTreeSet<u64>,
    pub(super) noted: Vec<u8>,
    pub(super) noted_at: Option<Instant>,
}

/// The last message that the server has confirmed with all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Confirmed {
    pub(super) number: u64,
    /// Its number in the stream; 0 where that is not known.
    pub(super) sequence: u64,
}

impl Progress {
    /// What the server has confirmed last, where that is more than the consumers have.
    pub(super) fn confirmed_beyond(&self, durable: u64) -> Option<Confirmed> {
        (self.confirmed.number > durable).then_some(self.confirmed)
    }

    /// Begins with a connection: after what the server has confirmed, if it has that still, and after what all consumers have
    /// on their disks else.
    pub(super) fn resume(&mut self, durable: u64, has_confirmed: bool) {
        match self.confirmed_beyond(durable) {
            Some(_) if !has_confirmed => self.go_to(durable),
            confirmed => self.continue_after(confirmed.map_or(durable, |confirmed| confirmed.number)),
        }
    }

    /// Goes back after this number. What consumers then report of earlier deliveries is old.
    pub(super) fn go_to(&mut self, number: u64) {
        self.continue_after(number);
        self.pass += 1;
        if self.confirmed.number > number {
            // The stream has later ones, but not all of those between.
            self.confirmed = Confirmed::default();
        }
    }

    fn continue_after(&mut self, number: u64) {
        (self.cursor, self.before) = (SpoolCursor::after(number), number);
    }

    /// Places a message; returns the number of the one before it. `None` where the server will never take it.
    pub(super) fn place(&mut self, number: u64) -> Option<u64> {
        if self.rejected.contains(&number) {
            return None;
        }
        self.sent = self.sent.max(number);
        Some(std::mem::replace(&mut self.before, number))
    }

    /// Takes note that the server has confirmed a message, and all before it.
    pub(super) fn confirm(&mut self, number: u64, sequence: u64) {
        self.confirmed = Confirmed { number, sequence };
    }
}
