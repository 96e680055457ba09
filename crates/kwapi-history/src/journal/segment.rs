//! One file of the journal, read from any block on.
//!
//! Its header is 28 bytes: `kwapij2\0`, its number (u64), when it was begun (Unix µs, u64) and the CRC-32 of those.
//! The first version's, `kwapij1\0`, has no CRC. Blocks follow, see [`super::block`] and [`super::released`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;

use super::block::{self, BlockHead, Unusable};
use super::damage::LossCause;
use super::{Credited, record, released};

const MAGIC: &[u8; 8] = b"kwapij2\0";
const MAGIC_FIRST: &[u8; 8] = b"kwapij1\0";
const HEADER_LENGTH: usize = 28;
pub(super) const HEADER_BYTES: u64 = HEADER_LENGTH as u64;
const HEADER_BYTES_FIRST: u64 = 24;
const SUFFIX: &str = ".journal";
/// How much of a file is read at once.
const WINDOW_BYTES: usize = 256 << 10;
/// Records of one batch that are held back until it is known to be whole; a larger batch is handed over in parts.
const BATCH_RECORDS_MAX: usize = 1 << 19;

pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}{SUFFIX}"))
}

/// The numbers of the segments in `directory`, oldest first; none where there is no such directory.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        entries => entries?,
    };
    for entry in entries {
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
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// What comes next in a segment.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A whole batch, or what is left of one that was damaged.
    Batch {
        records: Vec<Credited>,
        /// Where it ends.
        end: u64,
    },
    /// Cannot be read; what follows may be.
    Lost { from: u64, to: u64, records: Option<u64>, cause: LossCause },
    /// From here on is what a crash left of an append.
    Torn { from: u64 },
    /// Nothing, yet.
    End,
}

/// Where a segment's bytes come from.
pub(super) trait SegmentSource {
    fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<usize>;
}

impl SegmentSource for File {
    fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, place)
    }
}

impl SegmentSource for &[u8] {
    fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
        let rest = usize::try_from(place).ok().and_then(|place| self.get(place..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (slot, byte) in buffer.iter_mut().zip(rest) {
            *slot = *byte;
        }
        Ok(count)
    }
}

/// The two versions there are.
#[derive(Debug)]
enum Blocks {
    First(released::ReleasedDecoder),
    Second(record::RecordDecoder),
}

/// Reads a segment.
#[derive(Debug)]
pub(super) struct SegmentReader<S> {
    source: S,
    number: u64,
    blocks: Blocks,
    /// Where the next block begins.
    place: u64,
    /// What was appended before this is passed over; the first version is read from its beginning all the same.
    from: u64,
    window: Window,
    pending: Vec<Credited>,
    pending_from: u64,
    queued: Option<Step>,
}

/// A piece of the file.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    begin: u64,
}

impl SegmentReader<File> {
    pub(super) fn open(directory: &Path, number: u64, from: u64) -> io::Result<Self> {
        Self::new(File::open(path(directory, number))?, number, from)
    }
}

impl<S: SegmentSource> SegmentReader<S> {
    /// A reader of segment `number` that begins at the place `from`, or at the first block.
    pub(super) fn new(source: S, number: u64, from: u64) -> io::Result<Self> {
        let is_first = {
            let mut window = Window::default();
            let bytes = window.get(&source, 0, WINDOW_BYTES, u64::MAX)?;
            // A damaged header costs nothing: the first block states the version.
            bytes.starts_with(MAGIC_FIRST)
                || !bytes.starts_with(MAGIC) && begins_with_a_block_of_the_first_version(bytes)
        };
        let (blocks, place) = if is_first {
            (Blocks::First(released::ReleasedDecoder::default()), HEADER_BYTES_FIRST)
        } else {
            (Blocks::Second(record::RecordDecoder::default()), from.max(HEADER_BYTES))
        };
        let (window, pending, queued) = (Window::default(), Vec::new(), None);
        Ok(Self { source, number, blocks, place, from, window, pending, pending_from: place, queued })
    }

    /// Reads on, up to the place `limit`: the end of the file, or what was appended by now.
    pub(super) fn next(&mut self, limit: u64) -> io::Result<Step> {
        if let Some(queued) = self.queued.take() {
            return Ok(queued);
        }
        loop {
            let begin = self.place;
            let (step, is_last) = match &self.blocks {
                Blocks::First(_) => (self.block_of_first_version(limit)?, true),
                Blocks::Second(_) => self.block(limit)?,
            };
            match step {
                Step::Batch { end, .. } if end <= self.from => {}
                Step::Batch { mut records, end } => {
                    if self.pending.is_empty() {
                        if is_last {
                            return Ok(Step::Batch { records, end });
                        }
                        self.pending_from = begin;
                    }
                    self.pending.append(&mut records);
                    if is_last || self.pending.len() >= BATCH_RECORDS_MAX {
                        return Ok(Step::Batch { records: std::mem::take(&mut self.pending), end });
                    }
                }
                lost @ Step::Lost { .. } if !self.pending.is_empty() => {
                    // Whether its last block was the damaged one, is unknown: what is intact is returned.
                    self.queued = Some(lost);
                    return Ok(Step::Batch { records: std::mem::take(&mut self.pending), end: begin });
                }
                Step::Torn { .. } | Step::End if !self.pending.is_empty() => {
                    self.pending.clear();
                    (self.place, self.queued) = (self.pending_from, None);
                    return Ok(Step::Torn { from: self.pending_from });
                }
                step => return Ok(step),
            }
        }
    }

    /// The next block, and whether it is the last of its batch.
    fn block(&mut self, limit: u64) -> io::Result<(Step, bool)> {
        let from = self.place;
        if from >= limit {
            return Ok((Step::End, false));
        }
        let bytes = self.window.get(&self.source, from, block::HEAD_BYTES, limit)?;
        let Some(head) = BlockHead::parse(bytes, self.number, from) else {
            if bytes.len() < block::HEAD_BYTES {
                return Ok((Step::Torn { from }, false));
            }
            return Ok((self.resume_after(from, limit)?, false));
        };
        let begin = from + block::HEAD_BYTES as u64;
        let payload = self.window.get(&self.source, begin, head.payload_bytes, limit)?;
        if payload.len() < head.payload_bytes {
            return Ok((Step::Torn { from }, false));
        }
        let Blocks::Second(decoder) = &mut self.blocks else { return Ok((Step::End, false)) };
        let end = begin + head.payload_bytes as u64;
        let step = match head.read(payload, decoder) {
            Ok(records) => Step::Batch { records, end },
            Err(unusable) => {
                let cause = match unusable {
                    Unusable::Damaged => LossCause::Damage,
                    Unusable::Later => LossCause::LaterVersion,
                };
                Step::Lost { from, to: end, records: Some(u64::from(head.records)), cause }
            }
        };
        self.place = end;
        Ok((step, head.is_last))
    }

    /// Finds the next block after one whose head is damaged.
    fn resume_after(&mut self, from: u64, limit: u64) -> io::Result<Step> {
        let mut is_blank = true;
        let mut at = from;
        while at < limit {
            let bytes = self.window.get(&self.source, at, WINDOW_BYTES, limit)?;
            is_blank &= bytes.iter().all(|byte| *byte == 0);
            let mut search = usize::from(at == from);
            while let Some(found) = block::find_mark(bytes, search) {
                let place = at + found as u64;
                let head = bytes.get(found..).and_then(|bytes| BlockHead::parse(bytes, self.number, place));
                if head.is_some() {
                    self.place = place;
                    return Ok(Step::Lost { from, to: place, records: None, cause: LossCause::Damage });
                }
                search = found + 1;
            }
            if bytes.len() < WINDOW_BYTES {
                break;
            }
            // The next head may begin in the last bytes of this window.
            at += (bytes.len() - block::HEAD_BYTES) as u64;
        }
        if is_blank {
            // A power failure leaves a file that has grown, and nothing in it.
            return Ok(Step::Torn { from });
        }
        self.place = limit;
        Ok(Step::Lost { from, to: limit, records: None, cause: LossCause::Damage })
    }

    fn block_of_first_version(&mut self, limit: u64) -> io::Result<Step> {
        let from = self.place;
        if from >= limit {
            return Ok(Step::End);
        }
        let lost =
            Step::Lost { from: from.max(self.from), to: limit, records: None, cause: LossCause::Damage };
        let bytes = self.window.get(&self.source, from, released::HEAD_BYTES, limit)?;
        let Some((length, crc)) = released::head(bytes) else {
            self.place = limit;
            return Ok(lost);
        };
        let begin = from + released::HEAD_BYTES as u64;
        let payload = self.window.get(&self.source, begin, length, limit)?;
        let Blocks::First(decoder) = &mut self.blocks else { return Ok(Step::End) };
        let records = if payload.len() < length { None } else { decoder.block(payload, crc) };
        self.place = if records.is_some() { begin + length as u64 } else { limit };
        Ok(records.map_or(lost, |records| Step::Batch { records, end: self.place }))
    }
}

fn begins_with_a_block_of_the_first_version(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.get(24..) else { return false };
    let Some((length, crc)) = released::head(bytes) else { return false };
    let payload = bytes.get(released::HEAD_BYTES..).and_then(|bytes| bytes.get(..length));
    payload.is_some_and(|payload| crc32fast::hash(payload) == crc)
}

impl Window {
    /// `count` bytes from `place` on, fewer where the file or `limit` ends.
    fn get(
        &mut self,
        source: &impl SegmentSource,
        place: u64,
        count: usize,
        limit: u64,
    ) -> io::Result<&[u8]> {
        let count = usize::try_from(limit.saturating_sub(place)).unwrap_or(usize::MAX).min(count);
        let here = |window: &Self| {
            let offset = usize::try_from(place.checked_sub(window.begin)?).ok()?;
            let end = offset.checked_add(count)?;
            (end <= window.bytes.len()).then_some(offset..end)
        };
        if here(self).is_none() {
            let wanted = usize::try_from(limit.saturating_sub(place)).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            self.bytes.resize(wanted.max(count), 0);
            self.begin = place;
            let mut filled = 0;
            while let Some(rest) = self.bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match source.read_at(rest, place + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        self.bytes.clear();
                        return Err(error);
                    }
                }
            }
            self.bytes.truncate(filled);
        }
        let range = here(self).unwrap_or(0..self.bytes.len().min(count));
        Ok(self.bytes.get(range).unwrap_or_default())
    }
}
