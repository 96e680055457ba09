//! `/probe/<probe>/?from=…&to=…`: one probe over any range: its graph, energy and cost, and the same values as a table or CSV.

use std::borrow::Cow;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use jiff::tz::TimeZone;
use kwapi_core::{Period, ProbeId, Series, Timestamp};
use kwapi_graph::{EnergyFigure, Figures, GraphRange, Look, Size, Theme, draw_range};
use kwapi_history::{Ask, EnergySpan, EnergyStep, PowerSpan, Query};

use super::super::answer::{self, Conditions, Content};
use super::super::overview::Seen;
use super::super::range::Range;
use super::super::route::FormFields;
use super::super::{Site, words};
use super::table::columns::powers;
use super::view::{Drawing, Legend, NARROW, WIDE};
use super::{Layout, NotFound, probe_path, render};
use crate::answers::{EnergyAnswers, EnergyQuestion, series_step, when};

/// Rows of the table on one page.
const PAGE_SIZE: usize = 100;
/// An open page of a range renews itself no more often: the past rarely changes.
const REFRESH_SECONDS_MIN: u64 = 60;
/// So far back RRD files reach.
const RRD_REACH: Duration = Duration::from_secs(Period::Year.seconds());

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

/// Why there is no page of a range.
struct Refusal {
    status: StatusCode,
    heading: &'static str,
    what: String,
    /// A range that there is.
    instead: Option<Range>,
}

impl Refusal {
    fn bad(what: String, instead: Option<Range>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, heading: "Cannot show this range", what, instead }
    }
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

/// What is known of a range.
struct Values {
    range: Range,
    /// Seconds of a row.
    step: u64,
    energy: EnergySpan,
    rows: Vec<(Timestamp, Timestamp)>,
    powers: Vec<PowerSpan>,
    /// Where the history of the probe begins.
    begin: Timestamp,
    position: kwapi_history::journal::Position,
    unreadable: Vec<String>,
}

impl Values {
    fn ask(
        site: &Site,
        ledger: &Query,
        seen: &Seen,
        probe: &ProbeId,
        range: Range,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let refused = |error: kwapi_history::AskError| Refusal::bad(format!("Cannot answer: {error}."), None);
        let (start, end, probes) = (range.from, range.to, vec![probe.clone()]);
        let ask = Ask { probes, start, end, step: EnergyStep::Whole, is_to_now: false, now };
        let answer = ledger.energy(&ask).map_err(refused)?;
        let of_probe = answer.probes.into_iter().next();
        let since = of_probe.as_ref().and_then(|of| of.since);
        let energy = of_probe.and_then(|of| of.spans.into_iter().next()).unwrap_or_default();
        let reach = now.before(RRD_REACH);
        let begin = match since {
            Some(since) if energy.rrd_ms == 0 => since,
            since => since.unwrap_or(reach).min(reach),
        };
        held_to(probe, range, begin, &site.settings.zone, now)?;
        let step = series_step(range.length());
        let rows = range.rows(step);
        let mut power = ledger.power(&ask, None).map_err(refused)?;
        let powers = power.of_probes(&ask.probes, &rows).into_iter().next().unwrap_or_default();
        // Where a file lies is for operators.
        let told = |cause: &String, else_told: &str| {
            if seen.is_everything { cause.clone() } else { else_told.to_owned() }
        };
        let of_ledger = answer.unreadable.iter();
        let of_samples = power.unreadable();
        let mut unreadable: Vec<String> =
            of_ledger.map(|file| told(&file.cause, "a file of the ledger cannot be read")).collect();
        unreadable
            .extend(of_samples.iter().map(|file| told(&file.cause, "a file of samples cannot be read")));
        if powers.iter().any(|power| power.known_share < 1.0) {
            let age = now.since(range.from).as_secs();
            let period =
                Period::ALL.into_iter().find(|period| period.seconds() >= age).unwrap_or(Period::Year);
            if let Err(error) = site.directory.fetch(probe, period, now.seconds()) {
                unreadable.push(told(&error.to_string(), "the history of this probe cannot be read"));
            }
        }
        let position = answer.position;
        Ok(Self { range, step, energy, rows, powers, begin, position, unreadable })
    }

    /// The least and the most of each row, in watts.
    fn ends(&self) -> Vec<Option<(f64, f64)>> {
        self.powers.iter().map(|power| Some((power.min?.0, power.max?.0))).collect()
    }

    /// The mean of each row.
    fn means(&self) -> Series {
        let start = self.range.from.seconds() / self.step * self.step;
        let means = self.powers.iter().map(|power| power.mean.map(|mean| mean.0)).collect();
        Series::whole(start, self.step, means)
    }

    fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let (mut joules, mut known) = (0.0, 0.0);
        for (power, (from, to)) in self.powers.iter().zip(&self.rows) {
            let (Some(least), Some(mean), Some(most)) = (power.min, power.mean, power.max) else { continue };
            figures.min = Some(figures.min.map_or(least.0, |min| min.min(least.0)));
            figures.max = Some(figures.max.map_or(most.0, |max| max.max(most.0)));
            figures.last = Some(mean.0);
            let seconds = to.since(*from).as_secs_f64() * power.known_share;
            joules += mean.0 * seconds;
            known += seconds;
        }
        figures.average = (known > 0.0).then(|| joules / known);
        figures.known_seconds = Duration::try_from_secs_f64(known.round()).unwrap_or_default().as_secs();
        figures.with_energy(self.energy_figure())
    }

    fn energy_figure(&self) -> EnergyFigure {
        let kwh = self.energy.energy_mj() as f64 / 3.6e9;
        match &self.energy {
            // What may lack rows, or has no time in it, is not told as if it were all.
            energy if energy.is_incomplete || energy.known_ms() == 0 => EnergyFigure::Unknown,
            energy if energy.rrd_ms > 0 => EnergyFigure::About(kwh),
            _ => EnergyFigure::Known(kwh),
        }
    }

    /// Which share of its time was measured and how the rest is known, in words.
    fn shares(&self) -> Option<String> {
        let EnergySpan { known, unknown_ms, absent_ms, rrd_ms, .. } = self.energy;
        let [measured, estimated, bridged] = known.ms.map(|ms| u64::try_from(ms).unwrap_or(0));
        words::shares(
            measured,
            &[
                (estimated, "estimated"),
                (bridged, "bridged"),
                (rrd_ms, "from RRD rows"),
                (unknown_ms, "unknown"),
                (absent_ms, "before the first or after the last message"),
            ],
        )
    }
}

/// Refuses a range of which there is no history, or that is longer than all there is.
fn held_to(
    probe: &ProbeId,
    range: Range,
    begin: Timestamp,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(), Refusal> {
    let at = words::range_instant(begin, zone);
    let whole = (begin < now).then_some(Range { from: begin, to: now });
    if range.to <= begin {
        let what = format!("The history of {probe} begins later, on {at}.");
        let (status, heading) = (StatusCode::NOT_FOUND, "Nothing measured yet");
        return Err(Refusal { status, heading, what, instead: whole });
    }
    if range.from < begin && range.length() > RRD_REACH {
        return Err(Refusal::bad(format!("Longer than the history: it begins on {at}."), whole));
    }
    Ok(())
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
    let (means, ends) = (values.means(), values.ends());
    let range = GraphRange { start: values.range.from.seconds(), end: values.range.end_seconds(), words };
    let draw = |size: Size| {
        let (zone, tariff) = (zone.clone(), tariff.clone());
        let look = Look { size, theme: Theme::Page, zone, power_max: *power_max, hue: *hue, tariff };
        draw_range(probe.as_str(), &range, &means, &ends, figures, &look)
    };
    Drawing { svg: draw(WIDE), narrow: Some(draw(NARROW)), legend }
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
