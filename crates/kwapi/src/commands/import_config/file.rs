//! A file to be read whole.

use std::path::Path;

/// More than this is no configuration. (Generated ones of `snmp_exporter` have some megabytes.)
const BYTES_MAX: u64 = 64 << 20;

/// A file as text, within bounds.
///
/// # Errors
/// When it cannot be read, is too large or is no UTF-8, as one line.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > BYTES_MAX {
        return Err(format!("{}: too large for a configuration ({size} bytes)", path.display()));
    }
    std::fs::read_to_string(path).map_err(failed)
}
