//! A range as a file: its values, its samples, its graph.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use jiff::tz::TimeZone;
use kwapi_core::{ProbeId, Timestamp};
use kwapi_graph::{Size, png};
use kwapi_history::{Query, Samples, SamplesError, UnreadableSamples};

use super::super::super::answer::{self, Conditions, Content};
use super::super::super::graphs::Form;
use super::super::super::overview::Seen;
use super::super::super::route::FormFields;
use super::super::super::{Site, words};
use super::super::picture;
use super::values::{Refusal, Values};
use super::{RangeOf, draw};
use crate::answers::{EnergyAnswers, EnergyQuestion, when};
use crate::api::samples::{CSV_HEAD, push_csv};

/// Samples of one file. More: the range is refused. A file is in memory while it is made and sent.
const SAMPLES_MAX: usize = 1_000_000;

/// What the files of a range are made of.
pub(super) struct RangeFiles<'a> {
    pub(super) site: &'a Site,
    pub(super) ledger: &'a Query,
    pub(super) seen: &'a Seen,
    pub(super) of: RangeOf<'a>,
    pub(super) values: &'a Values,
    pub(super) now: Timestamp,
}

impl RangeFiles<'_> {
    /// The file that `format=` names.
    pub(super) fn file(
        &self,
        format: &str,
        query: &FormFields,
        conditions: &Conditions,
    ) -> Result<Response, Refusal> {
        let (kind, bytes, ending) = match format {
            "csv" => ("text/csv; charset=utf-8", self.values_csv()?, "csv"),
            "samples" => ("text/csv; charset=utf-8", self.samples_csv()?, "samples.csv"),
            "parquet" => ("application/vnd.apache.parquet", self.parquet()?, "parquet"),
            "png" => ("image/png", self.picture(query, false)?, "png"),
            "svg" => ("image/svg+xml", self.picture(query, true)?, "svg"),
            _ => return Err(self.bad("format must be csv, samples, parquet, png or svg.".to_owned())),
        };
        let from = words::wall_clock(self.values.range.from, &self.site.settings.zone);
        // A picture may stand in somebody's page; the rest is to be kept.
        let is_picture = kind.starts_with("image/");
        let content = Content {
            kind,
            bytes: Bytes::from(bytes),
            modified: None,
            cache_control: "private, no-cache",
            disposition: (!is_picture)
                .then(|| answer::attachment(&format!("{} {from}.{ending}", self.of.name()))),
            position: None,
        };
        Ok(content.answer(StatusCode::OK, conditions))
    }

    fn bad(&self, what: String) -> Refusal {
        Refusal::bad(what, Some(self.values.range))
    }

    /// The values as `/v2/series` writes them.
    fn values_csv(&self) -> Result<Vec<u8>, Refusal> {
        let (range, zone) = (self.values.range, &self.site.settings.zone);
        let [start, end] = [range.from, range.to].map(|at| when::rfc3339(at, &TimeZone::UTC));
        let of = match self.of {
            RangeOf::Probe(probe) => ("probe", probe.as_str()),
            RangeOf::Group(group, ..) => ("group", group.as_str()),
            RangeOf::Everything(..) => ("by", "total"),
        };
        let members = [
            of,
            ("start", &start),
            ("end", &end),
            ("zone", zone.iana_name().unwrap_or("UTC")),
            ("format", "csv"),
        ];
        let members = members.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
        let refused = |error: crate::http::HttpError| Refusal {
            status: error.status(),
            ..self.bad(error.message().to_owned())
        };
        let question = EnergyQuestion::of_series(members, "", self.now).map_err(refused)?;
        let answers = EnergyAnswers::new(self.ledger.clone(), self.site.directory.clone());
        let mut text = Vec::new();
        let mut take = |part: Vec<u8>| {
            text.extend(part);
            true
        };
        answers
            .prepare(question, &self.seen.scope)
            .and_then(|answer| answer.write(|_| (), &mut take))
            .map_err(refused)?;
        Ok(text)
    }

    fn samples_csv(&self) -> Result<Vec<u8>, Refusal> {
        let range = self.values.range;
        let page = self.samples()?.page(self.probe()?, range.from, range.to, SAMPLES_MAX);
        let page = page.map_err(|error| self.refused(error))?;
        if page.next.is_some() {
            return Err(self.refused(SamplesError::TooMany { max: SAMPLES_MAX as u64 }));
        }
        self.check(page.samples.is_empty(), &page.unreadable)?;
        let mut text = CSV_HEAD.to_vec();
        page.samples.iter().for_each(|sample| push_csv(sample, &mut text));
        Ok(text)
    }

    fn parquet(&self) -> Result<Vec<u8>, Refusal> {
        let range = self.values.range;
        let file = self.samples()?.parquet(self.probe()?, range.from, range.to, SAMPLES_MAX as u64);
        let file = file.map_err(|error| self.refused(error))?;
        self.check(file.rows == 0, &file.unreadable)?;
        Ok(file.bytes)
    }

    /// Samples are of one probe.
    fn probe(&self) -> Result<&ProbeId, Refusal> {
        match self.of {
            RangeOf::Probe(probe) => Ok(probe),
            RangeOf::Group(..) | RangeOf::Everything(..) => {
                Err(self
                    .bad("Samples are of one probe; of several, format must be csv, png or svg.".to_owned()))
            }
        }
    }

    fn samples(&self) -> Result<&Samples, Refusal> {
        self.site.directory.samples().ok_or_else(|| Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            heading: "No samples",
            ..self.bad("This process keeps no samples: set enabled = true in [samples].".to_owned())
        })
    }

    fn refused(&self, error: SamplesError) -> Refusal {
        let status = match error {
            SamplesError::Reversed | SamplesError::TooMany { .. } => StatusCode::BAD_REQUEST,
            SamplesError::NotEncoded => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal { status, ..self.bad(format!("Cannot make this file: {error}.")) }
    }

    /// Refuses a file that would lack samples, or have none.
    fn check(&self, is_empty: bool, unreadable: &[UnreadableSamples]) -> Result<(), Refusal> {
        if let Some(file) = unreadable.first() {
            // Where a file lies is for operators.
            let cause =
                if self.seen.is_everything { &*file.cause } else { "a file of samples cannot be read" };
            let (status, heading) = (StatusCode::SERVICE_UNAVAILABLE, "Cannot read the samples");
            return Err(Refusal { status, heading, ..self.bad(cause.to_owned()) });
        }
        if is_empty {
            let what = "No samples are kept of this range; its values come from RRD files.".to_owned();
            return Err(Refusal { status: StatusCode::NOT_FOUND, heading: "No samples", ..self.bad(what) });
        }
        Ok(())
    }

    fn picture(&self, query: &FormFields, is_svg: bool) -> Result<Vec<u8>, Refusal> {
        let form = picture::picture(query, is_svg, Size::PROBE).map_err(|why| self.bad(format!("{why}.")))?;
        let (size, theme, scale) = match form {
            Form::Svg(size, theme) => (size, theme, None),
            Form::Png(size, theme, scale) => (size, theme, Some(scale)),
        };
        let range = self.values.range;
        let words = words::range(range.from, range.to, &self.site.settings.zone);
        let svg = draw(self.site, self.of, &words, self.values, self.values.figures(), size, theme);
        let Some(scale) = scale else { return Ok(svg.into_bytes()) };
        png(&svg, scale).map_err(|_| Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..self.bad("Cannot draw the graph.".to_owned())
        })
    }
}
