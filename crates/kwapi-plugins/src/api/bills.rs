//! `/v2/bills/`: the months that are closed and those that are open, and `/v2/bills/<month>/`: a bill, or a correction of it.
//! Who does not see everything gets the lines of their own probes and owners, and the sums of these.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Api;
use crate::answers::{accepts_csv, no_parameter};
use crate::bills::{BillFormat, BillRequest, Bills, unreadable};
use crate::http::{HttpError, StreamHead};
use crate::scope::Scope;

/// What a question about a bill may have.
pub(super) const BILL_PARAMETERS: [&str; 3] = ["by", "correction", "format"];
/// A page may show itself, and load nothing.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
);

/// What is requested.
#[derive(Clone, Debug)]
struct BillQuestion {
    by: Option<String>,
    correction: Option<usize>,
    format: BillFormat,
}

impl Api {
    fn bills_served(&self) -> Result<Bills, HttpError> {
        let none = || HttpError::new(StatusCode::NOT_IMPLEMENTED, "This process serves no bills.");
        self.0.bills.clone().ok_or_else(none)
    }

    pub(super) async fn bills(&self, scope: Scope) -> Response {
        let bills = match self.bills_served() {
            Ok(bills) => bills,
            Err(error) => return error.into_response(),
        };
        let (answers, now) = (self.0.answers.clone(), self.0.directory.live().wall().now());
        self.0
            .turns
            .answer(move |sink| {
                let closed = bills.list().map_err(|why| unreadable(&why))?;
                let mut list: Vec<(String, Value)> = Vec::new();
                for (month, of_month) in &closed {
                    list.extend(of_month.iter().map(|bill| {
                        let object = json!({
                            "month": month,
                            "by": bill.by,
                            "is_closed": true,
                            "closed": bill.closed,
                            "corrections": bill.documents.saturating_sub(1),
                        });
                        (month.clone(), object)
                    }));
                }
                let open = answers.map(|answers| bills.open_months(&answers, &scope, now)).transpose()?;
                for month in open.unwrap_or_default().into_iter().filter(|month| !closed.contains_key(month))
                {
                    let object = json!({
                        "month": month, "by": null, "is_closed": false, "closed": null, "corrections": 0,
                    });
                    list.push((month, object));
                }
                list.sort_by(|(one, _), (other, _)| one.cmp(other));
                let list: Vec<Value> = list.into_iter().map(|(_, object)| object).collect();
                sink.begin(StreamHead { media_type: "application/json", header: None });
                Ok(sink.send(format!("{}\n", json!({ "bills": list })).into_bytes()))
            })
            .await
    }

    pub(super) async fn bill(&self, month: &str, uri: &Uri, headers: &HeaderMap, scope: Scope) -> Response {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let prepared =
            BillQuestion::parse(pairs, accept).and_then(|wanted| Ok((wanted, self.bills_served()?)));
        let (question, bills) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return error.into_response(),
        };
        let (answers, month) = (self.0.answers.clone(), month.to_owned());
        let now = self.0.directory.live().wall().now();
        self.0
            .turns
            .answer(move |sink| {
                let BillQuestion { by, correction, format } = &question;
                let wanted = BillRequest { month: &month, by: by.as_deref(), correction: *correction };
                let text = bills.text(answers.as_ref(), wanted, *format, &scope, now)?;
                let (media_type, header) = match question.format {
                    BillFormat::Csv | BillFormat::Profile => ("text/csv; charset=utf-8", None),
                    BillFormat::Html => ("text/html; charset=utf-8", Some(POLICY)),
                    BillFormat::Ocmf => ("text/plain; charset=utf-8", None),
                    BillFormat::Json | BillFormat::Table => ("application/json", None),
                };
                sink.begin(StreamHead { media_type, header });
                Ok(sink.send(text.into_bytes()))
            })
            .await
    }
}

impl BillQuestion {
    fn parse<'a>(
        pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        accept: &str,
    ) -> Result<Self, HttpError> {
        let format = if accepts_csv(accept) { BillFormat::Csv } else { BillFormat::Json };
        let mut question = Self { by: None, correction: None, format };
        for (name, value) in pairs {
            let wrong = |why: &str| HttpError::bad_request(format!("{name}={value:?}: {why}."));
            match &*name {
                "by" if question.by.is_some() => return Err(wrong("may be given once")),
                "by" if value.is_empty() => return Err(wrong("must be the name of a label")),
                "by" => question.by = Some(value.into_owned()),
                "correction" => {
                    let number = value.parse().map_err(|_| wrong("must be a number"))?;
                    question.correction = Some(number);
                }
                "format" => {
                    question.format = match &*value {
                        "json" => BillFormat::Json,
                        "csv" => BillFormat::Csv,
                        "html" => BillFormat::Html,
                        "ocmf" => BillFormat::Ocmf,
                        _ => return Err(wrong("must be json, csv, html or ocmf")),
                    }
                }
                other => return Err(no_parameter(other, &BILL_PARAMETERS)),
            }
        }
        Ok(question)
    }
}
