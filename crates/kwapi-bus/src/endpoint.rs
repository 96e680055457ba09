//! Endpoints as they are configured: where one is, who waits there, and with which keys.

use serde::Deserialize;

use crate::error::BusError;
use crate::key::Scheme;
use crate::transport::nats::{BATCH_MESSAGES_MAX, CONSUMERS_MAX, NatsAddress, NatsConfig, is_name, is_nats};
use crate::transport::zeromq::CurveConfig;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `tcp://host:port`, `tcp://*:port`, `tcp://[::1]:port`, `ipc:///run/kwapi/probes` or `inproc://name`; or a stream of
    /// NATS JetStream, `nats://host:port/stream` or `tls://host:port/stream`, where a cluster has it with all its servers:
    /// `nats://a:4222,b:4222,c:4222/stream`.
    pub url: String,
    /// Who waits for the other; see the component for its default.
    pub attach: Option<Attach>,
    /// Whether names and `*` mean IPv6 as well. An address in brackets implies it.
    pub ipv6: bool,
    /// Encryption, between hosts.
    pub curve: Option<CurveConfig>,
    /// How to log in, where it is a stream of NATS.
    pub nats: NatsConfig,
    /// Of a stream that is published to: the consumers for which messages are kept here until each has them on its disk.
    pub consumers: Vec<String>,
    /// Of a stream that is published to: how many measurements one message of NATS may hold, 1 to 1 000; by default
    /// [`BATCH_MESSAGES_DEFAULT`], of which as many are sent together as are there.
    pub batch_messages_max: Option<u32>,
}

/// See [`EndpointConfig::batch_messages_max`].
const BATCH_MESSAGES_DEFAULT: usize = 100;

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
        let (url, nats, consumers) = (url.into(), NatsConfig::default(), Vec::new());
        Self { url, attach: None, ipv6: false, curve: None, nats, consumers, batch_messages_max: None }
    }

    /// Whether it is a stream of NATS JetStream.
    pub fn is_nats(&self) -> bool {
        is_nats(&self.url)
    }

    /// Whether it is a stream on another machine where a password or token is sent unencrypted.
    pub fn is_login_in_clear(&self) -> bool {
        let is_local = |host: &str| host == "localhost" || host == "::1" || host.starts_with("127.");
        let has_secret = self.nats.password.is_some() || self.nats.token.is_some();
        let is_all_local =
            |address: &NatsAddress| address.servers.iter().all(|(host, _)| is_local(host.as_str()));
        has_secret && self.nats().is_ok_and(|address| !address.is_tls && !is_all_local(&address))
    }

    /// The name of the stream that it is.
    pub fn nats_stream(&self) -> Option<String> {
        self.nats().ok().map(|address| address.stream)
    }

    /// The hosts of the servers that have the stream.
    pub fn nats_hosts(&self) -> Vec<String> {
        let address = self.nats().ok();
        address.into_iter().flat_map(|address| address.servers).map(|(host, _)| host).collect()
    }

    /// The stream that it is.
    ///
    /// # Errors
    /// When it is none, or has what only endpoints of ZeroMQ have.
    pub(crate) fn nats(&self) -> Result<NatsAddress, BusError> {
        if self.attach.is_some() || self.ipv6 || self.curve.is_some() {
            return Err(BusError::config(&self.url, "`attach`, `ipv6` and `curve` are for ZeroMQ endpoints"));
        }
        check_consumers(&self.url, &self.consumers)?;
        if !(1..=BATCH_MESSAGES_MAX).contains(&self.batch_max()) {
            let why = format!("`batch_messages_max` must be 1 to {BATCH_MESSAGES_MAX}");
            return Err(BusError::config(&self.url, why));
        }
        NatsAddress::new(&self.url, &self.nats)
    }

    /// How many measurements are sent to it as one.
    pub(crate) fn batch_max(&self) -> usize {
        let configured = self.batch_messages_max.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        configured.unwrap_or(BATCH_MESSAGES_DEFAULT)
    }

    /// Validates what can be checked without opening anything.
    ///
    /// # Errors
    /// When the address is none, or something else makes no sense there.
    pub fn check(&self) -> Result<(), BusError> {
        if self.is_nats() {
            return self.nats().map(drop);
        }
        if self.nats != NatsConfig::default() {
            return Err(BusError::config(
                &self.url,
                "`nats` is for endpoints that start with nats:// or tls://",
            ));
        }
        let of_nats = [
            (!self.consumers.is_empty(), "consumers"),
            (self.batch_messages_max.is_some(), "batch_messages_max"),
        ];
        if let Some((_, key)) = of_nats.iter().find(|(is_there, _)| *is_there) {
            let why = format!("`{key}` is for endpoints that start with nats:// or tls://");
            return Err(BusError::config(&self.url, why));
        }
        check_url(&self.url)
    }

    /// Whether one socket can serve both.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let Self { url, attach, ipv6, curve, nats: _, consumers: _, batch_messages_max: _ } = self;
        // A stream has a connection of its own.
        !self.is_nats()
            && !other.is_nats()
            && (*attach, *ipv6, curve) == (other.attach, other.ipv6, &other.curve)
            && url.contains('[') == other.url.contains('[')
    }
}

/// The consumers that messages are kept for.
///
/// # Errors
/// When one has no name, or two the same, or there are more than a header has room for.
fn check_consumers(url: &str, consumers: &[String]) -> Result<(), BusError> {
    if !consumers.iter().all(|name| is_name(name)) {
        let why = "the name of a consumer must be 1 to 64 letters, digits, - or _";
        return Err(BusError::config(url, why));
    }
    let is_twice = |(at, name): (usize, &String)| consumers.iter().skip(at + 1).any(|other| other == name);
    if consumers.iter().enumerate().any(is_twice) {
        return Err(BusError::config(url, "a consumer is listed twice in `consumers`"));
    }
    if consumers.len() > CONSUMERS_MAX {
        return Err(BusError::config(url, format!("`consumers` has at most {CONSUMERS_MAX} names")));
    }
    Ok(())
}

/// What a server stores may be published again by anybody who reaches it, within [`crate::SubscriberConfig`]'s
/// `stored_age_max_seconds`: only what is signed with its own stamp is distinguished.
///
/// # Errors
/// When `signature` is another than `kwapi-1`.
pub(crate) fn require_signature(url: &str, signature: Scheme) -> Result<(), BusError> {
    if signature == Scheme::Kwapi1 {
        return Ok(());
    }
    Err(BusError::config(
        url,
        "NATS requires signature = \"kwapi-1\"; legacy and unsigned messages are not stored",
    ))
}

pub(crate) fn check_url(url: &str) -> Result<(), BusError> {
    let known = ["tcp://", "ipc://", "inproc://"].iter().any(|scheme| url.starts_with(scheme));
    if !known {
        return Err(BusError::config(
            url,
            "an endpoint must start with tcp://, ipc://, inproc://, nats:// or tls://",
        ));
    }
    if url.chars().any(char::is_control) {
        return Err(BusError::config(url, "an endpoint must not contain control characters"));
    }
    Ok(())
}
