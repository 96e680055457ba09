//! One probe at its source: when a reading was measured, what power it gives, and the message it becomes.
//!
//! Time comes in two kinds. The clock that runs since the host's boot measures what is billed; the wall clock labels. A
//! device's own stamp is used for both when it is sane: no older than `max_gap`, and not in the future. What energy comes
//! of it is [`kwapi_core::Session`]'s.

use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{
    Accounting, Amperes, Clocks, CounterChange, Integrator, Keep, Limits, Measurement, NoReading, NotBridged,
    PROGRAM_DATE, ProbeId, Quality, Reading, Register, Sample, SampleOutcome, Session, SessionEntry,
    Timestamp, Volts, Watts,
};

use super::derive::{self, Assumptions, CounterPower, PowerOrigin};
use super::place::RegisterPlace;
use super::stamps::NewestStamp;

/// So many absurd values in a row are the meter's fault.
const OUTLIERS_MAX: u32 = 3;

/// One instant on all clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now<'a> {
    /// For labels.
    pub(super) wall: Timestamp,
    /// Since the manager began; for pace.
    pub(super) monotonic: Duration,
    /// Since the host's boot, and which that is; for everything that is computed with.
    pub(super) boottime: Duration,
    pub(super) boot: &'a str,
}

impl<'a> Now<'a> {
    fn clocks(&self) -> Clocks<'a> {
        Clocks { wall: self.wall, boottime: self.boottime, boot: self.boot }
    }

    /// The instant `age` before, as a label and as it is computed with.
    fn before(&self, age: Duration) -> (Timestamp, Duration) {
        (self.wall.before(age), self.boottime.saturating_sub(age))
    }
}

/// What became of a reading.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// A new measurement, once the state has recorded `keep`: see [`PublishedProbe::publish`].
    New(Draft, Option<Box<Keep>>),
    /// The device has not measured since the reading before.
    Unchanged,
    /// It counts, but is not published while the wall clock is not to be trusted.
    Held(Watts, Timestamp),
    /// Nothing to publish, and why; the state may have to be updated nevertheless.
    Nothing(NoReading, Option<Box<Keep>>),
}

/// A measurement to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draft {
    power: Watts,
    quality: Quality,
    voltage: Option<Volts>,
    current: Option<Amperes>,
}

/// A probe as its publisher holds it.
#[derive(Debug)]
pub(super) struct PublishedProbe {
    probe: ProbeId,
    session: Session,
    /// Of a meter that reports energy alone.
    counter_power: Option<Box<CounterPower>>,
    /// Once a counter was read.
    register: Option<Arc<Register>>,
    /// What the driver reported of the register, of which `register` was made.
    stated: Option<Arc<Register>>,
    /// The device's own stamp of its latest measurement, and when that was first seen.
    stamped: Option<(Timestamp, Duration)>,
    /// Whether the state has recorded what it must have before the next message leaves.
    must_be_kept: bool,
    /// How the latest power came about; `None` before the first.
    pub(super) power_origin: Option<PowerOrigin>,
    /// How often the meter's counter was reset or jumped.
    pub(super) counter_resets: u64,
}

impl PublishedProbe {
    /// A probe of which the state has `past`.
    pub(super) fn new(probe: ProbeId, limits: Limits, past: Vec<SessionEntry>) -> Self {
        Self::from_date(probe, limits, past, PROGRAM_DATE)
    }

    /// The same, where no clock is right that shows less than `not_before`.
    pub(super) fn from_date(
        probe: ProbeId,
        limits: Limits,
        past: Vec<SessionEntry>,
        not_before: Timestamp,
    ) -> Self {
        Self {
            probe,
            session: Session::new(limits, not_before, past),
            counter_power: None,
            register: None,
            stated: None,
            stamped: None,
            must_be_kept: false,
            power_origin: None,
            counter_resets: 0,
        }
    }

    /// Whose.
    pub(super) fn probe(&self) -> &ProbeId {
        &self.probe
    }

    /// Readings further apart than this have unknown time between them, from now on.
    pub(super) fn set_max_gap(&mut self, max_gap: Duration) {
        self.session.set_max_gap(max_gap);
    }

    pub(super) fn max_gap(&self) -> Duration {
        self.session.limits().max_gap
    }

    /// The account of a meter that counts and has given no power in the reading just taken; `None` while it is held, or
    /// where the state does not have what it must.
    pub(super) fn standing(&self, is_kept: bool) -> Option<Accounting> {
        if is_kept { self.session.account(Quality::Measured) } else { None }
    }

    /// Whether the next message must wait for the state to be updated.
    pub(super) fn must_be_kept(&self) -> bool {
        self.must_be_kept
    }

    /// Whether the meter has a counter of its own that was read.
    pub(super) fn has_counter(&self) -> bool {
        self.register.is_some()
    }

    /// Whether the meter's own counter still has the last word; not once it contradicted the meter's watts.
    pub(super) fn counter_trusted(&self) -> bool {
        self.session.register_trusted()
    }

    /// How many values of power were absurd, and how many in a row to the latest.
    pub(super) fn outliers(&self) -> (u64, u32) {
        self.session
            .integrator()
            .map_or((0, 0), |integrator| (integrator.outliers(), integrator.outliers_in_a_row()))
    }

    /// Whether the first message is held, as the wall clock is not to be trusted.
    pub(super) fn is_held(&self) -> bool {
        self.session.held_since().is_some()
    }

    /// Why the time before this process is not bridged, if it is not.
    pub(super) fn not_bridged(&self) -> Option<NotBridged> {
        self.session.not_bridged()
    }

    /// What the state is to have of it at the end.
    pub(super) fn into_entries(self, boot: &str) -> Vec<SessionEntry> {
        self.session.into_entries(&self.probe, boot)
    }

    /// What the state would have of it now; `None` before the first reading that counts.
    pub(super) fn entry(&self, boot: &str) -> Option<SessionEntry> {
        self.session.entry(&self.probe, boot)
    }

    /// Takes a reading that arrived `now`, alone.
    pub(super) fn take(
        &mut self,
        reading: &Reading,
        now: Now<'_>,
        assumptions: &Assumptions,
        place: &RegisterPlace,
    ) -> Outcome {
        self.take_one_of(NewestStamp::default(), reading, now, assumptions, place)
    }

    /// Takes one reading of a block that arrived `now`, in order; `newest` is of all of them.
    pub(super) fn take_one_of(
        &mut self,
        newest: NewestStamp,
        reading: &Reading,
        now: Now<'_>,
        assumptions: &Assumptions,
        place: &RegisterPlace,
    ) -> Outcome {
        let (timestamp, at) = match self.when(reading, newest, now, assumptions.device_clock) {
            Ok(Some(when)) => when,
            Ok(None) => return Outcome::Unchanged,
            Err(stale) => return Outcome::Nothing(stale, None),
        };
        let is_counted = reading.power.is_none() && reading.counter.is_some();
        let counted = reading.counter.as_ref().filter(|_| is_counted).and_then(|counter| {
            let (max_gap, plausible) = (self.max_gap(), self.plausible());
            self.counter_power.get_or_insert_default().observe_within(counter, at, max_gap, plausible)
        });
        let power = derive::power(reading, counted, assumptions);
        if power.is_ok() {
            self.power_origin = Some(PowerOrigin::of(reading, counted.is_some()));
        }
        if let (Err(no_reading), None) = (&power, &reading.counter) {
            return Outcome::Nothing(no_reading.clone(), None);
        }
        let register = match reading.counter {
            Some(_) => self.update_register(reading.register.as_ref(), place),
            None => self.register.as_ref().unwrap_or_else(|| place.no_register()).clone(),
        };
        let reported = power.as_ref().ok();
        let sample = Sample {
            at,
            timestamp,
            power: reported.map(|(power, _)| *power),
            is_counted,
            // However coarse the power derived from it, a register is measured.
            quality: reported.filter(|_| !is_counted).map_or(Quality::Measured, |(_, quality)| *quality),
            counter: reading.counter,
            register,
        };
        let change = match self.session.record(&sample, &now.clocks()) {
            SampleOutcome::Counted(change) => change,
            SampleOutcome::Held => {
                return match power {
                    Ok((power, _)) => Outcome::Held(power, timestamp),
                    Err(no_reading) => Outcome::Nothing(no_reading, None),
                };
            }
        };
        self.counter_resets +=
            u64::from(matches!(change, Some(CounterChange::Reset | CounterChange::Jumped(_))));
        let keep = self.session.keep(&self.probe, &now.clocks()).map(Box::new);
        self.must_be_kept |= keep.as_ref().is_some_and(|keep| keep.sync);
        match self.judge(power, is_counted) {
            Ok((power, quality)) => {
                let draft = Draft {
                    power,
                    quality,
                    voltage: reading.voltage.filter(|voltage| voltage.0.is_finite()),
                    current: reading.current.filter(|current| current.0.is_finite()),
                };
                Outcome::New(draft, keep)
            }
            Err(no_reading) => Outcome::Nothing(no_reading, keep),
        }
    }

    /// The measurement of the reading just taken; `is_kept`: whether the state has what it had to record. If not, its
    /// message has no curve.
    pub(super) fn publish(&mut self, draft: Draft, is_kept: bool) -> Option<Measurement> {
        if std::mem::take(&mut self.must_be_kept) && !is_kept {
            self.session.leave_curve();
        }
        Some(Measurement {
            probe: self.probe.clone(),
            power: draft.power,
            voltage: draft.voltage,
            current: draft.current,
            accounting: Some(self.session.publish(draft.quality)?),
        })
    }

    /// An absurd value is not published.
    fn judge(
        &self,
        power: Result<(Watts, Quality), NoReading>,
        is_counted: bool,
    ) -> Result<(Watts, Quality), NoReading> {
        let (power, quality) = power?;
        let Some(integrator) = self.session.integrator().filter(|it| !is_counted && it.is_outlier()) else {
            return Ok((power, quality));
        };
        let in_a_row = integrator.outliers_in_a_row();
        let message = match self.session.limits().max_watts {
            Some(max_watts) if in_a_row >= OUTLIERS_MAX => {
                format!(
                    "{power}, above `max_watts` ({max_watts}) {in_a_row} times in a row; check the meter and `max_watts`"
                )
            }
            Some(max_watts) => format!("{power} is above `max_watts` ({max_watts})"),
            None => {
                format!("{power} is far above all earlier values of this outlet; waiting for the next one")
            }
        };
        Err(NoReading::Implausible(message))
    }

    /// The most that the outlet may draw.
    fn plausible(&self) -> Watts {
        self.session
            .integrator()
            .map_or_else(|| Integrator::within(*self.session.limits()).plausible(), Integrator::plausible)
    }

    /// The register, whose name is made where the driver reports something new of it.
    fn update_register(&mut self, stated: Option<&Arc<Register>>, place: &RegisterPlace) -> Arc<Register> {
        let is_known = match (&self.stated, stated) {
            (Some(before), Some(stated)) => Arc::ptr_eq(before, stated) || before == stated,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if let Some(register) = self.register.as_ref().filter(|_| is_known) {
            return register.clone();
        }
        let register = place.register(&self.probe, stated.map(AsRef::as_ref));
        (self.register, self.stated) = (Some(register.clone()), stated.cloned());
        register
    }

    /// When a reading was measured, on both clocks; `None` if it has been taken already.
    fn when(
        &mut self,
        reading: &Reading,
        newest: NewestStamp,
        now: Now<'_>,
        device_clock: bool,
    ) -> Result<Option<(Timestamp, Duration)>, NoReading> {
        let max_gap = self.max_gap();
        let Some(stamp) = reading.measured_at else { return Ok(Some(now.before(reading.age))) };
        if let Some((last, first_seen)) = self.stamped {
            // The same again, or one that was overtaken on its way. Further back, the device's clock was set.
            let is_old = stamp <= last && last.since(stamp) <= max_gap;
            if is_old && now.boottime.saturating_sub(first_seen) > max_gap {
                return Err(NoReading::Stale("the device has stopped measuring".to_owned()));
            }
            if is_old {
                return Ok(None);
            }
        }
        self.stamped = Some((stamp, now.boottime));
        let age = newest.now_by_device(stamp, now.wall, device_clock).since(stamp);
        if age > max_gap {
            let seconds = age.as_secs();
            let advice = format!(
                "stamped {seconds} s ago; if the device's clock is wrong, set `device_clock = false`"
            );
            return Err(NoReading::Stale(advice));
        }
        Ok(Some(now.before(age)))
    }
}

#[cfg(test)]
mod tests;
