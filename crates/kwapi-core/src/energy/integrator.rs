//! Energy at its source: watts over the driver manager's monotonic clock, anchored to the meter's own register.
//!
//! The rule is the seed's, new watts times elapsed time, amended: a gap longer than `max_gap` adds nothing by watts,
//! and where the meter counts energy itself, its register has the last word. Between two ticks of a coarse register the
//! watts fill in; at a tick they are reconciled. The total never falls: an overshoot holds it until the register has
//! caught up. Watts are trusted as far as the next value confirms them: one absurd value neither makes energy, nor
//! raises what is plausible, nor counts against a register (`docs/manual/energy.md`).

mod anchor;
mod outliers;
mod reconcile;

use std::time::Duration;

pub(super) use anchor::Anchor;
use outliers::Outliers;

use super::counter::{CounterChange, CounterTracker, MeterCounter};
use super::status::{Sums, Totals};
use crate::{Energy, Quality, Watts};

/// Between two readings an outlet may have drawn this many times the most it ever showed.
pub(super) const PLAUSIBLE_FACTOR: f64 = 3.0;
/// An outlet that never showed more than this may still have drawn it unseen, in watts.
const PLAUSIBLE_FLOOR: f64 = 100.0;
/// With a register, up to this many of the meter's own intervals between two readings are measured.
const INTERVALS_MEASURED: u32 = 3;

/// What is known of a meter beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Values further apart than this have nothing between them but what a register gives.
    pub max_gap: Duration,
    /// The meter's own interval.
    pub interval: Duration,
    /// The most the outlet can draw, where the operator has configured it; without it, by its own history.
    pub max_watts: Option<Watts>,
}

/// One probe's energy since its session began.
#[derive(Clone, Debug)]
pub struct Integrator {
    limits: Limits,
    last: Option<Duration>,
    /// The power of the reading before.
    watts_before: Option<f64>,
    /// What the register alone gave of the power at the reading before, of a meter without watts.
    counted_before: f64,
    /// The largest power that two successive readings agreed on.
    pub(super) watts_max: f64,
    pub(super) sums: Sums,
    pub(super) tracker: CounterTracker,
    /// Boxed, as what follows of a register: a meter of watts alone has none.
    pub(super) anchor: Option<Box<Anchor>>,
    pub(super) register_trusted: bool,
    /// By how much the latest tick of the register lifted the total over what the watts had added in that reading.
    pub(super) surplus_uj: u128,
    outliers: Outliers,
}

/// What a reading holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation<'a> {
    pub(super) power: Option<Watts>,
    pub(super) quality: Quality,
    pub(super) counter: Option<&'a MeterCounter>,
    /// Whether the power was derived from the counter.
    pub(super) is_counted: bool,
}

/// One reading, as it is integrated.
struct Step {
    elapsed: Duration,
    /// Whether the watts may be taken to have held since the reading before.
    near: bool,
    /// What the watts add.
    added_uj: u128,
    /// What those watts add that the reading before confirms.
    confirmed_uj: u128,
}

impl Integrator {
    /// Begins a session of a meter about which nothing is known but that values further apart than `max_gap` have
    /// unknown time between them.
    pub fn new(max_gap: Duration) -> Self {
        Self::within(Limits { max_gap, interval: Duration::ZERO, max_watts: None })
    }

    /// Begins a session.
    pub fn within(limits: Limits) -> Self {
        Self {
            limits,
            last: None,
            watts_before: None,
            counted_before: 0.0,
            watts_max: 0.0,
            sums: Sums::default(),
            tracker: CounterTracker::default(),
            anchor: None,
            register_trusted: true,
            surplus_uj: 0,
            outliers: Outliers::default(),
        }
    }

    /// What is known of the meter beforehand.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Values further apart than this have unknown time between them, from the next one on.
    pub fn set_max_gap(&mut self, max_gap: Duration) {
        self.limits.max_gap = max_gap;
    }

    /// Takes one reading at the monotonic instant `at`; one not after the last adds nothing. `power` must be finite
    /// and not negative. Returns what the meter's register did, if there is one.
    pub fn record(
        &mut self,
        at: Duration,
        power: Option<Watts>,
        quality: Quality,
        counter: Option<&MeterCounter>,
    ) -> Option<CounterChange> {
        let observation = Observation { power, quality, counter, is_counted: false };
        self.take(at, &observation, None)
    }

    /// Takes one reading, as [`Integrator::record`].
    pub(super) fn record_observation(
        &mut self,
        at: Duration,
        observation: &Observation<'_>,
    ) -> Option<CounterChange> {
        self.take(at, observation, None)
    }

    /// Takes the first reading after a stop, over which the register advanced by `advance`, found plausible already.
    pub(super) fn resume(&mut self, at: Duration, observation: &Observation<'_>, advance: Energy) {
        self.take(at, observation, Some(advance));
    }

    fn take(
        &mut self,
        at: Duration,
        observation: &Observation<'_>,
        over_stop: Option<Energy>,
    ) -> Option<CounterChange> {
        let Observation { power, quality, counter, is_counted } = *observation;
        let counter = counter.filter(|_| self.register_trusted);
        let elapsed = self.last.map_or(Duration::ZERO, |last| at.saturating_sub(last));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let near = elapsed <= self.limits.max_gap && over_stop.is_none();

        // What the register gave of the power is no evidence beside it.
        let (counted_power, power) = if is_counted { (power, None) } else { (None, power) };
        let power =
            self.outliers.judge(power.map(|watts| watts.0), near, self.watts_max, self.limits.max_watts);
        let late = self.outliers.settle();
        let confirmed = match (power, self.watts_before) {
            (Some(watts), Some(before)) if !self.outliers.is_second() => watts.min(before),
            _ => 0.0,
        };
        self.watts_max = self.watts_max.max(confirmed);
        let confirmed_uj = if near { microjoules(confirmed, elapsed) } else { 0 };
        let filling = power.or(counted_power.map(|watts| watts.0));
        let added_uj = match filling {
            Some(watts) if near => microjoules(watts, elapsed),
            Some(_) | None => 0,
        };
        let mut step = Step { elapsed, near, added_uj, confirmed_uj };

        if counter.is_none_or(|_| self.tracker.last().is_none()) {
            // Nothing else checks these watts.
            step.added_uj = self.outliers.hold(added_uj, confirmed_uj, quality);
            if let Some(late) = late {
                // The power that looked absurd at the reading before is the load.
                let sum = self.energy_of(late.quality);
                *sum = sum.saturating_add(late.uj);
            }
        }
        let before_uj = self.sums.total_uj();
        let reconciled = counter.map(|counter| self.reconcile(counter, &step, power, over_stop));
        let counted = reconciled.as_ref().is_some_and(|reconciled| reconciled.counted);
        let total_uj = match &reconciled {
            Some(reconciled) => reconciled.total_uj,
            None => self.fill(&step),
        };
        let gained_uj = total_uj.saturating_sub(before_uj);
        self.surplus_uj = if counted && near { gained_uj.saturating_sub(step.added_uj) } else { 0 };
        self.enter(&step, gained_uj, filling.is_some(), counted, quality);
        // A value that cannot be is no value: the one before it still has to be confirmed.
        if power.is_some() || !self.outliers.is_last() {
            self.watts_before = power;
        }
        reconciled.map(|reconciled| reconciled.change)
    }

    /// Enters what a reading gained, and its time, under their status.
    fn enter(&mut self, step: &Step, gained_uj: u128, has_power: bool, counted: bool, quality: Quality) {
        let is_far = !step.near && (!counted || step.elapsed > self.limits.longest_counted());
        let time = step.elapsed;
        if (is_far || !has_power) && !counted {
            // Without power nothing is gained; a register that gives back what it held is no more than late.
            self.sums.measured_uj = self.sums.measured_uj.saturating_add(gained_uj);
            self.sums.unknown += time;
        } else if is_far {
            self.sums.bridged_uj = self.sums.bridged_uj.saturating_add(gained_uj);
            self.sums.bridged += time;
        } else {
            // A tick's surplus over the watts is measured, whatever the watts are.
            let by_watts = step.added_uj.min(gained_uj);
            let sum = self.energy_of(quality);
            *sum = sum.saturating_add(by_watts);
            self.sums.measured_uj = self.sums.measured_uj.saturating_add(gained_uj - by_watts);
            match quality {
                Quality::Measured => self.sums.measured += time,
                Quality::Estimated => self.sums.estimated += time,
            }
        }
    }

    fn energy_of(&mut self, quality: Quality) -> &mut u128 {
        match quality {
            Quality::Measured => &mut self.sums.measured_uj,
            Quality::Estimated => &mut self.sums.estimated_uj,
        }
    }

    /// Counts from where the sums stood at `base`.
    pub(super) fn subtract(&mut self, base: &Sums) {
        let total_uj = base.total_uj();
        self.sums.measured_uj = self.sums.measured_uj.saturating_sub(base.measured_uj);
        self.sums.estimated_uj = self.sums.estimated_uj.saturating_sub(base.estimated_uj);
        self.sums.bridged_uj = self.sums.bridged_uj.saturating_sub(base.bridged_uj);
        self.sums.measured = self.sums.measured.saturating_sub(base.measured);
        self.sums.estimated = self.sums.estimated.saturating_sub(base.estimated);
        self.sums.bridged = self.sums.bridged.saturating_sub(base.bridged);
        self.sums.unknown = self.sums.unknown.saturating_sub(base.unknown);
        if let Some(anchor) = &mut self.anchor {
            anchor.total_uj = anchor.total_uj.saturating_sub(total_uj);
        }
    }

    /// What has been used since the session began.
    pub fn totals(&self) -> Totals {
        self.sums.since(&Sums::default())
    }

    /// Whether the meter's register still has the last word; not once it proved to disagree with the meter's watts.
    pub fn counter_trusted(&self) -> bool {
        self.register_trusted
    }

    /// The most that the outlet may draw between two readings, by the operator's configuration or its own history.
    pub fn plausible(&self) -> Watts {
        self.plausible_beside(0.0)
    }

    fn plausible_beside(&self, shown: f64) -> Watts {
        self.limits
            .max_watts
            .unwrap_or_else(|| Watts(self.watts_max.max(shown).max(PLAUSIBLE_FLOOR) * PLAUSIBLE_FACTOR))
    }

    /// How many values of power were found absurd: above `max_watts`, or far above all that this outlet ever showed and
    /// not confirmed by the next.
    pub fn outliers(&self) -> u64 {
        self.outliers.count
    }

    /// How many of them came in a row, to the latest reading; more than a few are a fault of the meter or of `max_watts`.
    pub fn outliers_in_a_row(&self) -> u32 {
        self.outliers.in_a_row
    }

    /// Whether the latest reading's power is absurd, as far as can be determined without the next.
    pub fn is_outlier(&self) -> bool {
        self.outliers.is_last()
    }
}

impl Limits {
    /// Up to how long after a reading the next one, with a register, is still measured, however short `max_gap`.
    fn longest_counted(&self) -> Duration {
        self.interval.saturating_mul(INTERVALS_MEASURED)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "watts are finite and not negative, \
    and 1 GW for a century is 3e24 microjoules, far below u128"
)]
pub(super) fn microjoules(watts: f64, elapsed: Duration) -> u128 {
    (watts.max(0.0) * elapsed.as_secs_f64() * 1e6).round() as u128
}

#[cfg(test)]
mod tests;
