use kwapi_core::Amperes;
use proptest::prelude::*;

use super::*;

const MAX_GAP: Duration = Duration::from_secs(100);

#[track_caller]
fn check(reading: &Reading, assumptions: &Assumptions, expected: &str) {
    let actual = match power(reading, None, assumptions) {
        Ok((power, quality)) => format!("{power} {quality:?}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected);
}

fn amperes(amperes: f64, volts: Option<f64>) -> Reading {
    Reading { current: Some(Amperes(amperes)), voltage: volts.map(Volts), ..Reading::default() }
}

#[test]
fn amperes_need_a_voltage_and_give_an_estimate() {
    let configured =
        Assumptions { voltage: Some(Volts(230.0)), power_factor: Some(0.5), ..Assumptions::default() };
    check(&amperes(2.0, None), &configured, "230 W Estimated");
    check(&amperes(2.0, Some(100.0)), &configured, "100 W Estimated");
    check(
        &amperes(2.0, None),
        &Assumptions::default(),
        "not available: the meter reports current only; set `voltage` for this meter",
    );
}

#[test]
fn nonsense_is_implausible_and_never_zero() {
    let none = Assumptions::default();
    check(&Reading::watts(-3.0), &none, "implausible: -3 W");
    check(&Reading::watts(f64::NAN), &none, "implausible: NaN W");
    check(&Reading::watts(f64::INFINITY), &none, "implausible: inf W");
    check(&Reading::watts(-0.0), &none, "0 W Measured");
    check(&amperes(f64::NAN, Some(230.0)), &none, "implausible: NaN W");
    check(&Reading::default(), &none, "not available: the meter reports neither power, current nor energy");
}

/// Feeds a counter of `resolution` millijoules every second with the true energy at `watts`; when and what it yields.
fn derived(watts: u64, resolution: u64, seconds: u64) -> Vec<(u64, f64, Quality)> {
    let mut power = CounterPower::default();
    let mut samples = Vec::new();
    for second in 0..seconds {
        let ticks = watts * second * 1000 / resolution;
        let counter = MeterCounter::new(
            Energy::from_millijoules(ticks * resolution),
            Energy::from_millijoules(resolution),
        );
        let power = power.observe(&counter, Duration::from_secs(second), MAX_GAP);
        samples.extend(power.map(|(watts, quality)| (second, watts.0, quality)));
    }
    samples
}

#[test]
fn a_fine_counter_reports_power_every_second() {
    assert_eq!(derived(100, 1, 3), [(1, 100.0, Quality::Measured), (2, 100.0, Quality::Measured)]);
    assert_eq!(derived(0, 1, 3), [(1, 0.0, Quality::Measured), (2, 0.0, Quality::Measured)]);
}

#[test]
fn a_coarse_counter_waits_and_never_spikes() {
    // 1 Wh ticks at 1 kW: 3.6 s each; ten of them give power to a tenth.
    for (_, watts, quality) in derived(1000, 3_600_000, 600) {
        assert!((watts - 1000.0).abs() <= 100.0, "{watts}");
        assert_eq!(quality, Quality::Measured);
    }
    // At 20 W a tick takes three minutes: an estimate at each, nothing (not 0 W) before the first.
    let samples = derived(20, 3_600_000, 400);
    assert_eq!(samples.first().map(|(second, ..)| *second), Some(180));
    assert!(
        samples.iter().all(|(_, watts, quality)| *watts < 61.0 && *quality == Quality::Estimated),
        "{samples:?}"
    );
}

#[test]
fn a_wrap_counts_and_a_reset_does_not() {
    let mut power = CounterPower::default();
    let mut at = |second, joules: f64, range: Option<f64>| {
        let counter = MeterCounter {
            range: range.and_then(Energy::from_joules),
            ..MeterCounter::new(Energy::from_joules(joules).unwrap(), Energy::from_millijoules(1))
        };
        power.observe(&counter, Duration::from_secs(second), MAX_GAP).map(|(watts, _)| watts.0)
    };
    assert_eq!(at(0, 262_100.0, Some(262_143.0)), None);
    assert_eq!(at(1, 57.0, Some(262_143.0)), Some(100.0));
    assert_eq!(at(2, 1.0, None), None);
    assert_eq!(at(3, 51.0, None), Some(50.0));
    assert_eq!(at(200, 5_000.0, None), None, "an average over a gap is not the present power");
}

proptest! {
    #[test]
    fn derived_power_may_always_travel(
        watts in any::<Option<f64>>(), amperes in any::<Option<f64>>(), volts in any::<Option<f64>>(),
        assumed in any::<Option<f64>>(), factor in any::<Option<f64>>(),
    ) {
        let reading = Reading {
            power: watts.map(Watts), current: amperes.map(Amperes), voltage: volts.map(Volts),
            ..Reading::default()
        };
        let assumptions =
            Assumptions { voltage: assumed.map(Volts), power_factor: factor, ..Assumptions::default() };
        if let Ok((power, _)) = power(&reading, None, &assumptions) {
            prop_assert!(Measurement::power_is_valid(power));
        }
    }

    #[test]
    fn any_counter_reports_finite_power(counters in prop::collection::vec((any::<u64>(), any::<u64>(), 0_u64..50), 0..50)) {
        let mut power = CounterPower::default();
        let mut now = Duration::ZERO;
        for (value, resolution, step) in counters {
            now += Duration::from_secs(step);
            let counter = MeterCounter::new(Energy::from_millijoules(value), Energy::from_millijoules(resolution));
            if let Some((watts, _)) = power.observe(&counter, now, MAX_GAP) {
                prop_assert!(watts.0.is_finite() && watts.0 >= 0.0);
            }
        }
    }
}
