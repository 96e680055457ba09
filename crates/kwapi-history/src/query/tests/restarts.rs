//! Energy around restarts of a driver manager, by the messages that a manager sends.

use kwapi_core::{Clocks, Limits, MeterCounter, Register, Sample, SampleOutcome, Session, SessionEntry};

use super::samples::house_with_samples;
use super::*;

/// A load that changes each second, and a meter at it.
struct World {
    seed: u64,
    /// Millijoules of one tick of its register; none: it has none.
    tick: Option<u64>,
    /// True milliseconds of each reading, and whether the manager starts with it.
    readings: Vec<(u64, bool)>,
}

fn mixed(seed: u64, of: u64) -> u64 {
    let mut bits = (seed ^ of.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x5851_f42d_4c95_7f2d);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

impl World {
    /// Millijoules used from the second of the first reading until a millisecond.
    fn used(&self, ms: u64) -> u64 {
        let watts = |second: u64| 150 + mixed(self.seed, second / 7) % 200 + mixed(self.seed, second) % 60;
        (self.readings[0].0 / 1_000..ms / 1_000).map(|second| watts(second) * 1_000).sum::<u64>()
            + watts(ms / 1_000) * (ms % 1_000)
    }

    fn records(&self) -> Vec<Credited> {
        let limits =
            Limits { max_gap: Duration::from_secs(10), interval: Duration::from_secs(1), max_watts: None };
        let register = Arc::new(Register { path: Some("gpu".to_owned()), ..Register::default() });
        let mut kept: Vec<SessionEntry> = Vec::new();
        let mut session = Session::new(limits, at(0), Vec::new());
        let mut account = kwapi_core::Account::default();
        let mut before = self.readings[0].0;
        let mut records = Vec::new();
        for (ms, starts) in &self.readings {
            if *starts {
                session = Session::new(limits, at(0), kept.clone());
            }
            let wall = at(0).after(Duration::from_millis(*ms));
            let boottime = Duration::from_millis(1_000_000 + ms);
            let clocks = Clocks { wall, boottime, boot: "boot" };
            let used = self.used(*ms);
            let power = Watts((used - self.used(before)) as f64 / (ms - before).max(1) as f64);
            before = *ms;
            let counter = self.tick.map(|tick| MeterCounter {
                value: Energy::from_millijoules((used + 987_654) / tick * tick),
                resolution: Energy::from_millijoules(tick),
                range: None,
                reset_at: None,
            });
            let sample = Sample {
                at: boottime,
                timestamp: wall,
                power: Some(power),
                is_counted: false,
                quality: Quality::Measured,
                counter,
                register: register.clone(),
            };
            assert_ne!(session.record(&sample, &clocks), SampleOutcome::Held);
            if let Some(keep) = session.keep(&probe("a"), &clocks) {
                kept = vec![keep.entry];
            }
            let accounting = session.publish(Quality::Measured).unwrap();
            let credit = account.credit(&accounting, boottime, Duration::from_secs(10)).unwrap();
            records.push(Credited {
                probe: probe("a"),
                at: wall,
                power,
                voltage: None,
                current: None,
                accounting: Some(accounting),
                taken: Some(Taken { decision: credit.decision, register: credit.totals }),
            });
        }
        records
    }
}

/// Readings each second, beside it, of a manager that is killed at one instant and started at another, in milliseconds.
fn readings(from: u64, kill: u64, again: u64, to: u64) -> Vec<(u64, bool)> {
    let before = (from..=kill).step_by(1_000).map(|ms| (ms + ms / 1_000 * 37 % 90, false));
    let after = (again..=to).step_by(1_000).map(|ms| (ms + ms / 1_000 * 41 % 90, ms == again));
    before.chain(after).collect()
}

/// What was used, as the messages of both processes tell once all have come: stretches from stamp to stamp with their energy,
/// and whether each is the stop. In milliseconds and millijoules.
fn stretches(records: &[Credited]) -> Vec<(u64, u64, f64, bool)> {
    let ms = |record: &Credited| record.at.since(at(0)).as_micros() as u64 / 1_000;
    let own = |record: &Credited| record.accounting.unwrap().totals.energy.millijoules() as f64;
    let session = |record: &Credited| record.accounting.unwrap().session;
    let begin = |run: Timestamp| {
        let last = records.iter().rfind(|record| session(record) == run).unwrap();
        last.accounting.unwrap().curve.map(|curve| curve.begin.millijoules() as f64)
    };
    let gained = |pair: &[Credited]| {
        let [before, after] = pair else { panic!("two") };
        if session(before) == session(after) {
            return (ms(before), ms(after), own(after) - own(before), false);
        }
        let stop = begin(session(after)).zip(begin(session(before)));
        let gained = stop.map_or(0.0, |(begun, former)| begun - former - own(before));
        (ms(before), ms(after), gained, true)
    };
    records.windows(2).map(gained).collect()
}

/// Of a world: whether the tick that lifts the second run lies in another minute than the stop, and whether some of what it
/// measured first was cut.
#[track_caller]
fn check(world: &World, note: &str) -> (bool, bool) {
    let records = world.records();
    let stretches = stretches(&records);
    let total = |record: &Credited| record.taken.unwrap().register.energy.millijoules();
    let used: f64 = stretches.iter().map(|(.., gained, _)| gained).sum();
    let gained = total(records.last().unwrap()) - total(&records[0]);
    assert!((used - gained as f64).abs() < 1.0, "{note}: {used} mJ, of the account {gained}");
    let (house, _samples) = house_with_samples(records.clone(), true);
    let (first, last) = (stretches[0].0, stretches[stretches.len() - 1].1);
    let &(kill, again, of_stop, _) = stretches.iter().find(|(.., is_stop)| *is_stop).unwrap();
    let mut instants: Vec<u64> =
        (0..24).map(|n| first + mixed(world.seed, n + 1_000_000) % (last - first)).collect();
    // Where the stop begins and ends, the seconds beside it, and full minutes.
    instants.extend([
        first,
        last,
        kill,
        again,
        kill - 1_500,
        kill.midpoint(again),
        again + 700,
        again + 2_500,
    ]);
    instants.extend([again + 14_300, again + 40_600, kill / 60_000 * 60_000, again.next_multiple_of(60_000)]);
    for (n, from) in instants.iter().enumerate() {
        let to = instants[(n * 7 + 5) % instants.len()];
        let (from, to) = (*from.min(&to), *from.max(&to));
        if from == to {
            continue;
        }
        let instant = |ms| at(0).after(Duration::from_millis(ms));
        let request = EnergyRequest {
            probes: vec![probe("a")],
            start: instant(from),
            end: instant(to),
            step: EnergyStep::Whole,
            is_to_now: false,
            now: instant(last + 1_000_000_000),
        };
        let answer = house.query.energy(&request).unwrap();
        let span = answer.probes[0].spans[0];
        let overlap = |begin: u64, end: u64| end.min(to).saturating_sub(begin.max(from));
        let share = |(begin, end, gained, _): &(u64, u64, f64, bool)| {
            gained * overlap(*begin, *end) as f64 / (end - begin) as f64
        };
        let (stops, others): (Vec<_>, Vec<_>) = stretches.iter().partition(|(.., is_stop)| *is_stop);
        let measured: f64 = others.into_iter().map(share).sum();
        let bridged: f64 = stops.into_iter().map(share).sum();
        let stop_ms = overlap(kill, again);
        let off = [span.known.mj[0] as f64 - measured, span.known.mj[2] as f64 - bridged];
        let note =
            format!("{note}: {from}..{to}, stop {kill}..{again} of {of_stop} mJ: {span:?}, off by {off:?}");
        // The share of each minute of a long stop is a whole number.
        let of_minutes = (stop_ms / 60_000) as f64;
        assert!(off[0].abs() <= 8.0 && off[1].abs() <= 8.0 + of_minutes, "{note}");
        assert!(!span.is_interpolated && answer.without_samples.is_empty(), "{note}");
        let of_stop_ms = if world.tick.is_some() { span.known.ms[2] as u64 } else { span.unknown_ms };
        assert!(of_stop_ms.abs_diff(stop_ms) <= 4, "{note}");
        assert!(span.known.ms[0].cast_unsigned().abs_diff(to - from - stop_ms) <= 4, "{note}");
    }
    let rises: Vec<u64> = records.windows(2).map(|pair| total(&pair[1]) - total(&pair[0])).collect();
    let lifted = records.iter().zip(&rises).find(|(record, _)| {
        let (second, begun) = (records.last().unwrap().accounting.unwrap(), record.accounting.unwrap());
        begun.session == second.session && begun.curve == second.curve
    });
    let tick = lifted.map_or(again, |(record, _)| record.at.since(at(0)).as_micros() as u64 / 1_000);
    let is_cut = stretches.iter().zip(&rises).any(|((_, end, gained, _), rise)| {
        *end > again && *end < again + 10_000 && *rise == 0 && *gained > 1.0
    });
    (tick / 60_000 != kill / 60_000, is_cut)
}

#[test]
fn energy_between_any_two_instants_around_a_stop_is_what_the_register_counted() {
    let (mut over_edges, mut cut) = (0, 0);
    for seed in 0..70_u64 {
        let tick = [Some(1), Some(1_000), Some(100_000), Some(3_600_000), Some(36_000_000), None];
        let tick = tick[(seed % 6) as usize];
        // Beside a minute, an hour and a day.
        let edge = [600_000, 3_600_000, 86_400_000][(seed / 6 % 3) as usize] + 3_600_000;
        let random = |n: u64, below: u64| mixed(seed, 2_000_000 + n) % below;
        let kill = edge - random(1, 75) * 1_000;
        let length =
            [1_600 + random(2, 9_000), 20_000 + random(3, 200_000), 4_000_000][(seed / 2 % 9 / 4) as usize];
        let again = kill + length;
        let world = World { seed, tick, readings: readings(kill - 900_000, kill, again, again + 700_000) };
        let (is_over_edge, is_cut) = check(&world, &format!("world {seed}, tick {tick:?}"));
        over_edges += u32::from(is_over_edge);
        cut += u32::from(is_cut);
    }
    assert!(over_edges > 20 && cut > 5, "too easy: {over_edges} over edges, {cut} cut");
}
