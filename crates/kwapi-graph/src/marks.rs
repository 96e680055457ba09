//! How sure a graph is of each moment: in the plot, in the lane below it, and in words. Form tells, not colour.

use std::fmt::Write;

use kwapi_core::Series;

use super::axis::civil_time;
use super::figures::known;
use super::frame::{Frame, LANE_ROOM};
use super::svg::push_box;

/// Space above and below the lane, in pixels, and its height.
const SPACE: f64 = 2.0;
const LANE: f64 = LANE_ROOM - 2.0 * SPACE;
/// A stretch that is at least as wide has its name in the plot, in pixels.
const NAMED_WIDTH: f64 = 40.0;
/// So many stretches are told of in words.
const TOLD_MAX: usize = 6;

/// How sure the power of a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowStatus {
    /// The device said it.
    #[default]
    Measured,
    /// It was told from something else that the device said.
    Estimated,
    /// The energy is known from a register, its course is not.
    Bridged,
    /// Nothing is known.
    Unknown,
    /// Before the first message, or after the last.
    Absent,
}

impl RowStatus {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Estimated => "estimated",
            Self::Bridged => "bridged",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
        }
    }

    /// Its letter in what a page's script reads.
    const fn letter(self) -> char {
        match self {
            Self::Measured => 'm',
            Self::Estimated => 'e',
            Self::Bridged => 'b',
            Self::Unknown => 'u',
            Self::Absent => 'a',
        }
    }
}

/// How sure a row is, and what was bridged in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowMark {
    /// How sure.
    pub status: RowStatus,
    /// Mean power of what was bridged, in watts.
    pub bridged: Option<f64>,
}

/// Neighbouring rows of one status.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    status: RowStatus,
    from: u64,
    to: u64,
    /// Joules that were bridged, and the seconds of them.
    bridged: (f64, f64),
}

/// The marks of a graph.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    frame: &'a Frame<'a>,
    stretches: Vec<Stretch>,
}

impl<'a> Marks<'a> {
    /// Those of the rows of `means`; a row without a mark is measured, or else unknown.
    pub(super) fn new(frame: &'a Frame<'a>, means: &Series, marks: &[RowMark]) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        for row in 0..means.watts.len() {
            let from = means.row_start(row).max(frame.plot.start);
            let to = means.row_start(row).saturating_add(means.step.max(1)).min(frame.plot.end);
            if from >= to {
                continue;
            }
            let RowMark { status, bridged } = mark(means, marks, row);
            let seconds = (to - from) as f64;
            let joules = known(bridged).map_or((0.0, 0.0), |watts| (watts * seconds, seconds));
            match stretches.last_mut() {
                Some(last) if last.status == status && last.to == from => {
                    last.to = to;
                    last.bridged = (last.bridged.0 + joules.0, last.bridged.1 + joules.1);
                }
                _ => stretches.push(Stretch { status, from, to, bridged: joules }),
            }
        }
        Self { frame, stretches }
    }

    /// Unknown time is hatched over the full height, to go behind the data.
    pub(super) fn write_unknown(&self, out: &mut String) {
        let plot = &self.frame.plot;
        let mut path = String::new();
        for stretch in self.of(RowStatus::Unknown) {
            push_box(&mut path, plot, stretch.from, stretch.to, plot.top, plot.bottom());
        }
        if !path.is_empty() {
            _ = write!(
                out,
                r#"<path class="kw-gap" d="{path}"/><path class="kw-hatched" fill="url(#kw-hatch)" d="{path}"/>"#
            );
        }
    }

    /// What was bridged is a frame from zero to its mean: nobody knows its course.
    pub(super) fn write_bridged(&self, out: &mut String) {
        let plot = &self.frame.plot;
        let mut path = String::new();
        for stretch in self.of(RowStatus::Bridged) {
            let (joules, seconds) = stretch.bridged;
            let top = plot.y(if seconds > 0.0 { joules / seconds } else { 0.0 });
            push_box(&mut path, plot, stretch.from, stretch.to, top, plot.bottom());
        }
        if !path.is_empty() {
            _ = write!(out, r#"<path class="kw-bridged" stroke-dasharray="4 2" d="{path}"/>"#);
        }
    }

    /// The lane, and the names of what is wide enough.
    pub(super) fn write_lane(&self, out: &mut String) {
        let plot = &self.frame.plot;
        let (top, bottom) = (plot.bottom() + SPACE, plot.bottom() + SPACE + LANE);
        let lane = |status: RowStatus, inset: f64| {
            let mut path = String::new();
            for stretch in self.of(status) {
                push_box(&mut path, plot, stretch.from, stretch.to, top + inset, bottom - inset);
            }
            path
        };
        for (status, inset, form) in [
            (RowStatus::Measured, 2.0, r#"class="kw-sure""#),
            (RowStatus::Bridged, 0.5, r#"class="kw-bridged" stroke-dasharray="4 2""#),
            (RowStatus::Unknown, 0.5, r#"class="kw-frame" fill="url(#kw-hatch)""#),
            (RowStatus::Absent, 0.5, r#"class="kw-frame" fill="none""#),
        ] {
            let path = lane(status, inset);
            if !path.is_empty() {
                _ = write!(out, r#"<path {form} d="{path}"/>"#);
            }
        }
        let mut strokes = String::new();
        for stretch in self.of(RowStatus::Estimated) {
            let [left, right] = [stretch.from, stretch.to].map(|at| plot.x(at));
            _ = write!(strokes, "M{left:.1} {:.1}H{right:.1}", f64::midpoint(top, bottom));
        }
        if !strokes.is_empty() {
            _ = write!(
                out,
                r#"<path class="kw-strokes" stroke-width="{LANE}" stroke-dasharray="2 2" d="{strokes}"/>"#
            );
        }
        for stretch in &self.stretches {
            let [left, right] = [stretch.from, stretch.to].map(|at| plot.x(at));
            let is_named = !matches!(stretch.status, RowStatus::Measured | RowStatus::Absent);
            // The longest name has more than forty pixels: it may reach over its neighbours, but not over the edges.
            if is_named && right - left >= NAMED_WIDTH {
                let middle = f64::midpoint(left, right).clamp(plot.left + 28.0, plot.right() - 28.0);
                _ = write!(
                    out,
                    r#"<text class="kw-text kw-halo" x="{middle:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                    plot.top + 12.0,
                    stretch.status.word()
                );
            }
        }
    }

    /// A letter a row, for the page's script.
    pub(super) fn data(means: &Series, marks: &[RowMark]) -> String {
        let letters: String =
            (0..means.watts.len()).map(|row| mark(means, marks, row).status.letter()).collect();
        format!(r#" data-status="{letters}""#)
    }

    /// What is not measured, in words: `; unknown from 03:10 to 04:25`.
    pub(super) fn words(&self) -> String {
        let (mut words, mut told) = (String::new(), 0);
        let is_long = self.frame.plot.end.saturating_sub(self.frame.plot.start) > 86_400;
        let format = if is_long { "%-d %b %H:%M" } else { "%H:%M" };
        for stretch in self.stretches.iter().filter(|stretch| stretch.status != RowStatus::Measured) {
            told += 1;
            if told > TOLD_MAX {
                continue;
            }
            let [from, to] = [stretch.from, stretch.to].map(|at| civil_time(at, &self.frame.look.zone));
            if let (Some(from), Some(to)) = (from, to) {
                let word = stretch.status.word();
                _ = write!(words, "; {word} from {} to {}", from.strftime(format), to.strftime(format));
            }
        }
        if told > TOLD_MAX {
            _ = write!(words, "; and {} more such stretches", told - TOLD_MAX);
        }
        words
    }

    fn of(&self, status: RowStatus) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter().filter(move |stretch| stretch.status == status)
    }
}

/// The mark of a row; without one it is what its mean says.
fn mark(means: &Series, marks: &[RowMark], row: usize) -> RowMark {
    let is_known = known(means.watts.get(row).copied().flatten()).is_some();
    let status = if is_known { RowStatus::Measured } else { RowStatus::Unknown };
    marks.get(row).copied().unwrap_or(RowMark { status, bridged: None })
}

/// The rows of a status alone: what is drawn of others stands elsewhere.
pub(super) fn rows_of(means: &Series, marks: &[RowMark], status: RowStatus) -> Series {
    let watts = (0..means.watts.len()).map(|row| {
        let watts = means.watts.get(row).copied().flatten();
        watts.filter(|_| mark(means, marks, row).status == status)
    });
    Series { watts: watts.collect(), ..means.clone() }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use resvg::usvg::roxmltree::Document;

    use super::*;
    use crate::{Figures, GraphRange, HUE_DEFAULT, Look, Size, Theme, draw_range};

    /// 2026-11-23 10:00:00 UTC.
    const START: u64 = 1_795_428_000;

    /// A range of rows of ten minutes with these marks, a letter each.
    fn draw(letters: &str) -> String {
        let status = |letter: char| match letter {
            'e' => RowStatus::Estimated,
            'b' => RowStatus::Bridged,
            'u' => RowStatus::Unknown,
            'a' => RowStatus::Absent,
            _ => RowStatus::Measured,
        };
        let marks: Vec<RowMark> = letters
            .chars()
            .map(|letter| RowMark { status: status(letter), bridged: (letter == 'b').then_some(150.0) })
            .collect();
        let watts = letters.chars().map(|letter| matches!(letter, 'm' | 'e').then_some(200.0)).collect();
        let means = Series::whole(START, 600, watts);
        let ends: Vec<_> =
            means.watts.iter().map(|watts| watts.map(|watts| (watts - 10.0, watts + 10.0))).collect();
        let end = START + 600 * letters.len() as u64;
        let range = GraphRange { start: START, end, words: "today" };
        let size = Size { width: 1_120, height: 240, framed: false };
        let look = Look {
            size,
            theme: Theme::Page,
            zone: TimeZone::UTC,
            power_max: None,
            hue: HUE_DEFAULT,
            tariff: None,
        };
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
        let told = "; estimated from 10:40 to 11:20; unknown from 11:20 to 12:00; bridged from 12:00 to 12:40; absent from 13:20 to 14:00\"";
        assert!(svg.contains(told), "{svg}");
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
}
