//! Queries of a running kwapi over HTTP: its API, with a token where it requires one, or the status listener of a
//! process on this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kwapi_core::{Secret, chain};
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use tokio::time::timeout;

/// Who is there takes a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that responds sends more within this; a large ledger takes its time before the first byte.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// A listener on loopback answers at once, or not at all.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// More than the meters of the largest site in JSON.
const STATUS_BYTES_MAX: usize = 256 << 20;
/// An error is a sentence.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A kwapi to query.
#[derive(Debug)]
pub(crate) struct KwapiClient {
    client: Client,
    /// What a path is put behind.
    base: String,
    place: String,
    token: Option<Secret>,
}

/// Why there is no answer, as one line.
#[derive(Debug)]
pub(crate) enum ClientFailure {
    /// Nobody listens there.
    Absent(String),
    /// It has no such route, or not what that needs.
    NotKept(String),
    /// Anything else.
    Other(String),
}

impl ClientFailure {
    /// The line.
    pub(crate) fn into_line(self) -> String {
        match self {
            Self::Absent(line) | Self::NotKept(line) | Self::Other(line) => line,
        }
    }
}

impl KwapiClient {
    /// The status listener of a process on this machine.
    ///
    /// # Errors
    /// When there can be no client, as one line.
    pub(crate) fn on_this_machine(address: SocketAddr) -> Result<Self, String> {
        let client = Client::builder().no_proxy().tls_certs_only([]);
        Self::new(client, format!("http://{address}"), None)
    }

    /// The API at `url`, with the token of a file, or else of the environment, and the authorities of `ca_file`.
    ///
    /// # Errors
    /// When the address or a file makes no sense, as one line.
    pub(crate) fn of_api(
        url: &str,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Self, String> {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/energy").filter(|base| base.ends_with("/v2")).unwrap_or(base);
        let base = base.strip_suffix("/v1").or_else(|| base.strip_suffix("/v2")).unwrap_or(base);
        let unreadable = |file: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let token = match token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
                Some(text.trim().to_owned())
            }
            None => ["KWAPI_TOKEN", "OS_TOKEN"].into_iter().find_map(|name| std::env::var(name).ok()),
        };
        // A redirect would receive the token.
        let mut client = Client::builder().redirect(reqwest::redirect::Policy::none());
        let parsed = Url::parse(base).map_err(|error| format!("{url}: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("{url}: not an http:// or https:// address"));
        }
        if parsed.host_str().is_some_and(|host| host == "localhost" || is_loopback(host)) {
            client = client.no_proxy();
        }
        if let Some(file) = ca_file {
            let pem = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
            let authorities =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unreadable(file, &error))?;
            client = client.tls_certs_only(authorities);
        } else if parsed.scheme() == "http" {
            client = client.tls_certs_only([]); // The system's authorities are not needed, and may not be there.
        }
        Self::new(client, base.to_owned(), token.filter(|token| !token.is_empty()))
    }

    fn new(client: ClientBuilder, base: String, token: Option<String>) -> Result<Self, String> {
        let place =
            Url::parse(&base).map_err(|error| format!("{base}: {error}"))?.origin().ascii_serialization();
        let client = client
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("kwapi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| chain(&error))?;
        Ok(Self { client, base, place, token: token.map(Secret::new) })
    }

    /// What it queries, for people.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Requests `path`, which may have a query of its own, with `pairs` added to it. The answer comes part by part.
    ///
    /// # Errors
    /// When there is no answer or it is an error.
    pub(crate) async fn get(
        &self,
        path: &str,
        pairs: &[(&'static str, String)],
    ) -> Result<KwapiAnswer, ClientFailure> {
        let wrong = |error| ClientFailure::Other(format!("{}{path}: {error}", self.base));
        let mut url = Url::parse(&format!("{}{path}", self.base)).map_err(wrong)?;
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            request = request.header("X-Auth-Token", token.expose());
        }
        let place = &self.place;
        let response = request.send().await.map_err(|error| {
            let is_absent = error.is_connect();
            let error = chain(&error.without_url());
            if is_absent {
                ClientFailure::Absent(format!("cannot connect to {place}: {error}"))
            } else {
                ClientFailure::Other(format!("{place}: {error}"))
            }
        })?;
        let status = response.status();
        let mut answer = KwapiAnswer { response, place: place.clone() };
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let body = answer.head(ERROR_BYTES_MAX).await?;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(serde_json::Value::as_str);
        if let Some(waiting) = body.get("waiting").and_then(serde_json::Value::as_object) {
            return Err(ClientFailure::Other(not_ready(waiting)));
        }
        Err(match (status, message) {
            (StatusCode::NOT_IMPLEMENTED, Some(message)) => {
                ClientFailure::NotKept(format!("{place}: {message}"))
            }
            // A process that has no such part has no such route.
            (StatusCode::NOT_FOUND, None) => {
                ClientFailure::NotKept(format!("{place} does not serve {path}; name another with --url"))
            }
            (StatusCode::UNAUTHORIZED, _) => ClientFailure::Other(format!(
                "{place} requires a token; set KWAPI_TOKEN or use --token-file (Keystone: `openstack token issue`)"
            )),
            (_, Some(message)) => ClientFailure::Other(message.to_owned()),
            (status, None) => ClientFailure::Other(format!("{place} answered {status}; is it a kwapi?")),
        })
    }
}

/// What the status listener at `address` of this machine answers to `path`.
///
/// # Errors
/// See [`ClientFailure`].
pub(super) async fn fetch_status(address: SocketAddr, path: &str) -> Result<Vec<u8>, ClientFailure> {
    let client = KwapiClient::on_this_machine(address).map_err(ClientFailure::Absent)?;
    let answer = async { client.get(path, &[]).await?.whole(STATUS_BYTES_MAX).await };
    timeout(STATUS_TIMEOUT, answer).await.unwrap_or_else(|_| {
        Err(ClientFailure::Absent(format!("{}: no answer within {STATUS_TIMEOUT:?}", client.place())))
    })
}

/// What `/readyz` reports of a process that is not ready, as one line.
fn not_ready(waiting: &serde_json::Map<String, serde_json::Value>) -> String {
    let parts = waiting.iter().map(|(part, why)| format!("{part}: {}", why.as_str().unwrap_or_default()));
    format!("not ready: {}", parts.collect::<Vec<_>>().join("; "))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.is_loopback())
}

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct KwapiAnswer {
    response: Response,
    place: String,
}

impl KwapiAnswer {
    /// The position in the journal that it is true at, where that is disclosed.
    pub(crate) fn position(&self) -> Option<String> {
        let position = self.response.headers().get(kwapi_plugins::http::POSITION)?;
        position.to_str().ok().map(str::to_owned)
    }

    /// The next part of it; none at its end.
    ///
    /// # Errors
    /// When it ends early.
    pub(crate) async fn part(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, ClientFailure> {
        let ended_early = |error: reqwest::Error| format!("{}: {}", self.place, chain(&error.without_url()));
        self.response.chunk().await.map_err(|error| ClientFailure::Other(ended_early(error)))
    }

    /// All of it.
    ///
    /// # Errors
    /// When it ends early, or is larger than `bytes_max`.
    pub(crate) async fn whole(mut self, bytes_max: usize) -> Result<Vec<u8>, ClientFailure> {
        let body = self.head(bytes_max).await?;
        if body.len() > bytes_max {
            return Err(ClientFailure::Other(format!("{} sends more than {bytes_max} bytes", self.place)));
        }
        Ok(body)
    }

    /// Its beginning, up to the part in which it exceeds `bytes_max`.
    async fn head(&mut self, bytes_max: usize) -> Result<Vec<u8>, ClientFailure> {
        let mut body = Vec::new();
        while let Some(part) = self.part().await? {
            body.extend_from_slice(part.as_ref());
            if body.len() > bytes_max {
                break;
            }
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_what_its_address_begins_with() {
        _ = rustls::crypto::ring::default_provider().install_default();
        for (url, expected) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("http://site.example/kwapi/", "http://site.example/kwapi"),
            ("https://site.example/kwapi/v1/", "https://site.example/kwapi"),
            ("https://site.example:5000/v2", "https://site.example:5000"),
            ("https://site.example/v2/energy", "https://site.example"),
            ("https://site.example/energy", "https://site.example/energy"),
        ] {
            assert_eq!(KwapiClient::of_api(url, None, None).unwrap().base, expected, "{url}");
        }
        for wrong in ["site.example/v1", "site.example:5000/v1", "", "ftp://site.example"] {
            let error = KwapiClient::of_api(wrong, None, None).unwrap_err();
            assert!(error.starts_with(wrong), "{wrong}: {error}");
        }
    }

    #[test]
    fn loopback_is_known_by_its_addresses() {
        for (host, expected) in
            [("127.0.0.1", true), ("[::1]", true), ("10.0.0.1", false), ("site.example", false)]
        {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
