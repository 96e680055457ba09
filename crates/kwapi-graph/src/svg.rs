//! SVG text: escaping, numbers and paths.

use std::fmt::Write;

use kwapi_core::Series;

use super::figures::known;

/// Writes `text` so that it stays text in an element and in a quoted attribute. What XML 1.0 cannot carry at all
/// (section 2.2, Char) becomes U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

/// Cuts `text` to `limit` characters, the last of them an ellipsis when something is gone.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// A coordinate in tenths of a pixel, the finest that shows; kept whole, so that neighbours meet exactly.
#[expect(clippy::cast_possible_truncation, reason = "held to what a picture can be wide")]
pub(super) fn tenths(pixels: f64) -> i64 {
    (pixels.clamp(-1e5, 1e5) * 10.0).round() as i64
}

/// Writes tenths as pixels, without a needless `.0`.
pub(super) fn push_tenths(out: &mut String, tenths: i64) {
    let sign = if tenths < 0 { "-" } else { "" };
    let (whole, fraction) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    _ = if fraction == 0 { write!(out, "{sign}{whole}") } else { write!(out, "{sign}{whole}.{fraction}") };
}

/// Where time and power lie in the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Unix seconds of its left edge.
    pub(super) start: u64,
    /// Unix seconds of its right edge.
    pub(super) end: u64,
    /// Watts at its top; above 0.
    pub(super) power_max: f64,
}

impl Plot {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn x(&self, at: u64) -> f64 {
        let span = self.end.saturating_sub(self.start).max(1) as f64;
        let after = at.clamp(self.start, self.end).saturating_sub(self.start) as f64;
        self.left + self.width * after / span
    }

    pub(super) fn y(&self, watts: f64) -> f64 {
        self.bottom() - self.height * (watts / self.power_max).clamp(0.0, 1.0)
    }
}

/// The rows of a series that lie in the plot, as stretches of time, in order.
fn rows<'a>(plot: &Plot, series: &'a Series) -> impl Iterator<Item = (u64, u64, Option<f64>)> + 'a {
    let (start, end) = (plot.start, plot.end);
    let (first, step) = (series.start, series.step.max(1));
    series
        .watts
        .iter()
        .enumerate()
        .map(move |(index, watts)| {
            let from = first.saturating_add(step.saturating_mul(index as u64));
            (from, from.saturating_add(step), known(*watts))
        })
        .filter(move |(from, to, _)| *to > start && *from < end)
        .map(move |(from, to, watts)| (from.max(start), to.min(end), watts))
}

/// The outline of known power and the area below it, as two paths. Both break where nothing is known.
pub(super) fn power_paths(plot: &Plot, series: &Series) -> (String, String) {
    let (mut line, mut area) = (String::new(), String::new());
    let base = tenths(plot.bottom());
    let mut open: Option<(i64, i64, i64)> = None; // Where the stretch began, where the pen is.
    let mut open_until = 0;
    for (from, to, watts) in rows(plot, series) {
        let (left, right) = (tenths(plot.x(from)), tenths(plot.x(to)));
        if open.is_some() && (watts.is_none() || open_until != from) {
            close(&mut line, &mut area, base, open.take());
        }
        let Some(watts) = watts else { continue };
        let height = tenths(plot.y(watts));
        open_until = to;
        open = Some(match open {
            None => {
                for path in [&mut line, &mut area] {
                    path.push('M');
                    push_tenths(path, left);
                    path.push(' ');
                    push_tenths(path, height);
                }
                (left, right, height)
            }
            Some((began, pen, before)) if before != height => {
                for path in [&mut line, &mut area] {
                    path.push('H');
                    push_tenths(path, pen);
                    path.push('V');
                    push_tenths(path, height);
                }
                (began, right, height)
            }
            Some((began, _, before)) => (began, right, before),
        });
    }
    close(&mut line, &mut area, base, open);
    (line, area)
}

fn close(line: &mut String, area: &mut String, base: i64, open: Option<(i64, i64, i64)>) {
    let Some((began, pen, _)) = open else { return };
    for path in [&mut *line, &mut *area] {
        path.push('H');
        push_tenths(path, pen);
    }
    area.push('V');
    push_tenths(area, base);
    area.push('H');
    push_tenths(area, began);
    area.push('Z');
}

/// The stretches of the plot about which nothing is known, as one path over its whole height.
pub(super) fn gap_path(plot: &Plot, series: &Series) -> String {
    let mut path = String::new();
    let mut known_until = plot.start;
    for (from, to, watts) in rows(plot, series) {
        if watts.is_some() {
            if from > known_until {
                push_box(&mut path, plot, known_until, from, plot.top, plot.bottom());
            }
            known_until = known_until.max(to);
        }
    }
    if known_until < plot.end {
        push_box(&mut path, plot, known_until, plot.end, plot.top, plot.bottom());
    }
    path
}

/// Adds a box from one instant to another to a path.
pub(super) fn push_box(path: &mut String, plot: &Plot, from: u64, to: u64, top: f64, bottom: f64) {
    let (left, right) = (tenths(plot.x(from)), tenths(plot.x(to)));
    for (command, tenths) in
        [('M', left), (' ', tenths(top)), ('H', right), ('V', tenths(bottom)), ('H', left)]
    {
        path.push(command);
        push_tenths(path, tenths);
    }
    path.push('Z');
}
