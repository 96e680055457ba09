//! Instants, ages and shares in words.

use std::fmt::Write;

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

/// An instant on the zone's wall clock, as short as it can be told from others near `now`.
pub(super) fn instant(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let civil = |at: Timestamp| {
        let at = i64::try_from(at.seconds()).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        at.map(|at| zone.to_datetime(at))
    };
    let (Some(at), Some(now)) = (civil(at), civil(now)) else { return "an unknown time".to_owned() };
    let format = if at.date() == now.date() {
        "%H:%M:%S"
    } else if at.year() == now.year() {
        "%-d %b, %H:%M"
    } else {
        "%-d %b %Y, %H:%M"
    };
    at.strftime(format).to_string()
}

/// Which share of a total's time was measured, estimated, bridged by a register or unknown: `100 % measured`, `98.2 % measured, 1.8 % unknown`.
pub(super) fn share(totals: &Totals) -> Option<String> {
    let Totals { measured_ms, estimated_ms, bridged_ms, unknown_ms, .. } = totals;
    let others = [(*estimated_ms, "estimated"), (*bridged_ms, "bridged"), (*unknown_ms, "unknown")];
    let whole = others.iter().fold(*measured_ms, |whole, (part, _)| whole.saturating_add(*part));
    if whole == 0 {
        return None;
    }
    if *measured_ms == whole {
        return Some("100 % measured".to_owned());
    }
    // What is not all is never called 100 %, and what there is never 0 %.
    let permille = |part: u64| part as f64 * 1_000.0 / whole as f64;
    let mut words = format!("{} % measured", permille(*measured_ms).floor() / 10.0);
    for (part, name) in others {
        if part > 0 {
            _ = write!(words, ", {} % {name}", permille(part).ceil() / 10.0);
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
    fn what_is_not_all_is_not_called_all() {
        assert_eq!([1.0, 0.999_99, 0.5, 0.0].map(percent), ["100 %", "99.9 %", "50 %", "0 %"]);
    }

    #[test]
    fn a_state_tells_since_when_and_how_long_that_is() {
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
    fn what_a_register_bridged_is_not_called_measured() {
        let totals = Totals { measured_ms: 14_000, bridged_ms: 26_000, ..Totals::default() };
        assert_eq!(share(&totals).as_deref(), Some("35 % measured, 65 % bridged"));
        let measured = Totals { measured_ms: 14_000, ..Totals::default() };
        assert_eq!(share(&measured).as_deref(), Some("100 % measured"));
    }
}
