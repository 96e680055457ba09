//! What an address of the pages of flows requests.

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use kwapi_core::{Period, ProbeId, Timestamp};

use super::super::super::Site;
use super::super::super::flow::FlowMeasure;
use super::super::super::flow::answers::FlowTime;
use super::super::super::range::Range;
use super::super::super::route::FormFields;
use crate::http::percent::encode;

/// What an address requests.
pub(super) struct FlowRequest<'a> {
    pub(super) group: Option<&'a ProbeId>,
    pub(super) time: FlowTime,
    pub(super) measure: FlowMeasure,
    pub(super) zone: &'a TimeZone,
}

impl<'a> FlowRequest<'a> {
    /// Reads the fields of an address: a period (the day), or a range by `from` and `to`, and what is to be shown of it.
    ///
    /// # Errors
    /// When it requests a time that does not exist: the status of the answer, and why.
    pub(super) fn parse(
        site: &'a Site,
        group: Option<&'a ProbeId>,
        query: &FormFields,
        now: Timestamp,
    ) -> Result<Self, (StatusCode, String)> {
        let zone = &site.settings.zone;
        let has_ledger = site.directory.query().is_some();
        let has_range = ["from", "to"].iter().any(|name| query.get(name).is_some());
        let time = match (has_range, query.get("period").map(|name| (name, name.parse()))) {
            (true, _) if !has_ledger => {
                let why = "Energy of a range requires the ledger, which this process does not keep: set enabled = true in [ledger].";
                return Err((StatusCode::NOT_IMPLEMENTED, why.to_owned()));
            }
            (true, _) => {
                let range = Range::parse(query, zone, now);
                FlowTime::Range(range.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?)
            }
            (false, None) => FlowTime::Period(Period::Day),
            (false, Some((_, Ok(period)))) => FlowTime::Period(period),
            (false, Some((name, Err(_)))) => {
                let why = format!("Unknown period “{name}”. Available periods:");
                return Err((StatusCode::NOT_FOUND, why));
            }
        };
        let measure = match query.get("show") {
            Some("energy") if has_ledger => FlowMeasure::Energy,
            Some("power") => FlowMeasure::Power,
            _ if has_range => FlowMeasure::Energy,
            _ => FlowMeasure::Power,
        };
        Ok(Self { group, time, measure, zone })
    }

    pub(super) fn path(group: Option<&str>) -> String {
        group.map_or_else(|| "/where/".to_owned(), |group| format!("/where/{}/", encode(group)))
    }

    /// The same of another group, time or measure.
    pub(super) fn href(&self, group: Option<&str>, time: FlowTime, measure: FlowMeasure) -> String {
        let mut fields = Vec::new();
        match time {
            FlowTime::Period(Period::Day) => {}
            FlowTime::Period(period) => fields.push(format!("period={period}")),
            FlowTime::Range(range) => fields.push(range.query(self.zone)),
        }
        match (measure, matches!(time, FlowTime::Range(_))) {
            (FlowMeasure::Power, true) => fields.push("show=power".to_owned()),
            (FlowMeasure::Energy, false) => fields.push("show=energy".to_owned()),
            _ => {}
        }
        let query = if fields.is_empty() { String::new() } else { format!("?{}", fields.join("&")) };
        format!("{}{query}", Self::path(group))
    }

    pub(super) fn within(&self, group: &str) -> String {
        self.href(Some(group), self.time, self.measure)
    }

    pub(super) fn with_page(&self, page: usize) -> String {
        let href = self.href(self.group.map(ProbeId::as_str), self.time, self.measure);
        let join = if href.contains('?') { '&' } else { '?' };
        if page > 1 { format!("{href}{join}page={page}#table") } else { format!("{href}#table") }
    }
}
