//! Sums of probes: which have a band, and from when until when a sum is whole.

use super::*;
use crate::stack::BANDS_MAX;

#[test]
fn probes_that_share_a_band_are_one_and_the_smallest_bands_are_the_others() {
    let mut stack = StackedSum::new(Period::Hour, NOW);
    for rack in 1..=25_u32 {
        for node in 1..=3 {
            // A row that one of the three lacks has the other two.
            let watts = |row: usize| (row != 7 || node != 3).then(|| f64::from(rack));
            let series = series(Period::Hour, watts);
            stack.add_below(
                &format!("r{rack}"),
                &series,
                (node < 3).then(|| EnergyFigure::Known(f64::from(rack))),
            );
        }
    }
    let stacked = stack.finish();
    let names: Vec<&str> = stacked.bands.iter().map(|band| band.name.as_str()).collect();
    assert_eq!((names[0], names[19], names.len()), ("r6", "r25", BANDS_MAX));
    assert_eq!((stacked.probes, stacked.others), (75, 15));
    let band = &stacked.bands[0];
    assert_eq!((band.watts[6], band.watts[7]), (Some(18.0), Some(12.0)));
    assert!((band.energy.kwh().unwrap() - 12.0 - 0.006).abs() < 1e-4, "{:?}", band.energy);
    assert_eq!(stacked.position("r6.node-2"), Some(0));
    assert_eq!([stacked.position("r1.node-1"), stacked.position("r60")], [None, None]);
    let drawn = draw_summary(Period::Hour, &stacked, &[], NOW, &look(Size::SUMMARY, Theme::Alone));
    assert_eq!(drawn.matches("kw-edge\" fill").count(), BANDS_MAX);
    assert!(drawn.contains("<title>15 others</title>") && drawn.contains("<title>r25: "), "{drawn}");
}

#[test]
fn a_group_stands_for_its_probes() {
    let (mut one, mut all) = (StackedSum::new(Period::Hour, NOW), StackedSum::new(Period::Hour, NOW));
    let own = series(Period::Hour, |row| (row != 7).then_some(4.0));
    let other = series(Period::Hour, |row| Some(f64::from(row as u32)));
    for stack in [&mut one, &mut all] {
        stack.add_below("r1", &other, Some(EnergyFigure::Known(1.0)));
    }
    for _ in 0..3 {
        all.add_below("r2", &own, Some(EnergyFigure::Known(2.0)));
    }
    let together = series(Period::Hour, |row| (row != 7).then_some(12.0));
    let shares: Vec<f64> = together.watts.iter().map(|watts| watts.map_or(0.0, |_| 1.0)).collect();
    one.add_group("r2", &together, &shares, 3, EnergyFigure::Known(6.0));
    let (one, all) = (one.finish(), all.finish());
    assert_eq!((&one.bands, &one.known, one.probes, one.others), (&all.bands, &all.known, 4, 0));
    assert_eq!(one.total.watts, all.total.watts);
    assert!((one.energy_kwh - all.energy_kwh).abs() < 1e-9);
}

#[test]
fn a_sum_counts_each_probe_for_the_time_it_is_known() {
    let mut stack = StackedSum::new(Period::Year, NOW);
    let row = NOW / 604_800 * 604_800;
    let of = |known| Series { partial: vec![(0, known)], ..Series::whole(row, 604_800, vec![Some(100.0)]) };
    stack.add("A", &of(36_000));
    stack.add("B", &of(36));
    let stacked = stack.finish();
    let figures = stacked.figures(NOW);
    assert!((figures.energy.kwh().unwrap() - 1.001).abs() < 1e-12, "{figures:?}");
    assert_eq!((figures.known_seconds, figures.average.map(f64::round)), (36_000, Some(100.0)));
    assert_eq!(stacked.bands[1].energy, EnergyFigure::Known(0.001));
}

#[test]
fn the_sum_of_the_bands_and_the_others_is_the_total() {
    let mut stack = StackedSum::new(Period::Hour, NOW);
    for probe in 0..1_000 {
        stack.add(&format!("node-{probe}"), &series(Period::Hour, |_| Some(f64::from(probe))));
    }
    let stacked = stack.finish();
    assert_eq!((stacked.bands.len(), stacked.others, stacked.probes), (BANDS_MAX, 980, 1_000));
    assert_eq!(stacked.total.watts[0], Some(499_500.0));
    assert_eq!(stacked.bands[0].name, "node-980", "the largest have bands, in the order of their ids");
    assert_eq!(stacked.bands[19].name, "node-999");
    let svg = draw_summary(Period::Hour, &stacked, &[], NOW, &look(Size::SUMMARY, Theme::Alone));
    assert_eq!((paths(&svg, "kw-edge").len(), paths(&svg, "kw-others").len()), (BANDS_MAX, 1));
    assert!(svg.contains("980 others"));
}

#[test]
fn a_sum_that_lacks_a_probe_is_marked() {
    let mut stack = StackedSum::new(Period::Hour, NOW);
    stack.add("A", &series(Period::Hour, |_| Some(1.0)));
    stack.add("B", &hour());
    let svg = draw_summary(Period::Hour, &stack.finish(), &[], NOW, &look(Size::SUMMARY, Theme::Alone));
    let marked = paths(&svg, "kw-partial");
    assert_eq!(marked.len(), 1, "one stretch");
    let gap =
        paths(&draw("B", Period::Hour, &hour(), NOW, None, &look(Size::SUMMARY, Theme::Alone)), "kw-gap");
    let width = |path: &str| {
        let edges: Vec<f64> =
            path.split(['M', ' ', 'H', 'V', 'Z']).filter_map(|text| text.parse().ok()).collect();
        (edges[2] - edges[0]).round()
    };
    assert_eq!(width(&marked[0]), 161.0);
    assert!((width(&marked[0]) - width(&gap[0])).abs() <= 3.0, "as wide as the gap, but for the axis labels");
    assert!(paths(&svg, "kw-gap").is_empty());
}

#[test]
fn the_newest_second_of_a_sum_waits_for_meters_that_are_read_later_in_it() {
    let mut stack = StackedSum::new(Period::Minute, NOW);
    let begin = NOW - 60;
    let of = |known: usize| {
        let watts = (0..60).map(|second| (second < known).then_some(100.0)).collect();
        Series::whole(begin, 1, watts)
    };
    for (name, known) in [("read already", 60), ("read later", 59), ("every 5 s", 57), ("silent", 40)] {
        stack.add(name, &of(known));
    }
    let stacked = stack.finish();
    let figures = stacked.figures(NOW);
    assert_eq!((figures.last, figures.min), (Some(300.0), Some(300.0)), "{:?}", stacked.known);
    assert!(stacked.known.ends_with(&[3, 0, 0, 0]), "{:?}", stacked.known);
    assert!(stacked.bands.iter().all(|band| band.watts.ends_with(&[None; 3])), "{:?}", stacked.bands);
}

/// The first second has the probe that is read first alone, at the start and after every stop.
#[test]
fn the_first_seconds_of_a_sum_wait_for_meters_that_are_read_later() {
    let mut stack = StackedSum::new(Period::Minute, NOW);
    for (name, second_read) in [("first", 0), ("second", 1), ("third", 4)] {
        let is_known = |second: usize| (second_read + 20..30).contains(&second) || second >= second_read + 40;
        let watts = (0..60).map(|second| is_known(second).then_some(100.0)).collect();
        stack.add(name, &Series::whole(NOW - 60, 1, watts));
    }
    let stacked = stack.finish();
    let figures = stacked.figures(NOW);
    let expected = (Some(300.0), Some(300.0), Some(300.0));
    assert_eq!((figures.min, figures.average, figures.max), expected, "{:?}", stacked.known);
    let begin = stacked.known.len() - 60;
    let known: Vec<usize> = (0..60).filter(|row| stacked.known[begin + row] > 0).collect();
    assert_eq!(known, (24..30).chain(44..60).collect::<Vec<_>>());
    // What they used counts all the same.
    let joules = 100.0 * f64::from(10 + 9 + 6 + 20 + 19 + 16);
    assert!((figures.energy.kwh().unwrap() * 3.6e6 - joules).abs() < 1e-6, "{figures:?}");
}

/// A window that begins in the middle of history begins with whoever measured then.
#[test]
fn a_meter_that_is_new_takes_nothing_of_the_sum_before_it() {
    let mut stack = StackedSum::new(Period::Minute, NOW);
    for (name, from) in [("old", 0), ("new", 5)] {
        let watts = (0..300).map(|second| (second >= from).then_some(100.0)).collect();
        stack.add(name, &Series::whole(NOW - 300, 1, watts));
    }
    let stacked = stack.finish();
    assert!(stacked.known.starts_with(&[1, 1, 1, 1, 1, 2]), "{:?}", stacked.known);
}
