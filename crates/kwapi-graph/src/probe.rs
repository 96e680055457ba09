//! The power of one probe, or of a group, over a period.

use std::fmt::Write;

use kwapi_core::{Period, Series};

use super::frame::{Frame, Shown};
use super::marks::{Marks, RowMark, is_of_sum, measured_rows, peak, write_lines};
use super::svg::power_paths;
use super::{Figures, Look};

/// Draws the power of the probe `name` over the `period` that ends at `now` (Unix seconds), with `figures` for its
/// legend. `last_seen` is when it last measured anything, which an empty graph shows.
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

/// The same where something is estimated, bridged or unknown: each row is drawn as sure as by `marks`, with the lane
/// that a range has. What is known of a sum stands before the hatch of what is unknown of it.
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
    let (_, area) = power_paths(&frame.plot, &measured_rows(series, marks));
    // The hatch of a sum continues behind its area, and must not show through.
    let is_opaque = is_of_sum(marks);
    if !area.is_empty() && is_opaque {
        _ = write!(out, r#"<path class="kw-area" d="{area}"/>"#);
    }
    frame.write_grid(&mut out);
    if !area.is_empty() && !is_opaque {
        _ = write!(out, r#"<path class="kw-area" fill-opacity=".75" d="{area}"/>"#);
    }
    shown.write_bridged(&mut out);
    write_lines(&mut out, &frame.plot, series, marks);
    shown.write_lane(&mut out);
    frame.close(out, None)
}
