//! A configuration in the making: tables in order, each accepted by the same code that reads a configuration, or commented
//! out with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use kwapi_core::ProbeId;
use toml::Value;

use crate::cli::VERSION;
use crate::config::Config;

/// More remarks than this are counted, not written.
const LOST_MAX: usize = 1_000;
/// More characters of a remark are cut.
const REMARK_CHARS_MAX: usize = 500;

/// The keys of a table, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<(String, Value)>);

impl Keys {
    /// A `[[meter]]` of a driver.
    pub(super) fn meter(driver: &str) -> Self {
        Self::default().with("driver", driver)
    }

    /// The same with a key.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.set(key, value);
        self
    }

    /// The same with a key, if there is a value for it.
    pub(super) fn maybe(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// The same with the keys of another table.
    pub(super) fn and(mut self, other: &Self) -> Self {
        for (key, value) in &other.0 {
            self.set(key, value.clone());
        }
        self
    }

    /// The driver of a meter.
    pub(super) fn driver(&self) -> Option<&str> {
        self.get("driver").and_then(Value::as_str)
    }

    /// The keys whose value is `${NAME}`, with that name.
    pub(super) fn of_environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, value)| {
            let name = value.as_str()?.strip_prefix("${")?.strip_suffix('}')?;
            Some((key.as_str(), name))
        })
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn write(&self, header: &str) -> String {
        let mut text = format!("{header}\n");
        for (key, value) in &self.0 {
            _ = writeln!(text, "{} = {value}", key_text(key));
        }
        text
    }
}

/// A key as it is written: bare where TOML allows that.
fn key_text(key: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
    if !key.is_empty() && key.chars().all(is_bare) {
        return key.to_owned();
    }
    Value::String(key.to_owned()).to_string()
}

/// One `[[meter]]`.
#[derive(Clone, Debug)]
struct DraftMeter {
    /// Where it comes from.
    origin: String,
    keys: Keys,
}

/// Everything there is so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    sections: Vec<(String, Keys)>,
    credentials: BTreeMap<String, Keys>,
    meters: Vec<DraftMeter>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
    names: BTreeSet<String>,
    probes: BTreeSet<String>,
    lost: Vec<String>,
    lost_count: usize,
    has_secrets: bool,
}

impl Draft {
    /// Something that has no place in our configuration, or needs a decision: where it stands, and what to do.
    pub(super) fn lost(&mut self, remark: impl Into<String>) {
        self.lost_count += 1;
        if self.lost.len() < LOST_MAX {
            self.lost.push(one_line(&remark.into()));
        }
    }

    /// Notes that a password or key is in what is written.
    pub(super) fn has_secret(&mut self) {
        self.has_secrets = true;
    }

    /// Sets a key of a section such as `bus`, which is made if need be.
    pub(super) fn set(&mut self, section: &str, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.sections.iter_mut().find(|(name, _)| name == section) {
            Some((_, keys)) => keys.set(key, value),
            None => self.sections.push((section.to_owned(), Keys::default().with(key, value))),
        }
    }

    /// A `[credentials.NAME]` table; the first of a name stays.
    pub(super) fn credentials(&mut self, name: &str, keys: Keys) {
        self.credentials.entry(name.to_owned()).or_insert(keys);
    }

    /// Whether there is a table of credentials of that name.
    pub(super) fn has_credentials(&self, name: &str) -> bool {
        self.credentials.contains_key(name)
    }

    /// Labels of a probe.
    pub(super) fn labels(&mut self, probe: &str, labels: BTreeMap<String, String>) {
        if !labels.is_empty() {
            self.labels.insert(probe.to_owned(), labels);
        }
    }

    /// The same meter with labels for its probes. One that would be taken for a template is left out, with a remark.
    pub(super) fn labelled(&mut self, origin: &str, keys: Keys, labels: &BTreeMap<String, String>) -> Keys {
        let mut table = toml::Table::new();
        for (name, value) in labels {
            if value.contains(['{', '}']) {
                self.lost(format!("{origin}: label {name} = {value:?}"));
            } else {
                table.insert(name.clone(), Value::String(value.clone()));
            }
        }
        keys.maybe("labels", Some(table).filter(|table| !table.is_empty()))
    }

    /// Takes the name of a probe for a meter. `None`, with a remark: it is no name, or another meter has it.
    pub(super) fn probe(&mut self, origin: &str, name: &str) -> Option<String> {
        if let Err(error) = ProbeId::new(name) {
            self.lost(format!("{origin}: probe {name:?}: {error}"));
            return None;
        }
        if !self.probes.insert(name.to_owned()) {
            self.lost(format!("{origin}: probe {name:?} is measured by another meter already"));
            return None;
        }
        Some(name.to_owned())
    }

    /// All probes that are named.
    pub(super) fn probes(&self) -> impl Iterator<Item = &str> {
        self.probes.iter().map(String::as_str)
    }

    /// Adds a meter, if a configuration with it alone is accepted.
    pub(super) fn meter(&mut self, origin: impl Into<String>, mut keys: Keys) {
        if let Some(Value::String(name)) = keys.get("name").cloned() {
            let others = (2..).map(|number| format!("{name} {number}"));
            let free = std::iter::once(name.clone()).chain(others).find(|name| !self.names.contains(name));
            let free = free.unwrap_or(name);
            self.names.insert(free.clone());
            keys.set("name", free);
        }
        self.meters.push(DraftMeter { origin: origin.into(), keys });
    }

    /// The configuration as text, and what it lacks.
    ///
    /// # Errors
    /// When it is not accepted as a whole, as one line.
    pub(super) fn finish(mut self, from: &[&Path]) -> Result<(String, Vec<String>), String> {
        let trial = Trial::new()?;
        let mut shared = String::new();
        for (name, keys) in &self.credentials {
            _ = writeln!(shared, "{}", keys.write(&format!("[credentials.{}]", key_text(name))));
        }
        let mut meters = String::new();
        for DraftMeter { origin, keys } in std::mem::take(&mut self.meters) {
            let table = keys.write("[[meter]]");
            match trial.of(&format!("{shared}{table}")) {
                Ok(()) => _ = write!(meters, "# {}\n{table}\n", one_line(&origin)),
                Err(why) => {
                    let out: String = table.lines().map(|line| format!("# {}\n", one_line(line))).collect();
                    _ = write!(meters, "# {}: not accepted: {}\n{out}\n", one_line(&origin), one_line(&why));
                    self.lost(format!("{origin}: {why}"));
                }
            }
        }
        let mut body = String::new();
        for (name, keys) in &self.sections {
            _ = writeln!(body, "{}", keys.write(&format!("[{name}]")));
        }
        body += &shared;
        body += &meters;
        if !self.labels.is_empty() {
            let mut labels = Keys::default();
            for (probe, of_probe) in &self.labels {
                let table: toml::Table = of_probe
                    .iter()
                    .map(|(name, value)| (name.clone(), Value::String(value.clone())))
                    .collect();
                labels.set(probe, table);
            }
            body += &labels.write("[labels]");
        }
        let text = format!("{}{}\n", self.head(from), body.trim_end());
        trial.of(&text).map_err(|why| format!("the configuration is not accepted as a whole: {why}"))?;
        let more = self.lost_count - self.lost.len();
        if more > 0 {
            self.lost.push(format!("{more} more"));
        }
        Ok((text, self.lost))
    }

    fn head(&self, from: &[&Path]) -> String {
        let from: Vec<String> = from.iter().map(|path| path.display().to_string()).collect();
        let mut text =
            format!("# Made by kwapi {VERSION} import-config from {}.\n", one_line(&from.join(", ")));
        text += "# Look through it, then: kwapi check\n";
        if self.has_secrets {
            text += "# It contains secrets: make it readable for the service only (chmod 640), or move them to files: { file = \"…\" }.\n";
        }
        if !self.lost.is_empty() {
            text += "#\n# Not carried over:\n";
            for line in &self.lost {
                _ = writeln!(text, "# - {line}");
            }
            let more = self.lost_count - self.lost.len();
            if more > 0 {
                _ = writeln!(text, "# - {more} more");
            }
        }
        text + "\n"
    }
}

/// Fit for a line of comment.
fn one_line(text: &str) -> String {
    let plain = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    plain.take(REMARK_CHARS_MAX).collect()
}

/// A place where configurations are tried, as `kwapi check --no-files` would.
struct Trial(tempfile::TempDir);

impl Trial {
    fn new() -> Result<Self, String> {
        tempfile::tempdir().map(Self).map_err(|error| format!("cannot make a temporary directory: {error}"))
    }

    fn of(&self, text: &str) -> Result<(), String> {
        let file = self.0.path().join("kwapi.toml");
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let read = Config::read(&file).map(drop);
        read.map_err(|error| {
            let message = error.to_string();
            // The line is of a file that nobody has.
            let after = message.strip_prefix(&format!("{}:", file.display())).unwrap_or(&message);
            let after =
                after.trim_start_matches(|character: char| character.is_ascii_digit() || character == ':');
            after.trim().to_owned()
        })
    }
}
