//! A file that is replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::tree::sync_folder;

/// Puts a file of `contents` in the place of the one at `path`, if there is one: whole or not at all, also over a power
/// failure. It is written beside it, with the ending `.new`, synced and renamed; what comes back is open for more at its end.
///
/// # Errors
/// When the disk refuses; what was there is there still.
pub fn replace_file(path: &Path, contents: &[u8]) -> io::Result<File> {
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&unfinished)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_folder(path.parent().unwrap_or(path))?;
    Ok(file)
}
