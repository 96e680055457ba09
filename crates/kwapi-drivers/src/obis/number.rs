//! One number of a register, in the unit it is given in.

/// What a register counts or measures, in its base unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Watt-hours.
    WattHour,
    /// Watts.
    Watt,
    /// Volts.
    Volt,
    /// Amperes.
    Ampere,
}

/// A value with the step of its last digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) value: f64,
    pub(crate) step: f64,
    pub(crate) unit: Unit,
}

/// More digits are no meter's.
const DIGITS_MAX: usize = 18;

impl Number {
    /// A whole count, its power of ten and its unit (*DLMS Blue Book*, table of units): of SML.
    pub(crate) fn scaled(count: i128, exponent: i8, unit: u8) -> Option<Self> {
        let unit = match unit {
            27 => Unit::Watt,
            30 => Unit::WattHour,
            33 => Unit::Ampere,
            35 => Unit::Volt,
            _ => return None,
        };
        let step = 10_f64.powi(exponent.into());
        // A division keeps 2 304 tenths what they are.
        let scaled =
            if exponent < 0 { count as f64 / 10_f64.powi(-i32::from(exponent)) } else { count as f64 * step };
        let is_sane = (-9..=9).contains(&exponent) && scaled.is_finite();
        is_sane.then_some(Self { value: scaled, step, unit })
    }

    /// A decimal number and its unit, `001234.567*kWh`. `None` for any other unit; `Some(Err)` where there is no number.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, ()>> {
        let (digits, unit) = text.split_once('*')?;
        let (unit, factor) = match unit {
            "Wh" => (Unit::WattHour, 1.0),
            "kWh" => (Unit::WattHour, 1e3),
            "MWh" => (Unit::WattHour, 1e6),
            "W" => (Unit::Watt, 1.0),
            "kW" => (Unit::Watt, 1e3),
            "V" => (Unit::Volt, 1.0),
            "A" => (Unit::Ampere, 1.0),
            "mA" => (Unit::Ampere, 1e-3),
            _ => return None,
        };
        let number = decimal(digits).map(|(count, decimals)| {
            let divisor = 10_f64.powi(decimals);
            Self { value: count as f64 * factor / divisor, step: factor / divisor, unit }
        });
        Some(number.ok_or(()))
    }
}

/// `-0012.34` as −1234 and 2.
fn decimal(text: &str) -> Option<(i64, i32)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = !whole.is_empty() && is_digits(whole) && is_digits(fraction);
    if !is_number || whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let count: i64 = format!("{whole}{fraction}").parse().ok()?;
    let decimals = i32::try_from(fraction.len()).ok()?;
    Some((if text.starts_with('-') { -count } else { count }, decimals))
}
