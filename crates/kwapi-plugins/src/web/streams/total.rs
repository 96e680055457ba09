//! What all that a caller sees come to, added up once for all who see the same, and not more often than it is cheap.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use serde::Serialize;

use super::super::Site;
use super::super::used::Used;
use crate::directory::ConfiguredProbes;
use crate::scope::Scope;

/// Adding up may take at most one part in so many of the time…
pub(super) const REST: u32 = 9;
/// …unless it is done as quickly as this.
pub(super) const CHEAP: Duration = Duration::from_millis(50);

/// A scope whose probes are added up. Scopes that name the same are the same.
#[derive(Clone, Debug)]
pub(super) struct TotalOf {
    scope: Scope,
    words: String,
}

impl TotalOf {
    pub(super) fn new(scope: &Scope) -> Self {
        Self { words: scope.words(), scope: scope.clone() }
    }

    /// The scope itself.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl PartialEq for TotalOf {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for TotalOf {}

impl Hash for TotalOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words.hash(state);
    }
}

/// The sum in an event.
#[derive(Debug, Serialize)]
struct TotalJson {
    /// Watts, each once along a path; none where all are silent.
    w: Option<f64>,
    reporting: usize,
    probes: usize,
}

/// The sums that are watched.
#[derive(Debug)]
pub(super) struct Totals {
    kept: HashMap<TotalOf, KeptTotal>,
    /// Scopes look labels up in it.
    configured: Arc<ConfiguredProbes>,
}

/// A sum, encoded.
#[derive(Debug)]
struct KeptTotal {
    json: String,
    at: Timestamp,
    took: Duration,
}

impl Totals {
    pub(super) fn new(site: &Site) -> Self {
        Self { kept: HashMap::new(), configured: site.directory.configured() }
    }

    /// Begins a look: what was added up under another configuration, or is watched no more, is dropped.
    pub(super) fn begin<'a>(&mut self, site: &Site, watched: impl Iterator<Item = &'a TotalOf>) {
        let configured = site.directory.configured();
        if !Arc::ptr_eq(&configured, &self.configured) {
            (self.kept, self.configured) = (HashMap::new(), configured);
        }
        let watched: Vec<&TotalOf> = watched.collect();
        self.kept.retain(|total, _| watched.contains(&total));
    }

    /// A sum as it is at `now`, or was lately.
    pub(super) fn json(&mut self, total: &TotalOf, site: &Site, now: Timestamp) -> Option<String> {
        let rests = |kept: &KeptTotal| {
            kept.at == now || (kept.took > CHEAP && now.since(kept.at) < kept.took.saturating_mul(REST))
        };
        if let Some(kept) = self.kept.get(total).filter(|kept| rests(kept)) {
            return Some(kept.json.clone());
        }
        let begun = site.clock.now();
        let seen = site.probes.seen(&total.scope);
        let overall = site.probes.overall(&seen, &Used::default(), now);
        let w = overall.watts.map(|watts| rounded(watts, 10.0));
        let added = TotalJson { w, reporting: overall.reporting, probes: overall.probes };
        let json = serde_json::to_string(&added).ok()?;
        let kept = KeptTotal { json: json.clone(), at: now, took: site.clock.now().since(begun) };
        self.kept.insert(total.clone(), kept);
        Some(json)
    }
}

/// As fine as pages show it: what changes less is no change.
pub(super) fn rounded(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}
