//! oslo.policy, as far as reading takes it: who may, by roles and ids.
//!
//! Both syntaxes: the old lists (`[["role:admin"], ["role:operator", "project_id:7"]]`: any of these, each all of those)
//! and the current strings (`role:admin or (role:reader and system_scope:all)`). Checks: `role:`, `rule:`,
//! `is_admin:`, `project_id:`, `user_id:`, `domain_id:`, `system_scope:`, `@` (all), `!` (none). Targets (`%(…)s`) have no
//! meaning here, and a file that uses one in a rule we need is refused rather than misread.
//!
//! Source: oslo.policy 6.0, `_parser.py` (grammar, precedence) and `_checks.py` (`RoleCheck` ignores case, `RuleCheck`
//! of an undefined rule denies).

use std::collections::HashMap;
use std::path::Path;

mod parse;

pub(crate) use parse::parse_file;

/// The original's rule, which applies where a file has no rule of ours.
const RULE_OF_THE_ORIGINAL: &str = "context_is_admin";
/// Rules may refer to rules this deep; deeper, or in a circle, denies.
const DEPTH_MAX: usize = 32;

/// What a token states of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// Role names.
    pub(crate) roles: Vec<String>,
    /// Whether Keystone calls the project its admin project.
    pub(crate) is_admin: bool,
    /// `user_id`, `project_id`, `domain_id`, `system_scope`: those that are there.
    pub(crate) attributes: HashMap<&'static str, String>,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[from] std::io::Error),
    /// It is neither JSON nor the part of YAML that policies use.
    #[error("line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A rule makes no sense.
    #[error("rule {rule:?}: {message}")]
    Rule {
        /// Which.
        rule: String,
        /// What is wrong with it.
        message: String,
    },
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `@`, or nothing.
    Always,
    /// `!`
    Never,
    /// `role:name`
    Role(String),
    /// `rule:name`
    Rule(String),
    /// `is_admin:True`
    IsAdmin(bool),
    /// `project_id:7` and its like.
    Attribute(String, String),
    /// `not …`
    Not(Box<Check>),
    /// `… and …`
    All(Vec<Check>),
    /// `… or …`
    Any(Vec<Check>),
}

/// Named rules.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: HashMap<String, Check>,
}

impl Default for Policy {
    /// The original's: role `admin`.
    fn default() -> Self {
        Self { rules: HashMap::from([(RULE_OF_THE_ORIGINAL.to_owned(), Check::Role("admin".to_owned()))]) }
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        Ok(Self { rules: parse_file(&std::fs::read_to_string(path)?)? })
    }

    /// Whether `credentials` satisfy `rule`, or the original's rule where the file has none of that name.
    pub(crate) fn allows(&self, rule: &str, credentials: &Credentials) -> bool {
        let check = self.rules.get(rule).or_else(|| self.rules.get(RULE_OF_THE_ORIGINAL));
        check.is_some_and(|check| self.holds(check, credentials, DEPTH_MAX))
    }

    fn holds(&self, check: &Check, credentials: &Credentials, depth: usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        match check {
            Check::Always => true,
            Check::Never => false,
            Check::Role(role) => {
                credentials.roles.iter().any(|has| has.to_lowercase() == role.to_lowercase())
            }
            Check::Rule(rule) => {
                self.rules.get(rule).is_some_and(|check| self.holds(check, credentials, depth))
            }
            Check::IsAdmin(expected) => credentials.is_admin == *expected,
            Check::Attribute(name, value) => credentials.attributes.get(name.as_str()) == Some(value),
            Check::Not(check) => !self.holds(check, credentials, depth),
            Check::All(checks) => checks.iter().all(|check| self.holds(check, credentials, depth)),
            Check::Any(checks) => checks.iter().any(|check| self.holds(check, credentials, depth)),
        }
    }
}

#[cfg(test)]
mod tests;
