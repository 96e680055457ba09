//! Questions about energy, their answers, and why there is none.

use std::time::Duration;

use kwapi_core::{ProbeId, Timestamp};

use super::{EnergySpan, EnergyStep};
use crate::journal::Position;
use crate::ledger::UnreadableRows;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyRequest {
    /// Whose energy.
    pub probes: Vec<ProbeId>,
    /// From when…
    pub start: Timestamp,
    /// …until when.
    pub end: Timestamp,
    /// In which spans.
    pub step: EnergyStep,
    /// Whether it takes in what was measured after `end` too: it ends with the newest measurement, as totals do.
    pub is_to_now: bool,
    /// Now, for what ends today.
    pub now: Timestamp,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnergyRequestError {
    /// It ends before it begins, or there.
    #[error("the end must be after the start")]
    Reversed,
    /// Its step is shorter than a second.
    #[error("the step must be one second or longer")]
    Step,
    /// More spans than are answered at once.
    #[error(
        "{requested} values requested; the limit is {max}: request fewer probes, a longer step or less time"
    )]
    TooMany {
        /// How many.
        requested: u128,
        /// How many would be answered.
        max: usize,
    },
    /// More samples than are read at once.
    #[error(
        "samples of {hours} hours required, those of all probes together; the limit is {max}: request fewer probes or less time"
    )]
    TooManySamples {
        /// Hours of samples, those of all probes together.
        hours: u64,
        /// How many would be read.
        max: u64,
    },
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// All before this position in the journal is in it, and nothing after.
    pub position: Position,
    /// In order of the ids.
    pub probes: Vec<ProbeEnergy>,
    /// Files that could not be read: their rows are missing.
    pub unreadable: Vec<UnreadableRows>,
    /// The hours, by their begins, in which samples should show where a row's energy lies and do not: some of the
    /// probes' energy is taken in proportion to time there. Empty where no samples are kept.
    pub without_samples: Vec<Timestamp>,
}

/// The energy of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeEnergy {
    /// Whose.
    pub probe: ProbeId,
    /// Since when the ledger has it; `None` where it never received any of it.
    pub since: Option<Timestamp>,
    /// The newest stamp in the ledger.
    pub until: Option<Timestamp>,
    /// In order of time, without a gap.
    pub spans: Vec<EnergySpan>,
}

impl EnergyRequest {
    /// Whether it makes sense, and is not too much for so many probes or sums.
    pub(super) fn check(&self, cells_each: usize, max: usize) -> Result<(), EnergyRequestError> {
        if self.end.micros() / 1_000 <= self.start.micros() / 1_000 {
            return Err(EnergyRequestError::Reversed);
        }
        if matches!(self.step, EnergyStep::Every(step) if step < Duration::from_secs(1)) {
            return Err(EnergyRequestError::Step);
        }
        let requested = u128::from(self.step.spans_max(self.start, self.end)) * cells_each.max(1) as u128;
        if requested > max as u128 { Err(EnergyRequestError::TooMany { requested, max }) } else { Ok(()) }
    }

    /// Its probes, each once, in order of their ids.
    pub(super) fn sorted_probes(&self) -> Vec<ProbeId> {
        let mut probes = self.probes.clone();
        probes.sort_unstable();
        probes.dedup();
        probes
    }
}
