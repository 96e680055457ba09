//! `[rrd.auth]`: the pages require a login.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderName;
use kwapi_core::Pattern;
use serde::Deserialize;

use crate::auth::AuthError;
use crate::auth::tokens::admin;
use crate::directory::{Directory, Labels};
use crate::scope::{Scope, Selection};

/// `[rrd.auth]`. Tokens, Keystone, policy and scopes are those of `[api.auth]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginConfig {
    /// A login that has not been used for so long ends.
    pub idle_hours: u32,
    /// A login ends after so long, however much it is used.
    pub hours_max: u32,
    /// Addresses of proxies whose statements about a client are trusted: its address, whether it came over TLS, and its
    /// user.
    pub trusted_proxies: Vec<IpAddr>,
    /// The header in which they name the user; from anybody else it is removed.
    pub user_header: String,
    /// `[[rrd.auth.user]]`: whom they may name.
    #[serde(rename = "user")]
    pub users: Vec<ProxyUser>,
}

impl Default for LoginConfig {
    fn default() -> Self {
        Self {
            idle_hours: 12,
            hours_max: 7 * 24,
            trusted_proxies: Vec::new(),
            user_header: "X-Forwarded-User".to_owned(),
            users: Vec::new(),
        }
    }
}

/// `[[rrd.auth.user]]`: a user whom a trusted proxy has authenticated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyUser {
    /// As the proxy names them; `*`: any that no other entry names.
    pub name: String,
    /// Roles for the policy.
    #[serde(default = "admin")]
    pub roles: Vec<String>,
    /// The probes: ids, subtrees (`lyon.*`) or all (`*`). Where there are labels too, a probe must be of these and have those.
    #[serde(default)]
    pub probes: Vec<Pattern>,
    /// Labels that the probes must have, all of them.
    #[serde(default)]
    pub labels: Labels,
}

impl ProxyUser {
    /// What this entry names; all, where it names nothing.
    pub(super) fn own_scope(&self, directory: &Directory) -> Scope {
        if self.probes.is_empty() && self.labels.is_empty() {
            return Scope::All;
        }
        Scope::Any([Selection::new(&self.probes, self.labels.clone(), directory.clone())].into())
    }
}

impl LoginConfig {
    /// Validates it as far as possible. `has_other_ways` is whether `[api.auth]` lets anybody in.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn check(&self, has_other_ways: bool) -> Result<(), AuthError> {
        let failed =
            |key: &'static str, message: &str| Err(AuthError::Login { key, message: message.to_owned() });
        self.header()?;
        if !self.users.is_empty() && self.trusted_proxies.is_empty() {
            return failed("trusted_proxies", "is empty; only a trusted proxy can name a user");
        }
        if !has_other_ways && self.users.is_empty() {
            return failed(
                "user",
                "nobody could log in; add tokens or keystone to [api.auth], or users of a trusted proxy here",
            );
        }
        for (key, hours) in [("idle_hours", self.idle_hours), ("hours_max", self.hours_max)] {
            if hours == 0 {
                return failed(key, "must be at least 1");
            }
        }
        for (index, user) in self.users.iter().enumerate() {
            if self.users.iter().take(index).any(|other| other.name == user.name) {
                return failed("user", &format!("{:?} is there twice", user.name));
            }
        }
        Ok(())
    }

    /// The header that names a user.
    ///
    /// # Errors
    /// When it is none, or one that means something else.
    pub(super) fn header(&self) -> Result<HeaderName, AuthError> {
        /// What a client's own request holds.
        const TAKEN: [&str; 4] = ["cookie", "host", "authorization", "x-auth-token"];
        let failed = || AuthError::Login {
            key: "user_header",
            message: format!("{:?} cannot name a user", self.user_header),
        };
        let header = HeaderName::try_from(&self.user_header).map_err(|_| failed())?;
        if TAKEN.contains(&header.as_str()) { Err(failed()) } else { Ok(header) }
    }

    /// How long a login that nobody uses lasts, and one that somebody does.
    pub(super) fn lifetimes(&self) -> (Duration, Duration) {
        let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3_600);
        (hours(self.idle_hours), hours(self.hours_max))
    }
}
