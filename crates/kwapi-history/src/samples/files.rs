//! The files of samples: `samples/date=2026-11-26/hour=17/part-<segment>-<offset>.parquet`.
//!
//! A part is named by the place in the journal where what it holds begins; it ends where the next write began. What has
//! not been committed is known by its name, removed at the next start, and taken from the journal again. Each visible
//! file is whole; the rows of all of them are disjoint.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sample::Hour;
use crate::journal::Position;
use crate::tree::{Gate, Output, Tree, date, entries, is_unfinished, name_of, parse_date};

/// The tree of parts in the directory of history.
const TREE: &str = "samples";
const SUFFIX: &str = ".parquet";
pub(super) const HOURS_OF_DAY: u64 = 24;

/// A file of samples of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SamplePart {
    pub(super) hour: Hour,
    /// Where in the journal what it holds begins.
    pub(super) from: Position,
    /// Its size.
    pub(super) bytes: u64,
}

impl SamplePart {
    pub(super) fn name(&self) -> String {
        part_name(self.from)
    }

    /// Its place in the tree, and in a bucket below what the operator puts before it.
    pub(super) fn key(&self) -> String {
        let [day, hour] = folders(self.hour);
        format!("{day}/{hour}/{}", self.name())
    }

    /// The part with such a key.
    pub(super) fn of_key(key: &str, bytes: u64) -> Option<Self> {
        let mut names = key.split('/');
        let (day, hour, name) = (names.next()?, names.next()?, names.next()?);
        let part = Self { hour: parse_folders(day, hour)?, from: parse_name(name)?, bytes };
        // Others may write the same otherwise: such a thing is none of ours.
        (part.key() == key).then_some(part)
    }
}

/// The folders of an hour, that of its day first.
fn folders(hour: Hour) -> [String; 2] {
    let day = date(hour / HOURS_OF_DAY);
    [format!("date={day}"), format!("hour={:02}", hour % HOURS_OF_DAY)]
}

fn parse_folders(day: &str, hour: &str) -> Option<Hour> {
    let day = day.strip_prefix("date=").and_then(parse_date)?;
    let of_day = hour.strip_prefix("hour=").and_then(|hour| hour.parse::<u64>().ok());
    Some(day * HOURS_OF_DAY + of_day.filter(|hour| *hour < HOURS_OF_DAY)?)
}

fn part_name(Position { segment, offset }: Position) -> String {
    format!("part-{segment:012}-{offset:012}{SUFFIX}")
}

pub(super) fn parse_name(name: &str) -> Option<Position> {
    let (segment, offset) = name.strip_prefix("part-")?.strip_suffix(SUFFIX)?.split_once('-')?;
    Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
}

#[derive(Clone, Debug)]
pub(super) struct SampleFiles(Tree);

impl SampleFiles {
    pub(super) fn new(home: &Path, gate: Option<Gate>) -> Self {
        Self(Tree::new(home, TREE, gate))
    }

    /// The tree, for the files beside it.
    pub(super) fn tree(&self) -> &Tree {
        &self.0
    }

    fn folder(&self, hour: Hour) -> PathBuf {
        let [day, hour] = folders(hour);
        self.0.root().join(day).join(hour)
    }

    pub(super) fn path(&self, part: &SamplePart) -> PathBuf {
        self.folder(part.hour).join(part.name())
    }

    /// All parts there are, and what a kill has left unfinished.
    pub(super) fn list(&self) -> io::Result<(Vec<SamplePart>, Vec<PathBuf>)> {
        let (mut parts, mut unfinished) = (Vec::new(), Vec::new());
        for date in entries(self.0.root())?.iter().filter(|date| name_of(date).starts_with("date=")) {
            for folder in entries(date)? {
                let Some(hour) = parse_folders(name_of(date), name_of(&folder)) else { continue };
                for path in entries(&folder)? {
                    if is_unfinished(&path) {
                        unfinished.push(path);
                    } else if let Some(from) = parse_name(name_of(&path)) {
                        let bytes = fs::metadata(&path)?.len();
                        parts.push(SamplePart { hour, from, bytes });
                    }
                }
            }
        }
        Ok((parts, unfinished))
    }

    /// A position in the journal beyond the begin of each part.
    pub(super) fn newest(&self) -> Option<Position> {
        let (parts, _) = self.list().ok()?;
        let newest = parts.iter().map(|part| part.from).max()?;
        Some(Position { offset: newest.offset.saturating_add(1), ..newest })
    }

    /// The parts there are. Those begun at `from` or later were not committed and are removed, and so is what a kill
    /// has left unfinished.
    pub(super) fn open(&self, from: Position) -> io::Result<BTreeMap<Hour, Vec<SamplePart>>> {
        self.0.clear_merging()?;
        let (found, unfinished) = self.list()?;
        for path in unfinished {
            fs::remove_file(&path)?;
        }
        let mut parts: BTreeMap<Hour, Vec<SamplePart>> = BTreeMap::new();
        for part in found {
            if part.from >= from {
                fs::remove_file(self.path(&part))?;
            } else {
                parts.entry(part.hour).or_default().push(part);
            }
        }
        for parts in parts.values_mut() {
            parts.sort_unstable();
        }
        Ok(parts)
    }

    /// Writes a part, whole or not at all.
    pub(super) fn write_part(
        &self,
        hour: Hour,
        from: Position,
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<SamplePart> {
        let mut part = SamplePart { hour, from, bytes: 0 };
        self.0.write_part(&self.folder(hour), &part.name(), write)?;
        part.bytes = fs::metadata(self.path(&part))?.len();
        Ok(part)
    }

    /// Removes an hour, and its day where that was the last.
    pub(super) fn remove_hour(&self, hour: Hour) -> io::Result<()> {
        let folder = self.folder(hour);
        self.0.remove(&folder)?;
        // The day has other hours, as a rule.
        _ = folder.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Puts one part in the place of all of an hour but those that are `kept`.
    pub(super) fn merge(
        &self,
        hour: Hour,
        from: Position,
        kept: &[SamplePart],
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<SamplePart> {
        let mut part = SamplePart { hour, from, bytes: 0 };
        let kept: Vec<String> = kept.iter().map(SamplePart::name).collect();
        self.0.merge(&self.folder(hour), &hour.to_string(), &part.name(), &kept, write)?;
        part.bytes = fs::metadata(self.path(&part))?.len();
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_a_part_is() {
        let part =
            SamplePart { hour: 20_783 * 24 + 7, from: Position { segment: 3, offset: 123_456 }, bytes: 0 };
        let path = SampleFiles::new(Path::new("/h"), None).path(&part);
        let text = "/h/samples/date=2026-11-26/hour=07/part-000000000003-000000123456.parquet";
        assert_eq!(path, Path::new(text));
        assert_eq!(parse_name(name_of(&path)), Some(part.from));
        assert_eq!(Path::new("/h/samples").join(part.key()), path);
        assert_eq!(SamplePart::of_key(&part.key(), 0), Some(part));
        for foreign in ["", "a/b/c", "date=2026-11-26/hour=7/part-000000000003-000000123456.parquet"] {
            assert_eq!(SamplePart::of_key(foreign, 0), None, "{foreign}");
        }
        for foreign in ["part-1.parquet", "part-1-2-3.parquet", "part-1-2.parquet.new", "data.parquet"] {
            assert_eq!(parse_name(foreign), None, "{foreign}");
        }
    }
}
