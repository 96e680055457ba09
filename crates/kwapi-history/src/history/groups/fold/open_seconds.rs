//! What is known of each group in the seconds that are open.

use std::time::Duration;

use kwapi_core::ProbeId;

use super::super::member::SECOND;
use super::super::tree;
use super::{GroupFold, end_of, slot};
use crate::store::FileSample;

/// Each row is of a second.
const HELD: Duration = Duration::from_secs(1);

/// A group in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupSecond {
    pub(super) watts: f64,
    pub(super) is_known: bool,
    pub(super) ends_known: u32,
}

impl GroupFold {
    /// Of a group's power or known share (by its name in the name space of groups) the open seconds that no member that goes
    /// on can change any more.
    pub(in super::super::super) fn open(&self, id: &ProbeId) -> Vec<FileSample> {
        let (group, is_power) = match (tree::group_of(id), tree::group_of_known_share(id)) {
            (Some(group), _) => (group, true),
            (_, Some(group)) => (group, false),
            (None, None) => return Vec::new(),
        };
        let Some(place) = self.tree.group(group) else { return Vec::new() };
        let mut samples = Vec::new();
        for second in self.base..self.complete_until(place) {
            let groups = self.groups_in(second);
            let Some(of) = groups.get(place).filter(|_| groups.iter().any(|of| of.is_known)) else {
                continue;
            };
            let share = self.known_share(place, of);
            if let Some(watts) = if is_power { of.is_known.then_some(of.watts) } else { share } {
                samples.push(FileSample { at: end_of(second), watts, held: HELD, is_after_loss: false });
            }
        }
        samples
    }

    /// What is known of each group in a second that is open.
    pub(super) fn groups_in(&self, second: u64) -> Vec<GroupSecond> {
        let nodes = &self.tree.nodes;
        let mut groups = vec![GroupSecond::default(); nodes.len()];
        for place in (0..nodes.len()).rev() {
            let (Some(node), Some(below)) = (nodes.get(place), groups.get(place).copied()) else { continue };
            let cell = node.cells.get(slot(second, self.window)).copied().unwrap_or_default();
            let own = if cell.has_meter {
                GroupSecond { watts: cell.watts, is_known: true, ends_known: node.ends }
            } else {
                GroupSecond {
                    watts: below.watts + cell.watts,
                    is_known: below.is_known || cell.ends > 0,
                    ends_known: below.ends_known + cell.ends,
                }
            };
            if let Some(of) = groups.get_mut(place) {
                *of = own;
            }
            if let Some(around) = node.parent.and_then(|parent| groups.get_mut(parent)) {
                around.watts += own.watts;
                around.is_known |= own.is_known;
                around.ends_known += own.ends_known;
            }
        }
        groups
    }

    /// The share known of a group; `None` of one that has no members any more.
    pub(super) fn known_share(&self, place: usize, of: &GroupSecond) -> Option<f64> {
        let ends = self.tree.nodes.get(place).map_or(0, |node| node.ends);
        (ends > 0).then(|| (f64::from(of.ends_known) / f64::from(ends)).min(1.0))
    }

    /// The second before which all members of a group have delivered what they will, but for those that have missed two
    /// of their turns.
    fn complete_until(&self, group: usize) -> u64 {
        let within = self.tree.within(group);
        let is_in =
            |place: Option<usize>| place.and_then(|place| within.get(place).copied()).unwrap_or_default();
        let continues = |newest: u64, pace: u64| {
            newest > 0 && self.newest.saturating_sub(newest) <= pace.saturating_mul(3).max(3 * SECOND)
        };
        let members = self.tree.members.iter();
        let members = members.filter(|member| is_in(member.group) || is_in(member.meter_of));
        let newest_stamps =
            members.filter(|member| continues(member.newest, member.pace)).map(|member| member.newest);
        newest_stamps.min().map_or(0, |newest| newest / SECOND)
    }
}
