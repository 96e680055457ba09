//! Registers that are coarse, turn out finer, are read now and then, or stand behind the watts.

use super::*;

fn tenths(tenths: u64) -> MeterCounter {
    MeterCounter::new(Energy::from_watt_hours(tenths * 100), Energy::from_watt_hours(100))
}

/// Two ticks of 0.1 kWh are 720 kJ: a register may stand so far behind the watts.
#[test]
fn a_coarse_register_is_trusted_up_to_two_ticks_behind() {
    let mut meter = Integrator::new(MAX_GAP);
    let mut distrusted_at = None;
    for second in 0..1_200_u32 {
        counted(&mut meter, f64::from(second), 1_000.0, tenths(42));
        if !meter.counter_trusted() {
            distrusted_at.get_or_insert(second);
        }
    }
    assert_eq!(distrusted_at, Some(360 + 720 + 1));
}

/// What is seen to be finer at the second reading was so at the first.
#[test]
fn a_register_that_turns_out_finer_is_exact_to_its_finer_tick() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 10.0, watt_hours(7));
    let finer = |joules: u64| {
        let value = Energy::from_watt_hours(7).saturating_add(Energy::from_millijoules(joules * 1_000));
        MeterCounter::new(value, Energy::from_millijoules(1_000))
    };
    counted(&mut meter, 5.0, 10.0, finer(400));
    assert_eq!(meter.totals().energy.joules(), 399.0);
}

#[test]
fn a_tick_in_a_gap_was_not_seen() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 100.0, watt_hours(7));
    counted(&mut meter, 100.0, 100.0, watt_hours(9));
    assert_eq!(meter.anchor.as_deref().map(|anchor| anchor.slack_uj), Some(3_600_000_000));
}

/// What the watts made of the time in which the register was not read stands, and the register counts on from there.
#[test]
fn the_first_tick_does_not_take_back_what_watts_alone_have_counted() {
    let mut meter = Integrator::new(MAX_GAP);
    counted(&mut meter, 0.0, 2_000.0, watt_hours(0));
    measured(&mut meter, 5.0, 2_000.0);
    measured(&mut meter, 10.0, 2_000.0);
    counted(&mut meter, 11.0, 2_000.0, watt_hours(1));
    assert_eq!(meter.totals().energy.joules(), 20_000.0);
    // Between 1 and 11 s it was not read, so that its tick was not seen; the next is.
    counted(&mut meter, 21.0, 2_000.0, watt_hours(2));
    assert_eq!(meter.totals().energy.joules(), 20_000.0);
    counted(&mut meter, 31.0, 2_000.0, watt_hours(3));
    assert_eq!(meter.totals().energy.joules(), 20_000.0 + 2.0 * 3_600.0);
}

/// An entry without one, as of a register that was not trusted.
#[test]
fn a_register_that_continues_without_an_anchor_gets_one() {
    let mut meter = Integrator::new(MAX_GAP);
    meter.resume(at(100.0), &observation(100.0, &watt_hours(9)), Energy::from_watt_hours(2));
    let anchor = meter.anchor.as_deref().copied().unwrap();
    assert_eq!((anchor.counted_uj, anchor.slack_uj), (7_200_000_000, 3_600_000_000));
}

#[test]
fn a_register_alone_teaches_no_more_than_its_ticks_prove_and_nothing_beside_max_watts() {
    for max_watts in [None, Some(900.0)] {
        let mut meter = limited(max_watts);
        for (second, wh) in [(0.0, 7), (1.0, 8), (2.0, 9), (3.0, 9), (13.0, 12), (23.0, 15)] {
            meter.record(at(second), None, Quality::Measured, Some(&watt_hours(wh)));
        }
        // Two ticks in ten seconds, and then two again: 720 W are proven.
        assert_eq!(meter.watts_max, if max_watts.is_some() { 0.0 } else { 720.0 });
    }
}

/// Watts each second, and the counter once a minute.
#[test]
fn a_register_that_is_stated_now_and_then_is_no_jump() {
    let mut meter = limited(None);
    let joule = |second: u32| {
        MeterCounter::new(Energy::from_millijoules(u64::from(second) * 100_000), Energy::from_millijoules(1))
    };
    for second in 0..=600_u32 {
        // The watts read five percent high.
        let counter = joule(second);
        let power = Some(Watts(105.0));
        let stated = (second % 60 == 0).then_some(&counter);
        let change = meter.record(at(f64::from(second)), power, Quality::Measured, stated);
        if let Some(change) = change.filter(|_| second > 0) {
            assert_eq!(change, CounterChange::Advanced(Energy::from_millijoules(6_000_000)), "at {second}");
        }
    }
    // What the watts made of a minute beyond the counter is taken back from the next.
    let total = meter.totals().energy.joules();
    assert!((60_000.0..=60_300.1).contains(&total), "{total}");
    assert_eq!(
        meter.record(at(660.0), Some(Watts(105.0)), Quality::Measured, Some(&joule(1_000))),
        Some(CounterChange::Jumped(Energy::from_millijoules(40_000_000)))
    );
}

/// How long a register that counts so many percent of the watts is trusted, in seconds of an hour.
fn trusted_for(percent: u64) -> u32 {
    let mut meter = Integrator::new(MAX_GAP);
    for second in 0..3_600_u32 {
        let value = Energy::from_millijoules(u64::from(second) * 10_000 * percent);
        counted(
            &mut meter,
            f64::from(second),
            1_000.0,
            MeterCounter::new(value, Energy::from_millijoules(1)),
        );
        if !meter.counter_trusted() {
            return second;
        }
    }
    3_600
}

/// A quarter of what the watts have added up to, and more than 36 kJ.
#[test]
fn a_register_is_trusted_up_to_a_quarter_behind() {
    assert_eq!(trusted_for(76), 3_600);
    let until = trusted_for(70);
    assert!((120..=123).contains(&until), "{until}");
}
