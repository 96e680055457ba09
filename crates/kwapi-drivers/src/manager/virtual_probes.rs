//! Virtual probes: the sum of outlets across meters (`[[virtual]] probe = "web1", sum = ["pduA.7", "pduB.7"]`).
//!
//! A sum is published when each part has said something new, or when [`WAIT_MAX`] has passed since the last sum; it
//! is unknown, and nothing is published, while a part is missing or older than `max_gap`. Where all parts are
//! measured, its energy is the sum of theirs, so that it agrees with their own totals and counters.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kwapi_core::{
    Accounting, Amperes, Energy, Measurement, MeterCounter, ProbeId, Quality, Reading, Timestamp, Watts,
};
use parking_lot::Mutex;

use super::derive::Assumptions;
use super::source::{Now, Outcome, Source};

/// How long a sum waits for parts of a longer interval: more than the usual second, so that two meters read once a
/// second give one sum a second.
const WAIT_MAX: Duration = Duration::from_millis(1_500);

/// A sum to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualSpec {
    /// The operator's name for it.
    pub probe: ProbeId,
    /// What it sums: probes of this process's meters.
    pub parts: Vec<ProbeId>,
    /// A part older than this makes the sum unknown. No less than the longest interval among the parts.
    pub max_gap: Duration,
}

/// Why a list of sums makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VirtualError {
    /// Nothing to sum.
    #[error("virtual probe {0:?} sums nothing")]
    Empty(String),
    /// A part named twice would count twice.
    #[error("virtual probe {probe:?} names {part:?} twice")]
    Twice {
        /// The sum.
        probe: String,
        /// The part.
        part: String,
    },
    /// The name is taken by another sum.
    #[error("two virtual probes are called {0:?}")]
    Duplicate(String),
    /// A sum of sums: name the outlets.
    #[error("virtual probe {probe:?} sums {part:?}, which is virtual itself; name its parts instead")]
    Nested {
        /// The sum.
        probe: String,
        /// The part.
        part: String,
    },
}

/// All sums of a manager.
#[derive(Debug, Default)]
pub(super) struct VirtualProbes {
    sums: Vec<(VirtualSpec, Mutex<Sum>)>,
    by_part: HashMap<ProbeId, Vec<usize>>,
}

/// One sum and its parts.
#[derive(Debug)]
struct Sum {
    source: Source,
    parts: Vec<Part>,
    published: Option<Duration>,
    /// Counts the times that the parts' totals ceased to be comparable with those before.
    epoch: u64,
}

/// One part, as it last was.
#[derive(Clone, Debug)]
struct Part {
    id: ProbeId,
    latest: Option<Latest>,
}

#[derive(Clone, Copy, Debug)]
struct Latest {
    power: Watts,
    current: Option<Amperes>,
    quality: Quality,
    session: Timestamp,
    energy: Energy,
    unknown_ms: u64,
    heard: Duration,
    is_new: bool,
}

impl VirtualProbes {
    /// Makes the sums of `specs`; those that `before` had already keep their accounts.
    pub(super) fn new(specs: Vec<VirtualSpec>, before: &mut Self) -> Result<Self, VirtualError> {
        check(&specs)?;
        let mut kept: Vec<_> = std::mem::take(before).sums;
        let mut sums = Self::default();
        for (index, spec) in specs.into_iter().enumerate() {
            for part in &spec.parts {
                sums.by_part.entry(part.clone()).or_default().push(index);
            }
            let same = kept.iter().position(|(old, _)| *old == spec);
            let sum = same.map_or_else(|| Mutex::new(Sum::new(&spec)), |index| kept.swap_remove(index).1);
            sums.sums.push((spec, sum));
        }
        Ok(sums)
    }

    /// The sums that `measurement`, a part of them, completes.
    pub(super) fn completed_by(&self, measurement: &Measurement, now: Now) -> Vec<Measurement> {
        let (Some(indices), Some(accounting)) =
            (self.by_part.get(&measurement.probe), measurement.accounting)
        else {
            return Vec::new();
        };
        let sums = indices.iter().filter_map(|index| self.sums.get(*index));
        sums.filter_map(|(spec, sum)| sum.lock().take(spec, measurement, &accounting, now)).collect()
    }
}

fn check(specs: &[VirtualSpec]) -> Result<(), VirtualError> {
    let mut names = HashSet::new();
    for VirtualSpec { probe, parts, .. } in specs {
        if parts.is_empty() {
            return Err(VirtualError::Empty(probe.to_string()));
        }
        if !names.insert(probe) {
            return Err(VirtualError::Duplicate(probe.to_string()));
        }
    }
    for VirtualSpec { probe, parts, .. } in specs {
        let mut seen = HashSet::new();
        for part in parts {
            let (probe, name) = (probe.to_string(), part.to_string());
            if !seen.insert(part) {
                return Err(VirtualError::Twice { probe, part: name });
            }
            if names.contains(part) {
                return Err(VirtualError::Nested { probe, part: name });
            }
        }
    }
    Ok(())
}

impl Sum {
    fn new(spec: &VirtualSpec) -> Self {
        let parts = spec.parts.iter().map(|id| Part { id: id.clone(), latest: None }).collect();
        Self { source: Source::new(spec.probe.clone(), spec.max_gap), parts, published: None, epoch: 0 }
    }

    fn take(
        &mut self,
        spec: &VirtualSpec,
        measurement: &Measurement,
        accounting: &Accounting,
        now: Now,
    ) -> Option<Measurement> {
        let part = self.parts.iter_mut().find(|part| part.id == measurement.probe)?;
        let latest = Latest {
            power: measurement.power,
            current: measurement.current,
            quality: accounting.quality,
            session: accounting.session,
            energy: accounting.totals.energy,
            unknown_ms: accounting.totals.unknown_ms,
            heard: now.monotonic,
            is_new: true,
        };
        let comparable = part
            .latest
            .is_some_and(|before| before.session == latest.session && before.unknown_ms == latest.unknown_ms);
        part.latest = Some(latest);
        self.epoch += u64::from(!comparable);

        let parts: Option<Vec<Latest>> = self.parts.iter().map(|part| part.latest).collect();
        let parts = parts?;
        let age = |instant: Duration| now.monotonic.saturating_sub(instant);
        if parts.iter().any(|part| age(part.heard) > spec.max_gap) {
            return None;
        }
        let waited = self.published.is_none_or(|published| age(published) >= WAIT_MAX);
        if !waited && !parts.iter().all(|part| part.is_new) {
            return None;
        }
        if self.published.is_some_and(|published| age(published) > spec.max_gap) {
            self.epoch += 1; // What some parts used while others were missing is not the sum's.
        }
        self.published = Some(now.monotonic);
        for part in &mut self.parts {
            if let Some(latest) = &mut part.latest {
                latest.is_new = false;
            }
        }
        match self.source.take(&reading(&parts, self.epoch), now, &Assumptions::default()) {
            Outcome::New(sum) => Some(without_meter(sum)),
            Outcome::Unchanged | Outcome::Nothing(_) => None,
        }
    }
}

/// The parts as one reading: the parts' own totals are its counter, while all of them are measured.
fn reading(parts: &[Latest], epoch: u64) -> Reading {
    let is_measured = parts.iter().all(|part| part.quality == Quality::Measured);
    let energy = parts.iter().fold(Energy::ZERO, |sum, part| sum.saturating_add(part.energy));
    let counter = MeterCounter {
        reset_at: Some(Timestamp::from_micros(epoch)),
        ..MeterCounter::new(energy, Energy::ZERO)
    };
    let current: Option<f64> = parts.iter().map(|part| part.current.map(|current| current.0)).sum();
    Reading {
        power: Some(Watts(parts.iter().map(|part| part.power.0).sum())),
        current: current.map(Amperes),
        counter: is_measured.then_some(counter),
        quality: if is_measured { Quality::Measured } else { Quality::Estimated },
        ..Reading::default()
    }
}

/// The sum has no meter of its own whose counter could be shown.
fn without_meter(sum: Measurement) -> Measurement {
    Measurement {
        accounting: sum.accounting.map(|accounting| Accounting { meter: None, ..accounting }),
        ..sum
    }
}

#[cfg(test)]
mod tests;
