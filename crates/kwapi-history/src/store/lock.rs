//! One owner per state directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

const FILE: &str = "kwapi.lock";

/// Holds a directory until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why a directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryInUse {
    /// Another process has it.
    #[error(
        "{directory} belongs to a running kwapi (process {owner}): stop that one, or give this one another directory"
    )]
    Taken {
        /// Which directory.
        directory: PathBuf,
        /// The other's process id, as it wrote it down.
        owner: String,
    },
    /// The lock file cannot be made.
    #[error("cannot lock {0}")]
    Io(PathBuf, #[source] io::Error),
}

impl DirectoryLock {
    /// Takes `directory`, which must exist.
    ///
    /// # Errors
    /// See [`DirectoryInUse`].
    pub fn take(directory: &Path) -> Result<Self, DirectoryInUse> {
        let io = |error| DirectoryInUse::Io(directory.to_owned(), error);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE))
            .map_err(io)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(io(error.into()));
            }
            let mut owner = String::new();
            _ = (&file).take(20).read_to_string(&mut owner);
            let owner = owner.trim().to_owned();
            return Err(DirectoryInUse::Taken { directory: directory.to_owned(), owner });
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}
