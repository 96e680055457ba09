//! The same day from a meter that counts energy: its counter wraps, is reset once and has the last word over watts
//! that read high, while the publisher's wall clock is set forward and back.

use kwapi_core::{CounterChange, MeterCounter};

use super::*;

/// The counter's tick (0.1 Wh) and where it starts again (1 kWh).
const TICK_J: u64 = 360;
const RANGE_J: u64 = 3_600_000;
/// The meter's watts read high by this factor; its counter is right.
const WATTS_HIGH: f64 = 1.02;
/// When the counter is set to zero: while the meter is silent, so that nothing bridges that silence.
const RESET: u64 = 53_200;
/// When the wall clock is set, and by how many seconds.
const STEPS: [(u64, i64); 3] = [(15_000, 3_000), (30_500, -300), (60_500, -1_000)];
/// When the publisher restarts, and for how long it is away.
const RESTART: u64 = 42_000;
const AWAY: u64 = 20;

/// One probe at its publisher, with the driver manager's rule for sessions: when the wall clock has fallen behind the
/// monotonic one, a new one continues where the last ended, named for a time after all stamps of the last.
struct Source {
    integrator: Integrator,
    session: Timestamp,
    seq: u64,
    /// The latest reading: monotonic second, wall-clock second, watts, counter.
    last: Option<(u64, u64, Watts, MeterCounter)>,
}

impl Source {
    fn new(max_gap: Duration, wall: u64) -> Self {
        let session = Timestamp::from_seconds(wall);
        Self { integrator: Integrator::new(max_gap), session, seq: 0, last: None }
    }

    fn read(
        &mut self,
        (second, wall): (u64, u64),
        power: Watts,
        counter: MeterCounter,
        max_gap: Duration,
    ) -> (Accounting, Option<CounterChange>) {
        if let Some((last, last_wall, last_power, last_counter)) = self.last
            && wall + 1 < last_wall + (second - last)
        {
            *self = Self::new(max_gap, wall - (second - last));
            let after_last = Timestamp::from_micros(last_wall * 1_000_000 + 1);
            self.session = self.session.max(after_last);
            let at = Duration::from_secs(last);
            self.integrator.record(at, Some(last_power), Quality::Measured, Some(&last_counter));
        }
        self.last = Some((second, wall, power, counter));
        let at = Duration::from_secs(second);
        let change = self.integrator.record(at, Some(power), Quality::Measured, Some(&counter));
        let message = Accounting {
            timestamp: Timestamp::from_seconds(wall),
            session: self.session,
            seq: self.seq,
            totals: self.integrator.totals(),
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        self.seq += 1;
        (message, change)
    }
}

/// What the counter shows when the machine has used `joules` since the counter was last zero.
fn counter(joules: f64) -> MeterCounter {
    let ticks = Energy::from_joules(joules).unwrap().millijoules() / (TICK_J * 1000);
    MeterCounter {
        range: Some(Energy::from_millijoules(RANGE_J * 1000)),
        ..MeterCounter::new(
            Energy::from_millijoules(ticks * TICK_J % RANGE_J * 1000),
            Energy::from_millijoules(TICK_J * 1000),
        )
    }
}

/// Energy is within 0.1 % of the model's, whatever the wall clock did, and unknown time is right to the second: what
/// nobody read, and what the clock passed over when it was set forward.
/// At a step the old session's messages are in: one that is not is a message lost at a restart.
#[test]
fn a_day_of_wraps_a_reset_and_clock_steps_ends_within_a_thousandth_of_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::in_directory(directory.path());
    let max_gap = bench.live.config().gaps.of_others();
    let mut dice = Dice(11);
    let mut source = Source::new(max_gap, BEGIN);
    let (mut used, mut used_at_reset, mut used_at_last) = (0.0, 0.0, 0.0);
    let (mut unseen, mut unknown, mut last_read) = (0.0, 0, 0);
    let (mut wraps, mut resets, mut stepped) = (0, 0, 0_i64);
    let mut underway: Vec<Accounting> = Vec::new();
    let mut published = 0.0;

    for second in 0..=DAY {
        bench.pass(1);
        if second > 0 {
            used += watts(second);
        }
        if second == RESET {
            used_at_reset = used;
        }
        let step = STEPS.iter().find(|(at, _)| *at == second).map(|(_, step)| *step);
        stepped += step.unwrap_or(0);
        if step.is_some() || second == RESTART {
            for message in underway.drain(..) {
                bench.receive_message("A", 100.0, Some(message));
            }
        }
        let wall = (BEGIN + second).checked_add_signed(stepped).unwrap();
        if second == RESTART + AWAY {
            source = Source::new(max_gap, wall);
        }
        let is_away = (RESTART..RESTART + AWAY).contains(&second);
        let is_silent = second % 18_000 > 17_000 && second % 18_000 < 17_420;
        let is_missed = dice.throw(50) == 0 && ![0, RESTART + AWAY, DAY].contains(&second);
        if is_away || is_silent || is_missed {
            continue;
        }
        let power = Watts(watts(second) * WATTS_HIGH);
        let (message, change) = source.read((second, wall), power, counter(used - used_at_reset), max_gap);
        wraps += u32::from(matches!(change, Some(CounterChange::Wrapped(_))));
        resets += u32::from(change == Some(CounterChange::Reset));
        // The counter bridges every silence but the one it was reset in.
        if second == RESTART + AWAY || (last_read < RESET && RESET <= second) {
            unseen += used - used_at_last;
            unknown += second - last_read;
        }
        (last_read, used_at_last) = (second, used);

        if second == 0 || second == RESTART + AWAY {
            bench.receive_message("A", 100.0, Some(message));
        } else {
            underway.push(message);
        }
        if dice.throw(20) == 0 {
            underway.push(message);
        }
        while !underway.is_empty() && (underway.len() > 4 || second == DAY || dice.throw(2) == 0) {
            let next = usize::try_from(dice.throw(underway.len() as u64)).unwrap();
            let message = underway.swap_remove(next);
            if dice.throw(10) != 0 || second == DAY {
                bench.receive_message("A", 100.0, Some(message));
            }
        }
        if let Some((_, view)) = bench.live.probe("A").filter(|_| second % 30 == 0) {
            let total = view.totals.energy.joules();
            assert!(total >= published, "fell from {published} to {total} at {second}");
            published = total;
        }
        if second % 10_000 == 9_999 {
            // We restart, without a last word.
            let now = bench.millis.load(Ordering::Relaxed);
            bench = Bench::in_directory(directory.path());
            bench.millis.store(now, Ordering::Relaxed);
        } else if second % 30 == 0 {
            bench.live.maintain(false);
        }
    }
    let (_, view) = bench.live.probe("A").unwrap();
    assert!(wraps >= 3 && resets == 1, "{wraps} wraps, {resets} resets");
    let truth = used - unseen;
    let error = (view.totals.energy.joules() - truth) / truth;
    assert!(error.abs() < 0.001, "{error} of {truth} J");
    assert!(unknown > 400, "the day was too easy: {unknown} s unknown");
    let passed_over = STEPS.iter().map(|(_, step)| step.max(&0)).sum::<i64>();
    let expected = unknown as f64 + passed_over as f64;
    let reported = view.totals.unknown_ms as f64 / 1e3;
    assert!((reported - expected).abs() <= 1.0, "{reported} s unknown, expected {expected}");
}
