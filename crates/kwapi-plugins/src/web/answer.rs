//! HTTP answers: conditional requests, HEAD, redirects, refusals, and the headers every page carries.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response as HttpResponse, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use jiff::fmt::rfc2822;
use kwapi_core::{Timestamp, hex};
use kwapi_history::journal::Position;
use sha2::{Digest, Sha256};

use crate::http::POSITION;
use crate::http::percent::encode;

/// Pages run their own script and style and nothing else, connect to nothing else, and are framed by nobody.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// A drawing served alone carries its own style and can run nothing.
const PICTURE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// What a request states of the answer it accepts.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    is_head: bool,
    if_none_match: Option<String>,
    if_modified_since: Option<u64>,
}

impl Conditions {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let since = text(header::IF_MODIFIED_SINCE).and_then(|date| rfc2822::parse(date).ok());
        Self {
            is_head: *method == Method::HEAD,
            if_none_match: text(header::IF_NONE_MATCH).map(str::to_owned),
            if_modified_since: since.and_then(|since| u64::try_from(since.timestamp().as_second()).ok()),
        }
    }

    /// Whether the client has this already (RFC 9110, section 13.2.2: a tag outweighs a date).
    fn has(&self, tag: &str, modified: Option<u64>) -> bool {
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) => {
                tags.trim() == "*"
                    || tags.split(',').any(|other| other.trim().trim_start_matches("W/") == tag)
            }
            (None, Some(since)) => modified.is_some_and(|modified| modified <= since),
            (None, None) => false,
        }
    }
}

/// Something to be served, with what a cache needs of it.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) bytes: Bytes,
    /// Unix seconds of the last change; `None` for what is recreated each time.
    pub(super) modified: Option<u64>,
    pub(super) cache_control: &'static str,
    pub(super) disposition: Option<String>,
    /// The position in the journal at which what it shows of energy is true, where that discloses to nobody probes they
    /// do not see.
    pub(super) position: Option<Position>,
}

impl Content {
    pub(super) fn page(html: String, position: Option<Position>) -> Self {
        Self {
            kind: "text/html; charset=utf-8",
            bytes: Bytes::from(html),
            modified: None,
            cache_control: "private, no-cache",
            disposition: None,
            position,
        }
    }

    /// A strong entity tag: the same bytes have the same tag after a restart and on another machine.
    fn tag(&self) -> String {
        /// Of a digest, so many bytes.
        const BYTES: usize = 10;
        let digest = Sha256::digest(&self.bytes);
        format!("\"{}\"", hex::encode(digest.get(..BYTES).unwrap_or(&digest)))
    }

    /// The whole of it, or 304 when the client has it.
    pub(super) fn answer(self, status: StatusCode, conditions: &Conditions) -> Response {
        let tag = self.tag();
        let mut builder = HttpResponse::builder()
            .header(header::ETAG, &tag)
            .header(header::CACHE_CONTROL, self.cache_control)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::REFERRER_POLICY, "same-origin");
        if let Some(date) = self.modified.and_then(http_date) {
            builder = builder.header(header::LAST_MODIFIED, date);
        }
        if let Some(position) = self.position {
            builder = builder.header(POSITION, position.to_string());
        }
        builder = match self.kind {
            kind if kind.starts_with("text/html") => {
                builder.header(header::CONTENT_SECURITY_POLICY, PAGE_POLICY).header(header::VARY, "Cookie")
            }
            kind if kind.starts_with("image/") => {
                builder.header(header::CONTENT_SECURITY_POLICY, PICTURE_POLICY).header(header::VARY, "Accept")
            }
            _ => builder,
        };
        if status == StatusCode::OK && conditions.has(&tag, self.modified) {
            return finish(builder.status(StatusCode::NOT_MODIFIED).body(Body::empty()));
        }
        builder = builder
            .status(status)
            .header(header::CONTENT_TYPE, self.kind)
            .header(header::CONTENT_LENGTH, self.bytes.len());
        if let Some(disposition) = self.disposition {
            builder = builder.header(header::CONTENT_DISPOSITION, disposition);
        }
        let body = if conditions.is_head { Body::empty() } else { Body::from(self.bytes) };
        finish(builder.body(body))
    }
}

/// The date of Unix seconds as HTTP writes it.
fn http_date(seconds: u64) -> Option<String> {
    let at = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}

/// `attachment` with a name that is safe in a header and whole where RFC 8187 is understood.
pub(super) fn attachment(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", encode(name))
}

pub(super) fn moved_permanently(location: &str) -> Response {
    redirect(StatusCode::MOVED_PERMANENTLY, location)
}

pub(super) fn found(location: &str) -> Response {
    redirect(StatusCode::FOUND, location)
}

pub(super) fn see_other(location: &str) -> Response {
    redirect(StatusCode::SEE_OTHER, location)
}

fn redirect(status: StatusCode, location: &str) -> Response {
    let builder = plain(status).header(header::LOCATION, location);
    finish(builder.body(Body::from(format!("{location}\n"))))
}

pub(super) fn options(allowed: &'static str) -> Response {
    finish(plain(StatusCode::OK).header(header::ALLOW, allowed).body(Body::empty()))
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let builder = plain(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, allowed);
    finish(builder.body(Body::from(format!("only {allowed}\n"))))
}

pub(super) fn bad_request(why: &str) -> Response {
    finish(plain(StatusCode::BAD_REQUEST).body(Body::from(format!("{why}\n"))))
}

pub(super) fn failed(why: &str) -> Response {
    finish(plain(StatusCode::INTERNAL_SERVER_ERROR).body(Body::from(format!("{why}\n"))))
}

/// There is such a thing, and it cannot be read.
pub(super) fn unavailable(why: &str) -> Response {
    finish(plain(StatusCode::SERVICE_UNAVAILABLE).body(Body::from(format!("{why}\n"))))
}

fn plain(status: StatusCode) -> axum::http::response::Builder {
    HttpResponse::builder().status(status).header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
}

/// An answer whose headers cannot be written (they are ours, so they can) is a failure, not a panic.
fn finish(built: Result<Response, axum::http::Error>) -> Response {
    built.unwrap_or_else(|_| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// The later of two instants, as Unix seconds: what was drawn from old data by a new program is new.
pub(super) fn changed(data: u64, started: Timestamp) -> u64 {
    data.max(started.seconds())
}
