//! One probe's power over any range of time.

use std::fmt::Write;

use kwapi_core::Series;

use super::figures::known;
use super::frame::{Frame, GraphRange, Shown};
use super::svg::{power_paths, push_box};
use super::{Figures, Look};

/// Draws the power of the probe `name` over a range: a line of the mean of each row of `means`, in a band from the least to the
/// most of the row (`ends`, in watts, row by row). `figures` are those of the legend.
pub fn draw_range(
    name: &str,
    range: &GraphRange<'_>,
    means: &Series,
    ends: &[Option<(f64, f64)>],
    figures: Figures,
    look: &Look,
) -> String {
    let frame = Frame::new(look, Shown::Range(range), name, figures, figures.max);
    let mut out = frame.open(&frame.words(None), &frame.data_with_ends(means, ends));
    frame.behind(&mut out, means);
    let band = band_path(&frame, means, ends);
    if !band.is_empty() {
        _ = write!(out, r#"<path class="kw-area" d="{band}"/>"#);
    }
    let (line, _) = power_paths(&frame.plot, means);
    if !line.is_empty() {
        _ = write!(out, r#"<path class="kw-line" stroke-width="1.25" stroke-linejoin="round" d="{line}"/>"#);
    }
    frame.close(out, None)
}

/// The boxes between the least and the most of each row, as one path.
fn band_path(frame: &Frame<'_>, means: &Series, ends: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let (plot, step) = (&frame.plot, means.step.max(1));
    for (row, ends) in ends.iter().enumerate() {
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
