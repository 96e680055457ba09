//! Patterns: which probes a subscriber, a key or a reader means.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ranges::{self, RangeError};
use crate::{ProbeId, ProbeIdError};

/// A choice of probes: all of them (`*`), one id, or a subtree (`lyon.*` takes `lyon.rack3.a`, never `lyon` itself
/// nor `lyonnais.a`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`
    All,
    /// An id, exactly: `C` never takes `C.1`.
    Exact(ProbeId),
    /// `root.*`: everything below `root` on the dotted path.
    Below(ProbeId),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The id in it is none.
    #[error(transparent)]
    Id(#[from] ProbeIdError),
    /// A range in brackets is none; see [`Pattern::expand`].
    #[error(transparent)]
    Range(#[from] RangeError),
}

impl Pattern {
    /// Reads `*`, `lyon.*` or an id. A star elsewhere is part of an id.
    ///
    /// # Errors
    /// When what is left is no probe id.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::All);
        }
        Ok(match text.strip_suffix(".*") {
            Some(root) => Self::Below(ProbeId::new(root)?),
            None => Self::Exact(ProbeId::new(text)?),
        })
    }

    /// Reads a pattern in which brackets are ranges: `taurus-[1-16]`, `lyon.rack[1,3].*`. A probe whose id has a bracket
    /// is meant by [`Pattern::new`] alone.
    ///
    /// # Errors
    /// When it is no pattern, or stands for more than `patterns_max`.
    pub fn expand(text: &str, patterns_max: usize) -> Result<Vec<Self>, PatternError> {
        let all = ranges::expand(text, patterns_max)?;
        all.iter().map(|named| Self::new(&named.name)).collect()
    }

    /// Whether `probe` is meant.
    pub fn matches(&self, probe: &ProbeId) -> bool {
        self.matches_id(probe.as_str())
    }

    /// Whether a probe that is called `id` is meant.
    pub fn matches_id(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(probe) => probe.as_str() == id,
            Self::Below(root) => id.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('.')),
        }
    }

    /// What to subscribe to: every topic that can match begins with it, and some that do not (`C.` is also the
    /// beginning of `C.1.`), so the subscriber checks again with [`Pattern::matches`].
    pub fn topic_prefix(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Exact(id) | Self::Below(id) => id.topic(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Exact(id) => write!(f, "{id}"),
            Self::Below(root) => write!(f, "{root}.*"),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, probe: &str, expected: bool) {
        let actual = Pattern::new(pattern).unwrap().matches(&ProbeId::new(probe).unwrap());
        assert_eq!(actual, expected, "{pattern} on {probe}");
    }

    #[test]
    fn an_exact_id_takes_no_child() {
        check("C", "C", true);
        check("C", "C.1", false);
        check("C", "CD", false);
    }

    #[test]
    fn a_subtree_takes_all_below_it_and_not_its_root() {
        check("lyon.*", "lyon.rack3.a", true);
        check("lyon.*", "lyon", false);
        check("lyon.*", "lyonnais.a", false);
        check("*", "anything at all", true);
    }

    #[test]
    fn brackets_stand_for_several_patterns() {
        let text = |text: &str| {
            let all = Pattern::expand(text, 20).map_err(|error| error.to_string());
            all.map(|all| all.iter().map(Pattern::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(text("node-[8-10]"), Ok("node-8 node-9 node-10".to_owned()));
        assert_eq!(text("lyon.rack[1,3].*"), Ok("lyon.rack1.* lyon.rack3.*".to_owned()));
        assert_eq!(text("*"), Ok("*".to_owned()));
        assert_eq!(text("n[1-21]"), Err("`n[1-21]`: more than 20 names".to_owned()));
        assert_eq!(text("n[1-2"), Err("`n[1-2`: unclosed [".to_owned()));
        assert_eq!(text(""), Err("a probe id must not be empty".to_owned()));
    }

    #[test]
    fn every_match_begins_with_the_topic_prefix() {
        for (pattern, probe) in [("C", "C"), ("lyon.*", "lyon.rack3.a"), ("*", "x")] {
            let pattern = Pattern::new(pattern).unwrap();
            assert!(ProbeId::new(probe).unwrap().topic().starts_with(&pattern.topic_prefix()));
        }
    }
}
