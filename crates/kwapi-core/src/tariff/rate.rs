//! A rate: what is charged under one name, and what it was when.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Decimal, QUARTER_MS, QuarterOfWeek, WeekHours};

/// What a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateUnit {
    /// Money for a kilowatt-hour.
    Kwh,
    /// Money for a month, whatever is used.
    Month,
    /// Money for each kilowatt of the month's highest quarter hour.
    PeakKw,
    /// No money: what the whole site uses for each kilowatt-hour that is metered (power usage effectiveness).
    Pue,
    /// No money: grams of CO2 for a kilowatt-hour.
    Co2,
}

/// A value by the quarter hour, half hour or hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateSeries {
    step_ms: u64,
    values: BTreeMap<u64, Decimal>,
}

/// What a rate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateValue {
    /// The same all the time.
    Constant(Decimal),
    /// Of each interval its own.
    Series(RateSeries),
}

/// What a rate is at some times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateEntry {
    /// From when until when, in Unix milliseconds.
    pub valid: Range<u64>,
    /// In which hours of the week.
    pub hours: WeekHours,
    /// What it is.
    pub value: RateValue,
}

/// A rate under one name. At no time are there two entries of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRate")]
pub struct Rate {
    name: String,
    unit: RateUnit,
    entries: Vec<RateEntry>,
}

/// A rate as it was written, which may be no rate.
#[derive(Deserialize)]
struct WrittenRate {
    name: String,
    unit: RateUnit,
    entries: Vec<RateEntry>,
}

impl TryFrom<WrittenRate> for Rate {
    type Error = RateError;

    fn try_from(written: WrittenRate) -> Result<Self, RateError> {
        Self::new(written.name, written.unit, written.entries)
    }
}

/// Why entries make no rate. Each is named by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It begins or ends within a quarter hour, which has one price.
    #[error("begins or ends within a quarter hour; a quarter hour has one price")]
    WithinQuarter(usize),
    /// It ends before it begins.
    #[error("ends before it begins")]
    Reversed(usize),
    /// Two apply at once.
    #[error("applies at the same time as another of its name")]
    Overlap(usize, usize),
    /// What is charged by the month has one price at a time.
    #[error("by the month or the peak must be one number, and by the month has no hours")]
    NotConstant(usize),
    /// A factor that takes energy away.
    #[error("must be {}", if *.0 == RateUnit::Pue { "1 or more" } else { "0 or more" })]
    TooSmall(RateUnit, usize),
}

impl RateError {
    /// Which of the entries is at fault.
    pub fn place(&self) -> usize {
        match self {
            Self::WithinQuarter(place)
            | Self::Reversed(place)
            | Self::Overlap(_, place)
            | Self::NotConstant(place)
            | Self::TooSmall(_, place) => *place,
        }
    }
}

impl RateSeries {
    /// Values that each apply for `step_ms` milliseconds from their begins, in Unix milliseconds.
    pub fn new(step_ms: u64, values: BTreeMap<u64, Decimal>) -> Self {
        Self { step_ms, values }
    }

    fn at(&self, at: u64) -> Option<Decimal> {
        let (begin, value) = self.values.range(..=at).next_back()?;
        (at - begin < self.step_ms).then_some(*value)
    }

    fn is_whole_quarters(&self) -> bool {
        self.step_ms > 0
            && self.step_ms.is_multiple_of(QUARTER_MS)
            && self.values.keys().all(|begin| begin.is_multiple_of(QUARTER_MS))
    }
}

impl RateValue {
    fn values(&self) -> impl Iterator<Item = Decimal> {
        let (one, many) = match self {
            Self::Constant(value) => (Some(*value), None),
            Self::Series(series) => (None, Some(series.values.values().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl Rate {
    /// A rate of these entries.
    ///
    /// # Errors
    /// When entries overlap, or make no sense.
    pub fn new(name: impl Into<String>, unit: RateUnit, entries: Vec<RateEntry>) -> Result<Self, RateError> {
        let least = match unit {
            RateUnit::Pue => Some(Decimal::ONE),
            RateUnit::Co2 => Some(Decimal::ZERO),
            RateUnit::Kwh | RateUnit::Month | RateUnit::PeakKw => None,
        };
        for (place, entry) in entries.iter().enumerate() {
            let is_whole = |at: u64| at == u64::MAX || at.is_multiple_of(QUARTER_MS);
            if !is_whole(entry.valid.start) || !is_whole(entry.valid.end) {
                return Err(RateError::WithinQuarter(place));
            }
            if entry.valid.is_empty() {
                return Err(RateError::Reversed(place));
            }
            if least.is_some_and(|least| entry.value.values().any(|value| value < least)) {
                return Err(RateError::TooSmall(unit, place));
            }
            let is_by_month = matches!(unit, RateUnit::Month | RateUnit::PeakKw);
            match &entry.value {
                RateValue::Series(_) if is_by_month => return Err(RateError::NotConstant(place)),
                RateValue::Series(series) if !series.is_whole_quarters() => {
                    return Err(RateError::WithinQuarter(place));
                }
                RateValue::Series(_) => {}
                RateValue::Constant(_) => {
                    if unit == RateUnit::Month && entry.hours != WeekHours::default() {
                        return Err(RateError::NotConstant(place));
                    }
                }
            }
            let overlaps_too = |other: &RateEntry| {
                let overlaps = other.valid.start < entry.valid.end && entry.valid.start < other.valid.end;
                overlaps && other.hours.overlaps(&entry.hours)
            };
            if let Some(before) = entries.iter().take(place).position(overlaps_too) {
                return Err(RateError::Overlap(before, place));
            }
        }
        Ok(Self { name: name.into(), unit, entries })
    }

    /// Its name on bills.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn unit(&self) -> RateUnit {
        self.unit
    }

    /// What of it applies from `span`'s start until its end, in Unix milliseconds: in that time it is the same rate.
    #[must_use]
    pub fn within(&self, span: &Range<u64>) -> Self {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            entry.valid = entry.valid.start.max(span.start)..entry.valid.end.min(span.end);
            if let RateValue::Series(series) = &mut entry.value {
                let first =
                    series.values.range(..=span.start).next_back().map_or(span.start, |(begin, _)| *begin);
                series.values.retain(|begin, _| (first..span.end).contains(begin));
            }
        }
        entries.retain(|entry| !entry.valid.is_empty());
        Self { name: self.name.clone(), unit: self.unit, entries }
    }

    /// Its entries.
    pub(crate) fn entries(&self) -> &[RateEntry] {
        &self.entries
    }

    /// Which entry applies in the quarter hour that begins at `begin`, and what it sets.
    pub(crate) fn at(&self, begin: u64, of_week: QuarterOfWeek) -> Option<(usize, Decimal)> {
        let applies = |entry: &RateEntry| entry.valid.contains(&begin) && entry.hours.has(of_week);
        let (place, entry) = self.entries.iter().enumerate().find(|(_, entry)| applies(entry))?;
        match &entry.value {
            RateValue::Constant(value) => Some((place, *value)),
            RateValue::Series(series) => Some((place, series.at(begin)?)),
        }
    }
}

#[cfg(test)]
mod tests;
