//! Requests between instances of the API, and the responses, within what is sealed.
//!
//! Questions are in postcard's encoding. Where accounts stand is sent as pairs of an id and a [`Standing`] in the same;
//! accounts as in a file of accounts, whose every version is read.

use kwapi_core::{Account, ProbeId, Standing};
use serde::{Deserialize, Serialize};

use super::digest::Digests;
use super::sealed::PeerRefusal;
use crate::live::{AccountsEntry, read_accounts};

/// The most accounts that are requested at a time.
pub(super) const ACCOUNTS_MAX: usize = 500;
/// The longest question: so many ids of 200 bytes, and what is around them.
pub(super) const REQUEST_BYTES_MAX: usize = 256 << 10;
/// The longest answer: where 200 000 accounts with the longest ids stand.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PeerRequest {
    /// Where all accounts stand.
    Standings,
    /// The accounts of these probes.
    Accounts(Vec<String>),
    /// Where accounts stand in the buckets whose digests are not these. An instance that does not support it yet responds
    /// that it is malformed: all are requested from it.
    Digests(Digests),
}

impl PeerRequest {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default() // Into memory all goes.
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, PeerRefusal> {
        match postcard::take_from_bytes(bytes) {
            Ok((Self::Accounts(ids), _)) if ids.len() > ACCOUNTS_MAX => Err(PeerRefusal::Malformed),
            Ok((Self::Digests(digests), _)) if !digests.is_in_bounds() => Err(PeerRefusal::Malformed),
            Ok((request, [])) => Ok(request),
            Ok(_) | Err(_) => Err(PeerRefusal::Malformed),
        }
    }
}

/// Adds where an account stands.
pub(super) fn push_standing(out: &mut Vec<u8>, probe: &ProbeId, standing: &Standing) {
    if let Ok(longer) = postcard::to_extend(&(probe.as_str(), standing), std::mem::take(out)) {
        *out = longer;
    }
}

/// Reads where accounts stand; at most `count` of them.
pub(super) fn read_standings(
    mut bytes: &[u8],
    count: usize,
) -> Result<Vec<(ProbeId, Standing)>, PeerRefusal> {
    let mut all = Vec::new();
    while !bytes.is_empty() && all.len() < count {
        let (entry, rest) = postcard::take_from_bytes(bytes).map_err(|_| PeerRefusal::Malformed)?;
        all.push(entry);
        bytes = rest;
    }
    Ok(all)
}

/// Reads accounts. One that a later version wrote is left out.
pub(super) fn read_peer_accounts(bytes: &[u8]) -> Result<Vec<(ProbeId, Account)>, PeerRefusal> {
    let mut all = Vec::new();
    let contents = read_accounts(bytes, |entry| {
        if let AccountsEntry::Account(probe, account) = entry {
            all.push((probe, account));
        }
    });
    let is_whole = contents.stretches_damaged == 0 && contents.bytes_torn == 0;
    if is_whole { Ok(all) } else { Err(PeerRefusal::Malformed) }
}
