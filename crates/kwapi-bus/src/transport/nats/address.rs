//! Where a stream is.

use super::login::NatsConfig;
use crate::error::BusError;

/// The stream where the endpoint names none.
const STREAM_DEFAULT: &str = "kwapi";
/// The port that NATS is registered for.
const PORT_DEFAULT: u16 = 4_222;
/// Servers of a cluster that an endpoint may name.
pub(super) const SERVERS_MAX: usize = 16;
/// The longest name of a stream or a consumer.
pub(super) const NAME_BYTES_MAX: usize = 64;

/// Whether an endpoint is a stream of JetStream.
pub(crate) fn is_nats(url: &str) -> bool {
    url.starts_with("nats://") || url.starts_with("tls://")
}

/// Where a stream is: `nats://host:port/stream`, or `nats://host:port,host:port/stream` where a cluster has it.
#[derive(Clone, Debug)]
pub(crate) struct NatsAddress {
    /// The endpoint as it is configured.
    pub(super) endpoint: String,
    /// The servers, each of which has the stream; one at least.
    pub(crate) servers: Vec<(String, u16)>,
    pub(crate) is_tls: bool,
    /// The stream, and the first word of its subjects.
    pub(crate) stream: String,
    pub(super) config: NatsConfig,
}

impl NatsAddress {
    /// Checks what is read when it is connected to.
    ///
    /// # Errors
    /// When the authority's file cannot be read.
    pub(super) fn check_files(&self) -> Result<(), BusError> {
        self.config.check_files().map_err(|why| BusError::config(&self.endpoint, why))
    }

    /// Reads an endpoint.
    ///
    /// # Errors
    /// When it is no address of a stream, or the login makes no sense.
    pub(crate) fn new(url: &str, config: &NatsConfig) -> Result<Self, BusError> {
        let refused = |why: &str| BusError::config(url, why);
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (hosts, stream) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains('@') {
            // It would be in logs and metrics.
            return Err(BusError::config(
                "nats://…@…",
                "an endpoint must not contain a user or a password; set them in `nats`",
            ));
        }
        if hosts.is_empty() || rest.contains("://") || rest.contains(['?', '#']) {
            return Err(refused(
                "must be nats://HOST:PORT/STREAM or tls://…; the servers of a cluster are separated by commas",
            ));
        }
        let stream = if stream.is_empty() { STREAM_DEFAULT } else { stream };
        if !is_name(stream) {
            return Err(refused(&format!(
                "the name of the stream must be 1 to {NAME_BYTES_MAX} letters, digits, - or _"
            )));
        }
        let servers: Option<Vec<_>> = hosts.split(',').map(host_and_port).collect();
        let servers = servers.ok_or_else(|| refused("invalid host or port"))?;
        if servers.len() > SERVERS_MAX {
            return Err(refused(&format!("names more than {SERVERS_MAX} servers")));
        }
        let is_tls = scheme == "tls";
        if let Some(trouble) = config.trouble(is_tls) {
            return Err(refused(&trouble));
        }
        let (endpoint, stream, config) = (url.to_owned(), stream.to_owned(), config.clone());
        Ok(Self { endpoint, servers, is_tls, stream, config })
    }
}

/// Reads `host`, `host:port`, `[::1]:port`.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = if rest.is_empty() { PORT_DEFAULT } else { rest.strip_prefix(':')?.parse().ok()? };
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.:%".contains(character);
    (!host.is_empty() && host.chars().all(is_plain)).then(|| (host.to_owned(), port))
}

/// Whether a stream or a consumer can have this name.
pub(super) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use kwapi_core::Secret;

    use super::*;

    fn read(url: &str, config: &NatsConfig) -> Result<(String, String), String> {
        let address = NatsAddress::new(url, config).map_err(|error| error.to_string())?;
        let servers: Vec<_> = address.servers.iter().map(|(host, port)| format!("{host} {port}")).collect();
        Ok((servers.join(", "), address.stream))
    }

    #[test]
    fn an_endpoint_names_servers_and_a_stream() {
        let of = |url| read(url, &NatsConfig::default()).unwrap();
        assert_eq!(of("nats://centre:4333/power"), ("centre 4333".into(), "power".into()));
        assert_eq!(of("nats://centre"), ("centre 4222".into(), "kwapi".into()));
        assert_eq!(of("tls://[::1]:4222/"), ("::1 4222".into(), "kwapi".into()));
        assert_eq!(of("nats://a:1,b,[::1]:3/x"), ("a 1, b 4222, ::1 3".into(), "x".into()));
    }

    #[test]
    fn what_is_no_stream_is_refused_and_no_password_is_repeated() {
        let refused = |url| read(url, &NatsConfig::default()).unwrap_err();
        for url in [
            "nats://",
            "nats:///x",
            "nats://a,/x",
            "nats://,a/x",
            "nats://a,nats://b/x",
            "nats://a/x,b/x",
            "nats://a?tls/x",
            "nats://a:port/x",
            "nats://[::1/x",
            "nats://a b/x",
            "nats://a/x.y",
            "nats://a/x/y",
        ] {
            assert!(refused(url).starts_with(url), "{url}");
        }
        for url in ["nats://me:hunter2@centre/x", "nats://me:hunter2/1@centre/x"] {
            assert!(!refused(url).contains("hunter2"), "{url}");
        }
        let many = format!("nats://a{}/x", ",a".repeat(16));
        assert!(refused(&many).contains("more than 16 servers"));
        let long = format!("nats://a/{}", "x".repeat(65));
        assert!(refused(&long).contains("1 to 64 letters"));
    }

    #[test]
    fn one_way_to_log_in_and_whole() {
        let user = |user: Option<&str>, password: Option<&str>| NatsConfig {
            user: user.map(str::to_owned),
            password: password.map(Secret::new),
            ..NatsConfig::default()
        };
        let refused = |config: &NatsConfig| read("nats://a/x", config).unwrap_err();
        assert!(read("nats://a/x", &user(Some("u"), Some("p"))).is_ok());
        assert!(refused(&user(Some("u"), None)).contains("`user` requires `password`"));
        assert!(refused(&user(None, Some("p"))).contains("`user` requires `password`"));
        let both = NatsConfig { token: Some(Secret::new("t")), ..user(Some("u"), Some("p")) };
        assert!(refused(&both).contains("`user` and `token` are mutually exclusive"));
        let broken = NatsConfig { credentials: Some(Secret::new("sesame")), ..NatsConfig::default() };
        let message = refused(&broken);
        assert!(message.contains(".creds") && !message.contains("sesame"), "{message}");
        let authority = NatsConfig { ca: Some("/nowhere/ca.pem".into()), ..NatsConfig::default() };
        assert!(refused(&authority).contains("requires an endpoint that starts with tls://"));
        assert!(read("tls://a/x", &authority).is_ok(), "a file is for who connects");
        assert!(authority.check_files().unwrap_err().contains("certificate authority /nowhere/ca.pem"));
    }
}
