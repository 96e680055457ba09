//! A state directory of another version: what a later one wrote is left alone, and of what an older one wrote a copy is kept
//! before this version uses it (ADR 0036).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;

use crate::backup::{BackupError, Copying, LIST, beside, copy_records, remove, sync_folder};
use crate::journal::Position;
use crate::state_version::{PROGRAM, is_newer, record, series, written};
use crate::store::{DirectoryInUse, DirectoryLock};

/// The last version that did not record itself.
const UNRECORDED: &str = "0.1.0";
/// What is kept from before an upgrade is named by this and the version that upgraded.
const BEFORE: &str = "before-";
/// What a state directory may have, any of which shows that it was used.
const PARTS: [&str; 4] = ["history", "api/accounts.log", "rrd/accounts.log", "drivers/sessions"];

/// Why a state directory is left alone.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A later version wrote it.
    #[error("state directory {directory} was written by kwapi {wrote}, which is newer than this one ({program}); install kwapi {wrote} or later{}", otherwise(.copy.as_deref()), program = PROGRAM)]
    Newer {
        /// Which directory.
        directory: PathBuf,
        /// The version that wrote it.
        wrote: String,
        /// What that version kept of the records before it changed them.
        copy: Option<PathBuf>,
    },
    /// The records cannot be kept as they are.
    #[error("cannot keep a copy of the records in {0} before this version changes them; make room for it, or copy them elsewhere (kwapi backup) and write {program} to {0}/version", program = PROGRAM)]
    NoCopy(PathBuf, #[source] BackupError),
    /// Another process upgrades it.
    #[error(transparent)]
    InUse(#[from] DirectoryInUse),
}

fn otherwise(copy: Option<&Path>) -> String {
    copy.map(|copy| {
        format!(", or go back to the records from before: kwapi restore {} --replace", copy.display())
    })
    .unwrap_or_default()
}

/// What became of a state directory that is to be used.
#[derive(Debug, Default)]
pub struct StateTaken {
    /// The older version that wrote it.
    pub from: Option<String>,
    /// What is kept of the records as that version left them.
    pub copy: Option<PathBuf>,
    /// Why it does not hold what it should, though it can be read.
    pub trouble: Option<String>,
}

/// Refuses a state directory that a later version wrote. Changes nothing.
///
/// # Errors
/// [`StateError::Newer`].
pub fn refuse_newer(state: &Path) -> Result<(), StateError> {
    match written(state).filter(|version| is_newer(version)) {
        None => Ok(()),
        Some(wrote) => Err(StateError::Newer {
            copy: Some(place(state, &wrote)).filter(|copy| copy.join(LIST).is_file()),
            directory: state.to_owned(),
            wrote,
        }),
    }
}

/// Makes a state directory this version's before anything there is opened: one that an older version wrote after a copy of
/// its records was made there, of which the newest is kept. `stands_at` is as for [`back_up`](crate::back_up).
///
/// A directory that cannot be written to is used as it is.
///
/// # Errors
/// See [`StateError`]; nothing has changed then.
pub fn take(
    state: &Path,
    now: Timestamp,
    stands_at: impl Fn(&Path) -> Position,
) -> Result<StateTaken, StateError> {
    refuse_newer(state)?;
    let mut taken = StateTaken::default();
    let is_used = PARTS.iter().any(|part| state.join(part).exists());
    if is_used && needs_upgrade(state) {
        let lock = match DirectoryLock::wait(state) {
            Ok(lock) => lock,
            Err(DirectoryInUse::Io(_, error)) if cannot_be_written(&error) => {
                taken.trouble = Some(error.to_string());
                return Ok(taken);
            }
            Err(error) => return Err(error.into()),
        };
        // Another process may have done it meanwhile, even one of a later version.
        refuse_newer(state)?;
        if needs_upgrade(state) {
            taken.from = Some(written(state).unwrap_or_else(|| UNRECORDED.to_owned()));
            match keep_copy(state, now, stands_at) {
                Ok(copy) => taken.copy = copy,
                Err(BackupError::Io(_, error)) if cannot_be_written(&error) => {
                    taken.trouble = Some(error.to_string());
                    return Ok(taken);
                }
                Err(error) => return Err(StateError::NoCopy(state.to_owned(), error)),
            }
        }
        note(state, &mut taken);
        drop(lock);
    } else if written(state).as_deref() != Some(PROGRAM) {
        note(state, &mut taken);
    }
    Ok(taken)
}

/// Whether its records are of an older version, or there is no record of which.
fn needs_upgrade(state: &Path) -> bool {
    written(state).is_none_or(|version| series(&version) < series(PROGRAM))
}

fn cannot_be_written(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Where the records from before the upgrade to a version are kept.
fn place(state: &Path, version: &str) -> PathBuf {
    state.join(format!("{BEFORE}{version}"))
}

/// Keeps the records as they are, and nothing that was kept before; `None` where there are none.
fn keep_copy(
    state: &Path,
    now: Timestamp,
    stands_at: impl Fn(&Path) -> Position,
) -> Result<Option<PathBuf>, BackupError> {
    let copy = place(state, PROGRAM);
    let next = beside(&copy, "next");
    remove(&next)?;
    match copy_records(state, &next, now, stands_at, Copying::Linked) {
        Ok(_) => {}
        Err(BackupError::Nothing(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let failed = |error| BackupError::Io(state.to_owned(), error);
    for entry in fs::read_dir(state).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_former = name.strip_prefix(BEFORE).is_some_and(|version| series(version).is_some());
        if is_former && path != next && path.join(LIST).is_file() {
            remove(&path)?;
        }
    }
    fs::rename(&next, &copy).map_err(failed)?;
    sync_folder(Some(state))?;
    Ok(Some(copy))
}

/// Records that the directory is this version's, as far as that can be written.
fn note(state: &Path, taken: &mut StateTaken) {
    let noted = fs::create_dir_all(state).and_then(|()| record(state, Some(PROGRAM)));
    taken.trouble = noted.err().map(|error| error.to_string());
}

#[cfg(test)]
mod tests;
