//! How a meter's keys configure that its device is reached over HTTP: read and checked in one place for every driver.

use std::collections::BTreeMap;

use kwapi_core::Secret;

use super::{Clients, DeviceClient, Login, parse_address};
use crate::config::ConfigError;
use crate::error::DriverError;
use crate::tls::{self, DeviceTls};

/// The keys of a meter by which its device is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    /// The key of the address: `host`, `url`.
    pub(crate) key: &'static str,
    /// Its value: `http://host[:port][/path]`, or a bare host.
    pub(crate) address: &'a str,
    /// What a bare host means: `http`, `https`.
    pub(crate) scheme: &'static str,
    pub(crate) tls: &'a DeviceTls,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a Secret>,
    /// The key `headers`, where the driver has it.
    pub(crate) headers: Option<&'a BTreeMap<String, Secret>>,
    /// The formats the driver reads, the best first; any, where it states none.
    pub(crate) accept: Option<&'static str>,
}

impl<'a> Access<'a> {
    /// By an address alone.
    pub(crate) fn new(key: &'static str, address: &'a str, scheme: &'static str) -> Self {
        let (username, password, headers, accept) = (None, None, None, None);
        Self { key, address, scheme, tls: &DeviceTls::System, username, password, headers, accept }
    }

    /// Checks address, trust and login before anything is sent: `kwapi check` reports it.
    ///
    /// # Errors
    /// With the key at fault; never a secret.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let url = parse_address(self.address, self.scheme).map_err(|why| ConfigError::of(self.key, why))?;
        match self.tls {
            DeviceTls::Authority(_) | DeviceTls::Pinned(_) if url.scheme() == "http" => {
                let key = self.key;
                let why = format!("not used with http; write https:// in {key}, or remove tls");
                return Err(ConfigError::of("tls", why));
            }
            DeviceTls::Authority(_) => tls::client_config(self.tls).map(drop)?,
            DeviceTls::System | DeviceTls::Pinned(_) | DeviceTls::Insecure => {}
        }
        self.login().map(drop)
    }

    /// Our login, if the device requires one.
    ///
    /// # Errors
    /// For a user without a password or the other way round, and for a header that is none; never with its value.
    pub(crate) fn login(&self) -> Result<Login, ConfigError> {
        let mut login = Login::from_keys(self.username, self.password)?;
        if let Some(accept) = self.accept {
            login.add_header("accept", &Secret::new(accept))?;
        }
        for (name, value) in self.headers.into_iter().flatten() {
            login.add_header(name, value)?;
        }
        Ok(login)
    }

    /// The device there. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`Access::check`].
    pub(crate) fn device(&self, clients: &Clients) -> Result<DeviceClient, DriverError> {
        DeviceClient::new(clients, self.address, self.scheme, self.tls, self.login()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(access: Access<'_>, expected: &str) {
        assert_eq!(access.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned()), expected);
    }

    #[test]
    fn address_trust_and_login_are_checked_with_the_key_at_fault() {
        let bmc = Access::new("host", "bmc1:8443", "https");
        let (user, password) = ("operator", Secret::new("hunter2"));
        check(bmc, "fine");
        for address in ["2001:db8::9", "[2001:db8::9]", "[2001:db8::9]:8443"] {
            check(Access { address, ..bmc }, "fine");
        }
        check(
            Access { address: "ftp://bmc1", ..bmc },
            "`host`: invalid URL; write http://HOST/PATH or https://HOST/PATH",
        );
        check(
            Access { address: "https://a:hunter2@bmc1", ..bmc },
            "`host`: must not contain credentials; set username and password instead",
        );
        let pinned = DeviceTls::Pinned([7; 32]);
        check(Access { tls: &pinned, ..bmc }, "fine");
        check(
            Access { tls: &pinned, address: "http://bmc1", ..bmc },
            "`tls`: not used with http; write https:// in host, or remove tls",
        );
        check(Access { username: Some(user), password: Some(&password), ..bmc }, "fine");
        check(Access { username: Some(user), ..bmc }, "`username`: set without password");
        check(Access { password: Some(&password), ..bmc }, "`password`: set without username");
        let headers = BTreeMap::from([("X Key".to_owned(), Secret::new("hunter2"))]);
        check(Access { headers: Some(&headers), ..bmc }, "`headers`: \"X Key\": invalid HTTP header");
        let file = std::env::temp_dir().join("there-is-no-such-authority.pem");
        let missing = DeviceTls::Authority(file);
        let error = Access { tls: &missing, ..bmc }.check().unwrap_err();
        assert_eq!(error.key(), Some("tls"));
    }
}
