//! What a spool has in memory, and the state of its disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::SpoolSegment;
use super::{SpoolCounters, Spooled};
use crate::queue;
use crate::transport::nats::Outgoing;

/// A disk that does not answer for so long is not waited for.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// Messages that are on the disk are held in memory as well, for readers that keep up: so many…
const WRITTEN_MAX: usize = 1 << 14;
/// …and bytes.
const WRITTEN_BYTES_MAX: usize = 8 << 20;
/// Messages that are not on the disk are held up to this many, as in a queue to a server…
pub(super) const UNWRITTEN_MAX: usize = queue::LENGTH_MIN;
/// …and bytes.
const UNWRITTEN_BYTES_MAX: usize = 128 << 20;

#[derive(Debug)]
pub(super) struct SpoolState {
    /// The number of the next message.
    pub(super) next: u64,
    /// The newest messages, rising by one.
    pub(super) recent: VecDeque<Arc<Spooled>>,
    pub(super) recent_bytes: usize,
    /// Up to here messages are on the disk, or never will be.
    pub(super) written: u64,
    /// Up to here some are in memory alone, as the disk refused them.
    pub(super) refused: u64,
    /// Oldest first; the last may be the one that is written.
    pub(super) segments: VecDeque<SpoolSegment>,
    /// Up to where each reader needs no message again.
    pub(super) released: Vec<u64>,
    pub(super) counters: SpoolCounters,
    /// Since when the disk has been at work.
    pub(super) busy_since: Option<Instant>,
    pub(super) is_closed: bool,
}

impl SpoolState {
    /// That of a start whose first message has the number `next`.
    pub(super) fn new(
        next: u64,
        segments: VecDeque<SpoolSegment>,
        readers: usize,
        counters: SpoolCounters,
    ) -> Self {
        Self {
            next,
            recent: VecDeque::new(),
            recent_bytes: 0,
            written: next - 1,
            refused: 0,
            segments,
            released: vec![0; readers],
            counters,
            busy_since: None,
            is_closed: false,
        }
    }

    /// Adds a message, under the next number.
    pub(super) fn push(&mut self, message: Outgoing) {
        let number = self.next;
        self.next += 1;
        self.recent_bytes += message.bytes();
        self.recent.push_back(Arc::new(Spooled { number, message }));
        self.counters.messages += 1;
    }

    /// Messages in memory after `number` that can be read.
    pub(super) fn after(&self, number: u64, count: usize) -> Vec<Arc<Spooled>> {
        let from = self.recent.partition_point(|spooled| spooled.number <= number);
        let readable = self.readable();
        let all = self.recent.iter().skip(from).take_while(|spooled| spooled.number <= readable);
        all.take(count).cloned().collect()
    }

    pub(super) fn readable(&self) -> u64 {
        let is_stuck = self.busy_since.is_some_and(|since| since.elapsed() > STUCK_AFTER);
        if is_stuck { self.next - 1 } else { self.written }
    }

    pub(super) fn released(&self) -> u64 {
        self.released.iter().copied().min().unwrap_or_default()
    }

    /// Lets go of messages in memory that are on the disk, that nobody needs, or that there is no room for.
    pub(super) fn trim(&mut self) {
        let released = self.released();
        while let Some(front) = self.recent.front() {
            let is_written = front.number <= self.written;
            let is_safe = is_written && front.number > self.refused;
            let (count_max, bytes_max) =
                if is_safe { (WRITTEN_MAX, WRITTEN_BYTES_MAX) } else { (UNWRITTEN_MAX, UNWRITTEN_BYTES_MAX) };
            let is_free = is_written && front.number <= released;
            if !is_free && self.recent.len() <= count_max && self.recent_bytes <= bytes_max {
                return;
            }
            if !is_free && !is_safe {
                self.counters.dropped += 1;
                self.written = self.written.max(front.number);
            }
            self.recent_bytes = self.recent_bytes.saturating_sub(front.message.bytes());
            self.recent.pop_front();
        }
    }

    pub(super) fn note_written(&mut self, segment: SpoolSegment) {
        match self.segments.back_mut().filter(|open| open.first == segment.first) {
            Some(open) => (open.last, open.bytes) = (segment.last, segment.bytes),
            None => self.segments.push_back(segment),
        }
        self.works();
    }

    pub(super) fn works(&mut self) {
        if self.counters.trouble.take().is_some() {
            tracing::info!("the spool is written again");
        }
    }

    pub(super) fn fails(&mut self, trouble: String) {
        if self.counters.trouble.as_ref() != Some(&trouble) {
            tracing::error!("{trouble}");
            self.counters.trouble = Some(trouble);
        }
    }
}
