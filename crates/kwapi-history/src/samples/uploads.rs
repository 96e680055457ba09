//! What of the samples' files is in object storage: `samples-uploaded/2026-11-26`, a file a day, a line a file.
//!
//!     begun 17 part-000000000003-000000123456.parquet 117204 - 8d1fca02
//!     stored 17 part-000000000003-000000123456.parquet 117204 5f0e…c1 41b7705e
//!
//! State, hour, name, bytes, the SHA-256 of the contents and the line's own CRC-32. A line is on disk before an upload
//! begins, and one once the object is verified. A file of which an upload has begun is not merged with others any more:
//! there may be an object of its name already, and a name has one content for ever.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::{HOURS_OF_DAY, SamplePart, parse_name};
use super::sample::Hour;
use crate::journal::Position;
use crate::tree::{Day, Gate, Tree, date, entries, name_of, parse_date};

/// The files a day in the directory of history.
const TREE: &str = "samples-uploaded";
/// The same while they are made of a list of the objects.
const LISTING: &str = "samples-uploaded.listing";

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadState {
    /// There may be an object.
    Begun,
    /// There is one, and it was verified.
    Stored,
}

impl UploadState {
    const ALL: [Self; 2] = [Self::Begun, Self::Stored];

    fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Stored => "stored",
        }
    }
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UploadLine {
    pub(super) state: UploadState,
    pub(super) part: SamplePart,
}

/// The files.
#[derive(Debug)]
pub(super) struct UploadLog {
    tree: Tree,
    listing: Tree,
    /// The day that was read last, unless it has got more since.
    last: Mutex<Option<(Day, Arc<Vec<UploadLine>>)>>,
}

impl UploadLog {
    pub(super) fn new(home: &Path, gate: Option<Gate>) -> Self {
        let listing = Tree::new(home, LISTING, gate.clone());
        Self { tree: Tree::new(home, TREE, gate), listing, last: Mutex::default() }
    }

    /// Whether anything is known, be it that nothing was uploaded yet. Where it is not, a list of the objects shows it.
    pub(super) fn exists(&self) -> bool {
        self.tree.root().is_dir()
    }

    /// The days with lines.
    pub(super) fn days(&self) -> io::Result<BTreeSet<Day>> {
        Ok(entries(self.tree.root())?.iter().filter_map(|path| parse_date(name_of(path))).collect())
    }

    /// What is known of a day: of each file its last line.
    pub(super) fn day(&self, day: Day) -> io::Result<Arc<Vec<UploadLine>>> {
        let mut last = self.last.lock();
        if let Some((_, lines)) = last.as_ref().filter(|(of, _)| *of == day) {
            return Ok(Arc::clone(lines));
        }
        let path = self.tree.root().join(date(day));
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (lines, damaged) = parse(day, &String::from_utf8_lossy(&bytes));
        if damaged > 0 {
            tracing::warn!(file = %path.display(), lines = damaged, "damaged lines; their uploads are repeated");
        }
        let lines = Arc::new(lines);
        *last = Some((day, Arc::clone(&lines)));
        Ok(lines)
    }

    /// Puts down a line, on disk when this returns. `sha256` in hexadecimal, where it is known.
    pub(super) fn append(&self, line: &UploadLine, sha256: Option<&str>) -> io::Result<()> {
        let day = line.part.hour / HOURS_OF_DAY;
        let written = self.tree.append(&date(day), text(line, sha256).as_bytes());
        // Also after a failure: all of it may be there.
        self.last.lock().take_if(|(of, _)| *of == day);
        written
    }

    /// Forgets a list that was not finished.
    pub(super) fn begin_listing(&self) -> io::Result<()> {
        self.listing.remove(self.listing.root())
    }

    /// Adds objects that a list has.
    pub(super) fn list(&self, parts: &[SamplePart]) -> io::Result<()> {
        let mut parts = parts;
        while let Some(first) = parts.first() {
            let day = first.hour / HOURS_OF_DAY;
            let end = parts.partition_point(|part| part.hour / HOURS_OF_DAY <= day).max(1);
            let (of_day, rest) = parts.split_at(end);
            let stored = |part: &SamplePart| UploadLine { state: UploadState::Stored, part: *part };
            let lines: String = of_day.iter().map(|part| text(&stored(part), None)).collect();
            self.listing.append(&date(day), lines.as_bytes())?;
            parts = rest;
        }
        Ok(())
    }

    /// Takes a list that is whole for what is known.
    pub(super) fn end_listing(&self) -> io::Result<()> {
        self.listing.make_root()?;
        self.listing.rename_to(&self.tree)
    }
}

/// A line begins with its end of line: what a kill leaves of one does not spoil the next.
fn text(line: &UploadLine, sha256: Option<&str>) -> String {
    let UploadLine { state, part } = line;
    let (word, of_day, name, bytes) = (state.word(), part.hour % HOURS_OF_DAY, part.name(), part.bytes);
    let text = format!("{word} {of_day:02} {name} {bytes} {}", sha256.unwrap_or("-"));
    format!("\n{text} {:08x}", crc32fast::hash(text.as_bytes()))
}

/// Of each file the last line, in order of hours and names, and how many lines are none of ours or spoiled.
fn parse(day: Day, text: &str) -> (Vec<UploadLine>, usize) {
    let mut lines = std::collections::BTreeMap::<(Hour, Position), UploadLine>::new();
    let mut damaged = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        match parse_line(day, line) {
            Some(line) => _ = lines.insert((line.part.hour, line.part.from), line),
            None => damaged += 1,
        }
    }
    (lines.into_values().collect(), damaged)
}

fn parse_line(day: Day, line: &str) -> Option<UploadLine> {
    let (text, crc) = line.rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let word = words.next()?;
    let state = UploadState::ALL.into_iter().find(|state| state.word() == word)?;
    let of_day = words.next()?.parse::<u64>().ok().filter(|hour| *hour < HOURS_OF_DAY)?;
    let from = parse_name(words.next()?)?;
    let bytes = words.next()?.parse().ok()?;
    Some(UploadLine { state, part: SamplePart { hour: day * HOURS_OF_DAY + of_day, from, bytes } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: UploadState, hour: Hour, offset: u64) -> UploadLine {
        UploadLine {
            state,
            part: SamplePart { hour, from: Position { segment: 4, offset }, bytes: 7 + offset },
        }
    }

    #[test]
    fn of_each_file_the_last_line_counts_and_half_a_line_spoils_no_other() {
        let lab = kwapi_peers::Lab::empty();
        let log = UploadLog::new(lab.path(), None);
        assert!(!log.exists() && log.days().unwrap().is_empty());
        let day = 20_700;
        let [begun, stored] = UploadState::ALL.map(|state| line(state, day * 24 + 5, 3));
        log.append(&begun, None).unwrap();
        assert_eq!(*log.day(day).unwrap(), [begun]);
        log.append(&stored, Some("ab12")).unwrap();
        assert_eq!(*log.day(day).unwrap(), [stored]);
        // A kill.
        let path = lab.join("samples-uploaded").join(date(day));
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}\nstored 06 part-0000")).unwrap();
        let next = line(UploadState::Begun, day * 24 + 6, 9);
        log.append(&next, None).unwrap();
        assert_eq!(*log.day(day).unwrap(), [stored, next]);
        assert_eq!(log.days().unwrap().into_iter().collect::<Vec<_>>(), [day]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("stored 05 part-000000000004-000000000003.parquet 10 ab12 "), "{text}");
    }

    #[test]
    fn a_spoiled_byte_costs_its_line() {
        let line = line(UploadState::Stored, 20_700 * 24 + 23, 1 << 40);
        let text = text(&line, Some("5f0e"));
        assert_eq!(parse(20_700, &text), (vec![line], 0));
        for at in 1..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 2;
            let spoiled = String::from_utf8_lossy(&bytes).into_owned();
            let (lines, _) = parse(20_700, &spoiled);
            assert_eq!(lines, [], "byte {at}: {spoiled}");
            assert_eq!(parse(20_700, text.get(..at).unwrap()).0, [], "cut at {at}");
        }
    }

    #[test]
    fn a_list_is_known_when_it_is_whole() {
        let lab = kwapi_peers::Lab::empty();
        let log = UploadLog::new(lab.path(), None);
        let parts = [(20_700, 0), (20_700, 9), (20_702, 1)]
            .map(|(day, offset)| line(UploadState::Stored, day * 24 + 1, offset).part);
        log.list(&parts[..1]).unwrap();
        assert!(!log.exists());
        log.begin_listing().unwrap();
        log.list(&parts).unwrap();
        log.end_listing().unwrap();
        assert_eq!(log.days().unwrap().into_iter().collect::<Vec<_>>(), [20_700, 20_702]);
        let of = |day| log.day(day).unwrap().iter().map(|line| line.part).collect::<Vec<_>>();
        assert_eq!((of(20_700), of(20_702)), (parts[..2].to_vec(), parts[2..].to_vec()));
        // With nothing in it as well.
        let empty = kwapi_peers::Lab::empty();
        let log = UploadLog::new(empty.path(), None);
        log.begin_listing().unwrap();
        log.end_listing().unwrap();
        assert!(log.exists() && log.days().unwrap().is_empty());
    }
}
