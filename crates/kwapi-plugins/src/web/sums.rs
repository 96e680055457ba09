//! Which probes are sums of others.

use std::collections::HashSet;
use std::sync::Arc;

use kwapi_core::ProbeId;
use parking_lot::RwLock;

/// Probes that are sums of others, as the latest configuration has them. Its clones are handles of the same.
#[derive(Clone, Debug, Default)]
pub struct Sums(Arc<RwLock<Arc<HashSet<ProbeId>>>>);

impl Sums {
    /// Makes exactly these sums, from the next page on.
    pub fn replace(&self, sums: impl IntoIterator<Item = ProbeId>) {
        *self.0.write() = Arc::new(sums.into_iter().collect());
    }

    /// Whether `probe` is one.
    pub fn contains(&self, probe: &ProbeId) -> bool {
        self.0.read().contains(probe)
    }

    /// All of them, as they are now.
    pub fn current(&self) -> Arc<HashSet<ProbeId>> {
        Arc::clone(&self.0.read())
    }
}

impl FromIterator<ProbeId> for Sums {
    fn from_iter<I: IntoIterator<Item = ProbeId>>(sums: I) -> Self {
        let all = Self::default();
        all.replace(sums);
        all
    }
}
