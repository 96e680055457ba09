//! Requests to JetStream, in JSON.
//!
//! Source: docs.nats.io, reference, NATS API reference; consumer reset: nats-architecture-and-design, ADR-60.

use kwapi_core::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::connection::Connection;

/// Error codes of the server.
pub(super) const CONSUMER_NOT_FOUND: u64 = 10_014;
/// A consumer cannot be set back to where it is to be: it began with what was new, or later.
pub(super) const INVALID_RESET: u64 = 10_204;
pub(super) const STREAM_NOT_FOUND: u64 = 10_059;
pub(super) const MESSAGE_TOO_LARGE: u64 = 10_054;
pub(super) const NOT_ENABLED: u64 = 10_076;
pub(super) const NOT_ENABLED_FOR_ACCOUNT: u64 = 10_039;
const NOT_STORED: u64 = 10_077;
const ACCOUNT_LIMIT: u64 = 10_002;
const ACCOUNT_STREAMS: u64 = 10_027;
const ACCOUNT_CONSUMERS: u64 = 10_026;
const NO_RESOURCES: u64 = 10_023;
const NO_STORAGE: u64 = 10_047;
const NO_CLUSTER: u64 = 10_074;
const NO_PEERS: u64 = 10_005;
const NO_LEADER: u64 = 10_008;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The server refuses.
    #[error("{description}{}", remedy(*code))]
    Refused {
        /// Its code for it.
        code: u64,
        description: String,
    },
    /// There is no answer that can be read.
    #[error("{0}")]
    NoResponse(String),
}

impl ApiError {
    pub(super) fn is(&self, expected: u64) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == expected)
    }
}

/// What an operator can do about it, appended to the server's error.
fn remedy(code: u64) -> &'static str {
    match code {
        NOT_STORED => {
            "; the stream is full and refuses what is new: `kwapi nats-setup` has it remove the oldest instead, or raise \
             --megabytes-max"
        }
        NO_RESOURCES | NO_STORAGE => {
            "; the server has no storage left: give it more (`max_file` in its configuration), or keep less (`kwapi \
             nats-setup --days`)"
        }
        ACCOUNT_LIMIT | ACCOUNT_STREAMS => {
            "; raise the limits of the account at the server, or keep less (`kwapi nats-setup --days`)"
        }
        ACCOUNT_CONSUMERS => {
            "; raise `max_consumers` of the account at the server, or delete consumers that nobody uses"
        }
        NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT => "; enable JetStream in the configuration of the server",
        NO_CLUSTER | NO_PEERS => "; --replicas requires a cluster of so many servers",
        NO_LEADER => "; its cluster has no leader now",
        _ => "",
    }
}

#[derive(Deserialize)]
struct Response {
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// Whether an answer is a refusal.
///
/// # Errors
/// When it is, or no answer at all.
pub(super) fn check(payload: &[u8]) -> Result<(), ApiError> {
    let response: Response = serde_json::from_slice(payload)
        .map_err(|error| ApiError::NoResponse(format!("unreadable response: {error}")))?;
    response.error.map_or(Ok(()), |Refusal { err_code, description }| {
        Err(ApiError::Refused { code: err_code, description })
    })
}

/// Requests `what`, such as `STREAM.INFO.power`.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn call(
    connection: &mut Connection,
    what: &str,
    request: &Value,
) -> Result<Value, ApiError> {
    let body = if request.is_null() { String::new() } else { request.to_string() };
    let answer = connection.request(&format!("$JS.API.{what}"), body.as_bytes()).await;
    let not_enabled =
        || ApiError::Refused { code: NOT_ENABLED, description: "JetStream is not enabled".to_owned() };
    let payload = answer.map_err(ApiError::NoResponse)?.ok_or_else(not_enabled)?;
    check(&payload)?;
    serde_json::from_slice(&payload)
        .map_err(|error| ApiError::NoResponse(format!("unreadable response: {error}")))
}

/// What to do where a stream is missing.
pub(super) fn missing(stream: &str) -> String {
    format!("stream {stream} not found; create it with `kwapi nats-setup`")
}

/// The stream as the server has it.
///
/// # Errors
/// When there is none, or the server reports none, as text.
pub(super) async fn stream_info(connection: &mut Connection, stream: &str) -> Result<Value, String> {
    call(connection, &format!("STREAM.INFO.{stream}"), &Value::Null).await.map_err(|error| {
        if error.is(STREAM_NOT_FOUND) {
            missing(stream)
        } else {
            format!("cannot look up stream {stream}: {error}")
        }
    })
}

/// What the address to acknowledge a message at holds of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivered {
    /// How often it was delivered, this time included.
    pub(super) times: u64,
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// How many the consumer had delivered then since it was made or set back, this one included.
    pub(super) delivery: u64,
    /// When the server stored it.
    pub(super) stored: Timestamp,
    /// How many more wait for the consumer.
    pub(super) pending: u64,
}

impl Delivered {
    /// Reads `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<consumer's>.<time>.<pending>`, or the form with a domain and an
    /// account before the stream and something after.
    pub(super) fn read(reply: &str) -> Option<Self> {
        let words: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let numbers =
            if words.len() == 7 { words.get(2..)? } else { words.get(4..).filter(|_| words.len() >= 9)? };
        let number = |place: usize| numbers.get(place)?.parse::<u64>().ok();
        let stored = Timestamp::from_micros(number(3)? / 1_000);
        let (times, sequence, delivery, pending) = (number(0)?, number(1)?, number(2)?, number(4)?);
        Some(Self { times, sequence, delivery, stored, pending })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_both_forms_of_its_address() {
        let stored = Timestamp::from_seconds(1_790_000_000);
        let expected = Some(Delivered { times: 2, sequence: 300, delivery: 41, stored, pending: 5 });
        assert_eq!(Delivered::read("$JS.ACK.power.centre.2.300.41.1790000000000000000.5"), expected);
        assert_eq!(Delivered::read("$JS.ACK._.Xyz.power.centre.2.300.41.1790000000000000000.5"), expected);
        assert_eq!(
            Delivered::read("$JS.ACK._.Xyz.power.centre.2.300.41.1790000000000000000.5.token"),
            expected
        );
        for other in
            ["", "$JS.ACK.", "$JS.ACK.power.centre.2.300.41.1", "$JS.ACK.a.b.c.d.e.f.g", "_INBOX.1.2"]
        {
            assert_eq!(Delivered::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_refusal_has_its_code() {
        assert_eq!(check(br#"{"stream":"power","seq":7}"#), Ok(()));
        let refused = check(br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#);
        assert!(refused.as_ref().is_err_and(|error| error.is(STREAM_NOT_FOUND)));
        assert_eq!(refused.unwrap_err().to_string(), "stream not found");
        let full =
            check(br#"{"error":{"err_code":10077,"description":"maximum bytes exceeded"}}"#).unwrap_err();
        assert!(full.to_string().starts_with("maximum bytes exceeded; the stream is full"), "{full}");
        assert!(check(b"").is_err() && check(b"[]").is_err());
    }
}
