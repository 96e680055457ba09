//! Who may read: Keystone's tokens or our own, and the policy that judges the roles they carry.
//!
//! Towards clients this behaves as keystonemiddleware does: 401 without a valid token, 403 for a token whose roles do not
//! suffice (a 401 would only make the client authenticate again, for nothing), 503 while Keystone cannot be reached.
//! Identity headers from outside are removed before anything else sees them.

mod config;
mod error;
mod keystone;
mod login;
mod policy;
mod scopes;
mod tokens;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use kwapi_core::WallClock;

pub use config::AuthConfig;
pub use error::AuthError;
pub use keystone::KeystoneConfig;
#[cfg(feature = "fuzzing")]
pub(crate) use keystone::{is_token, path_matches};
pub(crate) use login::{Client, LastingCaller, LoginForm, NotLoggedIn, behind_login};
pub use login::{LoginConfig, Logins, ProxyUser};
#[cfg(feature = "fuzzing")]
pub(crate) use policy::parse_file as parse_policy;
pub use policy::{Policy, PolicyError};
pub use scopes::ScopeConfig;
pub use tokens::StaticToken;
#[cfg(test)]
pub(crate) use tokens::hash_token;

use crate::audit::AuditEvent;
use crate::directory::Directory;
use crate::http::{HttpError, ServerRoutes};
use crate::scope::Scope;
use keystone::{Identity, Keystone};
use policy::Credentials;
use scopes::Scopes;
use tokens::Tokens;

/// What a caller must be allowed to do to read, as policies call it.
pub(crate) const READ_RULE: &str = "kwapi:read";
/// Longer tokens are refused unread; Keystone's largest (JWS) have some hundred bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Whoever sent a request, as far as it matters here.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What may be seen.
    scope: Scope,
    /// The token's name, or the user's.
    name: Arc<str>,
    admission: Admission,
}

/// How a caller shows who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// By a token that each request has.
    Token,
    /// By a login, which they can end.
    Login,
    /// A trusted proxy names the user.
    Proxy,
}

impl Caller {
    /// What they may see.
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Their name, and whether they have a login that they can end.
    pub(crate) fn name(&self) -> (&Arc<str>, bool) {
        (&self.name, self.admission == Admission::Login)
    }
}

/// Judges requests; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: Policy,
    tokens: ArcSwap<Tokens>,
    scopes: ArcSwap<Scopes>,
    directory: Directory,
    keystone: Option<Keystone>,
    /// What a 401 states of where tokens come from.
    challenge: HeaderValue,
}

impl Auth {
    /// Sets authentication up as configured; scopes look labels up in `directory`. Reads the policy file, the password
    /// and certificates; sends no request.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn new(config: &AuthConfig, wall: WallClock, directory: Directory) -> Result<Self, AuthError> {
        config.check_scopes()?;
        let policy = match &config.policy_file {
            Some(path) => {
                Policy::read(path).map_err(|source| AuthError::Policy { path: path.clone(), source })?
            }
            None => Policy::default(),
        };
        let tokens = ArcSwap::from_pointee(Tokens::new(&config.tokens)?);
        let challenge = match &config.keystone {
            Some(keystone) => {
                let uri = keystone.www_authenticate_uri.as_ref().unwrap_or(&keystone.url);
                HeaderValue::try_from(format!("Keystone uri=\"{uri}\"")).map_err(|_| AuthError::Keystone {
                    url: uri.clone(),
                    key: if keystone.www_authenticate_uri.is_some() { "www_authenticate_uri" } else { "url" },
                    message: "this URL is not valid in a header".to_owned(),
                })?
            }
            None => HeaderValue::from_static("Bearer realm=\"kwapi\""),
        };
        let keystone = config.keystone.as_ref().map(|keystone| Keystone::new(keystone, wall)).transpose()?;
        let scopes = ArcSwap::from_pointee(Scopes::new(&config.see_all, &config.scopes, &directory));
        Ok(Self(Arc::new(Inner { policy, tokens, scopes, directory, keystone, challenge })))
    }

    /// Applies tokens and scopes of a new configuration, from the next request on, and returns which tokens have
    /// changed. The rest takes a restart.
    ///
    /// # Errors
    /// When a token is wrong; then nothing has changed.
    pub fn replace(&self, config: &AuthConfig) -> Result<Vec<AuditEvent>, AuthError> {
        let tokens = Arc::new(Tokens::new(&config.tokens)?);
        let scopes = Scopes::new(&config.see_all, &config.scopes, &self.0.directory);
        let before = self.0.tokens.swap(Arc::clone(&tokens));
        self.0.scopes.store(Arc::new(scopes));
        Ok(tokens.changes_since(&before))
    }

    /// The tokens there are, to be recorded at the start.
    pub fn keys(&self) -> Vec<AuditEvent> {
        self.0.tokens.load().all()
    }

    /// Whether some tokens are Keystone's.
    pub fn has_keystone(&self) -> bool {
        self.0.keystone.is_some()
    }

    /// Gets the token we send requests with, trying until there is one: what is wrong with our user is known before the
    /// first caller comes.
    pub async fn introduce(self) {
        if let Some(keystone) = &self.0.keystone {
            keystone.introduce().await;
        }
    }

    /// Whether callers can be judged: Keystone, if it is used, has let us in once. That it is unreachable later is
    /// reported to each caller with a 503, and is no reason to send them elsewhere, where it is unreachable as well.
    ///
    /// # Errors
    /// With why it did not let us in.
    pub fn readiness(&self) -> Result<(), String> {
        self.0.keystone.as_ref().map_or(Ok(()), Keystone::readiness)
    }

    /// How often Keystone was queried about a token since the start.
    pub fn keystone_requests(&self) -> u64 {
        self.0.keystone.as_ref().map_or(0, Keystone::requests)
    }

    async fn judge(&self, request: Judged<'_>) -> Result<Caller, Refusal> {
        let token = request.token.ok_or(Refusal::Unauthenticated)?;
        if let Some(known) = self.0.tokens.load().find(token) {
            let credentials = Credentials { roles: known.roles.clone(), ..Credentials::default() };
            let scope = self.0.scopes.load().of_token(&known.name, &known.roles, &known.scope);
            let caller = Caller { scope, name: Arc::clone(&known.name), admission: Admission::Token };
            return if self.0.policy.allows(request.rule, &credentials) {
                Ok(caller)
            } else {
                Err(Refusal::Forbidden)
            };
        }
        let keystone = self.0.keystone.as_ref().ok_or(Refusal::Unauthenticated)?;
        let identity = keystone_identity(keystone, token, &request).await?;
        if !self.0.policy.allows(request.rule, &credentials_of(&identity)) {
            return Err(Refusal::Forbidden);
        }
        let scope = self.0.scopes.load().of_identity(&identity);
        Ok(Caller { scope, name: identity.display_name().into(), admission: Admission::Token })
    }
}

/// The owner of a token by Keystone. A service that acts for a user (`X-Service-Token`) may send a token that
/// has expired while it worked, and is not bound by the user's access rules; a bad service token spoils a good one.
async fn keystone_identity(
    keystone: &Keystone,
    token: &str,
    request: &Judged<'_>,
) -> Result<Arc<Identity>, Refusal> {
    let config = keystone.config();
    let is_service = match request.service_token {
        Some(token) => {
            let service = identify(keystone, token, false).await?;
            if !service.has_role_of(&config.service_token_roles) {
                return Err(Refusal::Unauthenticated);
            }
            true
        }
        None => false,
    };
    let identity = identify(keystone, token, is_service).await?;
    if !is_service && !identity.may_send(&config.service_type, request.method, request.path) {
        return Err(Refusal::Unauthenticated);
    }
    Ok(identity)
}

async fn identify(keystone: &Keystone, token: &str, allow_expired: bool) -> Result<Arc<Identity>, Refusal> {
    match keystone.identify(token, allow_expired).await {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(Refusal::Unauthenticated),
        Err(_) => Err(Refusal::Unavailable), // It has been logged, once.
    }
}

fn credentials_of(identity: &Identity) -> Credentials {
    let mut attributes = HashMap::from([("user_id", identity.user_id.clone())]);
    attributes.extend(identity.project.as_ref().map(|project| ("project_id", project.id.clone())));
    attributes.extend(identity.domain_id.clone().map(|id| ("domain_id", id)));
    attributes.extend(identity.is_system.then(|| ("system_scope", "all".to_owned())));
    Credentials { roles: identity.roles.clone(), is_admin: false, attributes }
}

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
struct Judged<'a> {
    token: Option<&'a str>,
    service_token: Option<&'a str>,
    method: &'a str,
    path: &'a str,
    /// What its route takes.
    rule: &'a str,
}

/// Why a request is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// No token, or none that is valid.
    Unauthenticated,
    /// A valid token whose roles do not suffice.
    Forbidden,
    /// Keystone cannot decide.
    Unavailable,
}

impl Refusal {
    /// What the audit log calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unknown",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "keystone is unreachable",
        }
    }
}

/// Authentication in front of the routes of a server.
#[derive(Clone, Debug)]
struct Guard {
    auth: Auth,
    routes: &'static dyn ServerRoutes,
}

/// Puts `router`, which serves `routes`, behind `auth`. What it serves gets from [`scope_of`] which probes the caller
/// sees.
pub(crate) fn guarded(router: Router, auth: Auth, routes: &'static dyn ServerRoutes) -> Router {
    router.layer(from_fn_with_state(Guard { auth, routes }, authenticate))
}

/// What whoever sent a request may see; everything, where no authentication is configured.
pub(crate) fn scope_of(request: &Request) -> Scope {
    caller_of(request).map(|caller| caller.scope.clone()).unwrap_or_default()
}

/// Whoever sent a request, where authentication is configured.
pub(crate) fn caller_of(request: &Request) -> Option<&Caller> {
    request.extensions().get()
}

/// Lets through who may do what the route takes, with the [`Caller`] as an extension of the request.
async fn authenticate(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let Guard { auth, routes } = guard;
    strip_identity(request.headers_mut());
    let Some(rule) = routes.rule(request.uri().path()) else { return next.run(request).await };
    let judged = {
        let headers = request.headers();
        let request = Judged {
            token: token_of(headers),
            service_token: bounded(named(headers, "x-service-token")),
            method: request.method().as_str(),
            path: request.uri().path(),
            rule,
        };
        auth.judge(request).await
    };
    match judged {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => auth.refuse(refusal),
    }
}

impl Auth {
    fn refuse(&self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::Unauthenticated => {
                let message = "The request you have made requires authentication.";
                let error = HttpError::new(StatusCode::UNAUTHORIZED, message);
                ([(header::WWW_AUTHENTICATE, self.0.challenge.clone())], error).into_response()
            }
            Refusal::Forbidden => {
                let message = "You are not authorized to perform the requested action.";
                HttpError::new(StatusCode::FORBIDDEN, message).into_response()
            }
            Refusal::Unavailable => {
                let message = "The identity service is unreachable.";
                let error = HttpError::new(StatusCode::SERVICE_UNAVAILABLE, message);
                ([(header::RETRY_AFTER, HeaderValue::from_static("5"))], error).into_response()
            }
        }
    }
}

fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn bounded(token: Option<&str>) -> Option<&str> {
    token.filter(|token| !token.is_empty() && token.len() <= TOKEN_BYTES_MAX)
}

/// The token of a request: where OpenStack's clients put it, under its old alias, or as a bearer token.
fn token_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = || {
        let (scheme, token) = named(headers, "authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    bounded(named(headers, "x-auth-token").or_else(|| named(headers, "x-storage-token")).or_else(bearer))
}

/// Removes every header by which keystonemiddleware names the caller to an application: from outside they are forged.
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
