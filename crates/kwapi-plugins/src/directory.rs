//! The directory: what a probe is, in one place, whoever asks. Each answer has its source: labels and sums come from the
//! local configuration, which a reload replaces; what ails a probe from the drivers of this process, if it has any.
//!
//! What a probe measures is not here but in [`Live`](crate::live::Live).

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use kwapi_core::ProbeId;
use parking_lot::RwLock;

/// The operator's labels of a probe, by name.
pub type Labels = BTreeMap<String, String>;

type LabelsOf = dyn Fn(&ProbeId) -> Labels + Send + Sync;
type AccuracyOf = dyn Fn(&ProbeId) -> Option<f64> + Send + Sync;
type ProblemOf = dyn Fn(&ProbeId) -> Option<String> + Send + Sync;

/// What the local configuration says of probes.
pub struct ConfiguredProbes {
    labels: Box<LabelsOf>,
    accuracy: Box<AccuracyOf>,
    sums: Arc<HashSet<ProbeId>>,
}

impl ConfiguredProbes {
    /// Probes whose labels `labels` tells, and of which `sums` are sums of others.
    pub fn new(
        labels: impl Fn(&ProbeId) -> Labels + Send + Sync + 'static,
        sums: impl IntoIterator<Item = ProbeId>,
    ) -> Self {
        let sums = Arc::new(sums.into_iter().collect());
        Self { labels: Box::new(labels), accuracy: Box::new(|_| None), sums }
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

impl Default for ConfiguredProbes {
    /// Says nothing of any probe.
    fn default() -> Self {
        Self::new(|_| Labels::new(), [])
    }
}

impl fmt::Debug for ConfiguredProbes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredProbes").field("sums", &self.sums).finish_non_exhaustive()
    }
}

/// What is known of probes besides their measurements. Clones are handles of the same directory.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Inner>);

#[derive(Default)]
struct Inner {
    configured: RwLock<Arc<ConfiguredProbes>>,
    problems: Option<Box<ProblemOf>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("configured", &self.configured.read()).finish_non_exhaustive()
    }
}

impl Directory {
    /// A directory of what is configured, where no meter is read.
    pub fn new(configured: ConfiguredProbes) -> Self {
        Self(Arc::new(Inner { configured: RwLock::new(Arc::new(configured)), problems: None }))
    }

    /// A directory that knows of the meters of this process too: `problem` tells why a probe is not read, if it is not.
    pub fn with_problems(
        configured: ConfiguredProbes,
        problem: impl Fn(&ProbeId) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let configured = RwLock::new(Arc::new(configured));
        Self(Arc::new(Inner { configured, problems: Some(Box::new(problem)) }))
    }

    /// Takes up a new configuration: whatever is asked from now on is answered from it.
    pub fn replace(&self, configured: ConfiguredProbes) {
        *self.0.configured.write() = Arc::new(configured);
    }

    fn configured(&self) -> Arc<ConfiguredProbes> {
        Arc::clone(&self.0.configured.read())
    }

    /// The labels of a probe.
    pub fn labels(&self, probe: &ProbeId) -> Labels {
        (self.configured().labels)(probe)
    }

    /// The accuracy of a probe's meter, in percent of its reading, if it is configured.
    pub(crate) fn accuracy(&self, probe: &ProbeId) -> Option<f64> {
        (self.configured().accuracy)(probe)
    }

    /// Whether a probe has all of these labels.
    pub(crate) fn has_labels(&self, probe: &ProbeId, wanted: &Labels) -> bool {
        let labels = self.labels(probe);
        wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Whether a probe is the sum of others, which totals count in its place.
    pub(crate) fn is_sum(&self, probe: &ProbeId) -> bool {
        self.0.configured.read().sums.contains(probe)
    }

    /// All probes that are sums of others. The same set until the configuration changes.
    pub(crate) fn sums(&self) -> Arc<HashSet<ProbeId>> {
        Arc::clone(&self.0.configured.read().sums)
    }

    /// Why a probe is not read, if it is not and its meter is one of this process.
    pub fn last_error(&self, probe: &ProbeId) -> Option<String> {
        self.0.problems.as_ref().and_then(|problem| problem(probe))
    }
}
