//! Instants as keys have them: `"2026-12-01T00:00:00Z"`, `"2026-12-01"`, or the same without quotes in TOML.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use kwapi_core::Timestamp;
use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};

/// Reads one.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    deserializer.deserialize_any(InstantVisitor).map(Some)
}

struct InstantVisitor;

impl<'de> Visitor<'de> for InstantVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant such as \"2026-12-01T00:00:00Z\", or a date, which begins in UTC")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
        read(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    /// TOML's own dates and times come as a table of one text.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Timestamp, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((_, text)) => self.visit_str(&text),
            None => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }
}

/// An instant in RFC 3339, or a date, which begins in UTC; `None` where it is neither.
pub fn read(text: &str) -> Option<Timestamp> {
    const DATE_BYTES: usize = "2026-12-01".len();
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        // A time of the day without an offset is none.
        Err(_) if text.len() == DATE_BYTES => {
            text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
        Err(_) => return None,
    };
    u64::try_from(at.as_microsecond()).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use crate::Key;

    fn valid_from(written: &str) -> Result<Option<u64>, String> {
        let toml = format!("id = 'k'\nsecret = '0123456789abcdef'\n{written}");
        let key: Result<Key, _> = toml::from_str(&toml);
        key.map(|key| key.valid_from.map(kwapi_core::Timestamp::seconds))
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn an_instant_may_have_quotes_and_a_date_begins_in_utc() {
        for written in [
            "'2026-12-01T00:00:00Z'",
            "2026-12-01T00:00:00Z",
            "2026-12-01T01:00:00+01:00",
            "'2026-12-01'",
            "2026-12-01",
        ] {
            assert_eq!(valid_from(&format!("valid_from = {written}")), Ok(Some(1_796_083_200)), "{written}");
        }
        assert_eq!(valid_from(""), Ok(None));
        for written in ["'soon'", "17", "'2026-12-01T00:00:00'", "2026-12-01T00:00:00", "'1969-12-01'"] {
            let error = valid_from(&format!("valid_from = {written}")).unwrap_err();
            assert!(error.contains("an instant such as"), "{written}: {error}");
        }
    }
}
