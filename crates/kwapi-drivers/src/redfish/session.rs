//! One login to a card, given back when dropped: cards hold some ten sessions, and forget them after half an hour.

use reqwest::StatusCode;
use reqwest::header::{HeaderName, LOCATION};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::RedfishAuth;
use super::resource::link;
use crate::driver::{DriverError, Finding};
use crate::http::{DeviceClient, HttpResponse};
use crate::{cleanup, deadline};

/// A device and, where the card has sessions, the one that is ours.
#[derive(Debug)]
pub(super) struct RedfishSession {
    device: DeviceClient,
    path: Option<String>,
    how: &'static str,
}

impl RedfishSession {
    /// Logs in as configured.
    ///
    /// # Errors
    /// `Refused` when the card does not take the user or, with `auth = "session"`, has no sessions; `Busy` when all its
    /// sessions are taken.
    pub(super) async fn open(
        device: DeviceClient,
        auth: RedfishAuth,
        root: &Value,
    ) -> Result<Self, DriverError> {
        if device.user().is_none() {
            return Ok(Self { device, path: None, how: "none" });
        }
        if auth == RedfishAuth::Basic {
            return Ok(Self { device, path: None, how: "basic authentication" });
        }
        // The root must state where sessions are (ServiceRoot, Links.Sessions); one that does not has none.
        let Some(sessions) = root.get("Links").and_then(|links| link(links, "Sessions")) else {
            return Self::without_sessions(device, auth);
        };
        // A card completes a login whose client has timed out, and then holds a session that nobody uses. So the login
        // runs to its end by itself, and a session that nobody waits for any more is dropped, which gives it back.
        let (done, mut session) = oneshot::channel();
        cleanup::spawn(async move {
            drop(done.send(Self::log_in(device, auth, &sessions).await));
        });
        // And it may take as long as a request may take at all: who gave up sooner would begin another one.
        let session = loop {
            let Some(limit) = deadline::request_limit() else { break (&mut session).await };
            match timeout(limit, &mut session).await {
                Ok(session) => break session,
                Err(_) => deadline::moved_on(),
            }
        };
        let session = session.unwrap_or_else(|_| Err(DriverError::link("login aborted")))?;
        deadline::answered();
        Ok(session)
    }

    /// Opens a session; ends within the time of one request.
    async fn log_in(
        mut device: DeviceClient,
        auth: RedfishAuth,
        sessions: &str,
    ) -> Result<Self, DriverError> {
        let Some((username, password)) = device.user().cloned() else {
            return Ok(Self { device, path: None, how: "none" });
        };
        let body = json!({"UserName": username, "Password": password.expose()});
        let answer = device.post(sessions, &body).await?;
        let message = format!("{}: {}{}", answer.request_line, answer.status, answer.explanation());
        if is_full(&answer) {
            return Err(DriverError::Busy(format!(
                "{message}: no free session on the BMC; close some there, or set auth = \"basic\""
            )));
        }
        // A card that has no such user returns 401; some return 400 and mean the same.
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN)
        {
            return Err(DriverError::Refused(format!(
                "{message}: login failed; check username and password"
            )));
        }
        let token = answer.headers.get("x-auth-token").cloned();
        // Absolute on some cards; only its path is ours to use.
        let location = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok());
        let path = location.and_then(|place| device.base().join(place).ok()).map(|url| url.path().to_owned());
        let Some(answer) = answer.found()? else { return Self::without_sessions(device, auth) };
        let Some(token) = token else { return Err(answer.malformed("session without X-Auth-Token")) };
        let path = path.or_else(|| link(&answer.json().ok()?, ""));
        device.use_session(HeaderName::from_static("x-auth-token"), token);
        Ok(Self { device, path, how: "session token" })
    }

    fn without_sessions(device: DeviceClient, auth: RedfishAuth) -> Result<Self, DriverError> {
        match auth {
            RedfishAuth::Session => {
                let host = device.base();
                Err(DriverError::Refused(format!("{host}: sessions are not supported; set auth = \"basic\"")))
            }
            RedfishAuth::Auto | RedfishAuth::Basic => {
                Ok(Self { device, path: None, how: "basic authentication" })
            }
        }
    }

    pub(super) fn device(&self) -> &DeviceClient {
        &self.device
    }

    /// How we came in.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let open = if self.device.is_plain() { ", sent in clear text (no TLS)" } else { "" };
        vec![Finding {
            what: "login".to_owned(),
            value: format!("{}{open}", self.how),
            is_used: true,
            why: "auth".to_owned(),
        }]
    }
}

impl Drop for RedfishSession {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            self.device.delete_in_background(path);
        }
    }
}

/// Whether the card has no session left, which some report with a status of another meaning: Base registry,
/// `SessionLimitExceeded`; iDRAC, `RAC0218`.
fn is_full(answer: &HttpResponse) -> bool {
    let Ok(body) = answer.json() else { return false };
    let infos = body.pointer("/error/@Message.ExtendedInfo").and_then(Value::as_array);
    infos.into_iter().flatten().any(|info| {
        let id = info.get("MessageId").and_then(Value::as_str).unwrap_or_default();
        !answer.status.is_success()
            && ["SessionLimitExceeded", "RAC0218"].iter().any(|full| id.ends_with(full))
    })
}
