//! One file of a spool.
//!
//! Its header is 44 bytes: `kwapis1\0`, the identity of the spool (16 bytes), the number of its first message (u64), when it
//! was begun (Unix µs, u64), and the CRC-32 of those. Records follow: the length of the rest (u32), its CRC-32, and the rest,
//! which is the number (u64), the length of the topic (u16), the topic and the payload. All little end first.
//!
//! What cannot be read is passed over: the next record is where one can be read again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kwapi_core::{Timestamp, hex};

use super::Spooled;
use crate::message::PAYLOAD_BYTES_MAX;
use crate::transport::nats::Outgoing;

const MAGIC: &[u8; 8] = b"kwapis1\0";
pub(super) const HEADER_BYTES: usize = 44;
const SUFFIX: &str = ".spool";
/// Length and CRC of a record.
const HEAD_BYTES: usize = 8;
/// Number and length of the topic.
const BODY_BYTES_MIN: usize = 10;
/// The largest record: twice what a message may have, and its topic.
const BODY_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX + 1_024;
/// What is read of a file at once.
const WINDOW_BYTES: usize = 1 << 20;

pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:016x}{SUFFIX}"))
}

/// The first numbers of the segments in `directory`, in order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|stem| stem.len() == 16);
        numbers.extend(stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn header(id: &str, first: u64, begun: Timestamp) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let id = hex::decode(id).filter(|id| id.len() == 16).unwrap_or_else(|| vec![0; 16]);
    bytes.extend(id);
    bytes.extend(first.to_le_bytes());
    bytes.extend(begun.micros().to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// When a segment was begun, and how many bytes it has.
///
/// # Errors
/// When it is no segment of this spool.
pub(super) fn read_header(path: &Path, id: &str, first: u64) -> io::Result<(Timestamp, u64)> {
    let file = File::open(path)?;
    let mut found = [0; HEADER_BYTES];
    file.read_exact_at(&mut found, 0)?;
    let begun = u64_at(&found, 32).map(Timestamp::from_micros).unwrap_or_default();
    if found.as_slice() != header(id, first, begun) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no segment of this spool"));
    }
    Ok((begun, file.metadata()?.len()))
}

pub(super) fn write(spooled: &Spooled, out: &mut Vec<u8>) {
    let (topic, payload) = (spooled.message.topic().as_bytes(), spooled.message.payload());
    let mut body = Vec::with_capacity(BODY_BYTES_MIN + topic.len() + payload.len());
    body.extend(spooled.number.to_le_bytes());
    body.extend(u16::try_from(topic.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend(topic);
    body.extend_from_slice(payload);
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(crc32fast::hash(&body).to_le_bytes());
    out.extend(body);
}

/// A piece of a segment.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) messages: Vec<Spooled>,
    /// Where to continue.
    pub(super) offset: u64,
    /// Stretches that could not be read, with something after them that could.
    pub(super) damaged: u64,
}

/// Reads messages after `after` of a segment of `bytes` bytes, `count` at most, from a place on or from its begin.
///
/// # Errors
/// When the disk refuses.
pub(super) fn read(
    path: &Path,
    from: Option<u64>,
    bytes: u64,
    after: u64,
    count: usize,
) -> io::Result<Piece> {
    let file = File::open(path)?;
    let mut piece = Piece { offset: from.unwrap_or(HEADER_BYTES as u64), ..Piece::default() };
    let (mut after, mut is_damaged) = (after, false);
    while piece.messages.len() < count && piece.offset < bytes {
        let left = usize::try_from(bytes - piece.offset).unwrap_or(usize::MAX);
        let mut window = vec![0; left.min(WINDOW_BYTES)];
        file.read_exact_at(&mut window, piece.offset)?;
        let is_last = left <= WINDOW_BYTES;
        let mut at = 0;
        while piece.messages.len() < count {
            // Any record there is fits into what is left of the window, or it is read with the next.
            if at >= window.len() || (!is_last && window.len() - at < HEAD_BYTES + BODY_BYTES_MAX) {
                break;
            }
            let Some((spooled, length)) = record(window.get(at..).unwrap_or_default()) else {
                is_damaged = true;
                at += 1;
                continue;
            };
            at += length;
            piece.damaged += u64::from(std::mem::take(&mut is_damaged));
            // In what was damaged, something may look like an earlier record.
            if spooled.number > after {
                after = spooled.number;
                piece.messages.push(spooled);
            }
        }
        piece.offset += at as u64;
    }
    Ok(piece)
}

/// How many messages after `after` a segment has.
///
/// # Errors
/// When the disk refuses.
pub(super) fn count(path: &Path, bytes: u64, after: u64) -> io::Result<u64> {
    Ok(read(path, None, bytes, after, usize::MAX)?.messages.len() as u64)
}

/// The record that `bytes` begin with, and how many bytes it has.
fn record(bytes: &[u8]) -> Option<(Spooled, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(word(0)?).ok()?;
    if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&length) {
        return None;
    }
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES + length)?;
    if crc32fast::hash(body) != word(4)? {
        return None;
    }
    let number = u64_at(body, 0)?;
    let topic_length = usize::from(u16::from_le_bytes(body.get(8..BODY_BYTES_MIN)?.try_into().ok()?));
    let (topic, payload) = body.get(BODY_BYTES_MIN..)?.split_at_checked(topic_length)?;
    let topic = String::from_utf8(topic.to_vec()).ok()?;
    let message = Outgoing::from_parts(topic, Bytes::copy_from_slice(payload));
    Some((Spooled { number, message }, HEAD_BYTES + length))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
