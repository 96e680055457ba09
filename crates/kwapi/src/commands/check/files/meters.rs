//! What meters' keys name on this machine, by their drivers' contracts: definitions, authorities, devices, sockets.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use kwapi_drivers::config::{DriverKey, Names};
use rustix::fs::{Access, access};

use super::{Findings, keys, nearest, try_to_write, walk};
use crate::config::{Config, Document, Step};

/// Looks at each once, however many meters name it.
pub(super) fn check(findings: &mut Findings<'_>, config: &Config) {
    let mut seen = BTreeSet::new();
    for meter in &config.meters {
        for (key, names, path) in meter.driver.paths() {
            if seen.insert((key.name, path.to_owned())) {
                let place = place(findings.written, key, path);
                look(findings, &place, names, path);
            }
        }
    }
}

/// Where a key of that value stands: in a meter's table, an inventory's or credentials. A value of which a part is filled
/// in stands nowhere.
fn place(written: &Document, key: &DriverKey, path: &Path) -> Vec<Step> {
    let mut found = None;
    for table in ["meter", "inventory", "credentials"] {
        let Some(value) = written.tables.get(table) else { continue };
        walk(value, &mut keys(&[table]), &mut |steps, value| {
            let is_key = steps.last() == Some(&Step::Key(key.name.to_owned()));
            let named = || value.as_str().and_then(|text| key.path(text));
            if found.is_none() && is_key && named().is_some_and(|(_, named)| named == path) {
                found = Some(steps.to_vec());
            }
        });
    }
    found.unwrap_or_else(|| keys(&["meter"]))
}

fn look(findings: &mut Findings<'_>, place: &[Step], names: Names, path: &Path) {
    let shown = path.display();
    match names {
        Names::Definitions { .. } => match definitions(path) {
            Ok(files) => {
                for file in files.iter().map(PathBuf::as_path).chain([path]) {
                    unchangeable(findings, place, file);
                }
            }
            Err(error) => {
                findings.error(place, format!("{shown}: not readable for the current user: {error}"));
            }
        },
        Names::Authority => match File::open(path) {
            Ok(_) => unchangeable(findings, place, path),
            Err(error) => {
                findings.error(place, format!("{shown}: not readable for the current user: {error}"));
            }
        },
        Names::Device => match fs::metadata(path) {
            Ok(meta) if !meta.file_type().is_char_device() => {
                findings.error(place, format!("{shown} is not a serial device"));
            }
            Ok(_) => {
                if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK) {
                    let advice =
                        "add the service's user to the group of the device, or run the check as that user";
                    let error = io::Error::from(error);
                    findings.error(
                        place,
                        format!("{shown}: not accessible to the current user ({error}): {advice}"),
                    );
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                findings
                    .warning(place, format!("{shown} does not exist; check that the meter is plugged in"));
            }
            Err(error) => findings.error(place, format!("{shown}: {error}")),
        },
        Names::Kernel => {
            if let Err(error) = fs::read_dir(path) {
                findings.error(place, format!("{shown}: not readable for the current user: {error}"));
            }
        }
        Names::Socket => socket(findings, place, path),
    }
}

/// The `*.toml` of a directory, each of them readable.
fn definitions(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            File::open(&file)?;
            files.push(file);
        }
    }
    Ok(files)
}

/// What defines how watts are read, or who is trusted, is nobody else's to change.
fn unchangeable(findings: &mut Findings<'_>, place: &[Step], path: &Path) {
    let mode = fs::metadata(path).map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o002 != 0) {
        let path = path.display();
        findings.error(place, format!("{path} is writable for all users of this machine: chmod o-w {path}"));
    }
}

/// The directory of a socket that a meter will make.
fn socket(findings: &mut Findings<'_>, place: &[Step], path: &Path) {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let (shown, existing) = (directory.display(), nearest(directory));
    if existing != directory {
        let advice = "create it, or let systemd do so (RuntimeDirectory)";
        findings.warning(place, format!("directory {shown} does not exist; {advice}"));
    } else if let Err(error) = try_to_write(directory) {
        let advice = "use a directory that the service's user can write to, or run the check as that user";
        findings.error(place, format!("{shown}: not writable for the current user ({error}): {advice}"));
    }
}
