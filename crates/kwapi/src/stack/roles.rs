//! What a process does, and what its configuration must have for that.

use kwapi_bus::Scheme;

use crate::config::{Config, Endpoint};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a process has any of them")]
pub(crate) struct Roles {
    /// Reads meters and publishes.
    pub(crate) drivers: bool,
    /// Passes messages on.
    pub(crate) forwarder: bool,
    /// Serves the API.
    pub(crate) api: bool,
    /// Keeps history and serves the pages.
    pub(crate) rrd: bool,
}

impl Roles {
    const NONE: Self = Self { drivers: false, forwarder: false, api: false, rrd: false };
    pub(crate) const RUN: Self = Self { drivers: true, api: true, rrd: true, ..Self::NONE };
    pub(crate) const DRIVERS: Self = Self { drivers: true, ..Self::NONE };
    pub(crate) const FORWARDER: Self = Self { forwarder: true, ..Self::NONE };
    pub(crate) const API: Self = Self { api: true, ..Self::NONE };
    pub(crate) const RRD: Self = Self { rrd: true, ..Self::NONE };

    /// Whether it receives measurements.
    pub(crate) fn listens(self) -> bool {
        self.api || self.rrd
    }

    /// Whether it has anything in the state directory.
    pub(super) fn keeps_state(self) -> bool {
        self.drivers || self.api || self.rrd
    }

    /// Where its measurements come from: the bus, and the drivers of this process.
    pub(super) fn sources(self, config: &Config, inside: &[Endpoint]) -> Vec<Endpoint> {
        let mut all = inside.to_vec();
        let api = config.api.subscribe.iter().filter(|_| self.api);
        let rrd = config.rrd.subscribe.iter().filter(|_| self.rrd);
        // History first: what is received for it is received for the API as well.
        for endpoint in rrd.chain(api) {
            // Only what is kept in a journal is acknowledged.
            let endpoint = if self.rrd { endpoint.clone() } else { endpoint.clone().live() };
            let is_listed = |known: &Endpoint| {
                *known == endpoint || (known.consumer().is_some() && known.url() == endpoint.url())
            };
            if !all.iter().any(is_listed) {
                all.push(endpoint);
            }
        }
        all
    }

    /// Where history is kept, accounts are made of the journal and of nothing else (ADR 0049).
    ///
    /// # Errors
    /// When there are peers all the same, as one line.
    pub(crate) fn check_peers(self, config: &Config) -> Result<(), String> {
        if self.api && self.rrd && !config.api.config.peers.is_empty() {
            return Err("[api] peers works with `kwapi api` alone: where history is kept, totals are made of the journal; remove `peers`, or run kwapi api, kwapi rrd and, where meters are read, kwapi drivers as services of their own"
                .to_owned());
        }
        Ok(())
    }

    /// What the configuration must have for a process of these roles alone.
    ///
    /// # Errors
    /// What is missing, as one line.
    pub(crate) fn check(self, config: &Config) -> Result<(), String> {
        if self.drivers && config.drivers.publish.is_empty() {
            return Err("[drivers] publish is empty; set it, for example \
                publish = [\"ipc:///run/kwapi/drivers\"]"
                .to_owned());
        }
        if self.drivers {
            needs_key(config)?;
        }
        if self.forwarder && (config.forwarder.subscribe.is_empty() || config.forwarder.publish.is_empty()) {
            return Err(
                "[forwarder] requires `subscribe` (drivers or forwarders) and `publish` (its own endpoints)"
                    .to_owned(),
            );
        }
        self.check_peers(config)?;
        let sections = [(self.api, "api", &config.api.subscribe), (self.rrd, "rrd", &config.rrd.subscribe)];
        let unsubscribed = sections.iter().find(|(is_on, _, subscribe)| *is_on && subscribe.is_empty());
        if let Some((_, section, _)) = unsubscribed {
            return Err(format!(
                "[{section}] subscribe is empty; set it, for example subscribe = [\"ipc:///run/kwapi/drivers\"]"
            ));
        }
        Ok(())
    }
}

/// What is published to others must be signed with a key they can have.
///
/// # Errors
/// When there is none, as one line.
pub(crate) fn needs_key(config: &Config) -> Result<(), String> {
    if !config.bus.key.is_empty() || config.bus.signature == Scheme::None {
        return Ok(());
    }
    Err("no signing key; set key in [bus], for example key = { id = \"lyon\", secret = { file = \"/etc/kwapi/bus.secret\" } }, or signature = \"none\""
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(roles: Roles, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("k.toml");
        let toml = "[rrd]\nsubscribe = ['tcp://a:1', { url = 'nats://b/x', consumer = 'centre' }]\n\
            [api]\nsubscribe = ['nats://b/x', 'nats://c/y', { url = 'nats://d/z', consumer = 'other' }]\n";
        std::fs::write(&file, toml).unwrap();
        let sources = roles.sources(&Config::read(&file).unwrap(), &[]);
        let shown = |source: &Endpoint| format!("{} {}", source.url(), source.consumer().unwrap_or("-"));
        assert_eq!(sources.iter().map(shown).collect::<Vec<_>>().join(", "), expected, "{roles:?}");
    }

    #[test]
    fn a_stream_is_read_once_and_kept_for_a_history_alone() {
        check(Roles::RRD, "tcp://a:1 -, nats://b/x centre");
        check(Roles::API, "nats://b/x -, nats://c/y -, nats://d/z -");
        check(Roles::RUN, "tcp://a:1 -, nats://b/x centre, nats://c/y -, nats://d/z other");
    }
}
