//! A session from its first reading that counts: what each reading does to it, and where the next one begins.

use std::sync::Arc;
use std::time::Duration;

use super::super::counter::{CounterChange, MeterCounter};
use super::super::integrator::Integrator;
use super::super::register::Register;
use super::super::status::Sums;
use super::packed::PackedSums;
use super::{Clocks, STEP_MIN, Sample, SessionEntry, entry};
use crate::{Energy, Timestamp};

/// From the first reading on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) integrator: Integrator,
    pub(super) id: Timestamp,
    pub(super) seq: u64,
    /// The latest stamp.
    pub(super) stamp: Timestamp,
    /// The clocks at the latest reading, and when that was measured.
    pub(super) wall: Timestamp,
    pub(super) boottime: Duration,
    pub(super) at: Duration,
    pub(super) register: Arc<Register>,
    /// What there is of a meter with a register of its own.
    pub(super) counter: Option<Box<MeterCounter>>,
    pub(super) curve: Option<Box<SourceCurve>>,
    /// Where this session's sums begin; `None` where they do at zero.
    pub(super) base: Option<Box<Sums>>,
    pub(super) published: Published,
    /// The register as a stop left it, until it is seen to tick.
    pub(super) stop_at: Option<Energy>,
    pub(super) kept_at: Option<Duration>,
    pub(super) must_sync: bool,
    pub(super) must_be_alone: bool,
    /// Whether the state could not be written, so that there is no curve until the process ends.
    pub(super) is_without_state: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SourceCurve {
    pub(super) id: Timestamp,
    pub(super) run: u32,
    pub(super) begin_uj: u128,
}

/// The latest message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) sums: PackedSums,
    pub(super) at: Duration,
    pub(super) stamp: Timestamp,
}

impl Running {
    pub(super) fn record(&mut self, sample: &Sample, clocks: &Clocks<'_>) -> Option<CounterChange> {
        let elapsed = clocks.boottime.saturating_sub(self.boottime);
        let stepped_back = clocks.wall.after(STEP_MIN) < self.wall.after(elapsed);
        if clocks.wall > self.wall.after(elapsed).after(STEP_MIN) {
            self.kept_at = None; // Set forward: the stamps on record are far behind.
        }
        self.at = sample.at.max(self.at);
        (self.wall, self.boottime) = (clocks.wall, clocks.boottime);
        if stepped_back {
            self.stamp = sample.timestamp;
            self.begin_again();
        } else {
            self.stamp = sample.timestamp.max(Timestamp::from_micros(self.stamp.micros().saturating_add(1)));
        }
        let had_register = self.integrator.tracker.last().is_some();
        let is_other =
            had_register && !Arc::ptr_eq(&self.register, &sample.register) && self.is_other(&sample.register);
        if is_other {
            self.integrator.tracker.forget();
        }
        self.register = if is_other {
            sample.register.clone()
        } else {
            sample.register.knowing(self.register.serial.as_deref())
        };
        let was_trusted = self.integrator.register_trusted;
        let change = self.integrator.record_observation(sample.at, &sample.observation());
        match (&mut self.counter, sample.counter) {
            (Some(counter), Some(read)) => **counter = read,
            (counter, read) => *counter = read.map(Box::new),
        }
        let is_upset = matches!(change, Some(CounterChange::Reset | CounterChange::Jumped(_)))
            || was_trusted != self.integrator.register_trusted
            || is_other;
        self.must_sync |= is_upset;
        self.must_be_alone |= is_other;
        if sample.counter.is_some() {
            self.first_seen();
        }
        self.settle_stop();
        change
    }

    /// The register's first tick after a stop: what it has over the watts was used in the stop, and a run before this
    /// one may have published part of it. So it lifts the curve where this run begins, and enters no session's sums.
    fn settle_stop(&mut self) {
        let (Some(stop_at), Some(counter)) = (self.stop_at, &self.counter) else { return };
        if counter.value == stop_at {
            return;
        }
        self.stop_at = None;
        let surplus_uj = self.integrator.surplus_uj;
        let base = self.base.get_or_insert_default();
        base.measured_uj = base.measured_uj.saturating_add(surplus_uj);
        if let Some(curve) = &mut self.curve {
            curve.begin_uj = curve.begin_uj.saturating_add(surplus_uj);
        }
    }

    /// Begins the next session, or the curve's next run, where the latest message ended: the wall clock was set back, or
    /// the curve ends. Its id is later than every stamp before it, though the clock may not be.
    pub(super) fn begin_again(&mut self) {
        let elapsed = self.at.saturating_sub(self.published.at);
        let began = self.stamp.before(elapsed);
        let newest = self.id.max(self.published.stamp);
        self.id = began.max(Timestamp::from_micros(newest.micros().saturating_add(1)));
        self.seq = 0;
        let base = self.published.sums.sums();
        if let Some(curve) = &mut self.curve {
            curve.run = curve.run.saturating_add(1);
            curve.begin_uj = base.total_uj();
        }
        self.base = Some(Box::new(base));
        self.must_sync = true;
    }

    /// A register is read. If the session began without one, or with one of a session, its curve begins here.
    fn first_seen(&mut self) {
        if self.curve.is_some() || self.is_without_state || self.register.is_of_session {
            return;
        }
        if self.seq > 0 {
            self.begin_again();
        }
        self.integrator.subtract(&self.base.take().map(|base| *base).unwrap_or_default());
        self.published.sums = PackedSums::default();
        self.curve = Some(Box::new(SourceCurve { id: self.id, run: 1, begin_uj: 0 }));
        (self.must_sync, self.must_be_alone) = (true, true);
    }

    fn is_other(&self, register: &Register) -> bool {
        register.is_of_another_device(self.register.serial.as_deref())
            || self.register.path != register.path
            || self.register.is_of_session != register.is_of_session
    }

    pub(super) fn entry(&self, probe: &crate::ProbeId, boot: &str) -> SessionEntry {
        let age = self.boottime.saturating_sub(self.at);
        SessionEntry {
            probe: probe.clone(),
            newest: self.id.max(self.stamp),
            boot: boot.into(),
            boottime: self.at,
            wall: self.wall.before(age),
            watts_max: self.integrator.watts_max,
            register: self
                .counter
                .as_deref()
                .or_else(|| self.integrator.tracker.last()) // Not read once, it is there all the same.
                .filter(|_| self.curve.is_some())
                .map(|counter| Box::new(entry::KeptRegister::new(&self.register, counter, &self.integrator))),
            curve: self.curve.as_ref().map(|curve| curve.id),
            run: self.curve.as_ref().map_or(0, |curve| curve.run),
            total_uj: self.integrator.sums.total_uj(),
        }
    }
}
