//! A bucket: the four requests there are to it.

use std::io;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use kwapi_core::{WallClock, chain, hex};
use kwapi_history::ObjectReader;
use md5::Md5;
use reqwest::{Client, Method, Response, StatusCode, Url, header};
use sha2::{Digest, Sha256};

use super::answer::{ObjectList, read_list, refusal};
use super::sign::{S3Signer, ToSign};
use super::{S3Config, S3ConfigError};
use crate::http::percent::encode;
use crate::upstream::sender;

/// A list of a thousand keys, or an error; more is not read.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// An upload that is slower than this is given up, and begun again.
const UPLOAD_BYTES_PER_SECOND: u64 = 100_000;
/// The most that servers put on a page.
const PAGE_KEYS: u16 = 1_000;
/// The checksum that we send and request.
const CHECKSUM: &str = "x-amz-checksum-sha256";

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum S3Error {
    /// There is no such object.
    #[error("there is no such object")]
    NoSuchObject,
    /// The server is away or refuses: later it may do it.
    #[error("{0}")]
    Failed(String),
}

/// A bucket of a server.
#[derive(Debug)]
pub struct S3Bucket {
    client: Client,
    /// The bucket's address, without a slash at its end.
    base: Url,
    /// The `host` header.
    host: String,
    name: String,
    /// What stands before each key, with its slash.
    prefix: String,
    signer: S3Signer,
    timeout: Duration,
    clock: WallClock,
    /// Objects of a page of a list.
    pub(super) page_keys: u16,
}

/// What a server reports of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectHead {
    pub(super) bytes: u64,
    /// As it is written, without quotes.
    etag: String,
    /// In base 64; of an object that was put in parts, one of checksums, with their number behind it.
    sha256: Option<String>,
}

/// What a file's contents come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checksums {
    bytes: u64,
    sha256: [u8; 32],
    md5: [u8; 16],
}

/// Whether an object is the same as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sameness {
    Same,
    Other,
    /// The size is: the server has reported no checksum that we support.
    Open,
}

impl Checksums {
    pub(super) fn of(contents: &[u8]) -> Self {
        let bytes = contents.len() as u64;
        Self { bytes, sha256: Sha256::digest(contents).into(), md5: Md5::digest(contents).into() }
    }

    /// How many bytes it is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        hex::encode(&self.sha256)
    }

    /// Compares with what a server reports.
    pub(super) fn compare(&self, head: &ObjectHead) -> Sameness {
        let same = |is_same| if is_same { Sameness::Same } else { Sameness::Other };
        if head.bytes != self.bytes {
            return Sameness::Other;
        }
        match head.sha256.as_deref().filter(|sha256| !sha256.contains('-')) {
            Some(sha256) => same(sha256 == STANDARD.encode(self.sha256)),
            // The ETag is the MD5 but of what is encrypted or was put in parts.
            None if head.etag.eq_ignore_ascii_case(&hex::encode(&self.md5)) => Sameness::Same,
            None => Sameness::Open,
        }
    }
}

/// The address of the bucket that is configured.
pub(super) fn base_address(config: &S3Config) -> Result<Url, S3ConfigError> {
    let wrong = |message: &str| S3ConfigError { key: "endpoint", message: message.to_owned() };
    let endpoint = config.endpoint.trim_end_matches('/');
    let parsed = Url::parse(endpoint).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(wrong("must be an http:// or https:// URL"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
        return Err(wrong("must have neither a query nor a user name"));
    }
    let address = if config.path_style {
        format!("{endpoint}/{}", config.bucket)
    } else {
        endpoint.replacen("://", &format!("://{}.", config.bucket), 1)
    };
    Url::parse(&address).map_err(|error| wrong(&format!("{address}: {error}; set path_style = true")))
}

impl S3Bucket {
    /// Reads what the configuration names; sends no request. `clock` is the wall clock, which signatures have in them.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn new(config: &S3Config, clock: WallClock) -> Result<Self, S3ConfigError> {
        config.check()?;
        let base = base_address(config)?;
        let timeout = Duration::from_secs(config.timeout_seconds.max(1));
        let failed = |key, message| S3ConfigError { key, message };
        // A redirect would be of another host or region, for which the signature is not.
        let client = sender(&base, timeout, config.ca_file.as_deref())
            .map_err(|message| failed("ca_file", message))?;
        let host = base.host_str().unwrap_or_default();
        let host = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let prefix = if config.prefix.is_empty() { String::new() } else { format!("{}/", config.prefix) };
        Ok(Self {
            client: client.build().map_err(|error| failed("endpoint", chain(&error)))?,
            base,
            host,
            name: config.bucket.clone(),
            prefix,
            signer: S3Signer {
                region: config.region.clone(),
                access_key: config.access_key.clone(),
                secret_key: config.secret_key.clone(),
                session_token: config.session_token.clone(),
            },
            timeout,
            clock,
            page_keys: PAGE_KEYS,
        })
    }

    /// What the server has under `key`; `None` where that is nothing.
    pub(super) async fn head(&self, key: &str) -> Result<Option<ObjectHead>, S3Error> {
        let headers = vec![("x-amz-checksum-mode", "ENABLED".to_owned())];
        let response = self.send(Method::HEAD, Some(key), &[], headers, None).await;
        let response = match response {
            Ok(response) => response,
            Err(S3Error::NoSuchObject) => return Ok(None),
            Err(failed) => return Err(failed),
        };
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let bytes = text(header::CONTENT_LENGTH.as_str()).and_then(|bytes| bytes.parse().ok());
        let bytes =
            bytes.ok_or_else(|| S3Error::Failed("the server does not report an object's size".to_owned()))?;
        let etag = text(header::ETAG.as_str()).unwrap_or_default().trim_matches('"').to_owned();
        Ok(Some(ObjectHead { bytes, etag, sha256: text(CHECKSUM).map(str::to_owned) }))
    }

    /// Puts an object there.
    pub(super) async fn put(&self, key: &str, contents: Bytes, checksums: &Checksums) -> Result<(), S3Error> {
        let headers = vec![
            ("content-type", "application/vnd.apache.parquet".to_owned()),
            (CHECKSUM, STANDARD.encode(checksums.sha256)),
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
        ];
        let body = Some((contents, checksums.sha256()));
        // The body is read to its end, so that the connection can be used again.
        let response = self.send(Method::PUT, Some(key), &[], headers, body).await?;
        read(response, TEXT_BYTES_MAX).await.map(drop)
    }

    /// Some bytes of an object, all of them.
    pub(super) async fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, S3Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let headers = vec![("range", format!("bytes={}-{}", range.start, range.end - 1))];
        let response = self.send(Method::GET, Some(key), &[], headers, None).await?;
        // A server need not support ranges.
        let skipped = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { range.start };
        let length = range.end - range.start;
        let mut bytes = Bytes::from(read(response, skipped.saturating_add(length)).await?);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.split_off(skipped))
    }

    /// A page of the objects below the prefix, their keys without it; `next` as the page before has it.
    pub(super) async fn list(&self, next: Option<&str>) -> Result<ObjectList, S3Error> {
        let mut query = Vec::new();
        query.extend(next.map(|next| ("continuation-token", next)));
        let keys = self.page_keys.to_string();
        query.extend([("encoding-type", "url"), ("list-type", "2"), ("max-keys", &keys)]);
        query.push(("prefix", &self.prefix));
        let response = self.send(Method::GET, None, &query, Vec::new(), None).await?;
        let body = read(response, TEXT_BYTES_MAX).await?;
        let mut list = read_list(&String::from_utf8_lossy(&body)).map_err(S3Error::Failed)?;
        let below = |(key, bytes): (String, u64)| Some((key.strip_prefix(&self.prefix)?.to_owned(), bytes));
        list.objects = list.objects.into_iter().filter_map(below).collect();
        Ok(list)
    }

    /// Sends a request, signed now, and has the answer's head where that is no error. `query` is in order of its names.
    async fn send(
        &self,
        method: Method,
        key: Option<&str>,
        query: &[(&str, &str)],
        mut headers: Vec<(&'static str, String)>,
        body: Option<(Bytes, String)>,
    ) -> Result<Response, S3Error> {
        let (contents, payload) = body.unwrap_or_else(|| (Bytes::new(), hex::encode(&Sha256::digest(b""))));
        let mut url = self.base.clone();
        if let Some(key) = key {
            let whole = format!("{}{key}", self.prefix);
            let path = whole.split('/').map(encode).collect::<Vec<_>>().join("/");
            url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        }
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let query = pairs.join("&");
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let to_sign = ToSign {
            method: method.as_str(),
            path: url.path(),
            query: &query,
            host: &self.host,
            payload: &payload,
            headers: std::mem::take(&mut headers),
        };
        let headers = self.signer.sign(to_sign, self.clock.now());
        let extra = Duration::from_secs(contents.len() as u64 / UPLOAD_BYTES_PER_SECOND);
        let mut request = self.client.request(method, url).timeout(self.timeout + extra);
        for (name, value) in headers {
            let value = header::HeaderValue::try_from(value).map(|mut value| {
                value.set_sensitive(matches!(name, "authorization" | "x-amz-security-token"));
                value
            });
            let value = value.map_err(|_| S3Error::Failed(format!("{name} is not valid in a header")))?;
            request = request.header(name, value);
        }
        if !contents.is_empty() {
            request = request.body(contents);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response, TEXT_BYTES_MAX).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        // A bucket that is not there is another matter. HEAD has no body to distinguish it.
        if status == StatusCode::NOT_FOUND && key.is_some() && !body.contains("NoSuchBucket") {
            return Err(S3Error::NoSuchObject);
        }
        Err(S3Error::Failed(refusal(status, &body, &self.name)))
    }

    fn unreachable(&self, error: reqwest::Error) -> S3Error {
        let endpoint = format!("{}://{}", self.base.scheme(), self.host);
        S3Error::Failed(format!("{endpoint}: {}", chain(&error.without_url())))
    }
}

/// A body, as far as it is wanted.
async fn read(mut response: Response, max: u64) -> Result<Vec<u8>, S3Error> {
    let broken = |error: reqwest::Error| S3Error::Failed(chain(&error.without_url()));
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let mut body = Vec::new();
    while body.len() < max
        && let Some(chunk) = response.chunk().await.map_err(broken)?
    {
        let left = max - body.len();
        body.extend_from_slice(chunk.get(..left).unwrap_or(&chunk));
    }
    Ok(body)
}

/// Reads ranges of a bucket's objects for whoever waits for them, on a thread of its own or one that may block.
#[derive(Debug)]
pub struct ObjectRanges {
    bucket: Arc<S3Bucket>,
    runtime: tokio::runtime::Handle,
}

impl ObjectRanges {
    /// From `bucket`; requests run on `runtime`.
    pub fn new(bucket: Arc<S3Bucket>, runtime: tokio::runtime::Handle) -> Self {
        Self { bucket, runtime }
    }
}

impl ObjectReader for ObjectRanges {
    fn read(&self, key: &str, range: Range<u64>) -> io::Result<Bytes> {
        let (sender, receiver) = mpsc::channel();
        let (bucket, key) = (Arc::clone(&self.bucket), key.to_owned());
        let reading = self.runtime.spawn(async move { sender.send(bucket.get(&key, range).await) });
        // The request has a limit of its own: this one is for a runtime that is being stopped.
        let read = receiver.recv_timeout(self.bucket.timeout + Duration::from_secs(5));
        reading.abort();
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the server does not answer");
        read.map_err(|_| late())?.map_err(|error| {
            let is_none = error == S3Error::NoSuchObject;
            let kind = if is_none { io::ErrorKind::NotFound } else { io::ErrorKind::HostUnreachable };
            io::Error::new(kind, error)
        })
    }
}
