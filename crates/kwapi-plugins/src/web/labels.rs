//! What the operator says of a probe.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kwapi_core::ProbeId;

type Of = dyn Fn(&ProbeId) -> BTreeMap<String, String> + Send + Sync;

/// Where the pages get a probe's labels, by name. It is asked for each page, so that a reload shows at once.
#[derive(Clone)]
pub struct LabelSource(Arc<Of>);

impl LabelSource {
    /// Labels as `of` has them.
    pub fn new(of: impl Fn(&ProbeId) -> BTreeMap<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    pub(super) fn of(&self, probe: &ProbeId) -> BTreeMap<String, String> {
        (self.0)(probe)
    }
}

impl Default for LabelSource {
    /// No probe has any.
    fn default() -> Self {
        Self::new(|_| BTreeMap::new())
    }
}

impl fmt::Debug for LabelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelSource")
    }
}
