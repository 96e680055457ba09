use kwapi_core::{Accounting, Energy, MeterCounter, Totals};
use proptest::prelude::*;

use super::*;

const MAX_GAP: Duration = Duration::from_secs(10);
const NOON: u64 = 1_800_000_000;

/// `second` on the monotonic clock, while the wall clock is `step` seconds away from where it should be.
fn now(second: u64, step: i64) -> Now<'static> {
    Now {
        wall: Timestamp::from_seconds((NOON + second).saturating_add_signed(step)),
        monotonic: Duration::from_secs(second),
        boottime: Duration::from_secs(second),
        boot: "boot",
    }
}

fn source() -> PublishedProbe {
    within(None)
}

fn within(max_watts: Option<f64>) -> PublishedProbe {
    let interval = Duration::from_secs(1);
    let limits = Limits { max_gap: MAX_GAP, interval, max_watts: max_watts.map(Watts) };
    PublishedProbe::new(ProbeId::new("p").unwrap(), limits, Vec::new())
}

fn place() -> RegisterPlace {
    RegisterPlace::of_sum(&[])
}

fn take(source: &mut PublishedProbe, second: u64, step: i64, reading: &Reading) -> Outcome {
    source.take(reading, now(second, step), &Assumptions::default(), &place())
}

/// The measurement that comes of a reading, of a manager without state.
fn published(source: &mut PublishedProbe, outcome: Outcome) -> Measurement {
    match outcome {
        Outcome::New(draft, _) => source.publish(draft, false).expect("a session"),
        other => panic!("a measurement, not {other:?}"),
    }
}

fn ledger_of(source: &mut PublishedProbe, second: u64, step: i64, reading: &Reading) -> Accounting {
    let outcome = take(source, second, step, reading);
    published(source, outcome).accounting.expect("its totals")
}

fn stamped(watts: f64, second: u64) -> Reading {
    Reading { measured_at: Some(Timestamp::from_seconds(NOON + second)), ..Reading::watts(watts) }
}

#[test]
fn a_probe_reports_how_its_power_came_about_and_whether_its_device_counts() {
    let counter = |joules: f64| {
        let value = Energy::from_joules(joules).unwrap();
        let resolution = Energy::from_millijoules(1);
        let counter = MeterCounter { value, resolution, range: None, reset_at: None };
        Reading { counter: Some(counter), ..Reading::default() }
    };
    let amperes = Reading { current: Some(Amperes(2.0)), voltage: Some(Volts(230.0)), ..Reading::default() };
    let both = Reading { power: Some(Watts(90.0)), ..counter(70.0) };
    // A counter that was read once gives no power yet.
    let counted = [counter(500.0), counter(900.0), counter(1_300.0)];
    for (readings, expected) in [
        (vec![], (None, false)),
        (vec![Reading::watts(90.0)], (Some(PowerOrigin::Reported), false)),
        (vec![both], (Some(PowerOrigin::Reported), true)),
        (vec![amperes], (Some(PowerOrigin::Current), false)),
        (vec![counter(500.0)], (None, true)),
        (counted.into(), (Some(PowerOrigin::Counter), true)),
    ] {
        let mut source = source();
        for (reading, second) in readings.iter().zip(1_u64..) {
            take(&mut source, second * 8, 0, reading);
        }
        assert_eq!((source.power_origin, source.has_counter()), expected, "{readings:?}");
    }
}

#[test]
fn a_session_counts_its_messages_and_its_energy() {
    let mut source = source();
    let first = ledger_of(&mut source, 5, 0, &Reading::watts(100.0));
    let second = ledger_of(&mut source, 7, 0, &Reading::watts(50.0));
    assert_eq!((first.session, first.seq, first.totals), (first.timestamp, 0, Totals::default()));
    assert_eq!((second.session, second.seq), (first.session, 1));
    assert_eq!(second.totals.energy, Energy::from_joules(100.0).unwrap());
}

#[test]
fn a_clock_set_back_begins_a_session_that_continues_where_the_last_ended() {
    let mut source = source();
    let before = ledger_of(&mut source, 100, 0, &Reading::watts(100.0));
    let after = ledger_of(&mut source, 101, -50, &Reading::watts(100.0));
    assert!(after.session > before.timestamp, "a plugin could not determine which came first");
    assert_eq!((after.seq, after.totals.energy.joules()), (0, 100.0));
    let on = ledger_of(&mut source, 102, -50, &Reading::watts(100.0));
    assert_eq!((on.session, on.seq, on.totals.energy.joules()), (after.session, 1, 200.0));
}

#[test]
fn a_slewing_clock_begins_nothing_and_stamps_still_rise() {
    let mut source = source();
    let first = ledger_of(&mut source, 100, 0, &Reading::watts(1.0));
    let second = ledger_of(&mut source, 101, -1, &Reading::watts(1.0));
    assert_eq!(second.session, first.session);
    assert!(second.timestamp > first.timestamp);
}

#[test]
fn the_same_stamp_twice_is_one_measurement_and_for_long_it_is_stale() {
    let mut source = source();
    ledger_of(&mut source, 1, 0, &stamped(100.0, 0));
    assert_eq!(take(&mut source, 2, 0, &stamped(100.0, 0)), Outcome::Unchanged);
    ledger_of(&mut source, 5, 0, &stamped(80.0, 4));
    assert_eq!(take(&mut source, 6, 0, &stamped(100.0, 3)), Outcome::Unchanged, "overtaken on its way");
    assert!(matches!(take(&mut source, 16, 0, &stamped(80.0, 4)), Outcome::Nothing(NoReading::Stale(_), _)));
}

#[test]
fn a_late_message_is_integrated_over_the_devices_time() {
    let mut source = source();
    ledger_of(&mut source, 10, 0, &stamped(100.0, 10));
    let late = ledger_of(&mut source, 19, 0, &stamped(100.0, 12));
    assert_eq!((late.timestamp.seconds(), late.totals.energy.joules()), (NOON + 12, 200.0));
}

#[test]
fn a_backlog_is_stale_unless_the_devices_clock_is_known_to_be_wrong() {
    let mut source = source();
    assert!(matches!(take(&mut source, 1000, 0, &stamped(9.0, 3)), Outcome::Nothing(NoReading::Stale(_), _)));
    let ours = Assumptions { device_clock: false, ..Assumptions::default() };
    let outcome = source.take(&stamped(9.0, 4), now(1001, 0), &ours, &place());
    let measurement = published(&mut source, outcome);
    assert_eq!(measurement.accounting.unwrap().timestamp.seconds(), NOON + 1001);
    let future = ledger_of(&mut source, 1002, 0, &stamped(9.0, 9_999));
    assert_eq!(future.timestamp.seconds(), NOON + 1002);
}

#[test]
fn a_counter_alone_gives_power_from_the_second_reading_and_bridges_a_gap() {
    let mut source = source();
    let counter = |joules| Reading {
        counter: Some(MeterCounter::new(Energy::from_joules(joules).unwrap(), Energy::from_millijoules(1))),
        ..Reading::default()
    };
    assert!(matches!(take(&mut source, 0, 0, &counter(500.0)), Outcome::Nothing(NoReading::NotReady(_), _)));
    let second = ledger_of(&mut source, 1, 0, &counter(550.0));
    assert_eq!(second.totals.energy.joules(), 50.0);
    assert_eq!(second.meter.unwrap().energy.joules(), 550.0);
    assert!(matches!(take(&mut source, 1001, 0, &counter(60_000.0)), Outcome::Nothing(..)));
    let after = ledger_of(&mut source, 1002, 0, &counter(60_060.0));
    assert_eq!((after.totals.energy.joules(), after.totals.unknown_ms), (59_560.0, 0));
}

#[test]
fn an_implausible_value_is_no_message_and_costs_no_energy() {
    let mut source = source();
    ledger_of(&mut source, 0, 0, &Reading::watts(100.0));
    assert!(matches!(
        take(&mut source, 1, 0, &Reading::watts(-5.0)),
        Outcome::Nothing(NoReading::Implausible(_), _)
    ));
    assert_eq!(ledger_of(&mut source, 2, 0, &Reading::watts(100.0)).totals.energy.joules(), 200.0);
}

/// Watts beside a register that stands at `joules`, in ticks of a watt-hour.
fn plug(watts: f64, watt_hours: u64) -> Reading {
    let wh = Energy::from_watt_hours;
    Reading { counter: Some(MeterCounter::new(wh(watt_hours), wh(1))), ..Reading::watts(watts) }
}

#[test]
fn one_absurd_value_is_no_message_makes_no_energy_and_leaves_the_register_trusted() {
    let mut source = source();
    for second in 0..5 {
        ledger_of(&mut source, second, 0, &plug(55.0, 4_211));
    }
    let absurd = take(&mut source, 5, 0, &plug(16_777_215.0, 4_211));
    assert!(matches!(absurd, Outcome::Nothing(NoReading::Implausible(_), _)), "{absurd:?}");
    let after = ledger_of(&mut source, 6, 0, &plug(55.0, 4_211));
    assert!(after.totals.energy <= Energy::from_watt_hours(1), "{:?}", after.totals);
    assert!(source.counter_trusted());
    assert_eq!(source.outliers(), (1, 1));
    ledger_of(&mut source, 7, 0, &plug(55.0, 4_211));
    assert_eq!(source.outliers(), (1, 0));
}

#[test]
fn above_max_watts_a_value_is_none_and_a_row_of_them_names_the_key() {
    let mut source = within(Some(2_000.0));
    ledger_of(&mut source, 0, 0, &Reading::watts(100.0));
    let mut text = String::new();
    for second in 1..5 {
        match take(&mut source, second, 0, &Reading::watts(2_001.0)) {
            Outcome::Nothing(NoReading::Implausible(message), _) => text = message,
            other => panic!("{other:?}"),
        }
    }
    assert!(text.contains("4 times in a row") && text.contains("max_watts"), "{text}");
    let after = ledger_of(&mut source, 5, 0, &Reading::watts(100.0));
    assert_eq!((after.totals.energy.joules(), after.totals.unknown_ms), (100.0, 4_000));
    assert_eq!(source.outliers(), (4, 0));
}

#[test]
fn a_large_load_is_confirmed_by_the_next_value_and_loses_nothing() {
    let mut source = source();
    ledger_of(&mut source, 0, 0, &Reading::watts(100.0));
    assert!(matches!(take(&mut source, 1, 0, &Reading::watts(22_000.0)), Outcome::Nothing(..)));
    let after = ledger_of(&mut source, 2, 0, &Reading::watts(21_000.0));
    assert_eq!(after.totals.energy.joules(), 43_000.0);
    assert_eq!(source.outliers(), (0, 0));
}

#[test]
fn a_counter_alone_that_shows_zero_and_is_back_reports_neither_watts_nor_energy() {
    let mut source = source();
    let counter = |joules: f64| Reading {
        counter: Some(MeterCounter::new(Energy::from_joules(joules).unwrap(), Energy::from_millijoules(1))),
        ..Reading::default()
    };
    take(&mut source, 0, 0, &counter(1_440_000.0));
    let mut last = Accounting { ..ledger_of(&mut source, 1, 0, &counter(1_440_050.0)) };
    for glitch in 0..6 {
        let second = 2 + 3 * glitch;
        let at = |second: u64| 1_440_000.0 + 50.0 * second as f64;
        assert!(matches!(take(&mut source, second, 0, &counter(0.0)), Outcome::Nothing(..)));
        assert!(matches!(take(&mut source, second + 1, 0, &counter(at(second + 1))), Outcome::Nothing(..)));
        last = ledger_of(&mut source, second + 2, 0, &counter(at(second + 2)));
    }
    assert_eq!(last.totals.energy.joules(), 50.0 + 6.0 * 50.0);
    assert_eq!(source.counter_resets, 12);
}

#[test]
fn a_tick_guessed_from_a_round_first_value_does_not_hide_what_follows() {
    // A plug prints thousandths of a kWh and sends every 12 s, more than max_gap: 11 Wh each at 3.3 kW.
    let used = |first: u64| {
        let mut source = source();
        let mut last = None;
        for index in 0..6_u64 {
            let printed = first + index * 11;
            let tick = if printed.is_multiple_of(1_000) { 1_000 } else { 1 };
            let wh = Energy::from_watt_hours;
            let counter = Some(MeterCounter::new(wh(printed), wh(if index == 0 { tick } else { 1 })));
            let reading = Reading { counter, ..Reading::watts(3_300.0) };
            last = Some(ledger_of(&mut source, index * 12, 0, &reading));
        }
        last.unwrap().totals
    };
    for totals in [used(7_000), used(7_001)] {
        assert!(totals.energy >= Energy::from_watt_hours(54), "{totals:?}");
        assert!(totals.energy <= Energy::from_watt_hours(56), "{totals:?}");
    }
}

#[test]
fn what_the_state_lacks_is_published_without_a_curve_also_if_the_first_reading_was_not_published() {
    let mut source = source();
    let absurd = take(&mut source, 0, 0, &plug(900_000.0, 4_211));
    assert!(matches!(absurd, Outcome::Nothing(_, Some(_))), "{absurd:?}");
    let first = ledger_of(&mut source, 1, 0, &plug(55.0, 4_211));
    assert_eq!((first.curve, first.seq), (None, 0));
    let reset = ledger_of(&mut source, 2, 0, &plug(55.0, 3));
    assert_eq!((reset.curve, reset.session, reset.seq), (None, first.session, 1));
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
            let Outcome::New(draft, _) = take(&mut source, second, step, &reading) else { continue };
            let measurement = source.publish(draft, false).unwrap();
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
