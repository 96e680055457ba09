//! Which protocols a host is queried over, with which credentials, on which ports.

use std::collections::BTreeMap;

use kwapi_drivers::modbus;
use kwapi_drivers::registry::{self, DriverEntry};
use toml::{Table, Value};

use crate::commands::probe::{Failure, FailureKind};
use crate::config::nearest;

/// Protocols that find a meter by its address and credentials, and the keys those have. A host that answers over
/// several is offered over the first.
const WITH_CREDENTIALS: [(&str, &str); 3] = [
    ("snmp", "community, or user and auth_password"),
    ("ipmi", "username and password"),
    ("redfish", "username and password"),
];
/// Protocols that require none.
const WITHOUT: [&str; 4] = ["kasa", "nut", "shelly", "tasmota"];
/// Those of them that may have a password. It travels in the open, so only credentials of a password alone are theirs,
/// and only a device that has shown that it is one and requires a password is sent it.
const LOCKABLE: [&str; 2] = ["shelly", "tasmota"];
/// The protocol whose meters do not describe what is in their registers: that takes a map, of the command line or of
/// credentials.
const MAPPED: &str = "modbus";

/// A protocol to query over.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    pub(super) entry: &'static DriverEntry,
    /// `None` is its own.
    pub(super) ports: Vec<Option<u16>>,
    pub(super) attempts: Vec<Attempt>,
}

/// Credentials to try.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) credentials: Option<String>,
    /// The register map, where `--modbus-map` named it.
    pub(super) map: Option<String>,
    /// The device's name at a NUT server that watches several.
    pub(super) ups: Option<String>,
    keys: Table,
}

impl std::fmt::Debug for Attempt {
    /// The keys have secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("credentials", &self.credentials)
            .field("map", &self.map)
            .finish_non_exhaustive()
    }
}

impl Attempt {
    /// One for each device that a NUT server watches.
    pub(super) fn of_ups(ups: &str) -> Self {
        let keys = Table::from_iter([("ups".to_owned(), Value::String(ups.to_owned()))]);
        Self { credentials: None, map: None, ups: Some(ups.to_owned()), keys }
    }
}

impl Protocol {
    /// The meter's keys for one host. Where the driver has no `port`, it is a part of the host.
    pub(super) fn keys(&self, attempt: &Attempt, host: &str, port: Option<u16>) -> Table {
        let mut keys = attempt.keys.clone();
        let host = match port {
            Some(port) if has_port_key(self.entry.name) => {
                keys.insert("port".to_owned(), Value::Integer(port.into()));
                host.to_owned()
            }
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        keys.insert("host".to_owned(), Value::String(host));
        keys
    }

    /// Whether it does not answer a wrong secret.
    pub(super) fn is_silent_when_refusing(&self) -> bool {
        self.entry.name == "snmp"
    }

    /// Whether it failed as a device of its kind does that requires a password, rather than as any web server.
    pub(super) fn requires_password(&self, failure: &Failure) -> bool {
        LOCKABLE.contains(&self.entry.name) && failure.kind == FailureKind::Locked
    }
}

/// Whether a driver has a `port` of its own, rather than `host = "name:port"`.
pub(super) fn has_port_key(driver: &str) -> bool {
    matches!(driver, "snmp" | "ipmi")
}

/// Every protocol with every credential whose keys its driver takes and every register map, and what to report about
/// those left out.
pub(super) fn protocols(
    shared: &BTreeMap<String, Table>,
    maps: &[&'static str],
    ports: &BTreeMap<String, Vec<u16>>,
) -> (Vec<Protocol>, Vec<String>) {
    let (mut protocols, mut remarks) = (Vec::new(), Vec::new());
    let ports_of = |name: &str| match ports.get(name) {
        Some(ports) => ports.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    for (name, keys) in WITH_CREDENTIALS {
        let Some(entry) = registry::find(name) else { continue };
        let attempts = fitting(entry, shared);
        if attempts.is_empty() {
            remarks.push(format!(
                "{name} skipped: no [credentials.NAME] in the configuration has its keys ({keys})"
            ));
        } else {
            protocols.push(Protocol { entry, ports: ports_of(name), attempts });
        }
    }
    for name in WITHOUT {
        let Some(entry) = registry::find(name) else { continue };
        let mut attempts = vec![Attempt { credentials: None, map: None, ups: None, keys: Table::new() }];
        if LOCKABLE.contains(&name) {
            let is_password_alone = |attempt: &Attempt| attempt.keys.keys().eq(["password"]);
            attempts.extend(fitting(entry, shared).into_iter().filter(is_password_alone));
        }
        protocols.push(Protocol { entry, ports: ports_of(name), attempts });
    }
    if let Some(entry) = registry::find(MAPPED) {
        let named = maps.iter().map(|map| Attempt {
            credentials: None,
            map: Some((*map).to_owned()),
            ups: None,
            keys: Table::from_iter([("map".to_owned(), Value::String((*map).to_owned()))]),
        });
        let attempts = named.chain(fitting(entry, shared)).collect();
        protocols.push(Protocol { entry, ports: ports_of(MAPPED), attempts });
    }
    for credentials in shared.keys() {
        let is_used = |protocol: &Protocol| {
            protocol.attempts.iter().any(|attempt| attempt.credentials.as_ref() == Some(credentials))
        };
        if !protocols.iter().any(is_used) {
            remarks.push(format!("credentials {credentials:?} match no protocol of discovery"));
        }
    }
    (protocols, remarks)
}

/// The credentials whose keys the driver takes, with a host.
fn fitting(entry: &DriverEntry, shared: &BTreeMap<String, Table>) -> Vec<Attempt> {
    let fits = |keys: &Table| {
        let mut tried = keys.clone();
        tried.insert("host".to_owned(), Value::String("host.invalid".to_owned()));
        entry.configure(tried).is_ok_and(|driver| driver.check().is_ok())
    };
    shared
        .iter()
        .filter(|(_, keys)| fits(keys))
        .map(|(name, keys)| Attempt {
            credentials: Some(name.clone()),
            map: None,
            ups: None,
            keys: keys.clone(),
        })
        .collect()
}

/// The register maps that `--modbus-map` names, in full or by the model alone (`sdm120`).
///
/// # Errors
/// When there is none such, as one line.
pub(super) fn register_maps(written: &[String]) -> Result<Vec<&'static str>, String> {
    let find = |text: &String| {
        let is_meant =
            |name: &&str| name == text || name.split_once('-').is_some_and(|(_, model)| model == text);
        modbus::map::names().find(is_meant).ok_or_else(|| {
            let known = || modbus::map::names();
            let advice = nearest(text, known()).map_or_else(
                || format!("available: {}", known().collect::<Vec<_>>().join(", ")),
                |name| format!("did you mean {name}?"),
            );
            format!("--modbus-map {text}: unknown map; {advice} (custom maps: [credentials.NAME] with map and maps)")
        })
    };
    written.iter().map(find).collect()
}

/// Ports by protocol, of `snmp=1161 snmp=1162`.
///
/// # Errors
/// When one makes no sense, as one line.
pub(super) fn ports(written: &[String]) -> Result<BTreeMap<String, Vec<u16>>, String> {
    let known = || WITH_CREDENTIALS.iter().map(|(name, _)| *name).chain(WITHOUT).chain([MAPPED]);
    let mut ports: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for text in written {
        let parsed = text.split_once('=').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        let Some((name, port)) = parsed.filter(|(_, port)| *port > 0) else {
            return Err(format!("--port {text}: write PROTOCOL=PORT, for example snmp=1161"));
        };
        if !known().any(|protocol| protocol == name) {
            let advice = nearest(name, known()).map_or_else(
                || format!("available: {}", known().collect::<Vec<_>>().join(", ")),
                |name| format!("did you mean {name}?"),
            );
            return Err(format!("--port {text}: unknown protocol {name}; {advice}"));
        }
        let all = ports.entry(name.to_owned()).or_default();
        if !all.contains(&port) {
            all.push(port);
        }
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, expected: &[&str]) {
        let (protocols, remarks) = protocols(&toml::from_str(toml).unwrap(), &[], &BTreeMap::new());
        let with = protocols.iter().map(|protocol| {
            let names = protocol.attempts.iter().filter_map(|attempt| attempt.credentials.as_deref());
            format!("{} {}", protocol.entry.name, names.collect::<Vec<_>>().join("+"))
        });
        assert_eq!(with.chain(remarks).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn credentials_go_to_the_protocols_whose_keys_they_have() {
        const SNMP: &str = "snmp skipped: no [credentials.NAME] in the configuration has its keys (community, or user and auth_password)";
        const IPMI: &str =
            "ipmi skipped: no [credentials.NAME] in the configuration has its keys (username and password)";
        const REDFISH: &str = "redfish skipped: no [credentials.NAME] in the configuration has its keys (username and password)";
        const REST: [&str; 5] = ["kasa ", "nut ", "shelly ", "tasmota ", "modbus "];
        check("", &[&REST[..], &[SNMP, IPMI, REDFISH]].concat());
        check(
            "[a]\ncommunity='c'\n[b]\ncommunity='d'",
            &[&["snmp a+b"], &REST[..], &[IPMI, REDFISH]].concat(),
        );
        check(
            "[a]\nusername='u'\npassword='p'\n[b]\ncomunity='d'",
            &[
                &["ipmi a", "redfish a"],
                &REST[..],
                &[SNMP, "credentials \"b\" match no protocol of discovery"],
            ]
            .concat(),
        );
    }

    #[test]
    fn ports_of_no_protocol_are_refused() {
        let refused = |text: &str| ports(&[text.to_owned()]).unwrap_err();
        assert_eq!(refused("snpm=1"), "--port snpm=1: unknown protocol snpm; did you mean snmp?");
        assert_eq!(refused("snmp"), "--port snmp: write PROTOCOL=PORT, for example snmp=1161");
        assert_eq!(refused("snmp=0"), "--port snmp=0: write PROTOCOL=PORT, for example snmp=1161");
    }
}
