//! All probes: their order, and what they come to together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kwapi_core::{ProbeId, Timestamp, Totals, meters_above};
use kwapi_graph::natural_order;
use kwapi_history::journal::Position;
use parking_lot::Mutex;

use super::silent::{Silent, SilentPlaces};
use super::used::Used;
use crate::directory::{Directory, ProbeNow};
use crate::scope::Scope;

/// The probes in the order people expect, and their totals.
pub(super) struct Probes {
    directory: Directory,
    sorted: Mutex<Sorted>,
    totals: Mutex<Option<(OverallAt, Overall)>>,
}

/// The second that totals are of, and the position in the journal.
type OverallAt = (u64, Option<Position>);

/// Sorting a hundred thousand ids takes longer than comparing them: done again only when they differ.
#[derive(Debug, Default)]
struct Sorted {
    unsorted: Vec<ProbeId>,
    sums: Arc<HashSet<ProbeId>>,
    sorted: Arc<[ProbeId]>,
    parts: Arc<[ProbeId]>,
    above: Above,
}

/// Of each part the place of the meter directly above it, if there is one: what is below a meter is in it.
pub(super) type Above = Arc<[Option<usize>]>;

/// The probes that a caller sees, in the order people expect: `node-2` before `node-10`.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) all: Arc<[ProbeId]>,
    /// Without sums: those that add up to the whole.
    pub(super) parts: Arc<[ProbeId]>,
    pub(super) above: Above,
    /// The group that they are the members of, if they are of one.
    pub(super) group: Option<ProbeId>,
    /// Whether these are all there are.
    pub(super) is_everything: bool,
    /// What the caller may see.
    pub(super) scope: Scope,
    /// The caller's name, where they have a login that they can end.
    pub(super) login: Option<Arc<str>>,
}

impl Seen {
    /// Some of the probes there are, those of a group: sums are none of them.
    pub(super) fn of(group: &ProbeId, members: Vec<ProbeId>, scope: Scope) -> Self {
        let above = meters_above(&members).into();
        let parts: Arc<[ProbeId]> = members.into();
        let group = Some(group.clone());
        Self { all: Arc::clone(&parts), parts, above, group, is_everything: false, scope, login: None }
    }

    /// Those that are below no meter among them: together they have each joule once.
    pub(super) fn tops(&self) -> Vec<ProbeId> {
        let parts = self.parts.iter().zip(&*self.above);
        parts.filter(|(_, above)| above.is_none()).map(|(probe, _)| probe.clone()).collect()
    }

    /// Whether a probe would be among them, were it measured.
    fn covers(&self, probe: &ProbeId) -> bool {
        let is_within = self.group.as_ref().is_none_or(|group| probe.is_within(group.as_str()));
        is_within && self.scope.allows(probe)
    }

    /// Whether a probe is among them.
    pub(super) fn has(&self, probe: &ProbeId) -> bool {
        self.all.contains(probe)
    }
}

/// What all probes that are seen come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Overall {
    /// Power of the probes that are not silent, in watts; `None` when all are. Neither sums are in it nor what is below a
    /// meter: each watt counts once.
    pub(super) watts: Option<f64>,
    /// Probes that measured lately.
    pub(super) reporting: usize,
    /// Probes there are, also those of which no data has been received yet.
    pub(super) probes: usize,
    /// Those of them that have been measured.
    measured: usize,
    /// Energy and make-up of time of all accounts but those of sums and of what is below a meter.
    pub(super) totals: Totals,
    /// The earliest instant an account counts from.
    pub(super) since: Option<Timestamp>,
    /// The newest measurement of all.
    pub(super) last: Option<Timestamp>,
    /// Which of them are silent.
    pub(super) silent: Arc<Silent>,
}

impl Probes {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, sorted: Mutex::default(), totals: Mutex::default() }
    }

    /// What a caller with this scope sees.
    pub(super) fn seen(&self, scope: &Scope) -> Seen {
        let (all, parts, above) = self.in_order();
        if scope.is_all() {
            return Seen {
                all,
                parts,
                above,
                group: None,
                is_everything: true,
                scope: Scope::All,
                login: None,
            };
        }
        let within =
            |probes: &[ProbeId]| probes.iter().filter(|probe| scope.allows(probe)).cloned().collect();
        let parts: Arc<[ProbeId]> = within(&parts);
        // A meter that the caller does not see measures nothing of what they do.
        let above = meters_above(&parts).into();
        let all = within(&all);
        Seen { all, parts, above, group: None, is_everything: false, scope: scope.clone(), login: None }
    }

    fn in_order(&self) -> (Arc<[ProbeId]>, Arc<[ProbeId]>, Above) {
        let unsorted = self.directory.kept();
        let sums = self.directory.sums();
        let mut kept = self.sorted.lock();
        if kept.unsorted != unsorted || !Arc::ptr_eq(&kept.sums, &sums) {
            let mut sorted = unsorted.clone();
            sorted.sort_by(|a, b| natural_order(a.as_str(), b.as_str()));
            let sorted: Arc<[ProbeId]> = sorted.into();
            let parts = if sums.is_empty() {
                Arc::clone(&sorted)
            } else {
                sorted.iter().filter(|probe| !sums.contains(*probe)).cloned().collect()
            };
            let above = meters_above(&parts).into();
            *kept = Sorted { unsorted, sums, sorted, parts, above };
        }
        (Arc::clone(&kept.sorted), Arc::clone(&kept.parts), Arc::clone(&kept.above))
    }

    /// The totals of what is seen at `now`, which has `used` so much. Those of everything are at most a second old; others
    /// are added up each time.
    pub(super) fn overall(&self, seen: &Seen, used: &Used, now: Timestamp) -> Overall {
        if !seen.is_everything {
            return self.add_up(seen, used);
        }
        let key = (now.seconds(), used.position());
        let mut kept = self.totals.lock();
        if let Some((at, overall)) = &*kept
            && *at == key
            && overall.measured == seen.all.len()
        {
            return overall.clone();
        }
        let overall = self.add_up(seen, used);
        *kept = Some((key, overall.clone()));
        overall
    }

    fn add_up(&self, seen: &Seen, used: &Used) -> Overall {
        let mut unmeasured = self.directory.unmeasured();
        unmeasured.retain(|probe| seen.covers(probe));
        let measured = seen.all.len();
        let mut overall = Overall { measured, probes: measured + unmeasured.len(), ..Overall::default() };
        let sums = self.directory.sums();
        let has_meters = seen.above.iter().any(Option::is_some);
        let mut parts: HashMap<&ProbeId, ProbeNow> = HashMap::new();
        let mut silent = SilentPlaces::default();
        for probe in &*seen.all {
            let Some(mut latest) = self.directory.now(probe) else { continue };
            latest.account = used.account(probe, latest.account);
            overall.last = overall.last.max(Some(latest.at));
            overall.reporting += usize::from(!latest.is_silent);
            if latest.is_silent {
                silent.add(probe, Some(latest.at));
            }
            if sums.contains(probe) {
                continue;
            }
            if has_meters {
                parts.insert(probe, latest);
            } else {
                overall.add(&latest, true, true);
            }
        }
        unmeasured.iter().for_each(|probe| silent.add(probe, None));
        overall.silent = Arc::new(silent.finish());
        if !has_meters {
            return overall;
        }
        let latest: Vec<Option<&ProbeNow>> = seen.parts.iter().map(|probe| parts.get(probe)).collect();
        let is_reporting = |at: usize| matches!(latest.get(at), Some(Some(latest)) if !latest.is_silent);
        let has_account =
            |at: usize| matches!(latest.get(at), Some(Some(latest)) if latest.account.is_some());
        for (at, latest) in latest.iter().enumerate() {
            let Some(latest) = latest else { continue };
            let has_meter = |counts: &dyn Fn(usize) -> bool| {
                let above = |at: &usize| seen.above.get(*at).copied().flatten();
                std::iter::successors(above(&at), above).any(counts)
            };
            // Of a meter that is silent or has no account, those below stand for it.
            overall.add(latest, !has_meter(&is_reporting), !has_meter(&has_account));
        }
        overall
    }
}

impl Overall {
    /// Adds a probe's power and energy, as far as no meter above it has measured them.
    fn add(&mut self, latest: &ProbeNow, counts_power: bool, counts_energy: bool) {
        if counts_power && !latest.is_silent {
            self.watts = Some(self.watts.unwrap_or(0.0) + latest.power.0);
        }
        if let (true, Some(account)) = (counts_energy, &latest.account) {
            self.totals = self.totals.plus(&account.totals);
            self.since = Some(self.since.map_or(account.since, |since| since.min(account.since)));
        }
    }
}
