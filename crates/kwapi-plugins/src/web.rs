//! The RRD plugin's web pages: watts, graphs, energy and cost, over the seed's routes.
//!
//! Nothing listens here: [`router`] is served by the binary. Every answer is made of the probes that the caller sees. What the pages show comes from the [`Directory`]; whatever
//! reads the disk runs on blocking threads, a bounded number at a time. One page serves ten probes and a hundred
//! thousand: it shows a page of them, and totals over all. It loads nothing from elsewhere and works without scripts.

mod answer;
mod chosen;
mod flow;
mod graphs;
mod group;
mod login;
mod marks;
mod overview;
mod pages;
mod range;
mod route;
mod selection;
mod silent;
mod statics;
mod streams;
mod tree;
mod used;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use jiff::tz::TimeZone;
use kwapi_core::{ProbeId, Timestamp, WallClock};
use kwapi_graph::{HUE_DEFAULT, Tariff};
use tokio::sync::Semaphore;

use crate::auth::{Caller, Logins, behind_login, caller_of, scope_of};
use crate::bills::Bills;
use crate::directory::Directory;
use crate::http::READ;
use crate::scope::Scope;
use answer::Conditions;
use flow::answers::FlowAnswers;
use graphs::Graphs;
use group::GroupViews;
use overview::{Probes, Seen};
use route::{Target, WebRoute};

pub use route::ROUTES;
pub use streams::LiveStreams;

/// The longest form a page sends: one probe id and where to return to.
const FORM_BYTES_MAX: usize = 4_096;
/// Drawings and page views made at once. More wait their turn: they would only fight for the same cores.
const WORKERS: usize = 4;

/// What an operator configures of the pages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often an open page renews itself.
    pub refresh_interval: Duration,
    /// What a kilowatt-hour costs; `None` shows no cost.
    pub tariff: Option<Tariff>,
    /// Zone of every time shown.
    pub zone: TimeZone,
    /// Hue of the stacked probes, in degrees.
    pub hue: f64,
    /// Top of the power axis of a probe's graph in watts; `None` follows the data.
    pub power_max: Option<f64>,
    /// How many bytes of finished graphs are kept. Full: those unused for longest are dropped.
    pub cache_bytes_max: usize,
    /// The streams of open pages: how many there may be, and what is counted of them.
    pub streams: LiveStreams,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(5),
            tariff: None,
            zone: TimeZone::UTC,
            hue: HUE_DEFAULT,
            power_max: None,
            cache_bytes_max: 64 << 20,
            streams: LiveStreams::default(),
        }
    }
}

/// What pages are made of.
#[derive(Clone)]
pub struct PageSources {
    /// What is known of probes.
    pub directory: Directory,
    /// Bills, where this process serves some.
    pub bills: Option<Bills>,
    /// What keeps measurements from being received, where this process receives any; shown to who sees everything.
    pub reception: Option<ReceptionProblems>,
}

/// What keeps measurements from being received, a line each.
pub type ReceptionProblems = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

impl fmt::Debug for PageSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageSources").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl From<Directory> for PageSources {
    /// Without bills, where nothing is received.
    fn from(directory: Directory) -> Self {
        Self { directory, bills: None, reception: None }
    }
}

/// What every request is answered from.
struct Site {
    settings: Settings,
    directory: Directory,
    bills: Option<Bills>,
    reception: Option<ReceptionProblems>,
    probes: Probes,
    graphs: Graphs,
    groups: GroupViews,
    flows: FlowAnswers,
    clock: WallClock,
    started: Timestamp,
    workers: Semaphore,
    /// Where people have to log in.
    logins: Option<Logins>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The pages of the probes that have a history in the directory of `sources`, ready to be served. Labels stand on a probe's own page; sums
/// of others are shown like any probe but are no part of the summary and of totals. With `logins`, only who has logged in gets
/// any, of the probes that they may see.
pub fn router(
    sources: impl Into<PageSources>,
    settings: Settings,
    clock: WallClock,
    logins: Option<Logins>,
) -> Router {
    let PageSources { directory, bills, reception } = sources.into();
    let site = Arc::new(Site {
        probes: Probes::new(directory.clone()),
        graphs: Graphs::new(directory.clone(), settings.clone()),
        groups: GroupViews::default(),
        flows: FlowAnswers::default(),
        directory,
        bills,
        reception,
        started: clock.now(),
        workers: Semaphore::new(WORKERS),
        settings,
        clock,
        logins: logins.clone(),
    });
    let router = Router::new().fallback(handle).with_state(site);
    match logins {
        Some(logins) => behind_login(router, logins, ROUTES),
        None => router,
    }
}

async fn handle(State(site): State<Arc<Site>>, request: Request) -> Response {
    let viewer = Viewer::of(&request);
    let (parts, body) = request.into_parts();
    let (target, methods) = match route::route(parts.uri.path(), parts.uri.query()) {
        WebRoute::To(target, methods) => (target, methods),
        WebRoute::Moved(location, _) if is_read(&parts.method) => {
            return answer::moved_permanently(&location);
        }
        WebRoute::Moved(_, methods) => return answer::method_not_allowed(methods),
    };
    let target = match (target, &site.logins) {
        (Target::Login(_) | Target::Logout, None) => Target::Nowhere,
        (target, _) => target,
    };
    let conditions = Conditions::of(&parts.method, &parts.headers);
    match (target, &parts.method, &site.logins) {
        (Target::Nowhere, method, _) if !is_read(method) => answer::method_not_allowed(READ),
        (_, &Method::OPTIONS, _) => answer::options(methods),
        (Target::Choose, &Method::POST, _) => choose(&parts.headers, body).await,
        (Target::Login(_), &Method::POST, Some(logins)) => login::log_in(logins, &parts, body).await,
        (Target::Login(query), method, Some(logins)) if is_read(method) => {
            login::page(logins, &parts, &query, &conditions)
        }
        (Target::Logout, &Method::POST, Some(logins)) => login::log_out(logins, &parts).await,
        (Target::Choose | Target::Login(_) | Target::Logout, _, _) => answer::method_not_allowed(methods),
        (Target::Stream(query), method, _) if is_read(method) => {
            streams::answer(&site, &parts, &query, viewer)
        }
        (target, method, _) if is_read(method) => read(site, target, parts.headers, conditions, viewer).await,
        _ => answer::method_not_allowed(methods),
    }
}

/// Who looks at a page.
#[derive(Clone, Debug)]
struct Viewer {
    /// What they may see.
    scope: Scope,
    /// Their name, where it was requested.
    name: Option<Arc<str>>,
    /// The same, where they have a login that they can end.
    login: Option<Arc<str>>,
}

impl Viewer {
    fn of(request: &Request) -> Self {
        let (name, has_login) = caller_of(request).map(Caller::name).unzip();
        let name = name.cloned();
        let login = name.clone().filter(|_| has_login == Some(true));
        Self { scope: scope_of(request), name, login }
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Answers a GET or HEAD on a blocking thread.
async fn read(
    site: Arc<Site>,
    target: Target,
    headers: HeaderMap,
    conditions: Conditions,
    viewer: Viewer,
) -> Response {
    let Ok(_turn) = site.workers.acquire().await else { return answer::failed("shutting down") };
    let site = Arc::clone(&site);
    let answered = tokio::task::spawn_blocking(move || {
        let request = pages::PageRequest {
            site: &site,
            seen: &Seen { login: viewer.login, ..site.probes.seen(&viewer.scope) },
            now: site.clock.now(),
            headers: &headers,
            chosen: &chosen::Chosen::from_headers(&headers),
            conditions: &conditions,
        };
        pages::answer(&request, &target)
    });
    answered.await.unwrap_or_else(|_| answer::failed("cannot render the page"))
}

/// Adds a probe to the cookie of chosen ones, or takes it out, and returns to the page.
async fn choose(headers: &HeaderMap, body: Body) -> Response {
    let Ok(form) = to_bytes(body, FORM_BYTES_MAX).await else {
        return answer::bad_request("form too large");
    };
    let form = route::FormFields::parse(&String::from_utf8_lossy(&form));
    let mut chosen = chosen::Chosen::from_headers(headers);
    if let Some(probe) = form.get("probe").and_then(|probe| ProbeId::new(probe).ok()) {
        chosen.toggle(probe);
    }
    if form.get("clear").is_some() {
        chosen = chosen::Chosen::default();
    }
    // Only a path of this site: a form elsewhere must not use us to send its reader on.
    let back = form.get("back").filter(|back| route::is_page(back)).unwrap_or("/last/minute/");
    let mut response = answer::see_other(back);
    if let Ok(cookie) = chosen.to_cookie().parse() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests;
