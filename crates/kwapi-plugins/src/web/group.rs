//! What is known of a group: who is in it, what it draws now, and what it has used.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{EnergyFigure, natural_order};
use parking_lot::Mutex;

use super::Site;
use super::overview::{Overall, Seen};
use super::used::Used;
use crate::groups::{GroupMembers, GroupNow};

/// Adding up the members of a group may take at most one part in so many of the time…
const REST: u32 = 9;
/// …unless it is done as quickly as this.
const CHEAP: Duration = Duration::from_millis(50);
/// As many groups are kept that took longer. Full: the oldest is dropped.
const KEPT_MAX: usize = 24;

/// A group that the caller may read.
#[derive(Debug)]
pub(super) struct GroupView {
    pub(super) now: GroupNow,
    /// All that ever were in it and its meter, in the order people expect.
    pub(super) members: Seen,
    /// What they used in all periods.
    pub(super) used: Used,
    /// What they come to.
    pub(super) overall: Overall,
}

impl GroupView {
    /// What the group used in a period, each joule once; `None` where only rows show it.
    pub(super) fn energy(&self, period: Period) -> Option<EnergyFigure> {
        let members = self.members.parts.iter().zip(&*self.members.above);
        self.used.sum(members.filter(|(_, above)| above.is_none()).map(|(member, _)| member), period)
    }
}

/// Groups whose members took long to add up. A group is the same for all who may read it.
#[derive(Debug, Default)]
pub(super) struct GroupViews(Mutex<VecDeque<KeptView>>);

#[derive(Debug)]
struct KeptView {
    view: Arc<GroupView>,
    took: Duration,
    made: Instant,
}

/// The groups that the caller may read, so many at most that come after `after`, in order of their names.
pub(super) fn list(
    site: &Site,
    seen: &Seen,
    after: Option<&str>,
    most: usize,
    now: Timestamp,
) -> Vec<GroupNow> {
    let (members, power) = GroupMembers::present(site.directory.query(), &site.directory, &seen.scope);
    members.now(|group| after.is_none_or(|after| group > after), most, &power, now)
}

/// Whether the caller may read a group: if there is one of that name.
pub(super) fn is_readable(site: &Site, seen: &Seen, group: &ProbeId) -> bool {
    GroupMembers::new(&site.directory.known(), &site.directory, &seen.scope).has(group.as_str())
}

/// Of some paths whether the caller may read the group of that name.
pub(super) fn readable(site: &Site, seen: &Seen, paths: &[&str]) -> Vec<bool> {
    if paths.is_empty() {
        return Vec::new();
    }
    let members = GroupMembers::new(&site.directory.known(), &site.directory, &seen.scope);
    paths.iter().map(|path| members.has(path)).collect()
}

/// A group, as it stands; `None` where the caller may read none of that name.
pub(super) fn view(site: &Site, seen: &Seen, group: &ProbeId, now: Timestamp) -> Option<Arc<GroupView>> {
    if !is_readable(site, seen, group) {
        return None;
    }
    let rests = |kept: &KeptView| kept.took > CHEAP && kept.made.elapsed() < kept.took.saturating_mul(REST);
    {
        let mut kept = site.groups.0.lock();
        kept.retain(rests);
        if let Some(kept) = kept.iter().find(|kept| kept.view.now.group == group.as_str()) {
            return Some(Arc::clone(&kept.view));
        }
    }
    let made = Instant::now();
    let mut members = site.directory.known();
    members.retain(|probe| probe.is_within(group.as_str()) && !site.directory.is_sum(probe));
    members.sort_by(|a, b| natural_order(a.as_str(), b.as_str()));
    let members = Seen::of(members, seen.scope.clone());
    let (present, power) = GroupMembers::present(site.directory.query(), &site.directory, &seen.scope);
    let present = present.now(|name| name == group.as_str(), 1, &power, now).pop();
    let used = site.graphs.used(&members.parts, &Period::ALL, now);
    let overall = site.probes.overall(&members, &used, now);
    let now = present.unwrap_or_else(|| GroupNow::silent(group.as_str(), now));
    let view = Arc::new(GroupView { now, members, used, overall });
    let kept = KeptView { view: Arc::clone(&view), took: made.elapsed(), made };
    let mut all = site.groups.0.lock();
    if all.len() >= KEPT_MAX {
        all.pop_front();
    }
    all.push_back(kept);
    Some(view)
}
