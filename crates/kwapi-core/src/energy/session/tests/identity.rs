//! Whether a register is the one of before: what a device states once is held against all that it states later.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::worlds::Meter;
use super::small::{Small, id};
use crate::{
    Accounting, Clocks, Energy, Limits, MeterCounter, Quality, Register, Sample, Session, SessionEntry,
    Timestamp, Watts,
};

/// A meter that reports its serial number, at 100 W.
fn with_serial(serial: &str) -> Small {
    Small::new(Meter { offset: 5_000_000, serial: Some(serial.to_owned()), ..Meter::exact("m") })
}

/// Another meter takes the place, whose register is ahead by less than the outlet can have used.
fn swap(world: &mut Small, serial: &str) {
    world.meter.offset += 900_000;
    world.meter.serial = Some(serial.to_owned());
}

#[test]
fn a_serial_number_not_read_once_hides_no_swap_in_a_run() {
    let mut world = with_serial("A");
    world.read((0..50).step_by(10));
    world.meter.serial = None;
    world.read([50, 60]);
    swap(&mut world, "B");
    world.read((70..120).step_by(10));
    // Of the reading in which the meter was changed nothing but the watts is known.
    assert!(world.credited() <= 11_000, "{} J of 11 kJ", world.credited());
}

#[test]
fn a_serial_number_not_read_once_hides_no_swap_in_a_stop() {
    for is_read_before in [false, true] {
        let mut world = with_serial("A");
        world.max_watts = Some(Watts(1_000.0));
        world.read((0..50).step_by(10));
        if !is_read_before {
            world.meter.serial = None;
            world.read([50]);
        }
        world.stop();
        // The next process cannot query the device at first, or could not to the end of the one before.
        world.meter.serial = None;
        world.read([60, 70]);
        world.stop();
        assert_eq!(world.curves(), 1);
        swap(&mut world, "B");
        world.read((80..130).step_by(10));
        assert_eq!(world.curves(), 2, "read before the stop: {is_read_before}");
        assert!(world.credited() <= 12_000, "{} J of 12 kJ", world.credited());
    }
}

#[test]
fn the_same_serial_number_read_again_continues() {
    let mut world = with_serial("A");
    world.read([0, 10]);
    world.meter.serial = None;
    world.read([20]);
    world.stop();
    world.read([60]);
    world.meter.serial = Some("A".to_owned());
    world.read([70, 80]);
    world.stop();
    world.read([90, 100]);
    assert_eq!((world.credited(), world.curves()), (10_000, 1));
}

/// The stamp of the last reset is not stated once; when it is again, it is another, and the register has counted past where
/// it stood.
#[test]
fn a_reset_stamp_not_read_once_hides_no_reset() {
    let mut world = Small::new(Meter { reset_at: Some(Timestamp::from_seconds(1)), ..Meter::exact("m") });
    world.read([0, 10, 20]);
    world.meter.reset_at = None;
    world.read([30]);
    world.meter.offset += 900_000;
    world.meter.reset_at = Some(Timestamp::from_seconds(2));
    world.read([40, 50]);
    assert!(world.credited() <= 5_000, "{} J of 5 kJ", world.credited());
    let mut world = Small::new(Meter { reset_at: Some(Timestamp::from_seconds(1)), ..Meter::exact("m") });
    world.max_watts = Some(Watts(1_000.0));
    world.read([0, 10, 20]);
    world.meter.reset_at = None;
    world.read([30]);
    world.stop();
    world.meter.offset += 900_000;
    // Nor can the next process read it at first.
    world.read([60]);
    world.meter.reset_at = Some(Timestamp::from_seconds(2));
    world.read([70, 80]);
    assert_eq!(world.curves(), 2);
}

/// What was kept of the register before must not be gone on from, should it be read again.
#[test]
fn another_register_in_a_run_takes_the_place_of_the_one_before() {
    let mut world = Small::new(Meter::exact("m"));
    world.read([0, 10, 20]);
    world.meter.path = "n".to_owned();
    world.read([30]);
    let kept = world.state.of(&id("p"));
    assert!(kept.len() == 1 && kept[0].path() == Some("n"), "{kept:?}");
    assert!(world.credited() <= 3_000, "{} J of 3 kJ", world.credited());
}

/// A process of two readings, at 100 W: what it publishes first, and what it leaves.
fn process(past: Vec<SessionEntry>, second: u64, register: &Register) -> (Accounting, Vec<SessionEntry>) {
    let limits =
        Limits { max_gap: Duration::from_secs(25), interval: Duration::from_secs(10), max_watts: None };
    let mut session = Session::new(limits, Timestamp::EPOCH, past);
    let register = Arc::new(register.clone());
    let mut first = None;
    for second in [second, second + 10] {
        let wall = Timestamp::from_seconds(1_790_000_000 + second);
        let counter =
            MeterCounter::new(Energy::from_millijoules(second * 100_000), Energy::from_millijoules(1));
        let sample = Sample {
            at: Duration::from_secs(second),
            timestamp: wall,
            power: Some(Watts(100.0)),
            is_counted: false,
            quality: Quality::Measured,
            counter: Some(counter),
            register: register.clone(),
        };
        session.record(&sample, &Clocks { wall, boottime: Duration::from_secs(second), boot: "0" });
        first = first.or(session.publish(Quality::Measured));
    }
    (first.unwrap(), session.into_entries(&id("p"), "0"))
}

fn at(path: &str) -> Register {
    Register { path: Some(path.to_owned()), ..Register::default() }
}

#[test]
fn of_several_registers_on_record_the_one_that_is_read_continues() {
    let mut past = process(Vec::new(), 50, &at("a")).1;
    past.extend(process(Vec::new(), 0, &at("b")).1);
    let curve = process(past, 100, &at("b")).0.curve.unwrap();
    assert_eq!((curve.run, curve.begin), (2, Energy::from_millijoules(10_000_000)));
}

/// A sum that a driver makes of registers counts since it opened them.
#[test]
fn a_register_of_a_session_continues_from_nothing() {
    let past = process(Vec::new(), 0, &at("a")).1;
    let of_session = Register { is_of_session: true, ..at("a") };
    let (first, left) = process(past, 100, &of_session);
    assert_eq!((first.curve, left[0].path()), (None, None));
}

/// Twice what a socket gives, and known to be so.
#[test]
fn what_an_outlet_without_a_register_draws_is_known_after_a_restart() {
    let mut world = Small::new(Meter { tick: None, ..Meter::exact("m") });
    (0..50).step_by(10).for_each(|second| world.read_as("p", second, 20_000.0));
    world.stop();
    world.read_as("p", 60, 20_000.0);
    assert!(!world.source.as_ref().unwrap().session.integrator().unwrap().is_outlier());
}

/// What a coarse register gave of the power is no evidence against that register.
#[test]
fn power_derived_from_a_register_is_no_evidence_against_it() {
    let limits =
        Limits { max_gap: Duration::from_secs(25), interval: Duration::from_secs(10), max_watts: None };
    let mut session = Session::new(limits, Timestamp::EPOCH, Vec::new());
    let register = Arc::new(at("a"));
    for second in (0..1_000).step_by(10) {
        let wall = Timestamp::from_seconds(1_790_000_000 + second);
        let sample = Sample {
            at: Duration::from_secs(second),
            timestamp: wall,
            power: Some(Watts(1_000.0)),
            is_counted: true,
            quality: Quality::Measured,
            counter: Some(MeterCounter::new(
                Energy::from_millijoules(second * 100_000),
                Energy::from_millijoules(1),
            )),
            register: register.clone(),
        };
        session.record(&sample, &Clocks { wall, boottime: Duration::from_secs(second), boot: "0" });
    }
    assert!(session.register_trusted());
}

#[test]
fn a_device_that_was_restarted_meanwhile_continues_from_nothing() {
    let started = |second| Register { started_at: Some(Timestamp::from_seconds(second)), ..at("a") };
    for (then, now, run) in [(5_000, 5_010, 2), (5_000, 9_000, 1)] {
        let past = process(Vec::new(), 0, &started(then)).1;
        assert_eq!(process(past, 100, &started(now)).0.curve.unwrap().run, run, "{then} {now}");
    }
}
