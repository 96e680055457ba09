//! Kwapi's graphs: our own drawing, once as SVG; a PNG is that SVG rasterised.
//!
//! Pure: the same input gives the same bytes, so a graph may be cached until its archive has a new row. Time about
//! which nothing is known is shaded and never drawn across; a probe graph is one line over its area, the summary stacks all
//! probes, the largest each in its own colour and the rest in one band, so that ten probes and a hundred thousand
//! cost the same picture.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the sizes of numbers in tests are known"
    )
)]

mod axis;
mod bars;
mod figures;
mod flow;
mod format;
mod frame;
mod marks;
mod palette;
mod png;
mod probe;
mod range;
mod stack;
mod summary;
mod svg;
mod theme;

pub use bars::{BarStep, EnergyBar, draw_bars};
pub use figures::{EnergyFigure, Figures};
pub use flow::{FlowForm, FlowNode, draw_flow};
pub use format::{cost_text, energy_text, number_text, watts_text, watts_texts};
pub use frame::GraphRange;
pub use marks::{RowMark, RowStatus};
pub use palette::{HUE_DEFAULT, colour, identity};
pub use png::{PNG_SCALE_MAX, PngError, png};
pub use probe::{draw_marked_probe, draw_probe};
pub use range::draw_range;
pub use stack::{Band, Stacked, StackedSum, natural_order};
pub use summary::draw_summary;
pub use theme::Theme;

use jiff::tz::TimeZone;
use kwapi_core::Period;

/// What a kilowatt-hour costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tariff {
    /// As it is shown after an amount: `EUR`, `€`, `$`.
    pub currency: String,
    /// Price of one kilowatt-hour in that currency.
    pub price_per_kwh: f64,
}

/// The size of a picture, in pixels at scale 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Overall width.
    pub width: u16,
    /// Overall height.
    pub height: u16,
    /// Whether the title and the legend are drawn too. A page writes them as text of its own.
    pub framed: bool,
}

impl Size {
    /// A probe's graph, as large as the original's.
    pub const PROBE: Self = Self { width: 497, height: 187, framed: true };
    /// The summary, as large as the original's.
    pub const SUMMARY: Self = Self { width: 694, height: 261, framed: true };
}

/// How a graph is to look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Its size.
    pub size: Size,
    /// Where its colours come from.
    pub theme: Theme,
    /// Zone of the time axis.
    pub zone: TimeZone,
    /// Top of the power axis in watts; `None` follows the data.
    pub power_max: Option<f64>,
    /// Hue of the power, in degrees of the OKLCH colour wheel.
    pub hue: f64,
    /// Tariff of the cost; `None` shows none.
    pub tariff: Option<Tariff>,
}

/// The stretch of time a graph shows, in Unix seconds: it ends with the row `now` is in.
pub fn window(period: Period, now: u64) -> (u64, u64) {
    let step = period.step_seconds();
    let end = now.div_ceil(step).saturating_mul(step);
    (end.saturating_sub(period.seconds()), end)
}

#[cfg(test)]
mod tests;
