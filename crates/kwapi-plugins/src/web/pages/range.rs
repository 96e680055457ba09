//! `/probe/<probe>/?from=…&to=…`: one probe over any range: its graph, energy and cost, and the same values as a table or CSV.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use jiff::tz::TimeZone;
use kwapi_core::{Period, ProbeId, Timestamp};
use kwapi_graph::{Figures, GraphRange, Look, RowStatus, Size, Theme, draw_range};
use kwapi_history::{PowerSpan, Query};

use super::super::answer::{self, Conditions, Content};
use super::super::overview::Seen;
use super::super::range::Range;
use super::super::route::FormFields;
use super::super::{Site, words};
use super::table::columns::powers;
use super::view::{Drawing, Legend, NARROW, WIDE};
use super::{Layout, NotFound, probe_path, render};
use crate::answers::{EnergyAnswers, EnergyQuestion, when};
use values::{Refusal, Values};

mod values;

/// Rows of the table on one page.
const PAGE_SIZE: usize = 100;
/// An open page of a range renews itself no more often: the past rarely changes.
const REFRESH_SECONDS_MIN: u64 = 60;

#[derive(Debug, Template)]
#[template(path = "range.html")]
struct Page {
    layout: Layout,
    id: String,
    href: String,
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
    csv: String,
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

/// Whether a probe's page is asked for a range.
pub(super) fn is_asked(query: &FormFields) -> bool {
    query.get("from").is_some() || query.get("to").is_some()
}

/// Where the page of a probe shows a period as a range; `None` where no ledger is kept.
pub(super) fn href_of(site: &Site, probe: &ProbeId, period: Period, now: Timestamp) -> Option<String> {
    let (start, _) = kwapi_graph::window(period, now.seconds());
    let range = Range { from: Timestamp::from_seconds(start), to: now };
    site.directory.query().map(|_| range.href(probe, &site.settings.zone))
}

pub(super) fn answer(
    site: &Site,
    seen: &Seen,
    probe: &ProbeId,
    query: &FormFields,
    now: Timestamp,
    conditions: &Conditions,
) -> Response {
    match answered(site, seen, probe, query, now, conditions) {
        Ok(response) => response,
        Err(Refusal { status, heading, what, instead }) => {
            let zone = &site.settings.zone;
            let instead = instead
                .map(|range| (words::range(range.from, range.to, zone), range.href(probe, zone)))
                .into_iter()
                .chain([(probe.to_string(), probe_path(probe))])
                .collect();
            let layout = Layout::new(site, seen, heading.to_owned(), None);
            render(&NotFound { layout, heading, what, instead, more: 0 }, status, None, conditions)
        }
    }
}

fn answered(
    site: &Site,
    seen: &Seen,
    probe: &ProbeId,
    query: &FormFields,
    now: Timestamp,
    conditions: &Conditions,
) -> Result<Response, Refusal> {
    let zone = &site.settings.zone;
    let Some(ledger) = site.directory.query() else {
        let what = "Ranges are shown from the ledger, which this process does not keep: set enabled = true in [ledger].";
        let (status, heading) = (StatusCode::NOT_IMPLEMENTED, "No ledger");
        return Err(Refusal { status, heading, what: what.to_owned(), instead: None });
    };
    let last_day = Range { from: now.before(Duration::from_secs(86_400)), to: now };
    let range =
        Range::parse(query, zone, now).map_err(|error| Refusal::bad(error.to_string(), Some(last_day)))?;
    let values = Values::ask(site, ledger, seen, probe, range, now)?;
    match query.get("format") {
        None => {}
        Some("csv") => return csv(site, ledger, seen, probe, range, now, conditions),
        Some(_) => return Err(Refusal::bad("format must be csv.".to_owned(), Some(range))),
    }
    let status = if values.unreadable.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let position = seen.is_everything.then_some(values.position);
    let page = Page::new(site, seen, probe, query, values, now);
    Ok(render(&page, status, position, conditions))
}

impl Page {
    fn new(
        site: &Site,
        seen: &Seen,
        probe: &ProbeId,
        query: &FormFields,
        values: Values,
        now: Timestamp,
    ) -> Self {
        let (zone, range) = (&site.settings.zone, values.range);
        let words = words::range(range.from, range.to, zone);
        let figures = values.figures();
        let href = range.href(probe, zone);
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
            ("Earlier", (values.begin < range.from).then(|| range.earlier())),
            ("Later", range.later(now)),
            ("Wider", range.wider(values.begin, now)),
            ("Closer", range.closer()),
        ];
        let with_page = |page: usize| format!("{href}&page={page}#values");
        let legend = Legend::new(&figures, &site.settings);
        Self {
            layout: Layout {
                refresh_seconds: site.settings.refresh_interval.as_secs().max(REFRESH_SECONDS_MIN),
                ..Layout::new(site, seen, format!("{probe}, {words}"), None)
            },
            id: probe.to_string(),
            href: probe_path(probe),
            from: words::wall_clock(range.from, zone),
            to: words::wall_clock(range.to, zone),
            energy: figures.energy.text(),
            cost: legend.cost.clone(),
            shares: values.shares(),
            drawing: drawing(site, probe, &words, &values, figures, legend),
            keys: keys(&values),
            around: around
                .into_iter()
                .filter_map(|(word, range)| Some((word, range?.href(probe, zone))))
                .collect(),
            csv: format!("{href}&format=csv"),
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
    probe: &ProbeId,
    words: &str,
    values: &Values,
    figures: Figures,
    legend: Legend,
) -> Drawing {
    let super::super::Settings { zone, hue, tariff, power_max, .. } = &site.settings;
    let (means, ends, marks) = (values.means(), values.ends(), values.marks());
    let range = GraphRange { start: values.range.from.seconds(), end: values.range.end_seconds(), words };
    let draw = |size: Size| {
        let (zone, tariff) = (zone.clone(), tariff.clone());
        let look = Look { size, theme: Theme::Page, zone, power_max: *power_max, hue: *hue, tariff };
        draw_range(probe.as_str(), &range, &means, &ends, &marks, figures, &look)
    };
    Drawing { svg: draw(WIDE), narrow: Some(draw(NARROW)), legend }
}

/// The statuses that occur, as they look, and what they mean.
fn keys(values: &Values) -> Vec<(String, &'static str)> {
    let marks = values.marks();
    let mut keys = Vec::new();
    for (status, form, words) in [
        (
            RowStatus::Measured,
            r#"class="kw-sure" y="3" width="14" height="4""#,
            "measured, with least and most",
        ),
        (
            RowStatus::Estimated,
            r#"class="kw-barred" fill="url(#kw-bars)" width="14" height="10""#,
            "estimated",
        ),
        (
            RowStatus::Bridged,
            r#"class="kw-bridged" stroke-dasharray="4 2" x=".5" y=".5" width="13" height="9""#,
            "bridged: the energy is known, its course is not",
        ),
        (
            RowStatus::Unknown,
            r#"class="kw-frame" fill="url(#kw-hatch)" x=".5" y=".5" width="13" height="9""#,
            "unknown: not counted",
        ),
        (
            RowStatus::Absent,
            r#"class="kw-frame" fill="none" x=".5" y=".5" width="13" height="9""#,
            "before the first or after the last message",
        ),
    ] {
        if marks.iter().any(|mark| mark.status == status) {
            let form = format!(r#"<svg viewBox="0 0 14 10" aria-hidden="true"><rect {form}/></svg>"#);
            keys.push((form, words));
        }
    }
    keys
}

/// The values of a range as `/v2/series` writes them.
fn csv(
    site: &Site,
    ledger: &Query,
    seen: &Seen,
    probe: &ProbeId,
    range: Range,
    now: Timestamp,
    conditions: &Conditions,
) -> Result<Response, Refusal> {
    let zone = &site.settings.zone;
    let [start, end] = [range.from, range.to].map(|at| when::rfc3339(at, &TimeZone::UTC));
    let members = [
        ("probe", probe.as_str()),
        ("start", &start),
        ("end", &end),
        ("zone", zone.iana_name().unwrap_or("UTC")),
        ("format", "csv"),
    ];
    let members = members.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
    let refused = |error: crate::http::HttpError| Refusal {
        status: error.status(),
        ..Refusal::bad(error.message().to_owned(), Some(range))
    };
    let question = EnergyQuestion::of_series(members, "", now).map_err(refused)?;
    let answers = EnergyAnswers::new(ledger.clone(), site.directory.clone());
    let mut text = Vec::new();
    let mut take = |part: Vec<u8>| {
        text.extend(part);
        true
    };
    answers
        .prepare(question, &seen.scope)
        .and_then(|answer| answer.write(|_| (), &mut take))
        .map_err(refused)?;
    let content = Content {
        kind: "text/csv; charset=utf-8",
        bytes: Bytes::from(text),
        modified: None,
        cache_control: "private, no-cache",
        disposition: Some(answer::attachment(&format!(
            "{probe} {}.csv",
            words::wall_clock(range.from, zone)
        ))),
        position: None,
    };
    Ok(content.answer(StatusCode::OK, conditions))
}
