mod sums;

use jiff::tz::TimeZone;
use kwapi_core::Series;
use proptest::prelude::*;
use resvg::usvg::roxmltree::Document;

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

/// Ten-second rows of a machine that idles at 80 W, works at 120 W, and sends nothing for a quarter of an hour.
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
fn a_summary_is_drawn_as_it_was_agreed() {
    let mut stack = StackedSum::new(Period::Week, NOW);
    stack.add("node-10", &series(Period::Week, |row| Some(100.0 + row as f64)));
    stack.add("node-2", &series(Period::Week, |row| (row > 40).then_some(50.0)));
    let look = look(Size { width: 400, height: 150, framed: false }, Theme::Page);
    insta::assert_snapshot!(draw_summary(Period::Week, &stack.finish(), &[], NOW, &look));
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
fn a_legend_reports_the_peak_that_averages_hide_and_the_axis_follows_the_line() {
    let look = look(Size::PROBE, Theme::Alone);
    let figures = Figures::of(&hour(), NOW).reaching(12.0, 2_000.0);
    let with_peak = draw_probe("A", Period::Hour, &hour(), figures, NOW, None, &look);
    assert!(with_peak.contains("minimum 12.0 W, maximum 2000.0 W"), "{with_peak}");
    let plain = draw("A", Period::Hour, &hour(), NOW, None, &look);
    assert_eq!(paths(&with_peak, "kw-line"), paths(&plain, "kw-line"));
}

#[test]
fn an_empty_graph_reports_it_and_when_it_last_was_not() {
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

proptest! {
    #[test]
    fn ids_are_ordered_by_their_numbers_whatever_they_have_in_common(
        a in "[a-bé.]{0,2}[0-9]{0,3}[é.]{0,1}[0-9]{0,3}",
        b in "[a-bé.]{0,2}[0-9]{0,3}[é.]{0,1}[0-9]{0,3}",
    ) {
        // Runs of digits and single other characters, one after the other.
        let parts = |text: &str| -> Vec<Result<u64, char>> {
            let mut parts: Vec<Result<u64, char>> = Vec::new();
            let mut is_number = false;
            for character in text.chars() {
                match (character.to_digit(10).map(u64::from), is_number, parts.last_mut()) {
                    (Some(digit), true, Some(Ok(number))) => *number = *number * 10 + digit,
                    (Some(digit), ..) => parts.push(Ok(digit)),
                    (None, ..) => parts.push(Err(character)),
                }
                is_number = character.is_ascii_digit();
            }
            parts
        };
        // A number stands where its first digit would.
        let by_part = |a: &Result<u64, char>, b: &Result<u64, char>| match (a, b) {
            (Ok(a), Ok(b)) => a.cmp(b),
            (Err(a), Err(b)) => a.cmp(b),
            (Ok(_), Err(b)) => '0'.cmp(b),
            (Err(a), Ok(_)) => a.cmp(&'0'),
        };
        let (of_a, of_b) = (parts(&a), parts(&b));
        let different = of_a.iter().zip(&of_b).map(|(a, b)| by_part(a, b)).find(|order| order.is_ne());
        let expected = different.unwrap_or(of_a.len().cmp(&of_b.len())).then_with(|| a.cmp(&b));
        prop_assert_eq!(natural_order(&a, &b), expected);
    }
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
fn a_png_has_the_size_requested_and_text_on_it() {
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
    let summary = draw_summary(Period::Minute, &stack.finish(), &[], NOW, &look(Size::SUMMARY, Theme::Alone));
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
                let svg = draw_summary(period, &stack.finish(), &[], now, &look);
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
