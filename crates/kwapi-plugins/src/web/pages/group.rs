//! `/groups/` and `/group/<group>/`: the groups there are, and one of them with its members and all its graphs.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{watts_text, watts_texts};

use super::super::answer::{self, Content};
use super::super::graphs::Subject;
use super::super::group::{self, GroupView};
use super::super::overview::Seen;
use super::super::route::FormFields;
use super::super::{Site, words};
use super::crumbs::{Crumb, crumbs};
use super::troubles::Troubles;
use super::view::{Drawing, EnergyWords, drawing_of, keys};
use super::{Layout, PageRequest, group_path, not_found, position, probe_path, range, render};
use crate::groups::GroupNow;
use crate::http::percent::encode;

/// Rows of a table on one page.
const PAGE_SIZE: usize = 100;
/// The periods of which the table of members shows the energy.
const PERIODS: [Period; 3] = [Period::Day, Period::Week, Period::Month];

#[derive(Debug, Template)]
#[template(path = "groups.html")]
struct ListPage {
    layout: Layout,
    groups: Vec<GroupWords>,
    next: Option<String>,
    is_first: bool,
}

#[derive(Debug, Template)]
#[template(path = "group.html")]
struct Page {
    layout: Layout,
    troubles: Troubles,
    crumbs: Vec<Crumb>,
    now: GroupWords,
    encoded: String,
    /// The groups around it: name and address.
    around: Vec<(String, String)>,
    energy: Option<EnergyWords>,
    graphs: Vec<GroupGraph>,
    /// What of them is explained: its form as a little picture, and words.
    keys: Vec<(String, &'static str)>,
    periods: [Period; 3],
    members: Vec<Member>,
    count: usize,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// A group at present.
#[derive(Debug)]
pub(super) struct GroupWords {
    name: String,
    href: String,
    pub(super) watts: Option<String>,
    pub(super) known: String,
    pub(super) is_whole: bool,
    pub(super) reporting: usize,
    pub(super) probes: usize,
    /// Its own meter: name and address.
    meter: Option<(String, String)>,
    rest: Option<String>,
    /// The same in words.
    pub(super) beside: Option<String>,
}

#[derive(Debug)]
struct GroupGraph {
    period: Period,
    drawing: Drawing,
    /// Where its values are, if they are.
    values: Option<String>,
    /// The mean share known over it.
    known: Option<String>,
}

/// A row of the table of members.
#[derive(Debug)]
struct Member {
    id: String,
    /// Where its page is, if it has one.
    href: Option<String>,
    watts: Option<String>,
    is_estimated: bool,
    /// Whether a meter above it in the group has measured what it draws.
    is_below: bool,
    /// When it was last seen, if it is silent.
    seen: Option<String>,
    energies: Vec<String>,
    total: Option<String>,
}

impl GroupWords {
    /// `3 of 4 probes reporting`.
    pub(super) fn reporting_words(&self) -> String {
        let Self { reporting, probes, .. } = self;
        format!("{reporting} of {probes} probe{} reporting", if *probes == 1 { "" } else { "s" })
    }

    pub(super) fn new(now: GroupNow) -> Self {
        Self {
            href: group_path(&now.group),
            watts: now.watts.map(watts_text),
            known: words::percent(now.known_share),
            is_whole: now.known_share >= 1.0,
            reporting: now.reporting,
            probes: now.probes,
            meter: now.meter.map(|meter| (meter.to_string(), probe_path(&meter))),
            rest: now.rest_watts.map(signed_watts),
            beside: now.rest_watts.map(beside_text),
            name: now.group,
        }
    }
}

/// Watts that may be negative.
fn signed_watts(watts: f64) -> String {
    let [text, ..] = watts_texts([Some(watts.abs()), None, None, None]);
    if watts < 0.0 { format!("−{text}") } else { text }
}

/// What a meter measures beside the probes below it, which may be less than they do.
fn beside_text(watts: f64) -> String {
    let than = if watts < 0.0 { "less" } else { "more" };
    format!("{} {than} than the probes below it", signed_watts(watts.abs()))
}

/// Whether `/groups/` is requested as a list, and not as a tree.
pub(super) fn is_list(query: &FormFields) -> bool {
    query.get("as") == Some("list") || query.get("after").is_some_and(|after| !after.is_empty())
}

/// `/groups/` as a list.
pub(super) fn list(request: &PageRequest<'_>, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let after = query.get("after").filter(|after| !after.is_empty());
    let mut groups = group::list(site, seen, after, PAGE_SIZE + 1, now);
    let has_more = groups.len() > PAGE_SIZE;
    groups.truncate(PAGE_SIZE);
    let last = groups.last().filter(|_| has_more);
    let page = ListPage {
        layout: Layout { here: "/groups/", ..Layout::new(site, seen, "Groups".to_owned(), None) },
        next: last.map(|last| format!("/groups/?after={}", encode(&last.group))),
        groups: groups.into_iter().map(GroupWords::new).collect(),
        is_first: after.is_none(),
    };
    render(&page, StatusCode::OK, None, conditions)
}

/// `/group/<group>/`.
pub(super) fn one(request: &PageRequest<'_>, group: &ProbeId, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let Some(view) = group::view(site, seen, group, now) else {
        return no_group(request, group.as_str());
    };
    let count = view.members.all.len();
    let pages = count.div_ceil(PAGE_SIZE).max(1);
    let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
    let path = group_path(group.as_str());
    let of_page = |page: usize| if page > 1 { format!("{path}?page={page}") } else { path.clone() };
    let members = view.members.parts.iter().zip(&*view.members.above);
    let members = members.skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE);
    let around = kwapi_core::groups_of(group).filter_map(|name| ProbeId::new(name).ok());
    let around = around.filter(|name| group::is_readable(site, seen, name));
    let graphs = Period::ALL.map(|period| graph(site, &view, group, period, now));
    let shown = Page {
        layout: Layout { here: "/groups/", ..Layout::new(site, seen, group.to_string(), None) },
        troubles: Troubles::of_probes(site, &view.overall.silent, "#members".to_owned(), now),
        crumbs: crumbs(site, seen, group),
        now: GroupWords::new(view.now.clone()),
        encoded: encode(group.as_str()),
        around: around.map(|name| (name.to_string(), group_path(name.as_str()))).collect(),
        energy: EnergyWords::of_all(&view.overall, now, &site.settings),
        keys: keys(graphs.iter().map(|graph| &graph.drawing), "measured"),
        graphs: graphs.into(),
        periods: PERIODS,
        members: members
            .map(|(probe, above)| member(site, seen, &view, probe, above.is_some(), now))
            .collect(),
        count,
        page,
        pages,
        previous: (page > 1).then(|| of_page(page - 1)),
        next: (page < pages).then(|| of_page(page + 1)),
    };
    render(&shown, StatusCode::OK, position(seen, &view.used), conditions)
}

/// `/rrd/group/<group>/`: its file.
pub(super) fn rrd_file(request: &PageRequest<'_>, group: &ProbeId) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let is_readable = group::is_readable(site, seen, group);
    let bytes = match site
        .directory
        .groups()
        .filter(|_| is_readable)
        .map(|groups| groups.rrd_bytes(group.as_str()))
    {
        Some(Ok(Some(bytes))) => bytes,
        Some(Err(error)) => {
            let cause = kwapi_core::chain(&error);
            return answer::unavailable(&format!("cannot read the history of {group}: {cause}"));
        }
        Some(Ok(None)) | None => return no_group(request, group.as_str()),
    };
    let content = Content {
        kind: "application/octet-stream",
        bytes: Bytes::from(bytes),
        modified: Some(now.seconds()),
        cache_control: "no-cache",
        disposition: Some(answer::attachment(&format!("{group}.rrd"))),
        position: None,
    };
    content.answer(StatusCode::OK, conditions)
}

/// "There is no such group", whether there is none or it is not the caller's to read.
pub(super) fn no_group(request: &PageRequest<'_>, name: &str) -> Response {
    let PageRequest { site, seen, now, .. } = *request;
    let groups = group::list(site, seen, None, super::SUGGESTIONS_MAX, now);
    let what = if groups.is_empty() {
        format!("Unknown group “{name}”; no probe is in a group.")
    } else {
        format!("Unknown group “{name}”. Available groups:")
    };
    let instead = groups.into_iter().map(|group| (group.group.clone(), group_path(&group.group))).collect();
    not_found(request, what, instead, 0)
}

fn graph(site: &Site, view: &GroupView, group: &ProbeId, period: Period, now: Timestamp) -> GroupGraph {
    let groups = site.directory.groups();
    let share = groups.and_then(|groups| groups.known_share(group.as_str(), period, now).ok().flatten());
    let is_silent = view.overall.reporting == 0;
    let mean = share.and_then(|share| mean_share(&share.watts, is_silent));
    let (subject, members) = (Subject::Group(group.clone()), Some(&view.members));
    GroupGraph {
        period,
        values: range::address_of(site, &group_path(group.as_str()), period, now),
        drawing: drawing_of(site, &subject, period, view.energy(period), members, now),
        known: mean.map(words::percent),
    }
}

/// The mean share known from the first row that has one to the last, or to the end of a group that is silent; of a row without
/// any between them, nothing is known.
fn mean_share(shares: &[Option<f64>], is_silent: bool) -> Option<f64> {
    let first = shares.iter().position(Option::is_some)?;
    let last = shares.iter().rposition(Option::is_some).filter(|_| !is_silent).unwrap_or(shares.len() - 1);
    let known: f64 = shares.iter().flatten().sum();
    Some(known / (last - first + 1) as f64)
}

fn member(
    site: &Site,
    seen: &Seen,
    view: &GroupView,
    probe: &ProbeId,
    is_below: bool,
    now: Timestamp,
) -> Member {
    let latest = site.directory.now(probe);
    let live = latest.as_ref().filter(|latest| !latest.is_silent);
    let text = |energy: kwapi_graph::EnergyFigure| energy.text().unwrap_or_else(|| "–".to_owned());
    let energies = PERIODS.map(|period| view.used.figure(probe, period).map_or_else(|| "–".to_owned(), text));
    let account = view.used.account(probe, latest.and_then(|latest| latest.account));
    Member {
        id: probe.to_string(),
        href: seen.has(probe).then(|| probe_path(probe)),
        watts: live.map(|latest| watts_text(latest.power.0)),
        is_estimated: live.is_some_and(|latest| latest.quality == kwapi_core::Quality::Estimated),
        is_below,
        seen: latest.filter(|latest| latest.is_silent).map(|latest| words::age(latest.at, now)),
        energies: energies.into(),
        total: account.map(|account| EnergyWords::new(&account, now, &site.settings).energy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_nothing_of_a_group_was_received_counts_as_unknown() {
        let check =
            |shares: &[Option<f64>], expected: Option<f64>| assert_eq!(mean_share(shares, false), expected);
        check(&[None, None], None);
        check(&[None, Some(1.0), Some(0.5), None], Some(0.75));
        // Before the first and after the last row there is no group, or no row yet.
        check(&[None, Some(1.0), None, None, Some(1.0), None], Some(0.5));
        check(&[Some(0.0)], Some(0.0));
        // Nothing is received of it now: until when is not for the rows to decide.
        assert_eq!(mean_share(&[None, Some(1.0), None, None, None], true), Some(0.25));
        assert_eq!(mean_share(&[None; 3], true), None);
    }
}
