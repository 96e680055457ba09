//! What the meters of a process share: the sockets, and what is remembered of each card between sessions.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalogue::SensorCatalogue;
use super::routes::{Ports, SESSIONS_MAX};

/// What all meters of the `ipmi` driver in a process have in common.
#[derive(Debug, Default)]
pub struct IpmiShared {
    pub(super) ports: Ports,
    memories: Mutex<HashMap<SocketAddr, Arc<Mutex<CardMemory>>>>,
}

/// What is remembered of a card, so that its next session opens in few requests.
#[derive(Debug, Default)]
pub(super) struct CardMemory {
    /// The id of the cipher suite the last session used.
    pub(super) suite: Option<u8>,
    /// Whether the card takes so long for a message of the opening that one sent twice confuses it.
    pub(super) is_slow: bool,
    /// Whether the card makes its keys of the privilege that Open Session names.
    pub(super) requires_privilege_first: bool,
    /// IPMI 1.5: how many activations in a row stayed without an answer.
    pub(super) silences: u8,
    /// What stayed without an answer last time.
    pub(super) silent: SilentSources,
    /// Its sensors of power, as far as the repository has been read.
    pub(super) catalogue: SensorCatalogue,
}

/// Sources that an otherwise answering card is silent about.
#[derive(Debug, Default)]
pub(super) struct SilentSources {
    pub(super) dcmi: bool,
    pub(super) node_manager: bool,
}

impl IpmiShared {
    /// What is remembered of a card. Full, as when addresses have changed for years: all is forgotten and found again.
    pub(super) fn memory(&self, card: SocketAddr) -> Arc<Mutex<CardMemory>> {
        let mut memories = self.memories.lock();
        if memories.len() >= SESSIONS_MAX && !memories.contains_key(&card) {
            memories.clear();
        }
        Arc::clone(memories.entry(card).or_default())
    }
}
