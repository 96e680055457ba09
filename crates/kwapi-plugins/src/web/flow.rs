//! Where power and energy go: the tree of the probes' paths, from all of them down to each, with what is measured on the way.
//!
//! What the meter of a subtree measured is the whole of it, and those below are parts of that, with a rest that nobody below
//! has measured; where there is no such meter, or it is not known, the whole is the sum of the parts. So each watt and each
//! joule counts once along a path, as in groups (ADR 0025). A group that the caller may not read as a whole has no place: its
//! probes stand in the one around it.

pub(super) mod answers;

use std::collections::HashMap;

use kwapi_core::{ProbeId, groups_of};
use kwapi_graph::natural_order;
use kwapi_history::EnergySpan;

/// Of several small ones, each below this share of the whole, the picture shows the sum.
const SHARE_MIN: f64 = 0.018;
/// Levels of a picture below the first. Those below are at the address of the last.
const LEVELS_MAX: usize = 5;
/// Of those of which nothing is known so many are named in a place.
const UNKNOWN_MAX: usize = 2;

/// What a probe measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FlowProbe {
    pub(super) probe: ProbeId,
    /// Its power now, in watts; `None` of one that is silent.
    pub(super) watts: Option<f64>,
    /// Whether it is one of the present: received within a day.
    pub(super) is_present: bool,
    /// What it used in the time that is queried; `None` where no ledger is kept.
    pub(super) energy: Option<EnergySpan>,
}

/// What flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowMeasure {
    /// Watts, now.
    Power,
    /// Joules, over a time.
    Energy,
}

/// A group, a probe or both: the meter of a group has its path.
#[derive(Debug, Default)]
pub(super) struct FlowPlace<'a> {
    pub(super) path: &'a str,
    /// The probe of this path.
    pub(super) probe: Option<usize>,
    children: Vec<usize>,
    parent: usize,
    power: FlowAmount,
    energy: FlowAmount,
    /// Probes at the ends of its paths that are of the present, and those of them whose power is known, by themselves or by a
    /// meter above.
    pub(super) ends: usize,
    pub(super) ends_known: usize,
    /// The time of these that is known, and all of it, in milliseconds.
    known_ms: u64,
    time_ms: u64,
}

/// Watts or millijoules of a place; `None`: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct FlowAmount {
    own: Option<f64>,
    below: Option<f64>,
}

impl FlowAmount {
    fn total(self) -> Option<f64> {
        self.own.or(self.below)
    }
}

/// The tree from one place on.
#[derive(Debug)]
pub(super) struct FlowTree<'a> {
    probes: &'a [FlowProbe],
    /// Parents stand before their children.
    places: Vec<FlowPlace<'a>>,
}

/// A part of the tree that is shown, with what it flows on to: the largest first, then small ones together, the rest and what
/// is unknown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FlowBranch {
    pub(super) kind: FlowBranchKind,
    /// Watts and millijoules.
    pub(super) power: Option<f64>,
    pub(super) energy: Option<f64>,
    pub(super) children: Vec<FlowBranch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowBranchKind {
    /// A place of the tree.
    Place(usize),
    /// So many small ones; whether all of them are probes.
    Others { count: usize, are_probes: bool },
    /// What the meter of the place around it measured beyond those below it.
    Rest,
    /// So many more of which nothing is known.
    Unknown(usize),
}

impl FlowBranch {
    pub(super) fn amount(&self, measure: FlowMeasure) -> Option<f64> {
        match measure {
            FlowMeasure::Power => self.power,
            FlowMeasure::Energy => self.energy,
        }
    }
}

impl<'a> FlowTree<'a> {
    /// The tree of `probes` (in order of their ids) from `root` on (`None`: of all), with the groups that are `open` to
    /// the caller.
    pub(super) fn new(
        probes: &'a [FlowProbe],
        root: Option<&'a str>,
        is_open: impl Fn(&str) -> bool,
    ) -> Self {
        let mut tree = Self { probes, places: Vec::new() };
        tree.places.push(FlowPlace { path: root.unwrap_or_default(), ..FlowPlace::default() });
        let mut by_path: HashMap<&str, usize> = root.map(|root| (root, 0)).into_iter().collect();
        let above = root.map_or(0, str::len);
        for (at, of) in probes.iter().enumerate() {
            if root.is_some_and(|root| !of.probe.is_within(root)) {
                continue;
            }
            let id = of.probe.as_str();
            let mut place = 0;
            for path in groups_of(&of.probe).chain([id]).filter(|path| path.len() > above) {
                place = match by_path.get(path) {
                    Some(known) => *known,
                    None if path.len() == id.len() || is_open(path) => tree.add(path, place, &mut by_path),
                    None => place,
                };
            }
            if let Some(own) = tree.places.get_mut(place) {
                own.probe = Some(at);
            }
        }
        tree.add_up();
        tree
    }

    fn add(&mut self, path: &'a str, parent: usize, by_path: &mut HashMap<&'a str, usize>) -> usize {
        let place = self.places.len();
        self.places.push(FlowPlace { path, parent, ..FlowPlace::default() });
        if let Some(parent) = self.places.get_mut(parent) {
            parent.children.push(place);
        }
        by_path.insert(path, place);
        place
    }

    /// From the ends up.
    fn add_up(&mut self) {
        for at in (0..self.places.len()).rev() {
            let Some(place) = self.places.get_mut(at) else { continue };
            if let Some(of) = place.probe.and_then(|probe| self.probes.get(probe)) {
                place.power.own = of.watts;
                let energy = of.energy.unwrap_or_default();
                place.energy.own = (energy.known_ms() > 0).then(|| energy.energy_mj() as f64);
                if place.children.is_empty() {
                    place.known_ms = energy.known_ms();
                    place.time_ms = energy.known_ms().saturating_add(energy.unknown_ms);
                    place.ends = usize::from(of.is_present);
                    place.ends_known = usize::from(of.is_present && of.watts.is_some());
                } else {
                    if of.watts.is_some() {
                        place.ends_known = place.ends;
                    }
                    if place.energy.own.is_some() {
                        // What its meter has measured of the time is known of all below it.
                        let [known, all] =
                            [0, energy.unknown_ms].map(|ms| u128::from(energy.known_ms() + ms));
                        let known_ms = u128::from(place.time_ms) * known / all.max(1);
                        place.known_ms = u64::try_from(known_ms).unwrap_or(u64::MAX);
                    }
                }
            }
            let (power, energy) = (place.power.total(), place.energy.total());
            let (parent, ends, ends_known) = (place.parent, place.ends, place.ends_known);
            let (known_ms, time_ms) = (place.known_ms, place.time_ms);
            if at == 0 {
                continue;
            }
            let Some(around) = self.places.get_mut(parent) else { continue };
            let add = |sum: &mut Option<f64>, part: Option<f64>| {
                if let Some(part) = part {
                    *sum = Some(sum.unwrap_or_default() + part);
                }
            };
            add(&mut around.power.below, power);
            add(&mut around.energy.below, energy);
            around.ends += ends;
            around.ends_known += ends_known;
            around.known_ms = around.known_ms.saturating_add(known_ms);
            around.time_ms = around.time_ms.saturating_add(time_ms);
        }
    }

    /// Whether there is anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.places.first().is_none_or(|root| root.children.is_empty())
    }

    pub(super) fn place(&self, at: usize) -> Option<&FlowPlace<'a>> {
        self.places.get(at)
    }

    pub(super) fn probe(&self, at: usize) -> Option<&'a FlowProbe> {
        self.probes.get(self.places.get(at)?.probe?)
    }

    /// Whether others are below it.
    pub(super) fn leads_on(&self, at: usize) -> bool {
        self.places.get(at).is_some_and(|place| !place.children.is_empty())
    }

    fn amount(&self, at: usize, measure: FlowMeasure) -> FlowAmount {
        let place = self.places.get(at);
        let amount = place.map(|place| match measure {
            FlowMeasure::Power => place.power,
            FlowMeasure::Energy => place.energy,
        });
        amount.unwrap_or_default()
    }

    /// What flows through a place: watts or millijoules.
    pub(super) fn total(&self, at: usize, measure: FlowMeasure) -> Option<f64> {
        self.amount(at, measure).total()
    }

    /// What the meter of a place measured beyond those below it, which may be less than nothing.
    pub(super) fn rest(&self, at: usize, measure: FlowMeasure) -> Option<f64> {
        let FlowAmount { own, below } = self.amount(at, measure);
        own.filter(|_| self.leads_on(at)).map(|own| own - below.unwrap_or_default())
    }

    /// The share of the time of its ends that is known, from 0 to 1.
    pub(super) fn known_share(&self, at: usize) -> Option<f64> {
        let place = self.places.get(at)?;
        known_share(place.known_ms, place.time_ms)
    }

    /// The meters that have others below them: how many, and what all of them have measured beyond those.
    pub(super) fn rests(&self, measure: FlowMeasure) -> (usize, f64) {
        let rests = (0..self.places.len()).filter_map(|at| self.rest(at, measure));
        rests.fold((0, 0.0), |(count, sum), rest| (count + 1, sum + rest.max(0.0)))
    }

    /// The ends of which nothing is known, in order, so many at most, and how many there are.
    pub(super) fn unknown(&self, measure: FlowMeasure, most: usize) -> (Vec<&'a ProbeId>, usize) {
        let (mut named, mut count): (Vec<&ProbeId>, usize) = (Vec::new(), 0);
        for at in 0..self.places.len() {
            if self.leads_on(at) || self.total(at, measure).is_some() || !self.is_there(at, measure) {
                continue;
            }
            count += 1;
            if let Some(of) = self.probe(at) {
                let is_before = |other: &&ProbeId| natural_order(other.as_str(), of.probe.as_str()).is_lt();
                let place = named.partition_point(is_before);
                if place < most {
                    named.insert(place, &of.probe);
                    named.truncate(most);
                }
            }
        }
        (named, count)
    }

    /// Whether something is to be shown of a place: what is not of the present has no power that could be unknown.
    fn is_there(&self, at: usize, measure: FlowMeasure) -> bool {
        let Some(place) = self.places.get(at) else { return false };
        let is_present = place.ends > 0 || self.probe(at).is_some_and(|of| of.is_present);
        match measure {
            FlowMeasure::Power => place.power.total().is_some() || is_present,
            FlowMeasure::Energy => place.energy.total().is_some() || place.time_ms > 0,
        }
    }

    /// The probes whose amounts are the parts of a meter's: directly below it, or below what is not known there.
    pub(super) fn parts(&self, at: usize, measure: FlowMeasure) -> Vec<&'a FlowProbe> {
        let (mut parts, mut open) = (Vec::new(), Vec::new());
        open.extend(self.places.get(at).into_iter().flat_map(|place| &place.children));
        while let Some(at) = open.pop() {
            match self.probe(at).filter(|_| self.amount(at, measure).own.is_some()) {
                Some(of) => parts.push(of),
                None => open.extend(self.places.get(at).into_iter().flat_map(|place| &place.children)),
            }
        }
        parts
    }

    /// What is below a place, the largest first, then those of which nothing is known.
    pub(super) fn below(&self, at: usize, measure: FlowMeasure) -> Vec<usize> {
        let mut below: Vec<usize> =
            self.places.get(at).map(|place| place.children.clone()).unwrap_or_default();
        below.retain(|at| self.is_there(*at, FlowMeasure::Power) || self.is_there(*at, FlowMeasure::Energy));
        let path = |at: usize| self.places.get(at).map(|place| place.path).unwrap_or_default();
        below.sort_by(|one, other| {
            let [one_amount, other_amount] = [*one, *other].map(|at| self.total(at, measure).unwrap_or(-1.0));
            other_amount.total_cmp(&one_amount).then_with(|| natural_order(path(*one), path(*other)))
        });
        below
    }

    /// The picture from the root on.
    pub(super) fn picture(&self, measure: FlowMeasure) -> FlowBranch {
        self.branch(0, measure, LEVELS_MAX)
    }

    /// A place with what is shown below it, so many levels.
    pub(super) fn branch(&self, at: usize, measure: FlowMeasure, levels: usize) -> FlowBranch {
        let children = if levels == 0 { Vec::new() } else { self.branches(at, measure, levels - 1) };
        let [power, energy] = [FlowMeasure::Power, FlowMeasure::Energy].map(|of| self.total(at, of));
        FlowBranch { kind: FlowBranchKind::Place(at), power, energy, children }
    }

    fn branches(&self, at: usize, measure: FlowMeasure, levels: usize) -> Vec<FlowBranch> {
        let least = self.total(0, measure).unwrap_or_default() * SHARE_MIN;
        let (mut large, mut small, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for below in self.below(at, measure) {
            match self.total(below, measure) {
                Some(amount) if amount >= least => large.push(below),
                Some(_) => small.push(below),
                None if self.is_there(below, measure) => unknown.push(below),
                None => {}
            }
        }
        if small.len() == 1 {
            large.append(&mut small);
        }
        let mut branches: Vec<FlowBranch> =
            large.into_iter().map(|below| self.branch(below, measure, levels)).collect();
        branches.extend(self.others(&small));
        branches.extend(self.rest_branch(at, measure));
        let named = if unknown.len() > UNKNOWN_MAX { 0 } else { unknown.len() };
        branches.extend(unknown.iter().take(named).map(|at| self.branch(*at, measure, 0)));
        if unknown.len() > named {
            let count = unknown.len() - named;
            let (kind, children) = (FlowBranchKind::Unknown(count), Vec::new());
            branches.push(FlowBranch { kind, power: None, energy: None, children });
        }
        branches
    }

    fn others(&self, small: &[usize]) -> Option<FlowBranch> {
        if small.is_empty() {
            return None;
        }
        let sum = |measure: FlowMeasure| {
            small.iter().filter_map(|at| self.total(*at, measure)).reduce(|one, other| one + other)
        };
        let are_probes = !small.iter().any(|at| self.leads_on(*at));
        Some(FlowBranch {
            kind: FlowBranchKind::Others { count: small.len(), are_probes },
            power: sum(FlowMeasure::Power),
            energy: sum(FlowMeasure::Energy),
            children: Vec::new(),
        })
    }

    /// The rest of a place, where there is one.
    pub(super) fn rest_branch(&self, at: usize, measure: FlowMeasure) -> Option<FlowBranch> {
        let rest = |of: FlowMeasure| self.rest(at, of).filter(|rest| *rest > 0.0);
        let (power, energy) = (rest(FlowMeasure::Power), rest(FlowMeasure::Energy));
        let branch = FlowBranch { kind: FlowBranchKind::Rest, power, energy, children: Vec::new() };
        branch.amount(measure).map(|_| branch.clone())
    }
}

fn known_share(known_ms: u64, time_ms: u64) -> Option<f64> {
    (time_ms > 0).then(|| known_ms as f64 / time_ms as f64)
}

#[cfg(test)]
mod tests;
