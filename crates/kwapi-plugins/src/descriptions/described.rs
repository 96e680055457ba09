//! The description of one probe.

use std::sync::Arc;

use kwapi_core::{Description, ProbeId, Timestamp};

/// The description of a probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Described {
    pub(crate) description: Arc<Description>,
    /// When this was first stated.
    pub(crate) since: Timestamp,
    /// When it was last stated, by the stamp of its message.
    pub(super) at: Timestamp,
    /// The id of the key that signed it; `None` without signatures.
    pub(super) key: Option<Arc<str>>,
}

impl Described {
    /// About what it takes in memory, in bytes.
    pub(super) fn bytes(&self, probe: &ProbeId) -> usize {
        self.description.bytes() + probe.as_str().len() + 64
    }
}
