//! Every family of metrics there is: kinds, names and help stand in `families.txt`, one a line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a family's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only rises, from the start of the process or longer ago. Its samples' names end in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound, with their sum.
    Histogram,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

/// `KIND NAME HELP`. A name, once released, keeps its kind and its meaning.
const LINES: &str = include_str!("families.txt");

static FAMILIES: LazyLock<BTreeMap<&'static str, (Kind, &'static str)>> =
    LazyLock::new(|| LINES.lines().filter_map(parse).collect());

fn parse(line: &'static str) -> Option<(&'static str, (Kind, &'static str))> {
    let mut words = line.splitn(3, ' ');
    let kind = words.next()?;
    let kind =
        [Kind::Counter, Kind::Gauge, Kind::Histogram].into_iter().find(|known| known.name() == kind)?;
    Some((words.next()?, (kind, words.next()?)))
}

/// What the family of a name is; a test holds that each name in the code has its line.
pub(super) fn find(name: &str) -> (Kind, &'static str) {
    FAMILIES.get(name).copied().unwrap_or((Kind::Gauge, ""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The files of Rust below a folder that are no tests.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.file_stem().is_some_and(|stem| stem == "tests") {
                continue;
            }
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn each_family_that_is_filled_has_its_line_and_each_line_is_used() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        sources(&here.join("src"), &mut files);
        sources(&here.join("../kwapi/src"), &mut files);
        let mut used = BTreeSet::new();
        for file in files {
            let code = fs::read_to_string(&file).expect("a file");
            if code.contains("Exposition") {
                let texts = code.split('"').skip(1).step_by(2).filter(|text| text.starts_with("kwapi_"));
                used.extend(texts.map(str::to_owned));
            }
        }
        let listed: BTreeSet<String> = FAMILIES.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(used, listed);
        assert_eq!(
            FAMILIES.len(),
            LINES.lines().count(),
            "a line is not `KIND NAME HELP`, or a name stands twice"
        );
    }
}
