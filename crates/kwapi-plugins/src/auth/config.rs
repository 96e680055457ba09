//! `[api.auth]`: whose tokens, the policy, and who sees what.

use std::path::PathBuf;

use serde::Deserialize;

use super::error::AuthError;
use super::keystone::KeystoneConfig;
use super::scopes::ScopeConfig;
use super::tokens::StaticToken;

/// `[api.auth]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// `[api.auth.keystone]`: OpenStack's tokens.
    pub keystone: Option<KeystoneConfig>,
    /// oslo.policy file, JSON or YAML; without it, role `admin` may read.
    pub policy_file: Option<PathBuf>,
    /// `[[api.auth.token]]`: bearer tokens of our own, for those without OpenStack.
    #[serde(default, rename = "token")]
    pub tokens: Vec<StaticToken>,
    /// `[[api.auth.scope]]`: which probes a token or a project sees. Where there is one, whoever has none sees nothing.
    #[serde(default, rename = "scope")]
    pub scopes: Vec<ScopeConfig>,
    /// Roles whose bearers see all probes, whatever scopes there are.
    #[serde(default = "see_all")]
    pub see_all: Vec<String>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { keystone: None, policy_file: None, tokens: Vec::new(), scopes: Vec::new(), see_all: see_all() }
    }
}

/// Operators, and services such as Ceilometer.
fn see_all() -> Vec<String> {
    vec!["admin".to_owned(), "service".to_owned()]
}

impl AuthConfig {
    /// Whether it lets nobody in.
    pub fn is_empty(&self) -> bool {
        self.keystone.is_none() && self.tokens.is_empty()
    }

    /// Validates each scope.
    ///
    /// # Errors
    /// At the first that makes no sense.
    pub(crate) fn check_scopes(&self) -> Result<(), AuthError> {
        for (index, scope) in self.scopes.iter().enumerate() {
            let checked = scope.check(&self.tokens, self.keystone.is_some());
            checked.map_err(|message| AuthError::Scope { index, message })?;
        }
        Ok(())
    }
}
