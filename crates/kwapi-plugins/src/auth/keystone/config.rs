//! `[api.auth.keystone]`

use std::path::PathBuf;

use kwapi_core::Secret;
use serde::Deserialize;

use crate::auth::AuthError;

/// `[api.auth.keystone]`: where Keystone is, and as which user we query it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeystoneConfig {
    /// Its address, with the version: `https://keystone.example.org:5000/v3`.
    pub url: String,
    /// Where our callers get tokens, if not there: named in every 401.
    pub www_authenticate_uri: Option<String>,
    /// Our service user. Role `service` on its project suffices.
    pub username: String,
    /// A file with its password. One of this and `password_env` is needed.
    pub password_file: Option<PathBuf>,
    /// An environment variable with its password.
    pub password_env: Option<String>,
    /// The user's domain, by id.
    #[serde(default = "default_domain")]
    pub user_domain_id: String,
    /// The user's project.
    #[serde(default = "service")]
    pub project_name: String,
    /// The project's domain, by id.
    #[serde(default = "default_domain")]
    pub project_domain_id: String,
    /// PEM file of the authority that signed Keystone's certificate, if the system does not have it.
    pub ca_file: Option<PathBuf>,
    /// How long a valid token is accepted without another query: a revoked one works for so long.
    #[serde(default = "one_minute")]
    pub cache_seconds: u64,
    /// How long a refused token is refused without another query.
    #[serde(default = "five")]
    pub refusal_cache_seconds: u64,
    /// How many tokens are remembered; beyond, the least used are forgotten.
    #[serde(default = "ten_thousand")]
    pub cache_tokens_max: u64,
    /// How long Keystone has to answer.
    #[serde(default = "five")]
    pub timeout_seconds: u64,
    /// Roles that make the sender of an `X-Service-Token` a service.
    #[serde(default = "service_roles")]
    pub service_token_roles: Vec<String>,
    /// What access rules of application credentials call us.
    #[serde(default = "energy")]
    pub service_type: String,
}

fn default_domain() -> String {
    "default".to_owned()
}

fn service() -> String {
    "service".to_owned()
}

fn one_minute() -> u64 {
    60
}

fn five() -> u64 {
    5
}

fn ten_thousand() -> u64 {
    10_000
}

fn service_roles() -> Vec<String> {
    vec![service()]
}

fn energy() -> String {
    "energy".to_owned()
}

impl KeystoneConfig {
    /// Reads the password from where it is kept; a file's last line end is not part of it.
    pub(super) fn password(&self) -> Result<Secret, AuthError> {
        let failed = |key, message| AuthError::Keystone { url: self.url.clone(), key, message };
        match (&self.password_file, &self.password_env) {
            (Some(path), None) => {
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|error| failed("password_file", format!("{}: {error}", path.display())))?;
                Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
            }
            (None, Some(name)) => match std::env::var(name) {
                Ok(text) => Ok(Secret::new(text)),
                Err(_) => Err(failed("password_env", format!("environment variable {name} is not set"))),
            },
            (None, None) | (Some(_), Some(_)) => {
                Err(failed("password_file", "one of password_file and password_env is required".to_owned()))
            }
        }
    }
}
