//! The ledger's files: `ledger/step=minute/date=2026-11-26/part-<segment>-<offset>-<number>.parquet`.
//!
//! A part is named by the place in the journal from which on its rows were derived: what a snapshot has not committed is
//! recognised by its name, removed at the next start, and derived again. Each visible file is whole; the rows of all of
//! them are disjoint.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwapi_core::RowStep;
use parking_lot::Mutex;

use crate::journal::Position;
pub(super) use crate::tree::{Day, Gate};
use crate::tree::{Output, Tree, date, entries, is_unfinished, name_of, parse_date};

/// The tree of parts in the directory of history.
const TREE: &str = "ledger";
const SUFFIX: &str = ".parquet";

/// A file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The folders and what touches them. Clones share what is known of the parts.
#[derive(Clone, Debug)]
pub(super) struct Files {
    tree: Tree,
    /// Between which instants, in Unix milliseconds, the rows of parts that were written or read begin: of a day that is not
    /// over there are hundreds of parts, a few of which have a certain minute.
    extents: Arc<Mutex<HashMap<Part, RangeInclusive<u64>>>>,
}

impl Files {
    pub(super) fn new(home: &Path, gate: Option<Gate>) -> Self {
        Self { tree: Tree::new(home, TREE, gate), extents: Arc::default() }
    }

    /// The tree, for the files beside it.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Between which instants the rows of a part begin, if that is known.
    pub(super) fn extent(&self, part: &Part) -> Option<RangeInclusive<u64>> {
        self.extents.lock().get(part).cloned()
    }

    /// Notes between which instants the rows of a part begin. While an answer is made none is removed: what it notes is of
    /// a part that is there.
    pub(super) fn note_extent(&self, part: Part, extent: RangeInclusive<u64>) {
        self.extents.lock().insert(part, extent);
    }

    fn folder(&self, step: RowStep, day: Day) -> PathBuf {
        self.tree.root().join(format!("step={}", step_name(step))).join(format!("date={}", date(day)))
    }

    pub(super) fn path(&self, part: &Part) -> PathBuf {
        self.folder(part.step, part.day).join(part.name())
    }

    /// The parts there are. Those begun at `from` or later were not committed and are removed, and so is what a kill
    /// has left unfinished.
    pub(super) fn open(&self, from: Position) -> io::Result<Parts> {
        self.tree.clear_merging()?;
        let (parts, unfinished) = self.list(from)?;
        unfinished.into_iter().try_for_each(fs::remove_file)?;
        Ok(parts)
    }

    /// The parts that were begun before `from`, and what else a process that is gone has left.
    pub(super) fn list(&self, from: Position) -> io::Result<(Parts, Vec<PathBuf>)> {
        let (mut parts, mut unfinished) = (Parts::new(), Vec::new());
        for step in RowStep::ALL {
            for folder in entries(&self.tree.root().join(format!("step={}", step_name(step))))? {
                let Some(day) = name_of(&folder).strip_prefix("date=").and_then(parse_date) else { continue };
                for path in entries(&folder)? {
                    let part = Part::parse(step, day, name_of(&path));
                    match part {
                        Some(part) if part.from < from => parts.entry((step, day)).or_default().push(part),
                        Some(_) => unfinished.push(path),
                        None if is_unfinished(&path) => unfinished.push(path),
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
    pub(super) fn write_part(
        &self,
        part: &Part,
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.tree.write_part(&self.folder(part.step, part.day), &part.name(), write)
    }

    /// Removes a day's folder.
    pub(super) fn remove_day(&self, step: RowStep, day: Day) -> io::Result<()> {
        self.forget(step, day);
        self.tree.remove(&self.folder(step, day))
    }

    fn forget(&self, step: RowStep, day: Day) {
        self.extents.lock().retain(|part, _| (part.step, part.day) != (step, day));
    }

    /// Puts one part in the place of all of a day but those that are `kept`.
    pub(super) fn merge(
        &self,
        merged: &Part,
        kept: &[Part],
        write: impl FnOnce(&mut Output<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.forget(merged.step, merged.day);
        let folder = self.folder(merged.step, merged.day);
        let made_as = format!("{}-{}", step_name(merged.step), merged.day);
        let kept: Vec<String> = kept.iter().map(Part::name).collect();
        self.tree.merge(&folder, &made_as, &merged.name(), &kept, write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_a_part_is() {
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
