//! `/v2/samples`: the samples of one probe between two instants, as JSON or CSV, a page at a time.

use std::io::Write as _;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kwapi_core::{Energy, ProbeId, Quality, Timestamp};
use kwapi_history::{SampleRow, SamplesPage};
use serde_json::json;

use super::Api;
use crate::answers::no_probe;
use crate::answers::when::instant;
use crate::http::percent::encode;
use crate::http::{HttpError, StreamHead};
use crate::scope::Scope;

/// The largest page, and the one that is given when none is requested.
const LIMIT_MAX: usize = 100_000;
const LIMIT: usize = 10_000;
/// An answer is sent in parts of about so many bytes.
const PART_BYTES: usize = 64 << 10;
const NOT_KEPT: &str = "This process keeps no samples; kwapi run does, unless [samples] has enabled = false.";

/// What is requested.
#[derive(Clone, Debug, PartialEq)]
struct SamplesQuestion {
    probe: ProbeId,
    start: Timestamp,
    end: Timestamp,
    limit: usize,
    is_csv: bool,
}

impl Api {
    pub(super) async fn samples(&self, uri: &Uri, headers: &HeaderMap, scope: Scope) -> Response {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let question = match SamplesQuestion::parse(pairs, accept, self.0.directory.live().wall().now()) {
            Ok(question) => question,
            Err(error) => return error.into_response(),
        };
        let Some(samples) = self.0.samples.clone() else {
            return HttpError::new(StatusCode::NOT_IMPLEMENTED, NOT_KEPT).into_response();
        };
        if !scope.allows(&question.probe) {
            return no_probe(question.probe.as_str()).into_response();
        }
        let is_live = self.0.directory.live().probe(question.probe.as_str()).is_some();
        let work = move |sink: &mut crate::http::StreamSink| {
            let SamplesQuestion { probe, start, end, limit, .. } = &question;
            let page = samples
                .page(probe, *start, *end, *limit)
                .map_err(|error| HttpError::bad_request(format!("start, end: {error}.")))?;
            // Of a file that cannot be read it is unknown whose samples it has.
            if page.samples.is_empty() && page.unreadable.is_empty() && !is_live {
                return Err(no_probe(probe.as_str()));
            }
            sink.begin(question.head(&page));
            let mut part = question.opening(&page, scope.is_all());
            let mut is_first = true;
            for sample in &page.samples {
                if !is_first && !question.is_csv {
                    part.push(b',');
                }
                is_first = false;
                question.put(sample, &mut part);
                if part.len() >= PART_BYTES && !sink.send(std::mem::take(&mut part)) {
                    return Ok(false);
                }
            }
            if !question.is_csv {
                part.extend(b"]}\n");
            }
            Ok(sink.send(part))
        };
        self.0.turns.answer(work).await
    }
}

impl SamplesQuestion {
    fn parse<'a>(
        pairs: impl Iterator<Item = (std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>,
        accept: &str,
        now: Timestamp,
    ) -> Result<Self, HttpError> {
        let (mut probe, mut start, mut end) = (None, None, now);
        let (mut limit, mut is_csv) = (LIMIT, accept.starts_with("text/csv"));
        for (name, value) in pairs {
            let wrong =
                |why: &dyn std::fmt::Display| HttpError::bad_request(format!("{name}={value:?}: {why}"));
            match &*name {
                "probe" if probe.is_some() => {
                    return Err(HttpError::bad_request("Samples are of one probe: write probe once."));
                }
                "probe" => probe = Some(ProbeId::new(&*value).map_err(|error| wrong(&error))?),
                "start" => start = Some(instant(&value, None, now).map_err(|why| wrong(&why))?),
                "end" => end = instant(&value, None, now).map_err(|why| wrong(&why))?,
                "limit" => {
                    let within = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    limit = within.ok_or_else(|| wrong(&format!("must be 1 to {LIMIT_MAX}")))?;
                }
                "format" => {
                    is_csv = match &*value {
                        "csv" => true,
                        "json" => false,
                        _ => return Err(wrong(&"must be json or csv")),
                    };
                }
                _ => {}
            }
        }
        let lacks = |name: &str| HttpError::bad_request(format!("{name} is missing."));
        let (probe, start) = (probe.ok_or_else(|| lacks("probe"))?, start.ok_or_else(|| lacks("start"))?);
        if end <= start {
            return Err(HttpError::bad_request("The end must be after the start."));
        }
        Ok(Self { probe, start, end, limit, is_csv })
    }

    /// The address of the next page.
    fn next(&self, page: &SamplesPage) -> Option<String> {
        let format = if self.is_csv { "csv" } else { "json" };
        let Self { probe, end, limit, .. } = self;
        let (start, end) = (Seconds(page.next?), Seconds(*end));
        Some(format!(
            "{}?probe={}&start={start}&end={end}&limit={limit}&format={format}",
            super::SAMPLES,
            encode(probe.as_str())
        ))
    }

    fn head(&self, page: &SamplesPage) -> StreamHead {
        let media_type = if self.is_csv { "text/csv; charset=utf-8" } else { "application/json" };
        let link = self.next(page).map(|next| format!("<{next}>; rel=\"next\""));
        let link = link.and_then(|link| HeaderValue::try_from(link).ok());
        StreamHead { media_type, header: link.map(|link| (header::LINK, link)) }
    }

    /// What stands before the samples. Why a file cannot be read is for who sees everything.
    fn opening(&self, page: &SamplesPage, is_all: bool) -> Vec<u8> {
        if self.is_csv {
            return CSV_HEAD.to_vec();
        }
        let unreadable: Vec<_> = page
            .unreadable
            .iter()
            .map(|file| {
                let cause = if is_all { file.cause.as_str() } else { "a file cannot be read" };
                json!({ "hour": file.hour.seconds(), "cause": cause })
            })
            .collect();
        let head = json!({ "probe": self.probe, "next": self.next(page), "unreadable": unreadable });
        let mut text = head.to_string().into_bytes();
        text.pop();
        text.extend(b",\"samples\":[");
        text
    }

    fn put(&self, sample: &SampleRow, out: &mut Vec<u8>) {
        if self.is_csv {
            return push_csv(sample, out);
        }
        let SampleWords { at, watts, volts, amperes, meter, quality, total } =
            SampleWords::new(sample, "null");
        // Into vectors all goes: there is no error to be had.
        _ = write!(
            out,
            "{{\"timestamp\":{at},\"watts\":{watts},\"volts\":{volts},\"amperes\":{amperes},\
             \"meter_joules\":{meter},\"quality\":\"{quality}\",\"joules\":{total}}}"
        );
    }
}

/// The first line of samples as CSV.
pub(crate) const CSV_HEAD: &[u8] = b"timestamp,watts,volts,amperes,meter_joules,quality,joules\n";

/// Writes a sample as a line of CSV.
pub(crate) fn push_csv(sample: &SampleRow, out: &mut Vec<u8>) {
    let SampleWords { at, watts, volts, amperes, meter, quality, total } = SampleWords::new(sample, "");
    _ = writeln!(out, "{at},{watts},{volts},{amperes},{meter},{quality},{total}");
}

/// A sample as it is written.
struct SampleWords {
    at: Seconds,
    watts: f64,
    volts: String,
    amperes: String,
    meter: String,
    quality: &'static str,
    total: String,
}

impl SampleWords {
    /// With `absent` for what it lacks.
    fn new(sample: &SampleRow, absent: &str) -> Self {
        let number = |number: Option<f64>| number.map_or(absent.to_owned(), |number| number.to_string());
        let joules = |energy: Option<Energy>| number(energy.map(Energy::joules));
        Self {
            at: Seconds(sample.at),
            watts: sample.power.0,
            volts: number(sample.voltage.map(|volts| volts.0)),
            amperes: number(sample.current.map(|amperes| amperes.0)),
            meter: joules(sample.register),
            quality: match sample.quality {
                Quality::Measured => "measured",
                Quality::Estimated => "estimated",
            },
            total: joules(sample.total),
        }
    }
}

/// Unix seconds, to the microsecond.
struct Seconds(Timestamp);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.micros();
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
pub(super) mod tests;
