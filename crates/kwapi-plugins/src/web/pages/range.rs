//! `/probe/<probe>/?from=…&to=…`, `/group/<group>/?…`, `/last/<period>/?…`: one probe, a group or all that is seen over any range:
//! its graph, energy and cost, and the same values as a table or CSV.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{Figures, GraphRange, Look, Size, Theme, draw_range};
use kwapi_history::PowerSpan;

use super::super::marks::Occurring;
use super::super::overview::Seen;
use super::super::range::Range;
use super::super::route::FormFields;
use super::super::{Site, words};
use super::crumbs::Crumb;
use super::downloads::Download;
use super::table::columns::powers;
use super::view::{Drawing, Legend, NARROW, WIDE};
use super::{Layout, NotFound, PageRequest, render, spans};
use crate::answers::when;
use files::RangeFiles;
use values::{Refusal, Values};

mod files;
mod of;
mod values;

pub(super) use of::RangeOf;

/// Rows of the table on one page.
const PAGE_SIZE: usize = 100;
/// An open page of a range renews itself no more often: the past rarely changes.
const REFRESH_SECONDS_MIN: u64 = 60;

#[derive(Debug, Template)]
#[template(path = "range.html")]
struct Page {
    layout: Layout,
    crumbs: Vec<Crumb>,
    id: String,
    href: String,
    /// Where the history begins, in Unix seconds.
    begin: u64,
    words: String,
    /// What the form holds: the range on the wall clock.
    from: String,
    to: String,
    energy: Option<String>,
    cost: Option<String>,
    shares: Option<String>,
    /// What could not be read, and why.
    unreadable: Vec<String>,
    drawing: Drawing,
    /// What of the drawing is explained: its form as a little picture, and words.
    keys: Vec<(String, &'static str)>,
    /// Word and address of the ranges around this one.
    around: Vec<(&'static str, String)>,
    downloads: Vec<Download>,
    unit: String,
    rows: Vec<Row>,
    count: usize,
    step: String,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// A line of the table, in words.
#[derive(Debug)]
struct Row {
    at: String,
    instant: String,
    least: String,
    mean: String,
    most: String,
    known: String,
}

/// Whether a probe's page is requested with a range.
pub(super) fn is_requested(query: &FormFields) -> bool {
    query.get("from").is_some() || query.get("to").is_some()
}

/// Where the page of a probe shows a period as a range; `None` where no ledger is kept.
pub(super) fn href_of(site: &Site, probe: &ProbeId, period: Period, now: Timestamp) -> Option<String> {
    address_of(site, &super::probe_path(probe), period, now)
}

/// Where the page at `path` shows a period as a range; `None` where no ledger is kept.
pub(super) fn address_of(site: &Site, path: &str, period: Period, now: Timestamp) -> Option<String> {
    let (start, _) = kwapi_graph::window(period, now.seconds());
    let range = Range { from: Timestamp::from_seconds(start), to: now };
    site.directory.query().map(|_| range.address(path, &site.settings.zone))
}

pub(super) fn answer(request: &PageRequest<'_>, of: RangeOf<'_>, query: &FormFields) -> Response {
    let PageRequest { site, seen, conditions, .. } = *request;
    match answered(request, of, query) {
        Ok(response) => response,
        Err(Refusal { status, heading, what, instead }) => {
            let zone = &site.settings.zone;
            let instead = instead
                .map(|range| (words::range(range.from, range.to, zone), range.address(&of.path(), zone)))
                .into_iter()
                .chain([(of.name().into_owned(), of.path())])
                .collect();
            let layout = Layout::new(site, seen, heading.to_owned(), None);
            render(&NotFound { layout, heading, what, instead, more: 0 }, status, None, conditions)
        }
    }
}

fn answered(request: &PageRequest<'_>, of: RangeOf<'_>, query: &FormFields) -> Result<Response, Refusal> {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let zone = &site.settings.zone;
    let Some(ledger) = site.directory.query() else {
        let what = "Ranges are shown from the ledger, which this process does not keep: set enabled = true in [ledger].";
        let (status, heading) = (StatusCode::NOT_IMPLEMENTED, "No ledger");
        return Err(Refusal { status, heading, what: what.to_owned(), instead: None });
    };
    let last_day = Range { from: now.before(Duration::from_secs(86_400)), to: now };
    let range =
        Range::parse(query, zone, now).map_err(|error| Refusal::bad(error.to_string(), Some(last_day)))?;
    let values = Values::read(site, ledger, seen, of, range, now)?;
    if let Some(format) = query.get("format") {
        let files = RangeFiles { site, ledger, seen, of, values: &values, now };
        return files.file(format, query, conditions);
    }
    let status = if values.unreadable.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let position = seen.is_everything.then_some(values.position);
    let page = Page::new(site, seen, of, query, values, now);
    Ok(render(&page, status, position, conditions))
}

impl Page {
    fn new(
        site: &Site,
        seen: &Seen,
        of: RangeOf<'_>,
        query: &FormFields,
        values: Values,
        now: Timestamp,
    ) -> Self {
        let (zone, range) = (&site.settings.zone, values.range);
        let words = words::range(range.from, range.to, zone);
        let figures = values.figures();
        let path = of.path();
        let href = range.address(&path, zone);
        let pages = values.rows.len().div_ceil(PAGE_SIZE).max(1);
        let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
        let column = powers(figures.max.unwrap_or(0.0));
        let of_page = |(power, (from, _)): (&PowerSpan, &(Timestamp, Timestamp))| {
            let text = |watts: Option<kwapi_core::Watts>| column.text(watts.map(|watts| watts.0));
            Row {
                at: words::range_instant(*from, zone),
                instant: when::rfc3339(*from, zone),
                least: text(power.min),
                mean: text(power.mean),
                most: text(power.max),
                known: words::percent(power.known_share),
            }
        };
        let all = values.powers.iter().zip(&values.rows);
        let around = [
            ("Earlier", range.earlier(values.begin)),
            ("Later", range.later(now)),
            ("Wider", range.wider(values.begin, now)),
            ("Closer", range.closer(values.begin)),
        ];
        let with_page = |page: usize| format!("{href}&page={page}#values");
        let legend = Legend::new(&figures, &site.settings);
        Self {
            layout: Layout {
                refresh_seconds: site.settings.refresh_interval.as_secs().max(REFRESH_SECONDS_MIN),
                ..Layout::new(site, seen, format!("{}, {words}", of.name()), None)
            },
            crumbs: of.crumbs(site, seen),
            id: of.name().into_owned(),
            href: path.clone(),
            begin: values.begin.seconds(),
            from: words::wall_clock(range.from, zone),
            to: words::wall_clock(range.to, zone),
            energy: figures.energy.text(),
            cost: legend.cost.clone(),
            shares: spans::shares(&values.energy),
            drawing: drawing(site, of, &words, &values, figures, legend),
            keys: Occurring::in_rows(&values.marks()).keys("measured, with minimum and maximum"),
            around: around
                .into_iter()
                .filter_map(|(word, range)| Some((word, range?.address(&path, zone))))
                .collect(),
            downloads: of.downloads(site, &href),
            rows: all.skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE).map(of_page).collect(),
            unit: column.unit.clone(),
            count: values.rows.len(),
            step: words::step(values.step),
            page,
            pages,
            previous: (page > 1).then(|| with_page(page - 1)),
            next: (page < pages).then(|| with_page(page + 1)),
            unreadable: values.unreadable,
            words,
        }
    }
}

fn drawing(
    site: &Site,
    of: RangeOf<'_>,
    words: &str,
    values: &Values,
    figures: Figures,
    legend: Legend,
) -> Drawing {
    let draw = |size: Size| draw(site, of, words, values, figures, size, Theme::Page);
    Drawing { svg: draw(WIDE), narrow: Some(draw(NARROW)), legend, occurring: Occurring::default() }
}

/// The graph of a range.
fn draw(
    site: &Site,
    of: RangeOf<'_>,
    words: &str,
    values: &Values,
    figures: Figures,
    size: Size,
    theme: Theme,
) -> String {
    let super::super::Settings { zone, hue, tariff, power_max, .. } = &site.settings;
    let (means, ends, marks) = (values.means(), values.ends(), values.marks());
    let range = GraphRange { start: values.range.from.seconds(), end: values.range.end_seconds(), words };
    let (zone, tariff) = (zone.clone(), tariff.clone());
    // It is for a probe's graphs.
    let power_max = power_max.filter(|_| matches!(of, RangeOf::Probe(_)));
    let look = Look { size, theme, zone, power_max, hue: *hue, tariff };
    draw_range(&of.name(), &range, &means, &ends, &marks, figures, &look)
}
