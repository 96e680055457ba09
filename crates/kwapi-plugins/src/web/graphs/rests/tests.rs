use proptest::prelude::*;

use super::*;

/// What is drawn in one row of each of these probes, in order, and the share of the whole that is known.
fn drawn(probes: &[(&str, Option<f64>)]) -> (Vec<Option<f64>>, f64) {
    let ids: Vec<ProbeId> = probes.iter().map(|(name, _)| ProbeId::new(name).unwrap()).collect();
    let fetch = |probe: &ProbeId| {
        let watts = probes.iter().find(|(name, _)| *name == probe.as_str()).and_then(|(_, watts)| *watts);
        // A probe that never measured has no rows at all.
        watts.map_or_else(Series::default, |watts| Series::whole(60, 60, vec![Some(watts), None]))
    };
    let mut rests = Rests::new(&ids);
    rests.add_probes(&ids, |_| true, fetch);
    let mut known = KnownTops::default();
    let mut rows = Vec::new();
    for (at, probe) in ids.iter().enumerate() {
        let own = fetch(probe);
        if rests.is_top(at) {
            known.add(&own, rests.below(at));
        }
        rows.push(rests.drawn(at, own).watts.first().copied().flatten());
    }
    (rows, known.shares(&Series::whole(60, 60, vec![None; 2]))[0])
}

#[track_caller]
fn check(probes: &[(&str, f64)], expected: &[f64], known: f64) {
    let probes: Vec<(&str, Option<f64>)> =
        probes.iter().map(|(name, watts)| (*name, Some(*watts).filter(|watts| *watts >= 0.0))).collect();
    let (rows, share) = drawn(&probes);
    let rows: Vec<f64> = rows.into_iter().map(|watts| watts.unwrap_or(-1.0)).collect();
    assert_eq!((rows.as_slice(), share), (expected, known));
}

#[test]
fn a_meter_is_drawn_as_what_it_measured_beyond_those_below() {
    check(&[("m", 100.0), ("m.a", 60.0), ("m.b", 30.0), ("z", 7.0)], &[10.0, 60.0, 30.0, 7.0], 1.0);
    check(&[("m", 100.0), ("m.a", -1.0), ("m.b", 30.0)], &[70.0, -1.0, 30.0], 1.0);
}

#[test]
fn below_a_meter_that_measured_less_all_is_drawn_so_much_smaller() {
    check(&[("m", 90.0), ("m.a", 80.0), ("m.b", 40.0)], &[0.0, 60.0, 30.0], 1.0);
    // With all that is below those.
    check(&[("m", 50.0), ("m.s", 100.0), ("m.s.x", 40.0)], &[0.0, 30.0, 20.0], 1.0);
    check(&[("m", 50.0), ("m.s", 100.0), ("m.s.x", 400.0)], &[0.0, 0.0, 50.0], 1.0);
    check(&[("m", 0.0), ("m.a", 80.0)], &[0.0, 0.0], 1.0);
}

#[test]
fn those_below_a_meter_that_measured_nothing_stand_in_for_it() {
    check(&[("m", -1.0), ("m.a", 60.0), ("m.b", -1.0)], &[-1.0, 60.0, -1.0], 0.5);
    check(&[("m", 100.0), ("m.s", -1.0), ("m.s.x", 40.0)], &[60.0, -1.0, 40.0], 1.0);
    check(&[("m", 20.0), ("m.s", -1.0), ("m.s.x", 40.0)], &[0.0, -1.0, 20.0], 1.0);
    check(&[("m", -1.0), ("m.s", -1.0), ("m.s.x", 40.0), ("m.s.y", -1.0)], &[-1.0, -1.0, 40.0, -1.0], 0.5);
}

#[test]
fn a_group_is_drawn_as_its_meter_reports() {
    let ids = [ProbeId::new("m").unwrap()];
    let mut rests = Rests::new(&ids);
    let power = Series::whole(60, 60, vec![Some(120.0), Some(10.0)]);
    rests.add_group(0, &power, &[0.5, 1.0], 4);
    rests.add_probes(&ids, |_| true, |_| Series::default());
    let own = Series::whole(60, 60, vec![Some(30.0), Some(30.0)]);
    assert_eq!(rests.drawn(0, own).watts, [Some(0.0), Some(20.0)]);
    assert_eq!(rests.drawn_below(Some(0), power).watts, [Some(30.0), Some(10.0)]);
    let mut known = KnownTops::default();
    known.add(&Series::default(), rests.below(0));
    assert_eq!(known.shares(&Series::whole(60, 60, vec![None; 2])), [0.5, 1.0]);
}

proptest! {
    #[test]
    fn the_stack_is_the_sum_and_no_part_of_it_less_than_nothing(
        tree in prop::collection::btree_map("[ab](\\.[ab]){0,3}", prop::option::of(0.0..1e6_f64), 1..20)
    ) {
        let probes: Vec<(&str, Option<f64>)> = tree.iter().map(|(name, watts)| (name.as_str(), *watts)).collect();
        let ids: Vec<ProbeId> = probes.iter().map(|(name, _)| ProbeId::new(name).unwrap()).collect();
        let above = meters_above(&ids);
        let mut whole: Vec<Option<f64>> = vec![None; probes.len()];
        let mut tops = 0.0;
        for at in (0..probes.len()).rev() {
            let own = probes[at].1.or(whole[at]);
            match (above[at], own) {
                (Some(meter), Some(own)) => whole[meter] = Some(whole[meter].unwrap_or_default() + own),
                (None, Some(own)) => tops += own,
                (_, None) => {}
            }
        }
        let (rows, _) = drawn(&probes);
        prop_assert!(rows.iter().flatten().all(|watts| *watts >= 0.0), "{rows:?}");
        let sum: f64 = rows.iter().flatten().sum();
        prop_assert!((sum - tops).abs() < 1e-6 * tops.max(1.0), "{sum} {tops} {rows:?}");
    }
}
