//! Probe ids: what is measured, named by the operator.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest probe id, in bytes. A topic is the id and a dot; both fit a file name and a NATS subject once encoded.
pub const PROBE_ID_BYTES_MAX: usize = 200;

/// The name of a probe: 1–200 bytes of UTF-8 without control characters. Dots make a path (`lyon.rack3.taurus-7`);
/// spaces, slashes, quotes and emoji are allowed, so whoever writes one into HTML, a URL or a file name encodes it.
#[derive(Clone, Debug, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ProbeId(Arc<str>);

/// Why a name is no probe id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeIdError {
    /// Nothing at all.
    #[error("a probe id must not be empty")]
    Empty,
    /// More than 200 bytes.
    #[error("a probe id must be at most {PROBE_ID_BYTES_MAX} bytes, not {0}")]
    TooLong(usize),
    /// A newline, a NUL or their like, which would break a log line or a header.
    #[error("a probe id must not contain control characters")]
    Control,
}

impl ProbeId {
    /// Checks a name once, so that whoever holds a `ProbeId` need not.
    ///
    /// # Errors
    /// When the name is empty, too long or has a control character.
    pub fn new(name: impl AsRef<str>) -> Result<Self, ProbeIdError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(ProbeIdError::Empty);
        }
        if name.len() > PROBE_ID_BYTES_MAX {
            return Err(ProbeIdError::TooLong(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(ProbeIdError::Control);
        }
        Ok(Self(name.into()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bus topic of this probe: the id and a dot, so that ZeroMQ's prefix match of `C.` leaves `CD` alone.
    pub fn topic(&self) -> String {
        format!("{}.", self.0)
    }

    /// Whether this is `root` itself or lies below it on the dotted path.
    pub fn is_within(&self, root: &str) -> bool {
        self.0.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl PartialEq for ProbeId {
    /// Ids that share their name are recognised at once: a copy is as good as a number.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for ProbeId {
    /// As the name itself, by which it may be looked up.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ProbeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ProbeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for ProbeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spaces_slashes_quotes_and_emoji_are_allowed() {
        for name in ["A", "lyon.rack3.taurus-7", "a/b", "it's \"7\" <b>", "nœud-é-🔌", &"x".repeat(200)] {
            assert_eq!(ProbeId::new(name).map(|id| id.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn empty_long_and_control_are_refused() {
        assert_eq!(ProbeId::new(""), Err(ProbeIdError::Empty));
        assert_eq!(ProbeId::new("x".repeat(201)), Err(ProbeIdError::TooLong(201)));
        for name in ["a\nb", "a\0", "\u{7f}", "\u{85}"] {
            assert_eq!(ProbeId::new(name), Err(ProbeIdError::Control), "{name:?}");
        }
    }

    #[test]
    fn a_subtree_is_reported_by_its_dot() {
        let probe = ProbeId::new("C.1").unwrap();
        assert!(probe.is_within("C") && probe.is_within("C.1"));
        assert!(!ProbeId::new("C1").unwrap().is_within("C"));
    }

    proptest! {
        #[test]
        fn any_accepted_id_survives_as_it_was(name in any::<String>()) {
            if let Ok(id) = ProbeId::new(&name) {
                prop_assert_eq!(id.as_str(), name);
            }
        }
    }
}
