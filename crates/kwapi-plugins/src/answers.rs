//! Questions about energy and power, and their answers: what `/v2/energy`, `/v2/series` and `kwapi energy` report, in
//! the same words.
//!
//! An answer is written a part at a time, and all of it is true at one position in the journal.

mod placed;
mod question;
mod records;
mod rests;
mod table;
mod watch;
pub mod when;

use axum::http::StatusCode;
use kwapi_core::{ProbeId, Timestamp};
use kwapi_history::{EnergyRequestError, EnergySpan, PowerQuery, PowerSpan, ProbeEnergy, Query};

use crate::directory::Directory;
use crate::groups::{GroupMembers, HiddenProbes};
use crate::http::HttpError;
use crate::scope::Scope;

use question::EnergyBy;
pub use question::{EnergyFormat, EnergyQuestion};
#[cfg(test)]
pub(crate) use question::{GROUP_PARAMETERS, PARAMETERS};
pub(crate) use question::{accepts_csv, no_parameter, series_step};
pub use records::AnswerRecords;
pub(crate) use rests::{ACCURACY_DEFAULT, MeterRest, MeterRests};
use table::{EnergySubject, EnergyTable};
pub use watch::RestWatch;

/// The answer of a process without a ledger.
pub(crate) const NO_LEDGER: &str = "This process keeps no ledger; query the one that does (kwapi run, or kwapi rrd), or set enabled = true in [ledger].";

/// An answer is handed over in parts of about so many bytes.
const PART_BYTES: usize = 64 << 10;

/// What questions are answered from.
#[derive(Clone, Debug)]
pub struct EnergyAnswers {
    query: Query,
    directory: Directory,
}

/// A question, and the probes that it is about.
#[derive(Debug)]
pub struct PreparedAnswer {
    query: Query,
    directory: Directory,
    question: EnergyQuestion,
    probes: Vec<ProbeId>,
    /// Whom the caller may not see: groups that have one are left out.
    hidden: HiddenProbes,
    /// Whether the caller may see everything.
    is_all: bool,
}

/// Takes an answer part by part; false: nobody reads the rest.
pub type TakePart<'a> = dyn FnMut(Vec<u8>) -> bool + 'a;

impl EnergyAnswers {
    /// What it is answered from.
    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// Whose labels and sums they have.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Answers from `query`; labels and sums are those of `directory`.
    pub fn new(query: Query, directory: Directory) -> Self {
        Self { query, directory }
    }

    /// Chooses the probes that a question is about, of those in `scope`.
    ///
    /// # Errors
    /// When it names a probe or a group that is not there, or requests too much.
    pub fn prepare(&self, question: EnergyQuestion, scope: &Scope) -> Result<PreparedAnswer, HttpError> {
        let all = self.query.probes();
        for named in question.choice.named() {
            if all.binary_search(named).is_err() || !scope.allows(named) {
                return Err(no_probe(named.as_str()));
            }
        }
        let is_requested = |probe: &ProbeId| {
            question.choice.takes(probe)
                && (question.groups.is_empty() || question.groups.iter().any(|group| probe.is_within(group)))
                && scope.allows(probe)
                && question.choice.takes_labels(probe, &self.directory)
                // Sums have their parts in them already.
                && (question.by == EnergyBy::Probe || !self.directory.is_sum(probe))
        };
        let hidden = match question.by {
            EnergyBy::Group if !scope.is_all() => {
                GroupMembers::new(&all, &self.directory, scope).into_hidden()
            }
            _ => HiddenProbes::default(),
        };
        let probes: Vec<ProbeId> = all.into_iter().filter(is_requested).collect();
        let is_missing =
            |group: &&String| !hidden.leave_open(group) || !probes.iter().any(|probe| probe.is_within(group));
        if let Some(group) = question.groups.iter().find(is_missing) {
            return Err(no_group(group));
        }
        let (query, directory, is_all) = (self.query.clone(), self.directory.clone(), scope.is_all());
        Ok(PreparedAnswer { query, directory, question, probes, hidden, is_all })
    }
}

/// The answer to a request for a group that is not there, or not wholly for the caller.
pub(crate) fn no_group(group: &str) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, format!("There is no group {group:?}."))
}

/// The answer to a request for a probe that is not there, or not for the caller.
pub(crate) fn no_probe(id: &str) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, format!("There is no probe {id:?}."))
}

pub(crate) fn refused(error: EnergyRequestError) -> HttpError {
    let mut message = error.to_string();
    message.get_mut(..1).map(str::make_ascii_uppercase).unwrap_or_default();
    HttpError::bad_request(message + ".")
}

/// The power of the probes of a batch in its spans, which are the same of all.
fn of_batch(power: &mut PowerQuery<'_>, batch: &[ProbeEnergy]) -> Vec<Vec<PowerSpan>> {
    let probes: Vec<ProbeId> = batch.iter().map(|of| of.probe.clone()).collect();
    let times = batch.first().map(|of| times(&of.spans)).unwrap_or_default();
    power.of_probes(&probes, &times)
}

fn times(spans: &[EnergySpan]) -> Vec<(Timestamp, Timestamp)> {
    spans.iter().map(|span| (span.start, span.end)).collect()
}

impl PreparedAnswer {
    /// The question.
    pub fn question(&self) -> &EnergyQuestion {
        &self.question
    }

    /// How many probes it is about.
    pub fn probes(&self) -> usize {
        self.probes.len()
    }

    /// Writes the answer. `begin` gets the position in the journal that it is true at (not where that would disclose
    /// probes that the caller does not see), then `take` gets the text. Reads files, and may take a while.
    ///
    /// # Errors
    /// When the question makes no sense; nothing was begun then.
    pub fn write(
        &self,
        begin: impl FnOnce(Option<String>),
        take: &mut TakePart<'_>,
    ) -> Result<(), HttpError> {
        match &self.question.by {
            EnergyBy::Probe => self.write_probes(begin, take),
            EnergyBy::Total | EnergyBy::Label(_) | EnergyBy::Group => self.write_sums(begin, take),
        }
    }

    fn write_probes(
        &self,
        begin: impl FnOnce(Option<String>),
        take: &mut TakePart<'_>,
    ) -> Result<(), HttpError> {
        let request = self.question.request(self.probes.clone());
        let mut power = if self.question.has_power {
            Some(self.query.power(&request, None).map_err(refused)?)
        } else {
            None
        };
        let mut batches = self.query.batches(&request).map_err(refused)?;
        let position = self.is_all.then(|| batches.position().to_string());
        begin(position.clone());
        let mut table = EnergyTable::new(&self.question, position);
        let mut last: Option<ProbeId> = None;
        while let Some(batch) = batches.next_batch() {
            let mut powers =
                power.as_mut().map(|power| of_batch(power, &batch)).unwrap_or_default().into_iter();
            for ProbeEnergy { probe, since, until, spans } in batch {
                let powers = powers.next().unwrap_or_default();
                if last.as_ref() != Some(&probe) {
                    table.subject(&EnergySubject::Probe { probe: &probe, since, until });
                }
                for (place, span) in spans.iter().enumerate() {
                    table.row(span, powers.get(place));
                    if table.len() >= PART_BYTES && !take(table.part()) {
                        return Ok(());
                    }
                }
                last = Some(probe);
            }
        }
        let unreadable = power.map(|power| power.unreadable()).unwrap_or_default();
        table.end(&batches.unreadable(), &batches.without_samples(), &unreadable, self.is_all);
        take(table.part());
        Ok(())
    }

    fn write_sums(
        &self,
        begin: impl FnOnce(Option<String>),
        take: &mut TakePart<'_>,
    ) -> Result<(), HttpError> {
        let placed = self.placed()?;
        let request = self.question.request(Vec::new());
        let members = placed.power();
        let mut power = if self.question.has_power {
            Some(self.query.power(&request, Some(&members)).map_err(refused)?)
        } else {
            None
        };
        let sums = self.query.sums(&request, &placed.energy()).map_err(refused)?;
        let position = self.is_all.then(|| sums.position.to_string());
        begin(position.clone());
        let mut table = EnergyTable::new(&self.question, position);
        let times = sums.sums.first().map(|spans| times(spans)).unwrap_or_default();
        let powers = power.as_mut().map(|power| power.of_sums(&members, &times)).unwrap_or_default();
        let mut powers = powers.into_iter();
        for ((name, probes), spans) in placed.names.iter().zip(&sums.sums) {
            table.subject(&EnergySubject::Sum { name: name.as_deref(), probes: *probes });
            let powers = powers.next().unwrap_or_default();
            for (place, span) in spans.iter().enumerate() {
                table.row(span, powers.get(place));
                if table.len() >= PART_BYTES && !take(table.part()) {
                    return Ok(());
                }
            }
        }
        let unreadable = power.map(|power| power.unreadable()).unwrap_or_default();
        table.end(&sums.unreadable, &sums.without_samples, &unreadable, self.is_all);
        take(table.part());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
