//! What a process finds of the journal that those before it left.

use std::io;
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;

use super::damage::Lost;
use super::segment::{self, SegmentReader, Step};
use super::state::{Closed, JournalState};
use super::{JournalConfig, Position, position};
use crate::store::DirectoryInUse;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error(transparent)]
    InUse(#[from] DirectoryInUse),
    /// What is there cannot be read. (That nothing can be written prevents nothing: see [`Journal::trouble`].)
    #[error("cannot open history in {0}")]
    Io(PathBuf, #[source] io::Error),
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of an append that a crash had cut short; they were cut off.
    pub torn_bytes: u64,
    /// Damage in the newest segment, which was looked through. Damage elsewhere is reported to whoever reads it.
    pub lost: Vec<Lost>,
    /// Readers whose position could not be read: they begin at the oldest record.
    pub positions_damaged: Vec<String>,
    /// Readers that had committed more than there is (a power failure took it from the journal, not from them). They
    /// continue with what is appended now.
    pub ahead: Vec<(String, Position)>,
}

/// Looks through what is there: the segments, and the number of the next one.
pub(super) fn open_files(
    folder: &Path,
    config: JournalConfig,
    now: Timestamp,
) -> io::Result<(JournalState, u64, Opened)> {
    let mut opened = Opened::default();
    let mut state = JournalState::default();
    let numbers = segment::list(folder)?;
    for number in &numbers {
        let metadata = std::fs::metadata(segment::path(folder, *number))?;
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let until = modified.map_or(now, |since| Timestamp::EPOCH.after(since));
        let mut bytes = metadata.len();
        if Some(number) == numbers.last() {
            let is_empty;
            (bytes, is_empty) = close_last(folder, *number, bytes, &mut opened)?;
            if is_empty {
                // A process that starts over and over leaves no trail.
                _ = std::fs::remove_file(segment::path(folder, *number));
                continue;
            }
        }
        state.closed.push_back(Closed { number: *number, bytes, until });
    }
    let end = state.closed.back().map_or(Position::default(), Closed::end);
    let found = if folder.exists() { position::find(folder)? } else { Vec::new() };
    let places = found.iter().filter_map(|found| found.place.map(|(position, _)| position));
    let newest = places.clone().chain([end, config.known]).max().unwrap_or_default();
    let nothing_was = numbers.is_empty() && newest == Position::default();
    let after = numbers.last().copied().unwrap_or_default().max(newest.segment);
    let number = if nothing_was { 0 } else { after.saturating_add(1) };
    state.end = Position { segment: number, offset: 0 };
    for found in found {
        match found.place {
            None => {
                tracing::error!(reader = %found.name, "journal reader position corrupt; reading from the oldest record");
                opened.positions_damaged.push(found.name);
            }
            Some((position, need)) => {
                let mut place = position;
                if position > end {
                    opened.ahead.push((found.name.clone(), position));
                    place = state.end;
                }
                state.hold(found.name, place, need, found.committed);
            }
        }
    }
    state.opened = now;
    state.counters.positions_damaged = opened.positions_damaged.len() as u64;
    state.counters.bytes_torn = opened.torn_bytes;
    if !opened.ahead.is_empty() {
        tracing::warn!(readers = ?opened.ahead, "the end of the journal is lost; readers had committed beyond it");
    }
    Ok((state, number, opened))
}

/// Looks through the newest segment, cuts off what a crash left of an append, and returns how long it is and whether
/// nothing is in it.
fn close_last(folder: &Path, number: u64, bytes: u64, opened: &mut Opened) -> io::Result<(u64, bool)> {
    let mut reader = SegmentReader::open(folder, number, 0)?;
    let mut is_empty = true;
    let at = |offset| Position { segment: number, offset };
    loop {
        match reader.next(bytes)? {
            Step::Batch { .. } => is_empty = false,
            Step::End => return Ok((bytes, is_empty)),
            Step::Torn { from } => {
                opened.torn_bytes = bytes - from;
                tracing::info!(
                    segment = number,
                    bytes = bytes - from,
                    "incomplete journal append removed after a crash"
                );
                let cut = std::fs::OpenOptions::new().write(true).open(segment::path(folder, number));
                let cut = cut.and_then(|file| file.set_len(from));
                return Ok((if cut.is_ok() { from } else { bytes }, is_empty));
            }
            Step::Lost { from, to, records, cause } => {
                is_empty = false;
                let (from, to) = (at(from), at(to));
                opened.lost.push(Lost { from, to, records, after: None, before: None, cause });
            }
        }
    }
}
