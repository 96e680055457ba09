//! The keys of a plug: the same for each firmware that knows one user.

use kwapi_core::Secret;
use serde::Deserialize;

use super::{Login, check};
use crate::driver::DriverError;
use crate::tls::Tls;

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
    /// Checks what can be without the device.
    pub(crate) fn check(&self) -> Result<(), String> {
        check("host", &self.host, "http", &Tls::System)?;
        self.login().map(drop).map_err(DriverError::into_message)
    }

    /// Who we are, if the device asks.
    ///
    /// # Errors
    /// [`DriverError::Refused`] for a user without a password.
    pub(crate) fn login(&self) -> Result<Login, DriverError> {
        let username = match (&self.username, &self.password) {
            (None, Some(_)) => Some(USERNAME.to_owned()),
            (username, _) => username.clone(),
        };
        Login::from_keys(username.as_ref(), self.password.as_ref())
    }
}
