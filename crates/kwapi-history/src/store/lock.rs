//! One owner per state directory.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
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
    #[error("{directory} is in use by another kwapi (process {owner}); stop it, or use another directory")]
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
        Self::take_by(directory, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes `directory`, which must exist, as soon as nobody else has it.
    ///
    /// # Errors
    /// See [`DirectoryInUse`].
    pub(crate) fn wait(directory: &Path) -> Result<Self, DirectoryInUse> {
        Self::take_by(directory, FlockOperation::LockExclusive)
    }

    fn take_by(directory: &Path, operation: FlockOperation) -> Result<Self, DirectoryInUse> {
        let failed = |error| DirectoryInUse::Io(directory.to_owned(), error);
        let path = directory.join(FILE);
        let file = match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path) {
            Ok(file) => file,
            // On a disk that is full or read-only: the file that is there, or the directory itself, locks as well.
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::ReadOnlyFilesystem) => {
                File::open(&path).or_else(|_| File::open(directory)).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        lock(directory, &file, operation)?;
        // Only for who finds it taken; a full disk does not matter.
        let owner = format!("{}\n", std::process::id());
        if file.write_all_at(owner.as_bytes(), 0).is_ok() {
            _ = file.set_len(owner.len() as u64);
        }
        Ok(Self { _file: file })
    }

    /// Holds `directory` together with others that only read there. Writes nothing; where nobody ever took it, there is
    /// nothing to hold.
    ///
    /// # Errors
    /// See [`DirectoryInUse`].
    pub(crate) fn share(directory: &Path) -> Result<Option<Self>, DirectoryInUse> {
        let file = match File::open(directory.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DirectoryInUse::Io(directory.to_owned(), error)),
        };
        lock(directory, &file, FlockOperation::NonBlockingLockShared)?;
        Ok(Some(Self { _file: file }))
    }
}

fn lock(directory: &Path, file: &File, operation: FlockOperation) -> Result<(), DirectoryInUse> {
    let Err(error) = flock(file, operation) else { return Ok(()) };
    if error != rustix::io::Errno::WOULDBLOCK {
        return Err(DirectoryInUse::Io(directory.to_owned(), error.into()));
    }
    let mut owner = String::new();
    _ = file.take(20).read_to_string(&mut owner);
    let owner = owner.trim().to_owned();
    Err(DirectoryInUse::Taken { directory: directory.to_owned(), owner })
}
