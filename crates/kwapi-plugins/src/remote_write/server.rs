//! One request to the server, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use kwapi_core::{ProbeId, chain};
use reqwest::header::RETRY_AFTER;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};

use super::message::{Sample, SeriesLabels, encode};
use super::{RemoteWriteConfig, RemoteWriteConfigError};
use crate::upstream::sender;

/// So much of a server's own words is passed on…
const WORDS_MAX: usize = 300;
/// …and so much of an answer is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The longest that a server may have us wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A server that takes remote write.
#[derive(Debug)]
pub struct RemoteWriteServer {
    client: Client,
    url: Url,
    headers: HeaderMap,
    labels: SeriesLabels,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has them.
    Taken,
    /// It does not want these samples, now or later: its words.
    Refused(String),
    /// It may take them later.
    NotNow {
        /// What keeps it from that, and what to do.
        cause: String,
        /// When it requests to be tried again.
        retry_after: Option<Duration>,
        /// Whether it may have taken them all the same.
        may_be_taken: bool,
    },
}

/// The address that is configured.
pub(super) fn address(url: &str) -> Result<Url, RemoteWriteConfigError> {
    let wrong = |message: String| RemoteWriteConfigError { key: "url", message };
    let url = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("must be an http:// or https:// URL".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "must have no user name; set `Authorization` in headers, or bearer_token".to_owned(),
        ));
    }
    Ok(url)
}

impl RemoteWriteServer {
    /// Reads what the configuration names; sends no request.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn new(config: &RemoteWriteConfig) -> Result<Self, RemoteWriteConfigError> {
        config.check()?;
        let url = address(&config.url)?;
        let timeout = Duration::from_secs(config.timeout_seconds);
        let failed = |key, message| RemoteWriteConfigError { key, message };
        let client = sender(&url, timeout, config.ca_file.as_deref())
            .map_err(|message| failed("ca_file", message))?
            .timeout(timeout);
        Ok(Self {
            client: client.build().map_err(|error| failed("url", chain(&error)))?,
            url,
            headers: headers(config)?,
            labels: SeriesLabels::new(&config.labels),
        })
    }

    /// The server's address, for people. A path may have a tenant's key in it.
    pub(super) fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// A request of these samples, ready to be sent as often as it takes.
    pub(super) fn request(&self, probes: &[(ProbeId, Vec<Sample>)]) -> Result<Bytes, String> {
        let message = encode(&self.labels, probes);
        // The block format, not that of frames (remote write 1.0, "Protocol").
        snap::raw::Encoder::new().compress_vec(&message).map(Bytes::from).map_err(|error| error.to_string())
    }

    /// Sends a request once.
    pub(super) async fn send(&self, request: Bytes) -> Answer {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(request);
        match request.send().await {
            Ok(response) => {
                let status = response.status();
                let retry_after = retry_after(response.headers());
                // A success has no message.
                let words = if status.is_success() { String::new() } else { words(response).await };
                judge(status, retry_after, &words)
            }
            Err(error) => {
                let may_be_taken = !error.is_connect();
                let cause = chain(&error.without_url());
                Answer::NotNow { cause, retry_after: None, may_be_taken }
            }
        }
    }
}

fn headers(config: &RemoteWriteConfig) -> Result<HeaderMap, RemoteWriteConfigError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static("0.1.0"));
    let bad = |key, error: &dyn std::fmt::Display| RemoteWriteConfigError { key, message: error.to_string() };
    let secret = |key, text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|error| bad(key, &error))?;
        value.set_sensitive(true);
        Ok(value)
    };
    if let Some(token) = &config.bearer_token {
        headers.insert(AUTHORIZATION, secret("bearer_token", &format!("Bearer {}", token.expose()))?);
    }
    for (name, value) in &config.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad("headers", &error))?;
        headers.insert(name, secret("headers", value.expose())?);
    }
    Ok(headers)
}

/// What an answer means. Only what is wrong with the samples themselves is a refusal: what an operator can mend (a token, an
/// address) is waited for.
fn judge(status: StatusCode, retry_after: Option<Duration>, words: &str) -> Answer {
    if status.is_success() {
        return Answer::Taken;
    }
    let response = if words.is_empty() { status.to_string() } else { format!("{status}: {words}") };
    let cause = match status {
        // Out of order or too old; too many for one request; series that the server does not take.
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => return Answer::Refused(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("the server refused access ({response}); check bearer_token and headers")
        }
        StatusCode::TOO_MANY_REQUESTS => format!("the server accepts no more data at present ({response})"),
        status if status.is_server_error() => format!("the server responded with {response}"),
        _ => format!(
            "the server does not take remote write at this address ({response}); check url, and for Prometheus --web.enable-remote-write-receiver"
        ),
    };
    Answer::NotNow { cause, retry_after, may_be_taken: status.is_server_error() }
}

/// `Retry-After` in seconds; a date is as good as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The beginning of an answer, fit for a line.
async fn words(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX
        && let Ok(Some(part)) = response.chunk().await
    {
        body.extend_from_slice(&part);
    }
    let text = String::from_utf8_lossy(&body);
    let letters = text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests;
