//! Which names a server answers to. A page elsewhere may have its own name resolve to this machine and then read, in
//! its visitor's browser, whatever needs no authentication here (DNS rebinding); its requests still carry its own name
//! in `Host`.

use std::net::IpAddr;
use std::str::FromStr as _;

use axum::http::uri::Authority;
use axum::http::{Request, StatusCode, header};
use serde::Deserialize;

use super::error::HttpError;

/// A name clients may use for this server, without scheme or port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostName(String);

impl TryFrom<String> for HostName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!("{name:?} is not a host name; omit scheme and port"));
        }
        Ok(Self(plain(&name).to_ascii_lowercase()))
    }
}

/// Which names a listener answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Any: its clients show who they are.
    Any,
    /// Addresses, `localhost`, and these.
    Only {
        /// What the operator configured.
        names: Vec<HostName>,
        /// The key that configures it, for whoever is refused.
        key: &'static str,
    },
}

impl Hosts {
    /// Refuses a request made to a name that is not this server's, with 421.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), HttpError> {
        let Self::Only { names, key } = self else { return Ok(()) };
        let header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
        // The target may name a host as well (RFC 9112, section 3.2.2), and then outranks the header.
        let target = request.uri().authority().map(Authority::as_str);
        for host in [header, target].into_iter().flatten().filter(|host| !host.is_empty()) {
            if !is_ours(host, names) {
                let shown: String = host.chars().take(100).collect();
                let message = format!(
                    "Unknown host name {shown:?}; use the server's IP address, or add the name to {key}."
                );
                return Err(HttpError::new(StatusCode::MISDIRECTED_REQUEST, message));
            }
        }
        Ok(())
    }
}

fn is_ours(host: &str, names: &[HostName]) -> bool {
    let Ok(authority) = Authority::from_str(host) else { return false };
    let host = plain(authority.host());
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| host.eq_ignore_ascii_case(&name.0))
}

/// A name without the dot that may end it.
fn plain(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, host: &str, is_answered: bool) {
        let names = vec![HostName::try_from("Power.Example".to_owned()).unwrap()];
        let hosts = Hosts::Only { names, key: "`hosts` in [api]" };
        let request = Request::get(target).header("host", host).body(()).unwrap();
        assert_eq!(hosts.check(&request).is_ok(), is_answered, "{target} {host}");
        assert!(Hosts::Any.check(&request).is_ok());
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_answered_and_no_others() {
        for host in
            ["127.0.0.1", "127.0.0.1:5000", "[::1]:5000", "[::1]", "192.0.2.7:80", "localhost:1", "LOCALHOST"]
        {
            check("/", host, true);
        }
        for host in ["power.example", "POWER.example.:8080", ""] {
            check("/", host, true);
        }
        for host in [
            "other.example",
            "power.example.evil",
            "localhost.evil",
            "127.0.0.1.evil:5000",
            "a b",
            "user@127.0.0.1@x",
        ] {
            check("/", host, false);
        }
        check("http://other.example/v1/", "localhost", false);
        check("http://localhost/v1/", "localhost", true);
    }

    #[test]
    fn a_refusal_names_the_key() {
        let hosts = Hosts::Only { names: Vec::new(), key: "`hosts` in [rrd]" };
        let request = Request::get("/").header("host", "x\"y.example").body(()).unwrap();
        let error = hosts.check(&request).unwrap_err();
        assert_eq!(error.status(), StatusCode::MISDIRECTED_REQUEST);
        let bytes = String::from_utf8(error.message_bytes()).unwrap();
        assert!(bytes.contains("add the name to `hosts` in [rrd]"), "{bytes}");
    }

    #[test]
    fn a_url_is_no_host_name() {
        for name in ["", "http://a", "a:80", "a/b", "nœud"] {
            assert!(HostName::try_from(name.to_owned()).is_err(), "{name}");
        }
    }
}
