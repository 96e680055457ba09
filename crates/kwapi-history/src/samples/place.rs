//! `samples-place`: up to where in the journal the files of samples have it. The file before it is kept, and so is the
//! journal from its position on.
//!
//! A line `kwapi samples 1`, the CRC-32 of the rest, then segment and offset in postcard's encoding.

use crate::journal::Position;

const MAGIC: &[u8] = b"kwapi samples 1\n";
const CRC_BYTES: usize = 4;

pub(super) fn encode(position: Position) -> Vec<u8> {
    // Into vectors all goes: there is no error to be had.
    let body = postcard::to_allocvec(&position).unwrap_or_default();
    [MAGIC, &crc32fast::hash(&body).to_le_bytes(), &body].concat()
}

/// What [`encode`] wrote; `None` where that was spoiled.
pub(super) fn decode(bytes: &[u8]) -> Option<Position> {
    let (crc, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(CRC_BYTES)?;
    let (position, rest) = postcard::take_from_bytes(body).ok()?;
    (crc == crc32fast::hash(body).to_le_bytes() && rest.is_empty()).then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoiled_byte_is_noticed() {
        let position = Position { segment: 7, offset: 1 << 40 };
        let bytes = encode(position);
        assert_eq!(decode(&bytes), Some(position));
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 4;
            assert_eq!((decode(&spoiled), decode(&bytes[..at])), (None, None), "byte {at}");
        }
    }
}
