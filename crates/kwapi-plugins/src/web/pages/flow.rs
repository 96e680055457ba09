//! `/where/` and `/where/<group>/`: where power goes now, and energy in a time, from all probes or a group down to each: as a
//! picture and as a table.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::draw_flow;

use super::super::flow::answers::{self, FlowTime};
use super::super::flow::{FlowMeasure, FlowTree};
use super::super::range::Range;
use super::super::route::FormFields;
use super::super::words;
use super::table::columns::{energies, powers};
use super::{Layout, NotFound, PageRequest, group, render};
use crate::groups::GroupMembers;
use branches::{Columns, FlowRow, View};
use request::FlowRequest;
use rests::findings;

mod branches;
mod request;
mod rests;

/// Width of the picture, in pixels.
const WIDTH: u16 = 1_120;
/// Of what is directly below the first row so many are on a page of the table.
const PAGE_SIZE: usize = 100;
/// Unknown probes that are named.
const NAMED_MAX: usize = 2;
/// Levels of the table below the first row: those of the picture.
const TABLE_LEVELS: usize = 4;
/// Millijoules of a kilowatt-hour.
const KWH: f64 = 3.6e9;

#[derive(Debug, Template)]
#[template(path = "where.html")]
struct Page {
    layout: Layout,
    heading: String,
    path: String,
    /// The places around this one: name and address.
    around: Vec<(String, String)>,
    /// What the picture shows: word, address, and whether it is this.
    choices: Vec<(String, String, bool)>,
    periods: Vec<(&'static str, String, bool)>,
    /// The time of the energy in words, where it is not a period.
    range: Option<String>,
    from: String,
    to: String,
    /// Head of the column of energy.
    time: String,
    power: String,
    power_unit: String,
    energy: Option<String>,
    energy_unit: String,
    ends: usize,
    ends_known: usize,
    /// What no meter below another has measured, and how many meters have others below them.
    rest: Option<(String, String, usize)>,
    /// How many are unknown, the first of them, and how many more there are.
    unknown: Option<(usize, String, usize)>,
    findings: Vec<String>,
    unreadable: Vec<String>,
    svg: String,
    /// What of the picture is explained: its form as a little picture, and words.
    keys: Vec<(String, &'static str)>,
    rows: Vec<FlowRow>,
    count: usize,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// `/where/` and `/where/<group>/`.
pub(super) fn answer(request: &PageRequest<'_>, within: Option<&ProbeId>, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let refuse = |(status, what): (StatusCode, String)| {
        let heading = "Cannot show this time";
        let layout = Layout { here: "/where/", ..Layout::new(site, seen, heading.to_owned(), None) };
        let instead =
            Period::ALL.map(|period| (period.label().to_owned(), format!("/where/?period={period}")));
        let page = NotFound { layout, heading, what, instead: instead.into(), more: 0 };
        render(&page, status, None, conditions)
    };
    let flow = match FlowRequest::parse(site, within, query, now) {
        Ok(flow) => flow,
        Err(why) => return refuse(why),
    };
    let answer = match answers::read(site, seen, flow.time, now) {
        Ok(answer) => answer,
        Err(error) => return refuse((StatusCode::BAD_REQUEST, format!("Cannot answer: {error}."))),
    };
    let hidden = GroupMembers::new(&site.directory.known(), &site.directory, &seen.scope).into_hidden();
    let is_open = |group: &str| hidden.leave_open(group);
    let tree = FlowTree::new(&answer.probes, within.map(ProbeId::as_str), is_open);
    if let Some(group) = within.filter(|group| tree.is_empty() || !is_open(group.as_str())) {
        return group::no_group(request, group.as_str());
    }
    let status = if answer.unreadable.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let position = answer.position.filter(|_| seen.is_everything);
    let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let view = View { site, seen, request: &flow, answer: &answer, tree: &tree, is_open: &is_open };
    render(&Page::new(&view, page, now), status, position, conditions)
}

impl Page {
    fn new(view: &View<'_>, page: usize, now: Timestamp) -> Self {
        let View { site, seen, request, answer, tree, .. } = *view;
        let (time, measure) = (request.time, request.measure);
        let has_energy = answer.position.is_some();
        let group = request.group.map(ProbeId::as_str);
        let total = |measure: FlowMeasure| tree.total(0, measure);
        let columns = Columns {
            power: powers(total(FlowMeasure::Power).unwrap_or_default()),
            energy: energies(total(FlowMeasure::Energy).unwrap_or_default() / KWH),
        };
        let picture = tree.picture(measure);
        let name = view.root_name();
        let (label, range) = match time {
            FlowTime::Period(period) => (period.label().to_owned(), None),
            FlowTime::Range(range) => {
                ("Range".to_owned(), Some(words::range(range.from, range.to, request.zone)))
            }
        };
        let shown = match measure {
            FlowMeasure::Power => "Power now".to_owned(),
            FlowMeasure::Energy => format!("Energy, {}", range.as_ref().unwrap_or(&label)),
        };
        let alternative = format!(
            "{shown}, {name}: {}. The table below has the same values.",
            columns.with_unit(measure, picture.amount(measure))
        );
        let below = tree.below(0, measure);
        let pages = below.len().div_ceil(PAGE_SIZE).max(1);
        let page = page.clamp(1, pages);
        let rows = table(view, &below, page, pages, &columns);
        let (meters, rest) = tree.rests(measure);
        let (named, unknown) = tree.unknown(measure, NAMED_MAX);
        let names = named.iter().map(|probe| probe.as_str()).collect::<Vec<_>>().join(", ");
        let heading =
            group.map_or_else(|| "Where it goes".to_owned(), |group| format!("Where it goes: {group}"));
        let choice = |word: String, of: FlowMeasure| (word, request.href(group, time, of), measure == of);
        let mut choices = vec![choice("Now, watts".to_owned(), FlowMeasure::Power)];
        if has_energy {
            choices.push(choice(format!("{label}, kWh"), FlowMeasure::Energy));
        }
        let form = match time {
            FlowTime::Range(range) => range,
            FlowTime::Period(period) => {
                Range { from: now.before(Duration::from_secs(period.seconds())), to: now }
            }
        };
        let root = tree.place(0);
        Self {
            layout: Layout { here: "/where/", ..Layout::new(site, seen, heading.clone(), None) },
            heading,
            path: FlowRequest::path(group),
            around: view.around(),
            choices,
            periods: Period::ALL
                .map(|period| {
                    let href = request.href(group, FlowTime::Period(period), measure);
                    (period.label(), href, time == FlowTime::Period(period))
                })
                .into(),
            from: words::wall_clock(form.from, request.zone),
            to: words::wall_clock(form.to, request.zone),
            range,
            time: label,
            power: columns.power.text(total(FlowMeasure::Power)),
            energy: has_energy.then(|| columns.energy.text(total(FlowMeasure::Energy).map(|mj| mj / KWH))),
            ends: root.map(|root| root.ends).unwrap_or_default(),
            ends_known: root.map(|root| root.ends_known).unwrap_or_default(),
            rest: (meters > 0).then(|| {
                let (text, unit) = columns.apart(measure, Some(rest));
                (text, unit, meters)
            }),
            unknown: (unknown > 0).then_some((unknown, names, unknown.saturating_sub(named.len()))),
            findings: findings(site, tree, &picture, measure),
            unreadable: answer.unreadable.clone(),
            svg: draw_flow(&view.node(&picture, group.unwrap_or_default(), &columns), WIDTH, &alternative),
            keys: view.keys(&picture),
            rows,
            count: below.len(),
            page,
            pages,
            previous: (page > 1).then(|| request.with_page(page - 1)),
            next: (page < pages).then(|| request.with_page(page + 1)),
            power_unit: columns.power.unit.clone(),
            energy_unit: columns.energy.unit.clone(),
        }
    }
}

/// The rows of a page: the first of all, what is directly `below` it with what is below that, and at the end the rest.
fn table(view: &View<'_>, below: &[usize], page: usize, pages: usize, columns: &Columns) -> Vec<FlowRow> {
    let (tree, measure) = (view.tree, view.request.measure);
    if tree.is_empty() {
        return Vec::new();
    }
    let root = view.request.group.map(ProbeId::as_str).unwrap_or_default();
    let mut rows = vec![view.row(&tree.branch(0, measure, 0), "", 0, columns)];
    for at in below.iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE) {
        view.add_rows(&mut rows, &tree.branch(*at, measure, TABLE_LEVELS), root, 1, columns);
    }
    if page == pages {
        let rest = tree.rest_branch(0, measure);
        rows.extend(rest.map(|rest| view.row(&rest, root, 1, columns)));
    }
    rows
}
