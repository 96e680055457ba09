//! A wall clock that is set while a process runs, to the millisecond.

use std::sync::Arc;

use super::process::{Process, register, wall};
use crate::{Quality, Register};

/// How many sessions there are after a reading at which the clock is off by so many milliseconds.
fn sessions(offset: i64) -> u64 {
    let mut process = Process::new(Vec::new());
    let first = process.without(0).1.session;
    process.offset = offset;
    let second = process.without(10).1.session;
    1 + u64::from(first != second)
}

#[test]
fn a_clock_that_falls_behind_by_more_than_a_second_begins_another_session() {
    for (offset, expected) in
        [(-500, 1), (-1_000, 1), (-1_001, 2), (-2_000, 2), (-5_000, 2), (-3_600_000, 2), (5_000, 1)]
    {
        assert_eq!(sessions(offset), expected, "{offset} ms");
    }
}

#[test]
fn a_clock_that_is_slow_by_a_second_a_reading_is_never_set() {
    let mut process = Process::new(Vec::new());
    let first = process.without(0).1.session;
    for reading in 1..20 {
        process.offset = -900 * reading;
        assert_eq!(process.without(10 * reading as u64).1.session, first);
    }
}

/// What was used since the last message is the next run's, and so is its time; its id is no earlier than that.
#[test]
fn a_run_after_a_step_back_is_named_for_a_time_after_the_stamps_before() {
    let mut process = Process::new(Vec::new());
    process.at(0);
    let before = process.at(10).1;
    process.offset = -3_600_000;
    let after = process.at(20).1;
    assert_eq!(after.session.micros(), before.timestamp.micros() + 1);
    assert_eq!(
        (after.seq, after.totals.measured_ms, after.totals.energy.millijoules()),
        (0, 10_000, 1_000_000)
    );
    assert_eq!(after.timestamp, wall(20_000 - 3_600_000));
}

/// The clock is set forward by an hour in the reading in which the curve begins: the session is named for the reading
/// before, by the clock as it is now.
#[test]
fn a_session_that_begins_as_the_clock_is_set_forward_is_named_for_where_the_last_message_ended() {
    let mut process = Process::new(Vec::new());
    process.without(0);
    process.without(10);
    process.offset = 3_600_000;
    let begun = process.at(20).1;
    assert_eq!((begun.session, begun.timestamp), (wall(3_610_000), wall(3_620_000)));
}

/// Only the first tick after a stop is the stop's.
#[test]
fn a_run_of_which_the_watts_are_low_keeps_its_begin_after_the_first_tick() {
    let mut process = Process::new(Vec::new());
    process.at(0);
    process.at(10);
    let mut next = Process::new(process.stop());
    let mut begins = Vec::new();
    for second in (60..=120).step_by(10) {
        next.now = second * 1000;
        next.read(Some(98.0), Some(second * 100_000));
        begins.push(next.publish().curve.unwrap().begin.millijoules());
    }
    // The first reading has the stop's advance, the second what the register is ahead of the watts in ten seconds.
    assert!(begins[0] == 6_000_000 && begins[1] > begins[0] && begins[1] <= 6_020_001, "{begins:?}");
    assert!(begins[1..].iter().all(|begin| *begin == begins[1]), "{begins:?}");
}

/// A curve's first run has no stop before it.
#[test]
fn the_first_tick_of_a_new_curve_is_its_own() {
    let mut process = Process::new(Vec::new());
    for second in (0..=30).step_by(10) {
        process.now = second * 1000;
        process.read(Some(98.0), Some(second * 100_000));
        assert_eq!(process.publish().curve.unwrap().begin.millijoules(), 0, "at {second}");
    }
}

/// The first reading of a run makes no message, and the clock is set back before the next.
#[test]
fn a_run_that_begins_unpublished_is_followed_where_it_began() {
    let mut process = Process::new(Vec::new());
    process.at(0);
    process.at(10);
    let mut next = Process::new(process.stop());
    next.now = 60_000;
    next.read(Some(100.0), Some(6_000_000));
    next.offset = -3_600_000;
    let curve = next.at(70).1.curve.unwrap();
    assert_eq!((curve.run, curve.begin.millijoules() / 1000), (3, 6_000));
}

/// A gap right after a stop: what the register gives of it is the gap's, and not the stop's.
#[test]
fn a_gap_after_a_stop_is_the_runs_own() {
    let mut process = Process::new(Vec::new());
    process.at(0);
    process.at(10);
    let mut next = Process::new(process.stop());
    let begin = next.at(60).1.curve.unwrap().begin;
    let message = next.at(3_660).1;
    assert_eq!((message.curve.unwrap().begin, message.totals.bridged.millijoules()), (begin, 360_000_000));
}

/// Estimated watts, and then a register that is read.
#[test]
fn a_curve_that_begins_after_estimates_has_none_of_them() {
    let mut process = Process::new(Vec::new());
    process.quality = Quality::Estimated;
    (0..=20).step_by(10).for_each(|second| _ = process.without(second));
    assert_eq!(process.entry().total_uj, 2_000_000_000);
    let totals = process.at(30).1.totals;
    assert_eq!((totals.energy.millijoules(), totals.estimated.millijoules()), (1_000_000, 1_000_000));
    assert_eq!((totals.estimated_ms, totals.measured_ms), (10_000, 0));
}

/// A sum that a driver makes of registers bridges a gap, and gives way to a register of its own.
#[test]
fn a_curve_that_begins_after_a_register_of_a_session_has_nothing_of_it() {
    for is_read_at_once in [true, false] {
        let mut process = Process::new(Vec::new());
        process.register = Arc::new(Register { is_of_session: true, ..(*register("a")).clone() });
        process.at(0);
        assert_eq!(process.at(1_000).1.totals.bridged_ms, 1_000_000);
        process.without(2_000);
        process.register = register("b");
        if !is_read_at_once {
            process.without(2_010);
        }
        let message = process.at(2_020).1;
        let totals = message.totals;
        assert_eq!((totals.bridged.millijoules(), totals.bridged_ms, totals.unknown_ms), (0, 0, 0));
        assert_eq!(message.curve.map(|curve| (curve.run, curve.begin.millijoules())), Some((1, 0)));
        let expected = if is_read_at_once { 2_000_000 } else { 1_000_000 };
        assert_eq!((totals.energy.millijoules(), totals.measured_ms), (expected, expected / 100));
        assert_eq!(process.at(2_030).1.totals.energy.millijoules(), expected + 1_000_000);
    }
}

/// Time of each status before the curve is no time of it.
#[test]
fn a_curve_that_begins_later_has_no_time_from_before() {
    let mut process = Process::new(Vec::new());
    process.without(0);
    process.without(10);
    process.without(100);
    process.quality = Quality::Estimated;
    process.without(110);
    process.quality = Quality::Measured;
    let first = process.at(120).1;
    let totals = first.totals;
    assert_eq!((totals.measured_ms, totals.estimated_ms, totals.unknown_ms), (10_000, 0, 0));
    // Nor has the next run, which begins after the clock was set back, unpublished time of before.
    process.offset = -3_600_000;
    let totals = process.at(130).1.totals;
    assert_eq!((totals.measured_ms, totals.estimated_ms, totals.unknown_ms), (10_000, 0, 0));
}
