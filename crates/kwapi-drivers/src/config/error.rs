//! What is wrong with a configuration, with the key in it: whoever reports it needs no sentence to find the line.

use std::fmt::{self, Write as _};

/// One step of the way to a value: into a table by key, or into an array by index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The value of this key.
    Key(String),
    /// The value at this place, from 0.
    Index(usize),
}

/// What is wrong, and where. Values are not repeated, they may be secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The way to the value at fault, from the table that was read; empty where that is at fault as a whole.
    pub path: Vec<Step>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no such key, which is the last of the path, but these.
    UnknownKey(Vec<&'static str>),
    /// The key, which is the last of the path, is not there and must be.
    Missing,
    /// The value is of another type.
    Type {
        /// The type it has: `integer`, `string`.
        found: &'static str,
        /// What was expected, with its article: `a string`.
        expected: String,
    },
    /// This, in a sentence without its subject where the path has a key.
    Other(String),
}

impl ConfigError {
    /// An error of the table as a whole: keys that do not go together.
    pub fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: Problem::Other(message.into()) }
    }

    /// An error of one key's value; the message goes without the key.
    pub fn of(key: &str, message: impl Into<String>) -> Self {
        Self::new(message).within(key)
    }

    /// The same error, of what `key` holds.
    #[must_use]
    pub fn within(mut self, key: &str) -> Self {
        self.path.insert(0, Step::Key(key.to_owned()));
        self
    }

    /// The key of the table that was read in which something is wrong.
    pub fn key(&self) -> Option<&str> {
        match self.path.first()? {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        }
    }

    /// The last key of the path.
    pub fn last_key(&self) -> Option<&str> {
        self.path.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut place = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if place.is_empty() => place.push_str(key),
                Step::Key(key) => write!(place, ".{key}")?,
                Step::Index(index) => write!(place, "[{index}]")?,
            }
        }
        match &self.problem {
            Problem::UnknownKey(known) => {
                write!(f, "unknown key `{place}`; valid keys: {}", known.join(", "))
            }
            Problem::Missing => write!(f, "`{place}` is missing"),
            problem if place.is_empty() => problem.fmt(f),
            problem => write!(f, "`{place}`: {problem}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(known) => write!(f, "unknown key; valid keys: {}", known.join(", ")),
            Self::Missing => f.write_str("is missing"),
            Self::Type { found, expected } => write!(f, "expected {expected}, not {found}"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_place_unless_it_is_the_whole_tables() {
        let error = ConfigError::of("power", "a factor is a number other than 0").within("values");
        assert_eq!(error.to_string(), "`values.power`: a factor is a number other than 0");
        assert_eq!((error.key(), error.last_key()), (Some("values"), Some("power")));
        let error = ConfigError::new("set power or energy");
        assert_eq!((error.to_string().as_str(), error.key()), ("set power or energy", None));
        let missing = ConfigError { path: vec![Step::Key("host".to_owned())], problem: Problem::Missing };
        assert_eq!(missing.to_string(), "`host` is missing");
    }
}
