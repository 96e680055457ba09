//! Energy at its source: watts over the driver manager's monotonic clock, anchored to the meter's own counter.
//!
//! The rule is the seed's, new watts times elapsed time, amended: a gap longer than `max_gap` adds nothing and is
//! unknown time, and where the meter counts energy itself, its counter has the last word. Between two ticks of a
//! coarse counter the watts fill in; at a tick they are reconciled. The total never falls: an overshoot holds it
//! until the counter has caught up.

use std::time::Duration;

use super::counter::{CounterChange, CounterTracker, MeterCounter};
use super::status::Totals;
use crate::{Energy, Quality, Watts};

/// A counter is no longer believed once the watts have outrun it by more than this share of themselves…
const DISBELIEF_SHARE: u128 = 4;
/// …and by more than this, in microjoules (10 Wh): small meters disagree with themselves by that much.
const DISBELIEF_FLOOR_UJ: u128 = 36_000_000_000;
/// Between two readings an outlet may have drawn this many times the most it ever showed.
const PLAUSIBLE_FACTOR: f64 = 3.0;
/// An outlet that never showed more than this may still have drawn it unseen, in watts.
const PLAUSIBLE_FLOOR: f64 = 100.0;

/// One probe's energy since its session began.
#[derive(Clone, Debug)]
pub struct Integrator {
    max_gap: Duration,
    last: Option<Duration>,
    power_max: f64,
    energy_uj: u128,
    measured: Duration,
    estimated: Duration,
    unknown: Duration,
    tracker: CounterTracker,
    anchor: Option<Anchor>,
    counter_believed: bool,
}

/// Where the counter and the total were last known to agree.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    /// The total then.
    total_uj: u128,
    /// What the counter has advanced since.
    counted_uj: u128,
    /// What the watts have added up to since.
    integrated_uj: u128,
    /// How far into its tick the counter may have been then: nothing when the anchor was dropped at a tick.
    slack_uj: u128,
}

impl Integrator {
    /// Begins a session. Values further apart than `max_gap` have unknown time between them.
    pub fn new(max_gap: Duration) -> Self {
        Self {
            max_gap,
            last: None,
            power_max: 0.0,
            energy_uj: 0,
            measured: Duration::ZERO,
            estimated: Duration::ZERO,
            unknown: Duration::ZERO,
            tracker: CounterTracker::default(),
            anchor: None,
            counter_believed: true,
        }
    }

    /// Values further apart than this have unknown time between them, from the next one on.
    pub fn set_max_gap(&mut self, max_gap: Duration) {
        self.max_gap = max_gap;
    }

    /// Takes one reading at the monotonic instant `at`; one not after the last adds nothing. `power` must be finite
    /// and not negative. Returns what the meter's counter did, if there is one.
    pub fn record(
        &mut self,
        at: Duration,
        power: Option<Watts>,
        quality: Quality,
        counter: Option<&MeterCounter>,
    ) -> Option<CounterChange> {
        let elapsed = self.last.map_or(Duration::ZERO, |last| at.saturating_sub(last));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let gap = elapsed > self.max_gap;

        let added = match power {
            Some(Watts(watts)) if !gap => {
                self.power_max = self.power_max.max(watts);
                microjoules(watts, elapsed)
            }
            Some(_) | None => 0,
        };
        let unbridged = gap || power.is_none();
        self.energy_uj = self.energy_uj.saturating_add(added);
        if let Some(anchor) = &mut self.anchor {
            anchor.integrated_uj = anchor.integrated_uj.saturating_add(added);
        }

        let change =
            counter.filter(|_| self.counter_believed).map(|counter| self.reconcile(counter, elapsed, added));
        let counted = matches!(change, Some(CounterChange::Advanced(_) | CounterChange::Wrapped(_)));
        if unbridged && !counted {
            self.unknown += elapsed;
        } else if quality == Quality::Estimated && !counted {
            self.estimated += elapsed;
        } else {
            self.measured += elapsed;
        }
        change
    }

    /// What has been used since the session began.
    pub fn totals(&self) -> Totals {
        Totals {
            energy: Energy::from_millijoules(u64::try_from(self.energy_uj / 1000).unwrap_or(u64::MAX)),
            measured_ms: milliseconds(self.measured),
            estimated_ms: milliseconds(self.estimated),
            unknown_ms: milliseconds(self.unknown),
            ..Totals::default()
        }
    }

    /// Whether the meter's counter still has the last word; not once it proved to disagree with the meter's watts.
    pub fn counter_believed(&self) -> bool {
        self.counter_believed
    }

    fn reconcile(&mut self, counter: &MeterCounter, elapsed: Duration, added: u128) -> CounterChange {
        let plausible = microjoules(self.power_max.max(PLAUSIBLE_FLOOR) * PLAUSIBLE_FACTOR, elapsed);
        let change = self.tracker.observe(counter, energy(plausible));
        let resolution_uj = u128::from(counter.resolution.millijoules()) * 1000;
        match change {
            CounterChange::First | CounterChange::Reset | CounterChange::Jumped(_) => {
                let total_uj = self.energy_uj;
                self.anchor =
                    Some(Anchor { total_uj, counted_uj: 0, integrated_uj: 0, slack_uj: resolution_uj });
            }
            CounterChange::Advanced(advance) | CounterChange::Wrapped(advance) => {
                let before_uj = self.energy_uj.saturating_sub(added);
                let Some(anchor) = &mut self.anchor else { return change };
                anchor.counted_uj =
                    anchor.counted_uj.saturating_add(u128::from(advance.millijoules()) * 1000);
                let counted_total = anchor.total_uj.saturating_add(anchor.counted_uj);
                let least = counted_total.saturating_sub(anchor.slack_uj);
                let most = counted_total.saturating_add(resolution_uj);
                let overshoot =
                    self.energy_uj.max(anchor.total_uj + anchor.integrated_uj).saturating_sub(most);
                let disbelief =
                    (anchor.integrated_uj / DISBELIEF_SHARE).max(2 * resolution_uj).max(DISBELIEF_FLOOR_UJ);
                if overshoot > disbelief {
                    // It stands still or counts in another unit than its manual says: give back what was held.
                    self.energy_uj = self.energy_uj.max(anchor.total_uj.saturating_add(anchor.integrated_uj));
                    self.anchor = None;
                    self.counter_believed = false;
                    return change;
                }
                self.energy_uj = self.energy_uj.min(most).max(before_uj).max(least);
                if advance > Energy::ZERO && anchor.slack_uj > 0 && elapsed <= self.max_gap {
                    // A tick was seen to happen: from here the counter is exact.
                    let total_uj = self.energy_uj;
                    self.anchor = Some(Anchor { total_uj, counted_uj: 0, integrated_uj: 0, slack_uj: 0 });
                }
            }
        }
        change
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "watts are finite and not negative, \
    and 1 GW for a century is 3e24 microjoules, far below u128"
)]
fn microjoules(watts: f64, elapsed: Duration) -> u128 {
    (watts.max(0.0) * elapsed.as_secs_f64() * 1e6).round() as u128
}

fn energy(microjoules: u128) -> Energy {
    Energy::from_millijoules(u64::try_from(microjoules / 1000).unwrap_or(u64::MAX))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
