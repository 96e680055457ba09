//! `/probe/<probe>/`: all there is of one probe: now, energy by hour, day or month, all graphs, its meter, and files.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId};

use super::super::graphs::Subject;
use super::super::route::FormFields;
use super::super::selection::{ProbeFilter, query_of};
use super::crumbs::{Crumb, crumbs};
use super::downloads::{Download, downloads};
use super::view::{Drawing, ProbeWords, drawing_of, keys};
use super::{Layout, PageRequest, position, probe_path, range, render};
use crate::directory::Labels;
use bars::Bars;
use origin::Fact;

mod bars;
mod origin;

#[derive(Debug, Template)]
#[template(path = "probe.html")]
struct Page {
    layout: Layout,
    crumbs: Vec<Crumb>,
    present: ProbeWords,
    labels: Labels,
    /// `None` where nothing was measured in their time, or no ledger is kept.
    bars: Option<Bars>,
    has_ledger: bool,
    /// Where its history begins, in Unix seconds.
    begin: Option<u64>,
    /// Each with where its values are, if they are.
    graphs: Vec<(Period, Drawing, Option<String>)>,
    /// What of them is explained: its form as a little picture, and words.
    keys: Vec<(String, &'static str)>,
    facts: Vec<Fact>,
    downloads: Vec<Download>,
}

impl Page {
    /// Where all probes with a value of a label are.
    fn label_href(name: &str, value: &str) -> String {
        format!("/table/day/{}", query_of(&ProbeFilter::default().with(name, value).members()))
    }
}

/// What is taken away of a probe's page is of the last day.
const OF_LAST_DAY: [&str; 3] = ["Samples of the last day", "Values of the last day", "Graph of the last day"];

pub(super) fn answer(request: &PageRequest<'_>, probe: &ProbeId, query: &FormFields) -> Response {
    let PageRequest { site, seen, now, conditions, chosen, .. } = *request;
    let used = site.graphs.used(std::slice::from_ref(probe), &Period::ALL, now);
    let ledger = site.directory.query();
    let subject = Subject::Probe(probe.clone());
    let graphs = Period::ALL.map(|period| {
        let drawing = drawing_of(site, &subject, period, used.figure(probe, period), None, now);
        (period, drawing, range::href_of(site, probe, period, now))
    });
    let page = Page {
        layout: Layout::new(site, seen, probe.to_string(), None),
        crumbs: crumbs(site, seen, probe),
        present: ProbeWords::new(site, probe, chosen.contains(probe), &used, now),
        labels: site.directory.labels(probe),
        bars: ledger.and_then(|ledger| bars::bars(site, ledger, seen, probe, query, now)),
        has_ledger: ledger.is_some(),
        begin: used.account(probe, None).map(|account| account.since.seconds()),
        keys: keys(graphs.iter().map(|(_, drawing, _)| drawing), "measured"),
        graphs: graphs.into(),
        facts: origin::facts(site, seen, probe, now),
        downloads: downloads(site, probe, &format!("{}?to=now", probe_path(probe)), OF_LAST_DAY),
    };
    let is_readable = page.bars.as_ref().is_none_or(|bars| bars.unreadable.is_empty());
    let status = if is_readable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    render(&page, status, position(seen, &used), conditions)
}
