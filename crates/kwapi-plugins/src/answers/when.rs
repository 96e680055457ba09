//! Instants as people write them: RFC 3339, Unix seconds, what a clock on the wall of some zone shows, or a time before now.

use jiff::Span;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use kwapi_core::Timestamp;

/// Why a text is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhenError {
    /// It cannot be read.
    #[error(
        "is not an instant; write for example 2026-11-26T14:00:00+01:00, Unix seconds, now, now-1h or yesterday"
    )]
    Unreadable,
    /// It cannot be read as an instant that is the same whenever it is read.
    #[error("is not an instant; write for example 2026-11-26T14:00:00+01:00, or Unix seconds")]
    NotFixed,
    /// It is a time of day somewhere, and no zone is given.
    #[error("has no offset from UTC; write {0}Z, an offset such as {0}+01:00, or set zone")]
    NoOffset(DateTime),
    /// The clock is set back then, and shows it twice.
    #[error("happens twice in {zone}, where the clock is set back; write {first} or {second}")]
    Twice {
        /// Where.
        zone: String,
        /// The first time, with its offset.
        first: String,
        /// The second time.
        second: String,
    },
    /// The clock is set forward then, and never shows it.
    #[error("does not exist in {zone}, where the clock is set forward; write {earlier} or {later}")]
    Skipped {
        /// Where.
        zone: String,
        /// Read by the offset after the change.
        earlier: String,
        /// Read by the offset before it.
        later: String,
    },
    /// Before 1970, when nothing was measured.
    #[error("is before 1970")]
    TooEarly,
}

/// Why a name is none of a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}; write for example Europe/Paris or UTC")]
pub struct NoSuchZone(String);

/// The zone called `name` in the time zone database.
///
/// # Errors
/// When there is none.
pub fn zone(name: &str) -> Result<TimeZone, NoSuchZone> {
    TimeZone::get(name).map_err(|_| NoSuchZone(name.to_owned()))
}

/// Reads an instant of a question put at `now`: a [fixed] one, `now`, a time before it (`now-1h` as in Grafana and
/// rrdtool, `-1h`, `90 minutes ago`), or `today` and `yesterday`, alone (their begin) or with a time of day. Without
/// an offset it is what the clock shows in `zone`; a date is its begin there. Days and longer are those of `zone`,
/// of UTC without one.
///
/// # Errors
/// When it is none, or two.
pub fn instant(text: &str, zone: Option<&TimeZone>, now: Timestamp) -> Result<Timestamp, WhenError> {
    let text = text.trim();
    if let Some(before) = text.strip_prefix("now").or_else(|| text.starts_with('-').then_some(text)) {
        if before.is_empty() {
            return Ok(now);
        }
        if unix_seconds(before).is_none() {
            return back(now, before, zone);
        }
    } else if text.ends_with("ago") {
        return back(now, text, zone);
    }
    let (day, time) = text.split_once(' ').map_or((text, None), |(day, time)| (day, Some(time)));
    if let Some(days) = ["today", "yesterday"].iter().position(|name| *name == day) {
        let date = zoned(now, zone)?.date().checked_sub(Span::new().days(i64::try_from(days).unwrap_or(0)));
        let date = date.map_err(|_| WhenError::TooEarly)?;
        let Some(time) = time else { return begin(date, zone) };
        let time: Time = time.trim().parse().map_err(|_| WhenError::Unreadable)?;
        return shown(date.to_datetime(time), zone);
    }
    fixed(text, zone)
        .map_err(|error| if error == WhenError::NotFixed { WhenError::Unreadable } else { error })
}

/// Reads an instant that is the same whenever it is read, as a configuration needs it. Without an offset it is what the clock
/// shows in `zone`; a date is its begin there.
///
/// # Errors
/// When it is none, or two.
pub fn fixed(text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, WhenError> {
    let text = text.trim();
    if let Some(seconds) = unix_seconds(text) {
        return seconds;
    }
    // In a query a plus sign that is not encoded arrives as a space.
    let restored = if text.contains('T') { text.replace(' ', "+") } else { text.to_owned() };
    if let Ok(at) = restored.parse::<jiff::Timestamp>() {
        return timestamp(at);
    }
    let at: DateTime = restored.parse().map_err(|_| WhenError::NotFixed)?;
    let has_time = restored.contains(['T', 't', ' ', ':']);
    if has_time { shown(at, zone) } else { begin(at.date(), zone) }
}

/// When a day begins in `zone`: at midnight, of two at the first; at the first time that the clock shows where it is set forward
/// at midnight.
fn begin(date: Date, zone: Option<&TimeZone>) -> Result<Timestamp, WhenError> {
    let midnight = date.to_datetime(Time::midnight());
    let Some(zone) = zone else { return Err(WhenError::NoOffset(midnight)) };
    timestamp(midnight.to_zoned(zone.clone()).map_err(|_| WhenError::Unreadable)?.timestamp())
}

/// The instant before `now` by what is written: `-1h`, `- 90 min`, `2 days ago`.
fn back(now: Timestamp, text: &str, zone: Option<&TimeZone>) -> Result<Timestamp, WhenError> {
    let text = text.trim_start();
    let text =
        text.strip_prefix('-').map_or_else(|| text.to_owned(), |rest| format!("-{}", rest.trim_start()));
    let span: Span = text.parse().map_err(|_| WhenError::Unreadable)?;
    if span.is_positive() {
        return Err(WhenError::Unreadable);
    }
    let at = zoned(now, zone)?.checked_add(span).map_err(|_| WhenError::TooEarly)?;
    timestamp(at.timestamp())
}

fn zoned(now: Timestamp, zone: Option<&TimeZone>) -> Result<jiff::Zoned, WhenError> {
    let micros = i64::try_from(now.micros()).map_err(|_| WhenError::Unreadable)?;
    let at = jiff::Timestamp::from_microsecond(micros).map_err(|_| WhenError::Unreadable)?;
    Ok(at.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC)))
}

/// When the clock in `zone` shows this.
fn shown(shown: DateTime, zone: Option<&TimeZone>) -> Result<Timestamp, WhenError> {
    let Some(zone) = zone else { return Err(WhenError::NoOffset(shown)) };
    let with = |offset: Offset| {
        let at = offset.to_timestamp(shown).map_err(|_| WhenError::Unreadable)?;
        Ok::<_, WhenError>(at.display_with_offset(offset).to_string())
    };
    let name = || zone.iana_name().unwrap_or("this zone").to_owned();
    match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => {
            timestamp(offset.to_timestamp(shown).map_err(|_| WhenError::Unreadable)?)
        }
        AmbiguousOffset::Fold { before, after } => {
            Err(WhenError::Twice { zone: name(), first: with(before)?, second: with(after)? })
        }
        AmbiguousOffset::Gap { before, after } => {
            Err(WhenError::Skipped { zone: name(), earlier: with(after)?, later: with(before)? })
        }
    }
}

/// Unix seconds, to the microsecond; `None` where it is no number.
fn unix_seconds(text: &str) -> Option<Result<Timestamp, WhenError>> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number || part.contains('.') || whole.len() > 11 {
        return None;
    }
    let micros: String = part.chars().chain("000000".chars()).take(6).collect();
    let (whole, micros): (u64, u64) = (whole.parse().ok()?, micros.parse().ok()?);
    if sign < 0 {
        return Some(Err(WhenError::TooEarly));
    }
    Some(Ok(Timestamp::from_micros(whole.saturating_mul(1_000_000).saturating_add(micros))))
}

fn timestamp(at: jiff::Timestamp) -> Result<Timestamp, WhenError> {
    u64::try_from(at.as_microsecond()).map(Timestamp::from_micros).map_err(|_| WhenError::TooEarly)
}

/// An instant as RFC 3339 has it, in a zone; `Z` in UTC.
pub fn rfc3339(at: Timestamp, zone: &TimeZone) -> String {
    let micros = i64::try_from(at.micros()).unwrap_or(i64::MAX);
    let Ok(at) = jiff::Timestamp::from_microsecond(micros) else { return at.seconds().to_string() };
    if *zone == TimeZone::UTC {
        return at.to_string();
    }
    at.display_with_offset(zone.to_offset(at)).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_393_618);

    #[track_caller]
    fn check(text: &str, name: &str, expected: &str) {
        check_at(NOW, text, name, expected);
    }

    #[track_caller]
    fn check_at(now: Timestamp, text: &str, name: &str, expected: &str) {
        let zone = (!name.is_empty()).then(|| zone(name).unwrap());
        let actual = match instant(text, zone.as_ref(), now) {
            Ok(at) => rfc3339(at, zone.as_ref().unwrap_or(&TimeZone::UTC)),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text} {name}");
    }

    #[test]
    fn instants_are_read_as_people_write_them() {
        check("now", "", "2026-11-23T00:26:58Z");
        check("1795393618.5", "", "2026-11-23T00:26:58.5Z");
        check("2026-11-22T22:06:58+01:00", "", "2026-11-22T21:06:58Z");
        check("2026-11-22T22:06:58 01:00", "", "2026-11-22T21:06:58Z");
        check("2026-11-22 21:06:58Z", "", "2026-11-22T21:06:58Z");
        check("2026-11-22 14:00", "Europe/Paris", "2026-11-22T14:00:00+01:00");
        check("2026-07-22T14:00", "Europe/Paris", "2026-07-22T14:00:00+02:00");
        check("2026-11-22", "Asia/Kathmandu", "2026-11-22T00:00:00+05:45");
    }

    #[test]
    fn a_time_before_now_is_read_as_grafana_rrdtool_and_people_write_it() {
        for text in ["now-90m", "now - 90 min", "-90m", "-1h30m", "90 minutes ago", "1h 30m ago", "-5400s"] {
            check(text, "", "2026-11-22T22:56:58Z");
        }
        check("now-1d", "Europe/Paris", "2026-11-22T01:26:58+01:00");
        check("2 weeks ago", "UTC", "2026-11-09T00:26:58Z");
        // A day back over the end of summer time has 25 hours; 24 hours have 24.
        check("now-30d", "Europe/Paris", "2026-10-24T01:26:58+02:00");
        check("now-720h", "Europe/Paris", "2026-10-24T02:26:58+02:00");
        check("today", "Europe/Paris", "2026-11-23T00:00:00+01:00");
        check("today", "America/New_York", "2026-11-22T00:00:00-05:00");
        check("yesterday", "Asia/Kathmandu", "2026-11-22T00:00:00+05:45");
        check("yesterday 14:00", "Europe/Paris", "2026-11-22T14:00:00+01:00");
        let no_offset = "has no offset from UTC; write 2026-11-22T00:00:00Z, an offset such as 2026-11-22T00:00:00+01:00, or set zone";
        check("yesterday", "", no_offset);
        check("now-100y", "", "is before 1970");
    }

    #[test]
    fn a_day_begins_where_a_clock_is_set_at_midnight() {
        let noon = |text: &str| {
            Timestamp::from_seconds(text.parse::<jiff::Timestamp>().unwrap().as_second().unsigned_abs())
        };
        // Forward, from midnight to one o'clock.
        let begin = "2026-09-06T01:00:00-03:00";
        check_at(noon("2026-09-06T15:00:00Z"), "today", "America/Santiago", begin);
        check_at(noon("2026-09-07T15:00:00Z"), "yesterday", "America/Santiago", begin);
        check("2026-09-06", "America/Santiago", begin);
        check(
            "2026-09-06 00:00",
            "America/Santiago",
            "does not exist in America/Santiago, where the clock is set forward; write 2026-09-06T00:00:00-03:00 or 2026-09-06T00:00:00-04:00",
        );
        // Back, from one o'clock to midnight.
        check_at(noon("2026-11-01T17:00:00Z"), "today", "America/Havana", "2026-11-01T00:00:00-04:00");
        check("2026-11-01", "America/Havana", "2026-11-01T00:00:00-04:00");
    }

    #[test]
    fn what_is_written_down_is_the_same_whenever_it_is_read() {
        for text in ["now", "now-1h", "-1h", "yesterday", "1 hour ago", "soon"] {
            let refused = fixed(text, Some(&TimeZone::UTC)).unwrap_err().to_string();
            assert_eq!(
                refused, "is not an instant; write for example 2026-11-26T14:00:00+01:00, or Unix seconds",
                "{text}"
            );
        }
        assert_eq!(fixed("2026-11-23T00:26:58Z", None), Ok(NOW));
    }

    #[test]
    fn what_has_no_answer_or_two_is_reported_with_what_to_write() {
        check(
            "2026-11-22T14:00",
            "",
            "has no offset from UTC; write 2026-11-22T14:00:00Z, an offset such as 2026-11-22T14:00:00+01:00, or set zone",
        );
        check(
            "2026-10-25 02:30",
            "Europe/Paris",
            "happens twice in Europe/Paris, where the clock is set back; write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00",
        );
        check(
            "2026-03-29 02:30",
            "Europe/Paris",
            "does not exist in Europe/Paris, where the clock is set forward; write 2026-03-29T02:30:00+02:00 or 2026-03-29T02:30:00+01:00",
        );
        for text in [
            "",
            "soon",
            "26/11/2026",
            "14:00",
            "1795393618.5.1",
            "--1",
            "99999999999999999999",
            "nowhere",
            "now+1h",
            "now 1h",
            "-",
            "ago",
            "-1h ago",
            "1h",
            "tomorrow",
            "yesterday noon",
            "now-99999999999999999999h",
            "-5 ago",
            "now-",
        ] {
            check(
                text,
                "UTC",
                "is not an instant; write for example 2026-11-26T14:00:00+01:00, Unix seconds, now, now-1h or yesterday",
            );
        }
        check("-5", "", "is before 1970");
        check("1969-12-31T23:59:59Z", "", "is before 1970");
        assert_eq!(
            zone("Lyon").unwrap_err().to_string(),
            "there is no time zone \"Lyon\"; write for example Europe/Paris or UTC"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_was_written_is_read_back(text in any::<String>(), second in 0..4_000_000_000_u64) {
            _ = instant(&text, Some(&TimeZone::UTC), NOW);
            let at = Timestamp::from_micros(second * 1_000_000 + 250_000);
            for name in ["UTC", "Europe/Paris", "Australia/Lord_Howe"] {
                prop_assert_eq!(instant(&rfc3339(at, &zone(name).unwrap()), None, NOW), Ok(at));
            }
        }
    }
}
