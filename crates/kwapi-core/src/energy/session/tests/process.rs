//! One process, reading by reading: what each does to the session, without a state beside it.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::worlds::{NOT_BEFORE, T0};
use super::small::id;
use crate::{
    Accounting, Clocks, Energy, Keep, Limits, MeterCounter, Quality, Register, Sample, SampleOutcome,
    Session, SessionEntry, Timestamp, Watts,
};

/// An interval of ten seconds, `max_gap` 25 s; clocks in milliseconds.
pub(super) struct Process {
    pub(super) session: Session,
    pub(super) register: Arc<Register>,
    pub(super) resolution: u64,
    pub(super) range: Option<u64>,
    pub(super) is_counted: bool,
    pub(super) quality: Quality,
    /// Since boot.
    pub(super) now: u64,
    /// How long before now a reading was measured.
    pub(super) age: u64,
    /// The wall clock less `T0` and the time since boot.
    pub(super) offset: i64,
    pub(super) boot: &'static str,
}

pub(super) fn limits() -> Limits {
    Limits { max_gap: Duration::from_secs(25), interval: Duration::from_secs(10), max_watts: None }
}

pub(super) fn register(path: &str) -> Arc<Register> {
    Arc::new(Register { path: Some(path.to_owned()), ..Register::default() })
}

impl Process {
    pub(super) fn new(past: Vec<SessionEntry>) -> Self {
        Self::within(limits(), past)
    }

    pub(super) fn within(limits: Limits, past: Vec<SessionEntry>) -> Self {
        Self {
            session: Session::new(limits, NOT_BEFORE, past),
            register: register("a"),
            resolution: 1,
            range: None,
            is_counted: false,
            quality: Quality::Measured,
            now: 0,
            age: 0,
            offset: 0,
            boot: "0",
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros((T0 + self.now as i64 + self.offset) as u64 * 1000)
    }

    /// Takes a reading of `power` and a register of so many millijoules.
    pub(super) fn read(&mut self, power: Option<f64>, register: Option<u64>) -> SampleOutcome {
        let counter = register.map(|value| MeterCounter {
            value: Energy::from_millijoules(value),
            resolution: Energy::from_millijoules(self.resolution),
            range: self.range.map(Energy::from_millijoules),
            reset_at: None,
        });
        let at = Duration::from_millis(self.now - self.age);
        let sample = Sample {
            at,
            timestamp: Timestamp::from_micros(self.wall().micros() - self.age * 1000),
            power: power.map(Watts),
            is_counted: self.is_counted,
            quality: self.quality,
            counter,
            register: self.register.clone(),
        };
        let clocks = Clocks { wall: self.wall(), boottime: Duration::from_millis(self.now), boot: self.boot };
        self.session.record(&sample, &clocks)
    }

    /// What the state is to record.
    pub(super) fn keep(&mut self) -> Option<Keep> {
        let clocks = Clocks { wall: self.wall(), boottime: Duration::from_millis(self.now), boot: self.boot };
        self.session.keep(&id("p"), &clocks)
    }

    /// At `second`, 100 W and a register that counts them: what the state records (sync, alone), and the message.
    pub(super) fn at(&mut self, second: u64) -> (Option<(bool, bool)>, Accounting) {
        self.now = second * 1000;
        self.read(Some(100.0), Some(second * 100_000));
        (self.keep().map(|keep| (keep.sync, keep.alone)), self.publish())
    }

    /// The same of a meter without a register.
    pub(super) fn without(&mut self, second: u64) -> (Option<(bool, bool)>, Accounting) {
        self.now = second * 1000;
        self.read(Some(100.0), None);
        (self.keep().map(|keep| (keep.sync, keep.alone)), self.publish())
    }

    pub(super) fn publish(&mut self) -> Accounting {
        self.session.publish(self.quality).expect("a message")
    }

    pub(super) fn entry(&self) -> SessionEntry {
        self.session.entry(&id("p"), self.boot).expect("an entry")
    }

    pub(super) fn stop(self) -> Vec<SessionEntry> {
        self.session.into_entries(&id("p"), self.boot)
    }
}

/// An instant of the wall clock that is right, in milliseconds.
pub(super) fn wall(millisecond: i64) -> Timestamp {
    Timestamp::from_micros((T0 + millisecond) as u64 * 1000)
}
