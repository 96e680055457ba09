//! The HTTP client of every driver whose device speaks HTTP: one way to log in, to bound, to trust and to complain.
//!
//! Redirects are not followed: a login would travel with them, and a device that sends its reader elsewhere (to
//! HTTPS, most often) is better configured so.

mod answer;
mod digest;
mod plug;

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use kwapi_core::Secret;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use crate::driver::DriverError;
use crate::tls::{self, Tls};
pub(crate) use answer::{Answer, excerpt};
use digest::Challenge;
#[doc(hidden)]
pub use digest::parse_challenge;
pub use plug::PlugConfig;

/// A device in the same building answers within this or is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest management cards take ten seconds an answer; the manager's deadline usually comes first.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A collection of a large chassis fits; what is longer is cut off and refused as malformed.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The HTTP clients of a process, one a choice of trust, so that a thousand meters share one set of roots.
#[derive(Debug, Default)]
pub struct Clients(Mutex<HashMap<Tls, Client>>);

impl Clients {
    fn client(&self, tls: &Tls) -> Result<Client, DriverError> {
        let mut clients = self.0.lock();
        if let Some(client) = clients.get(tls) {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config(tls)?)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // Management cards serve few connections at once.
            .pool_max_idle_per_host(1)
            .user_agent(concat!("kwapi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| DriverError::Refused(format!("http client: {}", causes(&error))))?;
        // An authority's file may be renewed while we run, so it is read again by each meter that opens.
        if !matches!(tls, Tls::Authority(_)) {
            clients.insert(tls.clone(), client.clone());
        }
        Ok(client)
    }
}

/// How to get past a device's door.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    /// Sent as Basic or Digest, whichever the device asks for, and not before it asks.
    pub(crate) user: Option<(String, Secret)>,
    /// Sent with every request.
    pub(crate) headers: HeaderMap,
}

impl Login {
    /// From the `username` and `password` keys of a meter.
    ///
    /// # Errors
    /// [`DriverError::Refused`] when there is one without the other.
    pub(crate) fn from_keys(
        username: Option<&String>,
        password: Option<&Secret>,
    ) -> Result<Self, DriverError> {
        let user = match (username, password) {
            (Some(username), Some(password)) => Some((username.clone(), password.clone())),
            (None, None) => None,
            (Some(_), None) => {
                return Err(DriverError::Refused("username is set but no password".to_owned()));
            }
            (None, Some(_)) => {
                return Err(DriverError::Refused("password is set but no username".to_owned()));
            }
        };
        Ok(Self { user, headers: HeaderMap::new() })
    }

    /// Adds a header whose value is a secret.
    ///
    /// # Errors
    /// [`DriverError::Refused`] naming the header, never its value.
    pub(crate) fn add_header(&mut self, name: &str, value: &Secret) -> Result<(), DriverError> {
        let refused = || DriverError::Refused(format!("header {name:?}: not a header that HTTP allows"));
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused())?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::try_from(name).map_err(|_| refused())?, value);
        Ok(())
    }
}

/// What a device's address and trust have to be before anything is sent: `kwapi check` says it.
///
/// # Errors
/// A sentence that begins with `key`, the key of the address, where that is at fault, or names `tls`.
pub(crate) fn check(key: &str, address: &str, scheme: &str, tls: &Tls) -> Result<(), String> {
    let url = parse_address(address, scheme).map_err(|error| format!("{key}: {}", error.into_message()))?;
    match tls {
        Tls::Authority(_) | Tls::Pinned(_) if url.scheme() == "http" => Err(format!(
            "tls: there is nothing to check over http; write https:// in {key}, or leave tls out"
        )),
        Tls::Authority(_) => tls::client_config(tls)
            .map(drop)
            .map_err(|error| format!("tls: {}; is it readable, and PEM?", error.into_message())),
        Tls::System | Tls::Pinned(_) | Tls::Insecure => Ok(()),
    }
}

/// Reads `http://host[:port][/path]`, or a bare host, which means `scheme`.
fn parse_address(address: &str, scheme: &str) -> Result<Url, DriverError> {
    let written = if address.contains("://") { address.to_owned() } else { format!("{scheme}://{address}") };
    let url = Url::parse(&written)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            // Not repeated here: it may carry a password.
            DriverError::Refused(
                "the address is no URL; write http://HOST/PATH or https://HOST/PATH".to_owned(),
            )
        })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(DriverError::Refused(
            "the address carries a login; give it as username and password".to_owned(),
        ));
    }
    Ok(url)
}

/// One device, reached at one address.
pub(crate) struct Device {
    client: Client,
    base: Url,
    login: Login,
    scheme: Mutex<Scheme>,
    is_session: bool,
}

/// What the device wants with a request.
#[derive(Clone, Debug)]
enum Scheme {
    Unknown,
    Basic,
    Digest { challenge: Challenge, count: u32, was_accepted: bool },
}

impl Device {
    /// Prepares to talk to `address`: `http://host[:port][/path]`, or a bare host, which means `scheme`.
    ///
    /// # Errors
    /// [`DriverError::Refused`] for an address that is none or carries a password, and as [`Tls`] says.
    pub(crate) fn new(
        clients: &Clients,
        address: &str,
        scheme: &str,
        tls: &Tls,
        login: Login,
    ) -> Result<Self, DriverError> {
        Ok(Self {
            client: clients.client(tls)?,
            base: parse_address(address, scheme)?,
            login,
            scheme: Mutex::new(Scheme::Unknown),
            is_session: false,
        })
    }

    /// The configured address, as asked for when a request names no path.
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

    /// Asks for `path`, logging in as the device demands.
    ///
    /// # Errors
    /// `Link` when there is no answer, `Refused` for a login that is wrong or missing.
    pub(crate) async fn get(&self, path: &str, query: Option<&str>) -> Result<Answer, DriverError> {
        self.get_url(self.url(path, query)).await
    }

    /// Asks for the configured address itself.
    ///
    /// # Errors
    /// As [`Device::get`].
    pub(crate) async fn get_base(&self) -> Result<Answer, DriverError> {
        self.get_url(self.base.clone()).await
    }

    async fn get_url(&self, url: Url) -> Result<Answer, DriverError> {
        let (request, offered) = self.authorize(self.client.get(url.clone()), &url);
        let answer = self.send(Method::GET, &url, request).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.is_session {
            return Err(DriverError::link(format!("{}: the session has ended", answer.asked)));
        }
        if answer.status != StatusCode::UNAUTHORIZED || self.login.user.is_none() {
            if let Scheme::Digest { was_accepted, .. } = &mut *self.scheme.lock() {
                *was_accepted |= answer.status != StatusCode::UNAUTHORIZED;
            }
            return answer.admitted(offered);
        }
        // The first request of a session comes without a login, to hear what the device wants; later a digest's
        // nonce may have run out, which not every device says. Any other 401 to a login means that it is wrong: no
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
        let (request, _) = self.authorize(self.client.get(url.clone()), &url);
        let answer = self.send(Method::GET, &url, request).await?.admitted(true)?;
        if let Scheme::Digest { was_accepted, .. } = &mut *self.scheme.lock() {
            *was_accepted = true;
        }
        Ok(answer)
    }

    /// Sends `body` as JSON, with what login is kept but none made up.
    ///
    /// # Errors
    /// `Link` when there is no answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, DriverError> {
        let url = self.url(path, None);
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json");
        self.send(Method::POST, &url, request.body(body.to_string())).await
    }

    /// Asks the device to delete `path`, without waiting: there is nobody left to tell.
    pub(crate) fn delete_in_background(&self, path: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let request = self.client.delete(self.url(path, None)).headers(self.login.headers.clone());
        runtime.spawn(async move { request.send().await.map(drop) });
    }

    /// Adds the login the device is known to want; says whether there was any to add.
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

    async fn send(&self, method: Method, url: &Url, request: RequestBuilder) -> Result<Answer, DriverError> {
        let asked = asked(&method, url);
        let lost = |error: reqwest::Error| {
            let is_unreached = error.is_connect();
            let why = causes(&error.without_url());
            // A certificate's error brings advice of its own.
            let advice = if is_unreached && !why.contains("certificate") {
                "; is the address right and the device on?"
            } else {
                ""
            };
            DriverError::link(format!("{asked}: {why}{advice}"))
        };
        let mut response = request.headers(self.login.headers.clone()).send().await.map_err(lost)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                let input = format!("{asked}: more than {BODY_BYTES_MAX} bytes");
                return Err(DriverError::Malformed { what: "answer", input });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { asked, status: response.status(), headers: response.headers().clone(), body })
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", asked(&Method::GET, &self.base))
    }
}

/// A request in an error's words. Queries are left out: Tasmota and others put passwords there.
fn asked(method: &Method, url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{method} {}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// An error and what caused it, in one line: reqwest's own first line only says that sending failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "no answer in time".to_owned() } else { error.to_string() };
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
