//! The keys of a `[[meter]]` table with `driver = "snmp"`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_snmp::{AuthProtocol, PrivProtocol};
use kwapi_core::Secret;
use serde::{Deserialize, Deserializer};

use super::profile::Section;
use crate::config::{ConfigError, DriverKey, Names};

/// `driver = "snmp"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnmpConfig {
    /// Name or address of the agent.
    pub host: String,
    /// Its UDP port.
    #[serde(default = "port_default")]
    pub port: u16,
    /// `"1"`, `"2c"` or `"3"`; 3 when a `user` is given, else 2c.
    pub version: Option<SnmpVersion>,
    /// The community of versions 1 and 2c; `"public"` if not given.
    pub community: Option<Secret>,
    /// The user of version 3.
    pub user: Option<String>,
    /// How its messages are signed: `MD5`, `SHA`, `SHA-224`, `SHA-256`, `SHA-384`, `SHA-512`.
    #[serde(default, deserialize_with = "auth_protocol")]
    pub auth_protocol: Option<AuthProtocol>,
    /// The password for that, 8 characters or more.
    pub auth_password: Option<Secret>,
    /// How they are encrypted: `DES`, `AES`, `AES-192`, `AES-256` (`AES-256-CISCO` where keys are extended that way).
    #[serde(default, deserialize_with = "privacy_protocol")]
    pub privacy_protocol: Option<PrivProtocol>,
    /// The password for that; that of `auth_password` if not given.
    pub privacy_password: Option<Secret>,
    /// The context of version 3, where an agent has several.
    #[serde(default)]
    pub context: String,
    /// The family of PDU, or `"auto"`.
    #[serde(default = "profile_default")]
    pub profile: String,
    /// A directory with more profiles (`*.toml`), which may replace built-in ones.
    pub profile_directory: Option<PathBuf>,
    /// Which unit of a daisy chain plain outlet numbers mean.
    pub unit: Option<u32>,
    /// Objects for what no profile covers, by probe key.
    #[serde(default)]
    pub oids: BTreeMap<String, Section>,
    /// How long one request may take in all, retransmissions included.
    #[serde(default = "timeout_default")]
    pub timeout_seconds: f64,
    /// How often a request is sent again within that time.
    #[serde(default = "retransmits_default")]
    pub retransmits: u32,
    /// The most objects requested in one request; the profile's number if not given.
    pub max_varbinds: Option<usize>,
    /// Whether to request voltage and current also where the device reports watts.
    #[serde(default)]
    pub voltage_and_current: bool,
}

/// Which version of SNMP is used.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum SnmpVersion {
    /// RFC 1157.
    #[serde(rename = "1", alias = "v1")]
    V1,
    /// RFC 3416 with communities.
    #[serde(rename = "2c", alias = "2", alias = "v2c")]
    V2c,
    /// RFC 3414: users, signatures, encryption.
    #[serde(rename = "3", alias = "v3")]
    V3,
}

fn port_default() -> u16 {
    161
}

fn profile_default() -> String {
    "auto".to_owned()
}

fn timeout_default() -> f64 {
    2.0
}

fn retransmits_default() -> u32 {
    1
}

/// The least and the most that `timeout_seconds` may be.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<f64> = 0.05..=60.0;
/// The most that `retransmits` may be.
const RETRANSMITS_MAX: u32 = 10;

impl SnmpConfig {
    /// The keys there are.
    pub(super) const KEYS: &'static [DriverKey] = &[
        DriverKey::required("host", "name or address of the agent"),
        DriverKey::new("port", "its UDP port").or("161"),
        DriverKey::new("version", "1, 2c or 3").login().otherwise("3 with a user, else 2c"),
        DriverKey::new("community", "of versions 1 and 2c").otherwise("public").secret(),
        DriverKey::new("user", "of version 3").login(),
        DriverKey::new(
            "auth_protocol",
            "authentication of version 3: MD5, SHA, SHA-224, SHA-256, SHA-384, SHA-512",
        )
        .login()
        .otherwise("SHA with an auth_password"),
        DriverKey::new("auth_password", "password of 8 characters or more").secret(),
        DriverKey::new(
            "privacy_protocol",
            "how version 3 encrypts: DES, AES, AES-192, AES-256, AES-256-CISCO",
        )
        .login(),
        DriverKey::new("privacy_password", "its password").otherwise("that of auth_password").secret(),
        DriverKey::new("context", "of version 3").otherwise("empty"),
        DriverKey::new("profile", "family of PDU").or("\"auto\""),
        DriverKey::new("profile_directory", "directory of your own profiles, *.toml")
            .naming(Names::Definitions { chosen_by: "profile" }),
        DriverKey::new("unit", "unit of a daisy chain that plain outlet numbers refer to"),
        DriverKey::new("oids", "objects that no profile covers, by outlet key"),
        DriverKey::new("timeout_seconds", "maximum time for a request, including retransmissions")
            .in_unit("s")
            .or("2.0"),
        DriverKey::new("retransmits", "retransmissions within that time").or("1"),
        DriverKey::new("max_varbinds", "objects per request").otherwise("as in the profile"),
        DriverKey::new("voltage_and_current", "request them also if the PDU reports watts").or("false"),
    ];

    /// Which version the keys configure.
    pub fn version(&self) -> SnmpVersion {
        self.version.unwrap_or(if self.user.is_some() { SnmpVersion::V3 } else { SnmpVersion::V2c })
    }

    /// The time of one request, retransmissions included.
    pub fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout_seconds).unwrap_or(Duration::from_secs(2))
    }

    /// `10.0.0.7:161`, for messages.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What serde cannot see: keys that do not go together.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refused = |key: &str, why: &str| Err(ConfigError::of(key, why));
        let v3_keys = [
            ("user", self.user.is_some()),
            ("auth_protocol", self.auth_protocol.is_some()),
            ("auth_password", self.auth_password.is_some()),
            ("privacy_protocol", self.privacy_protocol.is_some()),
            ("privacy_password", self.privacy_password.is_some()),
        ];
        match self.version() {
            SnmpVersion::V1 | SnmpVersion::V2c => {
                if let Some((key, _)) = v3_keys.iter().find(|(_, is_given)| *is_given) {
                    return refused(key, "applies to SNMP version 3 only; set version = \"3\" or remove it");
                }
            }
            SnmpVersion::V3 => {
                if self.community.is_some() {
                    let why = "applies to SNMP versions 1 and 2c only; version 3 uses `user`";
                    return refused("community", why);
                }
                if self.user.as_deref().unwrap_or_default().is_empty() {
                    return Err(ConfigError::new("SNMP version 3 requires `user`"));
                }
                if self.auth_protocol.is_some() && self.auth_password.is_none() {
                    return refused("auth_protocol", "requires `auth_password`");
                }
                if self.privacy_password.is_some() && self.privacy_protocol.is_none() {
                    let why = "requires `privacy_protocol`: DES, AES, AES-192, AES-256";
                    return refused("privacy_password", why);
                }
                if self.privacy_protocol.is_some() && self.auth_password.is_none() {
                    let why = "requires `auth_password`: SNMP has no privacy without authentication";
                    return refused("privacy_protocol", why);
                }
            }
        }
        if !TIMEOUT_SECONDS.contains(&self.timeout_seconds) {
            let (least, most) = (TIMEOUT_SECONDS.start(), TIMEOUT_SECONDS.end());
            return refused("timeout_seconds", &format!("must be {least} to {most}"));
        }
        if self.retransmits > RETRANSMITS_MAX {
            return refused("retransmits", &format!("must be at most {RETRANSMITS_MAX}"));
        }
        if self.max_varbinds == Some(0) {
            return refused("max_varbinds", "must be at least 1");
        }
        for (key, section) in &self.oids {
            if section.index_length != 0 {
                let why = ConfigError::of(key, "use full OIDs, without {index}");
                return Err(why.within("oids"));
            }
            section.check().map_err(|why| ConfigError::of(key, why).within("oids"))?;
        }
        Ok(())
    }
}

fn auth_protocol<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AuthProtocol>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

fn privacy_protocol<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PrivProtocol>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    // net-snmp and most PDUs use AES-192 and AES-256 for the extension of draft-blumenthal-aes-usm-04.
    let name = match name.to_ascii_uppercase().as_str() {
        "AES192" | "AES-192" => "AES-192-BLUMENTHAL".to_owned(),
        "AES256" | "AES-256" => "AES-256-BLUMENTHAL".to_owned(),
        _ => name,
    };
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
