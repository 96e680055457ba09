//! The energy of several probes together: of a label, of a group, of all.

use std::collections::HashMap;

use kwapi_core::{ProbeId, Timestamp};

use super::{Batches, CELLS_MAX, EnergyRequest, EnergyRequestError, EnergySpan, Query};
use crate::journal::Position;
use crate::ledger::UnreadableRows;

/// How a probe counts in a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberCounts {
    /// Its energy and time are in it.
    In,
    /// Its energy is measured by another probe of the sum too, and belongs elsewhere: it is taken away.
    Away,
}

/// Which probes make up which sums.
#[derive(Clone, Debug, Default)]
pub struct SumMembers {
    sums: usize,
    of: HashMap<ProbeId, Vec<(usize, MemberCounts)>>,
}

/// The energy of sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SumEnergy {
    /// All before this position in the journal is in it, and nothing after.
    pub position: Position,
    /// Of each sum its spans, in order of time.
    pub sums: Vec<Vec<EnergySpan>>,
    /// Files that could not be read: their rows are missing.
    pub unreadable: Vec<UnreadableRows>,
    /// See [`Answer::without_samples`](super::Answer::without_samples).
    pub without_samples: Vec<Timestamp>,
}

impl SumMembers {
    /// So many sums, of nothing yet.
    pub fn new(sums: usize) -> Self {
        Self { sums, of: HashMap::new() }
    }

    /// Puts a probe into a sum.
    pub fn add(&mut self, probe: &ProbeId, sum: usize, counts: MemberCounts) {
        self.of.entry(probe.clone()).or_default().push((sum, counts));
    }
}

impl Query {
    /// Answers a question for sums: the probes are those of `members`, not the question's.
    ///
    /// # Errors
    /// See [`EnergyRequestError`].
    pub fn sums(
        &self,
        request: &EnergyRequest,
        members: &SumMembers,
    ) -> Result<SumEnergy, EnergyRequestError> {
        request.check(members.sums, CELLS_MAX)?;
        let request = EnergyRequest { probes: members.of.keys().cloned().collect(), ..request.clone() };
        let mut batches = Batches::new(self, &request);
        let mut sums: Vec<Vec<EnergySpan>> = vec![batches.empty(); members.sums];
        let mut done: Option<(ProbeId, usize)> = None;
        while let Some(batch) = batches.next_batch() {
            for energy in batch {
                // A probe with very many spans comes several times.
                let first =
                    done.take().filter(|(probe, _)| *probe == energy.probe).map_or(0, |(_, next)| next);
                for (sum, counts) in members.of.get(&energy.probe).into_iter().flatten() {
                    let Some(spans) = sums.get_mut(*sum) else { continue };
                    for (span, part) in spans.iter_mut().skip(first).zip(&energy.spans) {
                        match counts {
                            MemberCounts::In => span.add_probe(part),
                            MemberCounts::Away => span.take_away(part),
                        }
                    }
                }
                done = Some((energy.probe, first + energy.spans.len()));
            }
        }
        Ok(SumEnergy {
            position: batches.position(),
            sums,
            unreadable: batches.unreadable(),
            without_samples: batches.without_samples(),
        })
    }
}
