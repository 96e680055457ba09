//! The file of descriptions of probes: a line of JSON each time the description of one changes; the last of a probe
//! counts.
//!
//! ```text
//! kwapi descriptions 1
//! {"probe_id":"lyon.web1","timestamp_us":1795393618857424,"key":"lyon","description":{"driver":"snmp",…}}
//! ```
//!
//! Appends are plain writes, which survive the end of the process. When the file has grown to twice what it need hold, a new
//! one is written beside it, synced, and renamed over it. What a power cut takes is published again within half a minute.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::{Description, ProbeId, Timestamp};
use kwapi_history::replace_file;
use serde::{Deserialize, Serialize};

use super::described::Described;

/// The file's name in its directory.
const NAME: &str = "descriptions";
/// The first line of any version's, without its number.
const HEADER: &str = "kwapi descriptions ";
/// The version that is written.
const VERSION: &str = "1";
/// A file is not rewritten below this size.
const GROWTH_BYTES_MIN: u64 = 1 << 20;

/// A line.
#[derive(Deserialize, Serialize)]
struct Line {
    probe_id: ProbeId,
    timestamp_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    description: Description,
}

/// The open file.
#[derive(Debug)]
pub(super) struct DescriptionsFile {
    directory: PathBuf,
    /// `None` where a new one must be written before anything is appended.
    file: Option<File>,
    bytes: u64,
    /// Its size after it was last rewritten.
    bytes_rewritten: u64,
    has_failed: bool,
}

impl DescriptionsFile {
    /// Reads the file in `directory`, if there is one, and hands over its contents. Nothing is written.
    pub(super) fn open(directory: &Path, each: impl FnMut(ProbeId, Described)) -> Self {
        let path = directory.join(NAME);
        let directory = directory.to_owned();
        let mut opened = Self { directory, file: None, bytes: 0, bytes_rewritten: 0, has_failed: false };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return opened,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot read the descriptions of probes; they are unknown until published again");
                return opened;
            }
        };
        match read(&bytes, each) {
            Contents::Whole => {
                opened.file = OpenOptions::new().append(true).open(&path).ok();
                opened.bytes = bytes.len() as u64;
                // As if it had just been rewritten: it is soon enough when it has doubled.
                opened.bytes_rewritten = opened.bytes;
            }
            Contents::Damaged(lines) => {
                tracing::warn!(lines, path = %path.display(), "damaged lines skipped; these descriptions are unknown until published again");
            }
            Contents::OfLater => {
                tracing::warn!(path = %path.display(), "written by a later version; set aside as descriptions.later");
                _ = fs::copy(&path, path.with_extension("later"));
            }
        }
        opened
    }

    /// Appends the description of a probe, if anything can be appended.
    pub(super) fn append(&mut self, probe: &ProbeId, described: &Described) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = line(probe, described)?;
        if let Err(error) = file.write_all(&line) {
            self.file = None;
            return Err(error);
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Whether a new file is to be written.
    pub(super) fn is_due_again(&self) -> bool {
        self.file.is_none() || self.bytes > (self.bytes_rewritten * 2).max(GROWTH_BYTES_MIN)
    }

    /// Whether it could last not be written.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Notes that the file has what is to be forgotten.
    pub(super) fn outdate(&mut self) {
        self.file = None;
    }

    /// Puts all there is into a new file, in the place of the one before.
    pub(super) fn write_again<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a ProbeId, &'a Described)>,
    ) -> io::Result<()> {
        let mut contents = format!("{HEADER}{VERSION}\n").into_bytes();
        for (probe, described) in all {
            contents.extend(line(probe, described)?);
        }
        self.file = Some(replace_file(&self.directory.join(NAME), &contents)?);
        (self.bytes, self.bytes_rewritten) = (contents.len() as u64, contents.len() as u64);
        if std::mem::take(&mut self.has_failed) {
            tracing::info!("what probes are is written again");
        }
        Ok(())
    }

    /// Reports a failure, the first time.
    pub(super) fn note_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let path = self.directory.join(NAME);
            tracing::error!(%error, path = %path.display(), "cannot write the descriptions of probes; after a restart they are unknown until published again");
        }
    }
}

fn line(probe: &ProbeId, described: &Described) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line {
        probe_id: probe.clone(),
        timestamp_us: described.since.micros(),
        key: described.key.as_deref().map(str::to_owned),
        description: (*described.description).clone(),
    })?;
    line.push(b'\n');
    Ok(line)
}

/// What a file has.
#[derive(Debug, PartialEq, Eq)]
enum Contents {
    Whole,
    /// So many lines could not be read, the last of a write that was cut off among them.
    Damaged(u64),
    OfLater,
}

fn read(bytes: &[u8], mut each: impl FnMut(ProbeId, Described)) -> Contents {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let version = header.strip_prefix(HEADER.as_bytes()).and_then(|version| version.strip_suffix(b"\n"));
    match version {
        Some(version) if version == VERSION.as_bytes() => {}
        Some(_) => return Contents::OfLater,
        None => return Contents::Damaged(1),
    }
    let mut damaged = 0;
    for line in lines {
        let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line>(line).ok());
        let Some(Line { probe_id, timestamp_us, key, description }) =
            whole.filter(|line| line.description.is_sound())
        else {
            damaged += 1;
            continue;
        };
        let at = Timestamp::from_micros(timestamp_us);
        let description = Arc::new(description);
        each(probe_id, Described { description, since: at, at, key: key.map(Into::into) });
    }
    if damaged > 0 { Contents::Damaged(damaged) } else { Contents::Whole }
}
