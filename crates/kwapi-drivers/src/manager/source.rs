//! One probe's account at its source: session, sequence and energy, and the measurement made of each reading.
//!
//! Time comes in two kinds. The monotonic clock measures what is billed; the wall clock labels. A device's own stamp
//! is used for both when it is sane: no older than `max_gap`, and not in the future.

use std::time::Duration;

use kwapi_core::{
    Accounting, Integrator, Measurement, MeterCounter, MeterTotal, NoReading, ProbeId, Quality, Reading,
    Timestamp, Watts,
};

use super::derive::{self, Assumptions, CounterPower};

/// The wall clock may fall behind the monotonic one by this much between two readings before it is called a step.
const STEP_BACK_MIN: Duration = Duration::from_secs(1);
/// A device's clock may be ahead of ours by this much and still be believed.
const DEVICE_AHEAD_MAX: Duration = Duration::from_secs(1);

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now {
    /// For labels.
    pub(super) wall: Timestamp,
    /// Since the manager began; for everything that is computed with.
    pub(super) monotonic: Duration,
}

/// What became of a reading.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// A new measurement.
    New(Measurement),
    /// The device has not measured since the reading before.
    Unchanged,
    /// Nothing to publish, and why.
    Nothing(NoReading),
}

/// A probe as its publisher knows it.
#[derive(Debug)]
pub(super) struct Source {
    probe: ProbeId,
    max_gap: Duration,
    counter_power: CounterPower,
    session: Option<Session>,
    /// The device's own stamp of its latest measurement, and when that was first seen.
    stamped: Option<(Timestamp, Duration)>,
    /// How often the meter's counter was reset or jumped.
    pub(super) counter_resets: u64,
}

#[derive(Debug)]
struct Session {
    start: Timestamp,
    seq: u64,
    integrator: Integrator,
    /// The clocks at the latest reading.
    now: Now,
    /// The latest stamp published.
    timestamp: Timestamp,
    last: Recorded,
}

/// What the integrator was told last, so that a new session can go on from there.
#[derive(Clone, Copy, Debug)]
struct Recorded {
    at: Duration,
    power: Option<Watts>,
    quality: Quality,
    counter: Option<MeterCounter>,
}

impl Source {
    pub(super) fn new(probe: ProbeId, max_gap: Duration) -> Self {
        Self {
            probe,
            max_gap,
            counter_power: CounterPower::default(),
            session: None,
            stamped: None,
            counter_resets: 0,
        }
    }

    /// Readings further apart than this have unknown time between them, from now on.
    pub(super) fn set_max_gap(&mut self, max_gap: Duration) {
        self.max_gap = max_gap;
        if let Some(session) = &mut self.session {
            session.integrator.set_max_gap(max_gap);
        }
    }

    pub(super) fn max_gap(&self) -> Duration {
        self.max_gap
    }

    /// Whether the meter's own counter still has the last word; not once it contradicted the meter's watts.
    pub(super) fn counter_believed(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.integrator.counter_believed())
    }

    /// Makes a measurement of a reading that arrived `now`.
    pub(super) fn take(&mut self, reading: &Reading, now: Now, assumptions: &Assumptions) -> Outcome {
        let (timestamp, at) = match self.when(reading.measured_at, now, assumptions.device_clock) {
            Ok(Some(when)) => when,
            Ok(None) => return Outcome::Unchanged,
            Err(stale) => return Outcome::Nothing(stale),
        };
        let counted = match (&reading.counter, reading.power) {
            (Some(counter), None) => self.counter_power.observe(counter, at, self.max_gap),
            (Some(_) | None, _) => None,
        };
        let power = derive::power(reading, counted, assumptions);
        if let (Err(no_reading), None) = (&power, &reading.counter) {
            return Outcome::Nothing(no_reading.clone());
        }
        let recorded = Recorded {
            at,
            power: power.as_ref().ok().map(|(power, _)| *power),
            quality: power.as_ref().map_or(Quality::Measured, |(_, quality)| *quality),
            counter: reading.counter,
        };
        let session = Session::current(&mut self.session, timestamp, now, self.max_gap);
        self.counter_resets += u64::from(session.record(recorded));
        match power {
            Ok((power, quality)) => Outcome::New(Measurement {
                probe: self.probe.clone(),
                power,
                voltage: reading.voltage.filter(|voltage| voltage.0.is_finite()),
                current: reading.current.filter(|current| current.0.is_finite()),
                accounting: Some(session.publish(timestamp, quality)),
            }),
            Err(no_reading) => Outcome::Nothing(no_reading),
        }
    }

    /// When a reading was measured, on both clocks; `None` if it has been taken already.
    fn when(
        &mut self,
        stamp: Option<Timestamp>,
        now: Now,
        device_clock: bool,
    ) -> Result<Option<(Timestamp, Duration)>, NoReading> {
        let ours = (now.wall, now.monotonic);
        let Some(stamp) = stamp else { return Ok(Some(ours)) };
        if let Some((last, first_seen)) = self.stamped {
            // The same again, or one that was overtaken on its way. Further back, the device's clock was set.
            let is_old = stamp <= last && last.since(stamp) <= self.max_gap;
            if is_old && now.monotonic.saturating_sub(first_seen) > self.max_gap {
                return Err(NoReading::Stale("the device has stopped measuring".to_owned()));
            }
            if is_old {
                return Ok(None);
            }
        }
        self.stamped = Some((stamp, now.monotonic));
        if !device_clock || stamp.since(now.wall) > DEVICE_AHEAD_MAX {
            return Ok(Some(ours));
        }
        let age = now.wall.since(stamp);
        if age > self.max_gap {
            let seconds = age.as_secs();
            let advice = format!(
                "stamped {seconds} s ago; if the device's clock is wrong, set `device_clock = false`"
            );
            return Err(NoReading::Stale(advice));
        }
        Ok(Some((stamp.min(now.wall), now.monotonic.saturating_sub(age))))
    }
}

impl Session {
    /// The session that a reading belongs to: a new one for the first reading, and after the wall clock was set
    /// back, since stamps within a session never fall.
    fn current(session: &mut Option<Self>, timestamp: Timestamp, now: Now, max_gap: Duration) -> &mut Self {
        let next = match session.as_ref() {
            None => Some(Self::new(timestamp, now, Integrator::new(max_gap))),
            Some(before) => {
                let elapsed = now.monotonic.saturating_sub(before.now.monotonic);
                let stepped_back = now.wall.after(STEP_BACK_MIN) < before.now.wall.after(elapsed);
                stepped_back.then(|| before.successor(timestamp, now, max_gap))
            }
        };
        let current = match next {
            Some(next) => session.insert(next),
            None => session.get_or_insert_with(|| Self::new(timestamp, now, Integrator::new(max_gap))),
        };
        current.now = now;
        current
    }

    fn new(start: Timestamp, now: Now, integrator: Integrator) -> Self {
        let last = Recorded { at: now.monotonic, power: None, quality: Quality::Measured, counter: None };
        Self { start, seq: 0, integrator, now, timestamp: Timestamp::EPOCH, last }
    }

    /// A session that begins where this one's last reading ended, so that no energy falls between the two. Its start
    /// is later than every stamp of this one, though the clock is not: by that a plugin knows that it follows.
    fn successor(&self, timestamp: Timestamp, now: Now, max_gap: Duration) -> Self {
        let elapsed = now.monotonic.saturating_sub(self.last.at);
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let began = Timestamp::from_micros(timestamp.micros().saturating_sub(elapsed_us));
        let last = self.start.max(self.timestamp);
        let start = began.max(Timestamp::from_micros(last.micros().saturating_add(1)));
        let mut next = Self::new(start, now, Integrator::new(max_gap));
        next.record(self.last);
        next
    }

    /// Feeds the integrator; whether the meter's counter was found reset.
    fn record(&mut self, recorded: Recorded) -> bool {
        use kwapi_core::CounterChange::{Advanced, First, Jumped, Reset, Wrapped};
        self.last = recorded;
        let Recorded { at, power, quality, counter } = recorded;
        match self.integrator.record(at, power, quality, counter.as_ref()) {
            Some(Reset | Jumped(_)) => true,
            Some(First | Advanced(_) | Wrapped(_)) | None => false,
        }
    }

    fn publish(&mut self, timestamp: Timestamp, quality: Quality) -> Accounting {
        let after_last = Timestamp::from_micros(self.timestamp.micros().saturating_add(1));
        self.timestamp = timestamp.max(after_last);
        let seq = self.seq;
        self.seq += 1;
        Accounting {
            curve: None,
            timestamp: self.timestamp,
            session: self.start,
            seq,
            totals: self.integrator.totals(),
            meter: self
                .last
                .counter
                .map(|counter| MeterTotal { energy: counter.value, since: counter.reset_at }),
            quality,
        }
    }
}

#[cfg(test)]
mod tests;
