//! Two instances of the API that receive from the same publishers show the same totals: each serves its accounts to the
//! other, compares where they stand and takes what it lacks (ADR 0049).
//!
//! What they send each other is signed with a key of the bus (`sealed`), and nothing else lets anybody in: no token
//! reaches it. `served` responds, `exchange` requests; `kwapi_core` merges ([`kwapi_core::Account::merge`]), on the
//! intake's thread. An instance whose peer is unreachable serves as if it had none.

mod adopted;
mod digest;
mod exchange;
mod sealed;
mod served;
mod state;
mod wire;

use std::path::PathBuf;

use kwapi_bus::{Key, Scheme};
use kwapi_core::chain;
use reqwest::Url;
use serde::Deserialize;

pub(crate) use adopted::AdoptedPart;
pub use adopted::{Adopted, Adopter};
pub use exchange::{PeerTask, start};
pub use sealed::{PeerIdentity, PeerKeys};
pub use served::{PATH, PeerServer, router};
pub use state::{ApiPeer, ApiPeerReport};

/// More instances than this are a mistake.
const PEERS_MAX: usize = 8;

/// Another instance, as `[api] peers` names it: its address, or a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenPeer")]
pub struct ApiPeerConfig {
    /// Where its API listens: `https://other.example.org:5000`.
    pub url: String,
    /// PEM file of the authority that signed its certificate, if the system does not have it.
    pub ca_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a peer: a URL, or a table with `url` and `ca_file`")]
enum WrittenPeer {
    Url(String),
    Table(PeerTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    url: String,
    #[serde(default)]
    ca_file: Option<PathBuf>,
}

impl From<WrittenPeer> for ApiPeerConfig {
    fn from(written: WrittenPeer) -> Self {
        match written {
            WrittenPeer::Url(url) => Self { url, ca_file: None },
            WrittenPeer::Table(PeerTable { url, ca_file }) => Self { url, ca_file },
        }
    }
}

impl ApiPeerConfig {
    /// Where it is queried.
    pub(crate) fn address(&self) -> Result<Url, String> {
        let url = Url::parse(&self.url).map_err(|error| format!("`{}`: {error}", self.url))?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_open = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_bare || !is_open {
            return Err(format!(
                "`{}`: must be an http:// or https:// address of an API without path and user name, such as https://other.example.org:5000",
                self.url
            ));
        }
        Ok(url)
    }

    /// Looks at all of them, and reads no file.
    ///
    /// # Errors
    /// With the index of the one that makes no sense, and what is wrong with it.
    pub fn check_all(all: &[Self]) -> Result<(), (usize, String)> {
        let mut known: Vec<Url> = Vec::new();
        for (index, peer) in all.iter().enumerate() {
            let url = peer.address().map_err(|message| (index, message))?;
            if known.contains(&url) {
                return Err((index, format!("`{}` is named twice", peer.url)));
            }
            if known.len() >= PEERS_MAX {
                return Err((index, format!("more than {PEERS_MAX} peers")));
            }
            known.push(url);
        }
        Ok(())
    }

    /// Reads what it names; sends no request.
    ///
    /// # Errors
    /// When its address makes no sense or its file cannot be read.
    pub fn check_files(&self) -> Result<(), String> {
        exchange::client(self).map(drop)
    }

    /// Whether what is sent can be read in transit to another machine.
    pub fn is_in_clear(&self) -> bool {
        let Ok(url) = self.address() else { return false };
        let is_local = |host: &str| host == "localhost" || host == "[::1]" || host.starts_with("127.");
        url.scheme() == "http" && !url.host_str().is_some_and(is_local)
    }
}

/// Whether instances can sign what they send each other with `keys`.
///
/// # Errors
/// With what to do, as one line.
pub fn check_keys(keys: &[Key]) -> Result<(), String> {
    if keys.is_empty() {
        return Err(
            "[api] peers requires `key` in [bus], the same in each instance: they sign their totals with it"
                .to_owned(),
        );
    }
    keys.iter().try_for_each(|key| key.check(Scheme::Kwapi1).map_err(|error| chain(&error)))
}

#[cfg(test)]
mod tests;
