//! Small worlds in which the rules as they were first written down fail, each held to what is right.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::worlds::{Load, Meter};
use super::super::Limits;
use super::properties::credited;
use super::small::{Small, id};
use crate::{Energy, Quality, Watts};

#[test]
fn two_readings_at_one_instant_have_two_stamps() {
    let mut world = Small::new(Meter::exact("m"));
    world.read([0, 10, 10, 10, 20]);
    let stamps: Vec<_> = world.log.iter().map(|(_, message)| message.accounting.timestamp).collect();
    assert!(stamps.len() == 5 && stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
}

/// It is ended while the wall clock is wrong: what was kept before is kept.
#[test]
fn a_process_that_has_published_nothing_leaves_the_state_as_it_was() {
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    let kept = world.state.of(&id("p"));
    let limits =
        Limits { max_gap: Duration::from_secs(25), interval: Duration::from_secs(10), max_watts: None };
    let session = crate::Session::new(limits, crate::Timestamp::EPOCH, kept.clone());
    assert_eq!((session.into_entries(&id("p"), "1"), kept.len()), (kept, 1));
}

/// A device's own stamps may come in any order.
#[test]
fn a_reading_from_before_the_last_one_does_not_set_the_state_back() {
    let limits =
        Limits { max_gap: Duration::from_secs(25), interval: Duration::from_secs(10), max_watts: None };
    let mut session = crate::Session::new(limits, crate::Timestamp::EPOCH, Vec::new());
    for (at, second) in [(0, 0), (20, 20), (10, 21), (30, 31)] {
        let wall = crate::Timestamp::from_seconds(1_790_000_000 + second);
        let sample = crate::Sample {
            at: Duration::from_secs(at),
            timestamp: wall,
            power: Some(Watts(100.0)),
            is_counted: false,
            quality: Quality::Measured,
            counter: None,
            register: Arc::default(),
        };
        let clocks = crate::Clocks { wall, boottime: Duration::from_secs(second), boot: "0" };
        session.record(&sample, &clocks);
        let entry = session.entry(&id("p"), "0").unwrap();
        let newest = at.max(20 * u64::from(second >= 20));
        assert_eq!(
            (entry.boottime, entry.total_uj / 1_000_000),
            (Duration::from_secs(newest), u128::from(newest) * 100)
        );
    }
    let entry = session.entry(&id("p"), "0").unwrap();
    assert_eq!((entry.boottime, entry.total_uj), (Duration::from_secs(30), 3_000_000_000));
}

/// The register was upset in the run, then power was lost: the state of before must not come back, or the register
/// would seem to have gone on from there.
#[test]
fn what_upset_a_register_is_on_disk_before_its_message_leaves() {
    for jumps in [true, false] {
        let mut world = Small::new(Meter { offset: 500_000_000, ..Meter::exact("m") });
        world.max_watts = Some(Watts(1_000.0));
        world.read([0, 10]);
        if jumps {
            world.meter.offset += 3_000_000_000;
        } else {
            world.meter.reset(&world.load, 15_000);
        }
        world.read((20..7_200).step_by(10));
        world.state.power_loss();
        world.boot(7_200);
        world.read((7_260..7_400).step_by(10));
        let truth = 739_000;
        let (credited, upset) = (world.credited(), 1_000);
        assert!(credited <= truth && credited >= truth - upset, "jumps {jumps}: {credited} J of {truth} J");
    }
}

/// Each life ends before the state is written again; what a coarse register ticks first in the next may have been
/// published by the one before, which a plugin that ignores curves adds up.
#[test]
fn the_first_tick_after_a_stop_is_the_stops() {
    // Three readings in four seconds: the first is on file, the last is published and not. The register ticks in the stops,
    // or between the readings.
    for offset in [0, 700_000] {
        let mut world = Small::new(Meter { offset, ..Meter::ticking("m", 36_000_000) });
        for life in (0..20_000).step_by(5) {
            world.read([life, life + 2, life + 4]);
            world.kill();
        }
        let truth = 2_000_000;
        assert!(world.credited().abs_diff(truth) <= 3 * 36_000, "{offset}: {}", world.credited());
        let mut without = world.log.iter().map(|(_, message)| message.clone()).collect::<Vec<_>>();
        without.iter_mut().for_each(|message| message.accounting.curve = None);
        let without = credited(&without) / 1000;
        assert!(without <= truth + 2 * 36_000, "{offset}: {without}");
    }
}

#[test]
fn a_probe_renamed_and_back_has_no_joule_of_the_other() {
    let mut world = Small::new(Meter::exact("m"));
    let mut total = 0;
    for (probe, times) in [("x", 0..20), ("y", 20..1_000), ("x", 1_000..1_020)] {
        times.step_by(10).for_each(|second| world.read_as(probe, second, 100.0));
        world.stop();
    }
    for probe in ["x", "y"] {
        let of_probe =
            world.log.iter().map(|(_, message)| message).filter(|message| message.probe == id(probe));
        total += credited(of_probe) / 1000;
    }
    assert!(total <= 101_000, "{total}");
}

#[test]
fn one_absurd_sample_beside_an_exact_register_is_nothing() {
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    world.read_as("p", 100, 1e7);
    world.read((110..300).step_by(10));
    assert_eq!(world.credited(), 29_000);
    assert!(world.source.as_ref().unwrap().session.register_trusted());
}

/// The meter's own interval is ten seconds, `max_gap` 25: a reading that comes after 28 is late, one after 31 was missed.
#[test]
fn up_to_three_of_the_meters_intervals_a_register_measures_and_then_it_bridges() {
    for (second, bridged_ms) in [(25, 0), (28, 0), (30, 0), (31, 31_000)] {
        let mut world = Small::new(Meter::exact("m"));
        world.read([0, second]);
        let totals = world.log.last().unwrap().1.accounting.totals;
        assert_eq!((totals.bridged_ms, totals.measured_ms), (bridged_ms, second * 1000 - bridged_ms));
        assert!(totals.bridged.millijoules().abs_diff(bridged_ms * 100) <= 1, "{totals:?}");
        assert!(totals.energy.millijoules().abs_diff(second * 100_000) <= 1, "{totals:?}");
    }
    let mut without = Small::new(Meter { tick: None, ..Meter::exact("m") });
    without.read([0, 28]);
    assert_eq!(without.log.last().unwrap().1.accounting.totals.unknown_ms, 28_000);
}

/// Nothing checks the watts of a reading in which the register was reset.
#[test]
fn one_absurd_sample_in_the_reading_of_a_reset_is_nothing() {
    let mut world = Small::new(Meter { offset: 500_000_000, ..Meter::exact("m") });
    world.read((0..100).step_by(10));
    world.meter.reset(&world.load, 95_000);
    world.read_as("p", 100, 1e7);
    world.read((110..200).step_by(10));
    assert!(world.credited().abs_diff(19_000) <= 1, "{}", world.credited());
}

/// A register that is read for the first time, or another in its place, has nothing yet to check the watts by.
#[test]
fn one_absurd_sample_in_the_first_reading_of_a_register_is_nothing() {
    let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
    world.read((0..60).step_by(10));
    world.meter.tick = Some(1);
    world.read_as("p", 60, 1e7);
    world.read((70..100).step_by(10));
    assert_eq!(world.credited(), 9_000, "first read in a session");
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..60).step_by(10));
    world.meter.path = "n".to_owned();
    world.read_as("p", 60, 1e7);
    world.read((70..100).step_by(10));
    assert_eq!(world.credited(), 9_000, "another register");
}

/// The register counts a tenth of what the watts show. In the very reading that ends trust in it one sample is absurd.
#[test]
fn one_absurd_sample_in_the_reading_that_ends_trust_in_a_register_is_left_out() {
    let mut world = Small::new(Meter::exact("m"));
    (0..60).step_by(10).for_each(|second| world.read_as("p", second, 1_000.0));
    assert!(world.source.as_ref().unwrap().session.register_trusted());
    world.read_as("p", 60, 1e7);
    assert!(!world.source.as_ref().unwrap().session.register_trusted());
    (70..100).step_by(10).for_each(|second| world.read_as("p", second, 1_000.0));
    // The register had the last word for ten seconds: a kilojoule.
    assert_eq!(world.credited(), 81_000);
}

/// A meter that does not state its register in the last reading before a stop has one all the same.
#[test]
fn a_register_not_read_in_the_last_reading_bridges_the_stop() {
    for is_clean in [true, false] {
        let mut world = Small::new(Meter::exact("m"));
        world.read((0..50).step_by(10));
        world.meter.tick = None;
        world.read([50]);
        assert_eq!(world.log.last().unwrap().1.accounting.meter, None);
        if is_clean {
            world.stop();
        } else {
            world.kill();
        }
        world.meter.tick = Some(1);
        world.read([100, 110]);
        assert_eq!((world.credited(), world.curves()), (11_000, 1), "clean {is_clean}");
    }
}

/// A range that is stated no more holds all the same: the register may have passed it more than once.
#[test]
fn a_range_not_read_once_bridges_no_stop_that_is_too_long_for_it() {
    let mut world = Small::new(Meter { range: Some(10_000_000), ..Meter::exact("m") });
    world.read((0..50).step_by(10));
    world.stop();
    world.meter.range = None;
    world.meter.offset = -10_000_000;
    world.read([150, 160]);
    let not_bridged = world.source.as_ref().unwrap().session.not_bridged();
    assert_eq!((world.curves(), not_bridged), (2, Some(crate::NotBridged::StopTooLong)));
}

/// What an outlet is known to draw outlives a process of one reading.
#[test]
fn what_is_plausible_is_kept_over_a_run_of_one_reading() {
    let mut world = Small::new(Meter::exact("m"));
    for times in [vec![0, 10, 20], vec![600], vec![1_200, 1_210]] {
        world.read(times);
        world.stop();
    }
    assert_eq!(world.curves(), 1);
    assert!(world.credited().abs_diff(121_000) <= 1, "{}", world.credited());
}

#[test]
fn a_register_that_contradicted_the_watts_bridges_nothing() {
    let mut world = Small::new(Meter::exact("m"));
    (0..300).step_by(10).for_each(|second| world.read_as("p", second, 1_000.0));
    assert!(!world.source.as_ref().unwrap().session.register_trusted());
    world.stop();
    world.read([400, 410]);
    assert_eq!(world.curves(), 2);
}

/// A watt-hour takes 36 s, and always passes while the manager is down for 12 s.
#[test]
fn a_tick_in_a_short_stop_is_no_jump() {
    let mut world = Small::new(Meter { offset: 500_000, ..Meter::ticking("m", 3_600_000) });
    for life in 0..20 {
        world.read((life * 36..life * 36 + 25).step_by(8));
        world.stop();
    }
    assert_eq!(world.curves(), 1);
    assert!(world.credited().abs_diff(70_800) <= 3_600, "{}", world.credited());
}

/// A meter counts in steps of its own: what it used in ten seconds may come in a stop of one.
#[test]
fn a_register_that_is_refreshed_in_steps_continues_over_a_short_stop() {
    let mut world = Small::new(Meter::exact("m"));
    world.read([0, 10, 20]);
    world.stop();
    world.meter.offset += 900_000;
    world.read([21, 31]);
    assert_eq!(world.curves(), 1);
}

/// The meter's watts are two percent low, as meters' are, and the load never changes.
#[test]
fn a_load_that_never_changes_is_bridged_though_watts_and_register_disagree() {
    let mut world = Small::new(Meter::exact("m"));
    (0..100).step_by(10).for_each(|second| world.read_as("p", second, 98.0));
    world.stop();
    (3_700..3_800).step_by(10).for_each(|second| world.read_as("p", second, 98.0));
    assert_eq!(world.curves(), 1);
    assert!(world.credited().abs_diff(379_000) <= 1, "{}", world.credited());
}

#[test]
fn what_cannot_be_kept_is_published_without_a_curve_and_counts_the_same() {
    let mut world = Small::new(Meter::exact("m"));
    world.state.is_broken = true;
    world.read((0..100).step_by(10));
    assert_eq!((world.credited(), world.curves()), (9_000, 0));
    // A disk that fails in a run, when the register is reset: the curve ends there, and no joule with it.
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    world.state.is_broken = true;
    world.meter.reset(&world.load, 95_000);
    world.read((100..200).step_by(10));
    let last = world.log.last().unwrap().1.accounting;
    assert_eq!((last.curve, last.seq), (None, 9));
    assert_eq!(world.credited(), 19_000);
    // When the disk is back, the entry of before must not be.
    world.state.is_broken = false;
    world.read((200..300).step_by(10));
    world.stop();
    world.read((400..500).step_by(10));
    let fresh = world.log.last().unwrap().1.accounting;
    assert_eq!((fresh.curve.unwrap().run, fresh.curve.unwrap().begin), (1, Energy::ZERO));
}

/// A disk that is back in the middle of a run does not begin a curve: nothing of it before is on record.
#[test]
fn without_state_at_its_begin_a_process_has_no_curve_to_its_end() {
    let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
    world.state.is_broken = true;
    world.read([0, 10]);
    world.state.is_broken = false;
    world.meter.tick = Some(1);
    world.read([20, 30]);
    assert_eq!((world.curves(), world.credited()), (0, 3_000));
}

/// A plug that sends its counter only now and then: the curve begins with the counter and has the energy from there.
#[test]
fn a_register_seen_later_begins_its_curve_there() {
    let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
    world.read([0, 10, 20]);
    world.meter.tick = Some(1);
    world.read([30, 40, 50]);
    assert_eq!((world.credited(), world.curves()), (5_000, 1));
    let last = world.log.last().unwrap().1.accounting;
    assert_eq!(
        (last.curve.unwrap().begin, last.totals.energy),
        (Energy::ZERO, Energy::from_millijoules(3_000_000))
    );
    world.stop();
    world.read([80, 90]);
    assert_eq!(world.credited(), 9_000);
}

/// Without watts a register shows what its outlet draws, and a load that rises loses no more than one reading.
#[test]
fn a_register_alone_learns_its_load_and_takes_no_jump() {
    let mut world = Small::new(Meter::exact("m"));
    world.load = Load::new([(0, 50), (100_000, 2_000)]);
    let limits =
        Limits { max_gap: Duration::from_secs(25), interval: Duration::from_secs(10), max_watts: None };
    let mut integrator = crate::Integrator::within(limits);
    for second in (0..200).step_by(10) {
        let counter = world.meter.counter(&world.load, second * 1000);
        integrator.record(Duration::from_secs(second), None, Quality::Measured, counter.as_ref());
    }
    let (used, one) = (5_000.0 + 90.0 * 2_000.0, 10.0 * 2_000.0);
    let total = integrator.totals().energy.joules();
    assert!(total <= used && total >= used - one - 0.01, "{total} J of {used} J");
    world.meter.offset += 5_000_000_000;
    let counter = world.meter.counter(&world.load, 200_000);
    integrator.record(Duration::from_secs(200), None, Quality::Measured, counter.as_ref());
    assert_eq!(integrator.totals().energy.joules(), total, "5 MJ in ten seconds");
}
