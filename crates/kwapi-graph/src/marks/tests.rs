use jiff::tz::TimeZone;
use kwapi_core::Period;
use resvg::usvg::roxmltree::Document;

use super::*;
use crate::{
    Figures, GraphRange, HUE_DEFAULT, Look, Size, StackedSum, Theme, draw_marked_probe, draw_probe,
    draw_range, draw_summary, png,
};

/// 2026-11-23 10:00:00 UTC.
const START: u64 = 1_795_428_000;

fn marks(letters: &str) -> Vec<RowMark> {
    let status = |letter: char| match letter {
        'e' => RowStatus::Estimated,
        'b' => RowStatus::Bridged,
        'u' => RowStatus::Unknown,
        'a' => RowStatus::Absent,
        _ => RowStatus::Measured,
    };
    let mark = |letter| RowMark { bridged: (letter == 'b').then_some(150.0), ..RowMark::of(status(letter)) };
    letters.chars().map(mark).collect()
}

fn look(size: Size, theme: Theme) -> Look {
    Look { size, theme, zone: TimeZone::UTC, power_max: None, hue: HUE_DEFAULT, tariff: None }
}

/// A range of rows of ten minutes with these marks, a letter each.
fn draw(letters: &str) -> String {
    let marks = marks(letters);
    let watts = letters.chars().map(|letter| matches!(letter, 'm' | 'e').then_some(200.0)).collect();
    let means = Series::whole(START, 600, watts);
    let ends: Vec<_> =
        means.watts.iter().map(|watts| watts.map(|watts| (watts - 10.0, watts + 10.0))).collect();
    let end = START + 600 * letters.len() as u64;
    let range = GraphRange { start: START, end, words: "today" };
    let size = Size { width: 1_120, height: 240, framed: false };
    let look = look(size, Theme::Page);
    let figures = Figures { max: Some(210.0), ..Figures::of(&means, end) };
    let svg = draw_range("a", &range, &means, &ends, &marks, figures, &look);
    Document::parse(&svg).unwrap();
    svg
}

#[track_caller]
fn count(svg: &str, class: &str, expected: usize) {
    assert_eq!(svg.matches(&format!("class=\"{class}\"")).count(), expected, "{class}: {svg}");
}

#[test]
fn each_status_has_its_form_its_place_in_the_lane_and_its_name() {
    let svg = draw("mmmmeeeeuuuubbbbmmmmaaaa");
    assert!(svg.len() < 12_000, "{}", svg.len());
    for (class, expected) in [
        ("kw-hatched", 1),
        ("kw-gap", 1),
        ("kw-bridged", 2),
        ("kw-strokes", 1),
        ("kw-sure", 1),
        ("kw-frame", 2),
    ] {
        count(&svg, class, expected);
    }
    // A line of what was measured, and a dotted one of what was estimated, which has no band.
    count(&svg, "kw-line", 2);
    assert_eq!(svg.matches("stroke-dasharray=\"2 3\"").count(), 1, "{svg}");
    let band = svg.split("class=\"kw-area\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(band.matches('M').count(), 8, "{band}");
    for word in ["estimated", "unknown", "bridged"] {
        assert_eq!(svg.matches(&format!(">{word}</text>")).count(), 1, "{word}: {svg}");
    }
    assert!(svg.contains("data-status=\"mmmmeeeeuuuubbbbmmmmaaaa\""), "{svg}");
    let title = "; estimated from 10:40 to 11:20; unknown from 11:20 to 12:00; bridged from 12:00 to 12:40; absent from 13:20 to 14:00\"";
    assert!(svg.contains(title), "{svg}");
}

#[test]
fn what_does_not_occur_is_not_shown_and_many_stretches_are_counted() {
    let svg = draw("mmmmmm");
    count(&svg, "kw-sure", 1);
    for class in ["kw-hatched", "kw-gap", "kw-bridged", "kw-strokes", "kw-frame"] {
        count(&svg, class, 0);
    }
    let many = draw(&"mu".repeat(200));
    assert!(many.contains("; and 194 more such stretches\""), "{many}");
    assert!(!many.contains(">unknown</text>"), "too narrow for a name: {many}");
}

/// A period that ends at [`START`], of rows with these marks, repeated; what has a power draws some 200 W.
fn draw_period(period: Period, letters: &str, size: Size, theme: Theme) -> String {
    let letters: String = letters.chars().cycle().take(period.rows()).collect();
    let watts = |(row, letter): (usize, char)| {
        matches!(letter, 'm' | 'e').then_some(200.0 + (row * 7_919 % 3) as f64 + 40.0 * (row / 60 % 3) as f64)
    };
    let watts = letters.chars().enumerate().map(watts).collect();
    let step = period.step_seconds();
    let series = Series::whole(START - step * period.rows() as u64, step, watts);
    let figures = Figures::of(&series, START);
    let svg = draw_marked_probe("a", period, &series, &marks(&letters), figures, START, &look(size, theme));
    Document::parse(&svg).unwrap();
    svg
}

const CARD: Size = Size { width: 400, height: 150, framed: false };

#[test]
fn a_period_has_the_marks_of_a_range() {
    // Rows of a quarter of an hour, from 10:00 the day before on.
    let day = ["m".repeat(20), "e".repeat(20), "u".repeat(20), "b".repeat(20), "m".repeat(16)].concat();
    let svg = draw_period(Period::Day, &day, CARD, Theme::Page);
    for (class, expected) in [
        ("kw-hatched", 1),
        ("kw-gap", 1),
        ("kw-bridged", 2),
        ("kw-strokes", 1),
        ("kw-sure", 1),
        ("kw-line", 2),
    ] {
        count(&svg, class, expected);
    }
    for word in ["estimated", "unknown", "bridged"] {
        assert_eq!(svg.matches(&format!(">{word}</text>")).count(), 1, "{word}: {svg}");
    }
    let title = "; estimated from 15:00 to 20:00; unknown from 20:00 to 01:00; bridged from 01:00 to 06:00\"";
    assert!(svg.contains(title) && svg.contains(&format!("data-status=\"{day}\"")), "{svg}");
    let area = svg.split("class=\"kw-area\" fill-opacity=\".75\" d=\"").nth(1).unwrap();
    assert_eq!(area.split('"').next().unwrap().matches('M').count(), 2, "of what was measured alone: {svg}");
    // The frame is 150 W high of an axis that ends above 280 W, and of one that the frame alone needs.
    let bridged = draw_period(Period::Day, "b", CARD, Theme::Page);
    assert!(
        bridged.contains("no power is known of this time") && bridged.contains(">150</text>"),
        "{bridged}"
    );
}

#[test]
fn a_picture_alone_has_the_colours_of_its_marks() {
    let day = ["m".repeat(16), "e".repeat(20), "u".repeat(20), "b".repeat(20), "a".repeat(20)].concat();
    for (theme, times) in [(Theme::Alone, 2), (Theme::Light, 1), (Theme::Dark, 1)] {
        let svg = draw_period(Period::Day, &day, Size::PROBE, theme);
        let document = Document::parse(&svg).unwrap();
        let styles = document.descendants().filter(|node| node.has_tag_name("style"));
        let styles: String = styles.filter_map(|node| node.text()).collect();
        let classes = document.descendants().filter_map(|node| node.attribute("class"));
        for class in classes.flat_map(str::split_whitespace).filter(|class| *class != "kw-graph") {
            assert_eq!(styles.matches(&format!(".{class}{{")).count(), times, "{class} {theme:?}");
        }
        count(&svg, "kw-hatching", 1);
    }
    count(&draw_period(Period::Day, &day, Size::PROBE, Theme::Page), "kw-hatching", 0);
}

#[test]
fn marks_leave_a_graph_within_its_size() {
    let minute = ["m".repeat(80), "e".repeat(60), "u".repeat(60), "b".repeat(40), "m".repeat(60)].concat();
    let svg = draw_period(Period::Minute, &minute, Size::PROBE, Theme::Alone);
    let page = draw_period(Period::Minute, &minute, CARD, Theme::Page);
    let picture = png(&draw_period(Period::Minute, &minute, Size::PROBE, Theme::Light), 1).unwrap();
    for bytes in [svg.len(), page.len(), picture.len()] {
        assert!(bytes <= 12 << 10, "{} {} {}", svg.len(), page.len(), picture.len());
    }
    // However often how sure it is changes, the marks are as many at most.
    let rows = Series::whole(
        START - 300,
        1,
        (0..300).map(|row| (row % 2 == 0).then_some(200.0 + f64::from(row % 3))).collect(),
    );
    let (figures, alone) = (Figures::of(&rows, START), look(Size::PROBE, Theme::Alone));
    let plain = draw_probe("a", Period::Minute, &rows, figures, START, None, &alone);
    for letters in ["mu", "mb", "mueb"] {
        let marked = draw_period(Period::Minute, letters, Size::PROBE, Theme::Alone);
        assert!(marked.len() <= plain.len() + (3 << 10), "{letters}: {} {}", marked.len(), plain.len());
    }
}

/// Marks of a sum: each letter's status has this share of the probes' time.
fn shared(letters: &str, share: f64) -> Vec<RowMark> {
    let of = |mark: RowMark| RowMark { share: Some(share), bridged: mark.bridged.map(|_| 260.0), ..mark };
    marks(letters)
        .into_iter()
        .map(|mark| if mark.status == RowStatus::Measured { mark } else { of(mark) })
        .collect()
}

/// The power of a group over the last day, of rows with these marks; all have a power but for those marked `x`.
fn draw_group(letters: &str, share: f64) -> String {
    let watts: Vec<_> = letters.chars().map(|letter| (letter != 'x').then_some(200.0)).collect();
    let letters = letters.replace('x', "u");
    let step = Period::Day.step_seconds();
    let series = Series::whole(START - step * watts.len() as u64, step, watts);
    let figures = Figures::of(&series, START);
    let look = look(CARD, Theme::Page);
    let svg = draw_marked_probe("a", Period::Day, &series, &shared(&letters, share), figures, START, &look);
    Document::parse(&svg).unwrap();
    svg
}

#[test]
fn what_is_known_of_a_sum_stands_before_the_hatch_of_what_it_lacks() {
    let letters = ["m".repeat(20), "u".repeat(20), "b".repeat(20), "x".repeat(16), "e".repeat(20)].concat();
    let svg = draw_group(&letters, 0.123);
    // All of its power is drawn, estimated power by dots, and the hatch lies behind it.
    let area = svg.split("class=\"kw-area\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(area.matches('M').count(), 1, "{area}");
    let at = |text: &str| svg.find(text).unwrap_or_else(|| panic!("no {text} in {svg}"));
    assert!(at("kw-hatched") < at("kw-area") && at("kw-area") < at("kw-grid"), "{svg}");
    count(&svg, "kw-line", 2);
    for words in [
        "; unknown from 15:00 to 20:00 (12 % of the probes&#39; time)",
        "; bridged from 20:00 to 01:00 (12 % of the probes&#39; time)",
    ] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
    let shares = svg.split("data-shares=\"").nth(1).unwrap().split('"').next().unwrap();
    let shares: Vec<&str> = shares.split(',').collect();
    assert_eq!((shares.len(), shares[0], shares[20], shares[95]), (96, "", "12", "12"));
    // The frame of what was bridged, and its place in the lane.
    count(&svg, "kw-bridged", 2);
    // What all of its probes lack has no share to show.
    assert!(draw_group(&letters, 1.0).contains("; unknown from 15:00 to 20:00; "), "{svg}");
}

#[test]
fn a_range_of_a_sum_has_the_hatch_above_what_is_known() {
    let means = Series::whole(START, 600, vec![Some(200.0), Some(210.0), None]);
    let ends = vec![Some((190.0, 220.0)), Some((200.0, 230.0)), None];
    let range = GraphRange { start: START, end: START + 1_800, words: "today" };
    let figures = Figures { max: Some(230.0), ..Figures::of(&means, START + 1_800) };
    let look = look(CARD, Theme::Page);
    let svg = draw_range("a", &range, &means, &ends, &shared("muu", 0.5), figures, &look);
    let at = |text: &str| svg.find(text).unwrap_or_else(|| panic!("no {text} in {svg}"));
    assert!(at("kw-hatched") < at("kw-back") && at("kw-back") < at("kw-area"), "{svg}");
    assert!(svg.contains("; unknown from 10:10 to 10:30 (50 % of the probes&#39; time)"), "{svg}");
    let own = draw_range("a", &range, &means, &ends, &marks("mmu"), figures, &look);
    assert!(!own.contains("kw-back") && !own.contains("data-shares"), "{own}");
}

/// A summary of so many probes over the last day, which each lack power in `gap`.
fn stacked(probes: u32, gap: std::ops::Range<usize>) -> crate::Stacked {
    let mut stack = StackedSum::new(Period::Day, START);
    let step = Period::Day.step_seconds();
    for probe in 0..probes {
        let watts = |row: usize| {
            let is_known = !gap.contains(&row) || probe > 0;
            is_known.then_some(100.0 + f64::from(probe) + (row * 7_919 % 13) as f64)
        };
        let rows = (0..96).map(watts).collect();
        stack.add(&format!("n{probe}"), &Series::whole(START - step * 96, step, rows));
    }
    stack.finish()
}

#[test]
fn a_summary_reports_in_its_lane_how_sure_it_is_and_stays_small() {
    let sum = stacked(3, 20..40);
    let marks = shared(&["m".repeat(20), "u".repeat(20), "m".repeat(56)].concat(), 1.0 / 3.0);
    let size = Size { width: 1_120, height: 240, framed: false };
    let svg = draw_summary(Period::Day, &sum, &marks, START, &look(size, Theme::Page));
    Document::parse(&svg).unwrap();
    for (class, expected) in [("kw-hatched", 1), ("kw-sure", 1), ("kw-frame", 1), ("kw-partial", 0)] {
        count(&svg, class, expected);
    }
    assert!(svg.contains("; unknown from 15:00 to 20:00 (33 % of the probes&#39; time)\""), "{svg}");
    assert!(svg.contains(">unknown</text>") && svg.contains("data-status=\""), "{svg}");
    let at = |text: &str| svg.find(text).unwrap_or_else(|| panic!("no {text} in {svg}"));
    assert!(at("kw-hatched") < at("kw-edge"), "bands stand before the hatch: {svg}");
    // Without marks it has a strip, and no lane.
    let look_alone = look(Size::SUMMARY, Theme::Alone);
    let plain = draw_summary(Period::Day, &sum, &[], START, &look_alone);
    count(&plain, "kw-partial", 1);
    count(&plain, "kw-sure", 0);
    let many = stacked(20, 20..40);
    let plain = draw_summary(Period::Day, &many, &[], START, &look_alone);
    for letters in ["mu", "mb", "mueb"] {
        let letters: String = letters.chars().cycle().take(96).collect();
        let marked = draw_summary(Period::Day, &many, &shared(&letters, 0.4), START, &look_alone);
        assert!(marked.len() <= plain.len() + (6 << 10), "{letters}: {} {}", marked.len(), plain.len());
    }
    let marked = draw_summary(Period::Day, &sum, &marks, START, &look_alone);
    let picture = draw_summary(Period::Day, &sum, &marks, START, &look(Size::SUMMARY, Theme::Light));
    let picture = png(&picture, 1).unwrap();
    assert!(marked.len() <= 24 << 10 && picture.len() <= 24 << 10, "{} {}", marked.len(), picture.len());
}
