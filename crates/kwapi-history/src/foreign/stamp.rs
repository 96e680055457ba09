//! When a row was measured, from whatever its file has.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use kwapi_core::Timestamp;

use super::Cell;

/// A stamp before 2000 or after 2200 is a clock that was never set, or another unit.
const MICROS: std::ops::Range<i64> = 946_684_800_000_000..7_258_118_400_000_000;

/// How stamps are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// As RFC 3339 has it, or as a Unix time whose unit its size determines.
    #[default]
    Guess,
    /// A Unix time, of which so many make a second.
    Unix(i64),
    /// By a pattern of `strptime`: `%d.%m.%Y %H:%M:%S`.
    Pattern(String),
}

impl FromStr for TimeFormat {
    type Err = String;

    /// Reads `auto`, `unix`, `unix-ms`, `unix-us`, `unix-ns` or a pattern, which has a `%`.
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Guess,
            "unix" => Self::Unix(1),
            "unix-ms" => Self::Unix(1_000),
            "unix-us" => Self::Unix(1_000_000),
            "unix-ns" => Self::Unix(1_000_000_000),
            pattern if pattern.contains('%') => Self::Pattern(pattern.to_owned()),
            _ => {
                return Err(
                    "expected auto, unix, unix-ms, unix-us, unix-ns or a pattern such as %d.%m.%Y %H:%M:%S"
                        .to_owned(),
                );
            }
        })
    }
}

/// Why a stamp makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// There is none.
    #[error("no time")]
    Absent,
    /// It is not written so.
    #[error("{0:?} is no time in this format")]
    Format(String),
    /// It has no zone, and none was given.
    #[error("{0:?} has no zone; use --zone")]
    NoZone(String),
    /// The clock passes over it when summer time begins.
    #[error("{0} does not exist in this zone")]
    Skipped(DateTime),
    /// It is before 2000 or after 2200.
    #[error("{0:?} is before 2000 or after 2200")]
    Implausible(String),
}

/// The instant of a stamp; two where summer time ends and the clock shows the hour twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    /// The instant, or the first of two.
    pub first: Timestamp,
    /// The second of two.
    pub second: Option<Timestamp>,
}

/// Reads stamps.
#[derive(Clone, Debug, Default)]
pub struct Stamps {
    /// How they are written.
    pub format: TimeFormat,
    /// The zone of those that have none.
    pub zone: Option<TimeZone>,
}

impl Stamps {
    /// The instant of a cell.
    ///
    /// # Errors
    /// See [`StampError`].
    pub fn read(&self, cell: &Cell) -> Result<Instants, StampError> {
        match (cell, &self.format) {
            (Cell::Empty, _) => Err(StampError::Absent),
            (Cell::Instant(micros), _) => single(*micros, cell),
            (Cell::Civil(micros), _) => {
                let at = jiff::Timestamp::from_microsecond(*micros).map_err(|_| implausible(cell))?;
                self.civil(TimeZone::UTC.to_datetime(at), cell)
            }
            (Cell::Text(text), TimeFormat::Pattern(pattern)) => self.by_pattern(text, pattern, cell),
            (_, TimeFormat::Pattern(_)) => Err(StampError::Format(shown(cell))),
            (Cell::Integer(number), TimeFormat::Unix(per_second)) => whole(*number, *per_second, cell),
            (Cell::Integer(number), TimeFormat::Guess) => whole(*number, unit_of(*number as f64), cell),
            (Cell::Number(number), TimeFormat::Unix(per_second)) => fractional(*number, *per_second, cell),
            (Cell::Number(number), TimeFormat::Guess) => fractional(*number, unit_of(*number), cell),
            (Cell::Text(text), TimeFormat::Unix(per_second)) => unix_text(text, Some(*per_second), cell),
            (Cell::Text(text), TimeFormat::Guess) => {
                if let Ok(at) = text.parse::<jiff::Timestamp>() {
                    return single(at.as_microsecond(), cell);
                }
                if let Ok(civil) = text.parse::<DateTime>() {
                    return self.civil(civil, cell);
                }
                unix_text(text, None, cell)
            }
        }
    }

    fn by_pattern(&self, text: &str, pattern: &str, cell: &Cell) -> Result<Instants, StampError> {
        let wrong = |_| StampError::Format(text.to_owned());
        let parsed = strtime::parse(pattern, text).map_err(wrong)?;
        if parsed.offset().is_some() || parsed.timestamp().is_some() {
            return single(parsed.to_timestamp().map_err(wrong)?.as_microsecond(), cell);
        }
        self.civil(parsed.to_datetime().map_err(wrong)?, cell)
    }

    fn civil(&self, civil: DateTime, cell: &Cell) -> Result<Instants, StampError> {
        let zone = self.zone.as_ref().ok_or_else(|| StampError::NoZone(shown(cell)))?;
        let skipped = |_| StampError::Skipped(civil);
        let at = zone.to_ambiguous_timestamp(civil);
        if matches!(at.offset(), AmbiguousOffset::Gap { .. }) {
            return Err(StampError::Skipped(civil));
        }
        let first = single(at.earlier().map_err(skipped)?.as_microsecond(), cell)?;
        let second = single(at.later().map_err(skipped)?.as_microsecond(), cell)?;
        Ok(Instants { second: Some(second.first).filter(|second| *second != first.first), ..first })
    }
}

fn single(micros: i64, cell: &Cell) -> Result<Instants, StampError> {
    let first = u64::try_from(micros).ok().filter(|_| MICROS.contains(&micros));
    let first = first.map(Timestamp::from_micros).ok_or_else(|| implausible(cell))?;
    Ok(Instants { first, second: None })
}

fn whole(number: i64, per_second: i64, cell: &Cell) -> Result<Instants, StampError> {
    let micros = i128::from(number) * 1_000_000 / i128::from(per_second.max(1));
    single(i64::try_from(micros).unwrap_or(i64::MAX), cell)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is out of range is held at its end, and refused there"
)]
fn fractional(number: f64, per_second: i64, cell: &Cell) -> Result<Instants, StampError> {
    single((number * 1e6 / per_second as f64).round() as i64, cell)
}

/// A Unix time that is written out; `per_second` as far as it is known.
fn unix_text(text: &str, per_second: Option<i64>, cell: &Cell) -> Result<Instants, StampError> {
    if let Ok(number) = text.parse::<i64>() {
        return whole(number, per_second.unwrap_or_else(|| unit_of(number as f64)), cell);
    }
    let number = text.parse::<f64>().map_err(|_| StampError::Format(text.to_owned()))?;
    fractional(number, per_second.unwrap_or_else(|| unit_of(number)), cell)
}

/// How many of a Unix time's units make a second: from 2000 to 2200 its size determines it.
fn unit_of(number: f64) -> i64 {
    let seconds_max = MICROS.end as f64 / 1e6;
    [1, 1_000, 1_000_000]
        .into_iter()
        .find(|per_second| number < seconds_max * *per_second as f64)
        .unwrap_or(1_000_000_000)
}

fn implausible(cell: &Cell) -> StampError {
    StampError::Implausible(shown(cell))
}

fn shown(cell: &Cell) -> String {
    cell.text().unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests;
