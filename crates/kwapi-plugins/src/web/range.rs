//! Ranges of time that an address names. Pure: any text may come.

use std::time::Duration;

use jiff::tz::TimeZone;
use kwapi_core::{Period, ProbeId, Timestamp};

use super::route::FormFields;
use crate::answers::when::{self, WhenError};
use crate::http::percent::encode;

/// How long a range is where its address states none.
const LENGTH_DEFAULT: Duration = Duration::from_secs(86_400);
/// No shorter range is shown.
const LENGTH_MIN: Duration = Duration::from_secs(1);
/// No shorter one is led to.
const LENGTH_CLOSEST: Duration = Duration::from_secs(10);
/// So far back RRD files reach: a range that is longer has to lie within the history.
pub(super) const RRD_REACH: Duration = Duration::from_secs(Period::Year.seconds());

/// A range of time, to the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// Why an address names no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRange {
    /// An instant cannot be read.
    #[error("{name}={text:?} {error}.")]
    Instant {
        /// Of which field.
        name: &'static str,
        /// Its text.
        text: String,
        /// Why that is none.
        error: WhenError,
    },
    /// It ends before it begins, or there.
    #[error("This range ends before it begins.")]
    Reversed,
    /// It begins now, or later.
    #[error("This range is in the future.")]
    Future,
    /// Less than a second.
    #[error("This range is shorter than a second.")]
    TooShort,
}

impl Range {
    /// Reads `from` and `to`, as `/v2/series` reads instants; without an offset they are of `zone`. Without `to` it ends now,
    /// without `from` it is a day long. What is to come is left out.
    ///
    /// # Errors
    /// See [`NoRange`].
    pub(super) fn parse(query: &FormFields, zone: &TimeZone, now: Timestamp) -> Result<Self, NoRange> {
        let instant = |name: &'static str| {
            let Some(text) = query.get(name).filter(|text| !text.trim().is_empty()) else { return Ok(None) };
            let at = when::instant(text, Some(zone), now);
            at.map(|at| Some(milliseconds(at))).map_err(|error| NoRange::Instant {
                name,
                text: text.to_owned(),
                error,
            })
        };
        let (now, named) = (milliseconds(now), instant("to")?);
        let to = named.unwrap_or(now);
        let from = instant("from")?.unwrap_or_else(|| to.min(now).before(LENGTH_DEFAULT));
        if named.is_some() && to <= from {
            return Err(NoRange::Reversed);
        }
        if from >= now {
            return Err(NoRange::Future);
        }
        let range = Self { from, to: to.min(now) };
        if range.length() < LENGTH_MIN { Err(NoRange::TooShort) } else { Ok(range) }
    }

    /// How long it is.
    pub(super) fn length(self) -> Duration {
        self.to.since(self.from)
    }

    /// Whether it is longer than the history, which begins at `begin`; addresses have whole seconds.
    pub(super) fn is_beyond(self, begin: Timestamp) -> bool {
        self.from.seconds() < begin.seconds() && self.length() > RRD_REACH
    }

    /// The same without what is before `begin`, where it is too long to be shown as a whole.
    fn held_to(self, begin: Timestamp) -> Self {
        if self.is_beyond(begin) { Self { from: begin, ..self } } else { self }
    }

    /// As much time right before it; `None` where it begins with the history, at `begin`, or before.
    pub(super) fn earlier(self, begin: Timestamp) -> Option<Self> {
        let earlier = Self { from: self.from.before(self.length()), to: self.from };
        (begin < self.from).then(|| earlier.held_to(begin))
    }

    /// As much time right after it, or up to now; `None` where it ends now.
    pub(super) fn later(self, now: Timestamp) -> Option<Self> {
        let to = self.to.after(self.length()).min(now);
        (to.since(self.to) >= LENGTH_MIN).then(|| Self { from: to.before(self.length()), to })
    }

    /// Twice as much time around it, from `begin` on; `None` where there is no more.
    pub(super) fn wider(self, begin: Timestamp, now: Timestamp) -> Option<Self> {
        let to = self.to.after(self.length() / 2).min(now);
        let from = to.before(self.length() * 2).max(begin.min(self.from));
        let is_wider = from < self.from || to.since(self.to) >= LENGTH_MIN;
        is_wider.then(|| Self { from, to }.held_to(begin))
    }

    /// The middle half of what of it is in the history, which begins at `begin`; `None` where that is too short to be of use.
    pub(super) fn closer(self, begin: Timestamp) -> Option<Self> {
        let known = Self { from: self.from.max(begin.min(self.to)), to: self.to };
        let quarter = known.length() / 4;
        let closer = Self { from: known.from.after(quarter), to: known.to.before(quarter) };
        (closer.length() >= LENGTH_CLOSEST).then_some(closer)
    }

    /// Where a probe's page shows it.
    pub(super) fn href(self, probe: &ProbeId, zone: &TimeZone) -> String {
        self.address(&format!("/probe/{}/", encode(probe.as_str())), zone)
    }

    /// Where the page at `path` shows it.
    pub(super) fn address(self, path: &str, zone: &TimeZone) -> String {
        format!("{path}?{}", self.query(zone))
    }

    /// The fields of an address that name it, in whole seconds.
    pub(super) fn query(self, zone: &TimeZone) -> String {
        let text = |seconds: u64| {
            // What else there is in an instant stands in a query as it is.
            when::rfc3339(Timestamp::from_seconds(seconds), zone).replace('+', "%2B")
        };
        format!("from={}&to={}", text(self.from.seconds()), text(self.end_seconds()))
    }

    /// The first whole Unix second at which it is over.
    pub(super) fn end_seconds(self) -> u64 {
        self.to.micros().div_ceil(1_000_000)
    }

    /// Its rows: it is cut at multiples of `step` seconds since 1970.
    pub(super) fn rows(self, step: u64) -> Vec<(Timestamp, Timestamp)> {
        let step = step.max(1).saturating_mul(1_000_000);
        let (mut rows, mut at) = (Vec::new(), self.from.micros());
        while at < self.to.micros() {
            let end = (at - at % step).saturating_add(step).min(self.to.micros());
            rows.push((Timestamp::from_micros(at), Timestamp::from_micros(end)));
            at = end;
        }
        rows
    }
}

/// Energy is kept to the millisecond.
fn milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros() / 1_000 * 1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23 10:00:00 UTC.
    const NOW: Timestamp = Timestamp::from_seconds(1_795_428_000);

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").unwrap()
    }

    fn parse(query: &str) -> Result<Range, String> {
        Range::parse(&FormFields::parse(query), &paris(), NOW).map_err(|error| error.to_string())
    }

    /// Where an address leads, given by what it is the same as.
    #[track_caller]
    fn check(query: &str, expected: &str) {
        let probe = ProbeId::new("a/b").unwrap();
        let actual = match parse(query) {
            Ok(range) => range.href(&probe, &paris()),
            Err(why) => why,
        };
        assert_eq!(actual.strip_prefix("/probe/a%2Fb/?").unwrap_or(&actual), expected, "{query}");
    }

    #[test]
    fn a_range_is_read_as_people_write_it() {
        let hour = "from=2026-11-23T09:00:00%2B01:00&to=2026-11-23T10:00:00%2B01:00";
        check(hour, hour);
        check("from=2026-11-23T09:00&to=2026-11-23T10:00:00", hour);
        check("from=1795420800&to=1795424400", hour);
        check("from=2026-11-23T08:00:00Z&to=2026-11-23T10:00:00+01:00", hour);
        let today = "from=2026-11-23T00:00:00%2B01:00&to=2026-11-23T11:00:00%2B01:00";
        check("from=2026-11-23&to=2026-11-24", today);
        check("from=2026-11-23", today);
        check("from=&to=", "from=2026-11-22T11:00:00%2B01:00&to=2026-11-23T11:00:00%2B01:00");
        check("to=now", "from=2026-11-22T11:00:00%2B01:00&to=2026-11-23T11:00:00%2B01:00");
        check("from=now-24h&to=now", "from=2026-11-22T11:00:00%2B01:00&to=2026-11-23T11:00:00%2B01:00");
        check("from=-2h&to=-1h", hour);
        check("from=today", today);
    }

    #[test]
    fn what_is_no_range_is_reported_with_the_reason() {
        check("from=2026-11-23T10:00&to=2026-11-23T09:00", "This range ends before it begins.");
        check("from=1795420800&to=1795420800", "This range ends before it begins.");
        check("from=2026-11-24&to=2026-11-25", "This range is in the future.");
        check("from=2030-01-01", "This range is in the future.");
        check("from=1795420800&to=1795420800.4", "This range is shorter than a second.");
        check(
            "from=soon",
            "from=\"soon\" is not an instant; write for example 2026-11-26T14:00:00+01:00, Unix seconds, now, now-1h or yesterday.",
        );
        check(
            "from=2026-10-25T02:30&to=now",
            "from=\"2026-10-25T02:30\" happens twice in Europe/Paris, where the clock is set back; write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00.",
        );
        check("to=1960-01-01", "to=\"1960-01-01\" is before 1970.");
    }

    fn seconds(range: Range) -> (u64, u64) {
        (range.from.seconds() - 1_795_000_000, range.to.seconds() - 1_795_000_000)
    }

    #[test]
    fn neighbours_lie_beside_around_and_within_it() {
        let range = parse("from=1795420800&to=1795424400").unwrap();
        assert_eq!(range.earlier(Timestamp::default()).map(seconds), Some((417_200, 420_800)));
        assert_eq!(range.later(NOW).map(seconds), Some((424_400, 428_000)));
        assert_eq!(range.wider(Timestamp::default(), NOW).map(seconds), Some((419_000, 426_200)));
        assert_eq!(range.closer(range.from).map(seconds), Some((421_700, 423_500)));
        // Nothing lies after now or before the begin of the history.
        let last = parse("from=1795424000").unwrap();
        assert_eq!(last.later(NOW), None);
        assert_eq!(last.wider(last.from, NOW), None);
        assert_eq!(last.wider(last.from.before(LENGTH_MIN), NOW).map(seconds), Some((423_999, 428_000)));
        let short = parse("from=1795420800&to=1795420812").unwrap();
        assert_eq!(short.closer(short.from), None);
        assert_eq!(range.earlier(range.from), None);
    }

    proptest! {
        /// From any range of which there is a page no link leads to one of which there is none.
        #[test]
        fn what_is_led_to_lies_in_the_history(
            from in 1_600_000_000_u64..1_795_427_999,
            length in prop_oneof![1_u64..100, 100_u64..200_000_000],
            begin in 1_600_000_000_u64..1_795_427_990,
            begins_within in any::<Option<prop::sample::Index>>(),
        ) {
            let to = (from + length).min(NOW.seconds());
            // Most often the history begins somewhere in the range.
            let begin = begins_within.map_or(begin, |at| from + at.index(usize::try_from(to - from).unwrap()) as u64);
            let begin = Timestamp::from_seconds(begin);
            let range = Range { from: Timestamp::from_seconds(from), to: Timestamp::from_seconds(to) };
            prop_assume!(range.to > begin && !range.is_beyond(begin));
            let around =
                [range.earlier(begin), range.later(NOW), range.wider(begin, NOW), range.closer(begin)];
            for (index, led) in around.into_iter().enumerate() {
                let Some(led) = led else { continue };
                prop_assert!(led.to > begin && led.from < led.to && led.to <= NOW, "{index}: {led:?}");
                prop_assert!(!led.is_beyond(begin), "{index}: {led:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_range_or_none_and_its_rows_are_all_of_it(from in "\\PC{0,24}", to in 1_795_000_000_000_u64..1_796_000_000_000, step in 1_u64..90_000) {
            let to = format!("{}.{:03}", to / 1_000, to % 1_000);
            for from in [from.as_str(), "1794999999.5"] {
                let query = FormFields::parse(&format!("from={from}&to={to}"));
                let Ok(range) = Range::parse(&query, &paris(), NOW) else { continue };
                prop_assert!(range.length() >= LENGTH_MIN && range.to <= NOW);
                let rows = if range.length().as_secs() / step < 10_000 { range.rows(step) } else { continue };
                prop_assert_eq!((rows[0].0, rows[rows.len() - 1].1), (range.from, range.to));
                prop_assert!(rows.windows(2).all(|pair| pair[0].1 == pair[1].0 && pair[0].1.seconds() % step == 0));
            }
        }
    }
}
