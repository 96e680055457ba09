//! One block of a segment: a mark to find it by, what is needed to trust it, and records that need nothing else.
//!
//! The head is 20 bytes, little-endian: the mark `FF 4B 57 42`; the kind of payload (2); flags (1: the last block of
//! its batch); how many records (u16); the payload's length (u32) and CRC-32; the CRC-32 of the 16 bytes before, begun
//! with the segment's number and the block's place in it. By that a block that lies where it was not written, or that
//! only looks like one inside another's payload, is no block.

use std::ops::ControlFlow;

use super::Credited;
use super::record::{Encoder, RecordDecoder};

const MARK: [u8; 4] = [0xff, b'K', b'W', b'B'];
/// The kind of payload this writes. Another is a later version's: skipped, and reported.
const KIND: u8 = 2;
const FLAG_LAST: u8 = 1;
pub(super) const HEAD_BYTES: usize = 20;
/// The largest payload: what one damaged bit costs at most.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// What a head holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) records: u16,
    pub(super) payload_bytes: usize,
    /// Whether the batch it is part of ends with it.
    pub(super) is_last: bool,
    kind: u8,
    crc: u32,
}

/// Why a payload cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Its bytes are not those that were written.
    Damaged,
    /// A later version of Kwapi wrote it.
    Later,
}

impl BlockHead {
    /// Reads the head at `place` of segment `segment`; `None` where there is none, or it is damaged.
    pub(super) fn parse(bytes: &[u8], segment: u64, place: u64) -> Option<Self> {
        let bytes: &[u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().ok()?;
        let (guarded, own_crc) = bytes.split_last_chunk::<4>()?;
        if !guarded.starts_with(&MARK) || u32::from_le_bytes(*own_crc) != head_crc(guarded, segment, place) {
            return None;
        }
        let [_, _, _, _, kind, flags, r0, r1, l0, l1, l2, l3, crc @ ..] = guarded else { return None };
        let payload_bytes = usize::try_from(u32::from_le_bytes([*l0, *l1, *l2, *l3])).ok()?;
        let head = Self {
            records: u16::from_le_bytes([*r0, *r1]),
            payload_bytes,
            is_last: flags & FLAG_LAST != 0,
            kind: *kind,
            crc: u32::from_le_bytes(crc.try_into().ok()?),
        };
        (payload_bytes <= PAYLOAD_BYTES_MAX).then_some(head)
    }

    /// Reads the records of its payload.
    pub(super) fn read(
        &self,
        payload: &[u8],
        decoder: &mut RecordDecoder,
    ) -> Result<Vec<Credited>, Unusable> {
        if crc32fast::hash(payload) != self.crc {
            return Err(Unusable::Damaged);
        }
        if self.kind != KIND {
            return Err(Unusable::Later);
        }
        decoder.block(payload, usize::from(self.records)).ok_or(Unusable::Damaged)
    }
}

/// The first place from `from` on where the next block may begin, as far as `bytes` show.
pub(super) fn find_mark(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(MARK.len()).position(|window| window == MARK).map(|at| from + at)
}

fn head_crc(guarded: &[u8], segment: u64, place: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&segment.to_le_bytes());
    crc.update(&place.to_le_bytes());
    crc.update(guarded);
    crc.finalize()
}

/// Writes `records` as blocks for `place` of segment `segment`.
pub(super) fn write(records: &[Credited], segment: u64, place: u64, out: &mut Vec<u8>) {
    let mut left = records;
    while !left.is_empty() {
        let begin = out.len();
        out.extend([0; HEAD_BYTES]);
        let mut encoder = Encoder::default();
        let taken = left.iter().take(usize::from(u16::MAX)).try_fold(0_usize, |taken, record| {
            let end = out.len();
            encoder.push(record, out);
            // No record alone is as large as a block.
            if taken > 0 && out.len() - begin - HEAD_BYTES > PAYLOAD_BYTES_MAX {
                out.truncate(end);
                return ControlFlow::Break(taken);
            }
            ControlFlow::Continue(taken + 1)
        });
        let (ControlFlow::Continue(taken) | ControlFlow::Break(taken)) = taken;
        left = left.get(taken..).unwrap_or_default();
        seal(out, begin, taken, left.is_empty(), segment, place + begin as u64);
    }
}

/// Fills in the head at `begin`, for which room was kept.
fn seal(out: &mut [u8], begin: usize, records: usize, is_last: bool, segment: u64, place: u64) {
    let Some((slot, payload)) = out.get_mut(begin..).and_then(|block| block.split_at_mut_checked(HEAD_BYTES))
    else {
        return;
    };
    let mut head = MARK.to_vec();
    head.extend([KIND, if is_last { FLAG_LAST } else { 0 }]);
    head.extend(u16::try_from(records).unwrap_or(u16::MAX).to_le_bytes());
    head.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    head.extend(crc32fast::hash(payload).to_le_bytes());
    head.extend(head_crc(&head, segment, place).to_le_bytes());
    slot.copy_from_slice(&head);
}
