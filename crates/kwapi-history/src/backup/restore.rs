//! Putting a backup in the place of records, so that a kill leaves either the old ones or the new.
//!
//! All is copied beside its place and put on the disk; then a note of what changes places is written, and from that moment
//! the new records count. Whoever opens the directory next completes what a note describes ([`finish_restore`]).

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    API, BILLS, Backup, BackupError, HISTORY, IMPORT, at, beside, check, copy, free, remove, sync_folder,
    sync_tree, write,
};
use crate::state_version;
use crate::store::DirectoryLock;

/// The note, in the state directory.
const NOTE: &str = "restoring.json";
const FORMAT: &str = "kwapi-restore 1";

/// Called before each step on the disk. Tests let it refuse, as the end of the process would.
type Step<'a> = &'a dyn Fn() -> io::Result<()>;

/// What changes places.
#[derive(Debug, Deserialize, Serialize)]
struct Note {
    format: String,
    /// Which version had written the records, where the backup states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    moves: Vec<Move>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Move {
    /// Which folder of the state directory.
    name: String,
    /// Where what is there now is kept, beside it.
    before: PathBuf,
    /// Whether the backup has it.
    has_new: bool,
}

/// Puts a backup in the place of the records of `state`, which no service may be using. What is there is kept beside it,
/// with `replace`; otherwise the restore is refused. Killed on the way, the old records are there, or the new ones once
/// a service has started or it is done again.
///
/// # Errors
/// See [`BackupError`]; what was there is there still.
pub fn restore(backup: &Path, state: &Path, replace: bool) -> Result<Backup, BackupError> {
    restore_by(backup, state, replace, &|| Ok(()))
}

/// Ends a restore that was killed once its records had begun to count. Returns whether there was one. To be called before
/// anything of a state directory is opened.
///
/// # Errors
/// When a restore is running, or the disk refuses; nothing may be opened then.
pub fn finish_restore(state: &Path) -> Result<bool, BackupError> {
    if !is_restore_unfinished(state) {
        return Ok(false);
    }
    let _lock = DirectoryLock::take(state)?;
    finish(state, &|| Ok(()))
}

/// Whether a restore was killed before its end: what is there now are not the records.
pub fn is_restore_unfinished(state: &Path) -> bool {
    state.join(NOTE).exists()
}

pub(super) fn restore_by(
    backup: &Path,
    state: &Path,
    replace: bool,
    step: Step<'_>,
) -> Result<Backup, BackupError> {
    let listed = check(backup)?;
    if let Some(version) = listed.version.as_ref().filter(|version| state_version::is_newer(version)) {
        return Err(BackupError::Newer(backup.to_owned(), version.clone()));
    }
    fs::create_dir_all(state).map_err(at(state))?;
    let _lock = DirectoryLock::take(state)?;
    finish(state, step)?;
    let mut locks = Vec::new();
    for name in [HISTORY, API] {
        let place = state.join(name);
        if place.is_dir() {
            // Held until the end: a service that starts meanwhile is refused.
            locks.push(DirectoryLock::take(&place)?);
            if !replace {
                return Err(BackupError::Exists(place));
            }
        }
    }
    let bills = state.join(BILLS);
    if bills.is_dir() && !replace {
        return Err(BackupError::Exists(bills));
    }
    let pass = || step().map_err(at(state));
    let mut moves = Vec::new();
    for name in [IMPORT, BILLS, API, HISTORY] {
        let (place, new) = (state.join(name), beside(&state.join(name), "restored"));
        pass()?;
        remove(&new)?;
        for file in listed.files.iter().filter(|file| file.path.starts_with(name)) {
            let Ok(below) = file.path.strip_prefix(name) else { continue };
            let to = new.join(below);
            pass()?;
            fs::create_dir_all(to.parent().unwrap_or(&new)).map_err(at(&to))?;
            pass()?;
            let copied = copy(&backup.join(&file.path), &to)?;
            if copied != Some((file.bytes, file.crc)) {
                let why = format!("{} changed", file.path.display());
                return Err(BackupError::Damaged(backup.to_owned(), why));
            }
        }
        // A backup from before there were bills takes none away.
        if new.is_dir() || (place.is_dir() && name != BILLS) {
            let before = free(&place).file_name().unwrap_or_default().into();
            moves.push(Move { name: name.to_owned(), before, has_new: new.is_dir() });
        }
    }
    pass()?;
    sync_tree(state)?;
    let note = Note { format: FORMAT.to_owned(), version: listed.version.clone(), moves };
    let bytes = serde_json::to_vec(&note).map_err(|error| at(state)(error.into()))?;
    let written = beside(&state.join(NOTE), "new");
    pass()?;
    write(&written, &bytes)?;
    pass()?;
    fs::File::open(&written).and_then(|file| file.sync_all()).map_err(at(&written))?;
    pass()?;
    fs::rename(&written, state.join(NOTE)).map_err(at(state))?;
    pass()?;
    sync_folder(Some(state))?;
    finish(state, step)?;
    Ok(listed)
}

/// Does what a note describes, as far as it is not done. Returns whether there was one.
pub(super) fn finish(state: &Path, step: Step<'_>) -> Result<bool, BackupError> {
    let path = state.join(NOTE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(at(&path)(error)),
    };
    let damaged = || {
        let why = "it cannot be read; move it away, and do the restore again";
        BackupError::Io(path.clone(), io::Error::new(io::ErrorKind::InvalidData, why))
    };
    let note: Note = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let is_name = |path: &Path| {
        let mut parts = path.components();
        matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
    };
    let is_ours = |a_move: &Move| {
        [HISTORY, IMPORT, BILLS, API].contains(&a_move.name.as_str()) && is_name(&a_move.before)
    };
    if note.format != FORMAT || !note.moves.iter().all(is_ours) {
        return Err(damaged());
    }
    let pass = || step().map_err(at(state));
    for Move { name, before, has_new } in note.moves {
        let place = state.join(&name);
        let (before, new) = (state.join(before), beside(&place, "restored"));
        let is_done = if has_new { !new.is_dir() } else { before.exists() };
        if is_done {
            continue;
        }
        if place.is_dir() {
            pass()?;
            let before = if before.exists() { free(&place) } else { before };
            fs::rename(&place, before).map_err(at(&place))?;
        }
        if has_new {
            pass()?;
            fs::rename(&new, &place).map_err(at(&place))?;
        }
    }
    pass()?;
    // The next start upgrades what is restored, if there is something to upgrade.
    state_version::record(state, note.version.as_deref()).map_err(at(state))?;
    pass()?;
    fs::remove_file(&path).map_err(at(&path))?;
    sync_folder(Some(state))?;
    Ok(true)
}

#[cfg(test)]
mod tests;
