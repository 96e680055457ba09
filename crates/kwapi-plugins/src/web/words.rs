//! Instants, ages and shares in words.

use std::fmt::Write;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kwapi_core::{Timestamp, Totals};

/// How long ago, in one unit: `just now`, `12 s ago`, `3 min ago`.
pub(super) fn age(at: Timestamp, now: Timestamp) -> String {
    match now.since(at).as_secs() {
        0..2 => "just now".to_owned(),
        seconds @ 2..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// Since when, and for how long that is: `14:00:05 (4 h 16 min)`.
pub(super) fn since(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let seconds = now.since(at).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let long = match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, _, _) => format!("{days} days"),
    };
    format!("{} ({long})", instant(at, now, zone))
}

/// An instant on the zone's wall clock, as short as possible, yet distinct from others near `now`.
pub(super) fn instant(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (Some(at), Some(now)) = (civil(at, zone), civil(now, zone)) else { return UNKNOWN.to_owned() };
    let format = if at.date() == now.date() {
        "%H:%M:%S"
    } else if at.year() == now.year() {
        "%-d %b, %H:%M"
    } else {
        "%-d %b %Y, %H:%M"
    };
    at.strftime(format).to_string()
}

/// A time that no calendar has.
const UNKNOWN: &str = "an unknown time";

fn civil(at: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let at = jiff::Timestamp::from_second(i64::try_from(at.seconds()).ok()?).ok()?;
    Some(zone.to_datetime(at))
}

/// An instant on the zone's wall clock with its date: `Mon 23 Nov 2026, 09:00`.
pub(super) fn range_instant(at: Timestamp, zone: &TimeZone) -> String {
    let Some(at) = civil(at, zone) else { return UNKNOWN.to_owned() };
    let format = if at.second() == 0 { "%a %-d %b %Y, %H:%M" } else { "%a %-d %b %Y, %H:%M:%S" };
    at.strftime(format).to_string()
}

/// An instant as a browser's field has it, and a query without an offset: `2026-11-23T09:00:00`.
pub(super) fn wall_clock(at: Timestamp, zone: &TimeZone) -> String {
    civil(at, zone).map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// A step of so many seconds: `10 s`, `5 min`, `2 h`, `1 day`.
pub(super) fn step(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => "1 day".to_owned(),
    }
}

/// From when until when on the zone's wall clock: `Mon 23 Nov 2026, 09:00 – 10:00`.
pub(super) fn range(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let (Some(from), Some(to)) = (civil(from, zone), civil(to, zone)) else { return UNKNOWN.to_owned() };
    let has_seconds = from.second() != 0 || to.second() != 0;
    let time = if has_seconds { "%H:%M:%S" } else { "%H:%M" };
    let day = format!("%a %-d %b %Y, {time}");
    let until = if from.date() == to.date() { time } else { &day };
    format!("{} – {}", from.strftime(&day), to.strftime(until))
}

/// Which share of a total's time was measured, estimated, bridged by a register or unknown: `100 % measured`, `98.2 % measured, 1.8 % unknown`.
pub(super) fn share(totals: &Totals) -> Option<String> {
    let Totals { measured_ms, estimated_ms, bridged_ms, unknown_ms, .. } = *totals;
    shares(measured_ms, &[(estimated_ms, "estimated"), (bridged_ms, "bridged"), (unknown_ms, "unknown")])
}

/// Which share of a time was measured, and which of it was something else, in milliseconds; `None` of no time.
pub(super) fn shares(measured_ms: u64, others: &[(u64, &str)]) -> Option<String> {
    let whole = others.iter().fold(measured_ms, |whole, (part, _)| whole.saturating_add(*part));
    if whole == 0 {
        return None;
    }
    if measured_ms == whole {
        return Some("100 % measured".to_owned());
    }
    // What is not all is never called 100 %, and what there is never 0 %.
    let permille = |part: u64| part as f64 * 1_000.0 / whole as f64;
    let mut words = format!("{} % measured", permille(measured_ms).floor() / 10.0);
    for (part, name) in others {
        if *part > 0 {
            _ = write!(words, ", {} % {name}", permille(*part).ceil() / 10.0);
        }
    }
    Some(words)
}

/// A share from 0 to 1 in percent: what is not all is never called 100 %.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (share.clamp(0.0, 1.0) * 1_000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reports_since_when_and_how_long_that_is() {
        let check = |seconds: u64, expected: &str| {
            let now = Timestamp::from_seconds(1_795_428_000); // 10:00:00
            assert_eq!(
                since(Timestamp::from_seconds(now.seconds() - seconds), now, &TimeZone::UTC),
                expected
            );
        };
        check(0, "10:00:00 (0 s)");
        check(59, "09:59:01 (59 s)");
        check(3_599, "09:00:01 (59 min)");
        check(15_360, "05:44:00 (4 h 16 min)");
        check(90_000, "22 Nov, 09:00 (1 day 1 h)");
        check(864_000, "13 Nov, 10:00 (10 days)");
    }

    #[test]
    fn a_range_names_its_days_and_its_seconds_where_it_has_some() {
        let check = |zone: &str, from: u64, to: u64, expected: &str| {
            let [from, to] = [from, to].map(|at| Timestamp::from_seconds(1_795_428_000 + at)); // 10:00:00 UTC
            assert_eq!(range(from, to, &TimeZone::get(zone).unwrap()), expected);
        };
        check("UTC", 0, 3_600, "Mon 23 Nov 2026, 10:00 – 11:00");
        check("UTC", 0, 61, "Mon 23 Nov 2026, 10:00:00 – 10:01:01");
        check("Asia/Kathmandu", 0, 86_400, "Mon 23 Nov 2026, 15:45 – Tue 24 Nov 2026, 15:45");
    }

    #[test]
    fn what_is_not_all_is_not_called_all() {
        assert_eq!([1.0, 0.999_99, 0.5, 0.0].map(percent), ["100 %", "99.9 %", "50 %", "0 %"]);
    }

    #[test]
    fn what_a_register_bridged_is_not_called_measured() {
        let totals = Totals { measured_ms: 14_000, bridged_ms: 26_000, ..Totals::default() };
        assert_eq!(share(&totals).as_deref(), Some("35 % measured, 65 % bridged"));
        let measured = Totals { measured_ms: 14_000, ..Totals::default() };
        assert_eq!(share(&measured).as_deref(), Some("100 % measured"));
    }
}
