//! A wall clock that is set while a process runs, to the millisecond.

use super::process::{Process, wall};

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
    assert_eq!((after.seq, after.totals.measured_ms, after.totals.energy.millijoules()), (0, 10_000, 1_000_000));
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
