//! Bearer tokens of our own: long random strings, of which the configuration has only the hash.

use std::sync::Arc;

use kwapi_core::{Pattern, hex};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::AuthError;
use crate::audit::AuditEvent;
use crate::scope::Scope;

/// `[[api.auth.token]]`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StaticToken {
    /// Whose it is, for the log.
    pub name: String,
    /// SHA-256 of the token, 64 hex digits: `printf %s "$TOKEN" | sha256sum`. One hash suffices because a token is
    /// random and long, unlike a password.
    pub sha256: String,
    /// The roles it carries.
    #[serde(default = "admin")]
    pub roles: Vec<String>,
    /// The probes it shows; all, if none are named and no `[[api.auth.scope]]` states otherwise.
    #[serde(default)]
    pub probes: Vec<Pattern>,
}

impl StaticToken {
    /// Validates it as far as possible.
    ///
    /// # Errors
    /// When its hash is none.
    pub fn check(&self) -> Result<(), AuthError> {
        Tokens::new(std::slice::from_ref(self)).map(drop)
    }
}

pub(super) fn admin() -> Vec<String> {
    vec!["admin".to_owned()]
}

/// The SHA-256 of a token, as a configuration has it.
#[cfg(test)]
pub(crate) fn hash_token(token: &str) -> String {
    hex::encode(&Sha256::digest(token.as_bytes()))
}

/// A token that is let in.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) name: Arc<str>,
    hash: [u8; 32],
    pub(super) roles: Vec<String>,
    pub(super) scope: Scope,
}

#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Known>);

impl Tokens {
    pub(super) fn new(tokens: &[StaticToken]) -> Result<Self, AuthError> {
        let known = |token: &StaticToken| {
            let failed = |message| AuthError::Token { name: token.name.clone(), message };
            let hash = parse_hash(&token.sha256).ok_or_else(|| failed("sha256 is not 64 hex digits"))?;
            let scope = Scope::of_patterns(&token.probes);
            Ok(Known { name: token.name.as_str().into(), hash, roles: token.roles.clone(), scope })
        };
        tokens.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// Finds a token by its hash, in a time that does not show how much of one was right.
    pub(super) fn find(&self, token: &str) -> Option<&Known> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0
            .iter()
            .fold(None, |found, known| if bool::from(known.hash.ct_eq(&hash)) { Some(known) } else { found })
    }
}

impl Tokens {
    /// All of them, as a process records them when it begins.
    pub(super) fn all(&self) -> Vec<AuditEvent> {
        self.0.iter().map(|known| known.event("present")).collect()
    }

    /// What has changed since those of `before`, by name.
    pub(super) fn changes_since(&self, before: &Self) -> Vec<AuditEvent> {
        let named = |tokens: &Self, name: &str| tokens.0.iter().find(|known| &*known.name == name).cloned();
        let taken_up = self.0.iter().filter_map(|known| match named(before, &known.name) {
            None => Some(known.event("added")),
            Some(old) if old.hash != known.hash => Some(known.event("changed")),
            Some(_) => None,
        });
        let dropped = before.0.iter().filter(|old| named(self, &old.name).is_none());
        taken_up.chain(dropped.map(|old| old.event("removed"))).collect()
    }
}

impl Known {
    fn event(&self, change: &'static str) -> AuditEvent {
        /// Of a digest, so many hex digits.
        const DIGITS: usize = 16;
        let digest = hex::encode(&Sha256::digest(self.hash));
        let fingerprint = digest.get(..DIGITS).unwrap_or(&digest).to_owned();
        AuditEvent::Key { change, key: format!("token {}", self.name), fingerprint }
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    hex::decode(text)?.try_into().ok()
}
