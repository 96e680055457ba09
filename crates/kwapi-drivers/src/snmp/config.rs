//! The keys of a `[[meter]]` table with `driver = "snmp"`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_snmp::{AuthProtocol, PrivProtocol};
use kwapi_core::Secret;
use serde::{Deserialize, Deserializer};

use super::profile::Section;

/// `driver = "snmp"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name or address of the agent.
    pub host: String,
    /// Its UDP port.
    #[serde(default = "port_default")]
    pub port: u16,
    /// `"1"`, `"2c"` or `"3"`; 3 when a `user` is given, else 2c.
    pub version: Option<Version>,
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
    /// The context of version 3, where an agent speaks for several.
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
    /// The most objects asked for in one request; the profile's number if not given.
    pub max_varbinds: Option<usize>,
    /// Whether to ask for voltage and current also where the device says watts.
    #[serde(default)]
    pub voltage_and_current: bool,
}

/// Which SNMP is spoken.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Version {
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

impl Config {
    /// Which version the keys ask for.
    pub fn version(&self) -> Version {
        self.version.unwrap_or(if self.user.is_some() { Version::V3 } else { Version::V2c })
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
    /// A sentence that names the keys.
    pub fn check(&self) -> Result<(), String> {
        let v3_keys = [
            ("user", self.user.is_some()),
            ("auth_protocol", self.auth_protocol.is_some()),
            ("auth_password", self.auth_password.is_some()),
            ("privacy_protocol", self.privacy_protocol.is_some()),
            ("privacy_password", self.privacy_password.is_some()),
        ];
        match self.version() {
            Version::V1 | Version::V2c => {
                if let Some((key, _)) = v3_keys.iter().find(|(_, is_given)| *is_given) {
                    return Err(format!(
                        "`{key}` applies to SNMP version 3 only; set version = \"3\" or remove it"
                    ));
                }
            }
            Version::V3 => {
                if self.community.is_some() {
                    return Err(
                        "`community` applies to SNMP versions 1 and 2c only; version 3 uses `user`".into()
                    );
                }
                if self.user.as_deref().unwrap_or_default().is_empty() {
                    return Err("SNMP version 3 requires `user`".into());
                }
                if self.auth_protocol.is_some() && self.auth_password.is_none() {
                    return Err("`auth_protocol` requires `auth_password`".into());
                }
                if self.privacy_password.is_some() && self.privacy_protocol.is_none() {
                    return Err(
                        "`privacy_password` requires `privacy_protocol`: DES, AES, AES-192, AES-256".into()
                    );
                }
                if self.privacy_protocol.is_some() && self.auth_password.is_none() {
                    return Err(
                        "`privacy_protocol` requires `auth_password`: SNMP has no privacy without authentication"
                            .into(),
                    );
                }
            }
        }
        if !TIMEOUT_SECONDS.contains(&self.timeout_seconds) {
            return Err(format!(
                "`timeout_seconds` must be {} to {}",
                TIMEOUT_SECONDS.start(),
                TIMEOUT_SECONDS.end()
            ));
        }
        if self.retransmits > RETRANSMITS_MAX {
            return Err(format!("`retransmits` must be at most {RETRANSMITS_MAX}"));
        }
        if self.max_varbinds == Some(0) {
            return Err("`max_varbinds` must be at least 1".into());
        }
        for (key, section) in &self.oids {
            if section.index_length != 0 {
                return Err(format!("oids.{key:?}: use full OIDs, without {{index}}"));
            }
            section.check().map_err(|message| format!("oids.{key:?}: {message}"))?;
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
    // net-snmp and most PDUs say AES-192 and AES-256 for the extension of draft-blumenthal-aes-usm-04.
    let name = match name.to_ascii_uppercase().as_str() {
        "AES192" | "AES-192" => "AES-192-BLUMENTHAL".to_owned(),
        "AES256" | "AES-256" => "AES-256-BLUMENTHAL".to_owned(),
        _ => name,
    };
    name.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
