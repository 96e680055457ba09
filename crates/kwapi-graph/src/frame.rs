//! What every graph has around its data: title, axes, legend, and words where there is nothing to draw.

use std::fmt::Write;

use kwapi_core::{Period, Series};

use super::axis::{AmountAxis, civil_time, power_axis, time_axis, zone_label};
use super::figures::known;
use super::format::{cost_text, watts_texts};
use super::svg::{Plot, escape, gap_path, shorten};
use super::{Figures, Look, Theme, window};

/// Height of the title, of the time axis and of one line of the legend, in pixels.
const TITLE: f64 = 24.0;
const TIMES: f64 = 19.0;
const LEGEND_LINE: f64 = 17.0;
/// Room below a plot that has a lane which shows how sure it is, in pixels.
pub(super) const LANE_ROOM: f64 = 11.0;
/// Mean width of a character at font size 11, to leave room for labels.
const CHARACTER: f64 = 6.4;

/// Any range of time.
#[derive(Clone, Copy, Debug)]
pub struct GraphRange<'a> {
    /// Its begin, in Unix seconds…
    pub start: u64,
    /// …and its end.
    pub end: u64,
    /// The range in words, as it stands in a sentence.
    pub words: &'a str,
}

/// The time that a graph shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown<'a> {
    /// A period that ends at an instant, in Unix seconds.
    Period(Period, u64),
    /// The same, with a lane that shows how sure each moment is, as a range has one.
    MarkedPeriod(Period, u64),
    /// Any range.
    Range(&'a GraphRange<'a>),
}

/// A graph being drawn.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) look: &'a Look,
    shown: Shown<'a>,
    pub(super) title: &'a str,
    pub(super) figures: Figures,
    pub(super) plot: Plot,
    axis: AmountAxis,
    /// Room below the plot for what shows how sure it is, in pixels.
    lane: f64,
}

impl<'a> Frame<'a> {
    pub(super) fn new(
        look: &'a Look,
        shown: Shown<'a>,
        title: &'a str,
        figures: Figures,
        peak: Option<f64>,
    ) -> Self {
        let (width, height) = (f64::from(look.size.width), f64::from(look.size.height));
        let (head, foot) = if look.size.framed { (TITLE + 5.0, 2.0 * LEGEND_LINE + 6.0) } else { (9.0, 0.0) };
        let lane = match shown {
            Shown::Period(..) => 0.0,
            Shown::MarkedPeriod(..) | Shown::Range(_) => LANE_ROOM,
        };
        let (top, bottom) = (head, (height - foot - TIMES - lane).max(head + 10.0));
        let lines_max = if bottom - top > 140.0 { 5 } else { 4 };
        let axis = power_axis(peak.unwrap_or(0.0), look.power_max, lines_max);
        let label = axis.ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(1);
        let left = (label as f64 * CHARACTER + 9.0).min(width / 3.0);
        let (start, end) = match shown {
            Shown::Period(period, now) | Shown::MarkedPeriod(period, now) => window(period, now),
            Shown::Range(range) => (range.start, range.end),
        };
        let plot = Plot {
            left,
            top,
            width: (width - left - 10.0).max(10.0),
            height: bottom - top,
            start,
            end,
            power_max: axis.max,
        };
        Self { look, shown, title, figures, plot, axis, lane }
    }

    /// The root element, up to where the data is drawn. `attributes` go into the root as they are.
    pub(super) fn open(&self, words: &str, attributes: &str) -> String {
        let (width, height) = (self.look.size.width, self.look.size.height);
        let mut out = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" class="kw-graph" role="img" aria-label="{}" font-family="Inter,system-ui,sans-serif" font-size="11""#,
            escape(words)
        );
        match self.look.theme {
            Theme::Page => _ = write!(out, "{attributes}>"),
            Theme::Alone | Theme::Light | Theme::Dark => {
                _ = write!(
                    out,
                    r#" width="{width}" height="{height}"><title>{}</title>{}"#,
                    escape(words),
                    self.look.theme.style()
                );
                if self.lane > 0.0 {
                    out.push_str(&self.look.theme.mark_style());
                }
                _ = write!(out, r#"<rect class="kw-back" width="{width}" height="{height}"/>"#);
            }
        }
        if self.look.size.framed {
            let room = usize::from(self.look.size.width) / 9;
            let label = match self.shown {
                Shown::Period(period, _) | Shown::MarkedPeriod(period, _) => period.label(),
                Shown::Range(range) => range.words,
            };
            _ = write!(
                out,
                r#"<text class="kw-text" x="10" y="18" font-size="13">{}</text><text class="kw-dim" x="{}" y="18" text-anchor="end">{}</text>"#,
                escape(&shorten(self.title, room)),
                f64::from(width) - 10.0,
                escape(label)
            );
        }
        out
    }

    /// The shade of unknown time and the grid, to go behind the data.
    pub(super) fn behind(&self, out: &mut String, series: &Series) {
        let gaps = gap_path(&self.plot, series);
        if !gaps.is_empty() {
            _ = write!(out, r#"<path class="kw-gap" d="{gaps}"/>"#);
        }
        self.write_grid(out);
    }

    /// The grid, and what is written at its lines.
    pub(super) fn write_grid(&self, out: &mut String) {
        let mut grid = String::new();
        let (left, right) = (self.plot.left, self.plot.right());
        for (watts, text) in &self.axis.ticks {
            let y = self.plot.y(*watts);
            if *watts > 0.0 {
                _ = write!(grid, "M{left:.1} {y:.1}H{right:.1}");
            }
            _ = write!(
                out,
                r#"<text class="kw-dim" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                left - 5.0,
                y + 3.8
            );
        }
        let labels = (self.plot.width / 62.0).floor().max(2.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "2 to some hundreds")]
        let ticks = time_axis(self.plot.start, self.plot.end, &self.look.zone, labels as u64);
        for (at, text) in &ticks {
            let x = self.plot.x(*at);
            _ = write!(grid, "M{x:.1} {:.1}V{:.1}", self.plot.top, self.plot.bottom() + self.lane + 3.0);
            // A label that would leave the picture is pulled in.
            let half = text.chars().count() as f64 * CHARACTER / 2.0;
            let x = x.max(half + 3.0).min(f64::from(self.look.size.width) - half - 3.0);
            _ = write!(
                out,
                r#"<text class="kw-dim" x="{x:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                self.plot.bottom() + self.lane + 15.0
            );
        }
        if self.look.size.framed {
            _ = write!(
                out,
                r#"<text class="kw-dim" x="{:.1}" y="{:.1}" text-anchor="end" font-size="9">{}</text>"#,
                f64::from(self.look.size.width) - 10.0,
                f64::from(self.look.size.height) - 8.0,
                escape(&zone_label(self.plot.end, &self.look.zone))
            );
        }
        _ = write!(out, r#"<path class="kw-grid" d="{grid}"/>"#);
    }

    /// The base line, the words of an empty graph, the legend, and the end of the root element.
    pub(super) fn close(&self, mut out: String, last_seen: Option<u64>) -> String {
        let (left, right, bottom) = (self.plot.left, self.plot.right(), self.plot.bottom());
        _ = write!(out, r#"<path class="kw-axis" d="M{left:.1} {bottom:.1}H{right:.1}"/>"#);
        if self.figures.last.is_none() {
            self.write_emptiness(&mut out, last_seen);
        }
        if self.look.size.framed {
            self.write_legend(&mut out);
        }
        out.push_str("</svg>");
        out
    }

    fn write_emptiness(&self, out: &mut String, last_seen: Option<u64>) {
        let middle = self.plot.left + self.plot.width / 2.0;
        let y = self.plot.top + self.plot.height / 2.0;
        let (first, second) = self.emptiness(last_seen);
        _ = write!(
            out,
            r#"<text class="kw-text" x="{middle:.1}" y="{:.1}" text-anchor="middle" font-size="13">{first}</text><text class="kw-dim" x="{middle:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            y - 3.0,
            y + 14.0,
            escape(&second)
        );
    }

    fn emptiness(&self, last_seen: Option<u64>) -> (&'static str, String) {
        let last_seen = last_seen.filter(|at| *at < self.plot.start);
        match (last_seen.and_then(|at| civil_time(at, &self.look.zone)), self.shown) {
            (Some(at), _) => ("No data", format!("last measured {}", at.strftime("%-d %b %Y, %H:%M"))),
            (None, Shown::Period(period, _)) => {
                ("No data yet", format!("one row per {}", step_words(period)))
            }
            (None, Shown::MarkedPeriod(..) | Shown::Range(_)) => {
                ("Unknown", "no power is known of this time".to_owned())
            }
        }
    }

    fn write_legend(&self, out: &mut String) {
        let figures = &self.figures;
        let [min, max, average, last] =
            watts_texts([figures.min, figures.max, figures.average, figures.last]);
        let column = (f64::from(self.look.size.width) - 20.0) / 4.0;
        let height = f64::from(self.look.size.height);
        let mut write_at = |column_index: f64, line: f64, name: &str, value: &str| {
            _ = write!(
                out,
                r#"<text x="{:.1}" y="{:.1}"><tspan class="kw-dim">{name} </tspan><tspan class="kw-text">{}</tspan></text>"#,
                10.0 + column * column_index,
                height - 8.0 - LEGEND_LINE * line,
                escape(value)
            );
        };
        write_at(0.0, 1.0, "Min", &min);
        write_at(1.0, 1.0, "Max", &max);
        write_at(2.0, 1.0, "Avg", &average);
        write_at(3.0, 1.0, "Last", &last);
        if let Some(energy) = figures.energy.text() {
            write_at(0.0, 0.0, "Energy", &energy);
        }
        if let Some(cost) = self.cost() {
            write_at(1.0, 0.0, "Cost", &cost);
        }
        if let Some(share) = self.unknown_share().filter(|_| figures.last.is_some()) {
            write_at(2.0, 0.0, "Known", &format!("{share} of the time"));
        }
    }

    fn cost(&self) -> Option<String> {
        let tariff = self.look.tariff.as_ref()?;
        let energy = self.figures.energy;
        let amount = energy.kwh()? * tariff.price_per_kwh;
        let text = || format!("{}{}", energy.mark(), cost_text(amount, &shorten(&tariff.currency, 8)));
        amount.is_finite().then(text)
    }

    /// How much of the time is known, when it is not all of it.
    fn unknown_share(&self) -> Option<String> {
        let whole = self.plot.end.saturating_sub(self.plot.start).max(1);
        let share = self.figures.known_seconds as f64 * 100.0 / whole as f64;
        (share < 99.0).then(|| format!("{share:.0} %"))
    }

    /// The graph in a sentence, for those who do not see it.
    pub(super) fn words(&self, last_seen: Option<u64>) -> String {
        let figures = &self.figures;
        let time = match self.shown {
            Shown::Period(period, _) | Shown::MarkedPeriod(period, _) => period_words(period),
            Shown::Range(range) => range.words,
        };
        let mut words = format!("{}, {time}: ", self.title);
        let powers = [figures.min, figures.max, figures.average, figures.last];
        if powers.iter().any(Option::is_none) {
            let (first, second) = self.emptiness(last_seen);
            _ = write!(words, "{first}, {second}");
            return words;
        }
        let [min, max, average, last] = watts_texts(powers);
        _ = write!(
            words,
            "minimum {min}, maximum {max}, average {average}, last {last}; energy {}",
            figures.energy.text().as_deref().unwrap_or("unknown")
        );
        if let Some(cost) = self.cost() {
            _ = write!(words, "; cost {cost}");
        }
        if let Some(share) = self.unknown_share() {
            _ = write!(words, "; {share} of the time known");
        }
        words
    }

    /// What the page's script needs to read values off the drawing; only a drawing within a page carries it.
    pub(super) fn data(&self, series: &Series) -> String {
        if self.look.theme != Theme::Page || self.figures.last.is_none() {
            return String::new();
        }
        let plot = &self.plot;
        let mut out = format!(
            r#" data-plot="{:.1} {:.1} {:.1} {:.1} {} {}" data-rows="{} {}" data-watts=""#,
            plot.left,
            plot.right(),
            plot.top,
            plot.bottom(),
            plot.start,
            plot.end,
            series.start,
            series.step.max(1)
        );
        push_powers(&mut out, series.watts.iter().copied());
        out.push('"');
        out
    }

    /// The same, with the least and the most of each row.
    pub(super) fn data_with_ends(&self, series: &Series, ends: &[Option<(f64, f64)>]) -> String {
        let mut out = self.data(series);
        if !out.is_empty() {
            out.push_str(r#" data-least=""#);
            push_powers(&mut out, ends.iter().map(|ends| ends.map(|(least, _)| least)));
            out.push_str(r#"" data-most=""#);
            push_powers(&mut out, ends.iter().map(|ends| ends.map(|(_, most)| most)));
            out.push('"');
        }
        out
    }
}

/// Writes powers in watts, separated by commas; nothing for one that is not known.
fn push_powers(out: &mut String, powers: impl Iterator<Item = Option<f64>>) {
    for (index, watts) in powers.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if let Some(watts) = known(watts) {
            _ = if watts < 1e3 { write!(out, "{watts:.1}") } else { write!(out, "{watts:.0}") };
        }
    }
}

/// A period as it stands in a sentence.
pub(super) const fn period_words(period: Period) -> &'static str {
    match period {
        Period::Minute => "last 5 minutes",
        Period::Hour => "last hour",
        Period::Day => "last day",
        Period::Week => "last week",
        Period::Month => "last month",
        Period::Year => "last year",
    }
}

const fn step_words(period: Period) -> &'static str {
    match period {
        Period::Minute => "second",
        Period::Hour => "10 seconds",
        Period::Day => "15 minutes",
        Period::Week => "2 hours",
        Period::Month => "6 hours",
        Period::Year => "week",
    }
}
