//! Which probes are in which sums of an answer.

use std::collections::HashSet;

use kwapi_core::{ProbeId, groups_of, meters_above};
use kwapi_history::{MemberCounts, PowerMembers, SumMembers};

use super::PreparedAnswer;
use super::question::EnergyBy;
use crate::http::HttpError;

/// Places of probes in groups: ten of a hundred thousand.
const PLACES_MAX: usize = 1_000_000;

/// The probes of an answer, in order of their ids, each with its sums.
#[derive(Debug)]
pub(super) struct PlacedProbes<'a> {
    probes: &'a [ProbeId],
    /// Of each the place of the meter directly above it…
    above: Vec<Option<usize>>,
    /// …and the sums it is in.
    sums: Vec<Vec<usize>>,
    /// What the sums are called (nothing: all, or those without the label), and how many probes are in each.
    pub(super) names: Vec<(Option<String>, usize)>,
    /// Whether what is below a meter but in another sum is taken away from that of the meter: labels add up to the whole.
    takes_away: bool,
}

impl PreparedAnswer {
    /// The sums that are requested.
    ///
    /// # Errors
    /// When their names alone would be too much.
    pub(super) fn placed(&self) -> Result<PlacedProbes<'_>, HttpError> {
        if self.question.by == EnergyBy::Group && self.question.groups.is_empty() {
            let places: usize = self.probes.iter().map(|probe| groups_of(probe).count()).sum();
            if places > PLACES_MAX {
                let error = format!(
                    "The probes have {places} places in groups; the limit is {PLACES_MAX}: request single \
                     groups (group=PATH) or fewer probes."
                );
                return Err(HttpError::bad_request(error));
            }
        }
        let above = meters_above(&self.probes);
        let meters: HashSet<usize> = above.iter().flatten().copied().collect();
        // Of each probe the sums it is in.
        let sums_of = |(place, probe): (usize, &ProbeId)| -> Vec<Option<String>> {
            match &self.question.by {
                EnergyBy::Probe | EnergyBy::Total => vec![None],
                EnergyBy::Label(key) => vec![self.directory.labels(probe).remove(key)],
                EnergyBy::Group if self.question.groups.is_empty() => {
                    // The meter of a subtree is in the group that is called like it.
                    let own = meters.contains(&place).then_some(probe.as_str());
                    let groups = groups_of(probe).chain(own).filter(|group| self.hidden.leave_open(group));
                    groups.map(|group| Some(group.to_owned())).collect()
                }
                EnergyBy::Group => {
                    let groups = self.question.groups.iter().filter(|group| probe.is_within(group));
                    groups.map(|group| Some(group.clone())).collect()
                }
            }
        };
        let of: Vec<Vec<Option<String>>> = self.probes.iter().enumerate().map(sums_of).collect();
        let mut names: Vec<Option<String>> = of.iter().flatten().cloned().collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() && self.question.by == EnergyBy::Total {
            names.push(None);
        }
        let place = |name: &Option<String>| names.binary_search(name).unwrap_or_default();
        let sums: Vec<Vec<usize>> = of.iter().map(|own| own.iter().map(place).collect()).collect();
        let mut counts = vec![0_usize; names.len()];
        for sum in sums.iter().flatten() {
            if let Some(count) = counts.get_mut(*sum) {
                *count += 1;
            }
        }
        let takes_away = matches!(self.question.by, EnergyBy::Label(_));
        let names = names.into_iter().zip(counts).collect();
        Ok(PlacedProbes { probes: &self.probes, above, sums, names, takes_away })
    }
}

impl PlacedProbes<'_> {
    /// How they count in sums of energy.
    pub(super) fn energy(&self) -> SumMembers {
        let mut members = SumMembers::new(self.names.len());
        for ((probe, own), above) in self.probes.iter().zip(&self.sums).zip(&self.above) {
            let empty = Vec::new();
            let of_meter = above.and_then(|above| self.sums.get(above)).unwrap_or(&empty);
            // A meter above in the same sum has measured it already.
            for sum in own.iter().filter(|sum| !of_meter.contains(sum)) {
                members.add(probe, *sum, MemberCounts::In);
            }
            // What a label has of a subtree is no part of what its meter has.
            for sum in of_meter.iter().filter(|sum| self.takes_away && !own.contains(sum)) {
                members.add(probe, *sum, MemberCounts::Away);
            }
        }
        members
    }

    /// How they count in sums of power.
    pub(super) fn power(&self) -> PowerMembers {
        PowerMembers::new(self.probes, &self.above, &self.sums, self.names.len(), self.takes_away)
    }
}
