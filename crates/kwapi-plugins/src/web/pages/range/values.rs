//! What is known of a range of one probe, and why there is nothing to show.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use kwapi_core::{Period, Series, Timestamp};
use kwapi_graph::{Figures, RowMark};
use kwapi_history::journal::Position;
use kwapi_history::{EnergyRequest, EnergyRequestError, EnergySpan, EnergyStep, PowerSpan, Query};

use super::super::super::marks::{STEP_SECONDS_MIN, marks_of_sum, row_mark};
use super::super::super::overview::Seen;
use super::super::super::range::{RRD_REACH, Range};
use super::super::super::{Site, words};
use super::super::spans;
use super::of::{Members, RangeOf};
use crate::answers::series_step;

/// Of as many probes it is looked whether their RRD files can be read.
const FETCHED_MAX: usize = 200;

/// Why there is no page of a range.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) heading: &'static str,
    pub(super) what: String,
    /// A range that there is.
    pub(super) instead: Option<Range>,
}

impl Refusal {
    pub(super) fn bad(what: String, instead: Option<Range>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, heading: "Cannot show this range", what, instead }
    }
}

/// The energy of a range.
struct Energy {
    energy: EnergySpan,
    /// Since when there is some.
    since: Option<Timestamp>,
    position: Position,
    /// Why files could not be read.
    causes: Vec<String>,
}

impl Energy {
    fn of_probe(ledger: &Query, request: &EnergyRequest) -> Result<Self, EnergyRequestError> {
        let answer = ledger.energy(request)?;
        let causes = answer.unreadable.iter().map(|file| file.cause.clone()).collect();
        let of_probe = answer.probes.into_iter().next();
        let since = of_probe.as_ref().and_then(|of| of.since);
        let energy = of_probe.and_then(|of| of.spans.into_iter().next()).unwrap_or_default();
        Ok(Self { energy, since, position: answer.position, causes })
    }

    fn of_sum(
        ledger: &Query,
        request: &EnergyRequest,
        members: &Members,
        since: Option<Timestamp>,
    ) -> Result<Self, EnergyRequestError> {
        let answer = ledger.sums(request, &members.energy())?;
        let causes = answer.unreadable.iter().map(|file| file.cause.clone()).collect();
        let energy = answer.sums.into_iter().next().and_then(|spans| spans.into_iter().next());
        Ok(Self { energy: energy.unwrap_or_default(), since, position: answer.position, causes })
    }
}

/// What is known of a range.
pub(super) struct Values {
    pub(super) range: Range,
    /// Seconds of a row.
    pub(super) step: u64,
    pub(super) energy: EnergySpan,
    /// The same of each row, of a sum of each stretch that is no shorter than the ledger's rows; empty where that is
    /// not known.
    energies: Vec<EnergySpan>,
    is_sum: bool,
    pub(super) rows: Vec<(Timestamp, Timestamp)>,
    pub(super) powers: Vec<PowerSpan>,
    /// Where the history of the probe begins.
    pub(super) begin: Timestamp,
    pub(super) position: Position,
    pub(super) unreadable: Vec<String>,
}

impl Values {
    pub(super) fn read(
        site: &Site,
        ledger: &Query,
        seen: &Seen,
        of: RangeOf<'_>,
        range: Range,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let refused = |error: EnergyRequestError| Refusal::bad(format!("Cannot answer: {error}."), None);
        let members = of.members();
        let probes = match (of, &members) {
            (RangeOf::Probe(probe), _) => vec![probe.clone()],
            (_, members) => members.as_ref().map(|members| members.probes.clone()).unwrap_or_default(),
        };
        let request = EnergyRequest {
            probes,
            start: range.from,
            end: range.to,
            step: EnergyStep::Whole,
            is_to_now: false,
            now,
        };
        let Energy { energy, since, position, causes } = match &members {
            None => Energy::of_probe(ledger, &request),
            Some(members) => Energy::of_sum(ledger, &request, members, of.since()),
        }
        .map_err(refused)?;
        let reach = now.before(RRD_REACH);
        let begin = match since {
            Some(since) if energy.rrd_ms == 0 => since,
            since => since.unwrap_or(reach).min(reach),
        };
        held_to(&of.name(), range, begin, &site.settings.zone, now)?;
        let step = series_step(range.length());
        let rows = range.rows(step);
        // How sure a row is adds to its power: where it is not known, the power shows what is known.
        let energies = match &members {
            None => {
                let of_rows =
                    EnergyRequest { step: EnergyStep::Every(Duration::from_secs(step)), ..request.clone() };
                let energies = ledger.energy(&of_rows).ok();
                energies.and_then(|answer| Some(answer.probes.into_iter().next()?.spans))
            }
            Some(members) => {
                let step = Duration::from_secs(sum_step(step));
                let of_sum = EnergyRequest { step: EnergyStep::Every(step), ..request.clone() };
                let sums = ledger.sums(&of_sum, &members.energy()).ok();
                sums.and_then(|answer| answer.sums.into_iter().next())
            }
        };
        let is_sum = members.is_some();
        let is_available = |spans: &Vec<EnergySpan>| is_sum || spans.len() == rows.len();
        let energies = energies.filter(is_available).unwrap_or_default();
        let members = members.map(|members| members.power());
        let mut power = ledger.power(&request, members.as_ref()).map_err(refused)?;
        let powers = match &members {
            None => power.of_probes(&request.probes, &rows),
            Some(members) => power.of_sums(members, &rows),
        };
        let powers = powers.into_iter().next().unwrap_or_default();
        // Where a file lies is for operators.
        let message = |cause: &String, fallback: &str| {
            if seen.is_everything { cause.clone() } else { fallback.to_owned() }
        };
        let mut unreadable: Vec<String> =
            causes.iter().map(|cause| message(cause, "a file of the ledger cannot be read")).collect();
        let of_samples = power.unreadable();
        unreadable
            .extend(of_samples.iter().map(|file| message(&file.cause, "a file of samples cannot be read")));
        if powers.iter().any(|power| power.known_share < 1.0) {
            let age = now.since(range.from).as_secs();
            let period =
                Period::ALL.into_iter().find(|period| period.seconds() >= age).unwrap_or(Period::Year);
            let read = |probe| site.directory.fetch(probe, period, now.seconds()).err();
            let errors = request.probes.iter().take(FETCHED_MAX).filter_map(read);
            unreadable.extend(
                errors.map(|error| message(&error.to_string(), "the history of a probe cannot be read")),
            );
        }
        Ok(Self { range, step, energy, energies, is_sum, rows, powers, begin, position, unreadable })
    }

    /// The least and the most of each row, in watts.
    pub(super) fn ends(&self) -> Vec<Option<(f64, f64)>> {
        self.powers.iter().map(|power| Some((power.min?.0, power.max?.0))).collect()
    }

    /// The mean of each row.
    pub(super) fn means(&self) -> Series {
        let start = self.range.from.seconds() / self.step * self.step;
        let means = self.powers.iter().map(|power| power.mean.map(|mean| mean.0)).collect();
        Series::whole(start, self.step, means)
    }

    /// How sure each row is: as most of its time; of a sum by what it lacks.
    pub(super) fn marks(&self) -> Vec<RowMark> {
        if self.is_sum {
            if self.energies.iter().any(|span| span.is_incomplete) {
                return Vec::new();
            }
            let rows = self.rows.iter().zip(&self.powers);
            let rows = rows
                .map(|((from, _), power)| (from.seconds(), power.mean.map(|mean| mean.0), power.known_share));
            return marks_of_sum(rows, &self.energies, sum_step(self.step), self.step);
        }
        self.energies
            .iter()
            .zip(&self.powers)
            .map(|(energy, power)| row_mark(energy, power.mean.is_some()))
            .collect()
    }

    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let (mut joules, mut known) = (0.0, 0.0);
        for (power, (from, to)) in self.powers.iter().zip(&self.rows) {
            let (Some(least), Some(mean), Some(most)) = (power.min, power.mean, power.max) else { continue };
            figures.min = Some(figures.min.map_or(least.0, |min| min.min(least.0)));
            figures.max = Some(figures.max.map_or(most.0, |max| max.max(most.0)));
            figures.last = Some(mean.0);
            let seconds = to.since(*from).as_secs_f64() * power.known_share;
            joules += mean.0 * seconds;
            known += seconds;
        }
        figures.average = (known > 0.0).then(|| joules / known);
        figures.known_seconds = Duration::try_from_secs_f64(known.round()).unwrap_or_default().as_secs();
        figures.with_energy(spans::figure(&self.energy))
    }
}

/// In stretches of how many seconds the ledger is queried about a sum with rows of `step` seconds.
fn sum_step(step: u64) -> u64 {
    step.max(STEP_SECONDS_MIN)
}

/// Refuses a range of which there is no history, or that is longer than all there is.
fn held_to(
    name: &str,
    range: Range,
    begin: Timestamp,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<(), Refusal> {
    let at = words::range_instant(begin, zone);
    let whole = (begin < now).then_some(Range { from: begin, to: now });
    if range.to <= begin {
        let what = format!("The history of {name} begins later, on {at}.");
        let (status, heading) = (StatusCode::NOT_FOUND, "Nothing measured yet");
        return Err(Refusal { status, heading, what, instead: whole });
    }
    if range.is_beyond(begin) {
        return Err(Refusal::bad(format!("Longer than the history: it begins on {at}."), whole));
    }
    Ok(())
}
