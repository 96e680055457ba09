use kwapi_core::Totals;

use super::*;

fn id(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

fn spec(probe: &str, parts: &[&str]) -> VirtualSpec {
    let parts = parts.iter().map(|part| id(part)).collect();
    VirtualSpec { probe: id(probe), parts, max_gap: Duration::from_secs(10), max_gap_follows: false }
}

fn sums(specs: Vec<VirtualSpec>) -> Result<VirtualProbes, VirtualError> {
    VirtualProbes::new(specs, &mut VirtualProbes::default())
}

/// `probe` reports `watts` at `milliseconds`, having used `joules` in its session.
fn part(probe: &str, milliseconds: u64, watts: f64, joules: u64) -> (Measurement, Now<'static>) {
    let wall = Timestamp::from_micros(1_800_000_000_000_000 + milliseconds * 1000);
    let totals = Totals { energy: Energy::from_millijoules(joules * 1000), ..Totals::default() };
    let accounting = Accounting {
        timestamp: wall,
        session: Timestamp::from_seconds(1_800_000_000),
        seq: milliseconds,
        totals,
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    let measurement = Measurement {
        probe: id(probe),
        power: Watts(watts),
        voltage: None,
        current: None,
        accounting: Some(accounting),
    };
    let monotonic = Duration::from_millis(milliseconds);
    (measurement, Now { wall, monotonic, boottime: monotonic, boot: "boot" })
}

/// What the sums make of a row of parts: when, watts and joules.
fn feed(sums: &VirtualProbes, parts: &[(Measurement, Now<'static>)]) -> Vec<(u128, f64, f64)> {
    parts
        .iter()
        .flat_map(|(measurement, now)| {
            let state = ManagerState::default();
            let report = PartReport::of(measurement).unwrap();
            let completed = sums.completed_by(&report, *now, &state);
            let published: Vec<_> = completed.into_iter().filter_map(|sum| sum.publish(&state)).collect();
            published.into_iter().map(|(sum, _)| {
                let energy = sum.accounting.unwrap().totals.energy.joules();
                (now.monotonic.as_millis(), sum.power.0, energy)
            })
        })
        .collect()
}

#[test]
fn two_feeds_read_once_a_second_give_one_sum_a_second_with_their_energy() {
    let sums = sums(vec![spec("web1", &["a", "b"])]).unwrap();
    let parts = [
        part("a", 200, 100.0, 0),
        part("b", 700, 50.0, 0),
        part("a", 1_200, 110.0, 110),
        part("c", 1_300, 1e6, 5_000),
        part("b", 1_700, 60.0, 57), // its own counter shows it, rather than 60
        part("a", 2_200, 100.0, 210),
        part("b", 2_700, 50.0, 107),
    ];
    assert_eq!(feed(&sums, &parts), [(700, 150.0, 0.0), (1_700, 170.0, 167.0), (2_700, 150.0, 317.0)]);
}

#[test]
fn a_missing_part_makes_the_sum_unknown_and_never_less() {
    let sums = sums(vec![spec("web1", &["a", "b"])]).unwrap();
    let mut parts = vec![part("a", 200, 100.0, 0), part("b", 700, 50.0, 0)];
    for second in 1..60 {
        parts.push(part("a", second * 1_000 + 200, 100.0, second * 100));
    }
    parts.push(part("b", 60_700, 50.0, 0));
    parts.push(part("a", 61_200, 100.0, 6_100));
    parts.push(part("b", 61_700, 50.0, 50));
    let outputs = feed(&sums, &parts);
    assert!(outputs.iter().all(|(_, watts, _)| *watts == 150.0), "{outputs:?}");
    assert!(!outputs.iter().any(|(at, ..)| (10_800..60_000).contains(at)), "{outputs:?}");
    let energy = |at: u128| outputs.iter().find(|(when, ..)| *when == at).unwrap().2;
    assert_eq!(
        energy(60_700),
        outputs.iter().rfind(|(at, ..)| *at < 60_000).unwrap().2,
        "nothing across the gap"
    );
    assert!(energy(61_700) - energy(60_700) <= 150.0 + 100.0);
}

#[test]
fn a_sum_follows_the_pace_of_its_slowest_part_unless_its_gap_is_set() {
    let outputs_within = |max_gap_follows| {
        let sums = sums(vec![VirtualSpec { max_gap_follows, ..spec("web1", &["a", "b"]) }]).unwrap();
        let mut parts = Vec::new();
        for second in 0..1_000_u64 {
            parts.push(part("a", second * 1_000 + 200, 100.0, second * 100));
            if second % 60 == 0 && !(600..900).contains(&second) {
                parts.push(part("b", second * 1_000 + 700, 50.0, second * 50));
            }
        }
        feed(&sums, &parts)
    };
    let at = |outputs: &[(u128, f64, f64)], from, to| {
        outputs.iter().filter(|(at, ..)| (from..to).contains(at)).count()
    };
    let following = outputs_within(true);
    assert!(at(&following, 240_000, 540_000) >= 100, "known between two words of the slow part");
    assert_eq!(at(&following, 700_000, 900_000), 0, "a part that is gone makes it unknown");
    let (_, watts, joules) = following.last().unwrap();
    assert_eq!((*watts, *joules > 0.0), (150.0, true));
    let fixed = outputs_within(false);
    assert!(at(&fixed, 240_000, 540_000) < 60, "as configured: {}", at(&fixed, 240_000, 540_000));
}

#[test]
fn a_part_of_a_longer_interval_does_not_slow_the_sum_to_its_own() {
    let sums = sums(vec![spec("web1", &["a", "b"])]).unwrap();
    let mut parts = vec![part("b", 100, 50.0, 0)];
    parts.extend((0..9).map(|second| part("a", second * 1_000 + 200, 100.0, second * 100)));
    assert_eq!(feed(&sums, &parts).len(), 5);
}

#[test]
fn sums_that_make_no_sense_are_refused() {
    let refused = |specs| sums(specs).unwrap_err().to_string();
    assert_eq!(refused(vec![spec("s", &[])]), "virtual probe \"s\" has no parts");
    assert_eq!(refused(vec![spec("s", &["a", "a"])]), "virtual probe \"s\" lists \"a\" twice");
    assert_eq!(refused(vec![spec("s", &["a"]), spec("s", &["b"])]), "duplicate virtual probe \"s\"");
    assert_eq!(
        refused(vec![spec("s", &["t"]), spec("t", &["a"])]),
        "virtual probe \"s\" sums \"t\", which is virtual itself; list its parts instead"
    );
    assert!(sums(vec![spec("s", &["s"])]).is_err());
}

#[test]
fn a_reload_leaves_an_unchanged_sum_its_account_and_a_wrong_one_changes_nothing() {
    let mut before = sums(vec![spec("s", &["a"]), spec("t", &["a", "b"])]).unwrap();
    feed(&before, &[part("a", 0, 100.0, 0), part("a", 1_000, 100.0, 100)]);
    assert!(VirtualProbes::new(vec![spec("s", &[])], &mut before).is_err());
    let after = VirtualProbes::new(vec![spec("s", &["a"])], &mut before).unwrap();
    assert_eq!(feed(&after, &[part("a", 2_000, 100.0, 200)]), [(2_000, 100.0, 200.0)]);
}

/// One tick of the counters below: 1 Wh.
const TICK: Energy = Energy::from_millijoules(3_600_000);

/// A counter that has advanced by `ticks` since its curve began and gives no power.
fn standing(probe: &str, milliseconds: u64, ticks: u64) -> (ProbeId, Accounting, Now<'static>) {
    let (measurement, now) = part(probe, milliseconds, 0.0, 3_600 * ticks);
    let accounting = measurement.accounting.unwrap();
    let curve = CurvePoint { id: accounting.session, run: 1, begin: Energy::ZERO };
    (id(probe), Accounting { curve: Some(curve), ..accounting }, now)
}

/// Two tariffs read once a second for `seconds`: one stands still, the other advances by a tick every ten. When, watts,
/// quality and joules.
fn two_tariffs(sums: &VirtualProbes, seconds: u64) -> Vec<(u64, f64, Quality, f64)> {
    let state = ManagerState::default();
    let mut outputs = Vec::new();
    for second in 0..seconds {
        for (probe, ticks) in [("night", 0), ("day", second / 10)] {
            let (probe, accounting, now) = standing(probe, second * 1_000, ticks);
            let completed = sums.completed_by(&PartReport::standing(&probe, accounting, TICK), now, &state);
            for (sum, _) in completed.into_iter().filter_map(|sum| sum.publish(&state)) {
                let accounting = sum.accounting.unwrap();
                let joules = accounting.totals.energy.joules();
                outputs.push((second, sum.power.0, accounting.quality, joules));
            }
        }
    }
    outputs
}

#[test]
fn a_sum_of_two_tariffs_is_reported_by_their_registers_though_one_stands_still() {
    let sums = sums(vec![spec("house", &["day", "night"])]).unwrap();
    let outputs = two_tariffs(&sums, 900);
    let (first, ..) = *outputs.first().expect("a sum");
    assert!((60..=120).contains(&first), "{outputs:?}");
    for (second, watts, quality, joules) in &outputs {
        // 1 Wh in 10 s, as far as two ticks show.
        assert!((watts - 360.0).abs() <= 130.0, "{second}: {watts} W, {quality:?}");
        let used = 360.0 * *second as f64;
        assert!((used - joules).abs() <= 2.0 * TICK.joules(), "{second}: {joules} J of {used}");
    }
}

#[test]
fn a_counter_without_a_curve_that_stands_still_leaves_its_sum_unknown() {
    let sums = sums(vec![spec("house", &["day", "night"])]).unwrap();
    let state = ManagerState::default();
    for second in 0..300 {
        for probe in ["night", "day"] {
            let (probe, accounting, now) = standing(probe, second * 1_000, second / 10);
            let accounting = Accounting { curve: None, ..accounting };
            let report = PartReport::standing(&probe, accounting, TICK);
            assert!(sums.completed_by(&report, now, &state).is_empty());
        }
    }
}
