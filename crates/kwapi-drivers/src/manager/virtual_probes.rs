//! Virtual probes: the sum of outlets across meters (`[[virtual]] probe = "web1", sum = ["pduA.7", "pduB.7"]`).
//!
//! A sum is published when each part has reported something new, or when [`WAIT_MAX`] has passed since the last sum; it
//! is unknown, and nothing is published, while a part is missing or older than `max_gap`, which follows the pace of the
//! slowest part unless it is set. Where all parts are
//! measured, its energy is the sum of theirs, so that it agrees with their own totals and counters. Over a stop it
//! continues only if all parts do: its register is the sum of their curves, and is identified by which curves those
//! are.
//!
//! A part that counts and gives no power, as its counter stands still (the tariff that is not in force), is well: while
//! there is one, the sum's power is derived from the sum of the registers, in their ticks.

mod part;

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{
    Accounting, Amperes, CurvePoint, Energy, Keep, Limits, Measurement, MeterCounter, MeterFacts, ProbeId,
    Quality, Reading, Register, SessionEntry, Timestamp, Watts,
};
use parking_lot::Mutex;

use super::derive::Assumptions;
use super::place::RegisterPlace;
use super::published::{Draft, Now, Outcome, PublishedProbe};
use super::state::ManagerState;
pub(super) use part::PartReport;
use part::{Latest, SumPart};

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
    /// Whether `max_gap` grows with the pace at which the slowest part is received.
    pub max_gap_follows: bool,
}

/// Why a list of sums makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VirtualError {
    /// Nothing to sum.
    #[error("virtual probe {0:?} has no parts")]
    Empty(String),
    /// A part named twice would count twice.
    #[error("virtual probe {probe:?} lists {part:?} twice")]
    Twice {
        /// The sum.
        probe: String,
        /// The part.
        part: String,
    },
    /// The name is taken by another sum.
    #[error("duplicate virtual probe {0:?}")]
    Duplicate(String),
    /// A sum of sums: name the outlets.
    #[error("virtual probe {probe:?} sums {part:?}, which is virtual itself; list its parts instead")]
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
    sums: Vec<(VirtualSpec, Arc<Mutex<Sum>>)>,
    by_part: HashMap<ProbeId, Vec<usize>>,
}

/// One sum and its parts.
#[derive(Debug)]
pub(super) struct Sum {
    /// Made with the first sum, when the state is known.
    source: Option<PublishedProbe>,
    place: RegisterPlace,
    register: Arc<Register>,
    parts: Vec<SumPart>,
    published: Option<Duration>,
    /// Whether a part's curve has passed over unknown time, or is another, since the latest sum.
    is_upset: bool,
    /// Counts the times that the parts' totals ceased to be comparable with those before.
    epoch: u64,
}

impl VirtualProbes {
    /// Makes the sums of `specs`; those that `before` had already keep their accounts, the rest of them stay there.
    pub(super) fn new(specs: Vec<VirtualSpec>, before: &mut Self) -> Result<Self, VirtualError> {
        check(&specs)?;
        let mut kept: Vec<_> = std::mem::take(before).sums;
        let mut sums = Self::default();
        for (index, spec) in specs.into_iter().enumerate() {
            for part in &spec.parts {
                sums.by_part.entry(part.clone()).or_default().push(index);
            }
            let same = kept.iter().position(|(old, _)| *old == spec);
            let sum =
                same.map_or_else(|| Arc::new(Mutex::new(Sum::new(&spec))), |index| kept.swap_remove(index).1);
            sums.sums.push((spec, sum));
        }
        before.sums = kept;
        Ok(sums)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Whether `probe` is part of one.
    pub(super) fn has_part(&self, probe: &ProbeId) -> bool {
        self.by_part.contains_key(probe)
    }

    /// The sums that what a part of them reported completes.
    pub(super) fn completed_by(
        &self,
        report: &PartReport<'_>,
        now: Now<'_>,
        state: &ManagerState,
    ) -> Vec<Completed> {
        let Some(indices) = self.by_part.get(report.probe) else { return Vec::new() };
        let sums = indices.iter().filter_map(|index| self.sums.get(*index));
        let completed = sums.filter_map(|(spec, sum)| {
            let (draft, keep) = sum.lock().take(spec, report, now, state)?;
            Some(Completed { probe: spec.probe.clone(), sum: sum.clone(), draft, keep })
        });
        completed.collect()
    }

    /// What the state is to have of them at the end.
    pub(super) fn into_entries(self, boot: &str) -> Vec<SessionEntry> {
        let sources = self.sums.into_iter().filter_map(|(_, sum)| sum.lock().source.take());
        sources.flat_map(|source| source.into_entries(boot)).collect()
    }
}

/// A sum to be published once the state has recorded `keep`.
pub(super) struct Completed {
    probe: ProbeId,
    sum: Arc<Mutex<Sum>>,
    draft: Draft,
    pub(super) keep: Option<Keep>,
}

impl Completed {
    pub(super) fn publish(self, state: &ManagerState) -> Option<(Measurement, MeterFacts)> {
        let is_kept = state.has(&self.probe);
        let mut sum = self.sum.lock();
        let source = sum.source.as_mut()?;
        let facts =
            MeterFacts { driver: "sum", interval: None, max_gap: source.max_gap(), accuracy_percent: None };
        Some((without_meter(source.publish(self.draft, is_kept)?), facts))
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
        let parts = spec.parts.iter().map(SumPart::new).collect();
        let place = RegisterPlace::of_sum(&spec.parts);
        Self {
            source: None,
            place,
            register: Arc::default(),
            parts,
            published: None,
            is_upset: false,
            epoch: 0,
        }
    }

    fn take(
        &mut self,
        spec: &VirtualSpec,
        report: &PartReport<'_>,
        now: Now<'_>,
        state: &ManagerState,
    ) -> Option<(Draft, Option<Keep>)> {
        let part = self.parts.iter_mut().find(|part| part.id == *report.probe)?;
        let comparable = part.take(report, now.monotonic);
        self.epoch += u64::from(!comparable);
        self.is_upset |= !comparable;

        if self.published == Some(now.monotonic) {
            return None; // Of parts that come by the block, a sum is published once a block.
        }
        let parts: Option<Vec<Latest>> = self.parts.iter().map(|part| part.latest).collect();
        let parts = parts?;
        let age = |instant: Duration| now.monotonic.saturating_sub(instant);
        let max_gap = self.max_gap(spec);
        if parts.iter().any(|part| age(part.received_at) > max_gap) {
            return None;
        }
        let waited = self.published.is_none_or(|published| age(published) >= WAIT_MAX);
        if !waited && !parts.iter().all(|part| part.is_new) {
            return None;
        }
        let powers = parts.iter().map(|part| part.power.filter(|(_, stamp)| age(*stamp) <= max_gap));
        let power: Option<f64> = powers.map(|power| power.map(|(watts, _)| watts.0)).sum();
        if power.is_none() && parts.iter().any(|part| part.curve.is_none()) {
            return None;
        }
        if self.published.is_some_and(|published| age(published) > max_gap) {
            self.epoch += 1; // What some parts used while others were missing is not the sum's.
        }
        self.published = Some(now.monotonic);
        for part in &mut self.parts {
            if let Some(latest) = &mut part.latest {
                latest.is_new = false;
            }
        }
        let reading = self.reading(&parts, power.map(Watts));
        let source = self.source.get_or_insert_with(|| {
            let limits = Limits { max_gap, interval: WAIT_MAX, max_watts: None };
            PublishedProbe::new(spec.probe.clone(), limits, state.past(&spec.probe))
        });
        source.set_max_gap(max_gap);
        match source.take(&reading, now, &Assumptions::default(), &self.place) {
            Outcome::New(draft, keep) => Some((draft, keep.map(|keep| *keep))),
            Outcome::Unchanged | Outcome::Held(..) | Outcome::Nothing(..) => None,
        }
    }

    /// The age at which a part makes the sum unknown: as configured, or longer where the slowest part is received less
    /// often.
    fn max_gap(&self, spec: &VirtualSpec) -> Duration {
        let own = self.parts.iter().map(|part| part.pace.gap(spec.max_gap)).max();
        own.filter(|_| spec.max_gap_follows).unwrap_or(spec.max_gap)
    }

    /// The parts as one reading. While all of them are measured, they are its register: the sum of their curves, or,
    /// where one has none, of their sessions, which does not outlive the process. Without `power` it is their register alone.
    fn reading(&mut self, parts: &[Latest], power: Option<Watts>) -> Reading {
        let is_measured = power.is_none() || parts.iter().all(|part| part.quality == Quality::Measured);
        let curves: Option<Vec<CurvePoint>> = parts.iter().map(|part| part.curve).collect();
        let begun = curves.iter().flatten().map(|curve| curve.begin);
        let energy = parts.iter().map(|part| part.energy).chain(begun);
        let energy = energy.fold(Energy::ZERO, Energy::saturating_add);
        let ticks = parts.iter().map(|part| part.tick).fold(Energy::ZERO, Energy::saturating_add);
        self.update_register(curves.as_deref());
        let current: Option<f64> = parts.iter().map(|part| part.current.map(|current| current.0)).sum();
        // The curves do not cover that time; without them `epoch` shows it.
        let is_upset = std::mem::take(&mut self.is_upset) && curves.is_some() && self.source.is_some();
        let counter = MeterCounter {
            // What a curve goes through is identified by its id; a part without one may have started afresh.
            reset_at: curves.is_none().then_some(Timestamp::from_micros(self.epoch)),
            ..MeterCounter::new(energy, ticks)
        };
        Reading {
            power,
            current: current.map(Amperes),
            counter: (is_measured && !is_upset).then_some(counter),
            register: Some(self.register.clone()),
            quality: if is_measured { Quality::Measured } else { Quality::Estimated },
            ..Reading::default()
        }
    }

    /// The sum of other curves is another register.
    fn update_register(&mut self, curves: Option<&[CurvePoint]>) {
        let serial = curves.map(|curves| {
            curves.iter().fold(String::new(), |mut text, curve| {
                _ = write!(text, "{}+", curve.id.micros());
                text
            })
        });
        let is_of_session = serial.is_none();
        if self.register.serial != serial || self.register.is_of_session != is_of_session {
            self.register = Arc::new(Register { serial, is_of_session, ..Register::default() });
        }
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
