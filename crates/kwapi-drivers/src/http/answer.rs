//! What a device answered, and what each status means for the manager.

use kwapi_core::Timestamp;
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
pub(crate) struct Answer {
    pub(crate) asked: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(super) fn challenge(&self) -> Option<Challenge> {
        self.headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            // Devices that offer several put the one they prefer first.
            .find_map(|value| parse_challenge(value.to_str().ok()?))
    }

    /// Refuses a 401 or 403; `offered` says whether a login was sent.
    pub(super) fn admitted(self, offered: bool) -> Result<Self, DriverError> {
        let why = match (self.status, offered) {
            (StatusCode::UNAUTHORIZED, true) => {
                "the device does not accept this login; check username and password"
            }
            (StatusCode::UNAUTHORIZED, false) => "the device asks for a login; set username and password",
            (StatusCode::FORBIDDEN, _) => {
                "this user may not read it; give the user the right to, or use another"
            }
            _ => return Ok(self),
        };
        let why = format!("{}: {}: {why}", self.asked, self.status);
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
        let said = format!("{}: {status}", self.asked);
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(DriverError::Busy(said));
        }
        if status.is_redirection() {
            let place = self.headers.get(LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default();
            let place = place.split(['?', '#']).next().unwrap_or_default();
            return Err(DriverError::Refused(format!(
                "{said}: the device sends its readers to {place:?}; configure that address"
            )));
        }
        Err(DriverError::Refused(said))
    }

    /// The answer, which has to be there.
    ///
    /// # Errors
    /// As [`Answer::found`], and `Refused` with `advice` where there is nothing.
    pub(crate) fn required(self, advice: &str) -> Result<Self, DriverError> {
        let missing = format!("{}: {}: {advice}", self.asked, self.status);
        self.found()?.ok_or(DriverError::Refused(missing))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `Malformed` with the beginning of what came.
    pub(crate) fn json(&self) -> Result<Value, DriverError> {
        serde_json::from_slice(&self.body).map_err(|_| self.malformed("JSON"))
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
        DriverError::Malformed { what, input: format!("{}: {}", self.asked, excerpt(&self.body)) }
    }
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
