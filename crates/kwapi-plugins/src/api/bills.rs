//! `/v2/bills/`: the months that are closed and those that are open, and `/v2/bills/<month>/`: a bill, or a correction of it.
//! Who does not see everything gets the lines of their own probes and owners, and the sums of these.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::ToSpan as _;
use jiff::civil::Date;
use kwapi_core::Timestamp;
use kwapi_history::{Ask, EnergyStep};
use serde_json::{Value, json};

use super::Api;
use super::energy::NO_LEDGER;
use crate::answers::{EnergyAnswers, EnergyQuestion, accepts_csv, no_parameter, refused};
use crate::bills::{BillFormat, BillMonth, BillRun, Bills, MadeBill};
use crate::http::{HttpError, StreamHead};
use crate::scope::Scope;

/// What a question about a bill may say.
pub(super) const BILL_PARAMETERS: [&str; 3] = ["by", "correction", "format"];
/// A page may show itself, and load nothing.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
);
/// A list has no more open months than this.
const OPEN_MONTHS_MAX: usize = 1_200;

/// What is asked.
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
                let open = answers.map(|answers| open_months(&answers, &bills, &scope, now)).transpose()?;
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
        let prepared = BillQuestion::parse(pairs, accept).and_then(|asked| Ok((asked, self.bills_served()?)));
        let (question, bills) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return error.into_response(),
        };
        let (answers, month) = (self.0.answers.clone(), month.to_owned());
        let now = self.0.directory.live().wall().now();
        self.0
            .turns
            .answer(move |sink| {
                let text = text(&bills, answers.as_ref(), &month, &question, &scope, now)?;
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

/// A bill's text, as far as `scope` shows it.
fn text(
    bills: &Bills,
    answers: Option<&EnergyAnswers>,
    month: &str,
    question: &BillQuestion,
    scope: &Scope,
    now: Timestamp,
) -> Result<String, HttpError> {
    let nothing = |why: String| HttpError::new(StatusCode::NOT_FOUND, format!("There is no bill: {why}."));
    let config = bills.config();
    let month = BillMonth::new(month, &config.zone, now).map_err(nothing)?;
    let kept = bills.closed().of(month.name(), question.by.as_deref()).map_err(|why| unreadable(&why))?;
    match (kept.get(question.correction.unwrap_or(0)), question.correction) {
        (Some(kept), _) => Ok(kept.within(scope).text(question.format)),
        (None, Some(number)) => Err(nothing(format!("{} has no correction {number}", month.name()))),
        (None, None) if question.format == BillFormat::Ocmf => {
            Err(nothing(format!("{} is open, and readings are signed when a bill is closed", month.name())))
        }
        (None, None) => {
            let no_ledger = || HttpError::new(StatusCode::NOT_IMPLEMENTED, NO_LEDGER);
            let answers = answers.ok_or_else(no_ledger)?;
            let run = BillRun::new(&config, answers.directory(), month, question.by.as_deref());
            let made = open_bill(run.map_err(|why| unreadable(&why))?, answers, now)?;
            Ok(made.within(scope).text(question.format))
        }
    }
}

/// Makes a bill of all probes: what a meter has besides those below it depends on all of them.
fn open_bill(mut run: BillRun<'_>, answers: &EnergyAnswers, now: Timestamp) -> Result<MadeBill, HttpError> {
    let [registers, quarters] = run.month().questions(&[]);
    let ask = |pairs: &[(&'static str, String)], take: &mut dyn FnMut(&[u8]) -> Result<(), String>| {
        let pairs = pairs.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.as_str())));
        let prepared = answers.prepare(EnergyQuestion::parse(pairs, "", now)?, &Scope::All)?;
        let (mut failed, mut position) = (None, None);
        prepared.write(|at| position = at, &mut |part| {
            failed = take(&part).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(position), |why| Err(unreadable(&why)))
    };
    ask(&registers, &mut |part| run.take_registers(part))?;
    let position = ask(&quarters, &mut |part| run.take_quarters(part))?;
    run.set_position(position);
    Ok(run.end().map_err(|why| unreadable(&why))?.0)
}

/// The months from the first measurement of what `scope` shows until now.
fn open_months(
    answers: &EnergyAnswers,
    bills: &Bills,
    scope: &Scope,
    now: Timestamp,
) -> Result<Vec<String>, HttpError> {
    let mut probes = answers.query().probes();
    probes.retain(|probe| scope.allows(probe));
    let start = Timestamp::from_micros(now.micros().saturating_sub(1_000_000));
    let ask = Ask { probes, start, end: now, step: EnergyStep::Whole, is_to_now: false, now };
    let answer = answers.query().energy(&ask).map_err(refused)?;
    let Some(first) = answer.probes.iter().filter_map(|probe| probe.since).min() else {
        return Ok(Vec::new());
    };
    let config = bills.config();
    let date = |at: Timestamp| -> Option<Date> {
        let at = jiff::Timestamp::from_microsecond(i64::try_from(at.micros()).ok()?).ok()?;
        Some(at.to_zoned(config.zone.clone()).date().first_of_month())
    };
    let (Some(mut month), Some(last)) = (date(first), date(now)) else { return Ok(Vec::new()) };
    let mut months = Vec::new();
    while month <= last && months.len() < OPEN_MONTHS_MAX {
        months.push(month.strftime("%Y-%m").to_string());
        let Ok(next) = month.checked_add(1.month()) else { break };
        month = next;
    }
    Ok(months)
}

/// The answer where a document or the ledger cannot be read; why is for the log, as it may name probes.
fn unreadable(why: &str) -> HttpError {
    tracing::error!("cannot make a bill: {why}");
    HttpError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The bill cannot be made at present; see the log of the service.",
    )
}
