//! What a device answered, and what each status means for the manager.

use kwapi_core::{Secret, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, WWW_AUTHENTICATE};
use serde_json::Value;

use super::digest::{Challenge, parse_challenge};
use crate::driver::DriverError;
use crate::value;

/// How much of an answer an error shows.
const EXCERPT_CHARACTERS_MAX: usize = 120;

/// What a device answered.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) request_line: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What was sent and no message may repeat, also when the device does.
    pub(super) secrets: Vec<Secret>,
}

impl HttpResponse {
    pub(super) fn challenge(&self) -> Option<Challenge> {
        self.headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            // Devices that offer several put the one they prefer first.
            .find_map(|value| parse_challenge(value.to_str().ok()?))
    }

    /// The device's words for a message, unless they repeat a secret.
    fn quoted(&self, text: String) -> String {
        // A shorter one is in any text.
        let is_secret = |secret: &Secret| secret.expose().len() >= 4 && text.contains(secret.expose());
        if self.secrets.iter().any(is_secret) { "(hidden: contains a secret)".to_owned() } else { text }
    }

    /// Refuses a 401; `offered` is whether a login was sent.
    pub(super) fn admitted(self, offered: bool) -> Result<Self, DriverError> {
        let why = match (self.status, offered) {
            (StatusCode::UNAUTHORIZED, true) => "authentication failed; check username and password",
            (StatusCode::UNAUTHORIZED, false) => "authentication required; set username and password",
            _ => return Ok(self),
        };
        let why = format!("{}: {}: {why}", self.request_line, self.status);
        Err(if self.status == StatusCode::UNAUTHORIZED {
            DriverError::Locked(why)
        } else {
            DriverError::Refused(why)
        })
    }

    /// The answer if it is one, `None` where the device has nothing at this path.
    ///
    /// # Errors
    /// `Busy` for what may pass, `Refused` for what will not.
    pub(crate) fn found(self) -> Result<Option<Self>, DriverError> {
        let status = self.status;
        if status.is_success() {
            return Ok(Some(self));
        }
        if matches!(
            status,
            StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::GONE
                | StatusCode::NOT_IMPLEMENTED
        ) {
            return Ok(None);
        }
        let message = format!("{}: {status}{}", self.request_line, self.explanation());
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(DriverError::Busy(message));
        }
        if status == StatusCode::FORBIDDEN {
            return Err(DriverError::Refused(format!(
                "{message}: permission denied for this user; grant read access or use another user"
            )));
        }
        if status.is_redirection() {
            let place = self.headers.get(LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default();
            let place = place.split(['?', '#']).next().unwrap_or_default();
            let place = self.quoted(printable(place, EXCERPT_CHARACTERS_MAX));
            return Err(DriverError::Refused(format!(
                "{message}: redirected to {place:?}; configure that address"
            )));
        }
        Err(DriverError::Refused(message))
    }

    /// The answer, which has to be there.
    ///
    /// # Errors
    /// As [`HttpResponse::found`], and `Refused` with `advice` where there is nothing.
    pub(crate) fn required(self, advice: &str) -> Result<Self, DriverError> {
        let missing = format!("{}: {}: {advice}", self.request_line, self.status);
        self.found()?.ok_or(DriverError::Refused(missing))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `Malformed` with the beginning of what came.
    pub(crate) fn json(&self) -> Result<Value, DriverError> {
        serde_json::from_slice(&self.body).map_err(|_| self.malformed("JSON"))
    }

    /// What the device itself states about its refusal, in the form of Redfish (DSP0266, 8.6), as the end of a message;
    /// empty where it states nothing.
    pub(crate) fn explanation(&self) -> String {
        let message = || {
            let body = serde_json::from_slice::<Value>(&self.body).ok()?;
            let first = body.pointer("/error/@Message.ExtendedInfo/0")?;
            let text = first.get("Message").or_else(|| first.get("MessageId"))?.as_str()?;
            let text = self.quoted(printable(text, EXCERPT_CHARACTERS_MAX));
            Some(text).filter(|text| !text.is_empty())
        };
        message().map_or(String::new(), |message| format!(" ({message:?})"))
    }

    /// A header as text, empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The device's own clock, as the `Date` header has it (RFC 9110, 6.6.1).
    pub(crate) fn date(&self) -> Option<Timestamp> {
        let date = jiff::fmt::rfc2822::parse(self.header("date")).ok()?;
        value::unix_seconds(date.timestamp().as_second() as f64)
    }

    /// The body as text, with what is no UTF-8 replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// That this is not `what` it should be.
    pub(crate) fn malformed(&self, what: &'static str) -> DriverError {
        DriverError::Malformed {
            what,
            input: format!("{}: {}", self.request_line, self.quoted(excerpt(&self.body))),
        }
    }
}

/// A device's words for a terminal or a log: without control characters, at most `max` characters.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let printable = text.trim().chars().filter(|character| !character.is_control());
    printable.take(max).collect::<String>().trim_end().to_owned()
}

/// The beginning of an answer, for an error.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..EXCERPT_CHARACTERS_MAX * 4).unwrap_or(bytes)).into_owned();
    let mut shown: String = text.chars().take(EXCERPT_CHARACTERS_MAX).collect();
    if shown.len() < bytes.len() {
        shown.push('…');
    }
    shown
}
