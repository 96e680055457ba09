//! What the meter's register does to the total: it has the last word, as long as it is trusted.

use std::time::Duration;

use super::super::counter::{CounterChange, MeterCounter};
use super::super::status::{energy, microjoules as of_energy};
use super::{Anchor, Integrator, Step, microjoules};
use crate::{Energy, Watts};

/// A register is no longer trusted once the watts have outrun it by more than this share of themselves…
const DISTRUST_SHARE: u128 = 4;
/// …and by more than this, in microjoules (10 Wh): small meters disagree with themselves by that much.
const DISTRUST_FLOOR_UJ: u128 = 36_000_000_000;

/// What a register did to the total.
pub(super) struct Reconciled {
    pub(super) total_uj: u128,
    /// Whether it gave how much was used since the reading before.
    pub(super) counted: bool,
    pub(super) change: CounterChange,
}

impl Integrator {
    /// Where the register puts the total, and whether it is still trusted.
    pub(super) fn reconcile(
        &mut self,
        counter: &MeterCounter,
        step: &Step,
        power: Option<f64>,
        over_stop: Option<Energy>,
    ) -> Reconciled {
        let before_uj = self.sums.total_uj();
        let by_watts_uj = before_uj.saturating_add(step.added_uj);
        let resolution_uj = of_energy(counter.resolution);
        if let Some(anchor) = &mut self.anchor {
            anchor.integrated_uj = anchor.integrated_uj.saturating_add(step.confirmed_uj);
            // A tick that was guessed from the digits of one value is made good when a later value has more.
            anchor.slack_uj = anchor.slack_uj.min(resolution_uj);
        }
        let is_seen = step.near && self.tracker.unread().is_zero();
        let change = self.observe(counter, step, power, over_stop);
        let advance = match change {
            CounterChange::Advanced(advance) | CounterChange::Wrapped(advance) => advance,
            CounterChange::First => {
                self.anchor = Some(Box::new(Anchor::at(by_watts_uj, resolution_uj)));
                return Reconciled { total_uj: by_watts_uj, counted: false, change };
            }
            CounterChange::Reset | CounterChange::Jumped(_) => {
                // Only what two readings agree on: nothing else checks these watts.
                let total_uj = before_uj.saturating_add(step.confirmed_uj);
                self.anchor = Some(Box::new(Anchor::at(total_uj, resolution_uj)));
                return Reconciled { total_uj, counted: false, change };
            }
        };
        let mut anchor = self.anchor.as_deref().copied();
        let anchor = anchor.get_or_insert_with(|| Anchor::at(before_uj, resolution_uj));
        anchor.counted_uj = anchor.counted_uj.saturating_add(of_energy(advance));
        let (least, most) = anchor.range(resolution_uj);
        let integrated = anchor.total_uj.saturating_add(anchor.integrated_uj);
        let distrust = (anchor.integrated_uj / DISTRUST_SHARE).max(2 * resolution_uj).max(DISTRUST_FLOOR_UJ);
        if integrated.saturating_sub(most) > distrust {
            // It stands still or counts in another unit than its manual states: give back what was held.
            self.anchor = None;
            self.register_trusted = false;
            // Of this reading what the one before confirms: nothing else checks its watts any more.
            return Reconciled { total_uj: integrated, counted: false, change };
        }
        let ticked = advance > Energy::ZERO && anchor.slack_uj > 0 && is_seen;
        let most = if ticked {
            // Seen to tick for the first time: no more than its ticks and what came after the last of them.
            most.min(anchor.total_uj.saturating_add(anchor.counted_uj).saturating_add(step.added_uj))
        } else {
            most
        };
        let total_uj = by_watts_uj.min(most).max(before_uj).max(least);
        // A tick was seen to happen: from here the register is exact.
        let anchor = if ticked { Anchor::at(total_uj, 0) } else { *anchor };
        match &mut self.anchor {
            Some(before) => **before = anchor,
            None => self.anchor = Some(Box::new(anchor)),
        }
        Reconciled { total_uj, counted: true, change }
    }

    /// Where the watts put the total in a reading without the register: what they had got ahead of it when it was last read
    /// is made good first.
    pub(super) fn fill(&mut self, step: &Step) -> u128 {
        let before_uj = self.sums.total_uj();
        let by_watts_uj = before_uj.saturating_add(step.added_uj);
        let passed = self.tracker.pass(step.elapsed, step.added_uj);
        let (Some((counter, filled_uj)), Some(anchor)) = (passed, &mut self.anchor) else {
            return by_watts_uj;
        };
        anchor.integrated_uj = anchor.integrated_uj.saturating_add(step.confirmed_uj);
        let (_, most) = anchor.range(of_energy(counter.resolution));
        by_watts_uj.min(most.saturating_add(filled_uj)).max(before_uj)
    }

    /// What the register did since the reading before.
    fn observe(
        &mut self,
        counter: &MeterCounter,
        step: &Step,
        power: Option<f64>,
        over_stop: Option<Energy>,
    ) -> CounterChange {
        if let Some(advance) = over_stop {
            self.tracker.resume(counter);
            return CounterChange::Advanced(advance);
        }
        let shown = power.filter(|_| step.near).unwrap_or(0.0);
        let elapsed = step.elapsed.saturating_add(self.tracker.unread());
        if power.is_none() && self.limits.max_watts.is_none() {
            self.learn(counter, elapsed);
        }
        let Watts(watts) = self.plausible_beside(shown);
        self.tracker.observe(counter, energy(microjoules(watts, elapsed)))
    }

    /// A meter without watts shows by its register what its outlet draws, and that is trusted as watts are: as far as
    /// two readings agree. So an outlet whose load rises to many times what it was loses one reading, not all that follow.
    fn learn(&mut self, counter: &MeterCounter, elapsed: Duration) {
        let before = self.tracker.last().map_or(counter.value, |last| last.value);
        let advance = counter.value.saturating_sub(before).saturating_sub(counter.resolution);
        let watts = if elapsed.is_zero() { 0.0 } else { advance.joules() / elapsed.as_secs_f64() };
        self.watts_max = self.watts_max.max(watts.min(self.counted_before));
        self.counted_before = watts;
    }
}
