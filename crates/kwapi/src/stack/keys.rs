//! The keys of the bus as they change while a process runs: taken up by a reload, and recorded in the audit log.

use std::collections::BTreeMap;

use kwapi_bus::Key;
use kwapi_plugins::audit::{AuditEvent, AuditLog};
use parking_lot::Mutex;

use crate::config::{BusSection, Config};

/// The keys that a process began with, and has now.
#[derive(Debug)]
pub(super) struct BusKeys {
    /// Of this process alone: no configuration has it.
    inside: Option<Key>,
    /// The name of each key and its fingerprint.
    known: Mutex<BTreeMap<String, String>>,
    keeps_state: bool,
}

impl BusKeys {
    /// Those of `config`, which are recorded.
    pub(super) fn new(config: &Config, audit: &AuditLog) -> Self {
        let keeps_state = config.state_directory.is_dir();
        let known = named(config);
        let keys = Self { inside: config.bus.inside.clone(), known: Mutex::default(), keeps_state };
        for (key, fingerprint) in &known {
            keys.append(audit, "present", key, fingerprint);
        }
        *keys.known.lock() = known;
        keys
    }

    /// `[bus]` of a configuration that is taken up.
    pub(super) fn section(&self, config: &Config) -> BusSection {
        BusSection { inside: self.inside.clone(), ..config.bus.clone() }
    }

    /// Takes note of a configuration that has been taken up, and records what changed.
    pub(super) fn replace(&self, config: &Config, audit: &AuditLog) {
        let new = named(config);
        let before = std::mem::replace(&mut *self.known.lock(), new.clone());
        for (key, fingerprint) in &new {
            match before.get(key) {
                None => self.append(audit, "added", key, fingerprint),
                Some(other) if other != fingerprint => self.append(audit, "changed", key, fingerprint),
                Some(_) => {}
            }
        }
        for (key, fingerprint) in before.iter().filter(|(key, _)| !new.contains_key(*key)) {
            self.append(audit, "removed", key, fingerprint);
        }
    }

    /// A change is in the log of the process as well: a forwarder keeps no state, and so no audit log.
    fn append(&self, audit: &AuditLog, change: &'static str, key: &str, fingerprint: &str) {
        if change != "present" {
            tracing::info!(key, fingerprint, "bus key {change}");
        }
        if self.keeps_state {
            let (key, fingerprint) = (key.to_owned(), fingerprint.to_owned());
            super::record(audit, &AuditEvent::Key { change, key, fingerprint });
        }
    }
}

/// Every key of the bus that is configured, by a name that shows what for.
fn named(config: &Config) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut add = |what: &str, key: &Key, place: &str| {
        let validity = key.validity().map(|validity| format!(", {validity}")).unwrap_or_default();
        let name = format!("{what} {} for {}{validity}{place}", key.id, key.probes);
        all.insert(name, key.fingerprint());
    };
    config.bus.key.iter().for_each(|key| add("signs with", key, ""));
    config.bus.keys.iter().for_each(|key| add("accepts", key, ""));
    let endpoints = config.endpoints();
    for (url, _, keys) in &endpoints {
        keys.iter().for_each(|key| add("accepts", key, &format!(" at {url}")));
    }
    for (url, curve, _) in &endpoints {
        // A public key is no secret: it stands for itself.
        for client in curve.iter().flat_map(|curve| &curve.clients) {
            all.insert(format!("lets in {client} at {url}"), client.chars().take(16).collect());
        }
    }
    all
}
