//! The API: latest watts and kWh of each probe over HTTP, for Ceilometer and for everyone else.
//!
//! `/v1/` is the seed's, to the letter; what it has no room for is in `/v2/`. Each route stands once, in the table of
//! [`route`], and every answer that is no success has the one shape of [`HttpError`].

mod bills;
mod config;
mod energy;
mod groups;
mod openapi;
mod query;
mod route;
pub(crate) mod samples;
mod v1;
mod v2;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use kwapi_history::Samples;
use kwapi_history::journal::Position;

pub use config::{ApiConfig, ApiConfigError};
use openapi::OPENAPI;
pub use route::ROUTES;

use crate::answers::EnergyAnswers;
use crate::auth::{Auth, guarded, scope_of};
use crate::bills::Bills;
use crate::directory::Directory;
use crate::http::{
    AnswerTurns, Cors, HttpError, POSITION, RouteMatch, allow_origins, is_not_modified, not_modified,
    nothing_here,
};
use crate::scope::Scope;
use query::ListParameters;
use route::{ApiResource, TABLE, Value};

/// With more probes than this, an answer is made on a thread that may block.
const PROBES_INLINE_MAX: usize = 4_096;

/// The API's state; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Api(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    directory: Directory,
    /// What anybody may see.
    shown: Scope,
    /// The last whole list of `/v1/probes/`.
    probes: Arc<ArcSwapOption<v1::Rendered>>,
    /// Distinguishes this process's answers from those of one before it.
    epoch: u64,
    /// Where questions about energy are answered from; `None` where no ledger is kept.
    answers: Option<EnergyAnswers>,
    /// `None` where none are served.
    bills: Option<Bills>,
    /// `None` where no samples are kept.
    samples: Option<Arc<Samples>>,
    turns: AnswerTurns,
}

impl Api {
    /// An API that shows what `directory` has.
    pub fn new(directory: Directory) -> Self {
        let epoch = directory.live().wall().now().micros();
        Self(Arc::new(Inner {
            directory,
            shown: Scope::All,
            probes: Arc::default(),
            epoch,
            answers: None,
            bills: None,
            samples: None,
            turns: AnswerTurns::default(),
        }))
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The same, showing nobody more than `shown`.
    #[must_use]
    pub fn limited_to(self, shown: Scope) -> Self {
        self.changed(|inner| inner.shown = shown)
    }

    /// The same, with the samples that are kept.
    #[must_use]
    pub fn with_samples(self, samples: Option<Arc<Samples>>) -> Self {
        self.changed(|inner| inner.samples = samples)
    }

    /// The same, with bills: open ones are made of what [`Api::with_energy`] has.
    #[must_use]
    pub fn with_bills(self, bills: Bills) -> Self {
        self.changed(|inner| inner.bills = Some(bills))
    }

    /// The same, answering questions about energy from `query`.
    #[must_use]
    pub fn with_energy(self, query: kwapi_history::Query) -> Self {
        self.changed(|inner| inner.answers = Some(EnergyAnswers::new(query, inner.directory.clone())))
    }
}

/// Paths that operators may request on a process's status listener too: what needs no history of requests and no token.
pub const ENERGY: &str = "/v2/energy";
/// Where samples are requested.
const SAMPLES: &str = "/v2/samples";

/// The questions about energy alone, for who may see all.
pub fn operators(api: Api) -> Router {
    Router::new().route(ENERGY, axum::routing::any(answer)).with_state(api)
}

/// The API's routes, behind `auth` if there is one. Whatever else is merged into the router is not behind it.
pub fn router(api: Api, auth: Option<Auth>, cors: Option<Cors>) -> Router {
    let mut router = Router::new().fallback(answer).with_state(api);
    if let Some(auth) = auth {
        router = guarded(router, auth, ROUTES);
    }
    if let Some(cors) = cors {
        router = router.layer(from_fn_with_state(cors, allow_origins));
    }
    router
}

/// Answers any request.
async fn answer(State(api): State<Api>, request: Request) -> Response {
    let scope = scope_of(&request).and(api.0.shown.clone());
    let (parts, _) = request.into_parts();
    let (route, parameters) = match TABLE.find(parts.uri.path()) {
        RouteMatch::Route(route, parameters) => (route, Some(parameters)),
        RouteMatch::AddSlash(route) => (route, None),
        RouteMatch::Nothing => return nothing_here().into_response(),
    };
    let allow = [(header::ALLOW, HeaderValue::from_static(route.methods))];
    match parts.method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return (StatusCode::OK, allow).into_response(),
        _ => {
            let error = HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "This resource is read-only.");
            return (allow, error).into_response();
        }
    }
    let Some(parameters) = parameters else { return add_slash(&parts.uri) };
    let resource = route.resource;
    let is_head = parts.method == Method::HEAD;
    if resource == ApiResource::Samples {
        let response = api.samples(&parts.uri, &parts.headers, scope).await;
        return if is_head { without_body(response) } else { response };
    }
    if matches!(resource, ApiResource::Energy | ApiResource::Series) {
        let has_power = resource == ApiResource::Series;
        let response = api.energy(&parts.uri, &parts.headers, scope, has_power).await;
        return if is_head { without_body(response) } else { response };
    }
    if resource == ApiResource::Bills {
        let response = api.bills(scope).await;
        return if is_head { without_body(response) } else { response };
    }
    if resource == ApiResource::Bill {
        let month = parameters.first().map(String::as_str).unwrap_or_default();
        let response = api.bill(month, &parts.uri, &parts.headers, scope).await;
        return if is_head { without_body(response) } else { response };
    }
    if resource == ApiResource::Group {
        let group = parameters.first().map(String::as_str).unwrap_or_default();
        let response = api.group(group, &parts.uri, &parts.headers, scope).await;
        return if is_head { without_body(response) } else { response };
    }
    let is_large = api.0.directory.live().probes() > PROBES_INLINE_MAX;
    let work = move || {
        let answer = api.read(resource, &parameters, &parts.uri, &parts.headers, &scope);
        answer.unwrap_or_else(IntoResponse::into_response)
    };
    let response = if is_large {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "request failed");
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error; see the log.").into_response()
        })
    } else {
        work()
    };
    if is_head { without_body(response) } else { response }
}

impl Api {
    fn read(
        &self,
        resource: ApiResource,
        parameters: &[String],
        uri: &Uri,
        headers: &HeaderMap,
        scope: &Scope,
    ) -> Result<Response, HttpError> {
        let query = || ListParameters::parse(uri);
        let parameter = |index: usize| parameters.get(index).map(String::as_str).unwrap_or_default();
        let probe = parameter(0);
        match resource {
            ApiResource::V1 => Ok(json_response(v1::VERSION.into())),
            ApiResource::V2 => Ok(json_response(v2::VERSION.into())),
            ApiResource::OpenApi => Ok(json_response(OPENAPI.into())),
            ApiResource::ProbeIds => Ok(self.probe_ids(&query()?, scope)),
            ApiResource::Probes => Ok(self.probes(&query()?, scope, headers)),
            ApiResource::Probe => self.probe(probe, scope),
            ApiResource::Value => match Value::named(parameter(1)) {
                Some(value) => self.value(probe, value, scope),
                None => Err(nothing_here()),
            },
            ApiResource::RichProbes => Ok(self.rich_probes(&query()?, scope)),
            ApiResource::RichProbe => self.rich_probe(probe, scope),
            ApiResource::Groups => Ok(self.groups(&query()?, scope)),
            // Answered a part at a time, above.
            ApiResource::Energy
            | ApiResource::Series
            | ApiResource::Samples
            | ApiResource::Group
            | ApiResource::Bills
            | ApiResource::Bill => Err(nothing_here()),
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

/// Names the position in the journal that an answer is true at; not where that would disclose probes that the caller does
/// not see.
fn at_position(mut response: Response, position: Option<Position>, scope: &Scope) -> Response {
    let position = position.filter(|_| scope.is_all());
    if let Some(Ok(position)) = position.map(|position| HeaderValue::try_from(position.to_string())) {
        response.headers_mut().insert(POSITION, position);
    }
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
        return HttpError::bad_request("This URL cannot be redirected.").into_response();
    };
    let error = HttpError::new(StatusCode::MOVED_PERMANENTLY, "Moved: add a trailing slash.");
    ([(header::LOCATION, location)], error).into_response()
}

#[cfg(test)]
mod tenants;
#[cfg(test)]
pub(crate) mod tests;
