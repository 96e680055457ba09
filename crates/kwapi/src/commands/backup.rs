//! `kwapi backup` and `kwapi restore`: the records of a service, copied while it runs, and put back.

use std::path::{Path, PathBuf};

use kwapi_history::upgrade::refuse_newer;
use kwapi_plugins::intake::accounts::Kept;

use super::owner;
use crate::cli;
use crate::config::chain;
use crate::stack::wall_clock;

/// Copies the records, and prints how much that was.
///
/// # Errors
/// When there are none, or the disk refuses, as one line.
pub(crate) fn backup(arguments: &cli::BackupArgs, named: Option<&Path>) -> Result<(), String> {
    let state = state(arguments.from.as_ref(), named)?;
    refuse_newer(&state).map_err(|error| chain(&error))?;
    let now = wall_clock().now();
    let backup = kwapi_history::back_up(&state, &arguments.into, now, Kept::position_in);
    let backup = backup.map_err(|error| chain(&error))?;
    println!("{} files, {} bytes in {}", backup.files(), backup.bytes(), arguments.into.display());
    Ok(())
}

/// Puts a backup back.
///
/// # Errors
/// When it is damaged, a service is running or records are there, as one line.
pub(crate) fn restore(arguments: &cli::RestoreArgs, named: Option<&Path>) -> Result<(), String> {
    let state = state(arguments.into.as_ref(), named)?;
    owner::check(&state)?;
    let backup = kwapi_history::restore(&arguments.backup, &state, arguments.replace);
    let backup = backup.map_err(|error| match error {
        kwapi_history::BackupError::Exists(home) => {
            format!("{} has records; --replace keeps them beside the restored ones", home.display())
        }
        error => chain(&error),
    })?;
    let seconds = i64::try_from(backup.made_at.seconds()).unwrap_or_default();
    let made = jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    println!("the records of {made} are in {}", state.display());
    Ok(())
}

fn state(given: Option<&PathBuf>, named: Option<&Path>) -> Result<PathBuf, String> {
    match given {
        Some(state) => Ok(state.clone()),
        None => Ok(super::configuration(named)?.state_directory),
    }
}
