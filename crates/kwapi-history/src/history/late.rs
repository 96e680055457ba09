//! Samples that came after a newer one of their probe: what is known of them until the rows that they touch are made
//! again, see [`super::rework`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};

use super::History;
use crate::journal::{Journal, Position};

/// Places in the journal that are remembered: a minute apart, of a day.
const MARKS_MAX: usize = 1_440;

/// What late samples may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LateLimits {
    /// Late samples that wait for their rows, of all probes. Full: further ones are left out and counted.
    pub(super) late_max: usize,
    /// Bytes of the journal that a tick reads, besides what has come to it since the tick before.
    pub(super) tick_bytes_max: u64,
    /// How far back the journal is read, in bytes. Rows that began before stand, and what they lack is counted.
    pub(super) stretch_bytes_max: u64,
    /// Probes whose rows are made again by reading the journal once.
    pub(super) probes_max: usize,
    /// Samples of all of them in memory, 16 bytes each. More: some probes wait for the next time, and of one alone that has
    /// more the late ones are left out and counted.
    pub(super) samples_max: usize,
    /// Probes whose files a tick writes.
    pub(super) files_max: usize,
}

impl Default for LateLimits {
    fn default() -> Self {
        Self {
            late_max: 1 << 16,
            tick_bytes_max: 4 << 20,
            stretch_bytes_max: 4 << 30,
            probes_max: 4_096,
            samples_max: 1 << 20,
            files_max: 128,
        }
    }
}

/// Late samples, and where in the journal those of some time begin.
#[derive(Debug, Default)]
pub(super) struct Late {
    pub(super) limits: LateLimits,
    of: HashMap<ProbeId, Vec<Timestamp>>,
    count: usize,
    /// Up to which minute samples had come, and the place in the journal then; in order.
    marks: VecDeque<(u64, Position)>,
    /// When rows were last made again.
    pub(super) ended: Duration,
    /// Whether it was reported that rows lack late samples.
    pub(super) is_reported: bool,
}

impl Late {
    /// Notes late samples of a probe. Returns whether there was room.
    pub(super) fn note(&mut self, probe: &ProbeId, stamps: &[Timestamp]) -> bool {
        let has_room = self.count.saturating_add(stamps.len()) <= self.limits.late_max;
        if has_room {
            self.of.entry(probe.clone()).or_default().extend(stamps);
            self.count += stamps.len();
        }
        has_room
    }

    /// Forgets all late samples: of those that are read again at a start it is unknown whether they are in the files.
    pub(super) fn forget(&mut self) {
        self.of.clear();
        self.count = 0;
    }

    /// Notes that samples up to `newest` lie before `position` in the journal.
    pub(super) fn mark(&mut self, newest: Timestamp, position: Position) {
        let minute = newest.seconds() / 60;
        if self.marks.back().is_some_and(|(last, _)| *last >= minute) {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((minute, position));
    }

    /// A place in the journal before all samples stamped at `second` or later, but for those that came early.
    pub(super) fn place_of(&self, second: u64) -> Position {
        let count = self.marks.partition_point(|(minute, _)| begin_of(*minute) <= second);
        let before = count.checked_sub(1).and_then(|last| self.marks.get(last));
        before.map_or_else(Position::default, |(_, position)| *position)
    }

    /// The first second whose place is not too far before `end`.
    pub(super) fn reach(&self, journal: &Journal, end: Position) -> u64 {
        let is_near = |from| journal.bytes_between(from, end) <= self.limits.stretch_bytes_max;
        if is_near(Position::default()) {
            return 0;
        }
        let first = self.marks.partition_point(|(_, position)| !is_near(*position));
        self.marks.get(first).map_or(u64::MAX, |(minute, _)| begin_of(*minute))
    }

    /// Whether it is time to make rows again.
    pub(super) fn is_time(&self, now: Duration, interval: Duration) -> bool {
        now.saturating_sub(self.ended) >= interval
    }

    /// Those of some probes, if it is time to make their rows again.
    pub(super) fn due(&mut self, now: Duration, interval: Duration) -> Vec<(ProbeId, Vec<Timestamp>)> {
        if !self.is_time(now, interval) {
            return Vec::new();
        }
        let ids: Vec<ProbeId> = self.of.keys().take(self.limits.probes_max).cloned().collect();
        ids.into_iter().map(|id| (id.clone(), self.take(&id, |_| true))).collect()
    }

    /// Takes those of a probe that are wanted.
    pub(super) fn take(&mut self, probe: &ProbeId, is_wanted: impl Fn(Timestamp) -> bool) -> Vec<Timestamp> {
        let Some(stamps) = self.of.get_mut(probe) else { return Vec::new() };
        let (taken, left): (Vec<_>, Vec<_>) = stamps.drain(..).partition(|at| is_wanted(*at));
        self.count -= taken.len();
        if left.is_empty() {
            self.of.remove(probe);
        } else {
            *stamps = left;
        }
        taken
    }

    /// Those of a probe.
    pub(super) fn of(&self, probe: &ProbeId) -> &[Timestamp] {
        self.of.get(probe).map_or(&[], Vec::as_slice)
    }

    /// Whether none waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

/// The second from which on samples lie behind the mark of a minute: that minute had begun, and the batch may have had more.
fn begin_of(minute: u64) -> u64 {
    minute.saturating_add(2).saturating_mul(60)
}

impl History {
    /// Notes late samples of a probe, for its rows to be made again. Rows of groups come in order; what is late in groups are
    /// samples of members, which are noted where the rows are made.
    pub(super) fn note_late(&self, probe: &ProbeId, stamps: &[Timestamp]) {
        if self.fold.is_none() && !self.late.lock().note(probe, stamps) {
            self.leave_out(stamps.len());
        }
    }
}
