//! A configuration as it was written: values, and where each stands, so that an error can name file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Value;
use toml::de::{DeTable, DeValue};

pub(crate) use kwapi_drivers::config::Step;
use kwapi_drivers::config::{self, Problem};

use super::names::nearest;
use super::sources::{Sources, matching};

/// Included files may include others; deeper than this is a circle or a mistake.
const INCLUDE_DEPTH_MAX: usize = 8;

/// The tables of one configuration, with its includes merged in.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) tables: toml::Table,
    places: BTreeMap<Vec<Step>, Place>,
    files: Vec<PathBuf>,
    sources: Sources,
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: usize,
    line: usize,
}

/// What is wrong with a configuration, in one line that states where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentError {
    place: Option<String>,
    message: String,
}

impl DocumentError {
    /// An error with no line of its own.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }

    /// The same error with whom it concerns.
    pub(crate) fn with_note(self, note: impl fmt::Display) -> Self {
        Self { message: format!("{} ({note})", self.message), ..self }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for DocumentError {}

impl Document {
    /// Reads `file` and what it includes (`include = ["meters.d/*.toml"]`, relative to the file; a `*` stands for
    /// any part of the last name).
    ///
    /// # Errors
    /// When a file cannot be read or is no TOML, or two files give the same key.
    pub(crate) fn read(file: &Path) -> Result<Self, DocumentError> {
        let mut document = Self::default();
        document.add(file)?;
        Ok(document)
    }

    /// Adds `file` and what it includes; after an error, [`Document::sources`] still names what was looked at.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub(crate) fn add(&mut self, file: &Path) -> Result<(), DocumentError> {
        self.add_file(file, 0)
    }

    /// Everything it was made from, to be watched.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Notes a file that it was made from besides the configuration files.
    pub(crate) fn note_source(&mut self, file: PathBuf) {
        self.sources.add_file(file);
    }

    /// Notes files that may come to match `pattern`, as [`Document::note_source`].
    pub(crate) fn note_pattern(&mut self, pattern: PathBuf) {
        self.sources.add_pattern(pattern);
    }

    /// A relative file name in the configuration is relative to the first file.
    pub(crate) fn folder(&self) -> &Path {
        self.files.first().and_then(|file| file.parent()).unwrap_or(Path::new(""))
    }

    /// Every file it was read from.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// An error about the value at `path`, or the nearest one above it that has a line.
    pub(crate) fn error(&self, path: &[Step], message: impl Into<String>) -> DocumentError {
        let place = (0..=path.len())
            .rev()
            .filter_map(|length| path.get(..length))
            .find_map(|path| self.places.get(path))
            .and_then(|place| Some(format!("{}:{}", self.files.get(place.file)?.display(), place.line)));
        DocumentError { place, message: message.into() }
    }

    /// Reads one part of it into its type. `also` names keys that somebody else reads from the same table.
    ///
    /// # Errors
    /// With file, line and, for an unknown key, the nearest known one.
    pub(crate) fn section<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, DocumentError> {
        match self.tables.get(name) {
            None => Ok(T::default()),
            Some(value) => self.typed(&[Step::Key(name.to_owned())], value.clone(), &[]),
        }
    }

    /// Reads `value`, which stands at `path`, into its type.
    ///
    /// # Errors
    /// As [`Document::section`].
    pub(crate) fn typed<T: DeserializeOwned>(
        &self,
        path: &[Step],
        value: Value,
        also: &[&str],
    ) -> Result<T, DocumentError> {
        config::typed(value).map_err(|error| self.explain(path, &error, also))
    }

    /// Gives an error about the value at `path` its line. `also` names keys that somebody else reads from the same table.
    pub(crate) fn explain(&self, path: &[Step], error: &config::ConfigError, also: &[&str]) -> DocumentError {
        let whole = [path, error.path.as_slice()].concat();
        let table_name = path.last().and_then(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        match (&error.problem, error.last_key().or(table_name)) {
            (Problem::UnknownKey(known), Some(key)) => {
                self.unknown_key(&whole, key, known.iter().chain(also).copied())
            }
            (Problem::Missing, Some(key)) => self.error(&whole, format!("`{key}` is missing")),
            (problem, Some(key)) => {
                self.error(&whole, format!("`{key}`: {}", one_line(&problem.to_string())))
            }
            (problem, None) => self.error(&whole, one_line(&problem.to_string())),
        }
    }

    /// An error about a key, at `path`, that does not exist, with the nearest of those that are known there.
    pub(crate) fn unknown_key<'a>(
        &self,
        path: &[Step],
        key: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> DocumentError {
        let known: BTreeSet<&str> = known.collect();
        let advice = nearest(key, known.iter().copied()).map_or_else(
            || format!("valid keys: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            |name| format!("did you mean `{name}`?"),
        );
        self.error(path, format!("unknown key `{key}`; {advice}"))
    }

    fn add_file(&mut self, file: &Path, depth: usize) -> Result<(), DocumentError> {
        let shown = file.display();
        if depth > INCLUDE_DEPTH_MAX {
            return Err(DocumentError::new(format!(
                "{shown}: includes nested more than {INCLUDE_DEPTH_MAX} deep"
            )));
        }
        self.sources.add_file(file.to_owned());
        let text = std::fs::read_to_string(file)
            .map_err(|error| DocumentError::new(format!("{shown}: cannot be read: {error}")))?;
        let number = self.files.len();
        self.files.push(file.to_owned());
        let not_toml = |error: toml::de::Error| DocumentError {
            place: Some(match error.span() {
                Some(span) => format!("{shown}:{}", line_at(&text, span.start)),
                None => shown.to_string(),
            }),
            message: error.message().replace('\n', ", "),
        };
        let mut tables: toml::Table = toml::from_str(&text).map_err(not_toml)?;
        let spans = DeTable::parse(&text).map_err(not_toml)?;
        let mut places = BTreeMap::new();
        let to_place = |offset: usize| Place { file: number, line: line_at(&text, offset) };
        for (key, value) in spans.get_ref() {
            let mut path = vec![Step::Key(key.get_ref().to_string())];
            collect_places(&mut path, key.span().start, value, &to_place, &mut places);
        }
        let include = tables.remove("include");
        if include.as_ref().is_some_and(|include| !include.is_array()) {
            return Err(DocumentError::new(format!("{shown}: `include` must be a list of file names")));
        }
        self.merge(tables, places)?;
        for pattern in include.iter().flat_map(|include| include.as_array().cloned().unwrap_or_default()) {
            let Some(pattern) = pattern.as_str() else {
                return Err(DocumentError::new(format!("{shown}: `include` must be a list of file names")));
            };
            let pattern = file.parent().unwrap_or(Path::new("")).join(pattern);
            self.sources.add_pattern(pattern.clone());
            for included in matching(&pattern).map_err(DocumentError::new)? {
                self.add_file(&included, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Adds the tables of one file: arrays of tables are joined, other keys may be given once.
    fn merge(
        &mut self,
        tables: toml::Table,
        places: BTreeMap<Vec<Step>, Place>,
    ) -> Result<(), DocumentError> {
        let offset = |key: &str| self.tables.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let offsets: BTreeMap<String, usize> = tables.keys().map(|key| (key.clone(), offset(key))).collect();
        for (mut path, place) in places {
            if let [Step::Key(key), Step::Index(index), ..] = path.as_mut_slice() {
                *index += offsets.get(key).copied().unwrap_or(0);
            }
            self.places.entry(path).or_insert(place);
        }
        for (key, value) in tables {
            match (self.tables.get_mut(&key), value) {
                (None, value) => _ = self.tables.insert(key, value),
                (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
                (Some(Value::Table(all)), Value::Table(more)) => {
                    for (inner, value) in more {
                        if all.insert(inner.clone(), value).is_some() {
                            let path = [Step::Key(key), Step::Key(inner.clone())];
                            return Err(self.error(&path, format!("`{inner}` is set in two files")));
                        }
                    }
                }
                (Some(_), _) => {
                    let path = [Step::Key(key.clone())];
                    return Err(self.error(&path, format!("`{key}` is set in two files")));
                }
            }
        }
        Ok(())
    }
}

fn collect_places(
    path: &mut Vec<Step>,
    start: usize,
    value: &toml::Spanned<DeValue<'_>>,
    to_place: &dyn Fn(usize) -> Place,
    places: &mut BTreeMap<Vec<Step>, Place>,
) {
    places.insert(path.clone(), to_place(start));
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, inner) in table {
                path.push(Step::Key(key.get_ref().to_string()));
                collect_places(path, key.span().start, inner, to_place, places);
                path.pop();
            }
        }
        DeValue::Array(array) => {
            for (index, inner) in array.iter().enumerate() {
                path.push(Step::Index(index));
                collect_places(path, inner.span().start, inner, to_place, places);
                path.pop();
            }
        }
        _ => {}
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A message in one line. Of TOML's, which shows the line that is wrong in between, the place and the reason.
fn one_line(message: &str) -> String {
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first}: {last}"),
        (Some(only), None) => only.to_owned(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests;
