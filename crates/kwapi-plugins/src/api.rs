//! The API: latest watts and kWh of each probe over HTTP, for Ceilometer and for everyone else.
//!
//! `/v1/` is the seed's, to the letter; what it has no room for is in `/v2/`. Paths are read by one pure function
//! ([`route`]), and every answer that is no success has the one shape of [`HttpError`].

mod auth;
mod config;
mod json;
mod query;
mod route;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use kwapi_core::{Pattern, ProbeId};

pub use auth::{
    Auth, AuthConfig, AuthError, Caller, KeystoneConfig, Policy, PolicyError, StaticToken, hash_token,
};
#[doc(hidden)]
pub use auth::{parse_policy, parse_token, path_matches};
pub use config::{ApiConfig, ConfigError};
pub use route::ROUTES;

use crate::http::{Cors, HttpError, allow_origins, is_not_modified, not_found, not_modified};
use crate::live::Live;
use query::Query;
use route::{Found, Route};

/// The OpenAPI document, as it is served.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// What the original said to an OPTIONS or a refused method.
const ALLOW: HeaderValue = HeaderValue::from_static("HEAD, OPTIONS, GET");
/// With more probes than this, an answer is made on a thread that may block.
const PROBES_INLINE_MAX: usize = 4_096;

/// What is known of a probe besides its measurements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeFacts {
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
    /// Why its meter last failed, if it did and has not been read since.
    pub last_error: Option<String>,
}

/// Where the API gets [`ProbeFacts`]: the binary knows the configuration and the drivers' states.
#[derive(Clone)]
pub struct FactsSource(Arc<dyn Fn(&ProbeId) -> ProbeFacts + Send + Sync>);

impl FactsSource {
    /// Asks `facts` each time.
    pub fn new(facts: impl Fn(&ProbeId) -> ProbeFacts + Send + Sync + 'static) -> Self {
        Self(Arc::new(facts))
    }
}

impl Default for FactsSource {
    /// Knows nothing of any probe.
    fn default() -> Self {
        Self::new(|_| ProbeFacts::default())
    }
}

impl fmt::Debug for FactsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FactsSource")
    }
}

/// Which probes may be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// Those one of these patterns matches.
    Only(Arc<[Pattern]>),
    /// Those that both of these allow.
    Both(Arc<[Scope; 2]>),
}

impl Scope {
    /// Whether `probe` may be seen.
    pub fn allows(&self, probe: &ProbeId) -> bool {
        match self {
            Self::All => true,
            Self::Only(patterns) => patterns.iter().any(|pattern| pattern.matches(probe)),
            Self::Both(both) => both.iter().all(|scope| scope.allows(probe)),
        }
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, scope) | (scope, Self::All) => scope,
            (own, other) => Self::Both(Arc::new([own, other])),
        }
    }
}

/// The API's state; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    live: Live,
    facts: FactsSource,
    /// What anybody may see.
    shown: Scope,
    /// The last whole list of `/v1/probes/`.
    probes: ArcSwapOption<v1::Rendered>,
    /// Tells this process's answers from those of one before it.
    epoch: u64,
}

impl Api {
    /// An API that shows what is `live`.
    pub fn new(live: Live, facts: FactsSource) -> Self {
        let epoch = live.wall().now().micros();
        Self(Arc::new(Inner { live, facts, shown: Scope::All, probes: ArcSwapOption::empty(), epoch }))
    }

    /// The same, showing nobody more than `shown`.
    #[must_use]
    pub fn limited_to(self, shown: Scope) -> Self {
        let Inner { live, facts, epoch, .. } = &*self.0;
        let (live, facts, epoch) = (live.clone(), facts.clone(), *epoch);
        Self(Arc::new(Inner { live, facts, shown, probes: ArcSwapOption::empty(), epoch }))
    }
}

/// The API's routes, behind `auth` if there is one. Whatever else is merged into the router is not behind it.
pub fn router(api: Api, auth: Option<Auth>, cors: Option<Cors>) -> Router {
    let mut router = Router::new();
    for version in ["v1", "v2"] {
        router = router
            .route(&format!("/{version}"), any(answer))
            .route(&format!("/{version}/"), any(answer))
            .route(&format!("/{version}/{{*rest}}"), any(answer));
    }
    let mut router = router.fallback(not_found).with_state(api);
    if let Some(auth) = auth {
        router = router.layer(from_fn_with_state(auth, auth::authenticate));
    }
    if let Some(cors) = cors {
        router = router.layer(from_fn_with_state(cors, allow_origins));
    }
    router
}

/// Answers any request below `/v1` and `/v2`.
async fn answer(State(api): State<Api>, request: Request) -> Response {
    let scope = request.extensions().get::<Caller>().map(|caller| caller.scope.clone()).unwrap_or_default();
    let scope = scope.and(api.0.shown.clone());
    let (parts, _) = request.into_parts();
    let route = match route::find(parts.uri.path()) {
        Found::Route(route) => Ok(route),
        Found::AddSlash => Err(&parts.uri),
        Found::Nothing => return not_found().await.into_response(),
    };
    match parts.method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return (StatusCode::OK, [(header::ALLOW, ALLOW)]).into_response(),
        _ => {
            let error = HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "This resource can only be read.");
            return ([(header::ALLOW, ALLOW)], error).into_response();
        }
    }
    let route = match route {
        Ok(route) => route,
        Err(uri) => return add_slash(uri),
    };
    let is_head = parts.method == Method::HEAD;
    let is_large = api.0.live.probes() > PROBES_INLINE_MAX;
    let work = move || {
        let answer = api.read(&route, &parts.uri, &parts.headers, &scope);
        answer.unwrap_or_else(IntoResponse::into_response)
    };
    let response = if is_large {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "an answer failed");
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be made.").into_response()
        })
    } else {
        work()
    };
    if is_head { without_body(response) } else { response }
}

impl Api {
    fn read(
        &self,
        route: &Route,
        uri: &Uri,
        headers: &HeaderMap,
        scope: &Scope,
    ) -> Result<Response, HttpError> {
        let query = || Query::parse(uri);
        match route {
            Route::V1 => Ok(json_response(v1::VERSION.into())),
            Route::V2 => Ok(json_response(v2::VERSION.into())),
            Route::OpenApi => Ok(json_response(OPENAPI.into())),
            Route::ProbeIds => Ok(self.probe_ids(&query()?, scope)),
            Route::Probes => Ok(self.probes(&query()?, scope, headers)),
            Route::Probe(id) => self.probe(id, scope),
            Route::Value(id, value) => self.value(id, *value, scope),
            Route::RichProbes => Ok(self.rich_probes(&query()?, scope)),
            Route::RichProbe(id) => self.rich_probe(id, scope),
        }
    }
}

/// A body of JSON that may change at any moment.
fn json_response(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A body that need not be sent to who has it.
fn tagged_response(body: Bytes, etag: &HeaderValue, headers: &HeaderMap) -> Response {
    if is_not_modified(headers, etag) {
        return not_modified(etag);
    }
    let mut response = json_response(body);
    response.headers_mut().insert(header::ETAG, etag.clone());
    response
}

/// The answer to HEAD: a GET's head, its length included.
fn without_body(response: Response) -> Response {
    use axum::body::HttpBody as _;
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// Sends the client to the same address with a slash, its query kept. The path begins with `/v1` or `/v2`, so it
/// cannot name another host.
fn add_slash(uri: &Uri) -> Response {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let Ok(location) = HeaderValue::try_from(format!("{}/{query}", uri.path())) else {
        return HttpError::bad_request("This address cannot be redirected.").into_response();
    };
    let error = HttpError::new(StatusCode::MOVED_PERMANENTLY, "This address ends with a slash.");
    ([(header::LOCATION, location)], error).into_response()
}

#[cfg(test)]
pub(crate) mod tests;
