//! What each address answers with.

use std::sync::Arc;

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_history::journal::Position;

use super::answer::{self, Conditions, Content};
use super::chosen::Chosen;
use super::graphs::Graph;
use super::overview::Seen;
use super::route::{FormFields, Target};
use super::used::Used;
use super::{Site, statics};
use crate::http::percent::encode;
pub(super) use events::{NodeEvent, group_in_event, node_in_event};
pub(super) use layout::Layout;
use picture::{Of, graph};
use range::RangeOf;

mod bills;
mod crumbs;
mod downloads;
mod events;
mod facets;
mod flow;
mod group;
mod layout;
mod list;
mod meters;
mod one;
mod picture;
mod range;
mod search;
mod spans;
mod table;
mod tree;
mod troubles;
mod view;

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
        Target::Last(period, query) if range::is_requested(query) => {
            let used = site.graphs.used(&seen.all, &[], now);
            let since = site.probes.overall(seen, &used, now).since;
            range::answer(site, seen, RangeOf::Everything(*period, seen, since), query, now, conditions)
        }
        Target::Last(period, query) => list::answer(site, seen, *period, query, chosen, now, conditions),
        Target::Probe(probe, query) if seen.has(probe) && range::is_requested(query) => {
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
        Target::Group(name, query) if range::is_requested(query) => {
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
