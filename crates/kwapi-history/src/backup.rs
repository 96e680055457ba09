//! A copy of the records of a running service, from which others can continue: accounts, ledger, index, closed bills,
//! and of the journal what these do not have yet.
//!
//! Files are copied in the order in which a start reads them: first the files that record a position (accounts,
//! `ledger-open`), then what these positions refer to (ledger files, journal). So the copy is what a kill would have
//! left at some moment, and is opened as that is. All files but segments and the index are only ever replaced whole.
//!
//! A copy is made beside its place, with a list of its files and their checksums written last, and renamed into place. What
//! is restored is checked against that list first.

mod restore;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::documents::{BILLS, ENDING};
use crate::journal::{Position, SegmentFile, folder, segments};
use crate::ledger::Ledger;
use crate::state_version;
use crate::store::DirectoryInUse;

pub use restore::{finish_restore, is_restore_unfinished, restore};

/// The list of a copy.
pub(crate) const LIST: &str = "kwapi-backup.json";
/// The format that the list states.
const FORMAT: &str = "kwapi-backup 1";
/// Where the directory of history is in a state directory, and in a copy.
const HISTORY: &str = "history";
/// What imports keep in a state directory.
const IMPORT: &str = "import";
/// The accounts of an API without history, in its folder.
const API: &str = "api";
const API_ACCOUNTS: &str = "accounts.log";
const LEDGER: &str = "ledger";
const INDEX: &str = "rrd/probes.jsonl";
/// Beginnings of the names of files in the directory of history that are copied. Each is replaced whole, or appended to by
/// the line.
const STANDS: [&str; 3] = ["accounts", "ledger-open", "descriptions"];
/// Endings of names of files that are being written, or were damaged.
const UNFINISHED: [&str; 4] = ["new", "written", "damaged", "later"];
/// A merge or a deletion may take away what is being copied: then it is begun again, so often.
const TRIES: usize = 5;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk refuses.
    #[error("{0}")]
    Io(PathBuf, #[source] io::Error),
    /// There is something in its place already.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// There are no records there.
    #[error("{0} has no records")]
    Nothing(PathBuf),
    /// What is copied was deleted again and again.
    #[error("the journal is deleted faster than it can be copied; try again when the disk is less busy")]
    Overtaken,
    /// It is no backup, or not as it was written.
    #[error("{0} is no intact backup: {1}")]
    Damaged(PathBuf, String),
    /// A later version made it.
    #[error("{0} was made by kwapi {1}, which is newer than this one; restore it with that version")]
    Newer(PathBuf, String),
    /// A service uses the directory.
    #[error(transparent)]
    InUse(#[from] DirectoryInUse),
}

/// How the files of a copy come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copying {
    /// All are copies: the disk below may be lost.
    Whole,
    /// Files that are never changed, only deleted, are links where the file system has them: they take no space of their own.
    Linked,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Backup {
    format: String,
    /// When it was begun.
    pub made_at: Timestamp,
    /// Which version had written the records, where they state it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its files.
    files: Vec<Copied>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Copied {
    /// Below the state directory.
    path: PathBuf,
    bytes: u64,
    crc: u32,
}

impl Backup {
    /// How many files it has.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Copies the records of the state directory `state`, whether a service uses it or not, to `into`, which must not be there.
/// `stands_at` returns where in the journal the accounts of a directory of history stand.
///
/// # Errors
/// See [`BackupError`]; there is nothing at `into` then.
pub fn back_up(
    state: &Path,
    into: &Path,
    now: Timestamp,
    stands_at: impl Fn(&Path) -> Position,
) -> Result<Backup, BackupError> {
    copy_records(state, into, now, stands_at, Copying::Whole)
}

/// As [`back_up`], by copies or links.
///
/// # Errors
/// As [`back_up`].
pub(crate) fn copy_records(
    state: &Path,
    into: &Path,
    now: Timestamp,
    stands_at: impl Fn(&Path) -> Position,
    copying: Copying,
) -> Result<Backup, BackupError> {
    let home = state.join(HISTORY);
    if !folder(&home).is_dir() && !state.join(API).join(API_ACCOUNTS).is_file() {
        return Err(BackupError::Nothing(state.to_owned()));
    }
    if into.exists() {
        return Err(BackupError::Exists(into.to_owned()));
    }
    let unfinished = beside(into, "unfinished");
    for _ in 0..TRIES {
        remove(&unfinished)?;
        let mut copy = Copy { from: state, to: &unfinished, copying, files: Vec::new() };
        if !copy.all()? {
            continue;
        }
        let home = unfinished.join(HISTORY);
        let position = stands_at(&home).min(Ledger::position_in(&home));
        // A gap between where they stand and the first segment would be a loss.
        let first = segments(&home).map_err(at(&home))?.first().map(|segment| segment.number);
        let is_api_alone = !home.is_dir();
        if !is_api_alone
            && first.is_some_and(|first| first > position.segment.saturating_add(1))
            && position != Position::default()
        {
            continue;
        }
        let version = state_version::written(state);
        let backup = Backup { format: FORMAT.to_owned(), made_at: now, version, files: copy.files };
        let list = serde_json::to_vec(&backup).map_err(|error| at(&unfinished)(error.into()))?;
        write(&unfinished.join(LIST), &list)?;
        sync_tree(&unfinished)?;
        fs::rename(&unfinished, into).map_err(at(into))?;
        sync_folder(into.parent())?;
        return Ok(backup);
    }
    remove(&unfinished)?;
    Err(BackupError::Overtaken)
}

/// Reads the list of a backup and compares all its files with it.
///
/// # Errors
/// [`BackupError::Damaged`] with the first that differs.
fn check(backup: &Path) -> Result<Backup, BackupError> {
    let damaged = |why: String| BackupError::Damaged(backup.to_owned(), why);
    let bytes = fs::read(backup.join(LIST)).map_err(|error| damaged(format!("{LIST}: {error}")))?;
    let listed: Backup =
        serde_json::from_slice(&bytes).map_err(|_| damaged(format!("{LIST} cannot be read")))?;
    if listed.format != FORMAT {
        return Err(damaged(format!("{LIST} is of another version ({})", listed.format)));
    }
    for file in &listed.files {
        let name = file.path.display();
        // The list is checked, and still names no place outside.
        if file.path.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(damaged(format!("{name} is no name of a file in it")));
        }
        let sum = sum(&backup.join(&file.path)).map_err(|error| damaged(format!("{name}: {error}")))?;
        if sum != (file.bytes, file.crc) {
            return Err(damaged(format!("{name} differs from what was written")));
        }
    }
    Ok(listed)
}

/// A copy being made.
struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    copying: Copying,
    files: Vec<Copied>,
}

impl Copy<'_> {
    /// Copies everything; `false` where a file was taken away in between.
    fn all(&mut self) -> Result<bool, BackupError> {
        self.folder(Path::new(IMPORT), &|_| true)?;
        let history = Path::new(HISTORY);
        self.folder(history, &|name| STANDS.iter().any(|begin| name.starts_with(begin)))?;
        for step in self.entries(&history.join(LEDGER))? {
            for day in self.entries(&step)? {
                // A merge changes a day's folder for another.
                if !self.each(&day, &|name| name.ends_with(".parquet"), Self::closed)? {
                    return Ok(false);
                }
            }
        }
        let home = self.from.join(HISTORY);
        let segments = segments(&home).map_err(at(&home))?;
        for (at, SegmentFile { path, .. }) in segments.iter().enumerate() {
            let Ok(below) = path.strip_prefix(self.from) else { continue };
            // The newest is appended to.
            let is_there = if at + 1 < segments.len() { self.closed(below)? } else { self.file(below)? };
            if !is_there {
                return Ok(false);
            }
        }
        // Bills are only ever added.
        for month in self.entries(Path::new(BILLS))? {
            self.folder(&month, &|name| name.ends_with(&format!(".{ENDING}")))?;
        }
        self.file(&history.join(INDEX))?;
        self.file(&Path::new(API).join(API_ACCOUNTS))?;
        Ok(true)
    }

    /// Copies the files of a folder that have such names; `false` where one was taken away in between.
    fn folder(&mut self, folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<bool, BackupError> {
        self.each(folder, wanted, Self::file)
    }

    fn each(
        &mut self,
        folder: &Path,
        wanted: &dyn Fn(&str) -> bool,
        take: fn(&mut Self, &Path) -> Result<bool, BackupError>,
    ) -> Result<bool, BackupError> {
        let mut is_whole = true;
        for path in self.entries(folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_unfinished =
                name.starts_with('.') || UNFINISHED.iter().any(|end| name.ends_with(&format!(".{end}")));
            if wanted(name) && !is_unfinished && self.from.join(&path).is_file() {
                is_whole &= take(self, &path)?;
            }
        }
        Ok(is_whole)
    }

    /// What is in a folder, below the state directory, in order of the names; nothing where there is no folder.
    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
        let place = self.from.join(folder);
        let listing = match fs::read_dir(&place) {
            Ok(listing) => listing,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(at(&place)(error)),
        };
        let mut entries = Vec::new();
        for entry in listing {
            entries.push(folder.join(entry.map_err(at(&place))?.file_name()));
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// Takes one file that nobody changes any more; `false` where there is none.
    fn closed(&mut self, path: &Path) -> Result<bool, BackupError> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        if self.copying == Copying::Whole {
            return self.file(path);
        }
        fs::create_dir_all(to.parent().unwrap_or(self.to)).map_err(at(&to))?;
        match fs::hard_link(&from, &to) {
            Ok(()) => {
                let (bytes, crc) = sum(&to).map_err(at(&to))?;
                self.files.push(Copied { path: path.to_owned(), bytes, crc });
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(_) => self.file(path),
        }
    }

    /// Copies one file; `false` where there is none.
    fn file(&mut self, path: &Path) -> Result<bool, BackupError> {
        let (from, to) = (self.from.join(path), self.to.join(path));
        if !from.is_file() {
            return Ok(false);
        }
        fs::create_dir_all(to.parent().unwrap_or(self.to)).map_err(at(&to))?;
        let Some((bytes, crc)) = copy(&from, &to)? else { return Ok(false) };
        self.files.push(Copied { path: path.to_owned(), bytes, crc });
        Ok(true)
    }
}

/// Copies a file as it is now, with its length and checksum; `None` where it is not there any more.
fn copy(from: &Path, to: &Path) -> Result<Option<(u64, u32)>, BackupError> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(from)(error)),
    };
    let mut target = File::create(to).map_err(at(to))?;
    let (mut hasher, mut bytes) = (crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = source.read(&mut buffer).map_err(at(from))?;
        let read = buffer.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok(Some((bytes, hasher.finalize())));
        }
        hasher.update(read);
        bytes += read.len() as u64;
        target.write_all(read).map_err(at(to))?;
    }
}

fn sum(path: &Path) -> io::Result<(u64, u32)> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        if read.is_empty() {
            return Ok((bytes, hasher.finalize()));
        }
        hasher.update(read);
        bytes += read.len() as u64;
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    File::create(path).and_then(|mut file| file.write_all(bytes)).map_err(at(path))
}

/// Puts all files of a tree on the disk at once.
fn sync_tree(tree: &Path) -> Result<(), BackupError> {
    let folder = File::open(tree).map_err(at(tree))?;
    rustix::fs::syncfs(folder).map_err(|error| at(tree)(error.into()))
}

pub(crate) fn sync_folder(folder: Option<&Path>) -> Result<(), BackupError> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

pub(crate) fn remove(tree: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(tree)(error)),
        _ => Ok(()),
    }
}

/// A name beside `path`.
pub(crate) fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    path.with_file_name(name)
}

/// A name beside `path` that nothing has.
fn free(path: &Path) -> PathBuf {
    let name = |number: u32| beside(path, &format!("before-{number}"));
    (1..u32::MAX).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(0))
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |error| BackupError::Io(path.clone(), error)
}
