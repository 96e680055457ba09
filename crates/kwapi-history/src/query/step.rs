//! Into which spans the time of a question is cut.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use kwapi_core::Timestamp;

/// How the time of a question is cut. The first and the last span end where the question does.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum EnergyStep {
    /// Not at all.
    #[default]
    Whole,
    /// At multiples of this since 1970 (UTC).
    Every(Duration),
    /// As a zone's calendar has it.
    Calendar(CalendarStep, TimeZone),
}

/// A step of the calendar. A day on which a clock is set has 23 or 25 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarStep {
    /// A minute.
    Minute,
    /// A quarter hour.
    Quarter,
    /// An hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to that of the next.
    Month,
}

impl CalendarStep {
    /// All of them, the shortest first.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Quarter, Self::Hour, Self::Day, Self::Month];

    /// Its name in questions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Quarter => "quarter",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The shortest there is, in milliseconds.
    const fn shortest_ms(self) -> u64 {
        match self {
            Self::Minute => 60_000,
            Self::Quarter => 900_000,
            Self::Hour => 3_600_000,
            Self::Day => 22 * 3_600_000,
            Self::Month => 27 * 86_400_000,
        }
    }

    /// Where the one that has the Unix millisecond `at` ends.
    fn end(self, at: u64, zone: &TimeZone) -> Option<u64> {
        let zoned = jiff::Timestamp::from_millisecond(i64::try_from(at).ok()?).ok()?.to_zoned(zone.clone());
        let end = match self {
            Self::Minute | Self::Quarter | Self::Hour => {
                let length = i64::try_from(self.shortest_ms()).ok()?;
                let at = zoned.timestamp().as_millisecond();
                let local = at.checked_add(i64::from(zoned.offset().seconds()) * 1_000)?;
                at.checked_add(length - local.rem_euclid(length))?
            }
            Self::Day => midnight(&zoned, zoned.date().tomorrow().ok()?)?,
            Self::Month => {
                let next = zoned.date().first_of_month().checked_add(1.month()).ok()?;
                midnight(&zoned, next)?
            }
        };
        u64::try_from(end).ok().filter(|end| *end > at)
    }
}

fn midnight(zoned: &Zoned, date: jiff::civil::Date) -> Option<i64> {
    Some(date.to_zoned(zoned.time_zone().clone()).ok()?.timestamp().as_millisecond())
}

impl EnergyStep {
    /// Where the span that begins at `at` ends, in Unix milliseconds.
    pub(super) fn next(&self, at: u64) -> u64 {
        match self {
            Self::Whole => u64::MAX,
            Self::Every(step) => {
                let step = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
                (at - at % step).saturating_add(step)
            }
            // No calendar reaches as far: all that is left is one span.
            Self::Calendar(step, zone) => step.end(at, zone).unwrap_or(u64::MAX),
        }
    }

    /// About how many spans there are between two instants: one more where both are within a step.
    pub(super) fn spans_max(&self, start: Timestamp, end: Timestamp) -> u64 {
        let length = (end.micros() / 1_000).saturating_sub(start.micros() / 1_000);
        let step = match self {
            Self::Whole => return 1,
            Self::Every(step) => u64::try_from(step.as_millis()).unwrap_or(u64::MAX),
            Self::Calendar(step, _) => step.shortest_ms(),
        };
        (length / step.max(1)).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(step: CalendarStep, zone: &str, from: &str, expected: &str) {
        let at: jiff::Timestamp = from.parse().unwrap();
        let step = EnergyStep::Calendar(step, TimeZone::get(zone).unwrap());
        let end = step.next(at.as_millisecond() as u64);
        let end = jiff::Timestamp::from_millisecond(end as i64).unwrap();
        assert_eq!(end.to_string(), expected, "{step:?} from {from}");
    }

    #[test]
    fn days_and_months_are_those_of_the_zone_and_of_its_summer_time() {
        check(CalendarStep::Day, "Europe/Paris", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check(CalendarStep::Day, "Europe/Paris", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        check(CalendarStep::Day, "Asia/Kathmandu", "2026-06-01T00:00:00Z", "2026-06-01T18:15:00Z");
        check(CalendarStep::Month, "Europe/Paris", "2026-10-24T22:00:00Z", "2026-10-31T23:00:00Z");
        check(CalendarStep::Month, "UTC", "2026-12-05T00:00:00Z", "2027-01-01T00:00:00Z");
    }

    #[test]
    fn hours_and_minutes_continue_over_a_change_of_the_clock() {
        check(CalendarStep::Hour, "Europe/Paris", "2026-10-25T00:10:00Z", "2026-10-25T01:00:00Z");
        check(CalendarStep::Hour, "Asia/Kolkata", "2026-06-01T00:00:00Z", "2026-06-01T00:30:00Z");
        check(CalendarStep::Quarter, "Europe/Paris", "2026-10-25T00:59:59Z", "2026-10-25T01:00:00Z");
        check(CalendarStep::Minute, "UTC", "2026-10-25T00:59:59.5Z", "2026-10-25T01:00:00Z");
    }

    #[test]
    fn there_are_never_more_spans_than_are_counted() {
        let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
        let (start, end) = (1_711_800_000_000_u64, 1_713_000_000_000);
        for step in CalendarStep::ALL {
            let step = EnergyStep::Calendar(step, zone.clone());
            let (mut at, mut count) = (start, 0);
            while at < end {
                at = step.next(at).min(end);
                count += 1;
            }
            let max = step.spans_max(instant(start), instant(end));
            // Half an hour that is not a whole hour of the calendar may stand between two.
            assert!(count <= max + 1, "{step:?}: {count} of {max}");
        }
    }

    fn instant(milliseconds: u64) -> Timestamp {
        Timestamp::from_micros(milliseconds * 1_000)
    }
}
