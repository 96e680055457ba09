//! The ledger's files: `ledger/step=minute/date=2026-11-26/part-<segment>-<offset>-<number>.parquet`.
//!
//! A part is named by the place in the journal from which on its rows were told: what a snapshot has not committed is
//! known by its name, removed at the next start, and told again. Each visible file is whole; the rows of all of them are
//! disjoint.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::RowStep;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::journal::Position;

/// The tree of parts in the directory of history…
const TREE: &str = "ledger";
/// …and in it what is being merged.
const MERGING: &str = "merging";
const SUFFIX: &str = ".parquet";
/// What is being written. Its name begins with a dot, by which no reader takes it for a part: Arrow takes all others in a folder.
const UNFINISHED: &str = "new";

/// Called before each step on the disk. Tests let it refuse, as a disk or the end of the process would.
pub(super) type Gate = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// A day, counted from 1970-01-01.
pub(super) type Day = u64;

/// A file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) step: RowStep,
    pub(super) day: Day,
    /// Where in the journal what its rows were made of begins.
    pub(super) from: Position,
    /// Parts of one step, day and begin are numbered.
    pub(super) number: u32,
}

/// The parts of each step and day.
pub(super) type Parts = BTreeMap<(RowStep, Day), Vec<Part>>;

impl Part {
    fn name(&self) -> String {
        let Self { from: Position { segment, offset }, number, .. } = self;
        format!("part-{segment:012}-{offset:012}-{number}{SUFFIX}")
    }

    fn parse(step: RowStep, day: Day, name: &str) -> Option<Self> {
        let mut fields = name.strip_prefix("part-")?.strip_suffix(SUFFIX)?.split('-');
        let from = Position { segment: fields.next()?.parse().ok()?, offset: fields.next()?.parse().ok()? };
        let number = fields.next()?.parse().ok()?;
        fields.next().is_none().then_some(Self { step, day, from, number })
    }
}

/// How a step is called in names and answers.
pub(crate) const fn step_name(step: RowStep) -> &'static str {
    match step {
        RowStep::Minute => "minute",
        RowStep::Quarter => "quarter",
        RowStep::Day => "day",
    }
}

fn date(day: Day) -> String {
    let days = i64::try_from(day).unwrap_or(i64::MAX / 86_400);
    let at = jiff::Timestamp::from_second(days.saturating_mul(86_400));
    at.map_or_else(|_| "9999-12-31".to_owned(), |at| at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

fn parse_date(text: &str) -> Option<Day> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let second = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    u64::try_from(second / 86_400).ok()
}

/// The folders and what touches them.
#[derive(Clone)]
pub(super) struct Files {
    home: PathBuf,
    tree: PathBuf,
    gate: Option<Gate>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Files {
    pub(super) fn new(home: &Path, gate: Option<Gate>) -> Self {
        Self { home: home.to_owned(), tree: home.join(TREE), gate }
    }

    fn pass(&self) -> io::Result<()> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate())
    }

    fn folder(&self, step: RowStep, day: Day) -> PathBuf {
        self.tree.join(format!("step={}", step_name(step))).join(format!("date={}", date(day)))
    }

    pub(super) fn path(&self, part: &Part) -> PathBuf {
        self.folder(part.step, part.day).join(part.name())
    }

    /// The parts there are. Those begun at `from` or later were not committed and are removed, and so is what a kill
    /// has left unfinished.
    pub(super) fn open(&self, from: Position) -> io::Result<Parts> {
        remove_folder(&self.tree.join(MERGING))?;
        let (parts, unfinished) = self.list(from)?;
        unfinished.into_iter().try_for_each(fs::remove_file)?;
        Ok(parts)
    }

    /// The parts that were begun before `from`, and what else a process that is gone has left.
    pub(super) fn list(&self, from: Position) -> io::Result<(Parts, Vec<PathBuf>)> {
        let (mut parts, mut unfinished) = (Parts::new(), Vec::new());
        for step in RowStep::ALL {
            for folder in entries(&self.tree.join(format!("step={}", step_name(step))))? {
                let Some(day) = name_of(&folder).strip_prefix("date=").and_then(parse_date) else { continue };
                for path in entries(&folder)? {
                    let part = Part::parse(step, day, name_of(&path));
                    match part {
                        Some(part) if part.from < from => parts.entry((step, day)).or_default().push(part),
                        Some(_) => unfinished.push(path),
                        None if path.extension() == Some(OsStr::new(UNFINISHED)) => unfinished.push(path),
                        None => {}
                    }
                }
            }
        }
        for parts in parts.values_mut() {
            parts.sort_unstable();
        }
        Ok((parts, unfinished))
    }

    /// Writes a part, whole or not at all.
    pub(super) fn write_part(&self, part: &Part, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder(part.step, part.day);
        self.make_folder(&folder)?;
        self.write_whole(&folder, &part.name(), bytes)
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

    fn write_whole(&self, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = folder.join(format!(".{name}.{UNFINISHED}"));
        self.pass()?;
        let mut file = File::create(&unfinished)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.pass()?;
        file.write_all(second)?;
        file.sync_data()?;
        self.pass()?;
        fs::rename(&unfinished, folder.join(name))?;
        self.pass()?;
        sync_folder(folder)
    }

    /// Keeps a file of the directory of history and the one before it.
    pub(super) fn replace(&self, name: &str, before: &str, bytes: &[u8]) -> io::Result<()> {
        let written = format!("{name}.written");
        self.write_whole(&self.home, &written, bytes)?;
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

    /// Keeps a damaged file of the directory of history under another name.
    pub(super) fn set_aside(&self, name: &str) -> io::Result<()> {
        fs::rename(self.home.join(name), self.home.join(format!("{name}.damaged")))
    }

    /// A file of the directory of history; `None` where there is none.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.home.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a day's folder.
    pub(super) fn remove_day(&self, step: RowStep, day: Day) -> io::Result<()> {
        self.pass()?;
        remove_folder(&self.folder(step, day))
    }

    /// Puts one part with `bytes` in the place of the `merged` ones of a day, beside those that are `kept`. Who reads
    /// the tree sees the one or the other: the folder is made anew and the two change places at once.
    pub(super) fn merge(&self, merged: &Part, bytes: &[u8], kept: &[Part]) -> io::Result<()> {
        let folder = self.folder(merged.step, merged.day);
        let name = format!("{}-{}", step_name(merged.step), merged.day);
        let other = self.tree.join(MERGING).join(name);
        remove_folder(&other)?;
        self.make_folder(&other)?;
        self.write_whole(&other, &merged.name(), bytes)?;
        for part in kept {
            self.pass()?;
            fs::hard_link(folder.join(part.name()), other.join(part.name()))?;
        }
        sync_folder(&other)?;
        self.pass()?;
        renameat_with(CWD, &other, CWD, &folder, RenameFlags::EXCHANGE)?;
        self.pass()?;
        for above in [folder.parent(), other.parent()].into_iter().flatten() {
            sync_folder(above)?;
        }
        self.pass()?;
        remove_folder(&other)
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    listing.map(|entry| Ok(entry?.path())).collect()
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_part_is() {
        let from = Position { segment: 3, offset: 123_456 };
        let part = Part { step: RowStep::Quarter, day: 20_783, from, number: 2 };
        let path = Files::new(Path::new("/h"), None).path(&part);
        let text = "/h/ledger/step=quarter/date=2026-11-26/part-000000000003-000000123456-2.parquet";
        assert_eq!(path, Path::new(text));
        assert_eq!(Part::parse(RowStep::Quarter, 20_783, name_of(&path)), Some(part));
        assert_eq!(parse_date("2026-11-26"), Some(20_783));
        for foreign in ["part-1-2.parquet", "part-1-2-3.parquet.new", "part-1-2-3-4.parquet", "data.parquet"]
        {
            assert_eq!(Part::parse(RowStep::Day, 0, foreign), None, "{foreign}");
        }
    }
}
