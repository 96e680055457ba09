//! The power of groups, second by second, folded from the journal's records as they come.
//!
//! A second is open until no member's sample can cover it any more: then each group's power in it is written, that of its
//! meter where that has measured, otherwise the sum of what is below, and the share of the members at the ends of paths
//! that is in it. So each joule counts once along a path.

mod open_seconds;

use std::collections::HashSet;
use std::time::Duration;

use kwapi_core::{Gaps, ProbeId, Timestamp, Watts};

use super::super::probe::AHEAD_MIN;
use super::late::{ChosenLate, LateReach, LateSamples};
use super::member::SECOND;
use super::tree::{GroupCell, GroupTree, NewGroup};
use crate::journal::Credited;

/// A publisher may be ahead by as many seconds before it is refused (docs/manual/bus.md, `future`).
const AHEAD_SECONDS: u64 = 60;
/// What is waited for besides: messages in flight.
const SLACK_SECONDS: u64 = 5;
/// So long after a sample the seconds that it may cover are open, whatever the gaps are.
pub(super) const WAITED_SECONDS: u64 = AHEAD_SECONDS + SLACK_SECONDS;
/// Samples further apart than this do not count for groups, whatever the gaps are.
const GAP_MAX: Duration = Duration::from_secs(3_600);
/// Groups at most…
const GROUPS_MAX: usize = 8_192;
/// …and of their open seconds so many in all: 16 MB.
const CELLS_MAX: usize = 1 << 20;
/// When the clock was set back, so much time must have come since before that is accepted.
const BACK_SPAN_MIN: Duration = Duration::from_secs(10);

/// The groups' power that has been written up to some second, and what is known of those after it.
#[derive(Debug)]
pub(in super::super) struct GroupFold {
    gaps: Gaps,
    /// The longest gap of a member that there is room for.
    max_gap: Duration,
    tree: GroupTree,
    /// How many seconds are open.
    window: u64,
    /// The first that is open.
    base: u64,
    /// The newest sample of all, in Unix microseconds.
    newest: u64,
    /// The first of the samples that are long before the newest, if the last of all was one.
    back_since: Option<Timestamp>,
    /// How often the clock was set back.
    times_set_back: u64,
    /// Samples that came too late.
    pub(in super::super) late: u64,
    /// These, where they are to be taken in later.
    late_samples: Option<LateSamples>,
}

/// How far groups have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Reached {
    newest: u64,
    times_set_back: u64,
    /// The first second that had not been written.
    open_from: u64,
    /// The last that can depend on what had been taken. Who begins to read after that cannot determine since when the
    /// first sample of a member held: that may be `max_gap`.
    last_dependent: u64,
}

impl Reached {
    /// Whether each second that depends on what had been taken `earlier` has been written.
    pub(in super::super) fn has_completed(&self, earlier: Self) -> bool {
        self.times_set_back > earlier.times_set_back || self.open_from > earlier.last_dependent
    }
}

impl GroupFold {
    /// Nothing yet. Members' samples that are further apart than `gaps` allows have unknown time between them; `sums`
    /// of others are members of nothing.
    pub(in super::super) fn new(gaps: Gaps, sums: HashSet<ProbeId>) -> Self {
        let max_gap = gaps.longest_configured().min(GAP_MAX);
        let window = window_of(max_gap);
        let cells = usize::try_from(window).unwrap_or(usize::MAX);
        let tree = GroupTree::new(cells, GROUPS_MAX.min(CELLS_MAX / cells), sums);
        Self { late_samples: Some(LateSamples::default()), ..Self::of(gaps, max_gap, window, tree) }
    }

    /// One of the same settings that has received nothing.
    pub(in super::super) fn emptied(&self) -> Self {
        Self::of(self.gaps.clone(), self.max_gap, self.window, self.tree.emptied())
    }

    fn of(gaps: Gaps, max_gap: Duration, window: u64, tree: GroupTree) -> Self {
        Self {
            gaps,
            max_gap,
            tree,
            window,
            base: 0,
            newest: 0,
            back_since: None,
            times_set_back: 0,
            late: 0,
            late_samples: None,
        }
    }

    /// How much of the journal before a second must be read for it to be written as it was.
    pub(in super::super) fn lag(&self) -> Duration {
        Duration::from_secs(self.window) + self.max_gap
    }

    /// Samples of any member that are further apart have unknown time between them.
    pub(in super::super) fn max_gap(&self) -> Duration {
        self.max_gap
    }

    /// The first second that has not been written.
    pub(in super::super) fn open_from(&self) -> u64 {
        self.base
    }

    /// Forgets the late samples: of those that are read again at a start it is unknown whether they are in the files.
    pub(in super::super) fn forget_late(&mut self) {
        self.late_samples.iter_mut().for_each(LateSamples::forget);
    }

    /// How many late samples were left out since the last call, each for each file.
    pub(in super::super) fn take_left_out(&mut self) -> usize {
        self.late_samples.as_mut().map_or(0, LateSamples::take_left_out)
    }

    /// Late samples that wait for the files, as many as change `rows_max` rows of seconds at most; `None` where
    /// none can be taken now.
    pub(in super::super) fn choose_late(
        &mut self,
        rows_max: u64,
        reach: impl Fn(Timestamp) -> LateReach,
    ) -> Option<ChosenLate> {
        let mut late = self.late_samples.take()?;
        let chosen = if late.has_waiting() { late.choose(&self.tree, rows_max, reach) } else { None };
        self.late_samples = Some(late);
        chosen
    }

    /// One of the same settings that has received nothing yet of the members that there were so many seconds ago.
    pub(super) fn of_the_same_members(&self, seconds: u64) -> Self {
        let (mut fold, before) = (self.emptied(), self.base.saturating_sub(seconds));
        for member in self.tree.members.iter().filter(|member| member.since <= before) {
            fold.tree.member(&member.probe, Timestamp::from_seconds(member.received_at));
        }
        fold
    }

    /// Where it is now.
    pub(in super::super) fn reached(&self) -> Reached {
        let last = self.newest.saturating_add(u64::try_from(self.max_gap.as_micros()).unwrap_or(u64::MAX));
        Reached {
            newest: self.newest,
            times_set_back: self.times_set_back,
            open_from: self.base,
            last_dependent: last / SECOND,
        }
    }

    /// Notes which members were received at `at`, before what will be taken.
    pub(in super::super) fn note_recent(&mut self, probes: &[ProbeId], at: Timestamp) {
        for probe in probes {
            let place = self.tree.member(probe, at);
            if let Some(member) = self.tree.members.get_mut(place) {
                member.since = 0; // Another process knew it.
            }
        }
    }

    /// Replaces the sums of others.
    pub(in super::super) fn set_sums(&mut self, sums: HashSet<ProbeId>) {
        self.tree.set_sums(sums, self.newest / SECOND);
    }

    /// Takes records, and answers the rows of the seconds that are no longer open: in order of time, the power and the known
    /// share of each group, by its names in the name space of groups.
    pub(in super::super) fn take(&mut self, records: &[Credited]) -> Vec<Credited> {
        let mut rows = Vec::new();
        for record in records {
            self.take_one(record, &mut rows);
        }
        rows
    }

    /// Notes that records may have been lost before those that come now.
    pub(in super::super) fn lose(&mut self) {
        self.tree.members.iter_mut().for_each(|member| member.is_after_loss = true);
    }

    /// The groups that have come up since the last call.
    pub(in super::super) fn take_added(&mut self) -> Vec<NewGroup> {
        std::mem::take(&mut self.tree.added)
    }

    /// How often a group was not made, since there are too many or its path is too long.
    pub(in super::super) fn refused(&self) -> u64 {
        self.tree.refused
    }

    fn take_one(&mut self, record: &Credited, rows: &mut Vec<Credited>) {
        if !record.power.0.is_finite() {
            self.late += 1;
            return;
        }
        if !self.is_of_now(record, rows) {
            self.late += 1;
            self.note_late(record);
            return;
        }
        if record.at.micros() > self.newest {
            self.advance(record.at.micros(), rows);
        }
        let place = self.tree.member(&record.probe, record.at);
        let Some(member) = self.tree.members.get(place) else { return };
        let (group, meter_of) = (member.group, member.meter_of);
        let max_gap = self.gap_of(&record.probe, group.is_some() || meter_of.is_some());
        let GroupTree { members, nodes, .. } = &mut self.tree;
        let Some(member) = members.get_mut(place) else { return };
        let (base, window) = (self.base, self.window);
        let mut put = |second: u64, watts: f64| {
            if second < base || second >= base.saturating_add(window) {
                return;
            }
            let Some(node) = meter_of.or(group).and_then(|group| nodes.get_mut(group)) else { return };
            let Some(cell) = node.cells.get_mut(slot(second, window)) else { return };
            if meter_of.is_some() {
                *cell = GroupCell { watts, ends: 0, has_meter: true };
            } else if !cell.has_meter {
                cell.watts += watts;
                cell.ends += 1;
            }
        };
        let held_from = member.take(record.at, record.power.0, max_gap, base, &mut put);
        if held_from.is_none() || record.at.seconds() < base {
            self.late += 1;
        }
        // One that comes so late may follow a later one that a pass has put into its place by then: it is put there as well.
        let is_waited_for_no_more =
            record.at.seconds().saturating_add(WAITED_SECONDS) <= self.newest / SECOND;
        if is_waited_for_no_more || held_from.is_none_or(|from| from / SECOND < base) {
            self.note_late(record);
        }
    }

    /// The gap of a probe. Where it is longer than all before, more seconds are open from now on, if there is room for twice
    /// the groups that there are; else it counts as the longest that there is room for.
    fn gap_of(&mut self, probe: &ProbeId, is_in_groups: bool) -> Duration {
        let gap = self.gaps.of(probe).min(GAP_MAX);
        if gap > self.max_gap && is_in_groups {
            let window = window_of(gap);
            let cells = usize::try_from(window).unwrap_or(usize::MAX);
            let groups_max = GROUPS_MAX.min(CELLS_MAX / cells);
            if self.tree.nodes.len() <= groups_max / 2 {
                let open = self.base..self.base.saturating_add(self.window);
                let places = open.map(|second| (slot(second, self.window), slot(second, window)));
                self.tree.widen(cells, groups_max, &places.collect::<Vec<_>>());
                (self.max_gap, self.window) = (gap, window);
            }
        }
        gap.min(self.max_gap)
    }

    /// Notes a sample that covers a second that has been written, or comes after a newer one of its member.
    fn note_late(&mut self, record: &Credited) {
        if let Some(late) = self.late_samples.as_mut().filter(|_| self.tree.is_in_groups(&record.probe)) {
            late.note(record);
        }
    }

    /// Whether a sample is not long before the newest; it is of now, too, once all have been long before for a while: the
    /// clock was set back. What continues in its member's own order is no evidence about a clock: it has waited
    /// somewhere.
    fn is_of_now(&mut self, record: &Credited, rows: &mut Vec<Credited>) -> bool {
        let at = record.at;
        if Timestamp::from_micros(self.newest).since(at) < AHEAD_MIN {
            self.back_since = None;
            return true;
        }
        if self.tree.newest_of(&record.probe) <= at.micros() {
            return false;
        }
        let since = *self.back_since.get_or_insert(at);
        if at.since(since) < BACK_SPAN_MIN {
            return false;
        }
        for second in self.base..self.base.saturating_add(self.window) {
            self.close(second, rows);
        }
        for member in self.tree.members.iter_mut().filter(|member| member.newest >= at.micros()) {
            member.newest = 0;
        }
        (self.back_since, self.newest, self.base) = (None, 0, 0);
        self.times_set_back += 1;
        true
    }

    /// Notes the newest sample, and writes the seconds that are no longer open.
    fn advance(&mut self, newest: u64, rows: &mut Vec<Credited>) {
        let minute = 60 * SECOND;
        if newest / minute != self.newest / minute {
            self.tree.look_after(newest / SECOND);
        }
        self.newest = newest;
        let base = (newest / SECOND + 1).saturating_sub(self.window);
        if base <= self.base {
            return;
        }
        self.tree.count_ends();
        for second in self.base..base.min(self.base.saturating_add(self.window)) {
            self.close(second, rows);
        }
        self.base = base;
    }

    /// Writes a second, and makes room for another in its place.
    fn close(&mut self, second: u64, rows: &mut Vec<Credited>) {
        let groups = self.groups_in(second);
        // A second that nobody has measured is no news of any group.
        if groups.iter().any(|of| of.is_known) {
            for (place, (node, of)) in self.tree.nodes.iter().zip(&groups).enumerate() {
                if of.is_known {
                    rows.push(row(&node.power, second, of.watts));
                }
                if let Some(share) = self.known_share(place, of) {
                    rows.push(row(&node.known_share, second, share));
                }
            }
        }
        for node in &mut self.tree.nodes {
            if let Some(cell) = node.cells.get_mut(slot(second, self.window)) {
                *cell = GroupCell::default();
            }
        }
    }
}

/// How many seconds are open where samples cover so long a time.
fn window_of(gap: Duration) -> u64 {
    gap.as_secs() + 1 + WAITED_SECONDS
}

fn end_of(second: u64) -> Timestamp {
    Timestamp::from_seconds(second.saturating_add(1))
}

/// Where an open second is among the cells.
fn slot(second: u64, window: u64) -> usize {
    usize::try_from(second % window.max(1)).unwrap_or(0)
}

/// A row on its way to a file, in the form of the journal's records; it never gets into that.
fn row(id: &ProbeId, second: u64, value: f64) -> Credited {
    record_of(id, end_of(second), Watts(value))
}

/// A record that has no more than a power.
pub(in super::super) fn record_of(probe: &ProbeId, at: Timestamp, power: Watts) -> Credited {
    let (voltage, current, accounting, taken) = (None, None, None, None);
    Credited { probe: probe.clone(), at, power, voltage, current, accounting, taken }
}
