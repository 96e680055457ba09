//! Of whom a range is: of a probe, of a group, or of all that is seen together.

use std::borrow::Cow;

use kwapi_core::{Period, ProbeId, Timestamp, meters_above};
use kwapi_history::{MemberCounts, PowerMembers, SumMembers};

use super::super::super::Site;
use super::super::super::overview::Seen;
use super::super::crumbs::{Crumb, crumbs};
use super::super::downloads::{Download, downloads, of_sum};
use super::super::{group_path, probe_path};
use crate::http::percent::encode;

/// What is taken away of a range.
const FILES: [&str; 3] = ["Samples", "Values", "Graph"];

/// Of whom a range is.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum RangeOf<'a> {
    Probe(&'a ProbeId),
    /// A group that the caller may read, its members, and since when they count.
    Group(&'a ProbeId, &'a Seen, Option<Timestamp>),
    /// All that the caller sees, at the address of a period, and since when they count.
    Everything(Period, &'a Seen, Option<Timestamp>),
}

impl<'a> RangeOf<'a> {
    /// What it is called.
    pub(super) fn name(self) -> Cow<'a, str> {
        match self {
            Self::Probe(id) | Self::Group(id, ..) => Cow::Borrowed(id.as_str()),
            Self::Everything(..) => Cow::Borrowed("All probes"),
        }
    }

    /// Where it is shown without a range.
    pub(super) fn path(self) -> String {
        match self {
            Self::Probe(probe) => probe_path(probe),
            Self::Group(group, ..) => group_path(group.as_str()),
            Self::Everything(period, ..) => format!("/last/{period}/"),
        }
    }

    /// Since when its probes count, where it is of several.
    pub(super) fn since(self) -> Option<Timestamp> {
        match self {
            Self::Probe(_) => None,
            Self::Group(_, _, since) | Self::Everything(_, _, since) => since,
        }
    }

    /// Those of several that add up, in order of their ids.
    pub(super) fn members(self) -> Option<Members> {
        match self {
            Self::Probe(_) => None,
            Self::Group(_, seen, _) | Self::Everything(_, seen, _) => Some(Members::new(seen)),
        }
    }

    pub(super) fn crumbs(self, site: &Site, seen: &Seen) -> Vec<Crumb> {
        match self {
            Self::Probe(id) | Self::Group(id, ..) => crumbs(site, seen, id),
            Self::Everything(..) => Vec::new(),
        }
    }

    pub(super) fn downloads(self, site: &Site, href: &str) -> Vec<Download> {
        match self {
            Self::Probe(probe) => downloads(site, probe, href, FILES),
            Self::Group(group, ..) => {
                let rrd = format!("/rrd/group/{}/", encode(group.as_str()));
                of_sum(href, site.directory.groups().map(|_| rrd))
            }
            Self::Everything(..) => of_sum(href, None),
        }
    }
}

/// The probes of a sum, each watt and each joule once.
pub(super) struct Members {
    pub(super) probes: Vec<ProbeId>,
    above: Vec<Option<usize>>,
}

impl Members {
    fn new(seen: &Seen) -> Self {
        let mut probes = seen.parts.to_vec();
        probes.sort_unstable();
        let above = meters_above(&probes);
        Self { probes, above }
    }

    /// How they count in the sum of energy: a meter above has measured what is below it.
    pub(super) fn energy(&self) -> SumMembers {
        let mut members = SumMembers::new(1);
        for (probe, _) in self.probes.iter().zip(&self.above).filter(|(_, above)| above.is_none()) {
            members.add(probe, 0, MemberCounts::In);
        }
        members
    }

    /// How they count in the sum of power.
    pub(super) fn power(&self) -> PowerMembers {
        let sums = vec![vec![0]; self.probes.len()];
        PowerMembers::new(&self.probes, &self.above, &sums, 1, false)
    }
}
