//! What the state records, when, and what of it must be on disk first.

use std::sync::Arc;
use std::time::Duration;

use super::process::{Process, limits, register, wall};
use super::small::id;
use crate::{Register, SampleOutcome, SessionEntry, Timestamp, Watts};

const AT_ONCE: Option<(bool, bool)> = Some((true, false));
const ALONE: Option<(bool, bool)> = Some((true, true));
const PROGRESS: Option<(bool, bool)> = Some((false, false));

#[test]
fn progress_is_reported_every_five_seconds_and_a_stamp_alone_every_minute() {
    let mut process = Process::new(Vec::new());
    let records: Vec<_> = (0..=15).filter(|second| process.at(*second).0.is_some()).collect();
    assert_eq!(records, [0, 5, 10, 15]);
    let mut process = Process::new(Vec::new());
    let records: Vec<_> =
        (0..=130).step_by(10).filter(|second| process.without(*second).0.is_some()).collect();
    assert_eq!(records, [0, 60, 120]);
}

#[test]
fn a_begin_is_synced_and_alone_and_what_follows_is_progress() {
    let mut process = Process::new(Vec::new());
    assert_eq!([process.at(0).0, process.at(1).0, process.at(5).0], [ALONE, None, PROGRESS]);
    let mut next = Process::new(process.stop());
    assert_eq!([next.at(60).0, next.at(65).0], [ALONE, PROGRESS]);
}

#[test]
fn a_reset_a_jump_distrust_and_a_step_back_are_synced_at_once_and_once() {
    for value in [0, 900_000_000] {
        let mut process = Process::new(Vec::new());
        process.at(10);
        process.now = 11_000;
        process.read(Some(100.0), Some(value));
        assert_eq!(process.keep().map(|keep| (keep.sync, keep.alone)), AT_ONCE, "to {value} mJ");
        process.now = 12_000;
        process.read(Some(100.0), Some(value));
        assert_eq!(process.keep(), None, "to {value} mJ");
    }
    let mut process = Process::new(Vec::new());
    for second in 0..5 {
        process.now = second * 1000;
        process.read(Some(20_000.0), Some(0));
        let is_synced = process.keep().is_some_and(|keep| keep.sync);
        let is_news = second == 0 || second == 2;
        assert_eq!((is_synced, process.session.register_trusted()), (is_news, second < 2), "at {second}");
    }
    for has_register in [true, false] {
        let mut process = Process::new(Vec::new());
        let read = |process: &mut Process, second| {
            if has_register { process.at(second).0 } else { process.without(second).0 }
        };
        read(&mut process, 0);
        process.offset = -10_000;
        assert_eq!([read(&mut process, 3), read(&mut process, 4)], [AT_ONCE, None], "{has_register}");
    }
}

#[test]
fn another_register_is_alone_on_record_and_known_by_what_it_reports_itself() {
    let mut process = Process::new(Vec::new());
    process.register = Arc::new(Register { serial: Some("A".to_owned()), ..(*register("a")).clone() });
    process.at(0);
    process.register = register("b");
    assert_eq!([process.at(1).0, process.at(2).0], [ALONE, None]);
    // The serial number was the other's.
    let mut next = Process::new(process.stop());
    next.register = Arc::new(Register { serial: Some("B".to_owned()), ..(*register("b")).clone() });
    assert_eq!(next.at(60).1.curve.map(|curve| curve.run), Some(2));
}

/// The path is what the manager makes of driver, address and outlet.
#[test]
fn without_a_register_there_is_nothing_new_in_another_path() {
    let mut process = Process::new(Vec::new());
    process.without(0);
    process.register = register("b");
    assert_eq!(process.without(10).0, None);
}

/// A driver that lost the registers it makes a sum of counts a new one.
#[test]
fn a_register_of_a_session_in_the_place_of_one_is_another() {
    let mut process = Process::new(Vec::new());
    process.at(0);
    process.register = Arc::new(Register { is_of_session: true, ..(*register("a")).clone() });
    process.now = 10_000;
    process.read(Some(100.0), Some(1_900_000));
    assert_eq!(process.keep().map(|keep| (keep.sync, keep.alone)), ALONE);
    assert_eq!(process.publish().totals.energy.millijoules(), 1_000_000, "by the watts");
}

/// Another register, which is read only later.
#[test]
fn a_curve_continues_with_a_register_that_is_read_later() {
    let mut process = Process::new(Vec::new());
    let curve = process.at(0).1.curve;
    process.register = register("b");
    process.without(10);
    let (record, message) = process.at(20);
    assert_eq!((record, message.curve, message.seq), (PROGRESS, curve, 2));
}

#[test]
fn a_register_that_is_first_read_is_synced_alone() {
    let mut process = Process::new(Vec::new());
    process.without(0);
    assert_eq!([process.at(1).0, process.at(2).0], [ALONE, None]);
    // Nor is it otherwise where nothing has been published yet; the session keeps its name.
    let mut process = Process::new(Vec::new());
    process.read(None, None);
    process.keep();
    let (record, message) = process.at(1);
    assert_eq!((record, message.session, message.seq), (ALONE, wall(0), 0));
}

/// The reading in which the register is first read has no power, and the clock is set back in the next.
#[test]
fn a_curve_that_begins_unpublished_counts_from_nothing() {
    let mut process = Process::new(Vec::new());
    (0..=20).step_by(10).for_each(|second| _ = process.without(second));
    process.now = 30_000;
    process.read(Some(100.0), Some(0));
    process.offset = -3_600_000;
    process.now = 40_000;
    process.read(Some(100.0), Some(1_000_000));
    let message = process.publish();
    let curve = message.curve.unwrap();
    assert_eq!(
        (curve.run, curve.begin.millijoules(), message.totals.energy.millijoules()),
        (2, 0, 2_000_000)
    );
}

#[test]
fn a_register_of_a_session_begins_no_curve() {
    let mut process = Process::new(Vec::new());
    process.register = Arc::new(Register { is_of_session: true, ..(*register("a")).clone() });
    process.without(0);
    assert_eq!(process.at(10).1.curve, None);
    assert_eq!(process.entry().path(), None);
}

/// A register that is on no curve is not gone on from.
#[test]
fn what_is_kept_without_a_curve_has_no_register() {
    let mut process = Process::new(Vec::new());
    process.read(Some(100.0), Some(0));
    process.keep();
    process.session.leave_curve();
    process.publish();
    assert_eq!((process.at(10).1.curve, process.entry().path()), (None, None));
}

/// The state could not be written. Once it can be, what it had of before must be gone, for good.
#[test]
fn what_could_not_be_kept_is_alone_on_record_as_soon_as_it_can_be() {
    for published in [false, true] {
        let mut process = Process::new(Vec::new());
        if published {
            process.at(0);
        }
        process.now = 1_000;
        process.read(Some(100.0), Some(0));
        process.keep();
        process.session.leave_curve();
        let first = process.publish();
        assert_eq!((first.curve, first.seq, first.session > wall(0)), (None, 0, true));
        let records: Vec<_> = (2..=122).filter_map(|second| process.at(second).0).collect();
        assert_eq!(records[..2], [(true, true), (false, false)], "published before: {published}");
    }
}

/// Nothing was published: the session is named for its first reading all the same.
#[test]
fn a_session_that_cannot_be_kept_at_its_begin_is_named_for_its_first_reading() {
    let mut process = Process::new(Vec::new());
    process.read(Some(100.0), Some(0));
    process.keep();
    process.session.leave_curve();
    let first = process.publish();
    assert_eq!((first.session, first.timestamp), (wall(0), wall(0)));
}

/// A reading that was measured two seconds ago.
#[test]
fn an_entry_is_as_of_when_its_reading_was_measured() {
    let mut process = Process::new(Vec::new());
    (process.now, process.age) = (30_000, 2_000);
    process.read(Some(100.0), Some(0));
    let entry = process.entry();
    assert_eq!(
        (entry.boottime, entry.wall, entry.newest),
        (Duration::from_secs(28), wall(28_000), wall(28_000))
    );
}

/// Two entries of a probe: of the register that is read, and a newer one.
fn two(register_newest: i64, other_newest: i64) -> Vec<SessionEntry> {
    let mut past = Vec::new();
    for (path, second) in [("a", register_newest), ("b", other_newest)] {
        let mut process = Process::new(Vec::new());
        process.register = register(path);
        process.offset = second * 1000;
        process.read(Some(100.0), Some(0));
        process.keep();
        past.extend(process.stop());
    }
    past
}

#[test]
fn of_two_entries_the_newest_reports_what_was_published() {
    for past in [two(0, 500), two(500, 0)] {
        // The clock is where it was, or behind.
        for second in [400, 500] {
            let mut process = Process::new(past.clone());
            process.offset = second * 1000;
            process.read(Some(100.0), Some(0));
            let session = process.publish().session;
            assert!(session > wall(500_000), "{session:?} at {second}");
        }
        let mut process = Process::new(past.clone());
        (process.boot, process.offset) = ("1", 400_000);
        assert_eq!(process.read(Some(100.0), Some(0)), SampleOutcome::Held);
    }
}

/// "A new id is the wall clock, or 10 s after these if it is not later."
#[test]
fn a_session_whose_clock_is_not_later_is_named_ten_seconds_after_what_is_on_record() {
    let mut process = Process::new(Vec::new());
    process.at(100);
    let past = process.stop();
    for (offset, boot, session) in [(0, "0", 100_000), (0, "1", 100_000), (-60_000, "0", 40_000)] {
        let mut next = Process::new(past.clone());
        (next.now, next.offset, next.boot) = (100_000, offset, boot);
        next.read(Some(100.0), Some(10_000_000));
        let expected = if session > 100_000 { session } else { 110_000 };
        assert_eq!(next.publish().session, wall(expected), "{offset} {boot}");
    }
}

#[test]
fn a_meter_that_states_when_it_was_reset_is_published_with_it() {
    let reset_at = Some(Timestamp::from_seconds(7));
    let mut world = super::small::Small::new(super::super::super::worlds::Meter {
        reset_at,
        ..super::super::super::worlds::Meter::exact("m")
    });
    world.read([10]);
    let meter = world.log[0].1.accounting.meter.unwrap();
    assert_eq!((meter.energy.millijoules(), meter.since), (1_000_000, reset_at));
}

#[test]
fn a_changed_max_gap_counts_from_the_next_reading_on() {
    // Before any reading, while the first is held, and in a run.
    let hour = Duration::from_secs(3600);
    let mut process = Process::new(Vec::new());
    process.session.set_max_gap(hour);
    process.without(0);
    assert_eq!(process.without(1_000).1.totals.measured_ms, 1_000_000, "before any reading");
    let mut process = Process::new(Vec::new());
    process.without(0);
    process.session.set_max_gap(hour);
    assert_eq!(process.without(1_000).1.totals.measured_ms, 1_000_000, "in a run");
    let mut process = Process::new(Vec::new());
    process.offset = -1_789_000_000_000;
    process.read(Some(100.0), None);
    process.session.set_max_gap(hour);
    process.now = 300_000;
    process.read(Some(100.0), None);
    process.offset = 0;
    assert_eq!(process.without(500).1.totals.measured_ms, 500_000, "while held");
    assert_eq!(process.session.limits().max_gap, hour);
}

#[test]
fn what_is_held_can_be_seen() {
    let mut process = Process::new(Vec::new());
    process.offset = -1_789_000_000_000;
    process.now = 40_000;
    assert_eq!((process.session.held_since(), process.session.integrator().is_none()), (None, true));
    for now in [40_000, 50_000] {
        process.now = now;
        process.read(Some(100.0), None);
    }
    assert_eq!(process.session.held_since(), Some(Duration::from_secs(40)));
    let totals = process.session.integrator().unwrap().totals();
    assert_eq!((totals.energy.millijoules(), totals.measured_ms), (1_000_000, 10_000));
    process.offset = 0;
    process.without(60);
    assert_eq!(process.session.held_since(), None);
}

#[test]
fn a_power_that_is_known_is_in_the_entry() {
    let mut process =
        Process::within(crate::Limits { max_watts: Some(Watts(500.0)), ..limits() }, Vec::new());
    process.at(0);
    process.at(10);
    let entry = process.entry();
    assert_eq!((entry.watts_max, entry.probe, entry.run), (100.0, id("p"), 1));
}
