//! All probes together, stacked.

use std::fmt::Write;

use kwapi_core::{Period, Series};

use super::frame::{Frame, Shown};
use super::marks::{Marks, RowMark, peak};
use super::palette::colour;
use super::stack::Stacked;
use super::svg::{escape, power_paths, push_box};
use super::{Look, Theme};

/// Height of the strip under the plot that shows where some probes are unknown, in pixels.
const STRIP: f64 = 3.0;

/// Draws all probes over the `period` that ends at `now` (Unix seconds): the others at the bottom, then the bands in the
/// order of their ids. Where something is estimated, bridged or unknown, a lane shows how sure each row of the sum is by
/// `marks`, which have a share each, and above what is known of it there is a hatch. Without marks a strip along the base
/// marks time in which the sum lacks some probes.
pub fn draw_summary(period: Period, stacked: &Stacked, marks: &[RowMark], now: u64, look: &Look) -> String {
    let title = title(stacked);
    let figures = stacked.figures(now);
    let is_marked = !marks.is_empty();
    let shown = if is_marked { Shown::MarkedPeriod(period, now) } else { Shown::Period(period, now) };
    let frame = Frame::new(look, shown, &title, figures, peak(marks, figures.max));
    let sure = is_marked.then(|| Marks::new(&frame, &stacked.total, marks));
    let data = frame.data(&stacked.total);
    let status = sure.as_ref().filter(|_| !data.is_empty()).map(|_| Marks::data(&stacked.total, marks));
    let words = sure.as_ref().map(Marks::words).unwrap_or_default();
    let mut out = frame.open(&(frame.words(None) + &words), &(data + &status.unwrap_or_default()));
    match &sure {
        Some(sure) => {
            sure.write_unknown(&mut out);
            frame.write_grid(&mut out);
        }
        None => frame.behind(&mut out, &stacked.total),
    }
    // Painted from the top down, each over the one above: every shape then reaches the base, and no seam shows between two.
    let mut height = stacked.total.clone();
    for (index, band) in stacked.bands.iter().enumerate().rev() {
        let ink = format!(r#"class="kw-edge" fill="{}""#, colour(index, stacked.bands.len(), look.hue));
        write_band(
            &mut out,
            &frame,
            &height,
            &ink,
            &format!("{}: {}", band.name, band.energy.text().as_deref().unwrap_or("unknown")),
        );
        for (total, own) in height.watts.iter_mut().zip(&band.watts) {
            if let (Some(total), Some(own)) = (total.as_mut(), own) {
                *total = (*total - own).max(0.0);
            }
        }
    }
    if stacked.others > 0 {
        let words = format!("{} others", stacked.others);
        write_band(&mut out, &frame, &height, r#"class="kw-others""#, &words);
    }
    match &sure {
        Some(sure) => {
            sure.write_bridged(&mut out);
            sure.write_lane(&mut out);
        }
        None => write_strip(&mut out, &frame, stacked),
    }
    frame.close(out, None)
}

fn title(stacked: &Stacked) -> String {
    match stacked.probes {
        1 => "1 probe".to_owned(),
        probes => format!("{probes} probes together"),
    }
}

fn write_band(out: &mut String, frame: &Frame<'_>, height: &Series, ink: &str, words: &str) {
    let (_, area) = power_paths(&frame.plot, height);
    if area.is_empty() {
        return;
    }
    _ = write!(out, r#"<path {ink} stroke-width=".6" d="{area}""#);
    match frame.look.theme {
        Theme::Page | Theme::Alone => _ = write!(out, "><title>{}</title></path>", escape(words)),
        Theme::Light | Theme::Dark => out.push_str("/>"), // Nobody hovers over a raster.
    }
}

/// The share of probes missing from the sum, in three shades.
fn write_strip(out: &mut String, frame: &Frame<'_>, stacked: &Stacked) {
    let shade = |known: u32| match 1.0 - f64::from(known) / f64::from(stacked.probes.max(1)) {
        _ if known == 0 || known >= stacked.probes => None, // A gap shows itself; nothing missing needs no mark.
        missing if missing <= 0.34 => Some(".5"),
        missing if missing <= 0.67 => Some(".75"),
        _ => Some("1"),
    };
    let (start, step) = (stacked.total.start, stacked.total.step);
    let mut at = start;
    for run in stacked.known.chunk_by(|a, b| shade(*a) == shade(*b)) {
        let from = at;
        at = at.saturating_add(step.saturating_mul(run.len() as u64));
        let Some(opacity) = run.first().and_then(|known| shade(*known)) else { continue };
        if at <= frame.plot.start || from >= frame.plot.end {
            continue;
        }
        let mut path = String::new();
        push_box(&mut path, &frame.plot, from, at, frame.plot.bottom() - STRIP, frame.plot.bottom());
        _ = write!(out, r#"<path class="kw-partial" fill-opacity="{opacity}" d="{path}"/>"#);
    }
}
