//! Groups of probes: the prefixes of their paths, who is in them, and what they draw together at present.
//!
//! A sum of others (`[[virtual]]`) is a member of none. A group is readable only by who may see every member of it, so that
//! its power and energy are the same numbers for everybody who may see them.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp, groups_of, meters_above};
use kwapi_history::Query;
use serde::Serialize;

use crate::directory::Directory;
use crate::live::Listing;
use crate::scope::Scope;

/// A probe that was not received for longer is no member of the present. What it used is.
const MEMBER_AGE_MAX: Duration = Duration::from_secs(86_400);

/// The groups that a caller may read, and the probes in them.
#[derive(Debug, Default)]
pub(crate) struct GroupMembers {
    /// Those that the caller may see, in order of their ids, so that a meter stands before those below it.
    probes: Vec<ProbeId>,
    /// Of each the place of the meter directly above it.
    above: Vec<Option<usize>>,
    /// Of each whether it is the meter of others.
    is_meter: Vec<bool>,
    hidden: HiddenProbes,
}

/// The probes that a caller may not see, in order of their ids: no group that has one is readable.
#[derive(Clone, Debug, Default)]
pub(crate) struct HiddenProbes(Vec<ProbeId>);

impl HiddenProbes {
    /// Whether none of them is in a group, be it as the meter of it.
    pub(crate) fn leave_open(&self, group: &str) -> bool {
        self.0.is_empty()
            || (!has_below(&self.0, group)
                && self.0.binary_search_by(|probe| probe.as_str().cmp(group)).is_err())
    }
}

/// Whether any of some probes (in order of their ids) is below a path.
fn has_below(probes: &[ProbeId], path: &str) -> bool {
    let below = format!("{path}.");
    let first = probes.partition_point(|probe| probe.as_str() < below.as_str());
    probes.get(first).is_some_and(|probe| probe.as_str().starts_with(&below))
}

/// A group at present.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct GroupNow {
    pub(crate) group: String,
    /// The second that the power is of, Unix time.
    pub(crate) timestamp: u64,
    /// The sum of the members that are not silent, each watt once along a path; `None` if all are.
    pub(crate) watts: Option<f64>,
    /// The share of the members at the ends of paths whose power is in the sum, by itself or in that of a meter above.
    pub(crate) known_share: f64,
    pub(crate) probes: usize,
    pub(crate) reporting: usize,
    /// The probe that measures the whole group, if there is one.
    pub(crate) meter: Option<ProbeId>,
    /// What that measures beyond the members below it.
    pub(crate) rest_watts: Option<f64>,
}

/// What a group comes to while its members are gone through.
#[derive(Debug, Default)]
struct GroupTally {
    watts: Option<f64>,
    probes: usize,
    reporting: usize,
    ends: usize,
    ends_known: usize,
    meter: Option<usize>,
}

impl GroupNow {
    /// One whose members have all been silent for long.
    pub(crate) fn silent(group: &str, at: Timestamp) -> Self {
        Self {
            group: group.to_owned(),
            timestamp: at.seconds(),
            watts: None,
            known_share: 0.0,
            probes: 0,
            reporting: 0,
            meter: None,
            rest_watts: None,
        }
    }
}

impl GroupMembers {
    /// Of `all` probes (in order of their ids) those that `scope` allows.
    pub(crate) fn new(all: &[ProbeId], directory: &Directory, scope: &Scope) -> Self {
        Self::among(all, |_| true, directory, scope)
    }

    /// The same, without those that `is_member` takes for none; groups are closed by them all the same.
    fn among(
        all: &[ProbeId],
        is_member: impl Fn(&ProbeId) -> bool,
        directory: &Directory,
        scope: &Scope,
    ) -> Self {
        let (mut probes, mut hidden) = (Vec::new(), Vec::new());
        for probe in all.iter().filter(|probe| !directory.is_sum(probe)) {
            if scope.allows(probe) {
                if is_member(probe) {
                    probes.push(probe.clone());
                }
            } else {
                hidden.push(probe.clone());
            }
        }
        let above = meters_above(&probes);
        let mut is_meter = vec![false; probes.len()];
        for meter in above.iter().flatten() {
            if let Some(is_meter) = is_meter.get_mut(*meter) {
                *is_meter = true;
            }
        }
        Self { probes, above, is_meter, hidden: HiddenProbes(hidden) }
    }

    /// The members at present, and of those that are not silent the power in watts. Members are probes that are live, and
    /// those that the ledger received within a day.
    pub(crate) fn present(
        query: Option<&Query>,
        directory: &Directory,
        scope: &Scope,
    ) -> (Self, HashMap<ProbeId, f64>) {
        let live = directory.live();
        let age = u64::try_from(MEMBER_AGE_MAX.as_micros()).unwrap_or(u64::MAX);
        let since = Timestamp::from_micros(live.wall().now().micros().saturating_sub(age));
        let mut recent = query.map(|query| query.measured_since(since)).unwrap_or_default();
        let mut power = HashMap::new();
        live.read(Listing::Known, None, |_, probe, view| {
            recent.push(probe.clone());
            if !view.is_silent {
                power.insert(probe.clone(), view.present.power.0);
            }
            ControlFlow::Continue(())
        });
        recent.sort_unstable();
        recent.dedup();
        if scope.is_all() {
            return (Self::new(&recent, directory, scope), power);
        }
        let mut all = query.map_or_else(|| directory.kept(), Query::probes);
        all.extend(recent.iter().cloned());
        all.sort_unstable();
        all.dedup();
        let is_member = |probe: &ProbeId| recent.binary_search(probe).is_ok();
        (Self::among(&all, is_member, directory, scope), power)
    }

    /// Whom the caller may not see.
    pub(crate) fn into_hidden(self) -> HiddenProbes {
        self.hidden
    }

    /// Whether there is such a group, and the caller may read it.
    pub(crate) fn has(&self, group: &str) -> bool {
        !group.is_empty() && self.hidden.leave_open(group) && has_below(&self.probes, group)
    }

    /// The meters of subtrees within `group` (`None`: anywhere), each with those directly below it.
    pub(crate) fn meters(&self, group: Option<&str>) -> Vec<(ProbeId, Vec<ProbeId>)> {
        let mut below: BTreeMap<usize, Vec<ProbeId>> = BTreeMap::new();
        for (probe, above) in self.probes.iter().zip(&self.above) {
            if let Some(above) = above {
                below.entry(*above).or_default().push(probe.clone());
            }
        }
        let within = |meter: &ProbeId| group.is_none_or(|group| meter.is_within(group));
        let named = below.into_iter().filter_map(|(at, below)| Some((self.probes.get(at)?.clone(), below)));
        named.filter(|(meter, _)| within(meter)).collect()
    }

    /// The groups that may be read and that `wanted` takes, in order of their names, so many at most; `power`: of the probes
    /// that are not silent, in watts.
    pub(crate) fn now(
        &self,
        wanted: impl Fn(&str) -> bool,
        most: usize,
        power: &HashMap<ProbeId, f64>,
        at: Timestamp,
    ) -> Vec<GroupNow> {
        let watts: Vec<Option<f64>> = self.probes.iter().map(|probe| power.get(probe).copied()).collect();
        let reports = |at: usize| watts.get(at).copied().flatten().is_some();
        // Of each probe the nearest meter above it that is not silent: that has measured what it draws.
        let mut measured_by: Vec<Option<usize>> = Vec::with_capacity(self.probes.len());
        let mut below: HashMap<usize, f64> = HashMap::new();
        let mut tallies: BTreeMap<&str, GroupTally> = BTreeMap::new();
        for (place, probe) in self.probes.iter().enumerate() {
            let above = self.above.get(place).copied().flatten();
            let nearest = above.and_then(|above| {
                if reports(above) { Some(above) } else { measured_by.get(above).copied().flatten() }
            });
            measured_by.push(nearest);
            let own = watts.get(place).copied().flatten();
            if let (Some(meter), Some(own)) = (nearest, own) {
                *below.entry(meter).or_default() += own;
            }
            let is_meter = self.is_meter.get(place).copied().unwrap_or_default();
            let groups = groups_of(probe).chain(is_meter.then_some(probe.as_str()));
            for group in groups {
                let is_known = tallies.contains_key(group);
                // Full: only what comes before the last is of interest.
                let is_beyond = || {
                    tallies.len() >= most && tallies.last_key_value().is_none_or(|(last, _)| group > *last)
                };
                if !is_known && (is_beyond() || !wanted(group) || !self.hidden.leave_open(group)) {
                    continue;
                }
                if !is_known && tallies.len() >= most {
                    tallies.pop_last();
                }
                let is_in_meter = nearest
                    .and_then(|meter| self.probes.get(meter))
                    .is_some_and(|meter| meter.is_within(group));
                let tally = tallies.entry(group).or_default();
                tally.probes += 1;
                tally.reporting += usize::from(own.is_some());
                tally.ends += usize::from(!is_meter);
                tally.ends_known += usize::from(!is_meter && (own.is_some() || is_in_meter));
                if let (Some(own), false) = (own, is_in_meter) {
                    tally.watts = Some(tally.watts.unwrap_or_default() + own);
                }
                if probe.as_str() == group {
                    tally.meter = Some(place);
                }
            }
        }
        let shown = |(group, tally): (&str, GroupTally)| {
            let rest = tally.meter.and_then(|meter| {
                let own = watts.get(meter).copied().flatten()?;
                Some(own - below.get(&meter).copied().unwrap_or_default())
            });
            GroupNow {
                group: group.to_owned(),
                timestamp: at.seconds(),
                watts: tally.watts,
                known_share: tally.ends_known as f64 / tally.ends.max(1) as f64,
                probes: tally.probes,
                reporting: tally.reporting,
                meter: tally.meter.and_then(|meter| self.probes.get(meter).cloned()),
                rest_watts: rest,
            }
        };
        tallies.into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests;
