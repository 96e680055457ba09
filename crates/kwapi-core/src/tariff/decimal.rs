//! Decimal numbers of a tariff: prices, shares, factors. Whole billionths, so that products with whole millijoules are
//! exact (ADR 0030).

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

const DECIMALS: usize = 9;
const BILLION: i64 = 1_000_000_000;

/// A decimal number with nine decimals at most, of ±1 000 000 000 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i64);

/// Why a text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// It is no decimal number.
    #[error("is not a decimal number; write for example 0.2134")]
    Unreadable,
    /// It would have to be rounded.
    #[error("has more than 9 decimals")]
    TooFine,
    /// It is too large.
    #[error("must be -1000000000 to 1000000000")]
    TooLarge,
}

impl Decimal {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// One.
    pub const ONE: Self = Self(BILLION);

    /// In billionths.
    pub(crate) const fn billionths(self) -> i64 {
        self.0
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let text = text.trim();
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(DecimalError::Unreadable);
        }
        let part = part.trim_end_matches('0');
        if part.len() > DECIMALS {
            return Err(DecimalError::TooFine);
        }
        let whole: i64 = whole.parse().map_err(|_| DecimalError::TooLarge)?;
        let part: i64 = format!("{part:0<DECIMALS$}").parse().map_err(|_| DecimalError::Unreadable)?;
        let billionths = whole.checked_mul(BILLION).and_then(|whole| whole.checked_add(part));
        let billionths = billionths.filter(|sum| *sum <= BILLION * BILLION).ok_or(DecimalError::TooLarge)?;
        Ok(Self(sign * billionths))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, part) = (size / BILLION.unsigned_abs(), size % BILLION.unsigned_abs());
        if part == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{part:0>DECIMALS$}").trim_end_matches('0'))
    }
}

/// As text, so that no reader makes a float of it.
impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number, or a text: what is in quotes is taken digit by digit, and a floating point number by its shortest text.
impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfNumber;
        impl Visitor<'_> for OfNumber {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse().map_err(|error| E::custom(format_args!("{text:?} {error}")))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Decimal, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Decimal, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(OfNumber)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Decimal>() {
            Ok(number) => number.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn a_number_is_taken_digit_by_digit_or_refused() {
        check("0.2134", "0.2134");
        check("-0.050", "-0.05");
        check(" 12 ", "12");
        check("0.123456789", "0.123456789");
        check("1000000000", "1000000000");
        check("0.1234567890000", "0.123456789");
        check("0.1234567891", "has more than 9 decimals");
        check("1000000000.000000001", "must be -1000000000 to 1000000000");
        check("99999999999999999999", "must be -1000000000 to 1000000000");
        for text in ["", "-", ".5", "5.", "1e3", "0,21", "+1", "--1", "1.2.3", "NaN", "٣"] {
            check(text, "is not a decimal number; write for example 0.2134");
        }
    }

    proptest! {
        #[test]
        fn a_number_that_is_shown_is_read_as_itself(billionths in -BILLION * BILLION..=BILLION * BILLION) {
            prop_assert_eq!(Decimal(billionths).to_string().parse(), Ok(Decimal(billionths)));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            _ = text.parse::<Decimal>();
        }
    }
}
