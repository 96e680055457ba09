//! A simulated day against the truth: a meter that goes away, a publisher and a collector that restart, a network that
//! loses, repeats and reorders.

use kwapi_core::Integrator;

use super::*;

mod meter;

const DAY: u64 = 86_400;
/// When the day begins, in Unix seconds and on our own clock.
const BEGIN: u64 = 1_800_000_000;

/// A small generator of numbers that look random (Knuth's MMIX), so that each run is the same.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What the machine draws, in watts: a daily wave, and a load that comes and goes each minute.
fn watts(second: u64) -> f64 {
    let wave = (second as f64 / DAY as f64 * std::f64::consts::TAU).sin() * 60.0;
    let load = if (second / 60).is_multiple_of(3) { 140.0 } else { 0.0 };
    150.0 + wave + load
}

/// What the publisher is doing.
enum Publisher {
    Reading(Box<Integrator>, Timestamp, u64),
    /// Restarting, until this second.
    Away(u64),
}

#[test]
fn a_day_of_losses_gaps_and_restarts_ends_within_a_thousandth_of_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::in_directory(directory.path());
    let max_gap = bench.live.config().gaps.of_others();
    let mut dice = Dice(7);
    let begun = |second| Timestamp::from_seconds(BEGIN + second);
    let mut publisher = Publisher::Reading(Box::new(Integrator::new(max_gap)), begun(0), 0);
    let (mut truth, mut known, mut last_read) = (0.0, 0, 0);
    let mut underway: Vec<Accounting> = Vec::new();
    let mut published = 0.0;

    for second in 0..=DAY {
        bench.pass(1);
        match &mut publisher {
            Publisher::Away(until) if *until > second => continue,
            Publisher::Away(_) => {
                publisher = Publisher::Reading(Box::new(Integrator::new(max_gap)), begun(second), 0);
                last_read = second;
            }
            Publisher::Reading(..) => {}
        }
        let Publisher::Reading(integrator, session, seq) = &mut publisher else { continue };
        // The meter is silent for seven minutes of every five hours, and misses one reading in fifty besides.
        let is_silent = second % 18_000 > 17_000 && second % 18_000 < 17_420;
        if is_silent || (dice.throw(50) == 0 && second != 0 && second != DAY) {
            continue;
        }
        integrator.record(Duration::from_secs(second), Some(Watts(watts(second))), Quality::Measured, None);
        let elapsed = second - last_read;
        if elapsed <= max_gap.as_secs() {
            // The truth of a second is the power at its end; over missed ones the new watts are held to be right.
            truth += (last_read..second).map(|second| watts(second + 1)).sum::<f64>();
            known += elapsed;
        }
        last_read = second;
        let timestamp = begun(second);
        let message = Accounting {
            timestamp,
            session: *session,
            seq: *seq,
            totals: integrator.totals(),
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        *seq += 1;
        underway.push(message);
        if dice.throw(20) == 0 {
            underway.push(message);
        }
        // The network: some messages wait for a few others, one in ten is lost; the day's first and last come through.
        while !underway.is_empty()
            && (underway.len() > 4 || second == 0 || second == DAY || dice.throw(2) == 0)
        {
            let next = usize::try_from(dice.throw(underway.len() as u64)).unwrap();
            let message = underway.swap_remove(next);
            if dice.throw(10) != 0 || second == 0 || message.timestamp == begun(DAY) {
                bench.receive_message("A", 100.0, Some(message));
            }
        }
        if let Some((_, view)) = bench.live.probe("A").filter(|_| second % 30 == 0) {
            let total = view.totals.energy.joules();
            assert!(total >= published, "fell from {published} to {total} at {second}");
            published = total;
        }
        if second % 21_000 == 20_999 {
            // The publisher sends its last, and is back in 20 s.
            for message in underway.drain(..) {
                bench.receive_message("A", 100.0, Some(message));
            }
            publisher = Publisher::Away(second + 20);
        } else if second % 10_000 == 9_999 {
            // We restart, without a last word.
            let now = bench.millis.load(Ordering::Relaxed);
            bench = Bench::in_directory(directory.path());
            bench.millis.store(now, Ordering::Relaxed);
        } else if second % 5 == 0 {
            bench.live.maintain(false);
        }
    }
    let (_, view) = bench.live.probe("A").unwrap();
    let error = (view.totals.energy.joules() - truth) / truth;
    assert!(error.abs() < 0.001, "{error} of {truth} J");
    let unknown = view.totals.unknown_ms as f64 / 1e3;
    let expected = (DAY - known) as f64;
    assert!((unknown - expected).abs() <= 1.0, "{unknown} s unknown, expected {expected}");
    assert!(expected > 1_500.0, "the day was too easy: {expected} s unknown");
}
