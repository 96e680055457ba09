//! Where the registers of imported files stood at their end: `import/sessions`, a line a probe, of eight hexadecimal
//! digits (the CRC-32 of what follows the blank) and JSON. A line that is damaged costs its own entry: the next file of
//! that probe begins a curve of its own, and the time between the two is unknown.
//!
//! `import/forgotten` names probes, a line each, whose entry is not to be used: their register was reset after it was
//! written. It is on the disk before the journal has what came after, and gone when the entries are written again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kwapi_core::{ProbeId, SessionEntry, Timestamp};
use serde::{Deserialize, Serialize};

const NAME: &str = "sessions";
const NAME_NEW: &str = "sessions.new";
const FORGOTTEN: &str = "forgotten";

/// What is kept of a probe.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    /// The stamp of the last measurement that was credited.
    pub(super) published: Timestamp,
    pub(super) entry: SessionEntry,
}

/// What is kept of all probes.
#[derive(Debug)]
pub(super) struct Sessions {
    directory: PathBuf,
    /// Of probes of which no row has come.
    kept: HashMap<ProbeId, Kept>,
}

impl Sessions {
    /// Reads what is in `directory`, which need not be there.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let text = |name: &str| match fs::read(directory.join(name)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        };
        let mut kept = HashMap::new();
        let lines = text(NAME)?;
        for line in lines.lines() {
            if let Some(entry) = read(line) {
                kept.insert(entry.entry.probe.clone(), entry);
            } else {
                tracing::warn!(
                    "a line of {NAME} is damaged: the next file of its probe does not continue from the last one"
                );
            }
        }
        for probe in text(FORGOTTEN)?.lines() {
            kept.retain(|id, _| id.as_str() != probe);
        }
        Ok(Self { directory: directory.to_owned(), kept })
    }

    /// What is kept of a probe.
    pub(super) fn take(&mut self, probe: &ProbeId) -> Option<Kept> {
        self.kept.remove(probe)
    }

    /// Notes, on the disk, that what is there of `probes` is not to be used.
    pub(super) fn forget(&self, probes: &[ProbeId]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut file = OpenOptions::new().append(true).create(true).open(self.directory.join(FORGOTTEN))?;
        let lines: String = probes.iter().map(|probe| format!("{probe}\n")).collect();
        file.write_all(lines.as_bytes())?;
        file.sync_all()
    }

    /// Writes what there is of the probes that have had rows, beside the others; whole or not at all.
    pub(super) fn write(&self, touched: impl Iterator<Item = Kept>) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let new = self.directory.join(NAME_NEW);
        let mut file = io::BufWriter::new(File::create(&new)?);
        for kept in touched {
            write(&mut file, &kept)?;
        }
        for kept in self.kept.values() {
            write(&mut file, kept)?;
        }
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&new, self.directory.join(NAME))?;
        // All that was forgotten has been written again, or has no entry.
        match fs::remove_file(self.directory.join(FORGOTTEN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.directory)?.sync_all()
    }
}

fn write(file: &mut impl io::Write, kept: &Kept) -> io::Result<()> {
    let json = serde_json::to_string(kept)?;
    writeln!(file, "{:08x} {json}", crc32fast::hash(json.as_bytes()))
}

fn read(line: &str) -> Option<Kept> {
    let (sum, json) = line.split_once(' ')?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
        return None;
    }
    serde_json::from_str(json).ok()
}
