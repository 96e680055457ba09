//! What lies in the state directory besides the journal: RRD files, the index of their names, the lock.

mod index;
mod lock;
mod updates;

pub(crate) use index::orphans;
pub use index::{Index, IndexContents, Known, file_stem};
pub use lock::{DirectoryInUse, DirectoryLock};
pub(crate) use updates::{FileSample, apply, apply_peaks, first_second, second_of};

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use uuid::Uuid;

use crate::rrd::{Consolidation, Definition};

/// The original's file: six archives of averages, 9 752 bytes.
pub const POWER: Definition<'static> = Definition {
    source: "w",
    step: 1,
    heartbeat: 600,
    min: 0.0,
    unknown_share_max: 0.5,
    archives: &[
        (Consolidation::Average, 1, 300),
        (Consolidation::Average, 10, 360),
        (Consolidation::Average, 900, 96),
        (Consolidation::Average, 7_200, 84),
        (Consolidation::Average, 21_600, 124),
        (Consolidation::Average, 604_800, 52),
    ],
};

/// The file beside it: the least and the most of the same rows. A row of one second needs neither.
pub(crate) const PEAKS: Definition<'static> = Definition {
    archives: &[
        (Consolidation::Min, 10, 360),
        (Consolidation::Min, 900, 96),
        (Consolidation::Min, 7_200, 84),
        (Consolidation::Min, 21_600, 124),
        (Consolidation::Min, 604_800, 52),
        (Consolidation::Max, 10, 360),
        (Consolidation::Max, 900, 96),
        (Consolidation::Max, 7_200, 84),
        (Consolidation::Max, 21_600, 124),
        (Consolidation::Max, 604_800, 52),
    ],
    ..POWER
};

/// The file the original would have used.
pub(crate) fn power_path(directory: &Path, stem: Uuid) -> PathBuf {
    directory.join(format!("{stem}.rrd"))
}

/// The file of peaks beside it.
pub(crate) fn peaks_path(directory: &Path, stem: Uuid) -> PathBuf {
    directory.join(format!("{stem}.peaks.rrd"))
}

/// The first file of RRD data in `directory` that this process may not write, and why; the directory itself where no
/// file can be made in it. It writes nothing.
///
/// # Errors
/// When the directory cannot be read.
pub fn unwritable(directory: &Path) -> io::Result<Option<(PathBuf, io::Error)>> {
    let may_write = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).map_err(io::Error::from);
    if let Err(error) = may_write(directory) {
        return Ok(Some((directory.to_owned(), error)));
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "rrd") {
            let refused = if entry.file_type()?.is_dir() {
                Some(io::ErrorKind::IsADirectory.into())
            } else {
                may_write(&entry.path()).err()
            };
            if let Some(error) = refused {
                return Ok(Some((entry.path(), error)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
