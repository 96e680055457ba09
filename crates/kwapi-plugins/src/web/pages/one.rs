//! `/probe/<probe>/`: all graphs of one probe.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Timestamp};

use super::super::Site;
use super::super::answer::Conditions;
use super::super::chosen::Chosen;
use super::super::overview::Seen;
use super::view::{Drawing, ProbeWords, drawing};
use super::{Layout, position, range, render};
use crate::directory::Labels;

#[derive(Debug, Template)]
#[template(path = "probe.html")]
struct Page {
    layout: Layout,
    present: ProbeWords,
    labels: Labels,
    /// Each with where its values are, if they are.
    graphs: Vec<(Period, Drawing, Option<String>)>,
}

pub(super) fn answer(
    site: &Site,
    seen: &Seen,
    probe: &ProbeId,
    chosen: &Chosen,
    now: Timestamp,
    conditions: &Conditions,
) -> Response {
    let used = site.graphs.used(std::slice::from_ref(probe), &Period::ALL, now);
    let page = Page {
        layout: Layout::new(site, seen, probe.to_string(), None),
        present: ProbeWords::new(site, probe, chosen.contains(probe), &used, now),
        labels: site.directory.labels(probe),
        graphs: Period::ALL
            .map(|period| {
                let drawing = drawing(site, probe, period, &used, now);
                (period, drawing, range::href_of(site, probe, period, now))
            })
            .into(),
    };
    render(&page, StatusCode::OK, position(seen, &used), conditions)
}
