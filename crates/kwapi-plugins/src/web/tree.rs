//! Probes as a tree of the parts of their names, with what each node draws and used: each watt and each joule once.

use std::collections::HashMap;
use std::time::Duration;

use kwapi_core::{Period, ProbeId, Timestamp, groups_of, meters_above};
use kwapi_graph::EnergyFigure;

use super::Site;
use super::used::Used;
use crate::directory::ProbeNow;

/// A probe that was not received for longer counts in no share and no number; what it used counts.
const MEMBER_AGE_MAX: Duration = Duration::from_secs(86_400);

/// Some probes, in the order in which they are shown, with what is known of each.
pub(super) struct Tree<'a> {
    probes: &'a [ProbeId],
    /// Of each the place of the meter directly above it.
    above: Vec<Option<usize>>,
    is_meter: Vec<bool>,
    latest: Vec<Option<ProbeNow>>,
    used: &'a Used,
    period: Period,
    now: Timestamp,
}

/// A part of a name below another: a probe, a group, or a group that a probe measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeNode {
    /// The whole name.
    pub(super) path: String,
    /// The places of all probes at or below it.
    pub(super) members: Vec<usize>,
    /// The place of the probe of that name, if there is one.
    pub(super) probe: Option<usize>,
}

impl TreeNode {
    /// Whether there are probes below it.
    pub(super) fn is_group(&self) -> bool {
        self.members.len() > usize::from(self.probe.is_some())
    }
}

/// What a node comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct NodeFigures {
    /// Of the probes that are not silent, in watts; `None` when all are.
    pub(super) watts: Option<f64>,
    pub(super) energy: EnergyFigure,
    /// The share of the probes at the ends of paths whose power is in it, by itself or in that of a meter above.
    pub(super) known_share: f64,
    pub(super) reporting: usize,
    /// Those received within a day.
    pub(super) probes: usize,
    /// Since when the probe is silent, where the node is one and it is.
    pub(super) silent_since: Option<Timestamp>,
    pub(super) is_estimated: bool,
}

impl<'a> Tree<'a> {
    /// The tree of `probes`, which `used` so much in `period`.
    pub(super) fn new(
        site: &Site,
        probes: &'a [ProbeId],
        used: &'a Used,
        period: Period,
        now: Timestamp,
    ) -> Self {
        let above = meters_above(probes);
        let mut is_meter = vec![false; probes.len()];
        for meter in above.iter().flatten() {
            if let Some(is_meter) = is_meter.get_mut(*meter) {
                *is_meter = true;
            }
        }
        let latest = probes.iter().map(|probe| site.directory.now(probe)).collect();
        Self { probes, above, is_meter, latest, used, period, now }
    }

    /// The nodes directly below `path` (none: the outermost), in the order of their first probes. Of `within` those alone
    /// are looked at.
    pub(super) fn below(&self, path: Option<&str>, within: &[usize]) -> Vec<TreeNode> {
        let start = path.map_or(0, |path| path.len() + 1);
        let mut nodes: Vec<TreeNode> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for place in within {
            let Some(probe) = self.probes.get(*place) else { continue };
            let Some(rest) = probe.as_str().get(start..) else { continue };
            // A name that begins with a dot is in no group.
            let length = rest.find('.').filter(|at| *at > 0 || start > 0).unwrap_or(rest.len());
            let Some(name) = probe.as_str().get(..start + length) else { continue };
            let at = *places.entry(name).or_insert_with(|| {
                nodes.push(TreeNode { path: name.to_owned(), members: Vec::new(), probe: None });
                nodes.len() - 1
            });
            let Some(node) = nodes.get_mut(at) else { continue };
            node.members.push(*place);
            if name.len() == probe.as_str().len() {
                node.probe = Some(*place);
            }
        }
        nodes
    }

    /// The nodes at some paths, where there are such.
    pub(super) fn nodes(&self, paths: &[&str]) -> Vec<Option<TreeNode>> {
        let places: HashMap<&str, usize> = paths.iter().enumerate().map(|(at, path)| (*path, at)).collect();
        let mut nodes: Vec<Option<TreeNode>> = vec![None; paths.len()];
        for (place, probe) in self.probes.iter().enumerate() {
            let id = probe.as_str();
            for path in groups_of(probe).chain([id]) {
                let Some(node) = places.get(path).and_then(|at| nodes.get_mut(*at)) else { continue };
                let new = || TreeNode { path: path.to_owned(), members: Vec::new(), probe: None };
                let node = node.get_or_insert_with(new);
                node.members.push(place);
                if path == id {
                    node.probe = Some(place);
                }
            }
        }
        nodes
    }

    /// What a node comes to.
    pub(super) fn figures(&self, node: &TreeNode) -> NodeFigures {
        let mut figures = NodeFigures::default();
        let (mut ends, mut ends_known) = (0_usize, 0_usize);
        for place in &node.members {
            let latest = self.latest.get(*place).copied().flatten();
            let watts = self.watts(*place);
            let mut meters = std::iter::successors(self.meter_within(*place, node), |above| {
                self.meter_within(*above, node)
            });
            let is_in_meter = meters.any(|meter| self.watts(meter).is_some());
            if let (Some(watts), false) = (watts, is_in_meter) {
                figures.watts = Some(figures.watts.unwrap_or_default() + watts);
            }
            if latest.is_none_or(|latest| self.now.since(latest.at) > MEMBER_AGE_MAX) {
                continue;
            }
            figures.probes += 1;
            figures.reporting += usize::from(watts.is_some());
            if !self.is_meter.get(*place).copied().unwrap_or_default() {
                ends += 1;
                ends_known += usize::from(watts.is_some() || is_in_meter);
            }
        }
        figures.known_share = ends_known as f64 / ends.max(1) as f64;
        let tops = node.members.iter().filter(|place| self.meter_within(**place, node).is_none());
        let tops = tops.filter_map(|place| self.probes.get(*place));
        figures.energy = self.used.sum(tops, self.period).unwrap_or_default();
        if let Some(place) = node.probe.filter(|_| !node.is_group()) {
            let latest = self.latest.get(place).copied().flatten();
            figures.silent_since = latest.filter(|latest| latest.is_silent).map(|latest| latest.at);
            figures.is_estimated = latest
                .is_some_and(|latest| !latest.is_silent && latest.quality == kwapi_core::Quality::Estimated);
        }
        figures
    }

    fn watts(&self, place: usize) -> Option<f64> {
        let latest = self.latest.get(place).copied().flatten()?;
        (!latest.is_silent).then_some(latest.power.0)
    }

    /// The meter directly above a probe, if it is in the node too.
    fn meter_within(&self, place: usize, node: &TreeNode) -> Option<usize> {
        let meter = self.above.get(place).copied().flatten()?;
        self.probes.get(meter).is_some_and(|probe| probe.is_within(&node.path)).then_some(meter)
    }
}
