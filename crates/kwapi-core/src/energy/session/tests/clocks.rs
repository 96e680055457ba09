//! Small worlds whose wall clock is wrong, set or mended: after a boot, over a stop, while it runs.

use super::super::super::worlds::{Load, Meter, T0};
use super::small::Small;
use crate::Watts;

#[test]
fn while_the_clock_is_wrong_after_a_boot_nothing_is_published_and_the_time_is_the_stops() {
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    world.boot(160);
    world.offset = -1_000_000_000;
    world.read((170..470).step_by(10));
    assert_eq!(world.log.len(), 10);
    world.offset = 0;
    world.read((470..500).step_by(10));
    assert_eq!((world.credited(), world.curves()), (49_000, 1));
}

/// The register was reset as well, so that the curve ends: its follower is named for the first reading held, in right time.
#[test]
fn no_session_is_named_by_a_clock_that_is_wrong_after_a_boot() {
    for has_register in [true, false] {
        let tick = has_register.then_some(1);
        let mut world = Small::new(Meter { offset: 9_000_000_000, tick, ..Meter::exact("m") });
        world.read((0..100).step_by(10));
        world.boot(160);
        world.offset = -1_789_000_000;
        world.meter.reset(&world.load, 150_000);
        world.read((170..470).step_by(10));
        assert_eq!(world.log.len(), 10, "register {has_register}");
        world.offset = 0;
        world.read((470..500).step_by(10));
        let first = world.log[10].1.accounting;
        assert_eq!((first.session.micros() as i64 / 1000, first.seq), (T0 + 170_000, 0));
        assert!(world.credited().abs_diff(9_000 + 32_000) <= 1, "{}", world.credited());
    }
}

#[test]
fn a_clock_that_stood_still_over_the_time_off_is_waited_for() {
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    world.boot(3_700);
    world.offset = -3_590;
    world.read([3_710, 3_720, 3_730]);
    world.offset = 0;
    world.read([3_740, 3_750]);
    assert_eq!((world.credited(), world.curves()), (375_000, 1));
}

#[test]
fn a_stop_over_a_boot_is_not_bridged_if_the_clock_was_wrong_when_it_began() {
    let mut world = Small::new(Meter::exact("m"));
    world.offset = -1_789_000_000;
    world.read((0..1_000).step_by(10));
    world.boot(1_100);
    world.offset = 0;
    world.meter.offset = 3_000_000_000_000; // Another meter: 56 years explain any register.
    world.read((1_110..1_200).step_by(10));
    assert_eq!(world.curves(), 2);
    assert!(world.credited() <= 120_000, "{}", world.credited());
}

/// The clock was a day behind for a quarter of an hour and mended over the next boot, when another meter took the place: the
/// stop was not a day long.
#[test]
fn a_clock_that_was_behind_and_is_mended_over_a_boot_makes_no_stop_longer() {
    let mut world = Small::new(Meter::exact("m"));
    world.max_watts = Some(Watts(1_000.0));
    world.read((0..100).step_by(10));
    world.boot(160);
    world.offset = -86_400;
    world.read((170..1_000).step_by(10));
    world.boot(1_100);
    world.offset = 0;
    world.meter.offset = 5_000_000_000;
    world.read((1_110..1_900).step_by(10));
    assert!(world.credited() <= 189_000, "{} J of 189 kJ", world.credited());
}

/// It was wrong for the whole of a process, and is after the next boot: later than what is on record, and impossible.
#[test]
fn a_clock_from_before_the_program_is_waited_for_though_the_state_was_left_by_one() {
    let mut world = Small::new(Meter::exact("m"));
    world.offset = -1_789_000_000;
    world.read((0..700).step_by(10));
    let count = world.log.len();
    assert!(count > 0);
    world.boot(800);
    world.read((810..900).step_by(10));
    assert_eq!(world.log.len(), count);
    world.offset = 0;
    world.read([900]);
    assert_eq!(world.log.len(), count + 1);
}

/// As long as it stays behind by the same, it measures the stop.
#[test]
fn a_clock_that_stays_behind_over_a_boot_bridges_the_stop() {
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    world.boot(160);
    world.offset = -86_400;
    world.read((170..1_000).step_by(10));
    let curves = world.curves();
    world.boot(1_100);
    world.read((4_700..4_800).step_by(10));
    assert_eq!(world.curves(), curves);
    assert!(world.credited() > 450_000, "{} J: nearly all but the first stop", world.credited());
}

/// The wall clock is mended and the process killed right after: the stamps it has published are on record all the same.
#[test]
fn a_clock_that_is_set_forward_is_on_record_before_the_next_session() {
    let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
    world.offset = -7_200;
    world.read([0, 10, 20]);
    world.offset = 0;
    world.read([30]);
    let newest = world.log.last().unwrap().1.accounting.timestamp;
    world.kill();
    world.offset = -7_200;
    world.read([40]);
    let next = world.log.last().unwrap().1.accounting;
    assert!(next.session > newest, "{next:?}");
}

/// Of a probe without a register the newest stamp is kept each minute. The process is killed and the clock set back by less
/// than what is not kept: the next session is named for a time after all that was published.
#[test]
fn a_clock_that_is_set_back_over_a_kill_names_no_session_for_a_time_that_was_published() {
    for boots in [false, true] {
        let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
        world.read((0..60).step_by(10));
        let newest = world.log.last().unwrap().1.accounting.timestamp;
        if boots {
            world.boot(55);
        }
        world.kill();
        world.offset = -20;
        world.read([60, 70]);
        let next = world.log.last().unwrap().1.accounting;
        assert!(next.session > newest, "boots {boots}: {next:?} after {newest:?}");
    }
}

/// Nothing is on record: the date of the program is the earliest that a right clock can show.
#[test]
fn a_first_process_waits_for_a_clock_from_before_the_program() {
    let mut world = Small::new(Meter::exact("m"));
    world.offset = -1_000_000_000;
    world.read((0..300).step_by(10));
    assert_eq!(world.log.len(), 0);
    world.offset = 0;
    world.read((300..330).step_by(10));
    let first = world.log[0].1.accounting;
    assert_eq!(first.session.micros() as i64 / 1000, T0);
    assert!(world.credited().abs_diff(2_000) <= 1, "{}", world.credited());
}

/// Nothing was drawn, so that any stop is plausible; how long it was is not known all the same.
#[test]
fn after_ten_minutes_of_a_wrong_clock_the_stop_is_unknown() {
    let mut world = Small::new(Meter::exact("m"));
    world.load = Load::new([(0, 100), (100_000, 0)]);
    world.read((0..100).step_by(10));
    world.boot(160);
    world.offset = -86_400;
    (170..900).step_by(10).for_each(|second| world.read_as("p", second, 0.0));
    let session = &world.source.as_ref().unwrap().session;
    assert_eq!((world.curves(), session.not_bridged()), (2, Some(crate::NotBridged::Clock)));
}

/// The clock is right; the host was booted and the meter replaced. That the clock may yet be mended is no cause.
#[test]
fn a_register_that_jumped_over_a_boot_is_reported_as_such() {
    let mut world = Small::new(Meter::exact("m"));
    world.read((0..100).step_by(10));
    world.boot(160);
    world.meter.offset += 5_000_000_000;
    world.read((170..900).step_by(10));
    let session = &world.source.as_ref().unwrap().session;
    assert_eq!((world.curves(), session.not_bridged()), (2, Some(crate::NotBridged::Jumped)));
    assert!(world.credited().abs_diff(9_000 + 72_000) <= 1, "{}", world.credited());
}

#[test]
fn a_clock_that_is_set_within_a_boot_makes_no_stop_longer() {
    let mut world = Small::new(Meter::exact("m"));
    world.max_watts = Some(Watts(1_000.0));
    world.read((0..100).step_by(10));
    world.kill();
    world.offset = 86_400;
    world.meter.offset += 5_000_000_000;
    world.read((110..200).step_by(10));
    assert!(world.curves() == 2 && world.credited() <= 20_000, "{} J of 20 kJ", world.credited());
}

/// Of a probe without a register the newest stamps are not on record. The clock was a minute ahead, and a boot later it is
/// waited for and right: what was read meanwhile began before the stamps that were published.
#[test]
fn a_session_that_was_held_is_named_for_a_time_after_all_that_was_published() {
    let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
    world.offset = 60;
    world.read((0..60).step_by(10));
    let newest = world.log.last().unwrap().1.accounting.timestamp;
    world.boot(80);
    world.offset = -1_000_000_000;
    world.read([90, 100, 110]);
    world.offset = 0;
    world.read([120, 130]);
    let next = world.log[6].1.accounting;
    assert!(next.session > newest, "{next:?} after {newest:?}");
    assert!(next.seq == 0 && world.credited() == 5_000 + 4_000, "{} J", world.credited());
}
