//! Numbers as Python 2 writes them, which is what the original's signature covers.

use std::fmt::Write as _;

/// `str(x)`: `%.12g`, `.0` kept, exponent form below 1e-4 and from 1e11.
pub(crate) fn python2_str(x: f64) -> String {
    const DIGITS: usize = 12;
    if !x.is_finite() {
        return non_finite(x);
    }
    let scientific = format!("{:.*e}", DIGITS - 1, x.abs());
    let Some((digits, exponent)) = split(&scientific) else { return scientific };
    let stripped = digits.trim_end_matches('0');
    let kept = if rounds_tie_down(x.abs(), exponent, DIGITS) { &digits } else { stripped };
    layout(x.is_sign_negative(), kept, exponent, DIGITS - 1)
}

/// `repr(x)`: the shortest text that reads back, `.0` kept, exponent form below 1e-4 and from 1e16.
pub(crate) fn python2_repr(x: f64) -> String {
    if !x.is_finite() {
        return non_finite(x);
    }
    let scientific = format!("{:e}", x.abs());
    let Some((digits, exponent)) = split(&scientific) else { return scientific };
    layout(x.is_sign_negative(), digits.trim_end_matches('0'), exponent, 16)
}

fn non_finite(x: f64) -> String {
    let text = if x.is_nan() {
        "nan"
    } else if x > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    text.to_owned()
}

/// `1.25e-7` as its digits, `125`, and its exponent, -7.
fn split(scientific: &str) -> Option<(String, i32)> {
    let (mantissa, exponent) = scientific.split_once('e')?;
    Some((mantissa.replace('.', ""), exponent.parse().ok()?))
}

/// Whether `x` is an integer of 13 to 15 digits half-way between two of `digits` digits, the lower one even. There
/// the conversion of `CPython` 2.7 (David Gay's `dtoa`, its branch for small integers) does not strip trailing zeros.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer below 1e15 is exact")]
fn rounds_tie_down(x: f64, exponent: i32, digits: usize) -> bool {
    if x.fract() != 0.0 || !(12..=14).contains(&exponent) {
        return false;
    }
    let integer = x as u64;
    let Some(dropped) = (integer.checked_ilog10().unwrap_or(0) as usize + 1).checked_sub(digits) else {
        return false;
    };
    let unit = 10_u64.pow(dropped as u32);
    dropped > 0 && integer % unit * 2 == unit && (integer / unit).is_multiple_of(2)
}

/// Writes `digits` (none: zero) times ten to `exponent`, in exponent form from `exponent_min` on.
fn layout(negative: bool, digits: &str, exponent: i32, exponent_min: usize) -> String {
    let digits = if digits.is_empty() { "0" } else { digits };
    let mut text = String::from(if negative { "-" } else { "" });
    let places = usize::try_from(exponent).ok().filter(|places| *places < exponent_min);
    match places {
        Some(places) => {
            let whole = places + 1;
            text.extend(digits.chars().chain(std::iter::repeat('0')).take(whole));
            text.push('.');
            match digits.get(whole..) {
                Some(fraction) if !fraction.is_empty() => text.push_str(fraction),
                _ => text.push('0'),
            }
        }
        None if (-4..0).contains(&exponent) => {
            text.push_str("0.");
            text.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            text.push_str(digits);
        }
        None => {
            let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
            text.push_str(first);
            if !rest.is_empty() {
                text.push('.');
                text.push_str(rest);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            _ = write!(text, "e{sign}{:02}", exponent.unsigned_abs());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_every_digit() {
        for (x, text) in [
            (2.5, "2.5"),
            (0.300_000_000_000_000_04, "0.30000000000000004"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (-0.0, "-0.0"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(python2_repr(x), text);
        }
    }
}
