//! The keys of a plug: the same for each firmware that has one user.

use kwapi_core::Secret;
use serde::Deserialize;

use super::Access;
use crate::config::DriverKey;

/// The only user of Shelly's later generations, and of Tasmota's web server (`WEB_USERNAME`).
const USERNAME: &str = "admin";

/// The keys of a plug in its `[[meter]]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlugConfig {
    /// The device: a name or an address.
    pub host: String,
    /// `admin` unless the device has another.
    pub username: Option<String>,
    /// Its password, where one is set.
    pub password: Option<Secret>,
}

impl PlugConfig {
    /// The keys there are.
    pub(crate) const KEYS: &'static [DriverKey] = &[
        DriverKey::required("host", "name or address"),
        DriverKey::new("username", "user, if the device has others").login().otherwise("admin"),
        DriverKey::new("password", "its password, where one is set").secret(),
    ];

    /// How the device is reached; as its user where there is a password.
    pub(crate) fn access(&self) -> Access<'_> {
        let password = self.password.as_ref();
        let username = self.username.as_deref().or(password.map(|_| USERNAME));
        Access { username, password, ..Access::new("host", &self.host, "http") }
    }
}
