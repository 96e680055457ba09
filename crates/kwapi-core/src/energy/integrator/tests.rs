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
fn a_counter_that_stands_still_under_load_is_no_longer_believed_and_nothing_is_lost() {
    let mut meter = Integrator::new(MAX_GAP);
    for second in 0..600_u32 {
        counted(&mut meter, f64::from(second), 1_000.0, watt_hours(42));
    }
    assert!(!meter.counter_believed());
    assert_eq!(meter.totals().energy.joules(), 599_000.0);
}

#[test]
fn at_the_first_tick_the_total_is_the_tick_and_what_came_after_it() {
    // The watts say twice what is used: a watt-hour passes each 36 s, and 72 s of watts are no more than that.
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
    // What was read long ago says nothing of what was drawn since.
    let mut meter = limited(None);
    counted(&mut meter, 0.0, 50.0, watt_hours(0));
    assert!(matches!(counted(&mut meter, 20.0, 2_000.0, watt_hours(8)), Some(CounterChange::Jumped(_))));
}
