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

/// A GET or HEAD: who requests it, when, and what the client has of it already.
#[derive(Debug)]
pub(super) struct PageRequest<'a> {
    pub(super) site: &'a Site,
    pub(super) seen: &'a Seen,
    pub(super) now: Timestamp,
    pub(super) headers: &'a HeaderMap,
    pub(super) chosen: &'a Chosen,
    pub(super) conditions: &'a Conditions,
}

/// Answers it.
pub(super) fn answer(request: &PageRequest<'_>, target: &Target) -> Response {
    let PageRequest { site, seen, now, .. } = *request;
    match target {
        Target::Root => answer::found("/last/minute/"),
        Target::Last(period, query) if range::is_requested(query) => {
            let used = site.graphs.used(&seen.all, &[], now);
            let since = site.probes.overall(seen, &used, now).since;
            range::answer(request, RangeOf::Everything(*period, seen, since), query)
        }
        Target::Last(period, query) => list::answer(request, *period, query),
        Target::Probe(probe, query) if seen.has(probe) && range::is_requested(query) => {
            range::answer(request, RangeOf::Probe(probe), query)
        }
        Target::Probe(probe, query) if seen.has(probe) => one::answer(request, probe, query),
        Target::Graph(period, Some(probe), query) if seen.has(probe) => {
            graph(request, *period, &Of::Probe(probe), query)
        }
        Target::Graph(period, None, query) => graph(request, *period, &Of::All, query),
        Target::Table(period, query) => table::answer(request, *period, query),
        Target::Search(query) => search::answer(request, query),
        Target::Meters(query) => meters::answer(request, query),
        Target::Where(group, query) => flow::answer(request, group.as_ref(), query),
        Target::Bills => bills::list(request),
        Target::Bill(month, query) => bills::one(request, month, query),
        Target::GroupGraph(period, name, query) => match super::group::view(site, seen, name, now) {
            Some(view) => graph(request, *period, &Of::Group(name, view), query),
            None => group::no_group(request, name.as_str()),
        },
        Target::Groups(query) if group::is_list(query) => group::list(request, query),
        Target::Groups(query) => tree::answer(request, query),
        Target::Group(name, query) if range::is_requested(query) => {
            match super::group::view(site, seen, name, now) {
                Some(view) => {
                    let of = RangeOf::Group(name, &view.members, view.overall.since);
                    range::answer(request, of, query)
                }
                None => group::no_group(request, name.as_str()),
            }
        }
        Target::Group(name, query) => group::one(request, name, query),
        Target::GroupRrd(name) => group::rrd_file(request, name),
        Target::NoGroup(name) => group::no_group(request, name),
        Target::Rrd(probe) if seen.has(probe) => rrd_file(request, probe),
        Target::Probe(probe, _) | Target::Graph(_, Some(probe), _) | Target::Rrd(probe) => {
            no_probe(request, probe.as_str())
        }
        Target::Static(name, query) => static_file(request, name, query),
        Target::NoPeriod(name) => {
            let periods = Period::ALL.map(|period| (period.label().to_owned(), format!("/last/{period}/")));
            not_found(request, format!("Unknown period “{name}”. Available periods:"), periods.into(), 0)
        }
        Target::NoProbe(name) => no_probe(request, name),
        Target::Nowhere | Target::Stream(_) | Target::Choose | Target::Login(_) | Target::Logout => {
            let start = ("The last five minutes".to_owned(), "/last/minute/".to_owned());
            not_found(request, "Page not found.".to_owned(), vec![start], 0)
        }
    }
}

/// "There is no such probe", whether there is none or it is not the caller's to see.
fn no_probe(request: &PageRequest<'_>, name: &str) -> Response {
    let PageRequest { seen, .. } = *request;
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
    not_found(request, what, instead, more)
}

fn not_found(
    request: &PageRequest<'_>,
    what: String,
    instead: Vec<(String, String)>,
    more: usize,
) -> Response {
    let PageRequest { site, seen, conditions, .. } = *request;
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

fn rrd_file(request: &PageRequest<'_>, probe: &ProbeId) -> Response {
    let PageRequest { site, now, conditions, .. } = *request;
    let file = match site.directory.rrd_file(probe) {
        Ok(Some(file)) => file,
        Ok(None) => return no_probe(request, probe.as_str()),
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

fn static_file(request: &PageRequest<'_>, name: &str, query: &FormFields) -> Response {
    let PageRequest { site, conditions, .. } = *request;
    let Some(file) = statics::find(name) else {
        return not_found(request, "Page not found.".to_owned(), Vec::new(), 0);
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

/// The position in the journal of an answer; not where that would disclose probes that the caller does not see.
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
