//! Who is in which group: the prefixes of the members' paths, as a tree.

use std::collections::{HashMap, HashSet};

use kwapi_core::{ProbeId, Succession, Timestamp, groups_of};

use super::member::Member;

/// A probe that was not received for longer is no member any more, as for `/v2/groups/`.
const MEMBER_AGE_MAX_SECONDS: u64 = 86_400;
/// What stands before a group's path in the name space of its files: that of its power…
const POWER: &str = "group:";
/// …and that of the share known.
const KNOWN_SHARE: &str = "known:";

/// The name of a group's power in the name space of groups; `None` where its path is too long for one.
pub(super) fn power_id(group: &str) -> Option<ProbeId> {
    ProbeId::new(format!("{POWER}{group}")).ok()
}

/// The name of the share of a group that is known.
pub(super) fn known_share_id(group: &str) -> Option<ProbeId> {
    ProbeId::new(format!("{KNOWN_SHARE}{group}")).ok()
}

/// The group whose power has this name.
pub(super) fn group_of(id: &ProbeId) -> Option<&str> {
    id.as_str().strip_prefix(POWER)
}

/// The group whose known share has this name.
pub(super) fn group_of_known_share(id: &ProbeId) -> Option<&str> {
    id.as_str().strip_prefix(KNOWN_SHARE)
}

/// What is known of a group in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct GroupCell {
    /// Of the members directly in it; what its own meter reports, where that has reported something.
    pub(super) watts: f64,
    /// How many of those that stand at the end of their path.
    pub(super) ends: u32,
    pub(super) has_meter: bool,
}

/// A group.
#[derive(Debug)]
pub(super) struct GroupNode {
    pub(super) power: ProbeId,
    pub(super) known_share: ProbeId,
    /// The place of the group around it, which is before its own.
    pub(super) parent: Option<usize>,
    /// How many members stand at the ends of paths in it.
    pub(super) ends: u32,
    /// The seconds that are open, each at its number modulo their count.
    pub(super) cells: Box<[GroupCell]>,
}

/// A group that was not there before, and the second in which it was.
pub(in super::super) type NewGroup = (ProbeId, u64);

/// Groups and their members.
#[derive(Debug)]
pub(super) struct GroupTree {
    /// Each after the group around it.
    pub(super) nodes: Vec<GroupNode>,
    pub(super) members: Vec<Member>,
    by_path: HashMap<Box<str>, usize>,
    places: HashMap<ProbeId, u32>,
    succession: Succession,
    /// Sums of others, which are members of nothing.
    sums: HashSet<ProbeId>,
    /// How many seconds are open.
    window: usize,
    groups_max: usize,
    /// Whether ends must be counted again.
    is_changed: bool,
    pub(super) added: Vec<NewGroup>,
    /// How often a group was not made, since there are too many or its path is too long.
    pub(super) refused: u64,
}

impl GroupTree {
    pub(super) fn new(window: usize, groups_max: usize, sums: HashSet<ProbeId>) -> Self {
        Self {
            nodes: Vec::new(),
            members: Vec::new(),
            by_path: HashMap::new(),
            places: HashMap::new(),
            succession: Succession::default(),
            sums,
            window,
            groups_max,
            is_changed: false,
            added: Vec::new(),
            refused: 0,
        }
    }

    /// One of the same settings without anybody in it.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.window, self.groups_max, self.sums.clone())
    }

    /// Makes room for more open seconds in each group, of which `groups_max` are made at most. `places` are, of each second
    /// that is open, its place by now and the one it gets.
    pub(super) fn widen(&mut self, window: usize, groups_max: usize, places: &[(usize, usize)]) {
        (self.window, self.groups_max) = (window, groups_max);
        for node in &mut self.nodes {
            let mut cells: Box<[GroupCell]> = vec![GroupCell::default(); window].into();
            for (before, after) in places {
                if let (Some(cell), Some(open)) = (cells.get_mut(*after), node.cells.get(*before)) {
                    *cell = *open;
                }
            }
            node.cells = cells;
        }
    }

    /// The place of a group.
    pub(super) fn group(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Whether a probe counts in any group.
    pub(super) fn is_in_groups(&self, probe: &ProbeId) -> bool {
        let has_groups = groups_of(probe).next().is_some() || self.group(probe.as_str()).is_some();
        has_groups && !self.sums.contains(probe)
    }

    /// The place of a probe among the members, received at `at`; it is put there when it is new.
    pub(super) fn member(&mut self, probe: &ProbeId, at: Timestamp) -> usize {
        let guessed = self.succession.guess();
        let is_guessed = self.members.get(guessed as usize).is_some_and(|member| member.probe == *probe);
        let place = if is_guessed {
            guessed
        } else if let Some(place) = self.places.get(probe) {
            *place
        } else {
            let member = Member::new(probe.clone(), at.seconds());
            self.add(member, at.seconds(), &mut HashMap::new())
        };
        self.succession.note(place);
        let place = place as usize;
        if let Some(member) = self.members.get_mut(place) {
            member.received_at = member.received_at.max(at.seconds());
        }
        place
    }

    /// The stamp of the newest sample of a member, in Unix microseconds; 0 where none is known.
    pub(super) fn newest_of(&self, probe: &ProbeId) -> u64 {
        let place = self.places.get(probe).map(|place| *place as usize);
        place.and_then(|place| self.members.get(place)).map_or(0, |member| member.newest)
    }

    /// Replaces the sums of others.
    pub(super) fn set_sums(&mut self, sums: HashSet<ProbeId>, now: u64) {
        if self.sums != sums {
            self.sums = sums;
            self.make_again(now);
        }
    }

    /// Removes members not received for long.
    pub(super) fn look_after(&mut self, now: u64) {
        if self.members.iter().any(|member| !is_recent(member, now)) {
            self.make_again(now);
        }
    }

    /// Counts the ends of paths in each group, if somebody has come or gone.
    pub(super) fn count_ends(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        self.nodes.iter_mut().for_each(|node| node.ends = 0);
        for member in self.members.iter().filter(|member| member.meter_of.is_none()) {
            if let Some(node) = member.group.and_then(|group| self.nodes.get_mut(group)) {
                node.ends += 1;
            }
        }
        for place in (0..self.nodes.len()).rev() {
            let (ends, parent) = self.nodes.get(place).map_or((0, None), |node| (node.ends, node.parent));
            if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
                parent.ends += ends;
            }
        }
    }

    /// Of each group whether it is `top` or in it.
    pub(super) fn within(&self, top: usize) -> Vec<bool> {
        let mut within: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for (place, node) in self.nodes.iter().enumerate() {
            let is_in = node.parent.and_then(|parent| within.get(parent).copied()).unwrap_or_default();
            within.push(place == top || is_in);
        }
        within
    }

    /// Puts all members that are still some into new groups, which keep what is known of their open seconds.
    fn make_again(&mut self, now: u64) {
        let nodes = std::mem::take(&mut self.nodes);
        let mut kept = nodes.into_iter().map(|node| (node.power, node.cells)).collect();
        let members = std::mem::take(&mut self.members);
        (self.by_path, self.places, self.succession) = Default::default();
        for member in members.into_iter().filter(|member| is_recent(member, now)) {
            let received_at = member.received_at;
            self.add(member, received_at, &mut kept);
        }
        self.is_changed = true;
    }

    fn add(&mut self, mut member: Member, at: u64, kept: &mut HashMap<ProbeId, Box<[GroupCell]>>) -> u32 {
        let probe = member.probe.clone();
        let place = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        self.places.insert(probe.clone(), place);
        let is_member = !self.sums.contains(&probe);
        member.group = if is_member { self.group_around(&probe, at, kept) } else { None };
        member.meter_of = if is_member { self.group(probe.as_str()) } else { None };
        member.received_at = at;
        self.members.push(member);
        self.is_changed = true;
        place
    }

    /// The innermost group around a probe, made with those around it where it is new. Where there are too many it counts in
    /// the innermost that there is.
    fn group_around(
        &mut self,
        probe: &ProbeId,
        at: u64,
        kept: &mut HashMap<ProbeId, Box<[GroupCell]>>,
    ) -> Option<usize> {
        let mut around = None;
        for path in groups_of(probe) {
            if let Some(place) = self.by_path.get(path) {
                around = Some(*place);
                continue;
            }
            let names = power_id(path).zip(known_share_id(path));
            let Some((power, known_share)) = names.filter(|_| self.nodes.len() < self.groups_max) else {
                self.refused += 1;
                return around;
            };
            let cells = kept.remove(&power).unwrap_or_else(|| {
                self.added.extend([&power, &known_share].map(|id| (id.clone(), at)));
                vec![GroupCell::default(); self.window].into()
            });
            let place = self.nodes.len();
            self.nodes.push(GroupNode { power, known_share, parent: around, ends: 0, cells });
            self.by_path.insert(path.into(), place);
            // The probe of that path is the meter of those below it from now on.
            let meter = ProbeId::new(path).ok().and_then(|meter| self.places.get(&meter));
            let meter = meter.and_then(|meter| self.members.get_mut(*meter as usize));
            if let Some(meter) = meter.filter(|meter| !self.sums.contains(&meter.probe)) {
                meter.meter_of = Some(place);
            }
            around = Some(place);
        }
        around
    }
}

fn is_recent(member: &Member, now: u64) -> bool {
    now.saturating_sub(member.received_at) <= MEMBER_AGE_MAX_SECONDS
}
