//! What happens in a world: some thirty hours of a meter, a host and a manager to whom everything happens.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Dice, HOUR, Instant, Load, Meter, State, T0, WorldSource};
use crate::energy::integrator::PLAUSIBLE_FACTOR;
use crate::energy::scenarios::Message;
use crate::energy::{Limits, SessionEntry};
use crate::{ProbeId, Watts};

/// The load never draws more than this.
pub(crate) const WATTS_MAX: u64 = 400;
/// What an absurd sample reports.
const ABSURD: Watts = Watts(10_000_000.0);

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorldFault {
    /// The process is killed and comes back after a second to hours.
    Kill,
    /// It is killed and back within a second.
    Quick,
    /// It is ended cleanly.
    Stop,
    Reboot,
    /// Power is lost: the state is as of its last sync.
    Power,
    /// The meter does not answer.
    Link,
    /// It reports its power, and not its register.
    Unread,
    /// The wall clock is set, by half a second to two hours, either way.
    Step,
    /// The wall clock is wrong after a boot and mended later.
    WrongClock,
    /// The register is set to zero.
    Reset,
    /// Another meter without a serial number takes its place.
    Swap,
    /// One sample of 10 MW.
    Absurd,
}

/// The ways a process ends.
pub(crate) const STOPS: [WorldFault; 4] =
    [WorldFault::Kill, WorldFault::Stop, WorldFault::Reboot, WorldFault::Power];

/// What kind of world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Vec<WorldFault>,
    /// How often each fault happens.
    pub(crate) rate: u64,
    pub(crate) hours: u64,
    pub(crate) interval: Option<u64>,
    pub(crate) has_register: bool,
    /// Whether the register wraps in some of the worlds.
    pub(crate) wraps: bool,
    pub(crate) max_watts: Option<Watts>,
}

impl Plan {
    pub(crate) fn new(faults: &[WorldFault]) -> Self {
        Self {
            faults: faults.to_vec(),
            rate: 8,
            hours: 30,
            interval: None,
            has_register: true,
            wraps: true,
            max_watts: None,
        }
    }

    /// The same beside what `other` has.
    pub(crate) fn and(mut self, other: &[WorldFault]) -> Self {
        self.faults.extend_from_slice(other);
        self
    }
}

/// A world that has been lived through.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) interval: u64,
    pub(crate) max_gap: Duration,
    pub(crate) load: Load,
    /// A tick of the register, in millijoules.
    pub(crate) tick: u64,
    pub(crate) range: Option<u64>,
    /// What was published, and when.
    pub(crate) log: Vec<(u64, Message)>,
    /// True stretches between readings of one process no further apart than `max_gap`.
    pub(crate) covered: Vec<(u64, u64)>,
    /// When the register was reset or the meter swapped.
    pub(crate) resets: Vec<u64>,
    /// How many samples were absurd.
    pub(crate) absurd: u64,
    /// True stretches between readings without the register, of one process.
    pub(crate) unread: Vec<(u64, u64)>,
    /// What the rules let pass for used where the register was reset or swapped unseen, in millijoules: no more than the
    /// outlet can draw in the time that the rules take for the time between the two readings.
    pub(crate) unseen_max: u64,
    dice: Dice,
    limits: Limits,
    meter: Meter,
    state: State,
    source: Option<WorldSource>,
    keys: BTreeSet<ProbeId>,
    probe: ProbeId,
    /// The clock of the host: boots so far, when the latest was, how far the wall clock is off.
    boots: u64,
    booted: u64,
    offset: i64,
    /// When each boot was, in true time.
    boot_times: Vec<u64>,
    /// What the state had when the process began, until its first message.
    continued_from: Vec<SessionEntry>,
    /// The reading before in this process, and what is covered since the last message.
    before: Option<u64>,
    unpublished: Vec<(u64, u64)>,
}

impl World {
    pub(crate) fn live(seed: u64, plan: &Plan) -> Self {
        let mut dice = Dice::new(seed);
        let interval = plan.interval.unwrap_or_else(|| dice.pick(&[20_000, 30_000, 60_000]));
        let max_gap = interval * dice.pick(&[1, 2, 3]) + dice.pick(&[0, 5_000]);
        let end = plan.hours * HOUR;
        let mut steps = vec![(0, 0)];
        let mut at = 1;
        while at < end + 10 * HOUR {
            steps.push((at, dice.pick(&[0, 20, 90, 150, 300, WATTS_MAX])));
            at += dice.pick(&[interval, 5 * interval, HOUR, 3 * HOUR]);
        }
        // 1 mJ to 0.1 kWh.
        let tick = dice.pick(&[1, 1_000, 3_600_000, 36_000_000, 360_000_000]);
        let range = [None, Some(30_000_000_000 / tick * tick), Some((1 << 52) / tick * tick)];
        let range = if plan.wraps { dice.pick(&range) } else { None };
        let max_gap = Duration::from_millis(max_gap);
        let limits = Limits { max_gap, interval: Duration::from_millis(interval), max_watts: plan.max_watts };
        let probe = ProbeId::new("p").expect("an id");
        let mut world = Self {
            interval,
            max_gap,
            load: Load::new(steps),
            tick,
            range,
            log: Vec::new(),
            covered: Vec::new(),
            resets: Vec::new(),
            absurd: 0,
            unread: Vec::new(),
            unseen_max: 0,
            limits,
            meter: Meter::exact("dev/1"),
            state: State { sync_every: Some(Duration::from_secs(60)), ..State::default() },
            source: None,
            keys: BTreeSet::from([probe.clone()]),
            probe,
            boots: 0,
            booted: 0,
            offset: 0,
            boot_times: vec![0],
            continued_from: Vec::new(),
            before: None,
            unpublished: Vec::new(),
            dice,
        };
        world.meter = world.new_meter(plan.has_register);
        world.run(plan, end);
        world
    }

    fn new_meter(&mut self, has_register: bool) -> Meter {
        let start = self.dice.pick(&[2, 10_000]);
        let offset = self.dice.below(start) * self.tick + self.dice.below(self.tick);
        Meter {
            tick: has_register.then_some(self.tick),
            range: self.range,
            offset: offset as i64,
            ..Meter::exact("dev/1")
        }
    }

    fn run(&mut self, plan: &Plan, end: u64) {
        let mut at = self.dice.below(self.interval);
        let (mut down_until, mut link_until, mut unread_until, mut mended_at) = (0, 0, 0, None);
        let mut was_absurd = false;
        let chance = (plan.rate * self.interval) as f64 / end as f64;
        while at < end {
            if mended_at.is_some_and(|mended_at| at >= mended_at) {
                (self.offset, mended_at) = (0, None);
            }
            for fault in &plan.faults {
                if !self.dice.chance(chance) {
                    continue;
                }
                let long = self.dice.pick(&[1, 2, 5, 30, 120, 900, 3 * 3_600]) * 1_000;
                match fault {
                    WorldFault::Kill => down_until = self.booted.max(self.end(at + long, false)),
                    WorldFault::Quick => down_until = self.booted.max(self.end(at + 1_000, false)),
                    WorldFault::Stop => down_until = self.booted.max(self.end(at + long, true)),
                    WorldFault::Reboot | WorldFault::Power => {
                        if *fault == WorldFault::Power {
                            self.state.power_loss();
                        }
                        down_until = self.boot(down_until.max(at + long.max(30_000)));
                    }
                    WorldFault::Link => link_until = at + long,
                    WorldFault::Unread => unread_until = at + long,
                    WorldFault::Step => {
                        let step = self.dice.pick(&[500, 1_500, 20_000, 600_000, 2 * HOUR as i64]);
                        self.offset += step * self.dice.pick(&[-1, 1]);
                    }
                    WorldFault::WrongClock => {
                        down_until = self.boot(down_until.max(at + long.max(30_000)));
                        self.offset = if self.dice.chance(0.7) {
                            -T0 - at as i64 + self.dice.pick(&[1_000, 1_000_000_000])
                        } else {
                            -self.dice.pick(&[HOUR as i64, 86_400_000])
                        };
                        let wrong_for = self.dice.pick(&[20_000, 240_000, 590_000, 700_000, 2 * HOUR]);
                        mended_at = Some(down_until + wrong_for);
                    }
                    WorldFault::Reset => {
                        self.meter.reset(&self.load, at);
                        self.resets.push(at);
                    }
                    WorldFault::Swap => {
                        self.meter = self.new_meter(plan.has_register);
                        self.resets.push(at);
                    }
                    WorldFault::Absurd => {}
                }
            }
            if at >= down_until && at >= link_until {
                let may_be = plan.faults.contains(&WorldFault::Absurd) && !was_absurd;
                was_absurd = may_be && self.dice.chance(chance);
                self.read(at, was_absurd, at >= unread_until);
            }
            at += (self.interval as i64 + self.dice.pick(&[0, 0, 0, 7, -13])) as u64;
        }
    }

    /// The process ends, and is back at `back`.
    fn end(&mut self, back: u64, is_clean: bool) -> u64 {
        if let (Some(source), true) = (self.source.take(), is_clean) {
            source.stop(&mut self.state);
        }
        self.before = None;
        self.unpublished.clear();
        back
    }

    fn boot(&mut self, back: u64) -> u64 {
        (self.boots, self.booted) = (self.boots + 1, back);
        self.boot_times.push(back);
        self.end(back, false)
    }

    fn read(&mut self, at: u64, is_absurd: bool, has_register: bool) {
        if self.source.is_none() {
            self.continued_from = self.state.of(&self.probe);
        }
        let source =
            self.source.get_or_insert_with(|| WorldSource::new(&self.probe, &self.state, self.limits));
        let now = Instant {
            wall: T0 + at as i64 + self.offset,
            boottime: at.saturating_sub(self.booted),
            boot: self.boots.to_string(),
        };
        self.absurd += u64::from(is_absurd);
        let power = if is_absurd { ABSURD } else { Watts(self.load.watts(at) as f64) };
        let counter = self.meter.counter(&self.load, at).filter(|_| has_register);
        if let (Some(before), false) = (self.before, has_register) {
            self.unread.push((before, at));
        }
        let register = self.meter.register();
        let message = source.take(power, counter, &register, &now, &mut self.state, &self.keys);
        let before = self.before.replace(at);
        if let Some(before) = before.filter(|before| self.is_upset(*before, at)) {
            self.unseen_max += self.draws(PLAUSIBLE_FACTOR, at - before) + 2 * self.tick;
        }
        let is_begun = message.is_some() && !self.continued_from.is_empty();
        if let (true, Some(message)) = (is_begun, &message) {
            self.unseen_max += self.unseen_in_stop(at, &now, message);
            self.continued_from.clear();
        }
        if let Some(before) = before.filter(|before| u128::from(at - before) <= self.max_gap.as_millis()) {
            self.unpublished.push((before, at));
        }
        if let Some(message) = message {
            self.covered.append(&mut self.unpublished);
            self.log.push((at, message));
        }
    }

    fn is_upset(&self, from: u64, to: u64) -> bool {
        self.resets.iter().any(|at| (from..=to).contains(at))
    }

    /// What the outlet can draw in so many milliseconds, or so many times what it ever drew, where no limit is
    /// configured.
    fn draws(&self, times: f64, elapsed: u64) -> u64 {
        let watts = self.limits.max_watts.map_or(WATTS_MAX as f64 * times, |Watts(watts)| watts);
        (watts * elapsed as f64) as u64
    }

    /// What a register that was reset or swapped in a stop may count for it: "by no more than the largest trusted watts
    /// (or `max_watts`) x the stop's length plus one tick, and that product is below the stated range". A tenth and an
    /// interval are ADR 0016's.
    fn unseen_in_stop(&self, at: u64, now: &Instant, message: &Message) -> u64 {
        let continued = message.accounting.curve.filter(|curve| curve.run > 1);
        let of_it = |entry: &&SessionEntry| continued.is_some_and(|curve| entry.curve == Some(curve.id));
        let Some(entry) = self.continued_from.iter().find(of_it) else { return 0 };
        let boot: usize = entry.boot.parse().expect("a number");
        let began = self.boot_times[boot] + entry.boottime.as_millis() as u64;
        if !self.is_upset(began, at) {
            return 0;
        }
        // "The stop's length is CLOCK_BOOTTIME's within one boot, else the wall's": a clock that is set over a boot makes
        // it longer than it was; but no longer than since the newest stamp on record, if that is past.
        let length = if *entry.boot == *now.boot {
            at - began
        } else {
            let now = now.clocks().wall;
            let newest = if entry.newest <= now { entry.newest } else { entry.wall };
            now.since(newest.max(entry.wall)).as_millis() as u64
        };
        let most = self.draws(1.1, length + self.interval);
        if self.range.is_some_and(|range| most >= range) { 0 } else { most + self.tick }
    }

    /// What was used between the first message and the last.
    pub(crate) fn truth(&self) -> u64 {
        match (self.log.first(), self.log.last()) {
            (Some((first, _)), Some((last, _))) => self.load.energy(*last) - self.load.energy(*first),
            _ => 0,
        }
    }

    /// How many curves were begun.
    pub(crate) fn curves(&self) -> u64 {
        let ids: BTreeSet<_> = self
            .log
            .iter()
            .filter_map(|(_, message)| message.accounting.curve)
            .map(|curve| curve.id)
            .collect();
        ids.len() as u64
    }
}
