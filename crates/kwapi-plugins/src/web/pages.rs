//! What each address answers with.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::{Period, ProbeId, Timestamp, groups_of};
use kwapi_graph::{PNG_SCALE_MAX, Size, Theme};
use kwapi_history::journal::Position;

use super::answer::{self, Conditions, Content};
use super::chosen::Chosen;
use super::graphs::{Form, Graph, NoGraph, Subject};
use super::group::GroupView;
use super::overview::Seen;
use super::route::{FormFields, Target};
use super::used::Used;
use super::{Site, statics, words};
use crate::directory::MeterHealth;
use crate::http::percent::encode;
use range::RangeOf;

mod bills;
mod crumbs;
mod downloads;
mod facets;
mod flow;
mod group;
mod list;
mod meters;
mod one;
mod range;
mod search;
mod spans;
mod table;
mod tree;
mod view;

/// What every page has.
#[derive(Debug)]
pub(super) struct Layout {
    title: String,
    version: String,
    /// How often it renews itself, and how often while a stream shows its numbers, in seconds.
    refresh_seconds: u64,
    refresh_live_seconds: u64,
    /// When it was made, on the zone's wall clock.
    clock: String,
    zone: String,
    /// The period whose menu entry is marked, if any.
    current: Option<Period>,
    periods: [Period; 6],
    /// Whether probes are in groups that have pages.
    has_groups: bool,
    /// What to say when probes are simulated.
    demonstration: Option<&'static str>,
    readme: &'static str,
    /// Who has logged in, to be let out.
    login: Option<Arc<str>>,
    /// Whether there are bills.
    has_bills: bool,
    /// The address of this page, if it is one that every page leads to.
    here: &'static str,
    /// How many meters are troubled, to who sees everything.
    troubled: usize,
}

impl Layout {
    fn new(site: &Site, seen: &Seen, title: String, current: Option<Period>) -> Self {
        let refresh_seconds = site.settings.refresh_interval.as_secs().max(1);
        // Graphs of a period change when its next row is there.
        let row_seconds = current.map_or(refresh_seconds, Period::step_seconds);
        let now = site.clock.now();
        Self {
            title,
            version: statics::version(),
            refresh_live_seconds: row_seconds.min(REFRESH_LIVE_MAX).max(refresh_seconds),
            refresh_seconds,
            clock: words::instant(now, now, &site.settings.zone),
            zone: site.settings.zone.iana_name().unwrap_or("").to_owned(),
            current,
            periods: Period::ALL,
            has_groups: site.directory.groups().is_some()
                && seen.parts.iter().any(|probe| groups_of(probe).next().is_some()),
            demonstration: demonstration(&seen.all),
            readme: README,
            login: seen.login.clone(),
            has_bills: site.bills.is_some(),
            here: "",
            troubled: troubled(site, seen),
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass by reference")]
    fn is_current(&self, period: &Period) -> bool {
        self.current == Some(*period)
    }
}

/// However long the rows of its graphs are, a page that shows live numbers renews the rest as often as this, in seconds.
const REFRESH_LIVE_MAX: u64 = 60;

/// How many meters are not read, where that is the caller's to know.
fn troubled(site: &Site, seen: &Seen) -> usize {
    let meters = site.directory.meters().filter(|_| seen.is_everything).unwrap_or_default();
    meters.iter().filter(|meter| meter.health == MeterHealth::Troubled).count()
}

/// Where a page sends those who want to measure servers of their own.
const README: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "#a-real-wattmeter");

/// What a page says when probes are simulated: nobody takes a demonstration for their servers.
fn demonstration(probes: &[ProbeId]) -> Option<&'static str> {
    let simulated = probes.iter().filter(|probe| view::is_simulated(probe)).count();
    match simulated {
        0 => None,
        all if all == probes.len() => Some("Demonstration: the servers shown are simulated."),
        _ => Some("Demonstration: the probes marked “simulated” are not real servers."),
    }
}

/// Why there is nothing to show, and what there is.
#[derive(Debug, Template)]
#[template(path = "not_found.html")]
struct NotFound {
    layout: Layout,
    heading: &'static str,
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
    seen: &Seen,
    target: &Target,
    headers: &HeaderMap,
    chosen: &Chosen,
    conditions: &Conditions,
) -> Response {
    let now = site.clock.now();
    match target {
        Target::Root => answer::found("/last/minute/"),
        Target::Last(period, query) if range::is_asked(query) => {
            let used = site.graphs.used(&seen.all, &[], now);
            let since = site.probes.overall(seen, &used, now).since;
            range::answer(site, seen, RangeOf::Everything(*period, seen, since), query, now, conditions)
        }
        Target::Last(period, query) => list::answer(site, seen, *period, query, chosen, now, conditions),
        Target::Probe(probe, query) if seen.has(probe) && range::is_asked(query) => {
            range::answer(site, seen, RangeOf::Probe(probe), query, now, conditions)
        }
        Target::Probe(probe, query) if seen.has(probe) => {
            one::answer(site, seen, probe, query, chosen, now, conditions)
        }
        Target::Graph(period, Some(probe), query) if seen.has(probe) => {
            graph(site, seen, *period, &Of::Probe(probe), query, headers, now, conditions)
        }
        Target::Graph(period, None, query) => {
            graph(site, seen, *period, &Of::All, query, headers, now, conditions)
        }
        Target::Table(period, query) => table::answer(site, seen, *period, query, now, conditions),
        Target::Search(query) => search::answer(site, seen, query, conditions),
        Target::Meters(query) => meters::answer(site, seen, query, now, conditions),
        Target::Where(group, query) => flow::answer(site, seen, group.as_ref(), query, now, conditions),
        Target::Bills => bills::list(site, seen, now, conditions),
        Target::Bill(month, query) => bills::one(site, seen, month, query, now, conditions),
        Target::GroupGraph(period, name, query) => match super::group::view(site, seen, name, now) {
            Some(view) => graph(site, seen, *period, &Of::Group(name, view), query, headers, now, conditions),
            None => group::no_group(site, seen, name.as_str(), now, conditions),
        },
        Target::Groups(query) if group::is_list(query) => group::list(site, seen, query, now, conditions),
        Target::Groups(query) => tree::answer(site, seen, query, now, conditions),
        Target::Group(name, query) if range::is_asked(query) => {
            match super::group::view(site, seen, name, now) {
                Some(view) => {
                    let of = RangeOf::Group(name, &view.members, view.overall.since);
                    range::answer(site, seen, of, query, now, conditions)
                }
                None => group::no_group(site, seen, name.as_str(), now, conditions),
            }
        }
        Target::Group(name, query) => group::one(site, seen, name, query, now, conditions),
        Target::GroupRrd(name) => group::rrd_file(site, seen, name, now, conditions),
        Target::NoGroup(name) => group::no_group(site, seen, name, now, conditions),
        Target::Rrd(probe) if seen.has(probe) => rrd_file(site, seen, probe, now, conditions),
        Target::Probe(probe, _) | Target::Graph(_, Some(probe), _) | Target::Rrd(probe) => {
            no_probe(site, seen, probe.as_str(), conditions)
        }
        Target::Static(name, query) => static_file(site, seen, name, query, conditions),
        Target::NoPeriod(name) => {
            let periods = Period::ALL.map(|period| (period.label().to_owned(), format!("/last/{period}/")));
            not_found(
                site,
                seen,
                format!("Unknown period “{name}”. Available periods:"),
                periods.into(),
                0,
                conditions,
            )
        }
        Target::NoProbe(name) => no_probe(site, seen, name, conditions),
        Target::Nowhere | Target::Stream(_) | Target::Choose | Target::Login(_) | Target::Logout => {
            let start = ("The last five minutes".to_owned(), "/last/minute/".to_owned());
            not_found(site, seen, "Page not found.".to_owned(), vec![start], 0, conditions)
        }
    }
}

/// "There is no such probe", whether there is none or it is not the caller's to see.
fn no_probe(site: &Site, seen: &Seen, name: &str, conditions: &Conditions) -> Response {
    let probes = &seen.all;
    let wanted = name.to_lowercase();
    let like: Vec<&ProbeId> =
        probes.iter().filter(|probe| probe.as_str().to_lowercase().contains(&wanted)).collect();
    let (shown, of): (Vec<&ProbeId>, usize) = if like.is_empty() {
        (probes.iter().take(SUGGESTIONS_MAX).collect(), probes.len())
    } else {
        (like.iter().copied().take(SUGGESTIONS_MAX).collect(), like.len())
    };
    let what = match (like.is_empty(), probes.is_empty()) {
        (_, true) => format!("Unknown probe “{name}”; no data received yet."),
        (true, false) => format!("Unknown probe “{name}”. Available probes:"),
        (false, false) => format!("Unknown probe “{name}”. Similar probes:"),
    };
    let more = of - shown.len();
    let instead = shown.iter().map(|probe| (probe.to_string(), probe_path(probe))).collect();
    not_found(site, seen, what, instead, more, conditions)
}

fn not_found(
    site: &Site,
    seen: &Seen,
    what: String,
    instead: Vec<(String, String)>,
    more: usize,
    conditions: &Conditions,
) -> Response {
    let heading = "Not found";
    let layout = Layout::new(site, seen, heading.to_owned(), None);
    render(&NotFound { layout, heading, what, instead, more }, StatusCode::NOT_FOUND, None, conditions)
}

fn render(
    page: &impl Template,
    status: StatusCode,
    position: Option<Position>,
    conditions: &Conditions,
) -> Response {
    match page.render() {
        Ok(html) => Content::page(html, position).answer(status, conditions),
        Err(_) => answer::failed("cannot render the page"),
    }
}

fn probe_path(probe: &ProbeId) -> String {
    format!("/probe/{}/", encode(probe.as_str()))
}

fn group_path(group: &str) -> String {
    format!("/group/{}/", encode(group))
}

/// Of whom a graph is.
enum Of<'a> {
    All,
    Probe(&'a ProbeId),
    Group(&'a ProbeId, Arc<GroupView>),
}

/// `/graph/<period>/[<probe>/]`, `/graph/<period>/group/<group>/`: a PNG as ever, unless the request asks for SVG.
#[expect(clippy::too_many_arguments, reason = "all that a request says of a graph")]
fn graph(
    site: &Site,
    seen: &Seen,
    period: Period,
    of: &Of<'_>,
    query: &FormFields,
    headers: &HeaderMap,
    now: Timestamp,
    conditions: &Conditions,
) -> Response {
    let is_svg = match query.get("format") {
        None => accepts_svg_alone(headers),
        Some("svg") => true,
        Some("png") => false,
        Some(_) => return answer::bad_request("format must be png or svg"),
    };
    let size = if matches!(of, Of::All) { Size::SUMMARY } else { Size::PROBE };
    let form = match picture(query, is_svg, size) {
        Ok(form) => form,
        Err(why) => return answer::bad_request(&why),
    };
    let (drawn, used) = match of {
        Of::Probe(probe) => {
            let used = site.graphs.used(std::slice::from_ref(*probe), &[period], now);
            let energy = used.figure(probe, period);
            (site.graphs.one(&Subject::Probe((*probe).clone()), period, form, energy, now), used)
        }
        Of::Group(group, view) => {
            let subject = Subject::Group((*group).clone());
            (site.graphs.one(&subject, period, form, view.energy(period), now), view.used.clone())
        }
        Of::All => {
            let sum = site.graphs.sum(seen, period, now);
            let drawn = site.graphs.summary(&sum, seen, period, form).map(Some).map_err(NoGraph::from);
            (drawn, sum.used)
        }
    };
    let Graph { bytes, end, .. } = match drawn {
        Ok(Some(drawn)) => drawn,
        Ok(None) => {
            return match of {
                Of::Probe(probe) => no_probe(site, seen, probe.as_str(), conditions),
                Of::Group(group, _) => group::no_group(site, seen, group.as_str(), now, conditions),
                Of::All => answer::failed("cannot draw the graph"),
            };
        }
        Err(NoGraph::Unreadable(unreadable)) => return answer::unavailable(&unreadable.to_string()),
        Err(undrawn @ NoGraph::Undrawn(_)) => return answer::failed(&undrawn.to_string()),
    };
    let content = Content {
        kind: if is_svg { "image/svg+xml" } else { "image/png" },
        bytes,
        modified: Some(answer::changed(end, site.started)),
        cache_control: if seen.is_everything { "public, max-age=0" } else { "private, no-cache" },
        disposition: None,
        position: position(seen, &used),
    };
    content.answer(StatusCode::OK, conditions)
}

/// A picture alone, as `scale=` and `theme=` say.
///
/// # Errors
/// What these must be, where they are something else.
fn picture(query: &FormFields, is_svg: bool, size: Size) -> Result<Form, String> {
    let scale = match query.get("scale").map(str::parse) {
        None => 1,
        Some(Ok(scale @ 1..=PNG_SCALE_MAX)) => scale,
        Some(_) => return Err(format!("scale must be 1 to {PNG_SCALE_MAX}")),
    };
    let theme = match query.get("theme") {
        None => None,
        Some("light") => Some(Theme::Light),
        Some("dark") => Some(Theme::Dark),
        Some(_) => return Err("theme must be light or dark".to_owned()),
    };
    Ok(if is_svg {
        Form::Svg(size, theme.unwrap_or(Theme::Alone))
    } else {
        Form::Png(size, theme.unwrap_or(Theme::Light), scale)
    })
}

/// Whether SVG is wanted and no raster: a browser's `image/svg+xml,image/*` still gets the PNG the original sent.
fn accepts_svg_alone(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let named = |kind: &str| matches!(kind, "*/*" | "image/*" | "image/png");
    accept.contains("image/svg+xml") && !kinds.any(named)
}

fn rrd_file(site: &Site, seen: &Seen, probe: &ProbeId, now: Timestamp, conditions: &Conditions) -> Response {
    let file = match site.directory.rrd_file(probe) {
        Ok(Some(file)) => file,
        Ok(None) => return no_probe(site, seen, probe.as_str(), conditions),
        Err(unreadable) => return answer::unavailable(&unreadable.to_string()),
    };
    let latest = site.directory.now(probe);
    let content = Content {
        kind: "application/octet-stream",
        bytes: Bytes::from(file),
        modified: Some(latest.map_or(now, |latest| latest.at).seconds()),
        cache_control: "no-cache",
        disposition: Some(answer::attachment(&format!("{probe}.rrd"))),
        position: None,
    };
    content.answer(StatusCode::OK, conditions)
}

fn static_file(
    site: &Site,
    seen: &Seen,
    name: &str,
    query: &FormFields,
    conditions: &Conditions,
) -> Response {
    let Some(file) = statics::find(name) else {
        return not_found(site, seen, "Page not found.".to_owned(), Vec::new(), 0, conditions);
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
        position: None,
    };
    content.answer(StatusCode::OK, conditions)
}

/// The position in the journal of an answer; not where that would tell of probes that the caller does not see.
fn position(seen: &Seen, used: &Used) -> Option<Position> {
    used.position().filter(|_| seen.is_everything)
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
