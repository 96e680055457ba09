//! One file of the journal.
//!
//! Its header is 24 bytes: `kwapij1\0`, its number (u64) and when it was begun (Unix µs, u64).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;

use super::Record;
use super::record::{BLOCK_BYTES_MAX, BLOCK_HEAD_BYTES, Decoder};

const MAGIC: &[u8; 8] = b"kwapij1\0";
const HEADER_LENGTH: usize = 24;
pub(super) const HEADER_BYTES: u64 = HEADER_LENGTH as u64;
const SUFFIX: &str = ".journal";

pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}{SUFFIX}"))
}

/// The numbers of the segments in `directory`, oldest first.
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

pub(super) fn header(number: u64, begun: Timestamp) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(number.to_le_bytes());
    bytes.extend(begun.micros().to_le_bytes());
    bytes
}

/// Puts a block's length and CRC before its payload, for which `block` has kept room.
pub(super) fn seal(block: &mut [u8]) {
    let Some((head, payload)) = block.split_at_mut_checked(BLOCK_HEAD_BYTES) else { return };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let crc = crc32fast::hash(payload).to_le_bytes();
    for (slot, byte) in head.iter_mut().zip(length.into_iter().chain(crc)) {
        *slot = byte;
    }
}

/// How reading on has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Records were read.
    Block,
    /// There is nothing more, yet.
    End,
    /// What follows is cut or damaged; nothing after it can be read.
    Damaged,
}

/// Reads a segment from its beginning.
pub(super) struct SegmentReader<R> {
    input: R,
    decoder: Decoder,
    /// Where the next block begins.
    position: u64,
    payload: Vec<u8>,
}

impl SegmentReader<BufReader<File>> {
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        Self::new(BufReader::with_capacity(256 << 10, File::open(path)?))
    }
}

impl<R: Read> SegmentReader<R> {
    /// `None` when it does not begin as a segment does.
    pub(super) fn new(mut input: R) -> io::Result<Option<Self>> {
        let mut header = [0; HEADER_LENGTH];
        if fill(&mut input, &mut header)? < header.len() || !header.starts_with(MAGIC) {
            return Ok(None);
        }
        Ok(Some(Self { input, decoder: Decoder::default(), position: HEADER_BYTES, payload: Vec::new() }))
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next block, which may be empty of samples. After anything but [`Next::Block`] the reader is spent.
    pub(super) fn next(&mut self, records: &mut Vec<Record>) -> io::Result<Next> {
        let mut head = [0; BLOCK_HEAD_BYTES];
        let read = fill(&mut self.input, &mut head)?;
        if read < head.len() {
            return Ok(if read == 0 { Next::End } else { Next::Damaged });
        }
        let [a, b, c, d, crc @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 || length > BLOCK_BYTES_MAX {
            return Ok(Next::Damaged);
        }
        self.payload.resize(length, 0);
        let read = fill(&mut self.input, &mut self.payload)?;
        let intact = read == length && crc32fast::hash(&self.payload) == u32::from_le_bytes(crc);
        if !intact || self.decoder.block(&self.payload, records).is_none() {
            return Ok(Next::Damaged);
        }
        self.position += (BLOCK_HEAD_BYTES + length) as u64;
        Ok(Next::Block)
    }
}

/// Reads until `buffer` is full or the input ends; says how much.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
