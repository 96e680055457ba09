//! Worlds for the tests of energy: a load, a meter at it, a host with its clocks, a driver manager with its state, and
//! everything that may happen to them. What is published is the input of an account; what was used is known.
//!
//! A world is a function of its seed. `KWAPI_WORLDS=N` runs N of each kind instead of the few hundred of every day.

mod life;

pub(super) use life::{Plan, STOPS, WATTS_MAX, World, WorldFault};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::scenarios::Message;
use super::{Clocks, Limits, Register, Sample, SampleOutcome, Session, SessionEntry};
use crate::{Energy, MeterCounter, ProbeId, Quality, Timestamp, Watts};

/// True time 0 on a right wall clock, in milliseconds.
pub(super) const T0: i64 = 1_790_000_000_000;
/// No wall clock is right before this.
pub(super) const NOT_BEFORE: Timestamp = Timestamp::from_seconds(1_700_000_000);
pub(super) const HOUR: u64 = 3_600_000;

/// How many worlds of each kind are to be run, `usual` unless the environment sets it.
pub(super) fn world_count(usual: u64) -> u64 {
    std::env::var("KWAPI_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

/// Random numbers: `SplitMix64`, so that a seed is a world on every machine.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64 / (1_u64 << 53) as f64) < share
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// What is plugged in: watts over true milliseconds, constant between steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    steps: Vec<(u64, u64, u64)>,
}

impl Load {
    /// `(from, watts)` in order of time, the first from 0.
    pub(super) fn new(steps: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut load = Self::default();
        for (at, watts) in steps {
            let used = load.energy(at);
            load.steps.push((at, watts, used));
        }
        load
    }

    fn step(&self, at: u64) -> Option<&(u64, u64, u64)> {
        let after = self.steps.partition_point(|(from, ..)| *from <= at);
        self.steps.get(after.saturating_sub(1))
    }

    pub(super) fn watts(&self, at: u64) -> u64 {
        self.step(at).map_or(0, |(_, watts, _)| *watts)
    }

    /// Used until `at`, in millijoules.
    pub(super) fn energy(&self, at: u64) -> u64 {
        self.step(at).map_or(0, |(from, watts, used)| used + watts * (at - from))
    }
}

/// A meter at a load: its register ticks, starts anywhere, wraps and is reset.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// In millijoules; `None`: it has no register.
    pub(super) tick: Option<u64>,
    pub(super) range: Option<u64>,
    /// The register's value at true time 0, or what it would have been.
    pub(super) offset: i64,
    pub(super) reset_at: Option<Timestamp>,
    pub(super) serial: Option<String>,
    pub(super) path: String,
    pub(super) is_in_host: bool,
}

impl Meter {
    /// One that counts millijoules from 0.
    pub(super) fn exact(path: &str) -> Self {
        Self::ticking(path, 1)
    }

    /// One that counts in ticks of `tick` millijoules, from 0.
    pub(super) fn ticking(path: &str, tick: u64) -> Self {
        let path = path.to_owned();
        let tick = Some(tick);
        Self { tick, range: None, offset: 0, reset_at: None, serial: None, path, is_in_host: false }
    }

    pub(super) fn reset(&mut self, load: &Load, at: u64) {
        self.offset = -(load.energy(at) as i64);
    }

    pub(super) fn counter(&self, load: &Load, at: u64) -> Option<MeterCounter> {
        let tick = self.tick?;
        let value = (load.energy(at) as i64 + self.offset).div_euclid(tick as i64) as u64 * tick;
        let value = self.range.map_or(value, |range| value % range);
        Some(MeterCounter {
            value: Energy::from_millijoules(value),
            resolution: Energy::from_millijoules(tick),
            range: self.range.map(Energy::from_millijoules),
            reset_at: self.reset_at,
        })
    }

    pub(super) fn register(&self) -> Register {
        Register {
            serial: self.serial.clone(),
            path: Some(self.path.clone()),
            is_in_host: self.is_in_host,
            ..Register::default()
        }
    }
}

/// The manager's state as a disk keeps it: `written` survives the process, `synced` a power loss.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    written: BTreeMap<(ProbeId, String), SessionEntry>,
    synced: BTreeMap<(ProbeId, String), SessionEntry>,
    synced_at: Duration,
    /// How often what is written is synced, if nothing requests it.
    pub(super) sync_every: Option<Duration>,
    /// Whether nothing can be written.
    pub(super) is_broken: bool,
}

impl State {
    pub(super) fn of(&self, probe: &ProbeId) -> Vec<SessionEntry> {
        self.written.values().filter(|entry| entry.probe == *probe).cloned().collect()
    }

    pub(super) fn power_loss(&mut self) {
        self.written = self.synced.clone();
    }

    fn write(&mut self, entry: SessionEntry, path: &str) {
        self.written.insert((entry.probe.clone(), path.to_owned()), entry);
    }

    fn keep_alone(&mut self, probe: &ProbeId, path: &str, configured: &BTreeSet<ProbeId>) {
        self.written.retain(|(other, register), _| {
            let is_same = other == probe && register == path;
            is_same || (other != probe && register != path && configured.contains(other))
        });
    }
}

/// The clocks of a host at one instant, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) wall: i64,
    pub(super) boottime: u64,
    pub(super) boot: String,
}

impl Instant {
    pub(super) fn clocks(&self) -> Clocks<'_> {
        Clocks {
            wall: Timestamp::from_micros(self.wall.max(0) as u64 * 1000),
            boottime: Duration::from_millis(self.boottime),
            boot: &self.boot,
        }
    }
}

/// One probe in one manager process.
#[derive(Debug)]
pub(super) struct WorldSource {
    pub(super) probe: ProbeId,
    pub(super) session: Session,
    path: String,
    /// The clocks at the latest reading.
    pub(super) last: Option<Instant>,
    register: Arc<Register>,
}

impl WorldSource {
    pub(super) fn new(probe: &ProbeId, state: &State, limits: Limits) -> Self {
        let session = Session::new(limits, NOT_BEFORE, state.of(probe));
        let register = Arc::default();
        Self { probe: probe.clone(), session, path: String::new(), last: None, register }
    }

    /// A reading of `power` and `counter` becomes a message, or nothing while it is held.
    pub(super) fn take(
        &mut self,
        power: Watts,
        counter: Option<MeterCounter>,
        register: &Register,
        now: &Instant,
        state: &mut State,
        configured: &BTreeSet<ProbeId>,
    ) -> Option<Message> {
        let clocks = now.clocks();
        if *self.register != *register {
            self.register = Arc::new(register.clone());
        }
        self.path = register.path.clone().unwrap_or_default();
        let sample = Sample {
            at: clocks.boottime,
            timestamp: clocks.wall,
            power: Some(power),
            is_counted: false,
            quality: Quality::Measured,
            counter,
            register: self.register.clone(),
        };
        if self.session.record(&sample, &clocks) == SampleOutcome::Held {
            return None;
        }
        if let Some(keep) = self.session.keep(&self.probe, &clocks) {
            if state.is_broken {
                if keep.sync {
                    self.session.leave_curve();
                }
            } else {
                if keep.alone {
                    state.keep_alone(&self.probe, &self.path, configured);
                }
                state.write(keep.entry, &self.path);
                let age = clocks.boottime.checked_sub(state.synced_at).unwrap_or(Duration::MAX);
                if keep.sync || state.sync_every.is_some_and(|every| age >= every) {
                    state.synced = state.written.clone();
                    state.synced_at = clocks.boottime;
                }
            }
        }
        self.last = Some(now.clone());
        let accounting = self.session.publish(Quality::Measured)?;
        Some(Message { probe: self.probe.clone(), accounting })
    }

    /// A clean end.
    pub(super) fn stop(self, state: &mut State) {
        let Some(last) = &self.last else { return };
        for entry in self.session.into_entries(&self.probe, &last.boot) {
            if state.is_broken {
                return;
            }
            state.write(entry, &self.path);
            state.synced = state.written.clone();
        }
    }
}
