//! One probe's power over a period.

use std::fmt::Write;

use kwapi_core::{Period, Series};

use super::frame::{Frame, Shown};
use super::marks::{Marks, RowMark, RowStatus, peak, rows_of, write_lines};
use super::svg::power_paths;
use super::{Figures, Look};

/// Draws the power of the probe `name` over the `period` that ends at `now` (Unix seconds), with `figures` for its
/// legend. `last_seen` is when it last measured anything, which an empty graph says.
pub fn draw_probe(
    name: &str,
    period: Period,
    series: &Series,
    figures: Figures,
    now: u64,
    last_seen: Option<u64>,
    look: &Look,
) -> String {
    // The line shows averages: an axis up to a peak of one second would press it flat.
    let peak = Figures::of(series, now).max;
    let frame = Frame::new(look, Shown::Period(period, now), name, figures, peak);
    let mut out = frame.open(&frame.words(last_seen), &frame.data(series));
    frame.behind(&mut out, series);
    let (line, area) = power_paths(&frame.plot, series);
    if !line.is_empty() {
        // The grid shows through the area: values are read off it.
        _ = write!(out, r#"<path class="kw-area" fill-opacity=".75" d="{area}"/>"#);
        _ = write!(out, r#"<path class="kw-line" stroke-width="1.25" stroke-linejoin="round" d="{line}"/>"#);
    }
    frame.close(out, last_seen)
}

/// The same where something is estimated, bridged or unknown: each row is drawn as sure as `marks` say it is, with the lane
/// that a range has.
pub fn draw_marked_probe(
    name: &str,
    period: Period,
    series: &Series,
    marks: &[RowMark],
    figures: Figures,
    now: u64,
    look: &Look,
) -> String {
    let peak = peak(marks, Figures::of(series, now).max);
    let frame = Frame::new(look, Shown::MarkedPeriod(period, now), name, figures, peak);
    let shown = Marks::new(&frame, series, marks);
    let data = frame.data(series);
    let status = if data.is_empty() { String::new() } else { Marks::data(series, marks) };
    let mut out = frame.open(&(frame.words(None) + &shown.words()), &(data + &status));
    shown.write_unknown(&mut out);
    frame.write_grid(&mut out);
    let (_, area) = power_paths(&frame.plot, &rows_of(series, marks, RowStatus::Measured));
    if !area.is_empty() {
        _ = write!(out, r#"<path class="kw-area" fill-opacity=".75" d="{area}"/>"#);
    }
    shown.write_bridged(&mut out);
    write_lines(&mut out, &frame.plot, series, marks);
    shown.write_lane(&mut out);
    frame.close(out, None)
}
