//! What of the journal cannot be read any more: how it is reported, and where its bytes are kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;

use super::Position;

/// How much of a damaged stretch is kept aside…
const ASIDE_BYTES_MAX: u64 = 1 << 20;
/// …and of how many stretches. More are only reported.
const ASIDE_FILES_MAX: usize = 64;
const SUFFIX: &str = ".damaged";

/// A stretch of the journal that a reader does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where it begins.
    pub from: Position,
    /// Where it ends: reading continues there.
    pub to: Position,
    /// How many records it had, where that can still be determined.
    pub records: Option<u64>,
    /// The newest stamp read before it.
    pub after: Option<Timestamp>,
    /// The oldest stamp in what comes after it.
    pub before: Option<Timestamp>,
    /// Why.
    pub cause: LossCause,
}

/// Why a stretch is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LossCause {
    /// The bytes on the disk are not those that were written.
    Damage,
    /// It was deleted for want of room before the reader had committed it.
    Retention,
    /// Somebody else removed the file.
    Missing,
    /// A later version of Kwapi wrote it in a way that this one cannot read.
    LaterVersion,
}

/// Copies the bytes of a damaged stretch, `from` to `to`, to a file beside its segment, for whoever wants to look. `None`
/// where it is there already, or there are many.
pub(super) fn keep_aside(segment: &Path, from: u64, to: u64) -> io::Result<Option<PathBuf>> {
    let directory = segment.parent().unwrap_or(Path::new(""));
    let number = segment.file_stem().unwrap_or_default().to_string_lossy();
    let path = directory.join(format!("{number}-{from:x}{SUFFIX}"));
    if path.exists() || count_aside(directory)? >= ASIDE_FILES_MAX {
        return Ok(None);
    }
    let count = usize::try_from(to.saturating_sub(from).min(ASIDE_BYTES_MAX)).unwrap_or(0);
    let mut bytes = vec![0; count];
    let read = File::open(segment)?.read_at(&mut bytes, from)?;
    bytes.truncate(read);
    std::fs::write(&path, bytes)?;
    Ok(Some(path))
}

fn count_aside(directory: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory)? {
        count += usize::from(entry?.file_name().to_string_lossy().ends_with(SUFFIX));
    }
    Ok(count)
}
