use jiff::tz::TimeZone;
use kwapi_core::Series;
use proptest::prelude::*;
use resvg::usvg::roxmltree::Document;

use super::stack::BANDS_MAX;
use super::*;

/// 2026-11-23 10:00:00 UTC.
const NOW: u64 = 1_795_428_000;

/// A graph whose legend is that of its averages.
fn draw(
    name: &str,
    period: Period,
    series: &Series,
    now: u64,
    last_seen: Option<u64>,
    look: &Look,
) -> String {
    draw_probe(name, period, series, Figures::of(series, now), now, last_seen, look)
}

fn look(size: Size, theme: Theme) -> Look {
    let tariff = Tariff { currency: "EUR".to_owned(), price_per_kwh: 0.25 };
    Look { size, theme, zone: TimeZone::UTC, power_max: None, hue: HUE_DEFAULT, tariff: Some(tariff) }
}

/// A series that ends at `NOW`, row by row.
fn series(period: Period, watts: impl Fn(usize) -> Option<f64>) -> Series {
    let step = period.step_seconds();
    let start = NOW / step * step - step * period.rows() as u64;
    Series::whole(start, step, (0..period.rows()).map(watts).collect())
}

/// Ten-second rows of a machine that idles at 80 W, works at 120 W, and says nothing for a quarter of an hour.
fn hour() -> Series {
    series(Period::Hour, |row| match row {
        0..60 => Some(80.0),
        60..180 => Some(120.0),
        180..270 => None,
        _ => Some(80.5),
    })
}

/// Every `d` of a path with this class, in order.
fn paths(svg: &str, class: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap();
    let nodes = document.descendants().filter(|node| node.attribute("class") == Some(class));
    nodes.filter_map(|node| node.attribute("d").map(str::to_owned)).collect()
}

#[test]
fn a_probe_graph_is_drawn_as_it_was_agreed() {
    insta::assert_snapshot!(draw("A", Period::Hour, &hour(), NOW, None, &look(Size::PROBE, Theme::Alone)));
}

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
    let drawn = draw_summary(Period::Hour, &stacked, NOW, &look(Size::SUMMARY, Theme::Alone));
    assert_eq!(drawn.matches("kw-edge\" fill").count(), BANDS_MAX);
    assert!(drawn.contains("<title>15 others</title>") && drawn.contains("<title>r25: "), "{drawn}");
}

#[test]
fn a_summary_is_drawn_as_it_was_agreed() {
    let mut stack = StackedSum::new(Period::Week, NOW);
    stack.add("node-10", &series(Period::Week, |row| Some(100.0 + row as f64)));
    stack.add("node-2", &series(Period::Week, |row| (row > 40).then_some(50.0)));
    let look = look(Size { width: 400, height: 150, framed: false }, Theme::Page);
    insta::assert_snapshot!(draw_summary(Period::Week, &stack.finish(), NOW, &look));
}

#[test]
fn unknown_time_is_shaded_and_no_line_crosses_it() {
    let svg = draw("A", Period::Hour, &hour(), NOW, None, &look(Size::PROBE, Theme::Alone));
    let line = paths(&svg, "kw-line").concat();
    assert_eq!(line.matches('M').count(), 2, "the pen is lifted once: {line}");
    assert_eq!(paths(&svg, "kw-area").concat().matches('Z').count(), 2);
    assert_eq!(paths(&svg, "kw-gap").concat().matches('Z').count(), 1);
}

#[test]
fn zero_watts_are_drawn_and_are_no_gap() {
    let svg = draw(
        "A",
        Period::Hour,
        &series(Period::Hour, |_| Some(0.0)),
        NOW,
        None,
        &look(Size::PROBE, Theme::Alone),
    );
    assert!(paths(&svg, "kw-gap").is_empty());
    assert_eq!(paths(&svg, "kw-line").len(), 1);
    assert!(svg.contains("minimum 0.0 W"), "{svg}");
}

#[test]
fn a_legend_says_the_peak_that_averages_hide_and_the_axis_follows_the_line() {
    let look = look(Size::PROBE, Theme::Alone);
    let figures = Figures::of(&hour(), NOW).reaching(12.0, 2_000.0);
    let with_peak = draw_probe("A", Period::Hour, &hour(), figures, NOW, None, &look);
    assert!(with_peak.contains("minimum 12.0 W, maximum 2000.0 W"), "{with_peak}");
    let plain = draw("A", Period::Hour, &hour(), NOW, None, &look);
    assert_eq!(paths(&with_peak, "kw-line"), paths(&plain, "kw-line"));
}

#[test]
fn an_empty_graph_says_so_and_when_it_last_was_not() {
    let empty = Series { watts: Vec::new(), ..hour() };
    let drawn = |last_seen| draw("A", Period::Hour, &empty, NOW, last_seen, &look(Size::PROBE, Theme::Alone));
    assert!(drawn(None).contains("No data yet, one row per 10 seconds"));
    assert!(drawn(Some(NOW - 86_400)).contains("No data, last measured 22 Nov 2026, 10:00"));
    assert!(paths(&drawn(None), "kw-line").is_empty());
}

#[test]
fn energy_counts_unknown_time_as_nothing_and_the_average_leaves_it_out() {
    let figures = Figures::of(&Series::whole(0, 3_600, vec![Some(100.0), None, Some(300.0)]), NOW);
    assert_eq!(figures.average, Some(200.0));
    assert_eq!(figures.energy, EnergyFigure::Known(0.4));
    assert_eq!((figures.min, figures.max, figures.last), (Some(100.0), Some(300.0), Some(300.0)));
    assert_eq!(figures.known_seconds, 7_200);
}

#[test]
fn of_a_row_in_progress_only_the_past_counts() {
    let figures = Figures::of(&Series::whole(NOW, 3_600, vec![Some(100.0)]), NOW + 36);
    assert_eq!((figures.energy, figures.known_seconds), (EnergyFigure::Known(0.001), 36));
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
    let svg = draw_summary(Period::Hour, &stacked, NOW, &look(Size::SUMMARY, Theme::Alone));
    assert_eq!((paths(&svg, "kw-edge").len(), paths(&svg, "kw-others").len()), (BANDS_MAX, 1));
    assert!(svg.contains("980 others"));
}

#[test]
fn a_sum_that_lacks_a_probe_is_marked() {
    let mut stack = StackedSum::new(Period::Hour, NOW);
    stack.add("A", &series(Period::Hour, |_| Some(1.0)));
    stack.add("B", &hour());
    let svg = draw_summary(Period::Hour, &stack.finish(), NOW, &look(Size::SUMMARY, Theme::Alone));
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
fn ids_sort_as_people_sort_them() {
    let mut ids = [
        "node-10",
        "node-2",
        "b",
        "node-2.9",
        "a/b",
        "node-02",
        "node-a",
        "node-100",
        "nœud-🔌",
        "node-2.10",
    ];
    ids.sort_by(|a, b| natural_order(a, b));
    let expected = [
        "a/b",
        "b",
        "node-02",
        "node-2",
        "node-2.9",
        "node-2.10",
        "node-10",
        "node-100",
        "node-a",
        "nœud-🔌",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn powers_beside_each_other_share_a_unit() {
    let texts = watts_texts([Some(48_000.0), Some(100_000.0), Some(61_234.5), None]);
    assert_eq!(texts, ["48.0 kW", "100.0 kW", "61.2 kW", "–"]);
    assert_eq!(watts_texts([Some(3.0), Some(2.5e8), Some(0.0)]), ["0.000 MW", "250.0 MW", "0.0 MW"]);
    assert_eq!(watts_texts([Some(40.0), Some(99_999.0)]), [watts_text(40.0), watts_text(99_999.0)]);
    assert_eq!(watts_texts([None, None]), ["–", "–"]);
}

#[test]
fn figures_read_as_people_write_them() {
    let figures = [watts_text(94.04), watts_text(12_345.67), watts_text(123_456.0), watts_text(4.5e8)];
    assert_eq!(figures, ["94.0 W", "12\u{a0}345.7 W", "123.5 kW", "450.0 MW"]);
    let energy = [energy_text(0.007_12), energy_text(12.345_6), energy_text(12_345.6), energy_text(2.5e6)];
    assert_eq!(energy, ["0.0071 kWh", "12.346 kWh", "12\u{a0}345.6 kWh", "2500.0 MWh"]);
    assert_eq!([cost_text(12.345, "€"), cost_text(0.001_8, "EUR")], ["12.35 €", "0.0018 EUR"]);
}

#[test]
fn a_png_has_the_size_asked_for_and_text_on_it() {
    let size = |png: &[u8]| {
        let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        (side(16), side(20))
    };
    let with_text = draw("A", Period::Hour, &hour(), NOW, None, &look(Size::PROBE, Theme::Light));
    let drawn = png(&with_text, 1).unwrap();
    assert_eq!(size(&drawn), (497, 187));
    assert_eq!(size(&png(&with_text, 2).unwrap()), (994, 374));
    let without: String = with_text.replace("<text", "<metadata").replace("</text", "</metadata");
    assert!(drawn.len() > png(&without, 1).unwrap().len() + 1_000, "the font draws something");
}

/// A machine whose watts differ a little from row to row, and whose load changes now and then.
fn busy(seed: usize) -> Series {
    series(Period::Minute, |row| {
        let (noise, load) = ((row + seed) * 7_919 % 3, (row + 17 * seed) / 60 % 3);
        Some(100.0 + noise as f64 + 40.0 * load as f64)
    })
}

#[test]
fn pictures_are_no_larger_than_the_original_s() {
    let probe = draw("A", Period::Minute, &busy(0), NOW, None, &look(Size::PROBE, Theme::Alone));
    let mut stack = StackedSum::new(Period::Minute, NOW);
    for node in 0..8 {
        stack.add(&format!("rack-3.node-{node}"), &busy(node * 13));
    }
    let summary = draw_summary(Period::Minute, &stack.finish(), NOW, &look(Size::SUMMARY, Theme::Alone));
    let [probe, summary] = [probe, summary].map(|svg| png(&svg, 1).unwrap().len());
    assert!(probe <= 12 << 10, "a probe's graph has {probe} bytes");
    assert!(summary <= 24 << 10, "the summary graph has {summary} bytes");
}

#[test]
fn every_class_drawn_has_a_colour_in_each_theme() {
    let svg = draw("A", Period::Hour, &hour(), NOW, None, &look(Size::PROBE, Theme::Alone));
    let document = Document::parse(&svg).unwrap();
    let style =
        document.descendants().find_map(|node| node.has_tag_name("style").then(|| node.text())).flatten();
    let style = style.unwrap();
    for node in document.descendants() {
        let Some(class) = node.attribute("class").filter(|class| *class != "kw-graph") else { continue };
        assert_eq!(style.matches(&format!(".{class}{{")).count(), 2, "light and dark of {class}");
    }
}

fn any_watts() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(None), any::<f64>().prop_map(Some), (0.0..2_000.0).prop_map(Some)]
}

proptest! {
    #[test]
    fn any_id_and_any_rows_give_well_formed_xml(
        name in any::<String>(),
        currency in any::<String>(),
        watts in prop::collection::vec(any_watts(), 0..400),
        start in prop_oneof![Just(NOW - 3_600), any::<u64>()],
        step in prop_oneof![Just(10), any::<u64>()],
        now in prop_oneof![Just(NOW), any::<u64>()],
        power_max in prop::option::of(any::<f64>()),
        price_per_kwh in any::<f64>(),
    ) {
        let series = Series::whole(start, step, watts);
        for (size, theme) in [
            (Size::PROBE, Theme::Alone),
            (Size { width: 1, height: 1, framed: true }, Theme::Light),
            (Size { width: 400, height: 140, framed: false }, Theme::Page),
        ] {
            let tariff = Some(Tariff { currency: currency.clone(), price_per_kwh });
            let look = Look { power_max, hue: price_per_kwh, tariff, ..look(size, theme) };
            for period in Period::ALL {
                let svg = draw(&name, period, &series, now, Some(start), &look);
                let parsed = Document::parse(&svg);
                prop_assert!(parsed.is_ok(), "{parsed:?} in {svg}");
                prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                let mut stack = StackedSum::new(period, now);
                stack.add(&name, &series);
                stack.add("B", &series);
                let svg = draw_summary(period, &stack.finish(), now, &look);
                prop_assert!(Document::parse(&svg).is_ok(), "{svg}");
            }
        }
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(watts in prop::collection::vec(any_watts(), 0..360)) {
        let series = Series { watts, ..hour() };
        let look = look(Size::PROBE, Theme::Alone);
        let drawn = || draw("A", Period::Hour, &series, NOW, None, &look);
        prop_assert_eq!(drawn(), drawn());
    }
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

#[test]
fn a_range_shows_the_least_the_mean_and_the_most_of_each_row() {
    let (start, end) = (NOW - 1_790, NOW - 1_000);
    let range = GraphRange { start, end, words: "<Monday>" };
    let means = Series::whole(NOW - 1_800, 300, vec![Some(100.0), None, Some(80.0)]);
    let ends = [Some((90.0, 140.0)), None, Some((80.0, 80.0))];
    let figures = Figures { max: Some(140.0), min: Some(80.0), ..Figures::of(&means, NOW) };
    let page = look(Size { width: 1_120, height: 240, framed: false }, Theme::Page);
    let svg = draw_range("a&b", &range, &means, &ends, &[], figures, &page);
    let parsed = Document::parse(&svg).unwrap();
    let attribute = |name: &str| parsed.root_element().attribute(name).unwrap().to_owned();
    assert!(attribute("aria-label").starts_with("a&b, <Monday>: minimum 80.0 W, maximum 140.0 W"), "{svg}");
    assert!(attribute("data-plot").ends_with(&format!(" {start} {end}")), "{svg}");
    assert_eq!(
        ["data-least", "data-watts", "data-most"].map(attribute),
        ["90.0,,80.0", "100.0,,80.0", "140.0,,80.0"]
    );
    // A row whose power did not change has no band, and the line does not cross the unknown one.
    let path = |class: &str| {
        let path = parsed.descendants().find(|node| node.attribute("class") == Some(class)).unwrap();
        path.attribute("d").unwrap().matches('M').count()
    };
    assert_eq!((path("kw-area"), path("kw-line"), path("kw-gap")), (1, 2, 1), "{svg}");
    let none = Series::whole(NOW - 1_800, 300, vec![None; 3]);
    let svg = draw_range("a", &range, &none, &[None; 3], &[], Figures::default(), &page);
    assert!(svg.contains("no power is known of this time") && !svg.contains("data-watts"), "{svg}");
    Document::parse(&svg).unwrap();
}
