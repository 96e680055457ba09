//! What a meter's registers are identified by where the driver does not state it: driver, address and outlet.

use std::collections::HashMap;
use std::sync::Arc;

use kwapi_core::{ProbeId, Register, hex};
use sha2::{Digest, Sha256};

use super::spec::MeterSpec;

/// A longer path is cut and made distinct by a digest.
const PATH_BYTES_MAX: usize = 240;

/// Where the registers of one meter are.
#[derive(Debug)]
pub(super) struct RegisterPlace {
    meter: String,
    keys: HashMap<ProbeId, String>,
    /// What all probes without a register have for one.
    no_register: Arc<Register>,
}

impl RegisterPlace {
    pub(super) fn of(spec: &MeterSpec) -> Self {
        let (keys, entry) = (spec.driver.keys(), spec.driver.entry());
        // Changing a password is no change of the meter; changing anything else may be.
        let is_login = |name: &str| entry.key(name).is_some_and(|key| key.is_login);
        let mut digest = Sha256::new();
        for (key, value) in keys.iter().filter(|(key, _)| !is_login(key)) {
            digest.update(format!("{key}={value}\n"));
        }
        digest.update(spec.files.to_le_bytes());
        let meter = format!("{}/{}", spec.driver.name(), short(&digest.finalize()));
        let named = spec.outlets.named().iter();
        let keys = named.map(|outlet| (outlet.probe.clone(), outlet.key.clone())).collect();
        Self { meter, keys, no_register: Arc::default() }
    }

    /// Where a sum of registers is: in its parts.
    pub(super) fn of_sum(parts: &[ProbeId]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(format!("{part}\n"));
        }
        let meter = format!("sum/{}", short(&digest.finalize()));
        Self { meter, keys: HashMap::new(), no_register: Arc::default() }
    }

    /// Where the registers of a log are: with their probes.
    pub(super) fn of_log() -> Self {
        Self { meter: "log".to_owned(), keys: HashMap::new(), no_register: Arc::default() }
    }

    /// That of a probe of which no counter was read.
    pub(super) fn no_register(&self) -> &Arc<Register> {
        &self.no_register
    }

    /// The register that `probe` is read from; `outcome` is what the driver has of it.
    pub(super) fn register(&self, probe: &ProbeId, stated: Option<&Register>) -> Arc<Register> {
        let stated = stated.cloned().unwrap_or_default();
        let outlet = || self.keys.get(probe).map_or_else(|| probe.as_str(), String::as_str);
        let path = format!("{}/{}", self.meter, stated.path.as_deref().unwrap_or_else(outlet));
        let serial = stated.serial.as_deref().map(str::trim).filter(|serial| !serial.is_empty());
        let serial = serial.map(|serial| bounded(serial.to_owned()));
        Arc::new(Register { path: Some(bounded(path)), serial, ..stated })
    }
}

impl MeterSpec {
    /// Each named outlet's probe, and what identifies the outlet where its driver does not state more: where two are
    /// equal, it is the same outlet of the same device.
    pub fn places(&self) -> Vec<(ProbeId, String)> {
        let place = RegisterPlace::of(self);
        let path = |probe: &ProbeId| place.register(probe, None).path.clone().unwrap_or_default();
        self.outlets.named().iter().map(|outlet| (outlet.probe.clone(), path(&outlet.probe))).collect()
    }
}

/// What names come from outside are kept by: no longer than the state has room for.
pub(super) fn bounded(name: String) -> String {
    if name.len() <= PATH_BYTES_MAX && !name.chars().any(char::is_control) {
        return name;
    }
    let digest = short(&Sha256::digest(&name));
    let head: String = name.chars().filter(char::is_ascii_graphic).take(PATH_BYTES_MAX / 2).collect();
    format!("{head}#{digest}")
}

/// The first eight bytes of a digest.
fn short(digest: &[u8]) -> String {
    hex::encode(digest.get(..8).unwrap_or(digest))
}

#[cfg(test)]
mod tests {
    use crate::outlets::Outlets;
    use crate::registry;

    use super::*;

    fn path(keys: &str, probe: &str) -> String {
        let driver = registry::find("snmp").unwrap().configure(keys.parse().unwrap()).unwrap();
        let outlets = Outlets::by_position([ProbeId::new(probe).ok()]);
        let place = RegisterPlace::of(&MeterSpec::new("pdu", driver, outlets));
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

    /// What registers are known by is kept over versions: a key that begins to count, or ceases to, is another register.
    #[test]
    fn these_keys_define_how_one_gets_at_a_device_and_not_which_it_is() {
        let mut logins = std::collections::BTreeSet::new();
        for driver in registry::DRIVERS {
            logins.extend(driver.keys.iter().filter(|key| key.is_login).map(|key| key.name));
        }
        let expected = [
            "auth",
            "auth_password",
            "auth_protocol",
            "authentication_key",
            "cipher_suite",
            "community",
            "encryption_key",
            "headers",
            "kg",
            "legacy_login",
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
        assert!(logins.iter().eq(&expected), "{logins:?}");
        for driver in registry::DRIVERS {
            let others = driver.keys.iter().filter(|key| !key.is_login);
            for key in others {
                assert!(!expected.contains(&key.name), "{}: {}", driver.name, key.name);
            }
        }
    }

    #[test]
    fn a_name_from_outside_is_bounded_and_still_distinguishes_two() {
        let long = |end: char| bounded("x".repeat(10_000) + &end.to_string());
        assert!(long('a').len() <= PATH_BYTES_MAX && long('a') != long('b'));
        assert!(!bounded("a\nb".to_owned()).contains('\n'));
        assert_eq!(bounded("SN-1 2".to_owned()), "SN-1 2");
    }
}
