//! Energy by hour, day or month, as bars: how sure it is shows in the form of each part, and what is unknown is hatched.

use std::fmt::Write;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Size;
use super::axis::{civil_time, energy_axis};
use super::svg::{escape, push_tenths, tenths};

/// Mean width of a character at font size 11, to leave room for labels.
const CHARACTER: f64 = 6.4;
/// Height of the labels below the bars, in pixels.
const LABELS: f64 = 19.0;
/// Above the topmost line, in pixels.
const HEAD: f64 = 9.0;
/// How much of its place a bar takes, and its width at most, in pixels: a single one is no wall.
const BAR_SHARE: f64 = 0.72;
const BAR_WIDTH_MAX: f64 = 48.0;
/// Between the strokes of what is hatched and of what is estimated, in pixels.
const HATCH: f64 = 6.0;
const STRIPES: f64 = 3.0;

/// What a bar is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarStep {
    /// An hour.
    Hour,
    /// A day of the calendar.
    Day,
    /// A month of the calendar.
    Month,
}

impl BarStep {
    /// What stands below a bar: as short as it can be while distinct from the one before.
    fn label(self, at: DateTime, is_first: bool) -> String {
        let format = match self {
            Self::Hour => "%H:%M",
            Self::Day if is_first || at.day() == 1 => "%-d %b",
            Self::Day => "%-d",
            Self::Month if at.month() == 1 => "%Y",
            Self::Month => "%b",
        };
        at.strftime(format).to_string()
    }
}

/// The energy of an hour, a day or a month.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnergyBar {
    /// Its begin, in Unix seconds.
    pub start: u64,
    /// What was measured, in kilowatt-hours.
    pub measured_kwh: f64,
    /// What was estimated, in kilowatt-hours.
    pub estimated_kwh: f64,
    /// What a register gives for time in which nothing was measured, in kilowatt-hours.
    pub bridged_kwh: f64,
    /// Whether something of its time is unknown, so that it was more.
    pub is_unknown: bool,
    /// The same in words, for who points at it.
    pub words: String,
}

impl EnergyBar {
    fn parts(&self) -> [f64; 3] {
        [self.measured_kwh, self.estimated_kwh, self.bridged_kwh].map(|kwh| if kwh > 0.0 { kwh } else { 0.0 })
    }
}

/// Draws `bars`, in order of time, as a part of a page, whose style sheet has the colours; `words` describe the whole
/// picture to those who do not see it.
pub fn draw_bars(words: &str, step: BarStep, bars: &[EnergyBar], size: Size, zone: &TimeZone) -> String {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let most = bars.iter().map(|bar| bar.parts().iter().sum::<f64>()).fold(0.0, f64::max);
    let bottom = (height - LABELS).max(HEAD + 10.0);
    let axis = energy_axis(most * 1e3, 4);
    let label = axis.ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(1);
    let left = (label as f64 * CHARACTER + 9.0).min(width / 3.0);
    let right = (width - 2.0).max(left + 10.0);
    let mut out = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" class="kw-graph" role="img" aria-label="{}" font-family="Inter,system-ui,sans-serif" font-size="11">"#,
        escape(words)
    );
    let y = |wh: f64| bottom - (bottom - HEAD) * (wh / axis.max).clamp(0.0, 1.0);
    let mut grid = String::new();
    for (wh, text) in &axis.ticks {
        if *wh > 0.0 {
            _ = write!(grid, "M{left:.1} {:.1}H{right:.1}", y(*wh));
        }
        _ = write!(
            out,
            r#"<text class="kw-dim" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
            left - 5.0,
            y(*wh) + 3.8
        );
    }
    _ = write!(out, r#"<path class="kw-grid" d="{grid}"/>"#);
    let place = (right - left) / bars.len().max(1) as f64;
    let mut free_from = 0.0;
    for (index, bar) in bars.iter().enumerate() {
        let middle = left + place * (index as f64 + 0.5);
        let half = (place * BAR_SHARE).min(BAR_WIDTH_MAX) / 2.0;
        let (from, to) = (middle - half, middle + half);
        _ = write!(out, "<g><title>{}</title>", escape(&bar.words));
        let mut reached = 0.0;
        for (kwh, form) in bar.parts().into_iter().zip([Form::Solid, Form::Striped, Form::Framed]) {
            if kwh > 0.0 {
                let (low, high) = (y(reached * 1e3), y((reached + kwh) * 1e3));
                push_part(&mut out, form, from, to, high, low);
                reached += kwh;
            }
        }
        if bar.is_unknown {
            push_part(&mut out, Form::Hatched, from, to, HEAD, y(reached * 1e3));
        }
        // What is pointed at is the whole height.
        push_part(&mut out, Form::Unseen, from, to, HEAD, bottom);
        out.push_str("</g>");
        let Some(at) = civil_time(bar.start, zone) else { continue };
        let text = step.label(at, index == 0);
        let half = text.chars().count() as f64 * CHARACTER / 2.0;
        if middle - half >= free_from && middle + half <= width {
            _ = write!(
                out,
                r#"<text class="kw-dim" x="{middle:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                bottom + 15.0
            );
            free_from = middle + half + CHARACTER;
        }
    }
    _ = write!(out, r#"<path class="kw-axis" d="M{left:.1} {bottom:.1}H{right:.1}"/></svg>"#);
    out
}

/// How sure a part of a bar is, as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Solid,
    Striped,
    Framed,
    Hatched,
    Unseen,
}

/// Draws a part between two heights; what is lower is a larger number.
fn push_part(out: &mut String, form: Form, from: f64, to: f64, high: f64, low: f64) {
    if low - high < 0.05 {
        return;
    }
    let whole = box_path(from, to, high, low);
    let path = match form {
        Form::Solid => format!(r#"<path class="kw-bar" d="{whole}"/>"#),
        Form::Unseen => format!(r#"<path fill="none" pointer-events="all" d="{whole}"/>"#),
        Form::Framed => format!(r#"<path class="kw-line" stroke-dasharray="3 2" d="{whole}"/>"#),
        Form::Striped => {
            format!(r#"<path class="kw-line" stroke-width="1.5" d="{}"/>"#, stripes(from, to, high, low))
        }
        Form::Hatched => format!(r#"<path class="kw-hatch" d="{}"/>"#, hatches(from, to, high, low)),
    };
    out.push_str(&path);
}

fn box_path(from: f64, to: f64, high: f64, low: f64) -> String {
    let mut path = String::new();
    for (command, pixels) in [('M', from), (' ', high), ('H', to), ('V', low), ('H', from)] {
        path.push(command);
        push_tenths(&mut path, tenths(pixels));
    }
    path.push('Z');
    path
}

/// Strokes from side to side.
fn stripes(from: f64, to: f64, high: f64, low: f64) -> String {
    let mut path = String::new();
    let mut at = low - STRIPES / 2.0;
    while at > high {
        push_stroke(&mut path, (from, at), (to, at));
        at -= STRIPES;
    }
    if path.is_empty() {
        push_stroke(&mut path, (from, low), (to, low));
    }
    path
}

/// Slanted strokes, held to a box.
fn hatches(from: f64, to: f64, high: f64, low: f64) -> String {
    let mut path = String::new();
    let (wide, tall) = (to - from, low - high);
    // Each goes up to the right, `offset` from where one through the lower left corner would begin.
    let mut offset = HATCH - tall;
    while offset < wide {
        let begin = offset.max(0.0);
        let end = (offset + tall).min(wide);
        push_stroke(&mut path, (from + begin, low - (begin - offset)), (from + end, low - (end - offset)));
        offset += HATCH;
    }
    path
}

fn push_stroke(path: &mut String, begin: (f64, f64), end: (f64, f64)) {
    for (command, (x, y)) in [('M', begin), ('L', end)] {
        path.push(command);
        push_tenths(path, tenths(x));
        path.push(' ');
        push_tenths(path, tenths(y));
    }
}

#[cfg(test)]
mod tests;
