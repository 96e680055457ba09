//! All probes: their order, and what they come to together.

use std::collections::HashSet;
use std::sync::Arc;

use kwapi_core::{ProbeId, Timestamp, Totals};
use kwapi_graph::natural_order;
use parking_lot::Mutex;

use super::{Latest, PowerHistory, Sums};

/// The probes in the order people expect, and their totals.
pub(super) struct Probes {
    history: Arc<dyn PowerHistory>,
    sums: Sums,
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

/// What all probes come to.
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
    pub(super) fn new(history: Arc<dyn PowerHistory>, sums: Sums) -> Self {
        Self { history, sums, sorted: Mutex::default(), totals: Mutex::default() }
    }

    /// Every probe, `node-2` before `node-10`.
    pub(super) fn sorted(&self) -> Arc<[ProbeId]> {
        self.in_order().0
    }

    /// The same without sums: those that add up to the whole.
    pub(super) fn parts(&self) -> Arc<[ProbeId]> {
        self.in_order().1
    }

    fn in_order(&self) -> (Arc<[ProbeId]>, Arc<[ProbeId]>) {
        let unsorted = self.history.probes();
        let sums = self.sums.current();
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

    /// The totals at `now`, at most a second old.
    pub(super) fn overall(&self, probes: &[ProbeId], now: Timestamp, silent_after_seconds: u64) -> Overall {
        let mut kept = self.totals.lock();
        if let Some((at, overall)) = &*kept
            && *at == now.seconds()
            && overall.probes == probes.len()
        {
            return *overall;
        }
        let mut overall = Overall { probes: probes.len(), ..Overall::default() };
        let sums = self.sums.current();
        for probe in probes {
            let Some(latest) = self.history.latest(probe) else { continue };
            overall.last = overall.last.max(Some(latest.at));
            let is_reporting = !is_silent(&latest, now, silent_after_seconds);
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
        *kept = Some((now.seconds(), overall));
        overall
    }
}

/// Whether the newest measurement is too old to stand for the present.
pub(super) fn is_silent(latest: &Latest, now: Timestamp, silent_after_seconds: u64) -> bool {
    now.since(latest.at).as_secs() > silent_after_seconds
}
