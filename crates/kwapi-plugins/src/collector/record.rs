//! One account as bytes: what the record file is made of.
//!
//! A record is the length of its payload (u32, little-endian), the payload's CRC-32 (u32, little-endian), and the
//! payload: probe id in postcard's encoding, and account as it encodes itself. The file's first line names the format;
//! files of each earlier version are read.

use kwapi_core::{Account, ProbeId, SnapshotError};

/// How a record file begins.
pub(super) const MAGIC: &[u8] = b"kwapi accounts 3\n";
/// How files of earlier versions begin, and how an account is read there.
const EARLIER: [(&[u8], DecodeAccount); 2] =
    [(b"kwapi accounts 2\n", Account::decode_version_2), (b"kwapi accounts 1\n", Account::decode_version_1)];
/// An account is some two hundred bytes, and at most some two thousand; a length above this is damage, and no reason to
/// ask for memory.
const PAYLOAD_BYTES_MAX: usize = 4_096;
const HEADER_BYTES: usize = 8;

type DecodeAccount = fn(&[u8]) -> Result<Account, SnapshotError>;

/// Appends one record to `out`.
pub(super) fn encode(out: &mut Vec<u8>, probe: &ProbeId, account: &Account) {
    let Ok(mut payload) = postcard::to_allocvec(probe) else { return }; // A vector takes any name.
    account.encode(&mut payload);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
}

/// Reads a whole file: each intact account in order, up to the end or the first damage. Returns whether all was
/// intact; a record cut short by the end of the process is damage too, but not worth a word.
#[doc(hidden)]
pub fn decode_all(file: &[u8], mut take: impl FnMut(ProbeId, Account)) -> Intact {
    let versions = [(MAGIC, Account::decode as DecodeAccount)].into_iter().chain(EARLIER);
    let mut known = versions.filter_map(|(magic, decode)| Some((file.strip_prefix(magic)?, decode)));
    let Some((mut rest, decode_account)) = known.next() else {
        return if file.is_empty() { Intact::Yes } else { Intact::NotOurs };
    };
    while !rest.is_empty() {
        let Some((record, after)) = split(rest) else {
            return if could_be_torn(rest) { Intact::TornTail } else { Intact::Damaged };
        };
        let Some((probe, account)) = decode(record, decode_account) else { return Intact::Damaged };
        take(probe, account);
        rest = after;
    }
    Intact::Yes
}

/// How much of a record file could be read.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intact {
    /// All of it.
    Yes,
    /// All but the last record, which was being written.
    TornTail,
    /// Up to a damaged record.
    Damaged,
    /// It is no record file, or one of a later version.
    NotOurs,
}

/// A payload whose length and checksum are right, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let (payload, after) = rest.split_at_checked(length)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*crc)).then_some((payload, after))
}

fn could_be_torn(rest: &[u8]) -> bool {
    match rest.first_chunk::<4>() {
        None => true,
        Some(length) => {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            length <= PAYLOAD_BYTES_MAX && rest.len() < HEADER_BYTES + length
        }
    }
}

fn decode(payload: &[u8], decode_account: DecodeAccount) -> Option<(ProbeId, Account)> {
    let (probe, account) = postcard::take_from_bytes(payload).ok()?;
    Some((probe, decode_account(account).ok()?))
}

#[cfg(test)]
mod tests;
