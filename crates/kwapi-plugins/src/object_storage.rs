//! Closed files of samples in object storage with the S3 protocol: Amazon's, `MinIO`, Ceph, Garage, `SeaweedFS`.
//!
//! A file goes as one object, is verified there, and may then be removed from this disk; what is no longer here is read from
//! there in ranges. Requests are signed by AWS Signature Version 4 (ADR 0028).

mod answer;
mod bucket;
mod sign;
mod uploader;

use std::path::PathBuf;

use kwapi_core::Secret;
use serde::Deserialize;

#[cfg(feature = "fuzzing")]
pub(crate) use answer::read_anything;
pub use bucket::{ObjectRanges, S3Bucket};
pub use uploader::upload_samples;

/// `[samples.s3]`: where closed files of samples go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The server: `https://s3.eu-west-3.amazonaws.com`, `http://127.0.0.1:9000`.
    pub endpoint: String,
    /// The region that requests are signed for.
    #[serde(default = "us_east_1")]
    pub region: String,
    /// The bucket, which is there.
    pub bucket: String,
    /// What stands before the objects' keys, without a slash at its ends. Each Kwapi that keeps samples needs its own.
    #[serde(default)]
    pub prefix: String,
    /// The id of the access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
    /// The token of a temporary access key.
    pub session_token: Option<Secret>,
    /// Whether the bucket is the first part of the path (true), or of the host's name.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// PEM file of the authority that signed the server's certificate, if the system does not have it.
    pub ca_file: Option<PathBuf>,
    /// How long the server has to answer; an upload has a second more for each 100 kB.
    #[serde(default = "thirty")]
    pub timeout_seconds: u64,
}

fn us_east_1() -> String {
    "us-east-1".to_owned()
}

fn yes() -> bool {
    true
}

fn thirty() -> u64 {
    30
}

/// What is wrong with `[samples.s3]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("[samples.s3] {key}: {message}")]
pub struct S3ConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl S3Config {
    /// Looks at the keys, and reads no file.
    ///
    /// # Errors
    /// At the first that makes no sense.
    pub fn check(&self) -> Result<(), S3ConfigError> {
        let wrong = |key, message: &str| Err(S3ConfigError { key, message: message.to_owned() });
        let is_name = |text: &str| {
            !text.is_empty()
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
        };
        if !is_name(&self.bucket) || self.bucket.chars().all(|letter| letter == '.') {
            return wrong("bucket", "must be a name of letters, digits, dots and hyphens");
        }
        if !is_name(&self.region) {
            return wrong("region", "must be a name of letters, digits and hyphens, such as \"eu-west-3\"");
        }
        let is_odd = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
        if !self.prefix.is_empty() && self.prefix.split('/').any(is_odd) {
            return wrong(
                "prefix",
                "must not begin or end with a slash, nor have an empty part, `.` or `..`",
            );
        }
        if self.prefix.len() > 512 {
            return wrong("prefix", "must not have more than 512 bytes");
        }
        let is_visible =
            |text: &str| !text.is_empty() && text.chars().all(|letter| letter.is_ascii_graphic());
        if !is_visible(&self.access_key) {
            return wrong("access_key", "must be printable ASCII characters without blanks");
        }
        if !is_visible(self.secret_key.expose()) {
            return wrong("secret_key", "must be printable ASCII characters without blanks");
        }
        if self.session_token.as_ref().is_some_and(|token| !is_visible(token.expose())) {
            return wrong("session_token", "must be printable ASCII characters without blanks");
        }
        bucket::base_address(self).map(drop)
    }

    /// Whether what is sent can be read on its way to another machine.
    pub fn is_in_clear(&self) -> bool {
        let Some(host) = self.endpoint.strip_prefix("http://") else { return false };
        !["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
    }
}

#[cfg(test)]
pub(crate) mod tests;
