//! Asking a running kwapi.

use std::net::SocketAddr;
use std::time::Duration;

use kwapi_core::{Secret, chain};
use kwapi_plugins::api::ENERGY;
use reqwest::{Client, StatusCode, Url};

use super::TakeAnswer;
use crate::cli::LedgerArgs;

/// Who is there takes a connection at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An error is a sentence.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A kwapi to ask.
#[derive(Debug)]
pub(super) struct EnergyServer {
    client: Client,
    url: Url,
    token: Option<Secret>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum AskOutcome {
    /// The answer was taken.
    Answered,
    /// Nobody listens there.
    NobodyThere(String),
    /// A process that keeps no ledger.
    NoLedger(String),
}

impl EnergyServer {
    /// The status listener of a process on this machine.
    ///
    /// # Errors
    /// When there can be no client, as one line.
    pub(super) fn on_this_machine(address: SocketAddr) -> Result<Self, String> {
        let client = Client::builder().no_proxy().tls_certs_only([]).connect_timeout(CONNECT_TIMEOUT);
        let url = format!("http://{address}{ENERGY}");
        Ok(Self { client: built(client)?, url: parsed(&url)?, token: None })
    }

    /// An API, with the token that the environment or a file has.
    ///
    /// # Errors
    /// When the address or a file makes no sense, as one line.
    pub(super) fn at_url(url: &str, arguments: &LedgerArgs) -> Result<Self, String> {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").or_else(|| base.strip_suffix("/v2")).unwrap_or(base);
        let url = parsed(&format!("{}{ENERGY}", base.strip_suffix(ENERGY).unwrap_or(base)))?;
        let token = match &arguments.token_file {
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
                Some(text.trim().to_owned())
            }
            None => ["KWAPI_TOKEN", "OS_TOKEN"].into_iter().find_map(|name| std::env::var(name).ok()),
        };
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        // A redirect would be told the token.
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("kwapi/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &arguments.ca_file {
            let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let pem = std::fs::read(file).map_err(|error| failed(&error))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
            client = client.tls_certs_only(authorities);
        } else if url.scheme() == "http" {
            client = client.tls_certs_only([]); // The system's authorities are not needed, and may not be there.
        }
        Ok(Self { client: built(client)?, url, token })
    }

    /// Asks, and hands the answer to `take` as it comes.
    ///
    /// # Errors
    /// When the answer is an error or ends early, as one line.
    pub(super) async fn ask(
        &self,
        pairs: &[(&'static str, String)],
        take: &mut TakeAnswer<'_>,
    ) -> Result<AskOutcome, String> {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(pairs);
        let place = self.url.origin().ascii_serialization();
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            request = request.header("X-Auth-Token", token.expose());
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                let error = chain(&error.without_url());
                return Ok(AskOutcome::NobodyThere(format!("cannot connect to {place}: {error}")));
            }
            Err(error) => return Err(format!("{place}: {}", chain(&error.without_url()))),
        };
        let status = response.status();
        let ended_early = |error: reqwest::Error| format!("{place}: {}", chain(&error.without_url()));
        if status == StatusCode::OK {
            while let Some(part) = response.chunk().await.map_err(ended_early)? {
                take(&part)?;
            }
            return Ok(AskOutcome::Answered);
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(ended_early)? {
            body.extend_from_slice(&part);
            if body.len() > ERROR_BYTES_MAX {
                break;
            }
        }
        let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = parsed.pointer("/error/message").and_then(serde_json::Value::as_str);
        match (status, message) {
            (StatusCode::NOT_IMPLEMENTED, Some(message)) => {
                Ok(AskOutcome::NoLedger(format!("{place}: {message}")))
            }
            (StatusCode::UNAUTHORIZED, _) => Err(format!(
                "{place} requires a token; set KWAPI_TOKEN or use --token-file (Keystone: `openstack token issue`)"
            )),
            (_, Some(message)) => Err(message.to_owned()),
            // A process that hears no measurements has no such route.
            (StatusCode::NOT_FOUND, None) => Ok(AskOutcome::NoLedger(format!(
                "the process at {place} keeps no ledger; use --address or --url"
            ))),
            (status, None) => Err(format!("{place} answered {status}; is it a kwapi?")),
        }
    }
}

fn built(client: reqwest::ClientBuilder) -> Result<Client, String> {
    client.build().map_err(|error| chain(&error))
}

fn parsed(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("{url}: {error}"))
}
