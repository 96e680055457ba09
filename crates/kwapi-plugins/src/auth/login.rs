//! People who look at the pages: they log in with one of our tokens, or as a user of Keystone, and their browser gets a
//! cookie; or a proxy in front of us states who they are.
//!
//! What a login may see is decided at every request, by the same judgement as of a token that is sent: one that was revoked,
//! has expired or lost its scope ends its logins with the next request (ADR 0037).

mod attempts;
mod client;
mod config;
mod guard;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::HeaderMap;
use kwapi_core::Secret;
use tokio::time::Instant;

pub(crate) use client::Client;
pub use config::{LoginConfig, ProxyUser};
pub(crate) use guard::{LastingCaller, behind_login};

use super::keystone::PasswordLogin;
use super::{Admission, Auth, AuthError, Caller, Credentials, Judged, READ_RULE, Refusal, TOKEN_BYTES_MAX};
use crate::audit::{AuditEvent, AuditLog};
use crate::scope::Scope;
use attempts::Attempts;
use client::TrustedProxies;
use sessions::OpenLogins;

/// The logins of the pages; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Logins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    auth: Auth,
    audit: AuditLog,
    settings: ArcSwap<LoginSettings>,
    open: OpenLogins,
    attempts: Attempts,
}

/// What a reload replaces.
#[derive(Debug)]
struct LoginSettings {
    idle_max: Duration,
    age_max: Duration,
    trusted: TrustedProxies,
    users: Vec<(ProxyUser, Scope)>,
}

impl LoginSettings {
    fn new(config: &LoginConfig, auth: &Auth) -> Result<Self, AuthError> {
        let (idle_max, age_max) = config.lifetimes();
        let addresses = config.trusted_proxies.iter().map(std::net::IpAddr::to_canonical).collect();
        let trusted = TrustedProxies { addresses, user_header: config.header()? };
        let own_scope = |user: &ProxyUser| (user.clone(), user.own_scope(&auth.0.directory));
        Ok(Self { idle_max, age_max, trusted, users: config.users.iter().map(own_scope).collect() })
    }
}

/// What somebody fills in.
#[derive(Debug)]
pub(crate) enum LoginForm {
    /// A token, ours or Keystone's.
    Token(Secret),
    /// A user of Keystone's.
    Password {
        /// The user's name.
        user: String,
        /// The user's domain; empty: the one that is configured.
        domain: String,
        password: Secret,
        /// The project's name; empty: the only one they have.
        project: String,
    },
}

/// Why somebody is not logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotLoggedIn {
    /// Too many have failed; try again after this.
    Wait(Duration),
    /// Others could read along.
    InClear,
    /// The token, or user and password, are not known.
    Unknown,
    /// They are known, and may not read.
    Forbidden,
    /// Keystone cannot decide.
    Unavailable,
    /// The user must choose one of these projects; none, if they have none, or not the one they named.
    Project(Vec<String>),
}

impl Logins {
    /// The logins of those whom `auth` lets read; who logs in, and who is refused, is recorded in `audit`.
    ///
    /// # Errors
    /// See [`LoginConfig::check`].
    pub fn new(config: &LoginConfig, auth: Auth, audit: AuditLog) -> Result<Self, AuthError> {
        let settings = ArcSwap::from_pointee(LoginSettings::new(config, &auth)?);
        let (open, attempts) = (OpenLogins::default(), Attempts::default());
        Ok(Self(Arc::new(Inner { auth, audit, settings, open, attempts })))
    }

    /// Takes up a new configuration, from the next request on.
    ///
    /// # Errors
    /// As [`Logins::new`]; then nothing has changed.
    pub fn replace(&self, config: &LoginConfig) -> Result<(), AuthError> {
        self.0.settings.store(Arc::new(LoginSettings::new(config, &self.0.auth)?));
        Ok(())
    }

    /// Whether a user of Keystone's can log in.
    pub(crate) fn has_keystone(&self) -> bool {
        self.0.auth.has_keystone()
    }

    /// Logs somebody in, and returns the `Set-Cookie` for their browser.
    ///
    /// # Errors
    /// When they are not to be, with the message to show them.
    pub(crate) async fn log_in(&self, client: &Client, form: LoginForm) -> Result<String, NotLoggedIn> {
        let name = match &form {
            LoginForm::Token(_) => "",
            LoginForm::Password { user, .. } => user,
        }
        .to_owned();
        let by = if matches!(form, LoginForm::Token(_)) { "token" } else { "password" };
        if !client.is_private() {
            self.refused(client, &name, "not encrypted").await;
            return Err(NotLoggedIn::InClear);
        }
        if let Err(wait) = self.0.attempts.begin(client.address, &name, Instant::now()) {
            self.refused(client, &name, "too many attempts").await;
            return Err(NotLoggedIn::Wait(wait));
        }
        let (token, caller) = match self.prove(form).await {
            Ok(proven) => proven,
            Err(refused) => {
                let why = match &refused {
                    NotLoggedIn::Unknown => "unknown",
                    NotLoggedIn::Forbidden => "forbidden",
                    NotLoggedIn::Project(_) => "no project",
                    NotLoggedIn::Unavailable => "keystone is unreachable",
                    NotLoggedIn::Wait(_) | NotLoggedIn::InClear => "refused",
                };
                // A password that is right is no guess.
                if matches!(refused, NotLoggedIn::Project(_) | NotLoggedIn::Unavailable) {
                    self.0.attempts.forgive(client.address, &name);
                }
                self.refused(client, &name, why).await;
                return Err(refused);
            }
        };
        self.0.attempts.forgive(client.address, &name);
        let login = self.0.open.open(Arc::clone(&caller.name), token, Instant::now());
        let cookie = login.and_then(|login| client.cookie(Some(&login))).ok_or(NotLoggedIn::Unavailable)?;
        self.0
            .audit
            .record(AuditEvent::Login { who: caller.name.to_string(), from: client.address, by })
            .await;
        Ok(cookie)
    }

    /// A token that may read, and whose it is.
    async fn prove(&self, form: LoginForm) -> Result<(Secret, Caller), NotLoggedIn> {
        let token = match form {
            LoginForm::Token(token) => token,
            LoginForm::Password { user, domain, password, project } => {
                let keystone = self.0.auth.0.keystone.as_ref().ok_or(NotLoggedIn::Unknown)?;
                match keystone.log_in(&user, &domain, &password, &project).await {
                    Ok(PasswordLogin::Token(token)) => token,
                    Ok(PasswordLogin::Refused) => return Err(NotLoggedIn::Unknown),
                    Ok(PasswordLogin::Project(projects)) => return Err(NotLoggedIn::Project(projects)),
                    Err(_) => return Err(NotLoggedIn::Unavailable), // It has been logged, once.
                }
            }
        };
        if token.expose().is_empty() || token.expose().len() > TOKEN_BYTES_MAX {
            return Err(NotLoggedIn::Unknown);
        }
        let path = guard::LOGIN;
        let judged =
            Judged { token: Some(token.expose()), service_token: None, method: "GET", path, rule: READ_RULE };
        match self.0.auth.judge(judged).await {
            Ok(caller) => Ok((token, caller)),
            Err(Refusal::Unauthenticated) => Err(NotLoggedIn::Unknown),
            Err(Refusal::Forbidden) => Err(NotLoggedIn::Forbidden),
            Err(Refusal::Unavailable) => Err(NotLoggedIn::Unavailable),
        }
    }

    /// Ends the login that a browser's cookie names, and returns the `Set-Cookie` that removes it.
    pub(crate) async fn log_out(&self, client: &Client, headers: &HeaderMap) -> Option<String> {
        if let Some(login) = self.end(client, headers) {
            let who = login.to_string();
            self.0.audit.record(AuditEvent::Logout { who, from: client.address }).await;
        }
        client.cookie(None)
    }

    /// Ends the login that a browser's cookie names; whose it was.
    pub(crate) fn end(&self, client: &Client, headers: &HeaderMap) -> Option<Arc<str>> {
        let login = client.login_of(headers)?;
        self.0.open.close(&login).map(|login| login.who)
    }

    async fn refused(&self, client: &Client, name: &str, why: &'static str) {
        self.0.audit.record(AuditEvent::refused(name, client.address, why)).await;
    }

    /// The user a trusted proxy names.
    fn proxied(&self, settings: &LoginSettings, user: &str, rule: &str) -> Result<Caller, Refusal> {
        let named = |wanted: &str| settings.users.iter().find(|(user, _)| user.name == wanted);
        let (known, own) = named(user).or_else(|| named("*")).ok_or(Refusal::Forbidden)?;
        let credentials = Credentials { roles: known.roles.clone(), ..Credentials::default() };
        if !self.0.auth.0.policy.allows(rule, &credentials) {
            return Err(Refusal::Forbidden);
        }
        let scope = self.0.auth.0.scopes.load().of_unmapped(&known.roles, own);
        Ok(Caller { scope, name: user.into(), admission: Admission::Proxy })
    }
}

#[cfg(test)]
mod tests;
