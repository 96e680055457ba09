//! Prometheus remote write 1.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec/>): a reader of the journal that sends
//! each measurement to a server that takes it: Prometheus, Mimir, Thanos, `VictoriaMetrics`.
//!
//! The journal is the queue (ADR 0040): while the server is away or slow, measurements wait there, and nobody else is slowed. A
//! place is committed once the server has taken all before it; after a kill the last batch is sent again.

mod batch;
mod message;
mod progress;
mod server;
mod sink;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kwapi_core::{Pattern, Secret};
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;

pub use progress::RemoteWrite;
pub use server::RemoteWriteServer;
pub use sink::RemoteWriteTask;

/// More servers than this are a mistake.
const SERVERS_MAX: usize = 8;
/// Names and values of all labels together, in bytes: they are in every series.
const LABEL_BYTES_MAX: usize = 2_048;
/// The longest name of a sink.
const NAME_BYTES_MAX: usize = 64;
/// What every request has anyway.
const OWN_HEADERS: [&str; 7] = [
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
    "x-prometheus-remote-write-version",
];

/// A `[[remote_write]]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteWriteConfig {
    /// What its place in the journal and its metrics are called.
    #[serde(default = "default_name")]
    pub name: String,
    /// Where requests go: `http://prometheus:9090/api/v1/write`.
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub bearer_token: Option<Secret>,
    /// Sent besides: `X-Scope-OrgID`, an `Authorization` of another kind.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Labels that every series gets besides `probe`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which probes; all by default.
    #[serde(default)]
    pub probes: Vec<Pattern>,
    /// PEM file of the authority that signed the server's certificate, if the system does not have it.
    pub ca_file: Option<PathBuf>,
    /// How long the server has to answer.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
    /// How much of the journal is kept for it while the server is away, in megabytes (10^6 bytes).
    #[serde(default = "default_megabytes")]
    pub megabytes_max: u32,
}

fn default_name() -> String {
    "default".to_owned()
}

fn default_timeout() -> u64 {
    30
}

fn default_megabytes() -> u32 {
    512
}

/// What is wrong with a `[[remote_write]]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[[remote_write]] {key}: {message}")]
pub struct RemoteWriteConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl RemoteWriteConfig {
    /// Looks at the keys, and reads no file.
    ///
    /// # Errors
    /// At the first that makes no sense.
    pub fn check(&self) -> Result<(), RemoteWriteConfigError> {
        let wrong = |key, message: String| Err(RemoteWriteConfigError { key, message });
        let is_name_letter =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.chars().all(is_name_letter)
        {
            return wrong("name", "must be lower-case letters, digits and hyphens, at most 64".to_owned());
        }
        server::address(&self.url)?;
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            if HeaderName::from_bytes(name.as_bytes()).is_err() || OWN_HEADERS.contains(&&*lower) {
                return wrong("headers", format!("`{name}` cannot be set"));
            }
            if HeaderValue::from_str(value.expose()).is_err() {
                return wrong("headers", format!("the value of `{name}` must be printable ASCII"));
            }
            if lower == "authorization" && self.bearer_token.is_some() {
                return wrong("headers", format!("`{name}` and bearer_token are both set; remove one"));
            }
        }
        if let Some(token) = &self.bearer_token
            && (token.expose().is_empty() || !token.expose().chars().all(|letter| letter.is_ascii_graphic()))
        {
            return wrong("bearer_token", "must be printable ASCII characters without blanks".to_owned());
        }
        for name in self.labels.keys() {
            if matches!(&**name, "probe") || name.starts_with("__") || !is_label(name) {
                let message = format!(
                    "`{name}` is no label name: letters, digits and _, not beginning with a digit or __; `probe` is set by Kwapi"
                );
                return wrong("labels", message);
            }
        }
        if let Some((name, _)) = self.labels.iter().find(|(_, value)| value.is_empty()) {
            return wrong("labels", format!("`{name}` is empty; remove it"));
        }
        if self.labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > LABEL_BYTES_MAX {
            return wrong("labels", format!("more than {LABEL_BYTES_MAX} bytes"));
        }
        if self.timeout_seconds == 0 {
            return wrong("timeout_seconds", "must be at least 1".to_owned());
        }
        if self.megabytes_max == 0 {
            return wrong("megabytes_max", "must be at least 1".to_owned());
        }
        Ok(())
    }

    /// Looks at all of them, as [`RemoteWriteConfig::check`].
    ///
    /// # Errors
    /// With the place of the table that makes no sense.
    pub fn check_all(all: &[Self]) -> Result<(), (usize, RemoteWriteConfigError)> {
        for (index, config) in all.iter().enumerate() {
            config.check().map_err(|error| (index, error))?;
            let key = "name";
            if all.iter().take(index).any(|other| other.name == config.name) {
                let message = format!("`{}` is used twice; give each its own", config.name);
                return Err((index, RemoteWriteConfigError { key, message }));
            }
            if index >= SERVERS_MAX {
                let message = format!("more than {SERVERS_MAX} of them");
                return Err((index, RemoteWriteConfigError { key, message }));
            }
        }
        Ok(())
    }

    /// Whether what is sent can be read on its way to another machine.
    pub fn is_in_clear(&self) -> bool {
        let Some(host) = self.url.strip_prefix("http://") else { return false };
        !["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
    }
}

/// Whether it is a name of a label (Prometheus, data model).
fn is_label(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.chars().next().is_some_and(is_letter)
        && name.chars().all(|letter| is_letter(letter) || letter.is_ascii_digit())
}

#[cfg(test)]
mod tests;
