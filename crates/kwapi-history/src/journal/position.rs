//! Places in the journal, and the files that keep them: `<reader>.position`, one JSON object.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Need;

const SUFFIX: &str = ".position";

/// A place between two batches. Places only rise, also where files are lost: none names two things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which segment.
    pub segment: u64,
    /// Where in it, in bytes.
    pub offset: u64,
}

impl fmt::Display for Position {
    /// As answers name it: two numbers and a dash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.segment, self.offset)
    }
}

/// The file. The first version wrote the first two members alone.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    segment: u64,
    offset: u64,
    /// See [`Need::Optional`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
    /// CRC-32 of the members above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc: Option<u32>,
}

impl Kept {
    fn crc(&self) -> u32 {
        crc32fast::hash(format!("{} {} {:?}", self.segment, self.offset, self.bytes_max).as_bytes())
    }
}

/// A reader's place as it was found.
#[derive(Clone, Debug)]
pub(super) struct FoundPosition {
    pub(super) name: String,
    /// `None` where the file was damaged; it was renamed to `….damaged` then.
    pub(super) place: Option<(Position, Need)>,
    /// When it was last committed.
    pub(super) committed: Timestamp,
}

/// Keeps the position of the reader `name`, whole or not at all, also over a power failure.
pub(super) fn save(directory: &Path, name: &str, position: Position, need: Need) -> io::Result<()> {
    let bytes_max = match need {
        Need::Required => None,
        Need::Optional { bytes_max } => Some(bytes_max),
    };
    let mut kept = Kept { segment: position.segment, offset: position.offset, bytes_max, crc: None };
    kept.crc = Some(kept.crc());
    let (bytes, path) = (serde_json::to_vec(&kept)?, path(directory, name));
    let unfinished = directory.join(format!("{name}.new"));
    let saved = write(&unfinished, &bytes).and_then(|()| std::fs::rename(&unfinished, &path));
    if saved.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
        _ = std::fs::remove_file(&unfinished);
        return overwrite(&path, &bytes);
    }
    saved
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Writes over a file where it lies, which needs no room: on a full disk nothing of the journal could be deleted while no
/// reader can record that it has it. Cut short by a crash it is reported as damaged.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_data()
}

/// All positions in `directory`.
pub(super) fn find(directory: &Path) -> io::Result<Vec<FoundPosition>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
        let modified = entry.metadata()?.modified().ok();
        let bytes = std::fs::read(entry.path())?;
        let kept = serde_json::from_slice::<Kept>(&bytes).ok();
        let place = kept.filter(|kept| kept.crc.is_none_or(|crc| crc == kept.crc())).map(|kept| {
            let position = Position { segment: kept.segment, offset: kept.offset };
            let need = kept.bytes_max.map_or(Need::Required, |bytes_max| Need::Optional { bytes_max });
            (position, need)
        });
        if place.is_none() {
            // Where it cannot be renamed (a full disk), it is reported again at the next start.
            _ = std::fs::rename(entry.path(), directory.join(format!("{name}{SUFFIX}.damaged")));
        }
        let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let committed = since.map_or(Timestamp::EPOCH, |since| Timestamp::EPOCH.after(since));
        found.push(FoundPosition { name: name.to_owned(), place, committed });
    }
    Ok(found)
}

/// Forgets a reader that is not configured any more.
pub(super) fn remove(directory: &Path, name: &str) -> io::Result<()> {
    std::fs::remove_file(path(directory, name))
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{SUFFIX}"))
}
