//! What is requested of bills: which months there are, and the bill of one, closed or open, as far as a scope shows it.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::ToSpan as _;
use jiff::civil::Date;
use kwapi_core::Timestamp;
use kwapi_history::{EnergyRequest, EnergyStep};

use super::BillFormat;
use super::closed::KeptBill;
use super::month::BillMonth;
use super::open::OpenOf;
use super::run::{BillRun, MadeBill};
use super::served::Bills;
use crate::answers::{EnergyAnswers, EnergyQuestion, NO_LEDGER, refused};
use crate::http::HttpError;
use crate::scope::Scope;

/// A list has no more open months than this.
const OPEN_MONTHS_MAX: usize = 1_200;

/// Which bill is requested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BillRequest<'a> {
    /// As `2026-10`.
    pub(crate) month: &'a str,
    /// The label that it is by.
    pub(crate) by: Option<&'a str>,
    /// Of a closed one a correction.
    pub(crate) correction: Option<usize>,
}

/// A bill, as far as a scope shows it.
#[derive(Clone, Debug)]
pub(crate) enum ShownBill {
    /// One that later readings and prices may change.
    Open(Box<MadeBill>),
    /// A document, and how many corrections its bill has.
    Closed(Box<KeptBill>, usize),
}

impl ShownBill {
    /// As text; nothing where that is of closed bills alone.
    pub(crate) fn text(&self, format: BillFormat) -> String {
        match self {
            Self::Open(made) => made.text(format),
            Self::Closed(kept, _) => kept.text(format),
        }
    }
}

impl Bills {
    /// A bill, as far as `scope` shows it. A request for one that is open while it is being made waits for that.
    ///
    /// # Errors
    /// When there is none, or it cannot be made.
    pub(crate) fn shown(
        &self,
        answers: Option<&EnergyAnswers>,
        request: BillRequest<'_>,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<ShownBill, HttpError> {
        let nothing =
            |why: String| HttpError::new(StatusCode::NOT_FOUND, format!("There is no bill: {why}."));
        let month = BillMonth::new(request.month, &self.config().zone, now).map_err(nothing)?;
        let kept = self.closed().of(month.name(), request.by).map_err(|why| unreadable(&why))?;
        match (kept.get(request.correction.unwrap_or(0)), request.correction) {
            (Some(of_number), _) => Ok(ShownBill::Closed(Box::new(of_number.within(scope)), kept.len() - 1)),
            (None, Some(number)) => Err(nothing(format!("{} has no correction {number}", month.name()))),
            (None, None) => {
                let no_ledger = || HttpError::new(StatusCode::NOT_IMPLEMENTED, NO_LEDGER);
                let made = self.open(answers.ok_or_else(no_ledger)?, month, request.by, now)?;
                Ok(ShownBill::Open(Box::new(made.within(scope))))
            }
        }
    }

    /// The same as text.
    ///
    /// # Errors
    /// See [`Bills::shown`]; readings of an open bill are not signed.
    pub(crate) fn text(
        &self,
        answers: Option<&EnergyAnswers>,
        request: BillRequest<'_>,
        format: BillFormat,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<String, HttpError> {
        let shown = self.shown(answers, request, scope, now)?;
        match (&shown, format) {
            (ShownBill::Open(_), BillFormat::Ocmf) => {
                let why = format!(
                    "There is no bill: {} is open, and readings are signed when a bill is closed.",
                    request.month
                );
                Err(HttpError::new(StatusCode::NOT_FOUND, why))
            }
            _ => Ok(shown.text(format)),
        }
    }

    /// A bill of everything: what a meter has besides those below it depends on all of them.
    fn open(
        &self,
        answers: &EnergyAnswers,
        month: BillMonth,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<MadeBill>, HttpError> {
        let (config, sums) = (self.config(), answers.directory().sums());
        let of = OpenOf { month, by: by.map(str::to_owned), config, sums };
        self.open_bills().made(of, |of| {
            let run = BillRun::new(&of.config, answers.directory(), of.month.clone(), by);
            make(run.map_err(|why| unreadable(&why))?, answers, now)
        })
    }

    /// The months from the first measurement of what `scope` shows until now.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub(crate) fn open_months(
        &self,
        answers: &EnergyAnswers,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Vec<String>, HttpError> {
        let mut probes = answers.query().probes();
        probes.retain(|probe| scope.allows(probe));
        let start = Timestamp::from_micros(now.micros().saturating_sub(1_000_000));
        let request =
            EnergyRequest { probes, start, end: now, step: EnergyStep::Whole, is_to_now: false, now };
        let answer = answers.query().energy(&request).map_err(refused)?;
        let Some(first) = answer.probes.iter().filter_map(|probe| probe.since).min() else {
            return Ok(Vec::new());
        };
        let config = self.config();
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
}

fn make(mut run: BillRun<'_>, answers: &EnergyAnswers, now: Timestamp) -> Result<MadeBill, HttpError> {
    let [registers, quarters] = run.month().questions(&[]);
    let query = |pairs: &[(&'static str, String)], take: &mut dyn FnMut(&[u8]) -> Result<(), String>| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), value.as_str().into()));
        let prepared = answers.prepare(EnergyQuestion::parse(pairs, "", now)?, &Scope::All)?;
        let (mut failed, mut position) = (None, None);
        prepared.write(|at| position = at, &mut |part| {
            failed = take(&part).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(position), |why| Err(unreadable(&why)))
    };
    query(&registers, &mut |part| run.take_registers(part))?;
    let position = query(&quarters, &mut |part| run.take_quarters(part))?;
    run.set_position(position);
    Ok(run.end().map_err(|why| unreadable(&why))?.0)
}

/// The answer where a document or the ledger cannot be read; why is for the log, as it may name probes.
pub(crate) fn unreadable(why: &str) -> HttpError {
    tracing::error!("cannot make a bill: {why}");
    HttpError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The bill cannot be made at present; see the log of the service.",
    )
}
