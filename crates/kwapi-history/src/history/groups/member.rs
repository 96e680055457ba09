//! A member of groups: what its samples hold for each second.

use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};

use crate::store::{self, FileSample};

/// A second, in microseconds.
pub(super) const SECOND: u64 = 1_000_000;

/// A probe, and the second that it is in the midst of. A sample states what held since the one before, as in its own RRD
/// file; after a gap, in the last second.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) probe: ProbeId,
    /// The innermost group around it.
    pub(super) group: Option<usize>,
    /// The group that it is the meter of.
    pub(super) meter_of: Option<usize>,
    /// The second since which it is a member, and in which it was last received, in Unix time.
    pub(super) since: u64,
    pub(super) received_at: u64,
    /// Its newest sample, in Unix microseconds; 0 before the first.
    pub(super) newest: u64,
    /// The usual time between samples, in microseconds.
    pub(super) pace: u64,
    /// Whether samples may have been lost since the newest.
    pub(super) is_after_loss: bool,
    /// The second that is being filled, how much of it is known, in microseconds, and watts times that.
    second: u64,
    known: u64,
    watt_micros: f64,
}

impl Member {
    pub(super) fn new(probe: ProbeId, since: u64) -> Self {
        Self {
            probe,
            group: None,
            meter_of: None,
            since,
            received_at: since,
            newest: 0,
            pace: SECOND,
            is_after_loss: false,
            second: 0,
            known: 0,
            watt_micros: 0.0,
        }
    }

    /// Takes a sample and hands over each second of which at least half is known now, with its mean power, from `base` on.
    /// Returns since when it held, in microseconds, if it is newer than those before.
    pub(super) fn take(
        &mut self,
        at: Timestamp,
        watts: f64,
        max_gap: Duration,
        base: u64,
        mut each: impl FnMut(u64, f64),
    ) -> Option<u64> {
        let until = at.micros();
        if until <= self.newest {
            return None;
        }
        let from = self.held_from(at, max_gap);
        self.newest = until;
        let mut second = from / SECOND;
        if self.second != second {
            self.finish(&mut each);
        }
        second = second.max(base);
        while second.saturating_mul(SECOND) < until {
            let begin = second.saturating_mul(SECOND);
            let end = begin.saturating_add(SECOND);
            let part = until.min(end).saturating_sub(from.max(begin));
            self.second = second;
            self.known += part;
            self.watt_micros += watts * part as f64;
            if until < end {
                break;
            }
            self.finish(&mut each);
            second += 1;
        }
        Some(from)
    }

    /// From when on a sample holds, in microseconds.
    fn held_from(&mut self, at: Timestamp, max_gap: Duration) -> u64 {
        let max_gap = u64::try_from(max_gap.as_micros()).unwrap_or(u64::MAX);
        let spacing = at.micros().saturating_sub(self.newest);
        let is_after_loss =
            std::mem::take(&mut self.is_after_loss) && spacing > self.pace.saturating_mul(3) / 2;
        if self.newest > 0 && spacing <= max_gap && !is_after_loss {
            self.pace = spacing;
            return self.newest;
        }
        // Not for the usual interval: who begins to read in the midst of a pause has not seen that.
        let held = Duration::from_micros(SECOND);
        store::first_second(&FileSample { at, watts: 0.0, held, is_after_loss }).saturating_mul(SECOND)
    }

    /// Ends the second that is being filled.
    fn finish(&mut self, each: &mut impl FnMut(u64, f64)) {
        if self.known * 2 >= SECOND {
            each(self.second, self.watt_micros / self.known as f64);
        }
        (self.known, self.watt_micros) = (0, 0.0);
    }
}
