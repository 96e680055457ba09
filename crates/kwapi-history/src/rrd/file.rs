//! RRD files on disk, under the lock RRDtool takes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::format::FILE_BYTES_MAX;
use super::{Rrd, RrdError};

/// More than a file of ours has: 9 752 bytes of averages, 13 912 of peaks.
const USUAL_BYTES: usize = 16 << 10;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RrdFileError {
    /// Another program is updating it: try again.
    #[error("{0} is locked by another program")]
    Locked(PathBuf),
    /// The disk refused: try again later.
    #[error("cannot use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// It is no RRD: set it aside.
    #[error("unusable RRD file {0}")]
    Unusable(PathBuf, #[source] RrdError),
}

/// Reads a whole file without a lock, as `rrdtool fetch` does.
///
/// # Errors
/// See [`RrdFileError`].
pub fn read(path: &Path) -> Result<Rrd, RrdFileError> {
    let file = File::open(path).map_err(|error| RrdFileError::Io(path.to_owned(), error))?;
    parse(&file, path)
}

/// Opens a file, locks it, lets `change` update it and writes what changed: rows first, then the header that points at
/// them, so that a program killed in between leaves the file as it was before.
///
/// # Errors
/// See [`RrdFileError`].
pub fn amend<T>(path: &Path, change: impl FnOnce(&mut Rrd) -> T) -> Result<T, RrdFileError> {
    let io = |error| RrdFileError::Io(path.to_owned(), error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    // Given back when the file is closed. No other handle of it may be closed in this process meanwhile.
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS => RrdFileError::Locked(path.to_owned()),
        error => io(error.into()),
    })?;
    let mut rrd = parse(&file, path)?;
    let before = rrd.last_update();
    let outcome = change(&mut rrd);
    if rrd.last_update() != before {
        for (at, bytes) in rrd.unwritten_rows() {
            file.write_all_at(&bytes, at as u64).map_err(io)?;
        }
        file.write_all_at(&rrd.changing_head(), rrd.definition_bytes() as u64).map_err(io)?;
        rrd.mark_written();
    }
    Ok(outcome)
}

/// Writes a new file, which appears whole or not at all. One of the same name is replaced.
///
/// # Errors
/// When the disk refuses.
pub fn create(path: &Path, rrd: &Rrd) -> Result<(), RrdFileError> {
    let io = |error| RrdFileError::Io(path.to_owned(), error);
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, rrd.to_bytes()).map_err(io)?;
    std::fs::rename(&unfinished, path).map_err(io)
}

fn parse(file: &File, path: &Path) -> Result<Rrd, RrdFileError> {
    // A file of ours comes with one call of the system; a larger one with more.
    let mut bytes = vec![0; USUAL_BYTES];
    let mut filled = 0;
    loop {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        match file.read_at(rest, filled as u64) {
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(RrdFileError::Io(path.to_owned(), error)),
        }
        if filled < bytes.len() || filled as u64 > FILE_BYTES_MAX {
            break;
        }
        bytes.resize(2 * bytes.len(), 0);
    }
    bytes.truncate(filled);
    let parsed =
        if filled as u64 > FILE_BYTES_MAX { Err(RrdError::Impossible("size")) } else { Rrd::parse(&bytes) };
    parsed.map_err(|error| RrdFileError::Unusable(path.to_owned(), error))
}
