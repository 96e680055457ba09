use kwapi_core::{Energy, Totals};
use proptest::prelude::*;

use super::*;

const MAX_GAP: Duration = Duration::from_secs(10);
const NOON: u64 = 1_800_000_000;

/// `second` on the monotonic clock, while the wall clock is `step` seconds away from where it should be.
fn now(second: u64, step: i64) -> Now {
    Now {
        wall: Timestamp::from_seconds((NOON + second).saturating_add_signed(step)),
        monotonic: Duration::from_secs(second),
    }
}

fn source() -> Source {
    Source::new(ProbeId::new("p").unwrap(), MAX_GAP)
}

fn take(source: &mut Source, second: u64, step: i64, reading: &Reading) -> Outcome {
    source.take(reading, now(second, step), &Assumptions::default())
}

#[track_caller]
fn ledger(outcome: Outcome) -> Accounting {
    match outcome {
        Outcome::New(Measurement { accounting: Some(accounting), .. }) => accounting,
        other => panic!("a measurement, not {other:?}"),
    }
}

fn stamped(watts: f64, second: u64) -> Reading {
    Reading { measured_at: Some(Timestamp::from_seconds(NOON + second)), ..Reading::watts(watts) }
}

#[test]
fn a_session_counts_its_messages_and_its_energy() {
    let mut source = source();
    let first = ledger(take(&mut source, 5, 0, &Reading::watts(100.0)));
    let second = ledger(take(&mut source, 7, 0, &Reading::watts(50.0)));
    assert_eq!((first.session, first.seq, first.totals), (first.timestamp, 0, Totals::default()));
    assert_eq!((second.session, second.seq), (first.session, 1));
    assert_eq!(second.totals.energy, Energy::from_joules(100.0).unwrap());
}

#[test]
fn a_clock_set_back_begins_a_session_that_goes_on_where_the_last_ended() {
    let mut source = source();
    let before = ledger(take(&mut source, 100, 0, &Reading::watts(100.0)));
    let after = ledger(take(&mut source, 101, -50, &Reading::watts(100.0)));
    assert!(after.session > before.timestamp, "a plugin would not know which came first");
    assert_eq!((after.seq, after.totals.energy.joules()), (0, 100.0));
    let on = ledger(take(&mut source, 102, -50, &Reading::watts(100.0)));
    assert_eq!((on.session, on.seq, on.totals.energy.joules()), (after.session, 1, 200.0));
}

#[test]
fn a_slewing_clock_begins_nothing_and_stamps_still_rise() {
    let mut source = source();
    let first = ledger(take(&mut source, 100, 0, &Reading::watts(1.0)));
    let second = ledger(take(&mut source, 101, -1, &Reading::watts(1.0)));
    assert_eq!(second.session, first.session);
    assert!(second.timestamp > first.timestamp);
}

#[test]
fn the_same_stamp_twice_is_one_measurement_and_for_long_it_is_stale() {
    let mut source = source();
    ledger(take(&mut source, 1, 0, &stamped(100.0, 0)));
    assert_eq!(take(&mut source, 2, 0, &stamped(100.0, 0)), Outcome::Unchanged);
    ledger(take(&mut source, 5, 0, &stamped(80.0, 4)));
    assert_eq!(take(&mut source, 6, 0, &stamped(100.0, 3)), Outcome::Unchanged, "overtaken on its way");
    assert!(matches!(take(&mut source, 16, 0, &stamped(80.0, 4)), Outcome::Nothing(NoReading::Stale(_))));
}

#[test]
fn a_late_message_is_integrated_over_the_devices_time() {
    let mut source = source();
    ledger(take(&mut source, 10, 0, &stamped(100.0, 10)));
    let late = ledger(take(&mut source, 19, 0, &stamped(100.0, 12)));
    assert_eq!((late.timestamp.seconds(), late.totals.energy.joules()), (NOON + 12, 200.0));
}

#[test]
fn a_backlog_is_stale_unless_the_devices_clock_is_known_to_be_wrong() {
    let mut source = source();
    assert!(matches!(take(&mut source, 1000, 0, &stamped(9.0, 3)), Outcome::Nothing(NoReading::Stale(_))));
    let ours = Assumptions { device_clock: false, ..Assumptions::default() };
    let Outcome::New(measurement) = source.take(&stamped(9.0, 4), now(1001, 0), &ours) else { panic!() };
    assert_eq!(measurement.accounting.unwrap().timestamp.seconds(), NOON + 1001);
    let future = ledger(take(&mut source, 1002, 0, &stamped(9.0, 9_999)));
    assert_eq!(future.timestamp.seconds(), NOON + 1002);
}

#[test]
fn a_counter_alone_gives_power_from_the_second_reading_and_bridges_a_gap() {
    let mut source = source();
    let counter = |joules| Reading {
        counter: Some(MeterCounter::new(Energy::from_joules(joules).unwrap(), Energy::from_millijoules(1))),
        ..Reading::default()
    };
    assert!(matches!(take(&mut source, 0, 0, &counter(500.0)), Outcome::Nothing(NoReading::NotReady(_))));
    let second = ledger(take(&mut source, 1, 0, &counter(550.0)));
    assert_eq!(second.totals.energy.joules(), 50.0);
    assert_eq!(second.meter.unwrap().energy.joules(), 550.0);
    assert!(matches!(take(&mut source, 1001, 0, &counter(60_000.0)), Outcome::Nothing(_)));
    let after = ledger(take(&mut source, 1002, 0, &counter(60_060.0)));
    assert_eq!((after.totals.energy.joules(), after.totals.unknown_ms), (59_560.0, 0));
}

#[test]
fn an_implausible_value_is_no_message_and_costs_no_energy() {
    let mut source = source();
    ledger(take(&mut source, 0, 0, &Reading::watts(100.0)));
    assert!(matches!(
        take(&mut source, 1, 0, &Reading::watts(-5.0)),
        Outcome::Nothing(NoReading::Implausible(_))
    ));
    assert_eq!(ledger(take(&mut source, 2, 0, &Reading::watts(100.0))).totals.energy.joules(), 200.0);
}

proptest! {
    #[test]
    fn whatever_the_clocks_and_the_device_do_sessions_and_stamps_rise_and_energy_never_falls(
        readings in prop::collection::vec(
            (0_u64..15, -30_i64..30, any::<Option<f64>>(), prop::option::of(any::<u32>()), prop::option::of(0_u64..2_000)),
            1..80),
    ) {
        let mut source = source();
        let (mut second, mut step) = (100, 0);
        let mut before: Option<Accounting> = None;
        for (pause, jolt, watts, counter, stamp) in readings {
            second += pause;
            step += if jolt.abs() > 25 { jolt } else { 0 };
            let reading = Reading {
                power: watts.map(Watts),
                counter: counter.map(|wh| MeterCounter::new(Energy::from_watt_hours(wh.into()), Energy::from_watt_hours(1))),
                measured_at: stamp.map(|stamp| Timestamp::from_seconds(NOON + stamp)),
                ..Reading::default()
            };
            let Outcome::New(measurement) = take(&mut source, second, step, &reading) else { continue };
            prop_assert!(Measurement::power_is_valid(measurement.power));
            let accounting = measurement.accounting.unwrap();
            match before {
                Some(before) if before.session == accounting.session => {
                    prop_assert_eq!(accounting.seq, before.seq + 1);
                    prop_assert!(accounting.timestamp > before.timestamp);
                    prop_assert!(accounting.totals.energy >= before.totals.energy);
                }
                Some(before) => {
                    prop_assert_eq!(accounting.seq, 0);
                    prop_assert!(accounting.session > before.session);
                }
                None => prop_assert_eq!(accounting.seq, 0),
            }
            before = Some(accounting);
        }
    }
}
