//! What came too late for its groups, and waits for their files or is in them by now (ADR 0041).

use std::collections::{HashMap, VecDeque};

use kwapi_core::{ProbeId, Timestamp, Watts, groups_of};

use super::tree::{self, GroupTree};
use crate::journal::Credited;

/// Late samples that are remembered, those that are in the files by now among them: these give way. Full of others: further
/// ones are left out and counted.
const LATE_MAX: usize = 1 << 16;

/// The late samples of members, in the order that they came.
#[derive(Debug, Default)]
pub(super) struct LateSamples {
    samples: VecDeque<LateSample>,
    left_out: usize,
}

/// A sample that came when a second that it covers had been written, or after a newer one of its member.
#[derive(Clone, Debug)]
pub(super) struct LateSample {
    pub(super) member: ProbeId,
    pub(super) at: Timestamp,
    pub(super) power: Watts,
    /// Whether the files of groups have it.
    is_in: bool,
}

/// Late samples that are taken into the files together.
#[derive(Debug)]
pub(in super::super) struct ChosenLate {
    /// Of each file that they change, by its name in the name space of groups, their stamps.
    pub(in super::super) files: HashMap<ProbeId, Vec<Timestamp>>,
    /// Those that were in the files before…
    pub(super) before: Vec<LateSample>,
    /// …and that are from now on.
    pub(super) after: Vec<LateSample>,
    /// So many seconds before the last that was written begins what they change.
    pub(super) seconds: u64,
}

/// How much a late sample changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum LateReach {
    /// Something that has not been written yet.
    NotYet,
    /// What is too far back to be made again.
    Never,
    /// So many seconds that have been written.
    Seconds(u64),
}

impl LateSamples {
    pub(super) fn note(&mut self, record: &Credited) {
        if self.samples.len() >= LATE_MAX {
            let Some(oldest) = self.samples.iter().position(|late| late.is_in) else {
                self.left_out += 1;
                return;
            };
            self.samples.remove(oldest);
        }
        let Credited { probe, at, power, .. } = record;
        self.samples.push_back(LateSample { member: probe.clone(), at: *at, power: *power, is_in: false });
    }

    pub(super) fn forget(&mut self) {
        self.samples.clear();
    }

    /// How many were left out since the last call, each for each file.
    pub(super) fn take_left_out(&mut self) -> usize {
        std::mem::take(&mut self.left_out)
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.samples.iter().any(|late| !late.is_in)
    }

    /// Chooses from those that wait: as many as change `rows_max` rows of seconds at most. They are in the files from then on.
    /// `None`: none can be taken now.
    pub(super) fn choose(
        &mut self,
        tree: &GroupTree,
        rows_max: u64,
        reach: impl Fn(Timestamp) -> LateReach,
    ) -> Option<ChosenLate> {
        let before = self.in_files();
        let mut files = HashMap::<ProbeId, Vec<Timestamp>>::new();
        let (mut most, mut left_out) = (0, 0);
        self.samples.retain_mut(|late| {
            if late.is_in {
                return true;
            }
            let seconds = match reach(late.at) {
                LateReach::NotYet => return true,
                LateReach::Never => None,
                LateReach::Seconds(seconds) => Some(seconds.max(most)),
            };
            let changed = files_of(&late.member, tree);
            let added = changed.iter().filter(|file| !files.contains_key(*file)).count();
            let rows = |seconds: u64| ((files.len() + added) as u64).saturating_mul(seconds);
            match seconds.filter(|seconds| rows(*seconds) <= rows_max) {
                Some(seconds) => {
                    (most, late.is_in) = (seconds, true);
                    changed.into_iter().for_each(|file| files.entry(file).or_default().push(late.at));
                    true
                }
                // One alone that changes too much will never change less.
                None if seconds.is_none() || files.is_empty() => {
                    left_out += changed.len();
                    false
                }
                None => true,
            }
        });
        self.left_out += left_out;
        let has_some = !files.is_empty();
        has_some.then(|| ChosenLate { files, before, after: self.in_files(), seconds: most })
    }

    fn in_files(&self) -> Vec<LateSample> {
        self.samples.iter().filter(|late| late.is_in).cloned().collect()
    }
}

/// The files that a member's sample may change: of the groups around it, and of that whose meter it is.
fn files_of(member: &ProbeId, tree: &GroupTree) -> Vec<ProbeId> {
    let paths = groups_of(member).chain([member.as_str()]).filter(|path| tree.group(path).is_some());
    paths.flat_map(|path| [tree::power_id(path), tree::known_share_id(path)]).flatten().collect()
}
