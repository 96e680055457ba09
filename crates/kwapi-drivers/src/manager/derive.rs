//! Active power from what a meter reports: directly, from the advance of its counter, or from volts and amperes.

use std::time::Duration;

use kwapi_core::{
    CounterChange, CounterTracker, Energy, Measurement, MeterCounter, NoReading, Quality, Reading, Volts,
    Watts,
};

/// Power derived from a counter is right to this share of itself…
const ERROR_SHARE: f64 = 0.1;
/// …or to this many watts, or it is not reported.
const ERROR_WATTS: f64 = 1.0;
/// A counter too coarse for that is averaged over at least this long, and the result called an estimate.
const AVERAGE_MIN: Duration = Duration::from_secs(60);
/// More than this between two readings is a counter gone wrong, not an outlet.
const COUNTED_WATTS_MAX: f64 = 1e6;

/// What the operator configures and the meter does not report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// Mains voltage, for meters that report amperes only.
    pub voltage: Option<Volts>,
    /// Power factor, for meters that report volts and amperes only; 1 when not given, which overestimates.
    pub power_factor: Option<f64>,
    /// Whether the device's own stamps are used. Without it a device whose clock is wrong is stamped by ours; the
    /// same stamp twice is one measurement either way.
    pub device_clock: bool,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self { voltage: None, power_factor: None, device_clock: true }
    }
}

/// How the power of a reading came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOrigin {
    /// The device reports it.
    Reported,
    /// Derived from the advance of the device's energy counter.
    Counter,
    /// Derived from current, and from the voltage and power factor that the device reports or the operator configures.
    Current,
}

impl PowerOrigin {
    /// Of a reading that has power, in the order in which [`power`] looks for it; `is_counted`: whether its counter does.
    pub(super) fn of(reading: &Reading, is_counted: bool) -> Self {
        if reading.power.is_some() {
            Self::Reported
        } else if is_counted {
            Self::Counter
        } else {
            Self::Current
        }
    }
}

/// Power from a counter, once it has advanced enough to derive it.
#[derive(Clone, Debug, Default)]
pub struct CounterPower {
    tracker: CounterTracker,
    last: Duration,
    since: Duration,
    advanced: Energy,
}

impl CounterPower {
    /// Takes the counter as it stood at the monotonic instant `at`, of a meter of which nothing is known.
    pub fn observe(
        &mut self,
        counter: &MeterCounter,
        at: Duration,
        max_gap: Duration,
    ) -> Option<(Watts, Quality)> {
        self.observe_within(counter, at, max_gap, Watts(COUNTED_WATTS_MAX))
    }

    /// The same, of an outlet that may draw `plausible` at most; what goes beyond that shows nothing.
    pub(crate) fn observe_within(
        &mut self,
        counter: &MeterCounter,
        at: Duration,
        max_gap: Duration,
        plausible: Watts,
    ) -> Option<(Watts, Quality)> {
        let step = at.saturating_sub(self.last);
        self.last = self.last.max(at);
        let plausible = Energy::from_joules(plausible.0 * step.as_secs_f64()).unwrap_or_default();
        match self.tracker.observe(counter, plausible) {
            CounterChange::Advanced(advance) | CounterChange::Wrapped(advance) if step <= max_gap => {
                self.advanced = self.advanced.saturating_add(advance);
            }
            CounterChange::Advanced(_)
            | CounterChange::Wrapped(_)
            | CounterChange::First
            | CounterChange::Reset
            | CounterChange::Jumped(_) => {
                self.restart(at);
                return None;
            }
        }
        let elapsed = at.saturating_sub(self.since);
        if elapsed.is_zero() {
            return None;
        }
        let watts = self.advanced.joules() / elapsed.as_secs_f64();
        let error = counter.resolution.joules() / elapsed.as_secs_f64();
        let quality = if error <= ERROR_WATTS.max(watts * ERROR_SHARE) {
            Quality::Measured
        } else if elapsed >= AVERAGE_MIN && self.advanced > Energy::ZERO {
            Quality::Estimated
        } else {
            return None;
        };
        self.restart(at);
        Some((Watts(watts), quality))
    }

    fn restart(&mut self, at: Duration) {
        self.since = at;
        self.advanced = Energy::ZERO;
    }
}

/// The power of a reading; `counted` is what its counter shows.
///
/// # Errors
/// When the reading has no plausible power, and why.
pub fn power(
    reading: &Reading,
    counted: Option<(Watts, Quality)>,
    assumptions: &Assumptions,
) -> Result<(Watts, Quality), NoReading> {
    if let Some(power) = reading.power {
        return plausible(power).map(|power| (power, reading.quality));
    }
    if let Some((power, quality)) = counted {
        return plausible(power).map(|power| (power, quality));
    }
    if let Some(current) = reading.current {
        let Some(voltage) = reading.voltage.or(assumptions.voltage) else {
            let advice = "the meter reports current only; set `voltage` for this meter";
            return Err(NoReading::NotAvailable(advice.to_owned()));
        };
        let power = Watts(voltage.0 * current.0 * assumptions.power_factor.unwrap_or(1.0));
        return plausible(power).map(|power| (power, Quality::Estimated));
    }
    if reading.counter.is_some() {
        return Err(NoReading::NotReady(
            "the counter has not advanced enough yet to derive power".to_owned(),
        ));
    }
    Err(NoReading::NotAvailable("the meter reports neither power, current nor energy".to_owned()))
}

fn plausible(power: Watts) -> Result<Watts, NoReading> {
    if Measurement::power_is_valid(power) {
        Ok(Watts(power.0 + 0.0)) // -0.0 is written 0
    } else {
        Err(NoReading::Implausible(power.to_string()))
    }
}

#[cfg(test)]
mod tests;
