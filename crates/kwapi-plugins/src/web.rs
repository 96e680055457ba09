//! The RRD plugin's web pages: watts, graphs, energy and cost, over the seed's routes.
//!
//! Nothing listens here: [`router`] is served by the binary. Every answer is made of the probes that the caller sees. What the pages show comes through [`PowerHistory`]; whatever
//! asks the disk runs on blocking threads, a bounded number at a time. One page serves ten probes and a hundred thousand: it shows
//! a page of them, and totals over all. It loads nothing from elsewhere and works without scripts.

mod answer;
mod chosen;
mod graphs;
mod overview;
mod pages;
mod route;
mod statics;
mod stored;
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
use kwapi_core::{Period, ProbeId, Quality, Series, Timestamp, Totals, WallClock, Watts};
use kwapi_graph::{HUE_DEFAULT, Tariff};
use kwapi_history::WindowsAnswer;
use tokio::sync::Semaphore;

use crate::auth::scope_of;
use crate::directory::Directory;
use crate::scope::Scope;
use answer::Conditions;
use graphs::Graphs;
use overview::Probes;
use route::{Target, WebRoute};

pub use route::ROUTES;
pub use stored::{Accounted, Stored};

/// The longest form a page sends: one probe id and where to return to.
const FORM_BYTES_MAX: usize = 4_096;
/// Drawings and page views made at once. More wait their turn: they would only fight for the same cores.
const WORKERS: usize = 4;

/// Where the pages get what they show. Calls may read the disk.
pub trait PowerHistory: Send + Sync + 'static {
    /// Every probe there is, in any order.
    fn probes(&self) -> Vec<ProbeId>;

    /// The archive that serves `period`, as it stands at `now` (Unix seconds); `None` when the probe is not known.
    ///
    /// # Errors
    /// When there is history and it cannot be read.
    fn fetch(&self, probe: &ProbeId, period: Period, now: u64) -> Result<Option<Series>, Unreadable>;

    /// The least and the most power of any second of `period`, where more than the averages of [`PowerHistory::fetch`]
    /// is known.
    fn extremes(&self, probe: &ProbeId, period: Period, now: u64) -> Option<(Watts, Watts)>;

    /// What the accounts of `probes` have come to, and what they used in each of `windows` (begin and end), at one position
    /// in the journal; `None` where no ledger is kept: then rows tell what was used.
    fn used(
        &self,
        probes: &[ProbeId],
        windows: &[(Timestamp, Timestamp)],
        now: Timestamp,
    ) -> Option<WindowsAnswer> {
        _ = (probes, windows, now);
        None
    }

    /// The probe's RRD file with everything in it; `None` when the probe is not known.
    ///
    /// # Errors
    /// When there is history and it cannot be read.
    fn rrd_file(&self, probe: &ProbeId) -> Result<Option<Vec<u8>>, Unreadable>;

    /// The newest measurement; `None` before the first.
    fn latest(&self, probe: &ProbeId) -> Option<ProbeNow>;

    /// When that was.
    fn newest(&self, probe: &ProbeId) -> Option<Timestamp> {
        self.latest(probe).map(|latest| latest.at)
    }
}

/// A probe's history is there and cannot be read: not the same as none.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read the history of {probe}: {cause}")]
pub struct Unreadable {
    /// Whose.
    pub probe: ProbeId,
    /// Why, with its causes, on one line.
    pub cause: String,
}

/// What is known of a probe right now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeNow {
    /// The newest power.
    pub power: Watts,
    /// When it was measured.
    pub at: Timestamp,
    /// How it came about.
    pub quality: Quality,
    /// Whether the probe is silent: `power` is not that of now.
    pub is_silent: bool,
    /// Energy so far; `None` where nobody keeps an account.
    pub account: Option<EnergySince>,
}

/// An energy total that says since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EnergySince {
    /// Where it counts from.
    pub since: Timestamp,
    /// What it reaches to where that is before the present power, since the disk takes nothing; else `None`.
    pub until: Option<Timestamp>,
    /// Energy and the make-up of its time.
    pub totals: Totals,
}

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
    /// What probes are: their labels stand on their own pages, and sums of others are shown like any but are no part of the
    /// summary and of totals.
    pub directory: Directory,
    /// How many bytes of finished graphs are kept. Full: those unused for longest are dropped.
    pub cache_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh_interval: Duration::from_secs(5),
            tariff: None,
            zone: TimeZone::UTC,
            hue: HUE_DEFAULT,
            power_max: None,
            directory: Directory::default(),
            cache_bytes_max: 64 << 20,
        }
    }
}

/// What every request is answered from.
struct Site {
    settings: Settings,
    probes: Probes,
    graphs: Graphs,
    clock: WallClock,
    started: Timestamp,
    workers: Semaphore,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The pages, ready to be served.
pub fn router(history: Arc<dyn PowerHistory>, settings: Settings, clock: WallClock) -> Router {
    let site = Arc::new(Site {
        probes: Probes::new(Arc::clone(&history), settings.directory.clone()),
        graphs: Graphs::new(history, settings.clone()),
        started: clock.now(),
        workers: Semaphore::new(WORKERS),
        settings,
        clock,
    });
    Router::new().fallback(handle).with_state(site)
}

async fn handle(State(site): State<Arc<Site>>, request: Request) -> Response {
    let scope = scope_of(&request);
    let (parts, body) = request.into_parts();
    let (target, methods) = match route::route(parts.uri.path(), parts.uri.query()) {
        WebRoute::To(target, methods) => (target, methods),
        WebRoute::Moved(location, _) if is_read(&parts.method) => {
            return answer::moved_permanently(&location);
        }
        WebRoute::Moved(_, methods) => return answer::method_not_allowed(methods),
    };
    let is_form = target == Target::Choose;
    match &parts.method {
        &Method::OPTIONS => answer::options(methods),
        &Method::POST if is_form => choose(&parts.headers, body).await,
        method if is_read(method) && !is_form => {
            let conditions = Conditions::of(&parts.method, &parts.headers);
            read(site, target, parts.headers, conditions, scope).await
        }
        _ => answer::method_not_allowed(methods),
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
    scope: Scope,
) -> Response {
    let Ok(_turn) = site.workers.acquire().await else { return answer::failed("shutting down") };
    let site = Arc::clone(&site);
    let answered = tokio::task::spawn_blocking(move || {
        let cookie = chosen::Chosen::from_headers(&headers);
        let seen = site.probes.seen(&scope);
        pages::answer(&site, &seen, &target, &headers, &cookie, &conditions)
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
