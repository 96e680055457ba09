mod registers;

use proptest::prelude::*;

use super::*;

const MAX_GAP: Duration = Duration::from_secs(10);

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn measured(meter: &mut Integrator, seconds: f64, watts: f64) {
    meter.record(at(seconds), Some(Watts(watts)), Quality::Measured, None);
}

fn counted(meter: &mut Integrator, seconds: f64, watts: f64, counter: MeterCounter) -> Option<CounterChange> {
    meter.record(at(seconds), Some(Watts(watts)), Quality::Measured, Some(&counter))
}

fn watt_hours(wh: u64) -> MeterCounter {
    MeterCounter::new(Energy::from_watt_hours(wh), Energy::from_watt_hours(1))
}

#[test]
fn energy_is_new_watts_times_elapsed_time() {
    let mut meter = Integrator::new(MAX_GAP);
    measured(&mut meter, 0.0, 100.0);
    measured(&mut meter, 1.0, 200.0);
    measured(&mut meter, 3.0, 50.0);
    assert_eq!(meter.totals().energy.joules(), 200.0 + 100.0);
    assert_eq!(meter.totals().measured_ms, 3_000);
}

#[test]
fn a_gap_adds_nothing_and_is_unknown_time() {
    let mut meter = Integrator::new(MAX_GAP);
    measured(&mut meter, 0.0, 100.0);
    measured(&mut meter, 3_000.0, 2_600.0);
    assert_eq!(meter.totals(), Totals { unknown_ms: 3_000_000, ..Totals::default() });
}

#[test]
fn a_counter_bridges_a_gap() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 100.0, watt_hours(7));
    counted(&mut meter, 1.0, 100.0, watt_hours(8)); // a tick: exact from here
    counted(&mut meter, 3_601.0, 100.0, watt_hours(108));
    assert_eq!(meter.totals().energy, Energy::from_joules(100.0 + 360_000.0).unwrap());
    assert_eq!(meter.totals().unknown_ms, 0);
}

#[test]
fn watts_fill_in_between_coarse_ticks_and_are_reconciled_at_them() {
    // 0.1 kWh ticks on a 100 W host: one an hour. The meter's watts read 2 % low.
    let coarse =
        |tick: u64| MeterCounter::new(Energy::from_watt_hours(tick * 100), Energy::from_watt_hours(100));
    let mut meter = Integrator::new(MAX_GAP);
    let mut previous = Energy::ZERO;
    for second in 0..20_000_u32 {
        let true_wh = 7_042.0 + f64::from(second) / 36.0;
        counted(&mut meter, f64::from(second), 98.0, coarse((true_wh / 100.0) as u64));
        let total = meter.totals().energy;
        let step = total.saturating_sub(previous).joules();
        assert!(total >= previous && step < 0.03 * 360_000.0, "a step of {step} J at {second} s");
        previous = total;
    }
    let error = previous.joules() / (19_999.0 * 100.0) - 1.0;
    assert!(error.abs() < 0.02, "off by {error}");
}

#[test]
fn an_overshoot_holds_the_total_until_the_counter_has_caught_up() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 4_000.0, watt_hours(0));
    counted(&mut meter, 1.0, 4_000.0, watt_hours(1));
    let mut previous = meter.totals().energy;
    for second in 2..60_u32 {
        counted(&mut meter, f64::from(second), 4_000.0, watt_hours(1 + u64::from(second) * 9 / 10));
        assert!(meter.totals().energy >= previous);
        previous = meter.totals().energy;
    }
    let counter = Energy::from_watt_hours(1 + 59 * 9 / 10);
    assert!(previous <= counter.saturating_add(Energy::from_watt_hours(2)), "{previous:?} over {counter:?}");
}

#[test]
fn a_reset_neither_drops_nor_lifts_the_total() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 100.0, watt_hours(5_000));
    assert_eq!(counted(&mut meter, 1.0, 100.0, watt_hours(3)), Some(CounterChange::Reset));
    assert_eq!(
        counted(&mut meter, 2.0, 100.0, watt_hours(9_000)),
        Some(CounterChange::Jumped(Energy::from_watt_hours(8_997)))
    );
    assert_eq!(meter.totals().energy.joules(), 200.0);
}

#[test]
fn a_counter_that_stands_still_under_load_is_no_longer_trusted_and_nothing_is_lost() {
    let mut meter = Integrator::new(MAX_GAP);
    for second in 0..600_u32 {
        counted(&mut meter, f64::from(second), 1_000.0, watt_hours(42));
    }
    assert!(!meter.counter_trusted());
    assert_eq!(meter.totals().energy.joules(), 599_000.0);
}

#[test]
fn at_the_first_tick_the_total_is_the_tick_and_what_came_after_it() {
    // The watts show twice what is used: a watt-hour passes each 36 s, and 72 s of watts are no more than that.
    let mut meter = Integrator::new(MAX_GAP);
    for second in (0..40_u64).step_by(4) {
        let counter = watt_hours(second / 36);
        counted(&mut meter, second as f64, 200.0, counter);
    }
    assert_eq!(meter.totals().energy.joules(), 3_600.0 + 4.0 * 200.0);
}

proptest! {
    #[test]
    fn a_total_never_falls_and_all_time_is_accounted_for(
        readings in prop::collection::vec((0_u64..30_000, prop::option::of(0.0..5_000.0_f64),
            prop::option::of(any::<u32>()), any::<bool>()), 1..200),
    ) {
        let mut meter = Integrator::new(MAX_GAP);
        let mut now = Duration::ZERO;
        let mut previous = Totals::default();
        let mut first = None;
        for (pause_ms, watts, counter, estimated) in readings {
            now += Duration::from_millis(pause_ms);
            first.get_or_insert(now);
            let quality = if estimated { Quality::Estimated } else { Quality::Measured };
            let counter = counter.map(|wh| watt_hours(u64::from(wh)));
            meter.record(now, watts.map(Watts), quality, counter.as_ref());
            let totals = meter.totals();
            prop_assert!(totals.energy >= previous.energy);
            let accounted = totals.measured_ms + totals.estimated_ms + totals.bridged_ms + totals.unknown_ms;
            prop_assert!(totals.is_sound());
            prop_assert_eq!(u128::from(accounted), (now - first.unwrap()).as_millis());
            previous = totals;
        }
    }

    #[test]
    fn without_a_counter_the_total_is_the_sum_of_the_parts_within_max_gap(
        readings in prop::collection::vec((0_u64..20_000, 0.0..5_000.0_f64), 1..200),
    ) {
        let mut meter = Integrator::new(MAX_GAP);
        let (mut now, mut expected) = (Duration::ZERO, 0.0);
        for (index, (pause_ms, watts)) in readings.iter().enumerate() {
            now += Duration::from_millis(*pause_ms);
            if index > 0 && *pause_ms <= 10_000 {
                expected += watts * (*pause_ms as f64) / 1e3;
            }
            meter.record(now, Some(Watts(*watts)), Quality::Measured, None);
        }
        prop_assert!((meter.totals().energy.joules() - expected).abs() < 0.01);
    }
}

fn limited(max_watts: Option<f64>) -> Integrator {
    Integrator::within(Limits { max_gap: MAX_GAP, interval: at(1.0), max_watts: max_watts.map(Watts) })
}

#[test]
fn the_power_of_the_reading_itself_makes_an_advance_plausible_and_so_does_max_watts() {
    // 2 kW for ten seconds are 5.5 Wh; 300 W and two ticks are less than 3.
    let mut meter = limited(None);
    counted(&mut meter, 0.0, 50.0, watt_hours(0));
    assert_eq!(
        counted(&mut meter, 10.0, 2_000.0, watt_hours(5)),
        Some(CounterChange::Advanced(Energy::from_watt_hours(5)))
    );
    for (max_watts, is_jump) in [(None, true), (Some(2_000.0), false), (Some(1_000.0), true)] {
        let mut meter = limited(max_watts);
        counted(&mut meter, 0.0, 50.0, watt_hours(0));
        let change = counted(&mut meter, 10.0, 50.0, watt_hours(7));
        assert_eq!(matches!(change, Some(CounterChange::Jumped(_))), is_jump, "{max_watts:?}");
    }
    // What was read long ago shows nothing of what was drawn since.
    let mut meter = limited(None);
    counted(&mut meter, 0.0, 50.0, watt_hours(0));
    assert!(matches!(counted(&mut meter, 20.0, 2_000.0, watt_hours(8)), Some(CounterChange::Jumped(_))));
}

fn observation(watts: f64, counter: &MeterCounter) -> Observation<'_> {
    Observation {
        power: Some(Watts(watts)),
        quality: Quality::Measured,
        counter: Some(counter),
        is_counted: false,
    }
}

/// Where in its tick the register stands is not known of a tick that nobody has seen.
#[test]
fn a_tick_over_a_stop_was_not_seen() {
    let mut meter = Integrator::new(MAX_GAP);
    meter.sums.measured_uj = 2_000_000_000;
    meter.anchor = Some(Box::new(Anchor::at(0, 3_600_000_000)));
    meter.resume(at(100.0), &observation(100.0, &watt_hours(2)), Energy::from_watt_hours(2));
    let anchor = meter.anchor.as_deref().copied().unwrap();
    assert_eq!((anchor.slack_uj, anchor.counted_uj), (3_600_000_000, 7_200_000_000));
    assert_eq!(meter.totals().energy.joules(), 3_600.0);
}

#[test]
fn two_absurd_values_that_do_not_agree_are_not_trusted() {
    let mut meter = Integrator::new(MAX_GAP);
    for (second, watts) in [(0.0, 100.0), (10.0, 100.0), (20.0, 1e7), (30.0, 4e7), (40.0, 100.0)] {
        measured(&mut meter, second, watts);
    }
    assert_eq!((meter.plausible(), meter.outliers()), (Watts(300.0), 2));
    // The first of them adds what the value before confirms, the second nothing.
    assert_eq!(meter.totals().energy.joules(), 3_000.0);
}

#[test]
fn a_load_that_is_there_at_the_next_reading_too_is_added_whole() {
    let mut meter = Integrator::new(MAX_GAP);
    for (second, watts) in [(0.0, 100.0), (10.0, 100.0), (20.0, 20_000.0), (30.0, 21_000.0)] {
        measured(&mut meter, second, watts);
    }
    assert_eq!((meter.totals().energy.joules(), meter.outliers()), (1_000.0 + 200_000.0 + 210_000.0, 0));
    // The same where a register is first read in the reading that confirms it.
    let mut meter = Integrator::new(MAX_GAP);
    for (second, watts) in [(0.0, 100.0), (10.0, 100.0), (20.0, 20_000.0)] {
        measured(&mut meter, second, watts);
    }
    counted(&mut meter, 30.0, 21_000.0, watt_hours(7));
    assert_eq!(meter.totals().energy.joules(), 1_000.0 + 200_000.0 + 210_000.0);
}

/// The status of what waited is its own.
#[test]
fn what_waited_for_the_next_value_keeps_its_status() {
    let mut meter = Integrator::new(MAX_GAP);
    measured(&mut meter, 0.0, 100.0);
    meter.record(at(10.0), Some(Watts(20_000.0)), Quality::Estimated, None);
    measured(&mut meter, 20.0, 20_000.0);
    assert_eq!(meter.totals().estimated.joules(), 200_000.0);
    assert_eq!(meter.totals().measured().joules(), 200_000.0);
}

#[test]
fn a_reset_within_a_gap_adds_nothing() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 100.0, watt_hours(5_000));
    assert_eq!(counted(&mut meter, 3_600.0, 100.0, watt_hours(3)), Some(CounterChange::Reset));
    assert_eq!(meter.totals(), Totals { unknown_ms: 3_600_000, ..Totals::default() });
}

/// Above `max_watts`: the value before still confirms the one after.
#[test]
fn a_value_that_cannot_be_is_no_value() {
    let mut meter = limited(Some(1_000.0));
    counted(&mut meter, 0.0, 100.0, watt_hours(5_000));
    counted(&mut meter, 10.0, 5_000.0, watt_hours(5_000));
    assert_eq!((meter.is_outlier(), meter.outliers_in_a_row()), (true, 1));
    assert_eq!(counted(&mut meter, 20.0, 100.0, watt_hours(3)), Some(CounterChange::Reset));
    assert_eq!((meter.totals().energy.joules(), meter.outliers_in_a_row()), (1_000.0, 0));
}

#[test]
fn of_a_value_that_is_not_stated_the_next_is_not_confirmed() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 100.0, watt_hours(5_000));
    meter.record(at(10.0), None, Quality::Measured, Some(&watt_hours(5_000)));
    assert_eq!(counted(&mut meter, 20.0, 100.0, watt_hours(3)), Some(CounterChange::Reset));
    assert_eq!(meter.totals().energy, Energy::ZERO);
}

#[test]
fn what_is_plausible_follows_the_load_up() {
    let mut meter = Integrator::new(MAX_GAP);
    for (second, watts) in [(0.0, 50.0), (10.0, 2_000.0), (20.0, 2_000.0), (30.0, 50.0)] {
        measured(&mut meter, second, watts);
    }
    assert_eq!(meter.plausible(), Watts(6_000.0));
}

#[test]
fn without_power_and_register_time_is_unknown() {
    let mut meter = Integrator::new(MAX_GAP);
    measured(&mut meter, 0.0, 100.0);
    meter.record(at(5.0), None, Quality::Measured, None);
    measured(&mut meter, 10.0, 100.0);
    let totals = Totals {
        energy: Energy::from_joules(500.0).unwrap(),
        measured_ms: 5_000,
        unknown_ms: 5_000,
        ..Totals::default()
    };
    assert_eq!(meter.totals(), totals);
}

/// The watts are derived from amperes; the register is the meter's own.
#[test]
fn a_ticks_surplus_is_measured_whatever_the_watts_are() {
    let mut meter = Integrator::new(MAX_GAP);
    for (second, wh) in [(0.0, 7), (5.0, 8), (10.0, 9)] {
        meter.record(at(second), Some(Watts(100.0)), Quality::Estimated, Some(&watt_hours(wh)));
    }
    // At the first tick the phase is unknown; at the second it has ticked once more: 3.6 kJ, of which 500 J are estimated.
    let totals = meter.totals();
    assert_eq!((totals.estimated.joules(), totals.measured().joules()), (1_000.0, 3_100.0));
    assert_eq!((totals.estimated_ms, totals.measured_ms), (10_000, 0));
}

/// Between two ticks of a coarse register the power it gave at the last fills in.
#[test]
fn power_derived_from_a_register_fills_in() {
    let mut meter = Integrator::new(MAX_GAP);
    for (second, wh) in [(0.0, 7), (5.0, 7)] {
        let counter = watt_hours(wh);
        meter.record_observation(
            at(second),
            &Observation { is_counted: true, ..observation(100.0, &counter) },
        );
    }
    assert_eq!((meter.totals().energy.joules(), meter.totals().measured_ms), (500.0, 5_000));
}

/// The register is read again after a minute in which the watts were there alone.
#[test]
fn a_register_that_was_not_read_while_the_watts_outran_it_is_distrusted() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 1_000.0, watt_hours(7));
    (1..=6).for_each(|reading| measured(&mut meter, f64::from(reading) * 10.0, 1_000.0));
    counted(&mut meter, 70.0, 1_000.0, watt_hours(7));
    assert!(!meter.counter_trusted());
    assert_eq!(meter.totals().energy.joules(), 70_000.0);
}
