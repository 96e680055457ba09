//! `/login/` and `/logout/`.

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use kwapi_core::Secret;

use super::answer::{self, Conditions, Content};
use super::route::{self, FormFields};
use super::statics;
use crate::auth::{Client, LoginForm, Logins, NotLoggedIn};

/// The longest form: a token of Keystone's, percent-encoded.
const FORM_BYTES_MAX: usize = 32 << 10;
/// Where one goes from the login, unless a page has sent them there.
const START: &str = "/last/minute/";

/// The page with both forms.
#[derive(Debug, Default, Template)]
#[template(path = "login.html")]
struct LoginPage {
    version: String,
    /// What this server is called, as the visitor does.
    host: String,
    /// Where to go from here.
    back: String,
    has_keystone: bool,
    /// What they filled in before.
    user: String,
    domain: String,
    project: String,
    /// Why they are not logged in.
    alert: Option<String>,
    /// What has become of their login.
    note: Option<&'static str>,
}

impl LoginPage {
    fn new(logins: &Logins, parts: &Parts, fields: &FormFields) -> Self {
        let back = fields.get("back").filter(|back| route::is_page(back)).unwrap_or(START);
        let text = |name: &str| fields.get(name).unwrap_or_default().trim().to_owned();
        let host = parts.extensions.get::<Client>().and_then(|client| client.host.clone());
        Self {
            version: statics::version(),
            host: host.unwrap_or_default(),
            back: back.to_owned(),
            has_keystone: logins.has_keystone(),
            user: text("user"),
            domain: text("domain"),
            project: text("project"),
            ..Self::default()
        }
    }

    fn answer(&self, status: StatusCode, conditions: &Conditions) -> Response {
        match self.render() {
            Ok(html) => {
                let page = Content { cache_control: "no-store", ..Content::page(html, None) };
                page.answer(status, conditions)
            }
            Err(_) => answer::failed("cannot render the page"),
        }
    }
}

/// The page to log in at.
pub(super) fn page(logins: &Logins, parts: &Parts, query: &FormFields, conditions: &Conditions) -> Response {
    let note = query.get("out").is_some().then_some("You are logged out.");
    LoginPage { note, ..LoginPage::new(logins, parts, query) }.answer(StatusCode::OK, conditions)
}

/// Logs in who has filled in a form, and sends them on.
pub(super) async fn log_in(logins: &Logins, parts: &Parts, body: Body) -> Response {
    let Ok(form) = to_bytes(body, FORM_BYTES_MAX).await else {
        return answer::bad_request("form too large");
    };
    let fields = FormFields::parse(&String::from_utf8_lossy(&form));
    let page = LoginPage::new(logins, parts, &fields);
    let Some(client) = parts.extensions.get::<Client>() else { return answer::failed("no client") };
    let secret = |name: &str| Secret::new(fields.get(name).unwrap_or_default());
    let is_password = fields.get("user").is_some();
    let form = if is_password {
        let (user, domain, project) = (page.user.clone(), page.domain.clone(), page.project.clone());
        LoginForm::Password { user, domain, password: secret("password"), project }
    } else {
        LoginForm::Token(Secret::new(secret("token").expose().trim()))
    };
    match logins.log_in(client, form).await {
        Ok(cookie) => {
            // A login that this browser had before is not left behind.
            logins.end(client, &parts.headers);
            with_cookie(answer::see_other(&page.back), Some(cookie))
        }
        Err(why) => refuse(page, &why, is_password),
    }
}

/// The page again, with what went wrong.
fn refuse(page: LoginPage, why: &NotLoggedIn, is_password: bool) -> Response {
    let mut wait_seconds = None;
    let (status, alert) = match why {
        NotLoggedIn::Wait(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            wait_seconds = Some(seconds);
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many attempts. Try again in {seconds} s."))
        }
        NotLoggedIn::InClear => (
            StatusCode::FORBIDDEN,
            "This connection is not encrypted: others could read the password. Open this page with https."
                .to_owned(),
        ),
        NotLoggedIn::Unknown if is_password => {
            (StatusCode::UNAUTHORIZED, "This user name and password do not match.".to_owned())
        }
        NotLoggedIn::Unknown => {
            (StatusCode::UNAUTHORIZED, "This token is not known, or has ended.".to_owned())
        }
        NotLoggedIn::Forbidden => {
            (StatusCode::FORBIDDEN, "You are known here, and are not permitted to read.".to_owned())
        }
        NotLoggedIn::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "Keystone is unreachable. Try again in a moment.".to_owned())
        }
        NotLoggedIn::Project(projects) if projects.is_empty() => {
            (StatusCode::FORBIDDEN, "This user has no project.".to_owned())
        }
        NotLoggedIn::Project(projects) => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("Which project? {}", projects.join(", ")))
        }
    };
    let page = LoginPage { alert: Some(alert), ..page };
    let mut response = page.answer(status, &Conditions::default());
    if let Some(Ok(seconds)) = wait_seconds.map(|seconds| HeaderValue::try_from(seconds.to_string())) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Ends the login of this browser.
pub(super) async fn log_out(logins: &Logins, parts: &Parts) -> Response {
    let cookie = match parts.extensions.get::<Client>() {
        Some(client) => logins.log_out(client, &parts.headers).await,
        None => None,
    };
    with_cookie(answer::see_other("/login/?out"), cookie)
}

fn with_cookie(mut response: Response, cookie: Option<String>) -> Response {
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
