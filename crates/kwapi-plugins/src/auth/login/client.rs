//! Who sends a request: its connection, or what a trusted proxy states in its headers. From anybody else those are
//! removed.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};

use crate::http::ClientConnection;

/// What a proxy states of the client it forwards.
const FORWARDED: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];
/// The cookie of a login. Browsers keep this one for its host alone, and send it over TLS alone (RFC 6265bis, `__Host-`)…
const COOKIE: &str = "__Host-kwapi-session";
/// …and take no cookie of that name without TLS, not even from this machine.
const PLAIN_COOKIE: &str = "kwapi-session";

/// Proxies that are trusted.
#[derive(Clone, Debug)]
pub(super) struct TrustedProxies {
    pub(super) addresses: Vec<IpAddr>,
    /// The header in which they name a user.
    pub(super) user_header: HeaderName,
}

/// The sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Their address.
    pub(crate) address: IpAddr,
    /// What they call this server, with its port.
    pub(crate) host: Option<String>,
    /// The user, where a trusted proxy names one.
    pub(super) user: Option<String>,
    channel: Channel,
}

/// The way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    /// Over TLS.
    Encrypted,
    /// Within this machine.
    Local,
    /// In clear, over a network.
    Clear,
}

impl Client {
    /// The sender of a request with these headers. What a proxy would state is removed from them.
    pub(super) fn take(
        headers: &mut HeaderMap,
        connection: Option<ClientConnection>,
        trusted: &TrustedProxies,
    ) -> Self {
        // A request that no listener has served comes from nowhere that is known.
        let unknown = ClientConnection { address: IpAddr::V4(0.into()), is_encrypted: false };
        let ClientConnection { address, is_encrypted } = connection.unwrap_or(unknown);
        let own_host = last(headers, &header::HOST);
        let direct = match (is_encrypted, address.is_loopback()) {
            (true, _) => Channel::Encrypted,
            (false, true) => Channel::Local,
            (false, false) => Channel::Clear,
        };
        let mut client = Self { address, host: own_host, user: None, channel: direct };
        let forwarded = |name: &'static str| last(headers, &HeaderName::from_static(name));
        if trusted.addresses.contains(&address) {
            client.address = forwarded_for(headers, &trusted.addresses).unwrap_or(address);
            client.host = forwarded("x-forwarded-host").or(client.host);
            client.user = last(headers, &trusted.user_header).filter(|user| !user.is_empty());
            client.channel = match forwarded("x-forwarded-proto") {
                Some(scheme) if scheme.eq_ignore_ascii_case("https") => Channel::Encrypted,
                // A proxy that states nothing has forwarded a client's request nevertheless.
                Some(_) | None => Channel::Clear,
            };
        }
        for name in FORWARDED {
            headers.remove(name);
        }
        headers.remove(&trusted.user_header);
        client
    }

    /// Whether nobody listens on the way.
    pub(super) fn is_private(&self) -> bool {
        self.channel != Channel::Clear
    }

    /// What the browser calls its login, from its cookies.
    pub(super) fn login_of(&self, headers: &HeaderMap) -> Option<String> {
        let name = self.cookie_name()?;
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let mut values = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='));
        values.next().map(str::to_owned)
    }

    /// The `Set-Cookie` of a login; of one that has ended, where there is no name.
    pub(super) fn cookie(&self, login: Option<&str>) -> Option<String> {
        let name = self.cookie_name()?;
        let secure = if self.channel == Channel::Encrypted { "; Secure" } else { "" };
        let (value, age) = login.map_or(("", "; Max-Age=0"), |login| (login, ""));
        Some(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"))
    }

    fn cookie_name(&self) -> Option<&'static str> {
        match self.channel {
            Channel::Encrypted => Some(COOKIE),
            Channel::Local => Some(PLAIN_COOKIE),
            Channel::Clear => None,
        }
    }
}

/// The last of a header's values: what the nearest proxy has added.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(|value| value.trim().to_owned())
}

/// The nearest address that is no trusted proxy's.
fn forwarded_for(headers: &HeaderMap, trusted: &[IpAddr]) -> Option<IpAddr> {
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    // What stands before an address that cannot be read was written by a stranger.
    for text in all.iter().rev() {
        let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()?;
        if !trusted.contains(&address.to_canonical()) {
            return Some(address.to_canonical());
        }
    }
    None
}

#[cfg(test)]
mod tests;
