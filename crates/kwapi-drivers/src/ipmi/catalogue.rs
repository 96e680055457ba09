//! What is known of a card's SDR repository: its sensors of power, and how far it has been read.
//!
//! Repositories are not as their specification has them: the "next" id of a record goes back to one that was read, or the
//! id after the last one is none; records declare more bytes than they have, or cannot be read at all. A sensor counts
//! once, whatever the chain of records does, and what could not be read is remembered.

use std::collections::HashSet;
use std::sync::Arc;

use super::sdr::IpmiSensor;

/// The first record's id, and the "next" id after the last one: IPMI 2.0, 33.12.
const FIRST: u16 = 0x0000;
const LAST: u16 = 0xFFFF;
/// More records than any card has: a repository whose records never end is read no further.
const RECORDS_MAX: u16 = 4_096;
/// More sensors of power than any machine has; further ones are not looked at.
const SENSORS_MAX: usize = 128;
/// Bytes of a record requested at once, at first and at least. Halved when the card cannot return so many.
const CHUNK_MAX: u8 = 32;
pub(super) const CHUNK_MIN: u8 = 4;

/// What is known of a card's repository.
#[derive(Clone, Debug)]
pub(super) struct SensorCatalogue {
    /// Number of records, last addition, last erasure: another value means another content.
    pub(super) version: Option<[u8; 10]>,
    /// The record to read next.
    pub(super) next: u16,
    /// How many bytes of a record the card returns at once.
    pub(super) chunk: u8,
    /// Records that could not be read, or not found.
    pub(super) unread: u16,
    records: u16,
    visited: Arc<HashSet<u16>>,
    sensors: Arc<[IpmiSensor]>,
}

/// What one record turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// A sensor of power.
    Power(IpmiSensor),
    /// Anything else.
    Other,
    /// It cannot be read.
    Unread,
}

impl Default for SensorCatalogue {
    fn default() -> Self {
        Self {
            version: None,
            next: FIRST,
            chunk: CHUNK_MAX,
            unread: 0,
            records: 0,
            visited: Arc::default(),
            sensors: Arc::default(),
        }
    }
}

impl SensorCatalogue {
    /// An empty one of the repository's present content.
    pub(super) fn of(version: [u8; 10], chunk: u8) -> Self {
        Self { version: Some(version), chunk, ..Self::default() }
    }

    /// The sensors of power, once all records have been read.
    pub(super) fn sensors(&self) -> Option<Arc<[IpmiSensor]>> {
        (self.version.is_some() && self.is_complete()).then(|| Arc::clone(&self.sensors))
    }

    /// Whether there is nothing left to read.
    pub(super) fn is_complete(&self) -> bool {
        self.next == LAST || self.records >= RECORDS_MAX || self.sensors.len() >= SENSORS_MAX
    }

    /// How many records the card reports; 0 where it reports none.
    fn expected(&self) -> u16 {
        self.version.map_or(0, |[low, high, ..]| u16::from_le_bytes([low, high]))
    }

    /// Whether no record has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether `next` leads on, to a record that has not been read.
    pub(super) fn leads_on(&self, next: u16) -> bool {
        next != FIRST && next != LAST && next != self.next && !self.visited.contains(&next)
    }

    /// Whether the chain would end before the card's count of records.
    pub(super) fn would_end_early(&self, next: u16) -> bool {
        next != LAST && !self.leads_on(next) && self.records + 1 < self.expected()
    }

    /// Adds the record that was read as [`Self::next`], and continues with the one it names.
    pub(super) fn add(&mut self, next: u16, content: Content) {
        match content {
            Content::Power(sensor) if !self.sensors.iter().any(|known| known.is_same(&sensor)) => {
                self.sensors = self.sensors.iter().cloned().chain([sensor]).collect();
            }
            Content::Power(_) | Content::Other => {}
            Content::Unread => self.unread = self.unread.saturating_add(1),
        }
        self.records += 1;
        let leads_on = self.leads_on(next);
        Arc::make_mut(&mut self.visited).insert(self.next);
        if leads_on || next == LAST {
            self.next = next;
        } else {
            self.end();
        }
    }

    /// Ends the list here; what the card has counted beyond is missing.
    pub(super) fn end(&mut self) {
        self.next = LAST;
        self.unread = self.unread.saturating_add(self.expected().saturating_sub(self.records));
    }
}

#[cfg(test)]
mod tests;
