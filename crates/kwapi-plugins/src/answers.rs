//! Questions about energy, and their answers: what `/v2/energy` and `kwapi energy` say, in the same words.
//!
//! An answer is written a part at a time, and all of it is true at one position in the journal.

mod question;
mod table;
pub mod when;

use std::collections::HashSet;

use axum::http::StatusCode;
use kwapi_core::{ProbeId, groups_of, meters_above};
use kwapi_history::{AskError, MemberCounts, ProbeEnergy, Query, SumMembers};

use crate::directory::Directory;
use crate::http::HttpError;
use crate::scope::Scope;

use question::EnergyBy;
pub(crate) use question::PARAMETERS;
pub use question::{EnergyFormat, EnergyQuestion};
use table::{EnergySubject, EnergyTable};

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
    /// Whether whoever asks may see everything.
    is_all: bool,
}

/// Takes an answer part by part; false: nobody wants the rest.
pub type TakePart<'a> = dyn FnMut(Vec<u8>) -> bool + 'a;

impl EnergyAnswers {
    /// Answers from `query`; labels and sums are those of `directory`.
    pub fn new(query: Query, directory: Directory) -> Self {
        Self { query, directory }
    }

    /// Chooses the probes that a question is about, of those in `scope`.
    ///
    /// # Errors
    /// When it names a probe or a group that is not there, or asks for too much.
    pub fn prepare(&self, question: EnergyQuestion, scope: &Scope) -> Result<PreparedAnswer, HttpError> {
        let all = self.query.probes();
        for named in question.choice.named() {
            if all.binary_search(named).is_err() || !scope.allows(named) {
                return Err(no_probe(named.as_str()));
            }
        }
        let is_asked = |probe: &ProbeId| {
            question.choice.takes(probe)
                && (question.groups.is_empty() || question.groups.iter().any(|group| probe.is_within(group)))
                && scope.allows(probe)
                && question.choice.takes_labels(probe, &self.directory)
                // Sums have their parts in them already.
                && (question.by == EnergyBy::Probe || !self.directory.is_sum(probe))
        };
        let probes: Vec<ProbeId> = all.into_iter().filter(is_asked).collect();
        let is_missing = |group: &&String| !probes.iter().any(|probe| probe.is_within(group));
        if let Some(group) = question.groups.iter().find(is_missing) {
            return Err(HttpError::new(StatusCode::NOT_FOUND, format!("There is no group {group:?}.")));
        }
        let (query, directory, is_all) = (self.query.clone(), self.directory.clone(), scope.is_all());
        Ok(PreparedAnswer { query, directory, question, probes, is_all })
    }
}

/// The answer to who asks for a probe that is not there, or not for them.
pub(crate) fn no_probe(id: &str) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, format!("There is no probe {id:?}."))
}

fn refused(error: AskError) -> HttpError {
    let mut message = error.to_string();
    message.get_mut(..1).map(str::make_ascii_uppercase).unwrap_or_default();
    HttpError::bad_request(message + ".")
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

    /// Writes the answer. `begin` is told the position in the journal that it is true at (not where that would tell of probes
    /// that the caller does not see), then `take` gets the text. Reads files, and may take a while.
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
        let ask = self.question.ask(self.probes.clone());
        let mut batches = self.query.batches(&ask).map_err(refused)?;
        let position = self.is_all.then(|| batches.position().to_string());
        begin(position.clone());
        let mut table = EnergyTable::new(&self.question, position);
        let mut last: Option<ProbeId> = None;
        while let Some(batch) = batches.next_batch() {
            for ProbeEnergy { probe, since, until, spans } in batch {
                if last.as_ref() != Some(&probe) {
                    table.subject(&EnergySubject::Probe { probe: &probe, since, until });
                }
                for span in &spans {
                    table.row(span);
                    if table.len() >= PART_BYTES && !take(table.part()) {
                        return Ok(());
                    }
                }
                last = Some(probe);
            }
        }
        table.end(&batches.unreadable(), &batches.without_samples(), self.is_all);
        take(table.part());
        Ok(())
    }

    fn write_sums(
        &self,
        begin: impl FnOnce(Option<String>),
        take: &mut TakePart<'_>,
    ) -> Result<(), HttpError> {
        let (names, members) = self.members();
        let ask = self.question.ask(Vec::new());
        let sums = self.query.sums(&ask, &members).map_err(refused)?;
        let position = self.is_all.then(|| sums.position.to_string());
        begin(position.clone());
        let mut table = EnergyTable::new(&self.question, position);
        for ((name, probes), spans) in names.iter().zip(&sums.sums) {
            table.subject(&EnergySubject::Sum { name: name.as_deref(), probes: *probes });
            for span in spans {
                table.row(span);
                if table.len() >= PART_BYTES && !take(table.part()) {
                    return Ok(());
                }
            }
        }
        table.end(&sums.unreadable, &sums.without_samples, self.is_all);
        take(table.part());
        Ok(())
    }

    /// The sums that are asked for, with how many probes are in each, and which.
    fn members(&self) -> (Vec<(Option<String>, usize)>, SumMembers) {
        let above = meters_above(&self.probes);
        let meters: HashSet<usize> = above.iter().flatten().copied().collect();
        // Of each probe the sums it is in.
        let sums_of = |(place, probe): (usize, &ProbeId)| -> Vec<Option<String>> {
            match &self.question.by {
                EnergyBy::Probe | EnergyBy::Total => vec![None],
                EnergyBy::Label(key) => vec![self.directory.labels(probe).remove(key)],
                EnergyBy::Group if self.question.groups.is_empty() => {
                    // The meter of a subtree is in the group that is called like it.
                    let own = meters.contains(&place).then_some(probe.as_str());
                    groups_of(probe).chain(own).map(|group| Some(group.to_owned())).collect()
                }
                EnergyBy::Group => {
                    let groups = self.question.groups.iter().filter(|group| probe.is_within(group));
                    groups.map(|group| Some(group.clone())).collect()
                }
            }
        };
        let of: Vec<Vec<Option<String>>> = self.probes.iter().enumerate().map(sums_of).collect();
        let mut names: Vec<Option<String>> = of.iter().flatten().cloned().collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() && self.question.by == EnergyBy::Total {
            names.push(None);
        }
        let place = |name: &Option<String>| names.binary_search(name).unwrap_or_default();
        let mut counts = vec![0_usize; names.len()];
        let mut members = SumMembers::new(names.len());
        for ((probe, own), above) in self.probes.iter().zip(&of).zip(above) {
            let empty = Vec::new();
            let of_meter = above.and_then(|above| of.get(above)).unwrap_or(&empty);
            for name in own {
                let sum = place(name);
                if let Some(count) = counts.get_mut(sum) {
                    *count += 1;
                }
                // A meter above in the same sum has measured it already.
                if !of_meter.contains(name) {
                    members.add(probe, sum, MemberCounts::In);
                }
            }
            // What a label has of a subtree is no part of what its meter has.
            if let EnergyBy::Label(_) = &self.question.by {
                for name in of_meter.iter().filter(|name| !own.contains(name)) {
                    members.add(probe, place(name), MemberCounts::Away);
                }
            }
        }
        (names.into_iter().zip(counts).collect(), members)
    }
}

#[cfg(test)]
mod tests;
