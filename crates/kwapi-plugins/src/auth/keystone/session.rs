//! Requests to Keystone: one to get a token of our own, one to look up a caller's.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Secret, chain};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::token::{Identity, read_token};
use super::{KeystoneConfig, Unavailable};
use crate::auth::AuthError;

/// No answer is larger, that with a large cloud's catalogue included; more is not read.
const BODY_BYTES_MAX: usize = 4 << 20;

/// What comes of a user's password.
#[derive(Debug)]
pub(in crate::auth) enum PasswordLogin {
    /// A token of theirs, of one project.
    Token(Secret),
    /// Keystone does not let them in.
    Refused,
    /// Which of these projects they choose has to be given; none, where they have none.
    Project(Vec<String>),
}

/// A project that a user has a role on.
#[derive(Debug, Deserialize)]
struct UserProject {
    id: String,
    name: String,
    #[serde(default = "enabled")]
    enabled: bool,
}

fn enabled() -> bool {
    true
}

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
    /// Reads what it names, the password and the authority's certificates; sends no request.
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
            // A redirect or a proxy would receive tokens.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Keystone closes idle connections when it likes (gunicorn: after 2 s), and a request that meets the
            // close is lost. What is cached is not requested, so there is little to gain from keeping one.
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

    /// Looks up a caller's token. One with access rules is looked up again, with its catalogue: the rules are for
    /// services of that. Few tokens have any, and catalogues are large.
    pub(super) async fn validate(
        &self,
        token: &str,
        allow_expired: bool,
    ) -> Result<Option<Identity>, Unavailable> {
        let identity = self.fetch(token, "?nocatalog", allow_expired).await?;
        match identity {
            Some(Identity { access_rules: Some(_), .. }) => self.fetch(token, "?", allow_expired).await,
            identity => Ok(identity),
        }
    }

    /// Sends the request once. When our own token is refused, gets another and sends it once more.
    async fn fetch(
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
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        self.issue(&identity, &json!({ "project": project })).await?.ok_or_else(|| {
            Unavailable(format!("authentication failed for user {username:?} of project {project_name:?}"))
        })
    }

    /// A new token; `None` where Keystone refuses the identity.
    async fn issue(&self, identity: &Value, scope: &Value) -> Result<Option<Secret>, Unavailable> {
        let body = json!({ "auth": { "identity": identity, "scope": scope } });
        let request = self.client.post(format!("{}?nocatalog", self.url)).json(&body);
        let response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED => return Ok(None),
            status => return Err(Unavailable(format!("responded with {status} to authentication"))),
        }
        let token = response.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        token.map(Secret::new).map(Some).ok_or_else(|| Unavailable("returned no token".to_owned()))
    }

    /// Gets a token for a user of a domain (empty: that of our own user), of the project that they name, or of the only one
    /// they have. A token without a project has no roles.
    pub(super) async fn log_in(
        &self,
        user: &str,
        domain: &str,
        password: &Secret,
        project: &str,
    ) -> Result<PasswordLogin, Unavailable> {
        let own_domain = &self.credentials.user_domain_id;
        let domain = if domain.is_empty() || domain == own_domain {
            json!({ "id": own_domain })
        } else {
            json!({ "name": domain })
        };
        let user = json!({ "name": user, "domain": domain, "password": password.expose() });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let Some(unscoped) = self.issue(&identity, &json!("unscoped")).await? else {
            return Ok(PasswordLogin::Refused);
        };
        let projects = self.projects(&unscoped).await?;
        let is_wanted = |one: &&UserProject| project.is_empty() || one.name == project;
        let wanted: Vec<&UserProject> = projects.iter().filter(is_wanted).collect();
        let [chosen] = wanted.as_slice() else {
            return Ok(PasswordLogin::Project(projects.into_iter().map(|one| one.name).collect()));
        };
        let identity = json!({ "methods": ["token"], "token": { "id": unscoped.expose() } });
        let scoped = self.issue(&identity, &json!({ "project": { "id": chosen.id } })).await?;
        Ok(scoped.map_or(PasswordLogin::Refused, PasswordLogin::Token))
    }

    /// The projects that a user has a role on. Source: Identity API v3, `GET /v3/auth/projects`.
    async fn projects(&self, token: &Secret) -> Result<Vec<UserProject>, Unavailable> {
        #[derive(Deserialize)]
        struct Body {
            projects: Vec<UserProject>,
        }
        let url = self.url.replace("/auth/tokens", "/auth/projects");
        let request = self.client.get(url).header("x-auth-token", sensitive(token.expose())?);
        let response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(Unavailable(format!("responded with {} for a user's projects", response.status())));
        }
        let body: Body = serde_json::from_slice(&read(response).await?)
            .map_err(|error| Unavailable(format!("no projects in the response: {error}")))?;
        Ok(body.projects.into_iter().filter(|project| project.enabled).collect())
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
