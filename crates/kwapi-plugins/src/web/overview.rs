//! All probes: their order, and what they come to together.

use std::collections::HashSet;
use std::sync::Arc;

use kwapi_core::{ProbeId, Timestamp, Totals};
use kwapi_graph::natural_order;
use parking_lot::Mutex;

use super::PowerHistory;
use crate::directory::Directory;
use crate::scope::Scope;

/// The probes in the order people expect, and their totals.
pub(super) struct Probes {
    history: Arc<dyn PowerHistory>,
    directory: Directory,
    sorted: Mutex<Sorted>,
    totals: Mutex<Option<(u64, Overall)>>,
}

/// Sorting a hundred thousand ids takes longer than comparing them: done again only when they differ.
#[derive(Debug, Default)]
struct Sorted {
    unsorted: Vec<ProbeId>,
    sums: Arc<HashSet<ProbeId>>,
    sorted: Arc<[ProbeId]>,
    parts: Arc<[ProbeId]>,
}

/// The probes that a caller sees, in the order people expect: `node-2` before `node-10`.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) all: Arc<[ProbeId]>,
    /// Without sums: those that add up to the whole.
    pub(super) parts: Arc<[ProbeId]>,
    /// Whether these are all there are.
    pub(super) is_everything: bool,
}

impl Seen {
    /// Whether a probe is among them.
    pub(super) fn has(&self, probe: &ProbeId) -> bool {
        self.all.contains(probe)
    }
}

/// What all probes that are seen come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Overall {
    /// Power of the probes that are not silent, in watts, without sums, whose parts are in it; `None` when all are.
    pub(super) watts: Option<f64>,
    /// Probes that measured lately.
    pub(super) reporting: usize,
    /// Probes there are.
    pub(super) probes: usize,
    /// Energy and make-up of time of all accounts but those of sums.
    pub(super) totals: Totals,
    /// The earliest instant an account counts from.
    pub(super) since: Option<Timestamp>,
    /// The newest measurement of all.
    pub(super) last: Option<Timestamp>,
}

impl Probes {
    pub(super) fn new(history: Arc<dyn PowerHistory>, directory: Directory) -> Self {
        Self { history, directory, sorted: Mutex::default(), totals: Mutex::default() }
    }

    /// What a caller with this scope sees.
    pub(super) fn seen(&self, scope: &Scope) -> Seen {
        let (all, parts) = self.in_order();
        if scope.is_all() {
            return Seen { all, parts, is_everything: true };
        }
        let within =
            |probes: &[ProbeId]| probes.iter().filter(|probe| scope.allows(probe)).cloned().collect();
        Seen { all: within(&all), parts: within(&parts), is_everything: false }
    }

    fn in_order(&self) -> (Arc<[ProbeId]>, Arc<[ProbeId]>) {
        let unsorted = self.history.probes();
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
            *kept = Sorted { unsorted, sums, sorted, parts };
        }
        (Arc::clone(&kept.sorted), Arc::clone(&kept.parts))
    }

    /// The totals of what is seen at `now`. Those of everything are at most a second old; others are added up each time.
    pub(super) fn overall(&self, seen: &Seen, now: Timestamp) -> Overall {
        if !seen.is_everything {
            return self.add_up(&seen.all);
        }
        let mut kept = self.totals.lock();
        if let Some((at, overall)) = &*kept
            && *at == now.seconds()
            && overall.probes == seen.all.len()
        {
            return *overall;
        }
        let overall = self.add_up(&seen.all);
        *kept = Some((now.seconds(), overall));
        overall
    }

    fn add_up(&self, probes: &[ProbeId]) -> Overall {
        let mut overall = Overall { probes: probes.len(), ..Overall::default() };
        let sums = self.directory.sums();
        for probe in probes {
            let Some(latest) = self.history.latest(probe) else { continue };
            overall.last = overall.last.max(Some(latest.at));
            let is_reporting = !latest.is_silent;
            overall.reporting += usize::from(is_reporting);
            if sums.contains(probe) {
                continue;
            }
            if is_reporting {
                overall.watts = Some(overall.watts.unwrap_or(0.0) + latest.power.0);
            }
            if let Some(account) = &latest.account {
                overall.totals = overall.totals.plus(&account.totals);
                overall.since = Some(overall.since.map_or(account.since, |since| since.min(account.since)));
            }
        }
        overall
    }
}
