//! Talking to Keystone: two requests, one to get a token of our own, one to ask about a caller's.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Secret, chain};
use reqwest::{Client, Response, StatusCode};
use serde_json::json;
use tokio::sync::Mutex;

use super::token::{Identity, read_token};
use super::{KeystoneConfig, Unavailable};
use crate::auth::AuthError;

/// No answer is larger, that with a large cloud's catalogue included; more is not read.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Our own standing with Keystone.
#[derive(Debug)]
pub(super) struct KeystoneLogin {
    client: Client,
    url: String,
    credentials: KeystoneConfig,
    password: Secret,
    timeout: Duration,
    /// Our own token. Whoever finds it missing or refused gets a new one while the others wait.
    token: Mutex<Option<Arc<Secret>>>,
}

impl KeystoneConfig {
    /// Reads what it names, the password and the authority's certificates; asks nobody.
    ///
    /// # Errors
    /// With the key at fault.
    pub fn check(&self) -> Result<(), AuthError> {
        KeystoneLogin::new(self).map(drop)
    }
}

impl KeystoneLogin {
    pub(super) fn new(config: &KeystoneConfig) -> Result<Self, AuthError> {
        let failed = |key, message| AuthError::Keystone { url: config.url.clone(), key, message };
        let timeout = Duration::from_secs(config.timeout_seconds.max(1));
        // The error is that there is a provider already, which is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .timeout(timeout)
            // A redirect or a proxy would be told tokens.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Keystone closes idle connections when it likes (gunicorn: after 2 s), and a request that meets the
            // close is lost. What is remembered is not asked, so there is little to gain from keeping one.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("kwapi/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.ca_file {
            let named =
                |error: &dyn std::fmt::Display| failed("ca_file", format!("{}: {error}", path.display()));
            let pem = std::fs::read(path).map_err(|error| named(&error))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| named(&error))?;
            client = client.tls_certs_only(authorities);
        } else if config.url.starts_with("http://") {
            client = client.tls_certs_only([]); // The system's authorities are not needed, and may not be there.
        }
        Ok(Self {
            client: client.build().map_err(|error| failed("url", error.to_string()))?,
            url: format!("{}/auth/tokens", config.url.trim_end_matches('/')),
            credentials: config.clone(),
            password: config.password()?,
            timeout,
            token: Mutex::new(None),
        })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Gets a token of our own, if we have none.
    pub(super) async fn introduce(&self) -> Result<(), Unavailable> {
        self.own_token(None).await.map(drop)
    }

    /// Asks about a caller's token. One with access rules is asked about again, with its catalogue: the rules are for
    /// services of that. Few tokens have any, and catalogues are large.
    pub(super) async fn validate(
        &self,
        token: &str,
        allow_expired: bool,
    ) -> Result<Option<Identity>, Unavailable> {
        let identity = self.ask(token, "?nocatalog", allow_expired).await?;
        match identity {
            Some(Identity { access_rules: Some(_), .. }) => self.ask(token, "?", allow_expired).await,
            identity => Ok(identity),
        }
    }

    /// Asks once. When our own token is refused, gets another and asks once more.
    async fn ask(
        &self,
        token: &str,
        query: &str,
        allow_expired: bool,
    ) -> Result<Option<Identity>, Unavailable> {
        let mut refused = None;
        for _ in 0..2 {
            let ours = self.own_token(refused.as_ref()).await?;
            let expired = if allow_expired { "&allow_expired=1" } else { "" };
            let response = self
                .client
                .get(format!("{}{query}{expired}", self.url))
                .header("x-auth-token", sensitive(ours.expose())?)
                .header("x-subject-token", sensitive(token)?)
                .header("openstack-identity-access-rules", "1")
                .send()
                .await
                .map_err(unreachable)?;
            match response.status() {
                StatusCode::OK => {
                    let body = read(response).await?;
                    let identity = read_token(&body);
                    return identity
                        .map(Some)
                        .map_err(|error| Unavailable(format!("no token in the response: {error}")));
                }
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::UNAUTHORIZED => refused = Some(ours),
                StatusCode::FORBIDDEN => {
                    let user = &self.credentials.username;
                    return Err(Unavailable(format!(
                        "user {user:?} is not allowed to validate tokens; grant it role service"
                    )));
                }
                status => return Err(Unavailable(format!("responded with {status}"))),
            }
        }
        Err(Unavailable("rejected a token it has just issued".to_owned()))
    }

    /// Our token; a new one if there is none, or if `refused` is the one we have.
    async fn own_token(&self, refused: Option<&Arc<Secret>>) -> Result<Arc<Secret>, Unavailable> {
        let mut token = self.token.lock().await;
        if let Some(token) =
            token.as_ref().filter(|token| !refused.is_some_and(|refused| Arc::ptr_eq(refused, token)))
        {
            return Ok(Arc::clone(token));
        }
        *token = None;
        let new = Arc::new(self.authenticate().await?);
        *token = Some(Arc::clone(&new));
        Ok(new)
    }

    async fn authenticate(&self) -> Result<Secret, Unavailable> {
        let KeystoneConfig { username, user_domain_id, project_name, project_domain_id, .. } =
            &self.credentials;
        let user = json!({
            "name": username, "domain": { "id": user_domain_id }, "password": self.password.expose()
        });
        let project = json!({ "name": project_name, "domain": { "id": project_domain_id } });
        let body = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": user } },
            "scope": { "project": project }
        } });
        let response = self
            .client
            .post(format!("{}?nocatalog", self.url))
            .json(&body)
            .send()
            .await
            .map_err(unreachable)?;
        match response.status() {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED => {
                return Err(Unavailable(format!(
                    "authentication failed for user {username:?} of project {project_name:?}"
                )));
            }
            status => return Err(Unavailable(format!("responded with {status} to authentication"))),
        }
        let token = response.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        token.map(Secret::new).ok_or_else(|| Unavailable("returned no token".to_owned()))
    }
}

/// A header value that no log of the HTTP client shows.
fn sensitive(token: &str) -> Result<reqwest::header::HeaderValue, Unavailable> {
    let mut value = reqwest::header::HeaderValue::from_str(token)
        .map_err(|_| Unavailable("token is not valid in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(error: reqwest::Error) -> Unavailable {
    Unavailable(chain(&error.without_url()))
}

async fn read(mut response: Response) -> Result<Vec<u8>, Unavailable> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Unavailable("response too large".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
