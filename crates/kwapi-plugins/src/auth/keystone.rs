//! Keystone, version 3: determines whether a token is valid and what it states of its owner.
//!
//! We query it as a service user with role `service`. Answers are cached for a while (a token revoked meanwhile stays
//! valid for that long), refusals for a shorter one, so that a flood of bad tokens does not reach Keystone; of those who
//! request the same token at the same time one queries and all get the answer. A missing answer is never cached.
//!
//! Source: Identity API v3, `GET /v3/auth/tokens`; keystonemiddleware 13.0.1, `auth_token/__init__.py` and
//! `_identity.py`.

mod config;
mod rules;
mod session;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kwapi_core::{Secret, WallClock};
use moka::Expiry;
use moka::future::Cache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

pub use config::KeystoneConfig;
pub(crate) use rules::path_matches;
#[cfg(feature = "fuzzing")]
pub(crate) use token::is_token;

use session::KeystoneLogin;
pub(super) use session::PasswordLogin;
pub(super) use token::Identity;
#[cfg(test)]
pub(super) use token::Project;

use super::AuthError;

/// As many validations are under way at a time; others wait for their turn, and get a 503 when it does not come.
const IN_FLIGHT_MAX: usize = 16;
/// Between attempts to get a token of our own at the start: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What Keystone reported of a token.
#[derive(Clone, Debug)]
enum Verdict {
    Valid(Arc<Identity>),
    /// Unknown, revoked or expired.
    Invalid,
}

/// Keystone cannot decide: it is unreachable, busy, or does not accept our own login. The caller answers 503.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unavailable(String);

/// A token's hash, so that memory holds no token, and whether an expired one was requested.
type Key = ([u8; 32], bool);

/// Queries Keystone, and caches.
#[derive(Debug)]
pub(super) struct Keystone {
    config: KeystoneConfig,
    session: KeystoneLogin,
    wall: WallClock,
    cache: Cache<Key, Verdict>,
    in_flight: Semaphore,
    is_away: AtomicBool,
    requests: AtomicU64,
    standing: Mutex<Standing>,
}

/// How we stand with it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// It has given us a token, or reported something of a caller's.
    LetIn,
    /// Not yet, and why.
    NotYet(String),
}

/// How long each kind of answer is remembered.
struct Memory {
    valid: Duration,
    refused: Duration,
}

impl Expiry<Key, Verdict> for Memory {
    fn expire_after_create(&self, _: &Key, verdict: &Verdict, _: Instant) -> Option<Duration> {
        Some(match verdict {
            Verdict::Valid(_) => self.valid,
            Verdict::Invalid => self.refused,
        })
    }
}

impl Keystone {
    pub(super) fn new(config: &KeystoneConfig, wall: WallClock) -> Result<Self, AuthError> {
        let memory = Memory {
            valid: Duration::from_secs(config.cache_seconds),
            refused: Duration::from_secs(config.refusal_cache_seconds),
        };
        Ok(Self {
            session: KeystoneLogin::new(config)?,
            config: config.clone(),
            wall,
            cache: Cache::builder().max_capacity(config.cache_tokens_max).expire_after(memory).build(),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            is_away: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            standing: Mutex::new(Standing::NotYet("no response yet".to_owned())),
        })
    }

    pub(super) fn config(&self) -> &KeystoneConfig {
        &self.config
    }

    /// How often Keystone was queried about a token.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whom a token belongs to; nobody, if it is not valid, or has expired and that is not to be overlooked.
    pub(super) async fn identify(
        &self,
        token: &str,
        allow_expired: bool,
    ) -> Result<Option<Arc<Identity>>, Unavailable> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let verdict = self
            .cache
            .try_get_with((hash, allow_expired), self.verdict(token, allow_expired))
            .await
            .map_err(|error| Unavailable::clone(&error))?;
        let Verdict::Valid(identity) = verdict else { return Ok(None) };
        // Judged at every use: it may have expired since it was remembered.
        let is_expired = identity.expires_at <= self.wall.now();
        Ok((allow_expired || !is_expired).then_some(identity))
    }

    async fn verdict(&self, token: &str, allow_expired: bool) -> Result<Verdict, Unavailable> {
        let turn = tokio::time::timeout(self.session.timeout(), self.in_flight.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Unavailable("too many token validations in progress".to_owned()));
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.session.validate(token, allow_expired).await;
        self.report(answer.as_ref().err());
        Ok(match answer? {
            Some(identity) => Verdict::Valid(Arc::new(identity)),
            None => Verdict::Invalid,
        })
    }

    /// Gets a token for a user, of one project. Neither the password nor the token is kept here.
    pub(super) async fn log_in(
        &self,
        user: &str,
        domain: &str,
        password: &Secret,
        project: &str,
    ) -> Result<PasswordLogin, Unavailable> {
        let turn = tokio::time::timeout(self.session.timeout(), self.in_flight.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Unavailable("too many logins in progress".to_owned()));
        };
        let answer = self.session.log_in(user, domain, password, project).await;
        self.report(answer.as_ref().err());
        answer
    }

    /// Gets the token we send requests with, trying until there is one.
    pub(super) async fn introduce(&self) {
        let mut pause = PAUSE_MIN;
        while !self.introduce_once().await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether it gave us a token.
    async fn introduce_once(&self) -> bool {
        let introduced = self.session.introduce().await;
        self.report(introduced.as_ref().err());
        introduced.is_ok()
    }

    pub(super) fn readiness(&self) -> Result<(), String> {
        match &*self.standing.lock() {
            Standing::LetIn => Ok(()),
            Standing::NotYet(why) => Err(format!("{}: {why}", self.config.url)),
        }
    }

    /// One line when Keystone goes, one when it is back.
    fn report(&self, failure: Option<&Unavailable>) {
        let mut standing = self.standing.lock();
        let Some(error) = failure else {
            *standing = Standing::LetIn;
            if self.is_away.swap(false, Ordering::Relaxed) {
                tracing::info!(url = self.config.url, "Keystone is reachable again");
            }
            return;
        };
        if *standing != Standing::LetIn {
            *standing = Standing::NotYet(error.to_string());
        }
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::error!(url = self.config.url, %error, "Keystone is unreachable; clients get 503");
        }
    }
}

impl Identity {
    /// Whether the access rules of its application credential, if it has any, allow this request to us. They are rules
    /// for the services of the token's catalogue: where we are not in it, none is for us.
    /// Source: keystonemiddleware 13.0.1, `validate_allowed_request`.
    pub(super) fn may_send(&self, service_type: &str, method: &str, path: &str) -> bool {
        let Some(rules) = &self.access_rules else { return true };
        self.services.iter().any(|service| service == service_type)
            && rules.iter().any(|rule| {
                rule.service == service_type && rule.method == method && path_matches(&rule.path, path)
            })
    }

    /// What to call its owner: `ada (physics)`.
    pub(super) fn display_name(&self) -> String {
        let user = self.user_name.as_deref().unwrap_or(&self.user_id);
        match self.project.as_ref().and_then(|project| project.name.as_deref()) {
            Some(project) => format!("{user} ({project})"),
            None => user.to_owned(),
        }
    }

    /// Whether it has one of these roles.
    pub(super) fn has_role_of(&self, roles: &[String]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }
}

#[cfg(test)]
mod tests;
