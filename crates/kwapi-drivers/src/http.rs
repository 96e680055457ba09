//! The HTTP client of every driver whose device has an HTTP interface: one way to log in, to bound, to trust and to
//! report errors.
//!
//! Redirects are not followed but those that only add or take the slash at the end of a path: a login would travel with
//! them, and a device that sends its reader elsewhere (to HTTPS, most often) is better configured so.

mod access;
mod answer;
mod body;
mod device;
mod digest;
mod failure;
mod plug;
mod url_config;

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use kwapi_core::{Secret, hex};
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

use crate::config::ConfigError;
use crate::error::DriverError;
use crate::tls::{self, DeviceTls};
pub(crate) use access::Access;
pub(crate) use answer::{HttpResponse, excerpt, printable};
pub(crate) use device::DeviceClient;
#[cfg(feature = "fuzzing")]
pub(crate) use digest::parse_challenge;
pub use plug::PlugConfig;
pub(crate) use url_config::{stale_seconds, url_config};

/// A device in the same building answers within this or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest management cards take ten seconds an answer; the manager's deadline usually comes first.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The HTTP clients of a process, one a choice of trust, so that a thousand meters share one set of roots.
#[derive(Debug, Default)]
pub struct Clients(Mutex<HashMap<DeviceTls, Client>>);

impl Clients {
    fn client(&self, tls: &DeviceTls) -> Result<Client, DriverError> {
        let mut clients = self.0.lock();
        if let Some(client) = clients.get(tls) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config(tls)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // Management cards serve few connections at once.
            .pool_max_idle_per_host(1)
            .user_agent(concat!("kwapi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| DriverError::Refused(format!("http client: {}", failure::causes(&error))))?;
        // An authority's file may be renewed while we run, so it is read again by each meter that opens.
        if !matches!(tls, DeviceTls::Authority(_)) {
            clients.insert(tls.clone(), client.clone());
        }
        Ok(client)
    }
}

/// How to get past a device's door.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    /// Sent as Basic or Digest, whichever the device requests, and not before it does.
    pub(crate) user: Option<(String, Secret)>,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
}

impl Login {
    /// From the `username` and `password` keys of a meter.
    ///
    /// # Errors
    /// When there is one without the other.
    pub(crate) fn from_keys(username: Option<&str>, password: Option<&Secret>) -> Result<Self, ConfigError> {
        let user = match (username, password) {
            (Some(username), Some(password)) => Some((username.to_owned(), password.clone())),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::of("username", "set without password")),
            (None, Some(_)) => return Err(ConfigError::of("password", "set without username")),
        };
        Ok(Self { user, headers: HeaderMap::new() })
    }

    /// Adds a header whose value is a secret.
    ///
    /// # Errors
    /// Naming the header, never its value.
    pub(crate) fn add_header(&mut self, name: &str, value: &Secret) -> Result<(), ConfigError> {
        let refused = || ConfigError::of("headers", format!("{name:?}: invalid HTTP header"));
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused())?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::try_from(name).map_err(|_| refused())?, value);
        Ok(())
    }
}

/// Reads `http://host[:port][/path]`, or a bare host, which means `scheme`; an IPv6 address as well without its brackets.
///
/// # Errors
/// What is wrong with it. The address itself is not repeated: it may carry a password.
fn parse_address(address: &str, scheme: &str) -> Result<Url, &'static str> {
    let written = if address.contains("://") {
        address.to_owned()
    } else if address.parse::<Ipv6Addr>().is_ok() {
        format!("{scheme}://[{address}]")
    } else {
        format!("{scheme}://{address}")
    };
    let url = Url::parse(&written)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("invalid URL; write http://HOST/PATH or https://HOST/PATH")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain credentials; set username and password instead");
    }
    Ok(url)
}

/// A text as part of a query: percent-encodes everything but letters and digits (RFC 3986, 2.1).
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(["%", &hex::encode(&[byte])]);
        }
        encoded
    })
}

#[cfg(test)]
mod tests;
