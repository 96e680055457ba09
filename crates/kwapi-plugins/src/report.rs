//! The numbers of a year that the operator of a data centre reports: energy of the facility and of its IT, peak and PUE,
//! by the month. What a probe measures is given by its label `role`, and where IT energy is metered by `metered_at`.
//!
//! The names of the form are those of Commission Delegated Regulation (EU) 2024/1364, Annexes II and III; categories of PUE
//! are those of EN 50600-4-2.

mod print;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use kwapi_core::{ProbeId, Timestamp, groups_of};

use crate::bills::{AnsweredSpan, BillMonth, RowReader, question};
use crate::directory::{Directory, Labels};

/// A question names as many probes at most.
const PEAK_PROBES_MAX: usize = 100;

/// What a probe measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReportRole {
    /// All that the data centre takes.
    Facility,
    /// What its IT takes.
    It,
    /// What it generates itself from renewable sources.
    Renewable,
}

impl ReportRole {
    const ALL: [Self; 3] = [Self::Facility, Self::It, Self::Renewable];

    const fn name(self) -> &'static str {
        match self {
            Self::Facility => "facility",
            Self::It => "it",
            Self::Renewable => "renewable",
        }
    }
}

/// Energy and time of the probes of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RoleSum {
    probes: u64,
    mj: i64,
    known_ms: i64,
    /// Time of which nothing is known.
    missing_ms: u64,
}

/// How much of a month there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MonthState {
    /// All of it is known.
    Complete,
    /// Some time of it is unknown.
    Incomplete,
    /// Nothing is known of a role that has probes, or of any.
    Missing,
    /// It is not over.
    Open,
    /// It has not begun.
    Future,
}

/// A month of the report.
#[derive(Clone, Debug)]
struct ReportMonth {
    /// As `2026-10`.
    name: String,
    /// `None` where it has not begun.
    month: Option<BillMonth>,
    roles: [RoleSum; 3],
    /// Energy of the facility by the quarter hour, by its begin in Unix milliseconds.
    quarters: BTreeMap<u64, i64>,
}

/// The numbers of a year.
#[derive(Debug)]
pub struct YearReport {
    year: i16,
    zone: TimeZone,
    months: Vec<ReportMonth>,
    /// Of each IT probe, where it is metered; nothing where that is not given.
    metered_at: BTreeSet<Option<u8>>,
    /// Other values of the label `role`.
    others: BTreeSet<String>,
    has_peak: bool,
}

/// A report being made: the text of answers of `/v2/energy` in, month after month.
#[derive(Debug)]
pub struct ReportRun<'a> {
    directory: &'a Directory,
    report: YearReport,
    readers: [RowReader; 2],
    /// The probes of each role in the answer so far.
    counted: [BTreeSet<ProbeId>; 3],
}

impl<'a> ReportRun<'a> {
    /// A report of `year` in `zone`; of the current year what is over at `now`. Labels and sums are those of `directory`.
    ///
    /// # Errors
    /// When there is no such year, as one line.
    pub fn new(directory: &'a Directory, year: i16, zone: &TimeZone, now: Timestamp) -> Result<Self, String> {
        if !(1970..=9998).contains(&year) {
            return Err(format!("{year} is not a year that can be reported"));
        }
        let months: Vec<ReportMonth> = (1..=12)
            .map(|number| {
                let name = format!("{year}-{number:02}");
                let month = BillMonth::new(&name, zone, now).ok();
                ReportMonth { name, month, roles: [RoleSum::default(); 3], quarters: BTreeMap::new() }
            })
            .collect();
        if months.iter().all(|month| month.month.is_none()) {
            return Err(format!("nothing of {year} is over yet"));
        }
        let report = YearReport {
            year,
            zone: zone.clone(),
            months,
            metered_at: BTreeSet::new(),
            others: BTreeSet::new(),
            has_peak: true,
        };
        let (readers, counted) = Default::default();
        Ok(Self { directory, report, readers, counted })
    }

    /// The first query of `/v2/energy`: the energy of each month.
    pub fn energy_question(&self) -> Vec<(&'static str, String)> {
        let zone = self.report.zone.iana_name().unwrap_or("UTC");
        self.question(Vec::new(), "month", zone)
    }

    /// Takes the next part of the answer to [`ReportRun::energy_question`].
    ///
    /// # Errors
    /// When it makes no sense or files could not be read, as one line.
    pub fn take_energy(&mut self, part: &[u8]) -> Result<(), String> {
        let [reader, _] = &mut self.readers;
        let mut reader = std::mem::take(reader);
        let taken = reader.take(part, &mut |row| self.take_row(&row));
        let [kept, _] = &mut self.readers;
        *kept = reader;
        taken
    }

    /// A question about all that is over of the year.
    fn question(
        &self,
        probes: Vec<(&'static str, String)>,
        step: &str,
        zone: &str,
    ) -> Vec<(&'static str, String)> {
        let mut months = self.report.months.iter().filter_map(|month| month.month.as_ref());
        let first = months.next();
        let span = first.map(|first| (first.begin_ms, months.next_back().unwrap_or(first).end_ms));
        question(probes, span.unwrap_or_default(), Some(step), zone)
    }

    fn take_row(&mut self, row: &AnsweredSpan) -> Result<(), String> {
        if self.directory.is_sum(&row.probe) {
            return Ok(());
        }
        let labels = self.directory.labels(&row.probe);
        let Some(name) = labels.get("role") else { return Ok(()) };
        let Some(role) = ReportRole::ALL.into_iter().find(|role| role.name() == name) else {
            self.report.others.insert(name.clone());
            return Ok(());
        };
        row.complete()?;
        let Some(counted) = self.counted.get_mut(role as usize) else { return Ok(()) };
        // What is below a meter of the same role is in that already; ids come in order, the meter first.
        let is_below = groups_of(&row.probe)
            .filter_map(|group| ProbeId::new(group).ok())
            .any(|group| group != row.probe && counted.contains(&group));
        if is_below {
            return Ok(());
        }
        counted.insert(row.probe.clone());
        let month = self.report.month_at(row.quarter.begin_ms);
        month.and_then(|month| month.roles.get_mut(role as usize)).into_iter().for_each(|sum| sum.add(row));
        if role == ReportRole::It {
            self.report.metered_at.insert(category(&labels));
        }
        Ok(())
    }

    /// The second query of `/v2/energy`: the quarter hours of the facility; nothing where no probe has that role, or
    /// too many have.
    pub fn peak_question(&mut self) -> Option<Vec<(&'static str, String)>> {
        let facility = self.counted.get(ReportRole::Facility as usize)?;
        self.report.has_peak = facility.len() <= PEAK_PROBES_MAX;
        let probes: Vec<_> = facility.iter().map(|probe| ("probe", probe.to_string())).collect();
        let is_needed = self.report.has_peak && !probes.is_empty();
        is_needed.then(|| self.question(probes, "quarter", "UTC"))
    }

    /// Takes the next part of the answer to [`ReportRun::peak_question`].
    ///
    /// # Errors
    /// When it makes no sense or files could not be read, as one line.
    pub fn take_peak(&mut self, part: &[u8]) -> Result<(), String> {
        let [_, reader] = &mut self.readers;
        let report = &mut self.report;
        reader.take(part, &mut |row| {
            row.complete()?;
            let begin_ms = row.quarter.begin_ms;
            if let Some(month) = report.month_at(begin_ms) {
                let sum = month.quarters.entry(begin_ms).or_default();
                *sum = sum.saturating_add(row.quarter.known.energy_mj());
            }
            Ok(())
        })
    }

    /// The report.
    ///
    /// # Errors
    /// When no probe has a role, as one line.
    pub fn end(self) -> Result<YearReport, String> {
        let of = |role: ReportRole| self.report.months.iter().any(|month| month.role(role).probes > 0);
        if !ReportRole::ALL.into_iter().any(of) {
            return Err("no probe has the label `role` with the value `it`, `facility` or `renewable`; set it in [labels] or `labels` of the meters".to_owned());
        }
        Ok(self.report)
    }
}

/// The category of PUE by where IT energy is metered (EN 50600-4-2): 1 at the output of the UPS, 2 at that of the PDUs, 3 at
/// the input of the IT equipment.
fn category(labels: &Labels) -> Option<u8> {
    match labels.get("metered_at")?.as_str() {
        "ups" => Some(1),
        "pdu" => Some(2),
        "equipment" => Some(3),
        _ => None,
    }
}

impl RoleSum {
    fn add(&mut self, row: &AnsweredSpan) {
        let quarter = &row.quarter;
        self.probes += 1;
        self.mj = self.mj.saturating_add(quarter.known.energy_mj());
        self.known_ms = quarter.known.ms.iter().fold(self.known_ms, |sum, ms| sum.saturating_add(*ms));
        self.missing_ms =
            self.missing_ms.saturating_add(quarter.unknown_ms).saturating_add(quarter.absent_ms);
    }

    fn plus(self, other: Self) -> Self {
        Self {
            probes: self.probes.max(other.probes),
            mj: self.mj.saturating_add(other.mj),
            known_ms: self.known_ms.saturating_add(other.known_ms),
            missing_ms: self.missing_ms.saturating_add(other.missing_ms),
        }
    }

    /// Whether hardly any time is missing.
    fn is_nearly_whole(&self) -> bool {
        let missing = i64::try_from(self.missing_ms).unwrap_or(i64::MAX);
        self.known_ms > 0 && missing.saturating_mul(99) <= self.known_ms
    }

    /// In whole watt-hours; `None` where nothing is known.
    fn wh(&self) -> Option<i64> {
        (self.known_ms > 0).then(|| self.mj.div_euclid(3_600_000))
    }
}

impl ReportMonth {
    fn role(&self, role: ReportRole) -> RoleSum {
        self.roles.get(role as usize).copied().unwrap_or_default()
    }

    /// Facility and IT, where both are known well enough to be compared: what is missing of one alone would pass for another
    /// PUE.
    fn compared(&self) -> Option<[RoleSum; 2]> {
        let both = [ReportRole::Facility, ReportRole::It].map(|role| self.role(role));
        both.iter().all(RoleSum::is_nearly_whole).then_some(both)
    }

    fn state(&self) -> MonthState {
        let Some(month) = &self.month else { return MonthState::Future };
        if !month.is_over() {
            return MonthState::Open;
        }
        let known = |role: ReportRole| self.role(role).probes == 0 || self.role(role).known_ms > 0;
        if self.roles.iter().all(|sum| sum.known_ms == 0) || !ReportRole::ALL.into_iter().all(known) {
            return MonthState::Missing;
        }
        if self.roles.iter().any(|sum| sum.missing_ms > 0) {
            MonthState::Incomplete
        } else {
            MonthState::Complete
        }
    }

    /// The quarter hour in which the facility took most: its begin, and its energy in millijoules.
    fn peak(&self) -> Option<(u64, i64)> {
        let highest = self.quarters.iter().rev().max_by_key(|(_, mj)| **mj)?;
        Some((*highest.0, *highest.1)).filter(|(_, mj)| *mj > 0)
    }
}

impl YearReport {
    /// The month that an instant is in, by its Unix milliseconds.
    fn month_at(&mut self, at_ms: u64) -> Option<&mut ReportMonth> {
        let has_begun =
            |month: &ReportMonth| month.month.as_ref().is_some_and(|month| month.begin_ms <= at_ms);
        self.months.iter_mut().rev().find(|month| has_begun(month))
    }

    fn total(&self, role: ReportRole) -> RoleSum {
        self.months.iter().map(|month| month.role(role)).fold(RoleSum::default(), RoleSum::plus)
    }

    fn peak(&self) -> Option<(u64, i64)> {
        self.months.iter().rev().filter_map(ReportMonth::peak).max_by_key(|(_, mj)| *mj)
    }

    /// The category of all IT probes: that of the one metered farthest from the equipment; `None` where one does not
    /// have one.
    fn category(&self) -> Option<u8> {
        self.metered_at.iter().next().copied().flatten()
    }
}
