//! What each address answers with.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{PNG_SCALE_MAX, Size, Theme};

use super::answer::{self, Asked, Content};
use super::chosen::Chosen;
use super::graphs::{Form, Graph, NoGraph};
use super::route::{Query, Target, encode};
use super::{Site, statics};

mod list;
mod one;
mod view;

/// What every page has.
#[derive(Debug)]
pub(super) struct Layout {
    title: String,
    version: String,
    refresh_seconds: u64,
    zone: String,
    /// The period whose menu entry is marked, if any.
    current: Option<Period>,
    periods: [Period; 6],
    /// What to say when probes are simulated.
    demonstration: Option<&'static str>,
    readme: &'static str,
}

impl Layout {
    fn new(site: &Site, title: String, current: Option<Period>) -> Self {
        Self {
            title,
            version: statics::version(),
            refresh_seconds: site.settings.refresh_interval.as_secs().max(1),
            zone: site.settings.zone.iana_name().unwrap_or("").to_owned(),
            current,
            periods: Period::ALL,
            demonstration: demonstration(&site.probes.sorted()),
            readme: README,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass by reference")]
    fn is_current(&self, period: &Period) -> bool {
        self.current == Some(*period)
    }
}

/// Where a page sends those who want to measure servers of their own.
const README: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "#a-real-wattmeter");

/// What a page says when probes are simulated: nobody takes a demonstration for their servers.
fn demonstration(probes: &[ProbeId]) -> Option<&'static str> {
    let simulated = probes.iter().filter(|probe| view::is_simulated(probe)).count();
    match simulated {
        0 => None,
        all if all == probes.len() => Some("This is a demonstration: the servers shown are simulated."),
        _ => Some("This is a demonstration: the probes marked simulated are no real servers."),
    }
}

/// "There is no such thing", and what there is.
#[derive(Debug, Template)]
#[template(path = "not_found.html")]
struct NotFound {
    layout: Layout,
    what: String,
    /// Words and address of what there is.
    instead: Vec<(String, String)>,
    more: usize,
}

/// How many probes a page that found none suggests.
const SUGGESTIONS_MAX: usize = 20;

/// Answers a GET or HEAD.
pub(super) fn answer(
    site: &Site,
    target: &Target,
    headers: &HeaderMap,
    chosen: &Chosen,
    asked: &Asked,
) -> Response {
    let now = site.clock.now();
    match target {
        Target::Root => answer::found("/last/minute/"),
        Target::Last(period, query) => list::answer(site, *period, query, chosen, now, asked),
        Target::Probe(probe) if known(site, probe) => one::answer(site, probe, chosen, now, asked),
        Target::Probe(probe) => no_probe(site, probe.as_str(), asked),
        Target::Graph(period, probe, query) => {
            graph(site, *period, probe.as_ref(), query, headers, now, asked)
        }
        Target::Rrd(probe) => rrd_file(site, probe, now, asked),
        Target::Static(name, query) => static_file(site, name, query, asked),
        Target::NoPeriod(name) => {
            let periods = Period::ALL.map(|period| (period.label().to_owned(), format!("/last/{period}/")));
            not_found(site, format!("There is no period “{name}”. There are:"), periods.into(), 0, asked)
        }
        Target::NoProbe(name) => no_probe(site, name, asked),
        Target::Nowhere | Target::Choose => {
            let start = ("The last five minutes".to_owned(), "/last/minute/".to_owned());
            not_found(site, "There is nothing at this address.".to_owned(), vec![start], 0, asked)
        }
    }
}

fn known(site: &Site, probe: &ProbeId) -> bool {
    site.probes.sorted().contains(probe)
}

fn no_probe(site: &Site, name: &str, asked: &Asked) -> Response {
    let probes = site.probes.sorted();
    let wanted = name.to_lowercase();
    let like: Vec<&ProbeId> =
        probes.iter().filter(|probe| probe.as_str().to_lowercase().contains(&wanted)).collect();
    let (shown, of): (Vec<&ProbeId>, usize) = if like.is_empty() {
        (probes.iter().take(SUGGESTIONS_MAX).collect(), probes.len())
    } else {
        (like.iter().copied().take(SUGGESTIONS_MAX).collect(), like.len())
    };
    let what = match (like.is_empty(), probes.is_empty()) {
        (_, true) => format!("There is no probe “{name}”: nothing has been measured yet."),
        (true, false) => format!("There is no probe “{name}”. There are:"),
        (false, false) => format!("There is no probe “{name}”. Its name is part of:"),
    };
    let more = of - shown.len();
    let instead = shown.iter().map(|probe| (probe.to_string(), probe_path(probe))).collect();
    not_found(site, what, instead, more, asked)
}

fn not_found(
    site: &Site,
    what: String,
    instead: Vec<(String, String)>,
    more: usize,
    asked: &Asked,
) -> Response {
    let layout = Layout::new(site, "Not found".to_owned(), None);
    render(&NotFound { layout, what, instead, more }, StatusCode::NOT_FOUND, asked)
}

fn render(page: &impl Template, status: StatusCode, asked: &Asked) -> Response {
    match page.render() {
        Ok(html) => Content::page(html).answer(status, asked),
        Err(_) => answer::failed("the page could not be written"),
    }
}

fn probe_path(probe: &ProbeId) -> String {
    format!("/probe/{}/", encode(probe.as_str()))
}

/// `/graph/<period>/[<probe>/]`: a PNG as ever, unless the request asks for SVG.
fn graph(
    site: &Site,
    period: Period,
    probe: Option<&ProbeId>,
    query: &Query,
    headers: &HeaderMap,
    now: Timestamp,
    asked: &Asked,
) -> Response {
    let is_svg = match query.get("format") {
        None => accepts_svg_alone(headers),
        Some("svg") => true,
        Some("png") => false,
        Some(_) => return answer::bad_request("there are format=png and format=svg"),
    };
    let scale = match query.get("scale").map(str::parse) {
        None => 1,
        Some(Ok(scale @ 1..=PNG_SCALE_MAX)) => scale,
        Some(_) => return answer::bad_request(&format!("scale is 1 to {PNG_SCALE_MAX}")),
    };
    let theme = match query.get("theme") {
        None => None,
        Some("light") => Some(Theme::Light),
        Some("dark") => Some(Theme::Dark),
        Some(_) => return answer::bad_request("there are theme=light and theme=dark"),
    };
    let size = if probe.is_some() { Size::PROBE } else { Size::SUMMARY };
    let form = if is_svg {
        Form::Svg(size, theme.unwrap_or(Theme::Alone))
    } else {
        Form::Png(size, theme.unwrap_or(Theme::Light), scale)
    };
    let drawn = match probe {
        Some(probe) => match site.graphs.probe(probe, period, form, now) {
            Ok(Some(drawn)) => Ok(drawn),
            Ok(None) => return no_probe(site, probe.as_str(), asked),
            Err(error) => Err(error),
        },
        None => site.graphs.summary(&site.probes.parts(), period, form, now).map_err(NoGraph::from),
    };
    let Graph { bytes, end, .. } = match drawn {
        Ok(drawn) => drawn,
        Err(NoGraph::Unreadable(unreadable)) => return answer::unavailable(&unreadable.to_string()),
        Err(undrawn @ NoGraph::Undrawn(_)) => return answer::failed(&undrawn.to_string()),
    };
    let content = Content {
        kind: if is_svg { "image/svg+xml" } else { "image/png" },
        bytes,
        modified: Some(answer::changed(end, site.started)),
        cache_control: "public, max-age=0",
        disposition: None,
    };
    content.answer(StatusCode::OK, asked)
}

/// Whether SVG is wanted and no raster: a browser's `image/svg+xml,image/*` still gets the PNG the original sent.
fn accepts_svg_alone(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let named = |kind: &str| matches!(kind, "*/*" | "image/*" | "image/png");
    accept.contains("image/svg+xml") && !kinds.any(named)
}

fn rrd_file(site: &Site, probe: &ProbeId, now: Timestamp, asked: &Asked) -> Response {
    let file = match site.graphs.history().rrd_file(probe) {
        Ok(Some(file)) => file,
        Ok(None) => return no_probe(site, probe.as_str(), asked),
        Err(unreadable) => return answer::unavailable(&unreadable.to_string()),
    };
    let latest = site.graphs.history().latest(probe);
    let content = Content {
        kind: "application/octet-stream",
        bytes: Bytes::from(file),
        modified: Some(latest.map_or(now, |latest| latest.at).seconds()),
        cache_control: "no-cache",
        disposition: Some(answer::attachment(&format!("{probe}.rrd"))),
    };
    content.answer(StatusCode::OK, asked)
}

fn static_file(site: &Site, name: &str, query: &Query, asked: &Asked) -> Response {
    let Some(file) = statics::find(name) else {
        return not_found(site, "There is nothing at this address.".to_owned(), Vec::new(), 0, asked);
    };
    let is_this_version = query.get("v").is_some_and(|version| version == statics::version());
    let content = Content {
        kind: file.kind,
        bytes: Bytes::from_static(file.bytes),
        modified: Some(site.started.seconds()),
        cache_control: if is_this_version {
            "public, max-age=31536000, immutable"
        } else {
            "public, max-age=0"
        },
        disposition: None,
    };
    content.answer(StatusCode::OK, asked)
}

/// A drawing's text, to go into a page.
fn inline(graph: &Graph) -> String {
    String::from_utf8_lossy(&graph.bytes).into_owned()
}

/// All ids that contain `filter`, whatever the case.
fn filtered(probes: &Arc<[ProbeId]>, filter: &str) -> Vec<ProbeId> {
    let filter = filter.to_lowercase();
    probes.iter().filter(|probe| probe.as_str().to_lowercase().contains(&filter)).cloned().collect()
}
