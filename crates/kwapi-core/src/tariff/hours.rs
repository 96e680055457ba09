//! Hours of a week in which a price applies.

use serde::{Deserialize, Serialize};

use super::QuarterOfWeek;

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Quarter hours of a day.
const QUARTERS: usize = 96;

/// Quarter hours of a week. The default is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "[String; 7]", try_from = "[String; 7]")]
pub struct WeekHours([u128; 7]);

/// Why a text is none of days or hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Of weekdays.
    #[error("{0:?} is not a weekday; write mon, tue, wed, thu, fri, sat, sun, or mon-fri")]
    Weekday(String),
    /// Of hours.
    #[error("{0:?} is not a part of the day in whole quarter hours; write for example 06:00-22:00")]
    Hours(String),
}

/// Each day as hexadecimal digits, from Monday on; its first quarter hour is the lowest bit.
impl From<WeekHours> for [String; 7] {
    fn from(hours: WeekHours) -> Self {
        hours.0.map(|day| format!("{day:x}"))
    }
}

impl TryFrom<[String; 7]> for WeekHours {
    type Error = std::num::ParseIntError;

    fn try_from(days: [String; 7]) -> Result<Self, Self::Error> {
        let mut week = [0; 7];
        for (day, text) in week.iter_mut().zip(&days) {
            *day = u128::from_str_radix(text, 16)?;
        }
        Ok(Self(week))
    }
}

impl Default for WeekHours {
    fn default() -> Self {
        Self([u128::MAX; 7])
    }
}

impl WeekHours {
    /// The hours `hours` (such as `22:00-06:00`, which is the end and the begin of each day) on `weekdays` (`sat`, `mon-fri`).
    /// None of either is all.
    ///
    /// # Errors
    /// At the first text that is none.
    pub fn new(weekdays: &[String], hours: &[String]) -> Result<Self, HoursError> {
        let mut day = if hours.is_empty() { u128::MAX } else { 0 };
        for text in hours {
            let (from, until) = range(text).ok_or_else(|| HoursError::Hours(text.clone()))?;
            let before = |end: usize| (1_u128 << end) - 1;
            day |= if from < until {
                before(until) & !before(from)
            } else {
                before(until) | (before(QUARTERS) & !before(from))
            };
        }
        let mut week = if weekdays.is_empty() { [day; 7] } else { [0; 7] };
        for text in weekdays {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let place = |name: &str| WEEKDAYS.iter().position(|weekday| *weekday == name.trim());
            let (Some(first), Some(last)) = (place(first), place(last)) else {
                return Err(HoursError::Weekday(text.clone()));
            };
            for (place, hours) in week.iter_mut().enumerate() {
                let is_in = if first <= last {
                    (first..=last).contains(&place)
                } else {
                    place >= first || place <= last
                };
                if is_in {
                    *hours = day;
                }
            }
        }
        Ok(Self(week))
    }

    /// Whether a quarter hour is one of them.
    pub(crate) fn has(&self, at: QuarterOfWeek) -> bool {
        self.0.get(at.weekday).is_some_and(|day| day >> at.quarter & 1 == 1)
    }

    /// Whether both have a quarter hour.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(own, other)| own & other != 0)
    }
}

/// The quarter hours of `06:00-22:00`.
fn range(text: &str) -> Option<(usize, usize)> {
    let (from, until) = text.split_once('-')?;
    let (from, until) = (quarter(from)?, quarter(until)?);
    (from != until && from < QUARTERS).then_some((from, until))
}

fn quarter(text: &str) -> Option<usize> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<usize>().ok().filter(|_| is_number)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let quarter = hours * 4 + minutes / 15;
    (minutes < 60 && minutes.is_multiple_of(15) && quarter <= QUARTERS).then_some(quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quarter hours, a character an hour and a line a day: `#` all of it, `+` some, `.` none.
    #[track_caller]
    fn check(weekdays: &[&str], hours: &[&str], expected: &str) {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let shown = match WeekHours::new(&owned(weekdays), &owned(hours)) {
            Err(error) => error.to_string(),
            Ok(hours) => {
                let hour = |weekday: usize, hour: usize| {
                    let quarters = hour * 4..hour * 4 + 4;
                    match quarters
                        .filter(|quarter| hours.has(QuarterOfWeek { weekday, quarter: *quarter }))
                        .count()
                    {
                        0 => '.',
                        4 => '#',
                        _ => '+',
                    }
                };
                let day = |weekday| (0..24).map(|at| hour(weekday, at)).collect::<String>();
                let mut days: Vec<String> = (0..7).map(day).collect();
                days.dedup();
                days.join(" ")
            }
        };
        assert_eq!(shown, expected, "{weekdays:?} {hours:?}");
    }

    #[test]
    fn hours_may_pass_midnight_and_days_the_end_of_the_week() {
        let (all, none) = ("#".repeat(24), ".".repeat(24));
        check(&[], &[], &all);
        check(&["mon-fri"], &[], &format!("{all} {none}"));
        check(&["sat-mon"], &[], &format!("{all} {none} {all}"));
        check(&["wed"], &[], &format!("{none} {all} {none}"));
        check(&[], &["22:00-06:00"], "######................##");
        check(&[], &["06:15-22:00"], "......+###############..");
        check(&[], &["00:00-24:00"], &all);
        check(&[], &["22:00-00:00", "06:00-07:00"], "......#...............##");
    }

    #[test]
    fn what_is_no_day_and_no_whole_quarter_hour_is_refused() {
        for text in ["monday", "", "mon-", "mon-fry"] {
            let expected =
                format!("{text:?} is not a weekday; write mon, tue, wed, thu, fri, sat, sun, or mon-fri");
            check(&[text], &[], &expected);
        }
        for text in
            ["6:00-22:00", "06:00", "06:10-22:00", "06:00-24:15", "24:00-06:00", "06:00-06:00", "+6:00-22:00"]
        {
            let expected = format!(
                "{text:?} is not a part of the day in whole quarter hours; write for example 06:00-22:00"
            );
            check(&[], &[text], &expected);
        }
    }
}
