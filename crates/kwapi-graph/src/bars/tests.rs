use jiff::tz::TimeZone;
use proptest::prelude::*;
use resvg::usvg::roxmltree::Document;

use super::*;

/// 2026-10-24 22:00:00 UTC: midnight in Paris, before a day of 25 hours.
const BEGIN: u64 = 1_792_879_200;

/// As a picture this wide.
fn draw(words: &str, step: BarStep, bars: &[EnergyBar], width: u16) -> String {
    let size = Size { width, height: 180, framed: false };
    draw_bars(words, step, bars, size, &TimeZone::get("Europe/Paris").unwrap())
}

fn bar(start: u64, parts: [f64; 3], is_unknown: bool) -> EnergyBar {
    let [measured_kwh, estimated_kwh, bridged_kwh] = parts;
    EnergyBar {
        start,
        measured_kwh,
        estimated_kwh,
        bridged_kwh,
        is_unknown,
        words: "<b> & \"so\"".to_owned(),
    }
}

/// How often each class occurs in a picture, and what is written in it.
fn seen(svg: &str) -> (Vec<(String, usize)>, Vec<String>) {
    let document = Document::parse(svg).unwrap();
    let mut classes = std::collections::BTreeMap::new();
    for node in document.descendants() {
        *classes.entry(node.attribute("class").unwrap_or_default().to_owned()).or_default() += 1;
    }
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    (classes.into_iter().collect(), texts.map(|text| text.text().unwrap_or_default().to_owned()).collect())
}

#[test]
fn each_status_has_its_form_and_what_is_absent_has_none() {
    let count = |bar: EnergyBar, class: &str| {
        let svg = draw("all", BarStep::Day, &[bar], 400);
        let (classes, _) = seen(&svg);
        let found = classes.into_iter().find(|(name, _)| name == class).map_or(0, |(_, count)| count);
        (found, svg.contains("stroke-dasharray"))
    };
    assert_eq!(count(bar(BEGIN, [1.0, 0.0, 0.0], false), "kw-bar"), (1, false));
    assert_eq!(count(bar(BEGIN, [0.0, 1.0, 0.0], false), "kw-bar"), (0, false));
    assert_eq!(count(bar(BEGIN, [0.0, 1.0, 0.0], false), "kw-line"), (1, false));
    assert_eq!(count(bar(BEGIN, [1.0, 1.0, 1.0], false), "kw-line"), (2, true));
    assert_eq!(count(bar(BEGIN, [0.0; 3], false), "kw-hatch"), (0, false));
    assert_eq!(count(bar(BEGIN, [0.0; 3], true), "kw-hatch"), (1, false));
}

#[test]
fn labels_are_those_of_the_calendar_and_never_overlap() {
    let texts = |step, bars: &[EnergyBar], width| seen(&draw("all", step, bars, width)).1;
    let days: Vec<EnergyBar> = [0, 25, 49, 73, 97, 121, 145, 169, 193]
        .map(|hours: u64| bar(BEGIN + hours * 3_600, [2.0, 0.0, 0.0], false))
        .into();
    let wide = texts(BarStep::Day, &days, 900);
    assert_eq!(wide[wide.len() - 9..], ["25 Oct", "26", "27", "28", "29", "30", "31", "1 Nov", "2"]);
    assert_eq!(wide[..4], ["0", "1", "2", "3 kWh"]);
    assert!(texts(BarStep::Day, &days, 150).len() < wide.len());
    let months =
        [0, 30, 61, 92].map(|days: u64| bar(BEGIN + 3_600 + (7 + days) * 86_400, [2.0, 0.0, 0.0], false));
    let labels = texts(BarStep::Month, &months, 600);
    assert_eq!(labels[labels.len() - 4..], ["Nov", "Dec", "2027", "Feb"]);
}

proptest! {
    #[test]
    fn whatever_is_drawn_is_well_formed_and_stays_in_the_picture(
        parts in proptest::collection::vec((any::<f64>(), 0.0..1e9, any::<f64>(), any::<bool>(), any::<u64>()), 0..50),
        words in "\\PC{0,20}",
        width in 20_u16..1_200,
    ) {
        let bars: Vec<EnergyBar> =
            parts.into_iter().map(|(a, b, c, is_unknown, start)| bar(start, [a, b, c], is_unknown)).collect();
        let svg = draw(&words, BarStep::Day, &bars, width);
        let document = Document::parse(&svg).unwrap();
        prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        for path in document.descendants().filter_map(|node| node.attribute("d")) {
            for number in path.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').filter(|text| !text.is_empty()) {
                let number: f64 = number.parse().unwrap();
                prop_assert!((-1.0..=f64::from(width).max(200.0) + 1.0).contains(&number), "{}", path);
            }
        }
    }
}
