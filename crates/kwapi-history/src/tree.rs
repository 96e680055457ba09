//! A tree of Parquet files in folders by date, as the ledger and the samples keep theirs: what has its name is whole, a
//! folder is replaced at once, and what a kill left unfinished is known by its name.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// What is being merged, in the tree.
const MERGING: &str = "merging";
/// What is being written. Its name begins with a dot, by which no reader takes it for a part: Arrow takes all others in a folder.
const UNFINISHED: &str = "new";

/// Called before each step on the disk. Tests let it refuse, as a disk or the end of the process would.
pub(crate) type Gate = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// How long after a merge failed the next is tried.
pub(crate) const MERGE_RETRY: Duration = Duration::from_secs(3_600);

/// Why files were not merged.
#[derive(Debug)]
pub(crate) enum MergeError<Part> {
    /// One of them cannot be read: the others are merged without it.
    Unreadable(Part, io::Error),
    /// The disk refuses what is to take their place: later.
    Refused(io::Error),
}

impl<Part> From<io::Error> for MergeError<Part> {
    fn from(error: io::Error) -> Self {
        Self::Refused(error)
    }
}

/// A day, counted from 1970-01-01.
pub(crate) type Day = u64;

/// A day as folders name it.
pub(crate) fn date(day: Day) -> String {
    let days = i64::try_from(day).unwrap_or(i64::MAX / 86_400);
    let at = jiff::Timestamp::from_second(days.saturating_mul(86_400));
    at.map_or_else(|_| "9999-12-31".to_owned(), |at| at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

pub(crate) fn parse_date(text: &str) -> Option<Day> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let second = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    u64::try_from(second / 86_400).ok()
}

/// The folders and what touches them.
#[derive(Clone)]
pub(crate) struct Tree {
    home: PathBuf,
    root: PathBuf,
    gate: Option<Gate>,
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Tree {
    /// The tree `name` in the directory of history.
    pub(crate) fn new(home: &Path, name: &str, gate: Option<Gate>) -> Self {
        Self { home: home.to_owned(), root: home.join(name), gate }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn pass(&self) -> io::Result<()> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate())
    }

    /// Removes what a kill has left of a merge.
    pub(crate) fn clear_merging(&self) -> io::Result<()> {
        remove_folder(&self.root.join(MERGING))
    }

    /// Writes a file of the tree, whole or not at all.
    pub(crate) fn write_part(
        &self,
        folder: &Path,
        name: &str,
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.make_folder(folder)?;
        self.write_whole(folder, name, write)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        self.pass()?;
        fs::create_dir_all(folder)?;
        for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(&self.home)) {
            sync_folder(above)?;
        }
        Ok(())
    }

    fn write_whole(
        &self,
        folder: &Path,
        name: &str,
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let unfinished = folder.join(format!(".{name}.{UNFINISHED}"));
        self.pass()?;
        let mut output = Output { tree: self, file: File::create(&unfinished)? };
        write(&mut output)?;
        output.file.sync_data()?;
        self.pass()?;
        fs::rename(&unfinished, folder.join(name))?;
        self.pass()?;
        sync_folder(folder)
    }

    /// Keeps a file of the directory of history and the one before it.
    pub(crate) fn replace(
        &self,
        name: &str,
        before: &str,
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let written = format!("{name}.written");
        self.write_whole(&self.home, &written, write)?;
        let path = self.home.join(name);
        self.pass()?;
        if path.exists() {
            fs::rename(&path, self.home.join(before))?;
        }
        self.pass()?;
        fs::rename(self.home.join(&written), &path)?;
        self.pass()?;
        sync_folder(&self.home)
    }

    /// What `decode` makes of a file of the directory of history, or else of the one before it, and how many of the two it
    /// can make nothing of. Those get other names: they are not in the way of what is written next, which keeps the one
    /// before.
    pub(crate) fn read_whole<T>(
        &self,
        names: [&str; 2],
        decode: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<(Option<T>, u64)> {
        let mut damaged = 0;
        for name in names {
            let Some(bytes) = self.read(name)? else { continue };
            let found = decode(&bytes);
            if found.is_some() {
                return Ok((found, damaged));
            }
            tracing::error!(
                file = name,
                "file damaged: renamed to {name}.damaged and rebuilt from the journal"
            );
            damaged += 1;
            _ = fs::rename(self.home.join(name), self.home.join(format!("{name}.damaged")));
        }
        Ok((None, damaged))
    }

    /// A file of the directory of history; `None` where there is none.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.home.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Appends to a file beside the folders; on disk when this returns. A kill leaves a part of `bytes`, or none.
    pub(crate) fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.make_root()?;
        let path = self.root.join(name);
        let is_new = !path.exists();
        self.pass()?;
        let mut output = Output { tree: self, file: File::options().append(true).create(true).open(path)? };
        output.write_all(bytes)?;
        output.file.sync_data()?;
        self.pass()?;
        if is_new { sync_folder(&self.root) } else { Ok(()) }
    }

    /// Makes the tree's own folder, where it is not there.
    pub(crate) fn make_root(&self) -> io::Result<()> {
        self.make_folder(&self.root)
    }

    /// Gives the tree the name of another one, which is not there.
    pub(crate) fn rename_to(&self, other: &Self) -> io::Result<()> {
        self.pass()?;
        fs::rename(&self.root, &other.root)?;
        self.pass()?;
        sync_folder(&self.home)
    }

    /// Removes a folder with all that is in it.
    pub(crate) fn remove(&self, folder: &Path) -> io::Result<()> {
        self.pass()?;
        remove_folder(folder)
    }

    /// Puts one file, `name`, in the place of all that is in `folder` but what is `kept`. Who reads the tree sees the one
    /// or the other: the folder is recreated, under `made_as`, and the two change places at once.
    pub(crate) fn merge(
        &self,
        folder: &Path,
        made_as: &str,
        name: &str,
        kept: &[String],
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let other = self.root.join(MERGING).join(made_as);
        remove_folder(&other)?;
        self.make_folder(&other)?;
        self.write_whole(&other, name, write)?;
        for name in kept {
            self.pass()?;
            match fs::hard_link(folder.join(name), other.join(name)) {
                // Somebody has removed it, and whoever requests its rows gets an error.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        sync_folder(&other)?;
        self.pass()?;
        renameat_with(CWD, &other, CWD, folder, RenameFlags::EXCHANGE)?;
        self.pass()?;
        for above in [folder.parent(), other.parent()].into_iter().flatten() {
            sync_folder(above)?;
        }
        self.pass()?;
        remove_folder(&other)
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    tree: &'a Tree,
    file: File,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tree.gate.is_none() {
            return self.file.write(bytes);
        }
        // A kill leaves half of it.
        let half = bytes.len() / 2;
        self.file.write_all(bytes.get(..half).unwrap_or_default())?;
        self.tree.pass()?;
        self.file.write_all(bytes.get(half..).unwrap_or_default())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Output<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Whether a file is one that a kill left unfinished.
pub(crate) fn is_unfinished(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(UNFINISHED))
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is in a folder; nothing where there is none.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    listing.map(|entry| Ok(entry?.path())).collect()
}

pub(crate) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
