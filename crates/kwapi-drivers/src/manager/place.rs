//! What a meter's registers are known by where the driver does not say: driver, address and outlet.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use kwapi_core::{ProbeId, Register};
use sha2::{Digest, Sha256};

use super::spec::MeterSpec;
use super::virtual_probes::VirtualSpec;

/// Keys that say how one gets at a device, and not which it is or what it measures. Changing a password is no change of
/// the meter; changing anything else may be.
const LOGIN_KEYS: [&str; 16] = [
    "auth",
    "auth_password",
    "auth_protocol",
    "cipher_suite",
    "community",
    "headers",
    "kg",
    "password",
    "privacy_password",
    "privacy_protocol",
    "privilege",
    "stale_seconds",
    "tls",
    "user",
    "username",
    "version",
];
/// A longer path is cut and told apart by a digest.
const PATH_BYTES_MAX: usize = 240;

/// Where the registers of one meter are.
#[derive(Debug)]
pub(super) struct Place {
    meter: String,
    keys: HashMap<ProbeId, String>,
    /// What all probes without a register have for one.
    no_register: Arc<Register>,
}

impl Place {
    pub(super) fn of(spec: &MeterSpec) -> Self {
        let keys = spec.driver.keys();
        let mut digest = Sha256::new();
        for (key, value) in keys.iter().filter(|(key, _)| !LOGIN_KEYS.contains(&key.as_str())) {
            digest.update(format!("{key}={value}\n"));
        }
        digest.update(spec.files.to_le_bytes());
        let meter = format!("{}/{}", spec.driver.name(), hex(&digest.finalize()));
        let named = spec.outlets.named().iter();
        let keys = named.map(|outlet| (outlet.probe.clone(), outlet.key.clone())).collect();
        Self { meter, keys, no_register: Arc::default() }
    }

    /// Where a sum of registers is: in its parts.
    pub(super) fn of_sum(spec: &VirtualSpec) -> Self {
        let mut digest = Sha256::new();
        for part in &spec.parts {
            digest.update(format!("{part}\n"));
        }
        let meter = format!("sum/{}", hex(&digest.finalize()));
        Self { meter, keys: HashMap::new(), no_register: Arc::default() }
    }

    /// That of a probe of which no counter was read.
    pub(super) fn no_register(&self) -> &Arc<Register> {
        &self.no_register
    }

    /// The register that `probe` is read from; `said` is what the driver knows of it.
    pub(super) fn register(&self, probe: &ProbeId, said: Option<&Register>) -> Arc<Register> {
        let said = said.cloned().unwrap_or_default();
        let outlet = || self.keys.get(probe).map_or_else(|| probe.as_str(), String::as_str);
        let path = format!("{}/{}", self.meter, said.path.as_deref().unwrap_or_else(outlet));
        let serial = said.serial.as_deref().map(str::trim).filter(|serial| !serial.is_empty());
        let serial = serial.map(|serial| bounded(serial.to_owned()));
        Arc::new(Register { path: Some(bounded(path)), serial, ..said })
    }
}

/// What names come from outside are kept by: no longer than the state has room for.
pub(super) fn bounded(name: String) -> String {
    if name.len() <= PATH_BYTES_MAX && !name.chars().any(char::is_control) {
        return name;
    }
    let digest = hex(&Sha256::digest(&name));
    let head: String = name.chars().filter(char::is_ascii_graphic).take(PATH_BYTES_MAX / 2).collect();
    format!("{head}#{digest}")
}

/// The first eight bytes of a digest.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use crate::outlets::Outlets;
    use crate::registry;

    use super::*;

    fn path(keys: &str, probe: &str) -> String {
        let driver = registry::find("snmp").unwrap().configure(keys.parse().unwrap()).unwrap();
        let outlets = Outlets::by_position([ProbeId::new(probe).ok()]);
        let place = Place::of(&MeterSpec::new("pdu", driver, outlets));
        place.register(&ProbeId::new(probe).unwrap(), None).path.clone().unwrap()
    }

    #[test]
    fn a_register_is_known_by_address_and_outlet_and_not_by_password_or_probe() {
        let one = path("host = '10.0.0.1'\ncommunity = 'one'", "web1");
        assert_eq!(one, path("host = '10.0.0.1'\ncommunity = 'other'", "web1"));
        assert_eq!(one, path("host = '10.0.0.1'\ncommunity = 'one'", "web2"), "renamed");
        assert_ne!(one, path("host = '10.0.0.2'\ncommunity = 'one'", "web1"));
        assert!(!one.contains("10.0.0.1") && one.starts_with("snmp/") && one.ends_with("/1"), "{one}");
    }

    #[test]
    fn a_name_from_outside_is_bounded_and_still_tells_two_apart() {
        let long = |end: char| bounded("x".repeat(10_000) + &end.to_string());
        assert!(long('a').len() <= PATH_BYTES_MAX && long('a') != long('b'));
        assert!(!bounded("a\nb".to_owned()).contains('\n'));
        assert_eq!(bounded("SN-1 2".to_owned()), "SN-1 2");
    }
}
