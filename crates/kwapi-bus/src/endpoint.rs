//! Endpoints as they are configured: where one is, who waits there, and with which keys.

use serde::Deserialize;

use crate::error::BusError;
use crate::transport::zeromq::CurveConfig;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `tcp://host:port`, `tcp://*:port`, `tcp://[::1]:port`, `ipc:///run/kwapi/probes` or `inproc://name`.
    pub url: String,
    /// Who waits for the other; see the component for its default.
    pub attach: Option<Attach>,
    /// Whether names and `*` mean IPv6 as well. An address in brackets says so by itself.
    pub ipv6: bool,
    /// Encryption, between hosts.
    pub curve: Option<CurveConfig>,
}

/// Which side of a connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// Waits at the address.
    Bind,
    /// Goes to the address, again and again until somebody is there.
    Connect,
}

impl EndpointConfig {
    /// An endpoint in the clear, attached as its component does by default.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), attach: None, ipv6: false, curve: None }
    }

    /// Checks what can be told without opening anything.
    ///
    /// # Errors
    /// When the address is none.
    pub fn check(&self) -> Result<(), BusError> {
        check_url(&self.url)
    }

    /// Whether one socket can serve both.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self { url, attach, ipv6, curve } = self;
        (*attach, *ipv6, curve) == (other.attach, other.ipv6, &other.curve)
            && url.contains('[') == other.url.contains('[')
    }
}

pub(crate) fn check_url(url: &str) -> Result<(), BusError> {
    let known = ["tcp://", "ipc://", "inproc://"].iter().any(|scheme| url.starts_with(scheme));
    if !known {
        return Err(BusError::config(url, "an endpoint must start with tcp://, ipc:// or inproc://"));
    }
    if url.chars().any(char::is_control) {
        return Err(BusError::config(url, "an endpoint must not contain control characters"));
    }
    Ok(())
}
