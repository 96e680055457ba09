//! RRD files on disk, under the lock RRDtool takes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::format::FILE_BYTES_MAX;
use super::{Rrd, RrdError};

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RrdFileError {
    /// Another program is updating it: try again.
    #[error("{0} is locked by another program")]
    Locked(PathBuf),
    /// The disk said no: try again later.
    #[error("cannot use {0}")]
    Io(PathBuf, #[source] io::Error),
    /// It is no RRD: set it aside.
    #[error("{0} is unusable")]
    Unusable(PathBuf, #[source] RrdError),
}

/// Reads a whole file without a lock, as `rrdtool fetch` does.
///
/// # Errors
/// See [`RrdFileError`].
pub fn read(path: &Path) -> Result<Rrd, RrdFileError> {
    let mut file = File::open(path).map_err(|error| RrdFileError::Io(path.to_owned(), error))?;
    parse(&mut file, path)
}

/// Opens a file, locks it, lets `change` update it and writes what changed: rows first, then the header that points at
/// them, so that a program killed in between leaves the file as it was before.
///
/// # Errors
/// See [`RrdFileError`].
pub fn amend<T>(path: &Path, change: impl FnOnce(&mut Rrd) -> T) -> Result<T, RrdFileError> {
    let io = |error| RrdFileError::Io(path.to_owned(), error);
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    // Given back when the file is closed. No other handle of it may be closed in this process meanwhile.
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS => RrdFileError::Locked(path.to_owned()),
        error => io(error.into()),
    })?;
    let mut rrd = parse(&mut file, path)?;
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
/// When the disk says no.
pub fn create(path: &Path, rrd: &Rrd) -> Result<(), RrdFileError> {
    let io = |error| RrdFileError::Io(path.to_owned(), error);
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, rrd.to_bytes()).map_err(io)?;
    std::fs::rename(&unfinished, path).map_err(io)
}

fn parse(file: &mut File, path: &Path) -> Result<Rrd, RrdFileError> {
    let mut bytes = Vec::with_capacity(16 << 10);
    // One byte more than allowed, so that a longer file shows.
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| RrdFileError::Io(path.to_owned(), error))?;
    let parsed = if bytes.len() as u64 > FILE_BYTES_MAX {
        Err(RrdError::Impossible("size"))
    } else {
        Rrd::parse(&bytes)
    };
    parsed.map_err(|error| RrdFileError::Unusable(path.to_owned(), error))
}
