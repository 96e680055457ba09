//! The power of one probe, or of several together, over any range of time.

use std::fmt::Write;

use kwapi_core::Series;

use super::figures::known;
use super::frame::{Frame, GraphRange, Shown};
use super::marks::{Marks, RowMark, measured_rows, partly_unknown_rows, peak, write_lines};
use super::svg::{power_paths, push_box};
use super::{Figures, Look};

/// Draws the power of the probe `name` over a range: a line of the mean of each row of `means`, in a band from the least to the
/// most of the row (`ends`, in watts, row by row), and how sure each row is (`marks`; of one without, the mean
/// decides). `figures` are those of the legend.
pub fn draw_range(
    name: &str,
    range: &GraphRange<'_>,
    means: &Series,
    ends: &[Option<(f64, f64)>],
    marks: &[RowMark],
    figures: Figures,
    look: &Look,
) -> String {
    let frame = Frame::new(look, Shown::Range(range), name, figures, peak(marks, figures.max));
    let shown = Marks::new(&frame, means, marks);
    let data = frame.data_with_ends(means, ends);
    let status = if data.is_empty() { String::new() } else { Marks::data(means, marks) };
    let mut out = frame.open(&(frame.words(None) + &shown.words()), &(data + &status));
    shown.write_unknown(&mut out);
    // Of a sum that lacks some the hatch is above what is known.
    let (_, known) = power_paths(&frame.plot, &partly_unknown_rows(means, marks));
    if !known.is_empty() {
        _ = write!(out, r#"<path class="kw-back" d="{known}"/>"#);
    }
    frame.write_grid(&mut out);
    let measured = measured_rows(means, marks);
    let band = band_path(&frame, &measured, ends);
    if !band.is_empty() {
        _ = write!(out, r#"<path class="kw-area" d="{band}"/>"#);
    }
    shown.write_bridged(&mut out);
    write_lines(&mut out, &frame.plot, means, marks);
    shown.write_lane(&mut out);
    frame.close(out, None)
}

/// The boxes between the least and the most of each row, as one path.
fn band_path(frame: &Frame<'_>, means: &Series, ends: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let (plot, step) = (&frame.plot, means.step.max(1));
    for (row, ends) in ends.iter().enumerate() {
        if means.watts.get(row).copied().flatten().is_none() {
            continue;
        }
        let ends = ends.and_then(|(least, most)| known(Some(least)).zip(known(Some(most))));
        let Some((least, most)) = ends.filter(|(least, most)| least < most) else { continue };
        let from = means.row_start(row).max(plot.start);
        let to = means.row_start(row).saturating_add(step).min(plot.end);
        if from < to {
            push_box(&mut path, plot, from, to, plot.y(most), plot.y(least));
        }
    }
    path
}
