//! What the local configuration has of probes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use kwapi_core::ProbeId;

use super::{AccuracyOf, Labels};

type LabelsOf = dyn Fn(&ProbeId) -> Labels + Send + Sync;
type HasSharesOf = dyn Fn(&ProbeId, &str) -> bool + Send + Sync;

/// What the local configuration has of probes.
pub struct ConfiguredProbes {
    pub(super) labels: Box<LabelsOf>,
    pub(super) accuracy: Box<AccuracyOf>,
    has_shares: Box<HasSharesOf>,
    pub(super) sums: Arc<HashSet<ProbeId>>,
}

impl ConfiguredProbes {
    /// Probes whose labels `labels` returns, and of which `sums` are sums of others.
    pub fn new(
        labels: impl Fn(&ProbeId) -> Labels + Send + Sync + 'static,
        sums: impl IntoIterator<Item = ProbeId>,
    ) -> Self {
        let sums = Arc::new(sums.into_iter().collect());
        let (accuracy, has_shares) = (Box::new(|_: &ProbeId| None), Box::new(|_: &ProbeId, _: &str| false));
        Self { labels: Box::new(labels), accuracy, has_shares, sums }
    }

    /// The same, where `has_shares` returns whether bills have shares or dates for a label of a probe: that is no one
    /// text.
    #[must_use]
    pub fn with_shares(
        mut self,
        has_shares: impl Fn(&ProbeId, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.has_shares = Box::new(has_shares);
        self
    }

    /// The same, with the accuracy of a probe's meter, in percent of its reading, where it is configured.
    #[must_use]
    pub fn with_accuracy(
        mut self,
        accuracy: impl Fn(&ProbeId) -> Option<f64> + Send + Sync + 'static,
    ) -> Self {
        self.accuracy = Box::new(accuracy);
        self
    }
}

impl ConfiguredProbes {
    /// Whether something is configured of a label of a probe whose labels are `own`.
    pub(super) fn has_label(&self, probe: &ProbeId, own: &Labels, name: &str) -> bool {
        own.contains_key(name) || (self.has_shares)(probe, name)
    }
}

impl Default for ConfiguredProbes {
    /// Has nothing of any probe.
    fn default() -> Self {
        Self::new(|_| Labels::new(), [])
    }
}

impl fmt::Debug for ConfiguredProbes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredProbes").field("sums", &self.sums).finish_non_exhaustive()
    }
}
