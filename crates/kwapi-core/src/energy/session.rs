//! One probe in one process of the driver manager: readings become sessions of messages, and, where the meter has a
//! register that is trusted, runs of one cumulative curve that survives the process.
//!
//! A [`SessionEntry`] is what outlives the process. The first reading of the next one shows whether the register
//! continued from there ([`entry`]); if so, the time between is bridged, if not, a new curve begins and that time is
//! unknown. The rules, and why each is as it is: `docs/manual/energy.md` and `docs/adr`.

mod entry;
mod packed;
mod running;
mod start;

use std::sync::Arc;
use std::time::Duration;

pub use entry::{NotBridged, SessionEntry};
use packed::PackedSums;
use running::{Published, Running, SourceCurve};

use super::counter::{CounterChange, MeterCounter};
use super::integrator::{Integrator, Limits, Observation};
use super::register::Register;
use super::status::energy;
use crate::{Accounting, CurvePoint, MeterTotal, Quality, Timestamp, Watts};

/// The wall clock may get ahead of the monotonic one or behind it by this much between two readings before it is called
/// a step.
const STEP_MIN: Duration = Duration::from_secs(1);
/// How often the state records a register's progress.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often it records a probe without a register, of which only the newest stamp is kept.
const KEEP_STAMP_EVERY: Duration = Duration::from_secs(60);

/// One instant on the clocks of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks<'a> {
    /// The wall clock: it labels.
    pub wall: Timestamp,
    /// Time since the host's boot, suspended time included: it measures.
    pub boottime: Duration,
    /// Which boot that is.
    pub boot: &'a str,
}

/// What one reading holds, derived and stamped.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was measured, as [`Clocks::boottime`]; not later than that.
    pub at: Duration,
    /// The same instant on the wall clock.
    pub timestamp: Timestamp,
    /// Active power, finite and not negative.
    pub power: Option<Watts>,
    /// Whether that was derived from the register itself, and is no evidence beside it.
    pub is_counted: bool,
    /// How the power came about.
    pub quality: Quality,
    /// The meter's register.
    pub counter: Option<MeterCounter>,
    /// What that is known by; its path is set.
    pub register: Arc<Register>,
}

impl Sample {
    fn observation(&self) -> Observation<'_> {
        let counter = self.counter.as_ref();
        Observation { power: self.power, quality: self.quality, counter, is_counted: self.is_counted }
    }
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleOutcome {
    /// Nothing may be published yet: after a boot the wall clock is not to be trusted.
    Held,
    /// It counts; and what the register did, if there is one.
    Counted(Option<CounterChange>),
}

/// What is to be written to the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Keep {
    /// The probe's entry.
    pub entry: SessionEntry,
    /// Whether it must be on disk before the next message leaves.
    pub sync: bool,
    /// Whether every other entry of this probe, and of this register under another probe, is to be deleted with it.
    pub alone: bool,
}

/// One probe's account at its source.
#[derive(Debug)]
pub struct Session {
    /// Most of a hundred thousand are [`Phase::Running`], and take a word here.
    phase: Phase,
    not_bridged: Option<NotBridged>,
}

#[derive(Debug)]
enum Phase {
    Starting(Box<Starting>),
    Running(Box<Running>),
}

/// Before the first reading that counts.
#[derive(Debug)]
struct Starting {
    limits: Limits,
    /// No wall clock is right that is before this.
    not_before: Timestamp,
    /// What the state had.
    past: Vec<SessionEntry>,
    held: Option<Held>,
}

/// What was read while the wall clock was not trusted.
#[derive(Debug)]
struct Held {
    integrator: Integrator,
    since: Duration,
}

impl Session {
    /// A probe of which the state has `past`. No wall clock is accepted that is before `not_before`, the date of the
    /// program.
    pub fn new(limits: Limits, not_before: Timestamp, past: Vec<SessionEntry>) -> Self {
        let starting = Starting { limits, not_before, past, held: None };
        Self { phase: Phase::Starting(Box::new(starting)), not_bridged: None }
    }

    /// What is known of the meter beforehand.
    pub fn limits(&self) -> &Limits {
        match &self.phase {
            Phase::Starting(starting) => &starting.limits,
            Phase::Running(running) => running.integrator.limits(),
        }
    }

    /// Readings further apart than this have unknown time between them, from now on.
    pub fn set_max_gap(&mut self, max_gap: Duration) {
        match &mut self.phase {
            Phase::Starting(starting) => {
                starting.limits.max_gap = max_gap;
                if let Some(held) = &mut starting.held {
                    held.integrator.set_max_gap(max_gap);
                }
            }
            Phase::Running(running) => running.integrator.set_max_gap(max_gap),
        }
    }

    /// Takes one reading. Then [`Session::keep`] returns what the state must record, and [`Session::publish`] makes its
    /// message, if it becomes one.
    pub fn record(&mut self, sample: &Sample, clocks: &Clocks<'_>) -> SampleOutcome {
        match &mut self.phase {
            Phase::Running(running) => SampleOutcome::Counted(running.record(sample, clocks)),
            Phase::Starting(starting) => match starting.take(sample, clocks) {
                Some((running, not_bridged)) => {
                    *self = Self { phase: Phase::Running(Box::new(running)), not_bridged };
                    SampleOutcome::Counted(None)
                }
                None => SampleOutcome::Held,
            },
        }
    }

    /// What the state must record before the next message leaves, if anything: a new run or an upset register at once,
    /// progress now and then.
    pub fn keep(&mut self, probe: &crate::ProbeId, clocks: &Clocks<'_>) -> Option<Keep> {
        let running = self.running_mut()?;
        let every = if running.curve.is_some() { KEEP_EVERY } else { KEEP_STAMP_EVERY };
        let is_due = running.kept_at.is_none_or(|kept_at| clocks.boottime.saturating_sub(kept_at) >= every);
        if !is_due && !running.must_sync {
            return None;
        }
        running.kept_at = Some(clocks.boottime);
        let alone = std::mem::take(&mut running.must_be_alone);
        // What is deleted must not come back after a power loss.
        let sync = std::mem::take(&mut running.must_sync) || alone;
        Some(Keep { entry: running.entry(probe, clocks.boot), sync, alone })
    }

    /// What the state records at a clean end: the session as its latest reading left it, or, where none has counted yet,
    /// what the state had before.
    pub fn into_entries(self, probe: &crate::ProbeId, boot: &str) -> Vec<SessionEntry> {
        match self.phase {
            Phase::Running(running) => vec![running.entry(probe, boot)],
            Phase::Starting(starting) => starting.past,
        }
    }

    /// What the state would have of the session now; `None` before the first reading that counts.
    pub fn entry(&self, probe: &crate::ProbeId, boot: &str) -> Option<SessionEntry> {
        match &self.phase {
            Phase::Running(running) => Some(running.entry(probe, boot)),
            Phase::Starting(_) => None,
        }
    }

    /// The state could not be written: from the next message on there is no curve that could be gone back on.
    pub fn leave_curve(&mut self) {
        let Some(running) = self.running_mut() else { return };
        (running.is_without_state, running.must_be_alone) = (true, true);
        if running.curve.is_some() && running.seq > 0 {
            running.begin_again();
        }
        running.curve = None;
    }

    /// The message of the reading just taken; `None` while it is held.
    pub fn publish(&mut self, quality: Quality) -> Option<Accounting> {
        let accounting = self.account(quality)?;
        let running = self.running_mut()?;
        running.seq = running.seq.saturating_add(1);
        let sums = PackedSums::of(&running.integrator.sums);
        running.published = Published { sums, at: running.at, stamp: running.stamp };
        Some(accounting)
    }

    /// What a message of the reading just taken would hold, of a reading that becomes none; `None` while it is held.
    pub fn account(&self, quality: Quality) -> Option<Accounting> {
        let Phase::Running(running) = &self.phase else { return None };
        let base = running.base.as_deref().copied().unwrap_or_default();
        Some(Accounting {
            timestamp: running.stamp,
            session: running.id,
            seq: running.seq,
            totals: running.integrator.sums.since(&base),
            curve: running.curve.as_deref().map(|SourceCurve { id, run, begin_uj }| CurvePoint {
                id: *id,
                run: *run,
                begin: energy(*begin_uj),
            }),
            meter: running
                .counter
                .as_deref()
                .map(|counter| MeterTotal { energy: counter.value, since: counter.reset_at }),
            quality,
        })
    }

    /// Whether the meter's register has the last word, if there is one; not once it contradicted the meter's watts.
    pub fn register_trusted(&self) -> bool {
        self.integrator().is_none_or(Integrator::counter_trusted)
    }

    /// Watts and energy so far.
    pub fn integrator(&self) -> Option<&Integrator> {
        match &self.phase {
            Phase::Starting(starting) => starting.held.as_ref().map(|held| &held.integrator),
            Phase::Running(running) => Some(&running.integrator),
        }
    }

    /// Since when the first message is held, as [`Clocks::boottime`]; `None` if it is not.
    pub fn held_since(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Starting(starting) => starting.held.as_ref().map(|held| held.since),
            Phase::Running(_) => None,
        }
    }

    /// Why the time before this process is not bridged, if it is not.
    pub fn not_bridged(&self) -> Option<NotBridged> {
        self.not_bridged
    }

    fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Starting(_) => None,
            Phase::Running(running) => Some(running),
        }
    }
}

#[cfg(test)]
mod tests;
