//! `ledger-open`: what the ledger has in memory (the open rows, and where each probe's account stands) and the position in
//! the journal that it is true at. The file before it is kept, and so is the journal from its position on.
//!
//! A line `kwapi ledger 1`, the CRC-32 of the rest, then in postcard's encoding what [`SnapshotHead`] has, and of each probe its
//! id, its trace and its open rows.

use kwapi_core::{OpenRows, ProbeId, Trace};
use serde::{Deserialize, Serialize};

use crate::journal::Position;

const MAGIC: &[u8] = b"kwapi ledger 1\n";
const CRC_BYTES: usize = 4;
/// No head is longer, with what comes before it.
pub(super) const HEAD_BYTES_MAX: u64 = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub(super) struct SnapshotHead {
    /// All before it is in the rows.
    pub(super) position: Position,
    /// The number of the last correction.
    pub(super) corrections: u64,
    probes: u64,
}

/// A probe between two records.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SnapshotProbe {
    pub(super) id: ProbeId,
    pub(super) trace: Trace,
    pub(super) open: OpenRows,
}

pub(super) fn encode(position: Position, corrections: u64, probes: &[SnapshotProbe]) -> Vec<u8> {
    let mut out = [MAGIC, &[0; CRC_BYTES]].concat();
    // Into vectors all goes: there is no error to be had.
    let head = SnapshotHead { position, corrections, probes: probes.len() as u64 };
    out.extend(postcard::to_allocvec(&head).unwrap_or_default());
    let mut trace = Vec::new();
    for probe in probes {
        trace.clear();
        probe.trace.encode(&mut trace);
        let entry = (probe.id.as_str(), trace.as_slice(), &probe.open);
        out.extend(postcard::to_allocvec(&entry).unwrap_or_default());
    }
    let crc = crc32fast::hash(out.get(MAGIC.len() + CRC_BYTES..).unwrap_or_default());
    if let Some(place) = out.get_mut(MAGIC.len()..MAGIC.len() + CRC_BYTES) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    out
}

/// The position in the first bytes of a snapshot, which may be spoiled further on.
pub(super) fn position(bytes: &[u8]) -> Option<Position> {
    let (_, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(CRC_BYTES)?;
    let (head, _) = postcard::take_from_bytes::<SnapshotHead>(body).ok()?;
    Some(head.position)
}

/// What [`encode`] wrote; `None` where that was spoiled.
pub(super) fn decode(bytes: &[u8]) -> Option<(SnapshotHead, Vec<SnapshotProbe>)> {
    let (crc, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(CRC_BYTES)?;
    if crc != crc32fast::hash(body).to_le_bytes() {
        return None;
    }
    let (head, mut rest) = postcard::take_from_bytes::<SnapshotHead>(body).ok()?;
    let mut probes = Vec::new();
    for _ in 0..head.probes {
        let (id, trace, open);
        ((id, trace, open), rest) = postcard::take_from_bytes::<(&str, &[u8], OpenRows)>(rest).ok()?;
        probes.push(SnapshotProbe { id: ProbeId::new(id).ok()?, trace: Trace::decode(trace).ok()?, open });
    }
    rest.is_empty().then_some((head, probes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoiled_byte_spoils_the_snapshot_and_nothing_else() {
        let probe = SnapshotProbe {
            id: ProbeId::new("lyon.a").unwrap(),
            trace: Trace::default(),
            open: OpenRows::default(),
        };
        let position = Position { segment: 7, offset: 9 };
        let bytes = encode(position, 3, std::slice::from_ref(&probe));
        let (head, probes) = decode(&bytes).unwrap();
        assert_eq!((head.position, head.corrections, probes), (position, 3, vec![probe]));
        assert_eq!(super::position(&bytes[..bytes.len().min(HEAD_BYTES_MAX as usize)]), Some(position));
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 4;
            assert_eq!(decode(&spoiled), None, "byte {at}");
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
