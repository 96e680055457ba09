//! `/meters/`: which meters have a problem, since when, and what to try; to who does not see everything, which of their
//! own probes are silent, since what a meter is called and why it fails discloses others (ADR 0017).

use std::fmt::Write as _;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{ProbeId, Timestamp};
use kwapi_graph::natural_order;

use super::super::route::FormFields;
use super::super::words;
use super::{Layout, PageRequest, probe_path, render};
use crate::directory::{MeterHealth, MeterNow};

/// Meters that have a problem or are worth a look, on a page; silent probes as well.
const ILL_MAX: usize = 100;
/// Of the others, on a page.
const PAGE_SIZE: usize = 100;
/// Silent probes that a meter's entry names.
const NAMED_MAX: usize = 3;

#[derive(Debug, Template)]
#[template(path = "meters.html")]
struct Page {
    layout: Layout,
    /// The meters, for who sees everything and where this process reads any.
    meters: Option<Meters>,
    probes: usize,
    /// How many probes are silent.
    silent: usize,
    /// The first of them, where no meters are shown.
    silent_probes: Vec<SilentProbe>,
}

#[derive(Debug)]
struct Meters {
    count: usize,
    troubled: Entries,
    look: Entries,
    starting: usize,
    well: usize,
    rows: Vec<Row>,
    page: usize,
    pages: usize,
}

/// Some meters, and how many more there are of their kind.
#[derive(Debug)]
struct Entries {
    count: usize,
    shown: Vec<Entry>,
}

/// A meter that somebody should look after.
#[derive(Debug)]
struct Entry {
    name: String,
    driver: &'static str,
    state: &'static str,
    since: String,
    /// What it means for its probes.
    silent: Option<String>,
    findings: Vec<String>,
    error: Option<String>,
    advice: Option<&'static str>,
    command: String,
}

/// A meter that is well.
#[derive(Debug)]
struct Row {
    name: String,
    state: &'static str,
    driver: &'static str,
    probes: usize,
    latency: String,
    read: String,
}

#[derive(Debug)]
struct SilentProbe {
    id: String,
    href: String,
    since: String,
}

pub(super) fn answer(request: &PageRequest<'_>, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, .. } = *request;
    let zone = &site.settings.zone;
    let silent: Vec<(&ProbeId, Timestamp)> = seen
        .all
        .iter()
        .filter_map(|probe| {
            site.directory.now(probe).filter(|latest| latest.is_silent).map(|it| (probe, it.at))
        })
        .collect();
    let page = query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1);
    let all = site.directory.meters().filter(|meters| seen.is_everything && !meters.is_empty());
    let meters = all.map(|meters| Meters::new(&meters, page, now, zone));
    let silent_probes = if meters.is_some() { Vec::new() } else { silent_probes(&silent, now, zone) };
    let layout = Layout { here: "/meters/", ..Layout::new(site, seen, "Meters".to_owned(), None) };
    let page = Page { layout, meters, probes: seen.all.len(), silent: silent.len(), silent_probes };
    render(&page, StatusCode::OK, None, conditions)
}

/// Those that fell silent last come first: somebody may still remember what was done then.
fn silent_probes(
    silent: &[(&ProbeId, Timestamp)],
    now: Timestamp,
    zone: &jiff::tz::TimeZone,
) -> Vec<SilentProbe> {
    let mut latest = silent.to_vec();
    latest.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    let shown = latest.into_iter().take(ILL_MAX).map(|(probe, at)| SilentProbe {
        id: probe.to_string(),
        href: probe_path(probe),
        since: words::since(at, now, zone),
    });
    shown.collect()
}

impl Meters {
    fn new(all: &[MeterNow], page: usize, now: Timestamp, zone: &jiff::tz::TimeZone) -> Self {
        let entries = |health: MeterHealth| {
            let mut of_kind: Vec<&MeterNow> = all.iter().filter(|meter| meter.health == health).collect();
            of_kind.sort_by_key(|meter| std::cmp::Reverse(meter.since));
            let shown = of_kind.iter().take(ILL_MAX).map(|meter| Entry::new(meter, now, zone)).collect();
            Entries { count: of_kind.len(), shown }
        };
        let mut well: Vec<&MeterNow> = all.iter().filter(|meter| meter.health == MeterHealth::Well).collect();
        well.sort_by(|a, b| natural_order(&a.name, &b.name));
        let pages = well.len().div_ceil(PAGE_SIZE).max(1);
        let page = page.clamp(1, pages);
        let shown = well.iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE);
        Self {
            count: all.len(),
            troubled: entries(MeterHealth::Troubled),
            look: entries(MeterHealth::WorthALook),
            starting: all.iter().filter(|meter| meter.health == MeterHealth::Starting).count(),
            rows: shown.map(|meter| Row::new(meter, now)).collect(),
            well: well.len(),
            page,
            pages,
        }
    }
}

impl Entries {
    fn more(&self) -> usize {
        self.count - self.shown.len()
    }
}

impl Entry {
    fn new(meter: &MeterNow, now: Timestamp, zone: &jiff::tz::TimeZone) -> Self {
        let is_ill = meter.health == MeterHealth::Troubled;
        Self {
            name: meter.name.clone(),
            driver: meter.driver,
            state: meter.state,
            since: words::since(meter.since, now, zone),
            silent: silent(meter),
            findings: meter.findings.clone(),
            // Of a meter that is read, the latest error is of the past.
            error: meter.last_error.clone().filter(|_| is_ill),
            advice: meter.advice,
            command: format!("kwapi probe {}", quoted(&meter.name)),
        }
    }
}

/// `2 of 8 probes silent: lyon.a, lyon.b`.
fn silent(meter: &MeterNow) -> Option<String> {
    let MeterNow { silent, probes, .. } = meter;
    if silent.is_empty() {
        return None;
    }
    let plural = if *probes == 1 { "" } else { "s" };
    let mut words = format!("{} of {probes} probe{plural} silent: ", silent.len());
    let mut silent: Vec<&ProbeId> = silent.iter().collect();
    silent.sort_by(|a, b| natural_order(a.as_str(), b.as_str()));
    for (index, probe) in silent.iter().take(NAMED_MAX).enumerate() {
        _ = write!(words, "{}{probe}", if index == 0 { "" } else { ", " });
    }
    if silent.len() > NAMED_MAX {
        _ = write!(words, " and {} more", silent.len() - NAMED_MAX);
    }
    Some(words)
}

impl Row {
    fn new(meter: &MeterNow, now: Timestamp) -> Self {
        let latency = meter.latency.map(|latency| format!("{:.0}", latency.as_secs_f64() * 1e3));
        Self {
            name: meter.name.clone(),
            state: meter.state,
            driver: meter.driver,
            probes: meter.probes,
            latency: latency.unwrap_or_else(|| "–".to_owned()),
            read: meter.last_reading.map_or_else(|| "–".to_owned(), |at| words::age(at, now)),
        }
    }
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@' | '/');
    let may_begin = |c: char| c.is_alphanumeric();
    // A number sign within a word begins no comment.
    let is_word = name.chars().next().is_some_and(may_begin) && name.chars().all(|c| is_plain(c) || c == '#');
    if is_word { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_whatever_the_meter_is_called() {
        let check = |name: &str, expected: &str| assert_eq!(quoted(name), expected);
        check("pdu-1", "pdu-1");
        check("dummy#2", "dummy#2");
        check("node[001]", "'node[001]'");
        check("it's; rm -rf /", "'it'\\''s; rm -rf /'");
        check("", "''");
        check("-x", "'-x'");
    }
}
