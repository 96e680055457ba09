//! Where a number is in a document, and how it may be written there.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// More parts of one sum than any meter has.
const PLACES_MAX: usize = 16;
/// So much of a value is shown in a complaint.
const SHOWN_CHARS: usize = 40;

/// One place, or several whose numbers are added: `"/total"`, `["/tariff1", "/tariff2"]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Places(Vec<String>);

impl From<String> for Places {
    fn from(place: String) -> Self {
        Self(vec![place])
    }
}

impl Places {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Why this list cannot be added up, if it cannot.
    pub(super) fn fault(&self) -> Option<String> {
        if self.0.is_empty() || self.0.len() > PLACES_MAX {
            return Some(format!("a sum takes 1 to {PLACES_MAX} pointers"));
        }
        let is_twice =
            |(index, place): &(usize, &String)| self.0.iter().skip(index + 1).any(|other| other == *place);
        self.0.iter().enumerate().find(is_twice).map(|(_, place)| format!("{place:?} is listed twice"))
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Places;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON pointer, or a list of pointers to be summed")
            }

            fn visit_str<E>(self, place: &str) -> Result<Places, E> {
                Ok(Places::from(place.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut places: A) -> Result<Places, A::Error> {
                let mut all = Vec::new();
                while let Some(place) = places.next_element()? {
                    all.push(place);
                }
                Ok(Places(all))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// A value as a complaint shows it.
pub(super) fn shown(value: &Value) -> String {
    // JSON escapes only the first of the two sets of control characters.
    value.to_string().chars().filter(|it| !it.is_control()).take(SHOWN_CHARS).collect()
}

/// Numbers, and texts that are numbers.
pub(super) fn number(value: &Value) -> Option<f64> {
    printed_number(value).map(|(number, _)| number)
}

/// A number with its digits as they are printed, a point before the decimals.
pub(super) fn printed_number(value: &Value) -> Option<(f64, String)> {
    let printed = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => with_point(text.trim())?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let number: f64 = printed.parse().ok()?;
    number.is_finite().then_some((number, printed))
}

/// A number with its decimal comma as a point. `1,234` may be a thousand or one: three digits behind a comma are
/// decimals only where what stands before it cannot be thousands.
fn with_point(text: &str) -> Option<String> {
    let Some((whole, decimals)) = text.split_once(',') else { return Some(text.to_owned()) };
    let digits = whole.trim_start_matches(['+', '-']);
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(digits) || !is_number(decimals) || digits.is_empty() {
        return None;
    }
    let may_be_thousands = decimals.len() == 3 && digits.len() <= 3 && !digits.starts_with('0');
    (!may_be_thousands).then(|| format!("{whole}.{decimals}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_decimal_comma_is_read_where_it_can_be_nothing_else() {
        for (text, expected) in [
            ("12,5", Some(12.5)),
            (" 20481,750 ", Some(20_481.75)),
            ("0,125", Some(0.125)),
            ("-3,5", Some(-3.5)),
            ("1,250", None),
            ("1,2,3", None),
            ("1.234,5", None),
            (",5", None),
            ("12", Some(12.0)),
            ("1e3", Some(1000.0)),
            ("soon", None),
            ("NaN", None),
        ] {
            assert_eq!(number(&json!(text)), expected, "{text:?}");
        }
        assert_eq!(printed_number(&json!("7,25")), Some((7.25, "7.25".to_owned())));
    }
}
