//! `[api]` in `kwapi.toml`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kwapi_core::{Gaps, WallClock};
use serde::Deserialize;

use crate::auth::{Auth, AuthConfig, AuthError};
use crate::directory::Directory;
use crate::http::{Cors, HostName, Hosts, Listen, Seats, ServerTls};
use crate::live;
use crate::peers::ApiPeerConfig;

/// `[api]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Where to listen. 5000 is the original's port, and Keystone's.
    pub listen: SocketAddr,
    /// Serve `https` with this certificate.
    pub tls: Option<ServerTls>,
    /// The most connections at a time. Full: the one idle for longest is closed.
    pub connections_max: usize,
    /// Names clients may use for it where there is no authentication, besides addresses and `localhost`.
    pub hosts: Vec<HostName>,
    /// Log each request.
    pub access_log: bool,
    /// Origins whose pages may read the answers; `*` for any.
    pub cors_origins: Vec<String>,
    /// A probe silent for so long leaves the lists; 0: never. Its total is found again when it returns.
    pub cleaning_interval_seconds: u64,
    /// How often accounts are recorded that no client has read; what is read is on record first.
    pub record_interval_seconds: u64,
    /// How often the record is forced to the disk: what a power loss may cost.
    pub sync_interval_seconds: u64,
    /// Probes beyond this are refused and counted.
    pub probes_max: usize,
    /// Other instances that receive from the same publishers, and with which totals are held the same.
    pub peers: Vec<ApiPeerConfig>,
    /// Who may read; without it, only this machine.
    pub auth: Option<AuthConfig>,
    /// Listen beyond this machine without authentication.
    pub insist_without_auth: bool,
}

impl Default for ApiConfig {
    fn default() -> Self {
        let live = live::LiveConfig::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            tls: None,
            connections_max: 1_024,
            hosts: Vec::new(),
            access_log: false,
            cors_origins: Vec::new(),
            cleaning_interval_seconds: live.cleaning_interval.map_or(0, |interval| interval.as_secs()),
            record_interval_seconds: live.record_interval.as_secs(),
            sync_interval_seconds: live.sync_interval.as_secs(),
            probes_max: live.probes_max,
            peers: Vec::new(),
            auth: None,
            insist_without_auth: false,
        }
    }
}

/// What is wrong with `[api]`.
#[derive(Debug, thiserror::Error)]
pub enum ApiConfigError {
    /// Everybody could read, and that was not configured.
    #[error(
        "[api] listen = {listen:?} is reachable from other machines, and the API is unauthenticated; listen on 127.0.0.1, configure [api.auth], or set insist_without_auth = true"
    )]
    OpenToAll {
        /// Where it would listen.
        listen: String,
    },
    /// There is an `[api.auth]` that lets nobody in.
    #[error("[api.auth] has neither keystone nor a token; every request would be refused")]
    NobodyMayRead,
    /// There is a peer that makes no sense.
    #[error("[api] peers: {message}")]
    Peer {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Authentication cannot be set up.
    #[error("[api.auth]")]
    Auth(#[from] AuthError),
}

impl ApiConfig {
    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// When it would be open to all without being configured so, or to nobody.
    pub fn check(&self) -> Result<(), ApiConfigError> {
        let wrong = |(index, message)| ApiConfigError::Peer { index, message };
        ApiPeerConfig::check_all(&self.peers).map_err(wrong)?;
        match &self.auth {
            None if !self.listen.ip().is_loopback() && !self.insist_without_auth => {
                Err(ApiConfigError::OpenToAll { listen: self.listen.to_string() })
            }
            Some(auth) if auth.is_empty() => Err(ApiConfigError::NobodyMayRead),
            Some(auth) => Ok(auth.check_scopes()?),
            None => Ok(()),
        }
    }

    /// The server's part, on the process's `seats`.
    pub fn listen(&self, seats: &Seats) -> Listen {
        let hosts = match &self.auth {
            Some(_) => Hosts::Any,
            None => Hosts::Only { names: self.hosts.clone(), key: "`hosts` in [api]" },
        };
        Listen {
            address: self.listen,
            tls: self.tls.clone(),
            connections_max: self.connections_max,
            seats: seats.clone(),
            hosts,
            access_log: self.access_log,
            routes: super::ROUTES,
        }
    }

    /// Sets authentication up, if there is any; scopes look labels up in `directory`.
    ///
    /// # Errors
    /// When a file it names cannot be used.
    pub fn auth(&self, wall: WallClock, directory: Directory) -> Result<Option<Auth>, ApiConfigError> {
        Ok(self.auth.as_ref().map(|auth| Auth::new(auth, wall, directory)).transpose()?)
    }

    /// The cross-origin rules, if there are any.
    pub fn cors(&self) -> Option<Cors> {
        (!self.cors_origins.is_empty()).then(|| Cors::new(self.cors_origins.clone()))
    }

    /// How the present is shown. `directory` is where accounts are recorded before they are (`None`: a journal has them, or
    /// nobody), `gaps` for how long each probe may be silent.
    pub fn live(&self, directory: Option<&Path>, gaps: Gaps) -> live::LiveConfig {
        let cleaning = Duration::from_secs(self.cleaning_interval_seconds);
        live::LiveConfig {
            gaps,
            cleaning_interval: (!cleaning.is_zero()).then_some(cleaning),
            probes_max: self.probes_max,
            directory: directory.map(Path::to_owned),
            record_interval: Duration::from_secs(self.record_interval_seconds),
            sync_interval: Duration::from_secs(self.sync_interval_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let actual = match toml::from_str::<ApiConfig>(toml) {
            Ok(config) => {
                config.check().map_or_else(|error| kwapi_core::chain(&error), |()| "fine".to_owned())
            }
            Err(error) => error.message().to_owned(),
        };
        assert!(actual.starts_with(expected), "{toml}: {actual}");
    }

    #[test]
    fn without_authentication_only_this_machine_reads_unless_the_operator_insists() {
        check("", "fine");
        check("listen = '[::1]:5000'", "fine");
        check("listen = '0.0.0.0:5000'", "[api] listen = \"0.0.0.0:5000\" is reachable from other machines");
        check("listen = '0.0.0.0:5000'\ninsist_without_auth = true", "fine");
    }

    #[test]
    fn a_peer_is_the_address_of_an_api() {
        check(
            "peers = ['http://127.0.0.1:5001', { url = 'https://b.example.org:5000', ca_file = 'ca.pem' }]",
            "fine",
        );
        let wrong = "[api] peers: ";
        for url in
            ["b:5000", "tcp://b:5000", "http://b:5000/v2", "http://u:p@b:5000", "http://b:5000?x=1", ""]
        {
            check(&format!("peers = ['{url}']"), wrong);
        }
        check("peers = ['http://b:5000', 'http://b:5000/']", "[api] peers: `http://b:5000/` is named twice");
        check("peers = [{ uri = 'http://b:5000' }]", "a peer: a URL, or a table with `url` and `ca_file`");
        let many: Vec<_> = (0..9).map(|index| format!("'http://b{index}:5000'")).collect();
        check(&format!("peers = [{}]", many.join(", ")), "[api] peers: more than 8 peers");
    }

    #[test]
    fn an_unknown_key_and_an_empty_auth_are_refused() {
        check("lisen = '0.0.0.0:5000'", "unknown field `lisen`, expected one of `listen`");
        check("[auth]", "[api.auth] has neither");
        let token = "[[auth.token]]\nname='n'\nsha256='00'";
        check(&format!("listen = '0.0.0.0:1'\n{token}"), "fine");
    }

    #[test]
    fn a_scope_that_shows_nobody_anything_is_refused_with_what_to_do() {
        let token = "[[auth.token]]\nname='n'\nsha256='00'\n";
        let keystone = "[auth.keystone]\nurl='http://k:5000/v3'\nusername='kwapi'\n";
        let lyon = "probes = ['lyon.*']";
        let scope = |lines: &str| format!("{token}{keystone}[[auth.scope]]\n{lines}\n");
        for lines in ["token = 'n'", "project_id = 'p'", "project_name = 'p'"] {
            check(&scope(&format!("{lines}\n{lyon}")), "fine");
            check(&scope(&format!("{lines}\nlabels = {{ department = 'physics' }}")), "fine");
            check(&scope(lines), "[api.auth]: scope 1: neither probes nor labels are set");
        }
        check(&scope(&format!("project_name = 'p'\nproject_domain_name = 'd'\n{lyon}")), "fine");
        check(&scope(lyon), "[api.auth]: scope 1: one of token, project_id and project_name is required");
        check(
            &scope(&format!("token = 'n'\nproject_id = 'p'\n{lyon}")),
            "[api.auth]: scope 1: token, project_id and project_name are mutually exclusive",
        );
        check(
            &scope(&format!("token = 'm'\n{lyon}")),
            "[api.auth]: scope 1: there is no [[api.auth.token]] with name = \"m\"",
        );
        check(
            &scope(&format!("project_id = 'p'\nproject_domain_id = 'd'\n{lyon}")),
            "[api.auth]: scope 1: a domain requires project_name",
        );
        let both = "project_name = 'p'\nproject_domain_id = 'd'\nproject_domain_name = 'd'\n";
        check(
            &scope(&format!("{both}{lyon}")),
            "[api.auth]: scope 1: project_domain_id and project_domain_name are mutually exclusive",
        );
        let alone = format!("{token}[[auth.scope]]\nproject_id = 'p'\n{lyon}");
        check(&alone, "[api.auth]: scope 1: projects require [api.auth.keystone]");
        check(&scope("token = 'n'\nprobes = ['']"), "a probe id must not be empty");
        check(&scope("tokn = 'n'"), "unknown field `tokn`");
    }
}
