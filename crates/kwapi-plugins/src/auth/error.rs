//! Why authentication cannot be set up.

use std::path::PathBuf;

use super::policy::PolicyError;

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The policy file is wrong.
    #[error("policy file {path}")]
    Policy {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: PolicyError,
    },
    /// Keystone's entry is wrong.
    #[error("keystone {url}: {key}: {message}")]
    Keystone {
        /// Which Keystone.
        url: String,
        /// The key at fault.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A token's entry is wrong.
    #[error("token {name:?}: {message}")]
    Token {
        /// Which one, by its name.
        name: String,
        /// What is wrong with it.
        message: &'static str,
    },
    /// An invalid setting of the pages' login.
    #[error("{key}: {message}")]
    Login {
        /// The key of `[rrd.auth]` at fault.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A scope's entry is wrong.
    #[error("scope {}: {message}", index + 1)]
    Scope {
        /// Which one, from 0.
        index: usize,
        /// What to do about it.
        message: String,
    },
}
