//! Accounts as bytes: what the files of accounts are made of, and how all that were ever written are read.
//!
//! ```text
//! "kwapi accounts 3\n"
//! record: mark (4 bytes), kind (u8), length (u16), CRC-32 of kind, length and payload (u32), payload
//! payload of kind 1: length of the probe's id (u8), the id, the account as kwapi-core encodes it
//! payload of kind 2: a position in the journal: segment and offset (u64)
//! ```
//!
//! Numbers are little-endian. Records stand alone: after damage, in a length too, reading continues at the next mark
//! whose record has the right sum, so that a flipped bit costs the one record it hits. In versions 1 and 2 a record was
//! length (u32), CRC-32 of the payload (u32), and the payload in postcard's encoding.

use std::path::Path;

use kwapi_core::{Account, ProbeId, SnapshotError};
use kwapi_history::journal::Position;

/// How a file begins that this version writes.
const HEADER: &[u8] = b"kwapi accounts 3\n";
/// How those of versions before began, and how an account is read there.
const BEFORE: [(&[u8], DecodeAccount); 2] =
    [(b"kwapi accounts 2\n", Account::decode_version_2), (b"kwapi accounts 1\n", Account::decode_version_1)];
/// Where a record begins. No text has it, and an account seldom.
const MARK: [u8; 4] = [0xA5, b'k', b'w', 0x1A];
const KIND_ACCOUNT: u8 = 1;
const KIND_POSITION: u8 = 2;
/// Mark, kind, length, sum.
const HEAD_BYTES: usize = 11;
/// A longer payload of a version before is damage.
const PAYLOAD_BYTES_MAX_BEFORE: usize = 1_536;

type DecodeAccount = fn(&[u8]) -> Result<Account, SnapshotError>;

/// Writes records one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountsWriter {
    bytes: Vec<u8>,
}

impl AccountsWriter {
    /// A whole file from its beginning.
    pub(crate) fn file() -> Self {
        Self { bytes: HEADER.to_vec() }
    }

    /// Makes room for so many bytes more.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
    }

    /// Adds an account.
    pub(crate) fn account(&mut self, probe: &ProbeId, account: &Account) {
        self.record(KIND_ACCOUNT, |bytes| {
            let id = probe.as_str().as_bytes();
            bytes.push(u8::try_from(id.len()).unwrap_or(u8::MAX)); // At most 200 bytes, by its type.
            bytes.extend_from_slice(id);
            account.encode(bytes);
        });
    }

    /// Adds the position up to which the journal is in the accounts.
    pub(crate) fn position(&mut self, position: Position) {
        self.record(KIND_POSITION, |bytes| {
            bytes.extend_from_slice(&position.segment.to_le_bytes());
            bytes.extend_from_slice(&position.offset.to_le_bytes());
        });
    }

    fn record(&mut self, kind: u8, payload: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(&MARK);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&[0; 6]);
        payload(&mut self.bytes);
        let Some(record) = self.bytes.get_mut(begin..) else { return };
        let Ok(length) = u16::try_from(record.len().saturating_sub(HEAD_BYTES)) else {
            self.bytes.truncate(begin); // An account has at most some kilobytes.
            return;
        };
        let [low, high] = length.to_le_bytes();
        let Some((head, payload)) = record.split_at_mut_checked(HEAD_BYTES) else { return };
        let crc = sum(kind, length, payload);
        if let [_, _, _, _, _, l, h, c @ ..] = head {
            (*l, *h) = (low, high);
            c.copy_from_slice(&crc.to_le_bytes());
        }
    }

    /// What was written so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written, and keeps its room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

fn sum(kind: u8, length: u16, payload: &[u8]) -> u32 {
    let [low, high] = length.to_le_bytes();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind, low, high]);
    hasher.update(payload);
    hasher.finalize()
}

/// One record of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AccountsEntry {
    /// An account; of several of a probe the last counts.
    Account(ProbeId, Account),
    /// Up to where the journal is in the accounts.
    Position(Position),
}

/// How much of a file could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AccountsContents {
    /// Stretches that are damaged.
    pub(crate) stretches_damaged: usize,
    /// Bytes in them.
    pub(crate) bytes_damaged: usize,
    /// Bytes of a last record that was being written.
    pub(crate) bytes_torn: usize,
    /// Whether a version before this one wrote it: it is to be rewritten before anything is appended.
    pub(crate) is_of_before: bool,
    /// Accounts that a later version wrote, which this one cannot read.
    pub(crate) of_later: usize,
}

/// Reads a file of any version, handing over each intact record in order.
pub(crate) fn read(file: &[u8], mut each: impl FnMut(AccountsEntry)) -> AccountsContents {
    let mut contents = AccountsContents::default();
    if file.is_empty() {
        return contents;
    }
    for (header, decode_account) in BEFORE {
        if let Some(records) = file.strip_prefix(header) {
            contents.is_of_before = true;
            read_before(records, decode_account, &mut contents, each);
            return contents;
        }
    }
    let mut rest = file;
    match file.strip_prefix(HEADER) {
        Some(records) => rest = records,
        // A header that is being written, or one that was damaged.
        None if HEADER.starts_with(file) => {
            contents.bytes_torn = file.len();
            return contents;
        }
        None => {}
    }
    let mut damaged = 0;
    while !rest.is_empty() {
        match split(rest) {
            Split::Record(kind, payload, after) => {
                contents.damage(std::mem::take(&mut damaged));
                match decode(kind, payload) {
                    Ok(entry) => each(entry),
                    Err(Unreadable::Later) => contents.of_later += 1,
                    Err(Unreadable::Damaged) => contents.damage(payload.len()),
                }
                rest = after;
            }
            Split::Short if next_mark(rest.get(1..).unwrap_or_default()).is_none() => {
                contents.damage(damaged);
                contents.bytes_torn = rest.len();
                return contents;
            }
            Split::Short | Split::None => {
                // On to where the next record may begin.
                let skipped = next_mark(rest.get(1..).unwrap_or_default()).map_or(rest.len(), |at| at + 1);
                damaged += skipped;
                rest = rest.get(skipped..).unwrap_or_default();
            }
        }
    }
    contents.damage(damaged);
    contents
}

impl AccountsContents {
    fn damage(&mut self, bytes: usize) {
        self.stretches_damaged += usize::from(bytes > 0);
        self.bytes_damaged += bytes;
    }
}

/// What bytes begin with.
enum Split<'a> {
    /// An intact record, and what follows it.
    Record(u8, &'a [u8], &'a [u8]),
    /// A mark, but fewer bytes than its record has.
    Short,
    /// No mark, or a wrong sum.
    None,
}

fn split(bytes: &[u8]) -> Split<'_> {
    let Some(rest) = bytes.strip_prefix(&MARK) else {
        return if MARK.starts_with(bytes) { Split::Short } else { Split::None };
    };
    let Some(([kind, low, high, crc @ ..], rest)) = rest.split_first_chunk::<7>() else {
        return Split::Short;
    };
    let length = u16::from_le_bytes([*low, *high]);
    let Some((payload, after)) = rest.split_at_checked(usize::from(length)) else { return Split::Short };
    if sum(*kind, length, payload) == u32::from_le_bytes(*crc) {
        Split::Record(*kind, payload, after)
    } else {
        Split::None
    }
}

/// Where the next mark is.
fn next_mark(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MARK.len()).position(|window| window == MARK)
}

/// Why an intact record cannot be used.
enum Unreadable {
    Later,
    Damaged,
}

fn decode(kind: u8, payload: &[u8]) -> Result<AccountsEntry, Unreadable> {
    match kind {
        KIND_ACCOUNT => {
            let (length, rest) = payload.split_first().ok_or(Unreadable::Damaged)?;
            let (id, account) = rest.split_at_checked(usize::from(*length)).ok_or(Unreadable::Damaged)?;
            let id = std::str::from_utf8(id).ok().and_then(|id| ProbeId::new(id).ok());
            let account = Account::decode(account).map_err(|error| match error {
                SnapshotError::Later(_) => Unreadable::Later,
                SnapshotError::Damaged => Unreadable::Damaged,
            })?;
            Ok(AccountsEntry::Account(id.ok_or(Unreadable::Damaged)?, account))
        }
        KIND_POSITION => {
            let (segment, rest) = payload.split_first_chunk::<8>().ok_or(Unreadable::Damaged)?;
            let offset = <[u8; 8]>::try_from(rest).map_err(|_| Unreadable::Damaged)?;
            let (segment, offset) = (u64::from_le_bytes(*segment), u64::from_le_bytes(offset));
            Ok(AccountsEntry::Position(Position { segment, offset }))
        }
        _ => Err(Unreadable::Later),
    }
}

/// Reads the records of versions 1 and 2. They have no mark: after damage each byte is tried.
fn read_before(
    mut rest: &[u8],
    decode_account: DecodeAccount,
    contents: &mut AccountsContents,
    mut each: impl FnMut(AccountsEntry),
) {
    let mut damaged = 0;
    while !rest.is_empty() {
        if let Some((entry, after)) = split_before(rest, decode_account) {
            contents.damage(std::mem::take(&mut damaged));
            each(entry);
            rest = after;
        } else {
            damaged += 1;
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    // A record cut short by the end of the process is no damage.
    if damaged > 0 && damaged < PAYLOAD_BYTES_MAX_BEFORE {
        contents.bytes_torn = damaged;
    } else {
        contents.damage(damaged);
    }
}

fn split_before(bytes: &[u8], decode_account: DecodeAccount) -> Option<(AccountsEntry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length == 0 || length > PAYLOAD_BYTES_MAX_BEFORE {
        return None;
    }
    let (payload, after) = rest.split_at_checked(length)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (probe, account) = postcard::take_from_bytes::<ProbeId>(payload).ok()?;
    let account = decode_account(account).ok()?;
    Some((AccountsEntry::Account(probe, account), after))
}

/// Reports damage in a file, which is copied aside for whoever wants to look; the next damaged one replaces it.
pub(crate) fn note_damage(file: &Path, contents: &AccountsContents, accounts: usize) {
    if contents.of_later > 0 {
        let (of_later, file) = (contents.of_later, file.display());
        tracing::error!(of_later, %file, "cannot read accounts written by a later version; their totals start again");
    }
    if contents.stretches_damaged == 0 {
        return;
    }
    let aside = file.with_extension("damaged");
    let copied = std::fs::copy(file, &aside);
    let (stretches, bytes) = (contents.stretches_damaged, contents.bytes_damaged);
    let (file, aside) = (file.display(), aside.display());
    tracing::error!(stretches, bytes, accounts, %file, copy = %aside, "accounts file corrupt; accounts in the corrupt parts are lost, all others are kept");
    if let Err(error) = copied {
        tracing::warn!(%error, "cannot copy the corrupt accounts file");
    }
}

#[cfg(test)]
mod tests;
