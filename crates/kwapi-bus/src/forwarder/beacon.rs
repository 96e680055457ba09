//! Beacons: a forwarder sends one each second to the forwarders downstream of it, and each of these adds its number and
//! passes it on. One that comes back has gone round a loop.
//!
//! ```text
//! \0forwarder.
//! {"forwarder":"5bd1e995c6a4a793","token":"9e3779b97f4a7c15","hops":["c2b2ae3d27d4eb4f"]}
//! ```

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Topics that begin with NUL are the bus's own. Only who subscribes to this very topic is sent beacons.
pub(super) const TOPIC: &[u8] = b"\0forwarder.";
/// How often a forwarder sends one.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// A beacon of more bytes is none.
const PAYLOAD_BYTES_MAX: usize = 1_024;
/// Forwarders a beacon passes; then it is dropped.
const HOPS_MAX: usize = 16;
/// Own beacons that are remembered, and so for how many seconds one may be on its way.
const TOKENS_MAX: usize = 30;
/// Beacons of others passed on between two of our own. Full: dropped, and a later one shows the loop.
const RELAYED_MAX: u32 = 256;
/// A loop that is left to another forwarder to cut, and comes back so often, is cut here.
const PATIENCE: u32 = 5;

#[derive(Deserialize, Serialize)]
struct Beacon {
    forwarder: String,
    token: String,
    hops: Vec<String>,
}

/// What becomes of a beacon that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BeaconAction {
    /// It is forwarded, as these bytes.
    Relay(Vec<u8>),
    /// It is ours: the link it came by closes a loop, with so many other forwarders in it that are named.
    Loop {
        /// Those others.
        others: usize,
        /// Whether it is for us to cut it.
        is_ours: bool,
    },
    /// It ends here.
    Ignore,
}

/// The beacons of one forwarder.
#[derive(Debug)]
pub(super) struct Beacons {
    own: String,
    tokens: VecDeque<String>,
    relayed: u32,
    /// Own beacons that came back since the last cut.
    returned: u32,
}

impl Beacons {
    /// Of a forwarder with a random number.
    pub(super) fn new() -> Self {
        Self::numbered(random())
    }

    fn numbered(own: String) -> Self {
        Self { own, tokens: VecDeque::new(), relayed: 0, returned: 0 }
    }

    /// The next of our own. Its token is a secret of those downstream of us: nobody else can make us cut a link.
    pub(super) fn next(&mut self) -> Vec<u8> {
        self.relayed = 0;
        let token = random();
        if self.tokens.len() == TOKENS_MAX {
            self.tokens.pop_front();
        }
        self.tokens.push_back(token.clone());
        written(&Beacon { forwarder: self.own.clone(), token, hops: Vec::new() })
    }

    /// Judges one that came from upstream.
    pub(super) fn receive(&mut self, payload: &[u8]) -> BeaconAction {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return BeaconAction::Ignore;
        }
        let Ok(mut beacon) = serde_json::from_slice::<Beacon>(payload) else { return BeaconAction::Ignore };
        if beacon.forwarder == self.own {
            if !self.tokens.contains(&beacon.token) {
                return BeaconAction::Ignore;
            }
            // All in a loop see their own come back; one of them is to cut it.
            self.returned = self.returned.saturating_add(1);
            let is_first = beacon.hops.iter().all(|hop| self.own <= *hop);
            return BeaconAction::Loop {
                others: beacon.hops.len(),
                is_ours: is_first || self.returned > PATIENCE,
            };
        }
        if beacon.hops.len() >= HOPS_MAX || beacon.hops.contains(&self.own) || self.relayed >= RELAYED_MAX {
            return BeaconAction::Ignore;
        }
        self.relayed += 1;
        beacon.hops.push(self.own.clone());
        BeaconAction::Relay(written(&beacon))
    }

    /// Takes note that a loop was cut.
    pub(super) fn has_cut(&mut self) {
        self.returned = 0;
    }
}

fn written(beacon: &Beacon) -> Vec<u8> {
    serde_json::to_vec(beacon).unwrap_or_default()
}

/// 16 hexadecimal digits that nobody can guess: each `RandomState` has keys that the system's random numbers began.
fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(()))
}

#[cfg(test)]
mod tests;
