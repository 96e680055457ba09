//! The keys of a `driver = "ipmi"` meter.

use std::time::Duration;

use kwapi_core::{Secret, hex};
use serde::Deserialize;

use super::crypto::Suite;
use crate::config::{ConfigError, DriverKey};

/// Longest user name and password: IPMI 2.0, 22.28 and 22.30.
const USER_BYTES_MAX: usize = 16;
const PASSWORD_BYTES_MAX: usize = 20;
/// Longest K-g: IPMI 2.0, 22.25.
const CARD_KEY_BYTES_MAX: usize = 20;
/// An answer that takes longer is none; one that may not take this long would give up on healthy cards.
const TIMEOUT_SECONDS_MAX: f64 = 60.0;
const TIMEOUT_SECONDS_MIN: f64 = 0.05;

/// `driver = "ipmi"`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpmiConfig {
    /// Name or address of the card.
    pub host: String,
    /// Its UDP port; 623 on all real cards.
    #[serde(default = "default_port")]
    pub port: u16,
    /// The account on the card, at most 16 bytes; empty for the anonymous one.
    #[serde(default)]
    pub username: String,
    /// Its password, at most 20 bytes (16 on cards of IPMI 1.5).
    #[serde(default)]
    pub password: Secret,
    /// The card's own key K-g, as text or as `0x` and hexadecimal digits, where the card has one.
    #[serde(default)]
    pub kg: Option<Secret>,
    /// The version to use. Left out: what the card reports it supports, which anyone on the network could report in its
    /// place.
    #[serde(default)]
    pub version: Option<IpmiVersion>,
    /// 17 or 3. Left out: 17, or 3 where the card does not take it, or IPMI 1.5 where it supports nothing newer.
    #[serde(default)]
    pub cipher_suite: Option<u8>,
    /// The session's privilege. Left out: the highest the account has.
    #[serde(default)]
    pub privilege: Option<Privilege>,
    /// How packets are authenticated on a card that supports IPMI 1.5 only.
    #[serde(default)]
    pub legacy_authentication: LegacyAuthentication,
    /// Where the watts come from.
    #[serde(default)]
    pub source: SourceWanted,
    /// The sensor to read, by its name in the SDR; several are summed. Left out: chosen by name and kind.
    #[serde(default)]
    pub sensor: Option<SensorNames>,
    /// How long one answer may take, retransmissions included.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: f64,
}

fn default_port() -> u16 {
    623
}

fn default_timeout_seconds() -> f64 {
    5.0
}

/// A version of IPMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum IpmiVersion {
    /// Signed packets at best.
    #[serde(rename = "1.5")]
    Legacy,
    /// RMCP+: signed and encrypted packets.
    #[serde(rename = "2.0")]
    Plus,
}

/// Session privilege levels, in rising order: IPMI 2.0, 6.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// May look.
    User,
    /// May do all but change the card's configuration.
    Operator,
    /// May do all.
    Administrator,
}

impl Privilege {
    /// Its number: IPMI 2.0, 22.18.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::User => 2,
            Self::Operator => 3,
            Self::Administrator => 4,
        }
    }

    /// Its name in the configuration.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

/// How an IPMI 1.5 card is to authenticate us: IPMI 2.0, 22.17.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LegacyAuthentication {
    /// A keyed MD5 hash.
    #[default]
    Md5,
    /// The password in clear, in every packet.
    Password,
    /// Not at all.
    None,
}

/// Where the watts are to come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceWanted {
    /// DCMI, or where the card has none or it reports nothing, its sensors, otherwise Intel Node Manager.
    #[default]
    Auto,
    /// DCMI Get Power Reading only.
    Dcmi,
    /// Sensors of the SDR only.
    Sensor,
    /// Intel Node Manager only.
    #[serde(rename = "node_manager")]
    NodeManager,
}

/// One sensor's name or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SensorNames {
    /// `sensor = "Power"`.
    One(String),
    /// `sensor = ["PS1 Input Power", "PS2 Input Power"]`.
    Several(Vec<String>),
}

impl SensorNames {
    /// The names.
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl IpmiConfig {
    /// The keys there are.
    pub(super) const KEYS: &'static [DriverKey] = &[
        DriverKey::required("host", "name or address of the card"),
        DriverKey::new("port", "its UDP port").or("623"),
        DriverKey::new("username", "user on the BMC, at most 16 bytes").login().otherwise("empty"),
        DriverKey::new("password", "password, at most 20 bytes; 16 with IPMI 1.5")
            .otherwise("empty")
            .secret(),
        DriverKey::new("kg", "the BMC's K-g key, as text or 0x and hexadecimal digits").secret(),
        DriverKey::new("version", "version of IPMI: 2.0 or 1.5").login().otherwise("as the BMC reports"),
        DriverKey::new("cipher_suite", "17 or 3").login().otherwise("17, else 3"),
        DriverKey::new("privilege", "user, operator or administrator")
            .login()
            .otherwise("the highest the user has"),
        DriverKey::new("legacy_authentication", "on IPMI 1.5: md5, password or none").or("md5"),
        DriverKey::new("source", "source of the watts: auto, dcmi, sensor or node_manager").or("auto"),
        DriverKey::new("sensor", "name of a sensor, or a list of names to be summed")
            .otherwise("chosen by name and type"),
        DriverKey::new("timeout_seconds", "maximum time for a response, including retransmissions")
            .in_unit("s")
            .or("5.0"),
    ];

    /// Refuses what no card can take, before anything is sent.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let too_long =
            |key, maximum| Err(ConfigError::of(key, format!("too long: IPMI allows {maximum} bytes")));
        if self.username.len() > USER_BYTES_MAX {
            return too_long("username", USER_BYTES_MAX);
        }
        if self.password.expose().len() > PASSWORD_BYTES_MAX {
            return too_long("password", PASSWORD_BYTES_MAX);
        }
        let is_other = matches!(self.source, SourceWanted::Dcmi | SourceWanted::NodeManager);
        if is_other && self.sensor.is_some() {
            let why = "requires source = \"sensor\" or \"auto\"; remove one of them";
            return Err(ConfigError::of("sensor", why));
        }
        if self.version == Some(IpmiVersion::Legacy) && self.cipher_suite.is_some() {
            let why = "version = \"1.5\" and cipher_suite are mutually exclusive; remove one of them";
            return Err(ConfigError::of("cipher_suite", why));
        }
        self.suites()?;
        self.card_key()?;
        self.patience().map(drop)
    }

    pub(super) fn patience(&self) -> Result<Duration, ConfigError> {
        if !(TIMEOUT_SECONDS_MIN..=TIMEOUT_SECONDS_MAX).contains(&self.timeout_seconds) {
            let seconds = self.timeout_seconds;
            let why = format!("must be {TIMEOUT_SECONDS_MIN} to {TIMEOUT_SECONDS_MAX}, not {seconds}");
            return Err(ConfigError::of("timeout_seconds", why));
        }
        Ok(Duration::from_secs_f64(self.timeout_seconds))
    }

    /// The cipher suites to try, in order.
    pub(super) fn suites(&self) -> Result<Vec<Suite>, ConfigError> {
        match self.cipher_suite {
            None => Ok(Suite::ALL.to_vec()),
            Some(id) => Suite::from_id(id).map(|suite| vec![suite]).ok_or_else(|| {
                let why = format!("must be 17 or 3, not {id}: the others are weaker");
                ConfigError::of("cipher_suite", why)
            }),
        }
    }

    /// The privileges to try, from the highest down.
    pub(super) fn privileges(&self) -> impl Iterator<Item = Privilege> + use<> {
        let wanted = self.privilege;
        [Privilege::Administrator, Privilege::Operator, Privilege::User]
            .into_iter()
            .filter(move |privilege| wanted.is_none_or(|wanted| wanted == *privilege))
    }

    pub(super) fn card_key(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(kg) = &self.kg else { return Ok(None) };
        let refused = |message: &str| Err(ConfigError::of("kg", message));
        let key = match kg.expose().strip_prefix("0x") {
            None => kg.expose().as_bytes().to_vec(),
            Some(digits) => match hex::decode(digits) {
                Some(key) => key,
                None => return refused("must have an even number of hexadecimal digits after 0x"),
            },
        };
        if key.is_empty() || key.len() > CARD_KEY_BYTES_MAX {
            return refused("must have 1 to 20 bytes");
        }
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests;
