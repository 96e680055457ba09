//! What a state directory records of the version that wrote it.
//!
//! Versions are distinguished as far as files go: `0.2.1` reads and writes what `0.2.0` does. Before 0.2.0 nothing was
//! recorded.

use std::path::Path;
use std::{fs, io};

use crate::whole_file::replace_file;

/// The file, in the state directory: the version and a line feed.
const NAME: &str = "version";
/// This version.
pub(crate) const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// Whether a version is later than this one, as far as files go.
pub(crate) fn is_newer(version: &str) -> bool {
    series(version) > series(PROGRAM)
}

/// The version that wrote a state directory, where it records that.
pub(crate) fn written(state: &Path) -> Option<String> {
    let text = fs::read_to_string(state.join(NAME)).ok()?;
    let version = text.trim();
    series(version).map(|_| version.to_owned())
}

/// Records which version wrote a state directory; `None`: it does not record that, as before 0.2.0.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn record(state: &Path, version: Option<&str>) -> io::Result<()> {
    let path = state.join(NAME);
    let Some(version) = version else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    replace_file(&path, format!("{version}\n").as_bytes()).map(drop)
}

/// Major and minor number: what files go by.
pub(crate) fn series(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
