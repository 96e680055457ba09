//! What a configuration was made from, so that a change of any of it is noticed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that were read, and patterns that may come to match others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    files: Vec<PathBuf>,
    patterns: Vec<PathBuf>,
}

/// How a file looked. Its inode is part of that: a file moved into place may be older than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

/// How all of them looked at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looks(BTreeMap<PathBuf, Option<Look>>);

impl Sources {
    pub(crate) fn add_file(&mut self, file: PathBuf) {
        if !self.files.contains(&file) {
            self.files.push(file);
        }
    }

    pub(crate) fn add_pattern(&mut self, pattern: PathBuf) {
        if !self.patterns.contains(&pattern) {
            self.patterns.push(pattern);
        }
    }

    /// Looks at each of them now, also at files that were not there.
    pub(crate) fn look(&self) -> Looks {
        let matched = self.patterns.iter().flat_map(|pattern| matching(pattern).unwrap_or_default());
        let look = |file: &Path| {
            let meta = std::fs::metadata(file).ok()?;
            Some(Look { modified: meta.modified().ok(), bytes: meta.len(), inode: meta.ino() })
        };
        let all = self.files.iter().cloned().chain(matched);
        Looks(all.map(|file| (file.clone(), look(&file))).collect())
    }
}

/// The files that `pattern` names, in order of their names. A plain name must exist; a `*` in the last part may match
/// nothing.
///
/// # Errors
/// When the folder is there and cannot be listed, as one line.
pub(crate) fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Some((head, tail)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let parent = pattern.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = match std::fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: cannot be listed: {error}", parent.display())),
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|file| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        })
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_new_and_a_replaced_file_look_different() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.toml"), "1").unwrap();
        let mut sources = Sources::default();
        sources.add_file(at("a.toml"));
        sources.add_file(at("secret"));
        sources.add_pattern(at("*.toml"));
        let mut before = sources.look();
        let mut differs = |what: &str| {
            let now = sources.look();
            assert_ne!(std::mem::replace(&mut before, now.clone()), now, "{what}");
        };
        std::fs::write(at("a.toml"), "12").unwrap();
        differs("a longer file");
        std::fs::write(at("b.toml"), "").unwrap();
        differs("a file that the pattern matches");
        std::fs::write(at("secret"), "").unwrap();
        differs("a file that was not there");
        let old = std::fs::metadata(at("a.toml")).unwrap().modified().unwrap();
        std::fs::write(at("new"), "34").unwrap();
        std::fs::File::options().write(true).open(at("new")).unwrap().set_modified(old).unwrap();
        std::fs::rename(at("new"), at("a.toml")).unwrap();
        differs("a file of the same age and length moved into place");
        assert_eq!(sources.look(), before);
    }
}
