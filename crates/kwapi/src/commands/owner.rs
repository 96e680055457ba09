//! Files that a command makes in a service's directory must be the service's.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Refuses to work as root in a directory that is somebody else's: the service could not write what would be made there.
///
/// # Errors
/// Whose it is, and what to do, as one line.
pub(super) fn check(directory: &Path) -> Result<(), String> {
    let Ok(metadata) = std::fs::metadata(directory) else { return Ok(()) };
    let (owner, ours) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if ours == 0 && owner != 0 {
        return Err(format!(
            "{} belongs to user {owner}; run this as that user, for example: sudo -u '#{owner}' kwapi …",
            directory.display()
        ));
    }
    Ok(())
}
