//! Which month a bill is for, and what is queried from the ledger about it.

use std::ops::Range;

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use kwapi_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answers::when::rfc3339;

/// A quarter hour in milliseconds.
pub(super) const QUARTER_MS: u64 = 900_000;

/// A month in a zone, and how much of it is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillMonth {
    /// As `2026-10`.
    pub(super) name: String,
    /// Begin, in Unix milliseconds.
    pub(crate) begin_ms: u64,
    /// End of what is billed.
    pub(crate) end_ms: u64,
    /// End of the month.
    pub(super) month_end_ms: u64,
}

impl BillMonth {
    /// The month `text` in `zone`; of one that is not over at `now`, the quarter hours that are.
    ///
    /// # Errors
    /// When it is no month, or nothing of it is over, as one line.
    pub fn new(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Self, String> {
        let no_month = || format!("{text:?} is not a month; write for example 2026-10");
        let first: Date = format!("{text}-01").parse().map_err(|_| no_month())?;
        let next = first.checked_add(1.month()).map_err(|_| no_month())?;
        let instant = |date: Date| {
            let midnight = date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
            u64::try_from(midnight).ok()
        };
        let (begin_ms, month_end_ms) = instant(first).zip(instant(next)).ok_or_else(no_month)?;
        let now_ms = now.micros() / 1_000;
        let end_ms = month_end_ms.min(now_ms - now_ms % QUARTER_MS);
        if end_ms <= begin_ms {
            return Err(format!("no quarter hour of {text} is over yet"));
        }
        Ok(Self { name: first.strftime("%Y-%m").to_string(), begin_ms, end_ms, month_end_ms })
    }

    /// As `2026-10`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether all of it is over.
    pub fn is_over(&self) -> bool {
        self.end_ms == self.month_end_ms
    }

    /// The same, at an instant.
    pub fn is_over_at(&self, at: Timestamp) -> bool {
        at.micros() / 1_000 >= self.month_end_ms
    }

    /// From its begin to its end, in Unix milliseconds.
    pub(super) fn span(&self) -> Range<u64> {
        self.begin_ms..self.month_end_ms
    }

    /// The query of `/v2/energy` about it: the registers at its begin, and its quarter hours, of probes that match one of
    /// `patterns` (none: all).
    pub fn questions(&self, patterns: &[String]) -> [Vec<(&'static str, String)>; 2] {
        let probes: Vec<(&'static str, String)> =
            patterns.iter().map(|pattern| ("pattern", pattern.clone())).collect();
        [
            question(probes.clone(), (0, self.begin_ms), None, "UTC"),
            question(probes, (self.begin_ms, self.end_ms), Some("quarter"), "UTC"),
        ]
    }
}

/// The query of `/v2/energy` about the energy between two Unix milliseconds, of the probes that the first pairs choose,
/// by probe.
pub(crate) fn question(
    mut pairs: Vec<(&'static str, String)>,
    (from, until): (u64, u64),
    step: Option<&str>,
    zone: &str,
) -> Vec<(&'static str, String)> {
    pairs.extend(step.map(|step| ("step", step.to_owned())));
    let span = [("start", from), ("end", until)];
    pairs.extend(span.map(|(name, at)| (name, rfc3339(milliseconds(at), &TimeZone::UTC))));
    let rest = [("zone", zone), ("by", "probe"), ("format", "csv")];
    pairs.extend(rest.map(|(name, value)| (name, value.to_owned())));
    pairs
}

/// An instant from Unix milliseconds.
pub(crate) fn milliseconds(at: u64) -> Timestamp {
    Timestamp::from_micros(at.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, zone: &str, now: &str, expected: &str) {
        let now: jiff::Timestamp = now.parse().unwrap();
        let now = Timestamp::from_micros(now.as_microsecond().cast_unsigned());
        let shown = match BillMonth::new(text, &TimeZone::get(zone).unwrap(), now) {
            Err(error) => error,
            Ok(month) => {
                let instant =
                    |at: u64| jiff::Timestamp::from_millisecond(at.cast_signed()).unwrap().to_string();
                let quarters = (month.end_ms - month.begin_ms) / QUARTER_MS;
                format!("{} {} {quarters}", instant(month.begin_ms), instant(month.month_end_ms))
            }
        };
        assert_eq!(shown, expected, "{text} {zone}");
    }

    #[test]
    fn a_month_is_that_of_the_zone_and_ends_with_the_last_quarter_hour_that_is_over() {
        let later = "2027-01-01T00:00:00Z";
        check("2026-10", "Europe/Paris", later, "2026-09-30T22:00:00Z 2026-10-31T23:00:00Z 2980");
        check("2026-03", "Europe/Paris", later, "2026-02-28T23:00:00Z 2026-03-31T22:00:00Z 2972");
        check("2026-02", "Asia/Kathmandu", later, "2026-01-31T18:15:00Z 2026-02-28T18:15:00Z 2688");
        let now = "2026-10-01T00:59:59.999Z";
        check("2026-10", "UTC", now, "2026-10-01T00:00:00Z 2026-11-01T00:00:00Z 3");
        check("2026-10", "UTC", "2026-10-01T00:14:59Z", "no quarter hour of 2026-10 is over yet");
        check("2026-11", "UTC", now, "no quarter hour of 2026-11 is over yet");
        for text in ["2026-13", "2026", "2026-10-01", "10/2026", "", "1969-12"] {
            check(text, "UTC", now, &format!("{text:?} is not a month; write for example 2026-10"));
        }
    }
}
