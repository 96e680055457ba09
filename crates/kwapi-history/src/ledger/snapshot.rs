//! `ledger-open`: what the ledger has in memory (the open rows, and where each probe's account stands) and the position in
//! the journal that it is true at. The file before it is kept, and so is the journal from its position on.
//!
//! A line `kwapi ledger 1`, the CRC-32 of the rest, then in postcard's encoding what [`SnapshotHead`] has, and of each probe its
//! id, its trace and its open rows.

use std::io::{self, Seek, SeekFrom, Write};

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

/// Writes a snapshot of so many probes, whose entries `next` hands over, some at a time, until there are no more: all of a
/// hundred thousand are never in memory at once.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write(
    output: &mut (impl Write + Seek),
    (position, corrections, probes): (Position, u64, usize),
    mut next: impl FnMut() -> Vec<u8>,
) -> io::Result<()> {
    let head = SnapshotHead { position, corrections, probes: probes as u64 };
    let head = postcard::to_allocvec(&head).map_err(io::Error::other)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    output.write_all(&[MAGIC, &[0; CRC_BYTES], &head].concat())?;
    loop {
        let entries = next();
        if entries.is_empty() {
            break;
        }
        crc.update(&entries);
        output.write_all(&entries)?;
    }
    output.seek(SeekFrom::Start(MAGIC.len() as u64))?;
    output.write_all(&crc.finalize().to_le_bytes())
}

/// The entries of some probes.
pub(super) fn entries(probes: &[SnapshotProbe]) -> Vec<u8> {
    let (mut out, mut trace) = (Vec::new(), Vec::new());
    for probe in probes {
        trace.clear();
        probe.trace.encode(&mut trace);
        let entry = (probe.id.as_str(), trace.as_slice(), &probe.open);
        // Into vectors all goes: there is no error to be had.
        out.extend(postcard::to_allocvec(&entry).unwrap_or_default());
    }
    out
}

/// The position in the first bytes of a snapshot, which may be spoiled further on.
pub(super) fn position(bytes: &[u8]) -> Option<Position> {
    let (_, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(CRC_BYTES)?;
    let (head, _) = postcard::take_from_bytes::<SnapshotHead>(body).ok()?;
    Some(head.position)
}

/// What [`write`] wrote; `None` where that was spoiled.
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
        let probe = |id: &str| SnapshotProbe {
            id: ProbeId::new(id).unwrap(),
            trace: Trace::default(),
            open: OpenRows::default(),
        };
        let written = [probe("lyon.a"), probe("lyon.b"), probe("lyon.c")];
        let position = Position { segment: 7, offset: 9 };
        let mut output = io::Cursor::new(Vec::new());
        let mut pieces = [entries(&written[..2]), entries(&written[2..])].into_iter();
        write(&mut output, (position, 3, written.len()), || pieces.next().unwrap_or_default()).unwrap();
        let bytes = output.into_inner();
        let (head, probes) = decode(&bytes).unwrap();
        assert_eq!((head.position, head.corrections, &probes[..]), (position, 3, &written[..]));
        assert_eq!(super::position(&bytes[..bytes.len().min(HEAD_BYTES_MAX as usize)]), Some(position));
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 4;
            assert_eq!(decode(&spoiled), None, "byte {at}");
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
