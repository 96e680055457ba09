//! How sure a graph is of each moment: in the plot, in the lane below it, and in words. Shown by form, not by colour.

use std::fmt::Write;

use kwapi_core::Series;

use super::axis::civil_time;
use super::figures::known;
use super::frame::{Frame, LANE_ROOM};
use super::svg::{Plot, power_paths, push_box};

/// Space above and below the lane, in pixels, and its height.
const SPACE: f64 = 2.0;
const LANE: f64 = LANE_ROOM - 2.0 * SPACE;
/// A stretch that is at least as wide has its name in the plot, in pixels.
const NAMED_WIDTH: f64 = 40.0;
/// So many stretches are listed in words.
const LISTED_MAX: usize = 6;
/// So many stretches are drawn. More: rows are drawn together, two, four, … at a time, as most of them are.
const DRAWN_MAX: usize = 64;

/// How sure the power of a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowStatus {
    /// The device reported it.
    #[default]
    Measured,
    /// It was derived from something else that the device reported.
    Estimated,
    /// The energy is known from a register, its course is not.
    Bridged,
    /// Nothing is known.
    Unknown,
    /// Before the first message, or after the last.
    Absent,
}

impl RowStatus {
    /// All of them, the surest first.
    pub const ALL: [Self; 5] = [Self::Measured, Self::Estimated, Self::Bridged, Self::Unknown, Self::Absent];

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
    /// Mean power of what was bridged, in watts; of a sum that of the whole, with what was bridged.
    pub bridged: Option<f64>,
    /// Of a sum, for which share of its probes' time it is so, 0 to 1; `None` of one probe. What is known of the rest is drawn.
    pub share: Option<f64>,
}

impl RowMark {
    /// Of one probe, nothing of which was bridged.
    pub const fn of(status: RowStatus) -> Self {
        Self { status, bridged: None, share: None }
    }

    /// Whether the power of such a row is drawn as measured: so is what is known of a sum that lacks some.
    fn is_drawn_as_measured(self) -> bool {
        match self.status {
            RowStatus::Measured => true,
            RowStatus::Bridged | RowStatus::Unknown => self.share.is_some(),
            RowStatus::Estimated | RowStatus::Absent => false,
        }
    }
}

/// Neighbouring rows of one status.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    status: RowStatus,
    from: u64,
    to: u64,
    /// Joules that were bridged, and the seconds of them.
    bridged: (f64, f64),
    /// Of a sum, its rows' shares by the seconds of each, and these seconds.
    shared: (f64, f64),
}

impl Stretch {
    /// Its share, where that is of a sum and not all: ` (12 % of the probes' time)`.
    fn share_words(&self) -> String {
        let (shares, seconds) = self.shared;
        let percent = if seconds > 0.0 { shares * 100.0 / seconds } else { 100.0 };
        if percent < 99.5 {
            format!(" ({:.0} % of the probes' time)", percent.max(1.0))
        } else {
            String::new()
        }
    }
}

/// The marks of a graph.
#[derive(Debug)]
pub(super) struct Marks<'a> {
    frame: &'a Frame<'a>,
    /// As they are put in words…
    stretches: Vec<Stretch>,
    /// …and as they are drawn.
    drawn: Vec<Stretch>,
}

impl<'a> Marks<'a> {
    /// Those of the rows of `means`; a row without a mark is measured, or else unknown.
    pub(super) fn new(frame: &'a Frame<'a>, means: &Series, marks: &[RowMark]) -> Self {
        let rows = means.watts.len();
        let stretches = stretches(frame, means, marks, 1);
        let (mut drawn, mut together) = (stretches.clone(), 1);
        while drawn.len() > DRAWN_MAX && together < rows {
            together *= 2;
            drawn = self::stretches(frame, means, marks, together);
        }
        Self { frame, stretches, drawn }
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

    /// What was bridged is a frame from zero to its mean: its course is unknown.
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

    /// A letter a row, for the page's script, and of a sum the share of each that is not measured, in per cent.
    pub(super) fn data(means: &Series, marks: &[RowMark]) -> String {
        let rows = (0..means.watts.len()).map(|row| mark(means, marks, row));
        let letters: String = rows.clone().map(|mark| mark.status.letter()).collect();
        let mut data = format!(r#" data-status="{letters}""#);
        if !is_of_sum(marks) {
            return data;
        }
        data.push_str(r#" data-shares=""#);
        for (row, mark) in rows.enumerate() {
            if row > 0 {
                data.push(',');
            }
            if let Some(share) = mark.share.filter(|_| mark.status != RowStatus::Measured) {
                _ = write!(data, "{:.0}", share.clamp(0.0, 1.0) * 100.0);
            }
        }
        data.push('"');
        data
    }

    /// What is not measured, in words: `; unknown from 03:10 to 04:25`.
    pub(super) fn words(&self) -> String {
        let (mut words, mut count) = (String::new(), 0);
        let is_long = self.frame.plot.end.saturating_sub(self.frame.plot.start) > 86_400;
        let format = if is_long { "%-d %b %H:%M" } else { "%H:%M" };
        for stretch in self.stretches.iter().filter(|stretch| stretch.status != RowStatus::Measured) {
            count += 1;
            if count > LISTED_MAX {
                continue;
            }
            let [from, to] = [stretch.from, stretch.to].map(|at| civil_time(at, &self.frame.look.zone));
            if let (Some(from), Some(to)) = (from, to) {
                let (word, share) = (stretch.status.word(), stretch.share_words());
                let [from, to] = [from, to].map(|at| at.strftime(format));
                _ = write!(words, "; {word} from {from} to {to}{share}");
            }
        }
        if count > LISTED_MAX {
            _ = write!(words, "; and {} more such stretches", count - LISTED_MAX);
        }
        words
    }

    fn of(&self, status: RowStatus) -> impl Iterator<Item = &Stretch> {
        self.drawn.iter().filter(move |stretch| stretch.status == status)
    }
}

/// Neighbouring rows of one status, of so many rows `together` that of most of them; of as many the less sure one.
fn stretches(frame: &Frame<'_>, means: &Series, marks: &[RowMark], together: usize) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let rows: Vec<RowMark> = (0..means.watts.len()).map(|row| mark(means, marks, row)).collect();
    let (together, step) = (together.max(1), means.step.max(1));
    for (index, rows) in rows.chunks(together).enumerate() {
        let first = means.row_start(index * together);
        let from = first.max(frame.plot.start);
        let to = first.saturating_add(step.saturating_mul(rows.len() as u64)).min(frame.plot.end);
        let count = |status: &RowStatus| rows.iter().filter(|row| row.status == *status).count();
        let Some(status) = RowStatus::ALL.into_iter().max_by_key(count).filter(|_| from < to) else {
            continue;
        };
        let seconds = (to - from) as f64 / rows.len() as f64;
        let bridged = rows.iter().filter_map(|row| known(row.bridged));
        let bridged =
            bridged.fold((0.0, 0.0), |(joules, time), watts| (joules + watts * seconds, time + seconds));
        let shares = rows.iter().filter(|row| row.status == status).filter_map(|row| row.share);
        let shared =
            shares.fold((0.0, 0.0), |(shares, time), share| (shares + share * seconds, time + seconds));
        match stretches.last_mut() {
            Some(last) if last.status == status && last.to == from => {
                last.to = to;
                last.bridged = (last.bridged.0 + bridged.0, last.bridged.1 + bridged.1);
                last.shared = (last.shared.0 + shared.0, last.shared.1 + shared.1);
            }
            _ => stretches.push(Stretch { status, from, to, bridged, shared }),
        }
    }
    stretches
}

/// The highest of `others` and of the means of what was bridged, in watts: the axis comes to it.
pub(super) fn peak(marks: &[RowMark], others: Option<f64>) -> Option<f64> {
    marks.iter().filter_map(|mark| known(mark.bridged)).chain(others).reduce(f64::max)
}

/// The mark of a row; without one it is what its mean shows.
fn mark(means: &Series, marks: &[RowMark], row: usize) -> RowMark {
    let is_known = known(means.watts.get(row).copied().flatten()).is_some();
    let status = if is_known { RowStatus::Measured } else { RowStatus::Unknown };
    marks.get(row).copied().unwrap_or(RowMark::of(status))
}

/// Whether the rows are those of a sum.
pub(super) fn is_of_sum(marks: &[RowMark]) -> bool {
    marks.iter().any(|mark| mark.share.is_some())
}

/// The line of what was measured, and the dotted one of what was estimated.
pub(super) fn write_lines(out: &mut String, plot: &Plot, means: &Series, marks: &[RowMark]) {
    let forms =
        [(measured_rows(means, marks), ""), (estimated_rows(means, marks), r#" stroke-dasharray="2 3""#)];
    for (rows, dashes) in forms {
        let (line, _) = power_paths(plot, &rows);
        if !line.is_empty() {
            _ = write!(
                out,
                r#"<path class="kw-line" stroke-width="1.25" stroke-linejoin="round"{dashes} d="{line}"/>"#
            );
        }
    }
}

/// The rows that are drawn as measured alone: what is drawn of others stands elsewhere.
pub(super) fn measured_rows(means: &Series, marks: &[RowMark]) -> Series {
    rows_that(means, marks, RowMark::is_drawn_as_measured)
}

/// The estimated rows alone.
fn estimated_rows(means: &Series, marks: &[RowMark]) -> Series {
    rows_that(means, marks, |mark| mark.status == RowStatus::Estimated)
}

/// The rows of which more is unknown than is drawn alone: above these there is a hatch.
pub(super) fn partly_unknown_rows(means: &Series, marks: &[RowMark]) -> Series {
    rows_that(means, marks, |mark| mark.status == RowStatus::Unknown && mark.is_drawn_as_measured())
}

fn rows_that(means: &Series, marks: &[RowMark], is_wanted: impl Fn(RowMark) -> bool) -> Series {
    let watts = (0..means.watts.len()).map(|row| {
        let watts = means.watts.get(row).copied().flatten();
        watts.filter(|_| is_wanted(mark(means, marks, row)))
    });
    Series { watts: watts.collect(), ..means.clone() }
}

#[cfg(test)]
mod tests;
