//! What an entry of the state allows to continue, each condition by itself, at its very bound.

use std::sync::Arc;
use std::time::Duration;

use super::process::{Process, limits, register, wall};
use crate::{Limits, NotBridged, Register, SampleOutcome, SessionEntry, Watts};

/// What a process of two readings leaves at the tenth second.
fn past() -> Vec<SessionEntry> {
    let mut process = Process::new(Vec::new());
    process.at(0);
    process.at(10);
    process.stop()
}

/// The run of the first message of a next process at `second`, and why it is not a second one.
fn next(past: Vec<SessionEntry>, limits: Limits, second: u64, millijoules: u64) -> (u32, Option<NotBridged>) {
    let mut process = Process::within(limits, past);
    process.now = second * 1000;
    process.read(Some(100.0), Some(millijoules));
    (process.publish().curve.map_or(0, |curve| curve.run), process.session.not_bridged())
}

fn at_most(watts: f64) -> Limits {
    Limits { max_watts: Some(Watts(watts)), ..limits() }
}

#[test]
fn the_bound_is_the_stop_and_an_interval_and_a_tick() {
    // 110 W for 100 s and 10 s are 12.1 kJ; the tick is a millijoule.
    for (advance, expected) in [(12_100_001, (2, None)), (12_100_002, (1, Some(NotBridged::Jumped)))] {
        assert_eq!(next(past(), limits(), 110, 1_000_000 + advance), expected, "{advance}");
    }
    for (advance, expected) in [(110_000_001, (2, None)), (110_000_002, (1, Some(NotBridged::Jumped)))] {
        assert_eq!(next(past(), at_most(1_000.0), 110, 1_000_000 + advance), expected, "{advance}");
    }
    assert_eq!(next(past(), limits(), 110, 999_999), (1, Some(NotBridged::Fell)));
}

#[test]
fn a_stop_in_which_the_register_could_just_have_passed_its_range_is_not_bridged() {
    // 100 W for 90 s and 10 s are 10 kJ.
    for (range, run) in [(10_000_000, 1), (10_000_001, 2)] {
        let mut process = Process::within(at_most(100.0), Vec::new());
        process.range = Some(range);
        process.at(0);
        process.at(10);
        let mut next = Process::within(at_most(100.0), process.stop());
        next.range = Some(range);
        assert_eq!(next.at(100).1.curve.unwrap().run, run, "a range of {range} mJ");
    }
}

#[test]
fn without_an_entry_there_is_no_cause() {
    assert_eq!(next(Vec::new(), limits(), 110, 0), (1, None));
    let mut process = Process::new(past());
    process.without(60);
    assert_eq!(process.session.not_bridged(), None, "it has no register");
    let without_curve = past().into_iter().map(|entry| SessionEntry { curve: None, ..entry }).collect();
    assert_eq!(next(without_curve, limits(), 60, 6_000_000), (1, Some(NotBridged::NoState)));
}

#[test]
fn watts_that_cannot_be_make_no_bound() {
    for watts_max in [f64::INFINITY, f64::NAN, -5.0] {
        let absurd = past().into_iter().map(|entry| SessionEntry { watts_max, ..entry }).collect();
        assert_eq!(next(absurd, limits(), 110, 11_000_000), (1, Some(NotBridged::Jumped)), "{watts_max}");
        let absurd: Vec<_> = past().into_iter().map(|entry| SessionEntry { watts_max, ..entry }).collect();
        let mut process = Process::new(absurd);
        process.now = 60_000;
        process.read(Some(100.0), Some(1_000_000));
        assert_eq!(process.session.integrator().unwrap().plausible(), Watts(300.0), "{watts_max}");
    }
}

#[test]
fn a_register_in_the_host_is_one_if_either_process_reports_it() {
    let is_in_host = |is| Arc::new(Register { is_in_host: is, ..(*register("a")).clone() });
    for (then, now, boot, run) in
        [(true, true, "1", 1), (true, false, "1", 1), (false, true, "1", 1), (true, true, "0", 2)]
    {
        let mut process = Process::new(Vec::new());
        process.register = is_in_host(then);
        process.at(0);
        process.at(10);
        let mut next = Process::new(process.stop());
        (next.register, next.boot) = (is_in_host(now), boot);
        let message = next.at(60).1;
        let cause = (run == 1).then_some(NotBridged::HostBooted);
        assert_eq!(
            (message.curve.unwrap().run, next.session.not_bridged()),
            (run, cause),
            "{then} {now} {boot}"
        );
    }
}

/// The reading was measured five minutes before it came; the stop ended then.
#[test]
fn a_stop_over_a_boot_ends_when_the_reading_was_measured() {
    for (advance, outcome) in [(12_000_000, SampleOutcome::Counted(None)), (15_000_000, SampleOutcome::Held)]
    {
        let mut process = Process::new(past());
        (process.boot, process.now, process.age, process.offset) = ("1", 400_000, 300_000, 10_000);
        assert_eq!(process.read(Some(100.0), Some(1_000_000 + advance)), outcome, "{advance}");
    }
}

/// Each process ends before the watts have outrun the register by ten watt-hours.
#[test]
fn a_register_that_stands_still_is_distrusted_over_restarts() {
    let mut past = Vec::new();
    for life in 0..6 {
        let mut process = Process::new(past);
        for second in [0, 10, 20] {
            process.now = (life * 30 + second) * 1000;
            process.read(Some(1_000.0), Some(0));
        }
        past = process.stop();
    }
    assert_eq!(next(past, limits(), 200, 0), (1, Some(NotBridged::NotTrusted)));
}

/// What was drawn before is known of this register alone.
#[test]
fn another_register_begins_with_nothing_known_of_its_load() {
    let mut process = Process::new(Vec::new());
    for second in [0, 10, 20] {
        process.now = second * 1000;
        process.read(Some(5_000.0), Some(second * 5_000_000));
    }
    let mut next = Process::new(process.stop());
    next.register = register("b");
    next.at(60);
    assert_eq!(next.session.integrator().unwrap().plausible(), Watts(300.0));
}

/// The clock lost half a second in a stop of three: the session is named for now.
#[test]
fn a_clock_that_drifts_names_a_session_for_its_first_reading() {
    let mut process = Process::new(past());
    process.offset = -500;
    assert_eq!(process.at(13).1.session, wall(12_500));
    let mut process = Process::new(past());
    process.offset = -1_500;
    assert_eq!(process.at(13).1.session, wall(20_000), "set back");
}

/// Of a meter that is read each second four stamps in five are not on record.
#[test]
fn a_session_that_was_held_is_named_for_a_time_after_stamps_that_are_not_on_record() {
    let quick = Limits { interval: Duration::from_secs(1), ..limits() };
    let mut process = Process::within(quick, Vec::new());
    process.offset = 60_000;
    process.read(Some(100.0), Some(0));
    let kept = process.keep().expect("an entry").entry;
    process.publish();
    let newest = (1..5).map(|second| process.at(second).1.timestamp).max().unwrap();
    let mut next = Process::within(quick, vec![kept]);
    // Another register; the first reading is held 62 s after the one on record, by a right clock.
    next.register = register("b");
    (next.boot, next.offset) = ("1", -1_789_000_000_000);
    next.read(Some(100.0), Some(0));
    next.offset = 62_000;
    next.now = 5_000;
    next.read(Some(100.0), Some(0));
    let session = next.publish().session;
    assert!(session > newest, "{session:?} after {newest:?}");
}

/// Watts each ten seconds, and the register read a minute before the stop: it counts since then.
#[test]
fn a_register_that_was_read_a_minute_before_a_stop_has_counted_that_minute_too() {
    for (watts, run) in [(100, 3), (150, 1)] {
        let mut process = Process::new(past());
        process.at(20);
        (30..=80).step_by(10).for_each(|second| _ = process.without(second));
        let past = process.stop();
        assert_eq!(next(past, limits(), 100, 2_000_000 + 80 * watts * 1_000).0, run, "{watts} W");
    }
}

#[test]
fn the_smaller_of_two_ranges_bounds_the_stop() {
    let (small, large) = (Some(10_000_000), Some(1 << 50));
    for (then, now, run) in
        [(None, small, 1), (small, large, 1), (large, small, 1), (large, large, 2), (None, None, 2)]
    {
        let mut process = Process::within(at_most(100.0), Vec::new());
        process.range = then;
        process.at(0);
        process.at(10);
        let mut next = Process::within(at_most(100.0), process.stop());
        next.range = now;
        assert_eq!(next.at(100).1.curve.unwrap().run, run, "{then:?} then {now:?}");
    }
}
