//! One login to a card, given back when dropped: cards hold some ten sessions, and forget them after half an hour.

use reqwest::StatusCode;
use reqwest::header::{HeaderName, LOCATION};
use serde_json::{Value, json};

use super::Auth;
use super::resource::link;
use crate::driver::{DriverError, Finding};
use crate::http::Device;

/// A device and, where the card has sessions, the one that is ours.
#[derive(Debug)]
pub(super) struct Session {
    device: Device,
    path: Option<String>,
    how: &'static str,
}

impl Session {
    /// Logs in as configured.
    ///
    /// # Errors
    /// `Refused` when the card does not take the user or, with `auth = "session"`, has no sessions.
    pub(super) async fn open(device: Device, auth: Auth, root: &Value) -> Result<Self, DriverError> {
        let Some((username, password)) = device.user().cloned() else {
            return Ok(Self { device, path: None, how: "nobody" });
        };
        if auth == Auth::Basic {
            return Ok(Self { device, path: None, how: "password with each request" });
        }
        // The root must say where sessions are (ServiceRoot, Links.Sessions); one that does not has none.
        let Some(sessions) = root.get("Links").and_then(|links| link(links, "Sessions")) else {
            return Self::without_sessions(device, auth);
        };
        let body = json!({"UserName": username, "Password": password.expose()});
        let answer = device.post(&sessions, &body).await?;
        let refused =
            |why: &str| Err(DriverError::Refused(format!("{}: {}: {why}", answer.asked, answer.status)));
        // A card that knows no such user says 401; some say 400 and mean the same.
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN)
        {
            return refused("the card does not open a session for this user; check username and password");
        }
        let token = answer.headers.get("x-auth-token").cloned();
        // Absolute on some cards; only its path is ours to use.
        let location = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok());
        let path = location.and_then(|place| device.base().join(place).ok()).map(|url| url.path().to_owned());
        let Some(answer) = answer.found()? else { return Self::without_sessions(device, auth) };
        let Some(token) = token else { return Err(answer.malformed("session without X-Auth-Token")) };
        let path = path.or_else(|| link(&answer.json().ok()?, ""));
        let mut session = Self { device, path, how: "session token" };
        session.device.use_session(HeaderName::from_static("x-auth-token"), token);
        Ok(session)
    }

    fn without_sessions(device: Device, auth: Auth) -> Result<Self, DriverError> {
        match auth {
            Auth::Session => {
                let host = device.base();
                Err(DriverError::Refused(format!("{host}: this card has no sessions; set auth = \"basic\"")))
            }
            Auth::Auto | Auth::Basic => Ok(Self { device, path: None, how: "password with each request" }),
        }
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// How we came in.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let open = if self.device.is_plain() { ", readable by anybody on the way (no TLS)" } else { "" };
        vec![Finding {
            what: "login".to_owned(),
            value: format!("{}{open}", self.how),
            is_used: true,
            why: "auth".to_owned(),
        }]
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            self.device.delete_in_background(path);
        }
    }
}
