//! `/probe/<probe>/`: all graphs of one probe.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{Period, ProbeId, Timestamp};

use super::super::Site;
use super::super::answer::Asked;
use super::super::chosen::Chosen;
use super::view::{Drawing, Present, drawing};
use super::{Layout, render};

#[derive(Debug, Template)]
#[template(path = "probe.html")]
struct Page {
    layout: Layout,
    present: Present,
    labels: BTreeMap<String, String>,
    graphs: Vec<(Period, Drawing)>,
}

pub(super) fn answer(
    site: &Site,
    probe: &ProbeId,
    chosen: &Chosen,
    now: Timestamp,
    asked: &Asked,
) -> Response {
    let page = Page {
        layout: Layout::new(site, probe.to_string(), None),
        present: Present::new(site, probe, chosen.contains(probe), now),
        labels: site.settings.labels.of(probe),
        graphs: Period::ALL.map(|period| (period, drawing(site, probe, period, now))).into(),
    };
    render(&page, StatusCode::OK, asked)
}
