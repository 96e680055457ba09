//! In front of the pages: lets through who has logged in, sends a token or is named by a trusted proxy, and sends people
//! elsewhere to the login.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::{Client, LoginSettings, Logins};
use crate::audit::AuditEvent;
use crate::auth::{Admission, Caller, Judged, READ_RULE, Refusal, bounded, named, strip_identity, token_of};
use crate::http::percent::encode;
use crate::http::{ClientConnection, HttpError, ServerRoutes, is_from_another_site};

/// The page that people log in at.
pub(crate) const LOGIN: &str = "/login/";

/// The headers that show who sends a request.
const SHOW_WHO: [HeaderName; 5] = [
    header::COOKIE,
    header::AUTHORIZATION,
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-storage-token"),
    HeaderName::from_static("x-service-token"),
];

#[derive(Clone, Debug)]
struct LoginGuard {
    logins: Logins,
    routes: &'static dyn ServerRoutes,
}

/// Puts `router`, which serves `routes`, behind logins. What it serves gets the caller from
/// [`caller_of`](crate::auth::caller_of).
pub(crate) fn behind_login(router: Router, logins: Logins, routes: &'static dyn ServerRoutes) -> Router {
    router.layer(from_fn_with_state(LoginGuard { logins, routes }, admit))
}

/// Lets a request through, with [`Caller`] and [`Client`] as extensions.
async fn admit(State(guard): State<LoginGuard>, mut request: Request, next: Next) -> Response {
    let LoginGuard { logins, routes } = guard;
    let settings = logins.0.settings.load_full();
    let connection = request.extensions().get::<ClientConnection>().copied();
    let client = Client::take(request.headers_mut(), connection, &settings.trusted);
    strip_identity(request.headers_mut());
    if *request.method() == Method::POST && is_from_another_site(request.headers(), client.host.as_deref()) {
        let message = "This form was sent from another site; open the page here and send it again.";
        return HttpError::new(StatusCode::FORBIDDEN, message).into_response();
    }
    let Some(rule) = routes.rule(request.uri().path()) else {
        request.extensions_mut().insert(client);
        return next.run(request).await;
    };
    let admitted = {
        let headers = request.headers();
        let credentials = Judged {
            token: token_of(headers),
            service_token: bounded(named(headers, "x-service-token")),
            method: request.method().as_str(),
            path: request.uri().path(),
            rule,
        };
        logins.caller(&settings, &client, headers, credentials).await
    };
    let response = match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(Refusal::Unauthenticated) if requests_page(&request) => to_login(&request),
        Err(refusal) => logins.0.auth.refuse(refusal),
    };
    private(response)
}

/// The sender of a request that is answered for long, to be checked again while it is.
#[derive(Clone, Debug)]
pub(crate) struct LastingCaller {
    logins: Logins,
    client: Client,
    /// What shows who they are, and nothing else.
    headers: HeaderMap,
    path: &'static str,
}

impl LastingCaller {
    /// The sender of a request at `path` that was let through with these headers.
    pub(crate) fn new(logins: &Logins, client: &Client, headers: &HeaderMap, path: &'static str) -> Self {
        let mut kept = HeaderMap::new();
        for name in SHOW_WHO {
            for value in headers.get_all(&name) {
                kept.append(&name, value.clone());
            }
        }
        Self { logins: logins.clone(), client: client.clone(), headers: kept, path }
    }

    /// Who they are now; `None` once the request would not be let through: the login was ended, its token was revoked, has
    /// expired or lost its roles, or Keystone cannot decide.
    pub(crate) async fn caller(&self) -> Option<Caller> {
        let settings = self.logins.0.settings.load_full();
        let credentials = Judged {
            token: token_of(&self.headers),
            service_token: bounded(named(&self.headers, "x-service-token")),
            method: Method::GET.as_str(),
            path: self.path,
            rule: READ_RULE,
        };
        self.logins.caller(&settings, &self.client, &self.headers, credentials).await.ok()
    }
}

impl Logins {
    /// Who sends a request.
    pub(super) async fn caller(
        &self,
        settings: &Arc<LoginSettings>,
        client: &Client,
        headers: &HeaderMap,
        credentials: Judged<'_>,
    ) -> Result<Caller, Refusal> {
        if credentials.token.is_some() {
            let caller = self.0.auth.judge(credentials).await;
            if let Err(refusal @ (Refusal::Unauthenticated | Refusal::Forbidden)) = &caller {
                self.0.audit.record(AuditEvent::refused("", client.address, refusal.word())).await;
            }
            return caller;
        }
        if let Some(user) = &client.user {
            let caller = self.proxied(settings, user, credentials.rule);
            if let Err(refusal) = &caller {
                self.0.audit.record(AuditEvent::refused(user, client.address, refusal.word())).await;
            }
            return caller;
        }
        let name = client.login_of(headers).ok_or(Refusal::Unauthenticated)?;
        let lifetimes = (settings.idle_max, settings.age_max);
        let login = self.0.open.find(&name, lifetimes, Instant::now()).ok_or(Refusal::Unauthenticated)?;
        let judged = Judged { token: Some(login.token.expose()), service_token: None, ..credentials };
        match self.0.auth.judge(judged).await {
            Ok(caller) => Ok(Caller { admission: Admission::Login, ..caller }),
            // What stands for them is good no more: it was revoked, has expired, or lost its roles.
            Err(Refusal::Unauthenticated | Refusal::Forbidden) => {
                self.0.open.close(&name);
                Err(Refusal::Unauthenticated)
            }
            Err(Refusal::Unavailable) => Err(Refusal::Unavailable),
        }
    }
}

/// Whether a person waits for a page, and not a program for an answer.
fn requests_page(request: &Request) -> bool {
    let accepts = |headers: &HeaderMap| {
        let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
        Some(accept.contains("text/html"))
    };
    matches!(*request.method(), Method::GET | Method::HEAD) && accepts(request.headers()).unwrap_or(false)
}

/// Sends somebody to the login, and from there back.
fn to_login(request: &Request) -> Response {
    let uri = request.uri();
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let location = format!("{LOGIN}?back={}", encode(&format!("{}{query}", uri.path())));
    // Percent-encoded, so that it is a header; an address that is too long for one is left out.
    let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static(LOGIN));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// What one is shown is for no cache that others share.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.append(header::VARY, HeaderValue::from_static("Cookie, Authorization, X-Auth-Token"));
    response
}
