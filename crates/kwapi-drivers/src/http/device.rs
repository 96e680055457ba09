//! One device, reached at one address: how a request is sent, logged in, repeated and bounded.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use kwapi_core::Secret;
use parking_lot::Mutex;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use super::body::{self, BodyError};
use super::digest::Challenge;
use super::failure::{self, is_bad_signature, is_cut_before_the_answer};
use super::{Clients, HttpResponse, Login, parse_address};
use crate::driver::DriverError;
use crate::tls::DeviceTls;
use crate::{cleanup, deadline};

/// One device, reached at one address.
pub(crate) struct DeviceClient {
    client: Client,
    base: Url,
    login: Login,
    scheme: Mutex<Scheme>,
    is_session: bool,
    /// Whether the device has reported that it no longer has our session.
    is_session_over: AtomicBool,
    /// Whether the device has answered before, so that a connection of it may be at hand.
    has_answered: AtomicBool,
}

/// What the device requires with a request.
#[derive(Clone, Debug)]
enum Scheme {
    Unknown,
    Basic,
    Digest { challenge: Challenge, count: u32, was_accepted: bool },
}

impl DeviceClient {
    /// Prepares requests to `address`: `http://host[:port][/path]`, or a bare host, which means `scheme`.
    ///
    /// # Errors
    /// [`DriverError::Refused`] for an address that is none or carries a password, and as [`DeviceTls`] defines.
    pub(crate) fn new(
        clients: &Clients,
        address: &str,
        scheme: &str,
        tls: &DeviceTls,
        login: Login,
    ) -> Result<Self, DriverError> {
        Ok(Self {
            client: clients.client(tls)?,
            base: parse_address(address, scheme).map_err(|why| DriverError::Refused(why.to_owned()))?,
            login,
            scheme: Mutex::new(Scheme::Unknown),
            is_session: false,
            is_session_over: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
        })
    }

    /// The configured address, as requested when a request names no path.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Whether requests and logins travel in the open.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Sends a session's token with every request from now on, and the password no more.
    pub(crate) fn use_session(&mut self, header: HeaderName, mut token: HeaderValue) {
        token.set_sensitive(true);
        self.login.headers.insert(header, token);
        self.login.user = None;
        self.is_session = true;
    }

    /// Whether the device has ended our session, so that nothing more can be requested.
    pub(crate) fn is_session_over(&self) -> bool {
        self.is_session_over.load(Ordering::Relaxed)
    }

    /// The user to open a session for.
    pub(crate) fn user(&self) -> Option<&(String, Secret)> {
        self.login.user.as_ref()
    }

    /// The address of `path` on this device. Only the path is replaced, so a device cannot name another host.
    fn url(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(query);
        url.set_fragment(None);
        url
    }

    /// Requests `path`, logging in as the device requires.
    ///
    /// # Errors
    /// `Link` when there is no answer, `Refused` for a login that is wrong or missing.
    pub(crate) async fn get(&self, path: &str, query: Option<&str>) -> Result<HttpResponse, DriverError> {
        self.get_url(self.url(path, query)).await
    }

    /// Requests the configured address itself.
    ///
    /// # Errors
    /// As [`DeviceClient::get`].
    pub(crate) async fn get_base(&self) -> Result<HttpResponse, DriverError> {
        self.get_url(self.base.clone()).await
    }

    /// Sends the request, and sends it once more where the device requires a slash at the end of the path or has none
    /// there.
    async fn get_url(&self, url: Url) -> Result<HttpResponse, DriverError> {
        let answer = self.get_logged_in(&url).await?;
        match slash_redirect(&answer, &url) {
            Some(elsewhere) => self.get_logged_in(&elsewhere).await,
            None => Ok(answer),
        }
    }

    async fn get_logged_in(&self, url: &Url) -> Result<HttpResponse, DriverError> {
        let (request, offered) = self.authorize(self.client.get(url.clone()), url);
        let answer = self.send(Method::GET, url, request).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.is_session {
            self.is_session_over.store(true, Ordering::Relaxed);
            return Err(DriverError::link(format!("{}: session expired", answer.request_line)));
        }
        if answer.status != StatusCode::UNAUTHORIZED || self.login.user.is_none() {
            if let Scheme::Digest { was_accepted, .. } = &mut *self.scheme.lock() {
                *was_accepted |= answer.status != StatusCode::UNAUTHORIZED;
            }
            return answer.admitted(offered);
        }
        // The first request of a session comes without a login, to learn what the device requires; later a digest's
        // nonce may have run out, which not every device reports. Any other 401 to a login means that it is wrong: no
        // second try, since cards count them.
        let challenge = answer.challenge();
        let was_accepted = matches!(&*self.scheme.lock(), Scheme::Digest { was_accepted: true, .. });
        let may_retry = challenge.as_ref().is_some_and(|challenge| challenge.stale || was_accepted);
        if offered && !may_retry {
            return answer.admitted(true);
        }
        *self.scheme.lock() = match challenge {
            Some(challenge) => Scheme::Digest { challenge, count: 0, was_accepted: false },
            None => Scheme::Basic,
        };
        let (request, _) = self.authorize(self.client.get(url.clone()), url);
        let answer = self.send(Method::GET, url, request).await?.admitted(true)?;
        if let Scheme::Digest { was_accepted, .. } = &mut *self.scheme.lock() {
            *was_accepted = true;
        }
        Ok(answer)
    }

    /// Sends `body` as JSON, with what login is kept but none made up. A device that requires the path with its slash, or
    /// without, is sent it again only where its status states that the method stays (RFC 9110, 15.4.8 and 15.4.9).
    ///
    /// # Errors
    /// `Link` when there is no answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<HttpResponse, DriverError> {
        let url = self.url(path, None);
        let answer = self.post_url(&url, body).await?;
        let stays_post =
            matches!(answer.status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        match slash_redirect(&answer, &url).filter(|_| stays_post) {
            Some(elsewhere) => self.post_url(&elsewhere, body).await,
            None => Ok(answer),
        }
    }

    async fn post_url(&self, url: &Url, body: &Value) -> Result<HttpResponse, DriverError> {
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json");
        self.send(Method::POST, url, request.body(body.to_string())).await
    }

    /// Requests deletion of `path`, without waiting: there is no caller left to report to. See
    /// [`cleanup::finished`].
    pub(crate) fn delete_in_background(&self, path: &str) {
        let request = self.client.delete(self.url(path, None)).headers(self.login.headers.clone());
        cleanup::spawn(async move {
            let sent = tokio::time::timeout(super::REQUEST_TIMEOUT, request.send()).await;
            drop(sent);
        });
    }

    /// Adds the login the device is known to require; returns whether there was any to add.
    fn authorize(&self, request: RequestBuilder, url: &Url) -> (RequestBuilder, bool) {
        let Some((username, password)) = &self.login.user else {
            // `accept` opens no door; Tasmota takes its password in the query.
            let in_headers = self.login.headers.keys().any(|name| name != ACCEPT);
            let in_query = url.query().is_some_and(|query| query.contains("password="));
            return (request, in_headers || in_query);
        };
        match &mut *self.scheme.lock() {
            Scheme::Unknown => (request, false),
            Scheme::Basic => (request.basic_auth(username, Some(password.expose())), true),
            Scheme::Digest { challenge, count, was_accepted: _ } => {
                *count = count.saturating_add(1);
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                let uri = format!("{}{query}", url.path());
                let client_nonce = format!("{:016x}", rand::random::<u64>());
                let proof = challenge.answer(username, password, "GET", &uri, *count, &client_nonce);
                (request.header(AUTHORIZATION, proof), true)
            }
        }
    }

    /// Sends a request and takes the whole answer. A GET is sent once more, on a new connection, where the old one ended
    /// before the answer began: some devices close after each answer and do not announce it; and where its signature
    /// could not be verified, since it is then offered others.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<HttpResponse, DriverError> {
        let request_line = request_line(&method, url);
        let lost = |error: reqwest::Error| failure::lost(&request_line, error);
        let request = request.headers(self.login.headers.clone());
        let has_answered = self.has_answered.load(Ordering::Relaxed);
        let repetition = if method == Method::GET { request.try_clone() } else { None };
        let may_repeat = |error: &reqwest::Error| {
            has_answered && is_cut_before_the_answer(error) || is_bad_signature(error)
        };
        let sent = match (request.send().await, repetition) {
            (Err(error), Some(repetition)) if may_repeat(&error) => repetition.send().await,
            (sent, _) => sent,
        };
        let mut response = sent.map_err(lost)?;
        self.has_answered.store(true, Ordering::Relaxed);
        let (status, headers) = (response.status(), response.headers().clone());
        // The status is known, whatever becomes of the body: a login that is refused in half an answer is
        // refused, and one that is granted has its token in the head.
        let body = if status.is_success() && method == Method::GET {
            body::whole(&mut response).await.map_err(|cut| match cut {
                BodyError::Lost(error) => lost(error),
                BodyError::TooLong => body::too_long(&request_line),
            })?
        } else {
            body::beginning(&mut response).await
        };
        let coding =
            headers.get(CONTENT_ENCODING).and_then(|coding| coding.to_str().ok()).unwrap_or_default();
        let body = body::decoded(coding, body, &request_line, status.is_success())?;
        deadline::answered();
        Ok(HttpResponse { request_line, status, headers, body, secrets: self.secrets(url) })
    }

    /// What was sent along to get past the device's door.
    fn secrets(&self, url: &Url) -> Vec<Secret> {
        let password = self.login.user.iter().map(|(_, password)| password.clone());
        let headers = self.login.headers.values().filter(|value| value.is_sensitive());
        let headers = headers.filter_map(|value| value.to_str().ok().map(Secret::new));
        let query = url.query_pairs().filter(|(key, _)| matches!(&**key, "password" | "response" | "sid"));
        let query = query.map(|(_, value)| Secret::new(value.into_owned()));
        password.chain(headers).chain(query).collect()
    }
}

impl fmt::Debug for DeviceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", request_line(&Method::GET, &self.base))
    }
}

/// The same resource of the same device with a slash more or less at its end, if that is all a redirect requires. No
/// other redirect is followed.
fn slash_redirect(answer: &HttpResponse, url: &Url) -> Option<Url> {
    if !matches!(
        answer.status,
        StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    ) {
        return None;
    }
    let mut elsewhere = url.join(answer.headers.get(LOCATION)?.to_str().ok()?).ok()?;
    let is_same_device = elsewhere.origin() == url.origin()
        && elsewhere.username().is_empty()
        && elsewhere.password().is_none();
    let is_same_path = elsewhere.path().trim_end_matches('/') == url.path().trim_end_matches('/');
    if !is_same_device || !is_same_path || elsewhere.path() == url.path() {
        return None;
    }
    // A query may hold a password; what comes back is ours, whatever the device makes of it.
    elsewhere.set_query(url.query());
    elsewhere.set_fragment(None);
    Some(elsewhere)
}

/// A request in an error's words. Queries are left out: Tasmota and others put passwords there.
pub(super) fn request_line(method: &Method, url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{method} {}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
