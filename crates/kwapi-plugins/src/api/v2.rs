//! `/v2/`: what v1 has no room for. Since when energy counts, how much of that time was measured, whether the value is
//! stale, whose the probe is, and what ails its meter.

use axum::http::StatusCode;
use axum::response::Response;
use kwapi_core::{ProbeId, Quality, Totals};
use serde::Serialize;

use super::query::ListParameters;
use super::v1::Page;
use super::{Api, json_response};
use crate::directory::Labels;
use crate::http::HttpError;
use crate::live::{Listing, ProbeView};
use crate::scope::Scope;

/// What `/v2/` states of itself.
pub(super) const VERSION: &str = include_str!("v2/version.json");
/// What a caller who does not see everything sees of a failing meter.
const NOT_READ: &str = "the meter is not read at present";
/// The largest page, and the one that is given when none is requested.
pub(super) const PAGE_MAX: usize = 1_000;

#[derive(Serialize)]
struct ProbesObject {
    /// The address of the next page; null on the last one.
    next: Option<String>,
    probes: Vec<ProbeObject>,
}

#[derive(Serialize)]
struct ProbeObject {
    id: ProbeId,
    unit: &'static str,
    watts: f64,
    quality: Quality,
    timestamp: f64,
    is_stale: bool,
    joules: f64,
    /// Of `joules`, the parts that were not measured.
    estimated_joules: f64,
    bridged_joules: f64,
    kwh: f64,
    /// When the newest message that is in the energy was measured; before `timestamp` while it cannot be recorded.
    energy_timestamp: f64,
    since: f64,
    time: Time,
    messages_lost: u64,
    messages_late: u64,
    messages_duplicate: u64,
    conflicting_publisher: bool,
    labels: Labels,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<DescriptionObject>,
}

/// What is known of the probe's meter, where its publisher describes it.
#[derive(Serialize)]
struct DescriptionObject {
    driver: String,
    interval_seconds: Option<f64>,
    max_gap_seconds: f64,
    max_gap_source: &'static str,
    accuracy_percent: Option<f64>,
    accuracy_source: Option<&'static str>,
    /// The names of those labels that the publisher has given it.
    labels_of_publisher: Vec<String>,
    /// Since when its publisher states this.
    since: f64,
}

/// How the time from `since` to `timestamp` is made up; the shares add up to 1, and are 0 as long as there is no time.
#[derive(Serialize)]
struct Time {
    measured_seconds: f64,
    measured_share: f64,
    estimated_seconds: f64,
    estimated_share: f64,
    bridged_seconds: f64,
    bridged_share: f64,
    unknown_seconds: f64,
    unknown_share: f64,
}

impl Api {
    pub(super) fn rich_probes(&self, query: &ListParameters, scope: &Scope) -> Response {
        let mut views = Vec::new();
        let mut page = Page::limited(query, PAGE_MAX);
        self.0.directory.live().read(Listing::Known, query.after.as_deref(), |_, id, view| {
            page.take(query, scope, id, || views.push((id.clone(), *view)))
        });
        // The directory is queried when the list is free again: it may take its time.
        let probes = views.into_iter().map(|(id, view)| self.enrich(id, &view, scope)).collect();
        to_response(&ProbesObject { next: page.next("/v2/probes/", query), probes })
    }

    pub(super) fn rich_probe(&self, id: &str, scope: &Scope) -> Result<Response, HttpError> {
        let (id, view) = self.find(id, scope)?;
        Ok(to_response(&self.enrich(id, &view, scope)))
    }

    fn enrich(&self, id: ProbeId, view: &ProbeView, scope: &Scope) -> ProbeObject {
        let directory = &self.0.directory;
        let totals = &view.totals;
        ProbeObject {
            labels: directory.labels(&id),
            last_error: directory.last_error(&id).map(|error| {
                // A meter's failure may name its host and other outlets: that is for operators.
                if scope.is_all() { error } else { NOT_READ.to_owned() }
            }),
            description: self.describe(&id),
            id,
            unit: "W",
            watts: view.present.power.0,
            quality: view.present.quality,
            timestamp: view.present.timestamp.seconds_f64(),
            is_stale: view.is_silent,
            joules: totals.energy.joules(),
            estimated_joules: totals.estimated.joules(),
            bridged_joules: totals.bridged.joules(),
            kwh: totals.energy.kwh(),
            energy_timestamp: view.timestamp.seconds_f64(),
            since: view.since.seconds_f64(),
            time: Time::of(totals),
            messages_lost: view.lost,
            messages_late: view.late,
            messages_duplicate: view.duplicate,
            conflicting_publisher: view.has_conflict,
        }
    }
}

impl Api {
    fn describe(&self, id: &ProbeId) -> Option<DescriptionObject> {
        let directory = &self.0.directory;
        let described = directory.described(id)?;
        let gaps = &directory.live().config().gaps;
        let accuracy = directory.accuracy(id);
        let description = &described.description;
        Some(DescriptionObject {
            driver: description.driver.clone(),
            interval_seconds: description.interval.map(|interval| interval.as_secs_f64()),
            max_gap_seconds: gaps.of(id).as_secs_f64(),
            max_gap_source: gaps.source(id).name(),
            accuracy_percent: accuracy.map(|(percent, _)| percent),
            accuracy_source: accuracy.map(|(_, source)| source.name()),
            labels_of_publisher: directory.labels_of_publisher(id),
            since: described.since.seconds_f64(),
        })
    }
}

impl Time {
    fn of(totals: &Totals) -> Self {
        let Totals { measured_ms, estimated_ms, bridged_ms, unknown_ms, .. } = *totals;
        let [measured, estimated, bridged, unknown] =
            [measured_ms, estimated_ms, bridged_ms, unknown_ms].map(|ms| ms as f64 / 1e3);
        let all = measured + estimated + bridged + unknown;
        let share = |part: f64| if all > 0.0 { part / all } else { 0.0 };
        Self {
            measured_seconds: measured,
            measured_share: share(measured),
            estimated_seconds: estimated,
            estimated_share: share(estimated),
            bridged_seconds: bridged,
            bridged_share: share(bridged),
            unknown_seconds: unknown,
            unknown_share: share(unknown),
        }
    }
}

pub(super) fn to_response(answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(mut body) => {
            body.push(b'\n');
            json_response(body.into())
        }
        Err(error) => {
            tracing::error!(%error, "cannot serialize a response as JSON");
            let message = "Internal error; see the log.";
            axum::response::IntoResponse::into_response(HttpError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                message,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridged_time_is_a_part_of_the_whole() {
        let totals =
            Totals { measured_ms: 14_000, bridged_ms: 24_000, unknown_ms: 2_000, ..Totals::default() };
        let time = Time::of(&totals);
        assert_eq!((time.measured_share, time.bridged_seconds, time.bridged_share), (0.35, 24.0, 0.6));
        assert_eq!((time.estimated_share, time.unknown_share), (0.0, 0.05));
    }
}
