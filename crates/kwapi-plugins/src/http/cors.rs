//! Which pages of other origins may read our answers (the Fetch standard's CORS protocol).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The origins that may read: as configured, `*` for any. Credentials are never allowed: tokens travel in a header
/// that the page must set.
#[derive(Clone, Debug, Default)]
pub struct Cors(Arc<[String]>);

impl Cors {
    /// Allows these origins (`https://grafana.example.org`), or any (`*`).
    pub fn new(origins: Vec<String>) -> Self {
        Self(origins.into())
    }

    /// What to answer to the origin of a request; nothing when it may not read.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.0.iter().any(|allowed| allowed == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}

/// A middleware that answers preflights and marks answers. It stands before authentication, as a preflight has none.
pub(crate) async fn allow_origins(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let Some(origin) = cors.allowed(request.headers()) else { return next.run(request).await };
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        let methods = (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS");
        let allowed = "x-auth-token, authorization, if-none-match";
        let headers = (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        let age = (header::ACCESS_CONTROL_MAX_AGE, "600");
        (StatusCode::NO_CONTENT, [methods, headers, age]).into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag, link"));
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}
