//! Where the lines of the grid go, and what is written at them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use super::format::number_text;

/// The lines of an axis of power or energy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AmountAxis {
    /// Watts or watt-hours at the top.
    pub(super) max: f64,
    /// Amount and text of each line, from 0 up; the top one names the unit.
    pub(super) ticks: Vec<(f64, String)>,
}

/// The axis of power up to `peak` watts.
pub(super) fn power_axis(peak: f64, fixed: Option<f64>, lines_max: usize) -> AmountAxis {
    amount_axis("W", peak, fixed, lines_max)
}

/// The axis of energy up to `peak` watt-hours.
pub(super) fn energy_axis(peak: f64, lines_max: usize) -> AmountAxis {
    amount_axis("Wh", peak, None, lines_max)
}

/// Divides 0 to `peak` into at most `lines_max` even steps of 1, 2, 2.5 or 5 times a power of ten. `fixed` sets the top.
fn amount_axis(unit: &str, peak: f64, fixed: Option<f64>, lines_max: usize) -> AmountAxis {
    let fixed = fixed.filter(|max| max.is_finite() && *max > 0.0);
    // An idle probe at 0 W still gets an axis; the headroom keeps the highest line off the frame.
    let peak = if peak.is_finite() && peak > 0.0 { peak * 1.04 } else { 1.0 };
    let reach = fixed.unwrap_or(peak).clamp(1e-3, 1e30);
    let lines_max = lines_max.max(1);
    let least = reach / lines_max as f64;
    let power = 10_f64.powi(floor(least.log10()));
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= least * 0.999_999);
    let step = step.unwrap_or(10.0 * power);
    let count = (1..=lines_max).find(|count| step * *count as f64 >= reach * 0.999_999).unwrap_or(lines_max);
    let max = fixed.unwrap_or(step * count as f64);
    let (prefix, factor) = match step * count as f64 {
        top if top < 2e3 => ("", 1.0),
        top if top < 2e6 => ("k", 1e3),
        top if top < 2e9 => ("M", 1e6),
        _ => ("G", 1e9),
    };
    let decimals = (0..6).find(|decimals| {
        let shifted = step / factor * 10_f64.powi(*decimals);
        (shifted - shifted.round()).abs() < 1e-6 * shifted
    });
    let decimals = decimals.and_then(|decimals| usize::try_from(decimals).ok()).unwrap_or(6);
    let lines: Vec<_> =
        (0..=count).map(|line| step * line as f64).filter(|watts| *watts <= max * 1.000_001).collect();
    let top = lines.len().saturating_sub(1);
    let text = |watts: f64| {
        let value = watts / factor;
        if value < 1e7 { number_text(value, decimals) } else { format!("{value:.0e}") }
    };
    let ticks = lines
        .iter()
        .enumerate()
        .map(|(line, watts)| match line {
            0 => (*watts, "0".to_owned()),
            line if line == top => (*watts, format!("{} {prefix}{unit}", text(*watts))),
            _ => (*watts, text(*watts)),
        })
        .collect();
    AmountAxis { max, ticks }
}

#[expect(clippy::cast_possible_truncation, reason = "a logarithm of a clamped power is within ±40")]
fn floor(value: f64) -> i32 {
    value.floor() as i32
}

/// How far apart the lines of a time axis may lie, finest first.
const TIME_STEPS: &[(TimeStep, u64)] = &[
    (TimeStep::Minutes(1), 60),
    (TimeStep::Minutes(2), 120),
    (TimeStep::Minutes(5), 300),
    (TimeStep::Minutes(10), 600),
    (TimeStep::Minutes(15), 900),
    (TimeStep::Minutes(30), 1_800),
    (TimeStep::Hours(1), 3_600),
    (TimeStep::Hours(2), 7_200),
    (TimeStep::Hours(3), 10_800),
    (TimeStep::Hours(6), 21_600),
    (TimeStep::Hours(12), 43_200),
    (TimeStep::Days(1), 86_400),
    (TimeStep::Days(2), 172_800),
    (TimeStep::Weeks, 604_800),
    (TimeStep::Months(1), 2_629_746),
    (TimeStep::Months(2), 5_259_492),
    (TimeStep::Months(3), 7_889_238),
];

/// An even step of the clock on the wall, or of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeStep {
    Minutes(i8),
    Hours(i8),
    /// From midnight; every other one is counted from New Year, so that lines stay where they are as time passes.
    Days(i8),
    /// From Monday to Monday.
    Weeks,
    Months(i8),
}

impl TimeStep {
    fn span(self) -> Span {
        match self {
            Self::Minutes(minutes) => i64::from(minutes).minutes(),
            Self::Hours(hours) => i64::from(hours).hours(),
            Self::Days(days) => i64::from(days).days(),
            Self::Weeks => 7.days(),
            Self::Months(months) => i64::from(months).months(),
        }
    }

    /// The last instant at or before `at` that lies on this step.
    fn floor(self, at: DateTime) -> Option<DateTime> {
        let midnight = at.date().at(0, 0, 0, 0);
        match self {
            Self::Minutes(minutes) => Some(at.date().at(at.hour(), at.minute() / minutes * minutes, 0, 0)),
            Self::Hours(hours) => Some(at.date().at(at.hour() / hours * hours, 0, 0, 0)),
            Self::Days(days) => {
                let past = (at.date().day_of_year() - 1) % i16::from(days);
                midnight.checked_sub(i64::from(past).days()).ok()
            }
            Self::Weeks => {
                midnight.checked_sub(i64::from(at.date().weekday().to_monday_zero_offset()).days()).ok()
            }
            Self::Months(months) => {
                let month = (at.month() - 1) / months * months + 1;
                at.date().with().day(1).month(month).build().ok().map(|date| date.at(0, 0, 0, 0))
            }
        }
    }

    fn label(self, at: DateTime) -> String {
        let format = match self {
            Self::Minutes(_) | Self::Hours(_) => "%H:%M",
            Self::Days(_) => "%a %-d",
            Self::Weeks => "%-d %b",
            Self::Months(_) if at.month() == 1 => "%Y",
            Self::Months(_) => "%b",
        };
        at.strftime(format).to_string()
    }
}

/// The lines of a time axis from `start` to `end` in Unix seconds, at most `lines_max` and one: on round times of the zone's
/// wall clock, whichever way it is set. None when the instants are beyond the calendar.
pub(super) fn time_axis(start: u64, end: u64, zone: &TimeZone, lines_max: u64) -> Vec<(u64, String)> {
    let span = end.saturating_sub(start);
    let step = TIME_STEPS
        .iter()
        .find(|(_, seconds)| span / seconds <= lines_max.max(1))
        .map_or(TimeStep::Months(3), |(step, _)| *step);
    let Some(mut civil) = civil_time(start, zone).and_then(|at| step.floor(at)) else { return Vec::new() };
    let mut ticks: Vec<(u64, String)> = Vec::new();
    for _ in 0..=lines_max.saturating_mul(2).min(100) {
        let Some(at) = zone
            .to_ambiguous_timestamp(civil)
            .compatible()
            .ok()
            .and_then(|at| u64::try_from(at.as_second()).ok())
        else {
            break;
        };
        if at > end {
            break;
        }
        let is_new = ticks.last().is_none_or(|(last, _)| at > *last);
        if at >= start && is_new {
            ticks.push((at, step.label(civil)));
        }
        let Ok(next) = civil.checked_add(step.span()) else { break };
        civil = next;
    }
    ticks
}

/// Unix seconds on the wall clock of `zone`.
pub(super) fn civil_time(at: u64, zone: &TimeZone) -> Option<DateTime> {
    let at = Timestamp::from_second(i64::try_from(at).ok()?).ok()?;
    Some(zone.to_datetime(at))
}

/// What the zone calls itself at `at`: `UTC`, `CET`, `+05:30`.
pub(super) fn zone_label(at: u64, zone: &TimeZone) -> String {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok());
    at.map_or_else(String::new, |at| zone.to_offset_info(at).abbreviation().to_owned())
}

#[cfg(test)]
mod tests;
