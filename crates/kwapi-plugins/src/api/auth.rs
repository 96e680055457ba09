//! Who may read: Keystone's tokens or our own, and the policy that judges the roles they carry.
//!
//! Towards clients this behaves as keystonemiddleware does: 401 without a valid token, 403 for a token whose roles do not
//! suffice (a 401 would only make the client authenticate again, for nothing), 503 while Keystone cannot be asked.
//! Identity headers from outside are removed before anything else sees them.

mod policy;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

#[doc(hidden)]
pub use policy::parse_file as parse_policy;
pub use policy::{Policy, PolicyError};
pub use tokens::{StaticToken, hash_token};

use super::Scope;
use crate::http::HttpError;
use policy::Credentials;
use tokens::Tokens;

/// The rule that reading the API takes.
const RULE: &str = "kwapi:read";
/// Longer tokens are refused unread; Keystone's largest (JWS) have some hundred bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// `[api.auth]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthConfig {
    /// oslo.policy file, JSON or YAML; without it, role `admin` may read.
    pub policy_file: Option<PathBuf>,
    /// `[[api.auth.token]]`: bearer tokens of our own, for those without OpenStack.
    #[serde(default, rename = "token")]
    pub tokens: Vec<StaticToken>,
}

impl AuthConfig {
    /// Whether it lets nobody in.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

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
    /// A token's entry is wrong.
    #[error("token {name:?}: {message}")]
    Token {
        /// Which one, by its name.
        name: String,
        /// What is wrong with it.
        message: &'static str,
    },
}

/// Whoever sent a request, as far as the API cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A name for logs: the token's, or Keystone's user id.
    pub name: Arc<str>,
    /// What may be seen.
    pub scope: Scope,
}

/// Judges requests; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: Policy,
    tokens: Tokens,
}

impl Auth {
    /// Sets authentication up as configured. Reads the policy file.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn new(config: &AuthConfig) -> Result<Self, AuthError> {
        let policy = match &config.policy_file {
            Some(path) => {
                Policy::read(path).map_err(|source| AuthError::Policy { path: path.clone(), source })?
            }
            None => Policy::default(),
        };
        let tokens = Tokens::new(&config.tokens)?;
        Ok(Self(Arc::new(Inner { policy, tokens })))
    }

    fn judge(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let token = token_of(headers).ok_or(Refusal::Unauthenticated)?;
        let known = self.0.tokens.find(token).ok_or(Refusal::Unauthenticated)?;
        let credentials = Credentials { roles: known.roles.clone(), ..Credentials::default() };
        if !self.0.policy.allows(RULE, &credentials) {
            return Err(Refusal::Forbidden);
        }
        Ok(Caller { name: known.name.clone(), scope: known.scope.clone() })
    }
}

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No token, or none that is valid.
    Unauthenticated,
    /// A valid token whose roles do not suffice.
    Forbidden,
}

/// The middleware in front of the API.
pub(super) async fn authenticate(State(auth): State<Auth>, mut request: Request, next: Next) -> Response {
    strip_identity(request.headers_mut());
    match auth.judge(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refuse(refusal),
    }
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Unauthenticated => {
            let message = "The request you have made requires authentication.";
            let error = HttpError::new(StatusCode::UNAUTHORIZED, message);
            let realm = HeaderValue::from_static("Bearer realm=\"kwapi\"");
            ([(header::WWW_AUTHENTICATE, realm)], error).into_response()
        }
        Refusal::Forbidden => {
            let message = "You are not authorized to perform the requested action.";
            HttpError::new(StatusCode::FORBIDDEN, message).into_response()
        }
    }
}

/// The token of a request: where OpenStack's clients put it, under its old alias, or as a bearer token.
fn token_of(headers: &HeaderMap) -> Option<&str> {
    let named = |name: &'static str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || {
        let (scheme, token) = named("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    let token = named("x-auth-token").or_else(|| named("x-storage-token")).or_else(bearer)?;
    (!token.is_empty() && token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

/// Removes every header by which keystonemiddleware tells an application who asks: from outside they are lies.
fn strip_identity(headers: &mut HeaderMap) {
    /// `keystonemiddleware/auth_token/_request.py`: `_HEADER_TEMPLATE` and `_DEPRECATED_HEADER_MAP`.
    const PREFIXES: [&str; 5] = ["x-user", "x-project", "x-domain", "x-tenant", "x-service-"];
    const NAMES: [&str; 6] = [
        "x-role",
        "x-roles",
        "x-identity-status",
        "x-service-catalog",
        "x-system-scope",
        "openstack-system-scope",
    ];
    /// A token, not an identity.
    const KEPT: &str = "x-service-token";
    let is_identity = |name: &str| {
        name != KEPT && (NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_identity(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
