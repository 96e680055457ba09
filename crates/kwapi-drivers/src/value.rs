//! From a device's number and unit to SI, with what makes no sense refused. Shared by the drivers whose units the
//! operator or a register map names.

use kwapi_core::{Energy, Measurement, MeterCounter, NoReading, Timestamp, Watts};
use serde::Deserialize;
use serde_json::Value;

use crate::config::ConfigError;

/// Numbers in JSON, and texts that are numbers: metric reports, some cards and scripted meters write `"102.550"`.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Checks what one count is worth, key by key.
///
/// # Errors
/// For the first that is no factor.
pub(crate) fn check_scales<const N: usize>(
    scales: [(&'static str, Option<f64>); N],
) -> Result<(), ConfigError> {
    let is_factor = |scale: f64| scale.is_finite() && scale != 0.0;
    match scales.iter().find(|(_, scale)| !scale.is_none_or(is_factor)) {
        Some((name, _)) => Err(ConfigError::of(name, "must be a number other than 0")),
        None => Ok(()),
    }
}

/// The unit a device gives power in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PowerUnit {
    /// Watts.
    #[default]
    W,
    /// Kilowatts.
    #[serde(rename = "kW")]
    Kilo,
    /// Milliwatts.
    #[serde(rename = "mW")]
    Milli,
    /// Microwatts.
    #[serde(rename = "uW")]
    Micro,
}

impl PowerUnit {
    const ALL: [Self; 4] = [Self::W, Self::Kilo, Self::Milli, Self::Micro];

    /// The unit that is written so in a configuration.
    ///
    /// # Errors
    /// Which there are.
    pub fn from_symbol(symbol: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::symbol).join(", ");
        let unit = Self::ALL.into_iter().find(|unit| unit.symbol() == symbol);
        unit.ok_or_else(|| format!("units are {}", known()))
    }

    /// A number of this unit in watts, whatever its sign.
    pub(crate) fn to_watts(self, value: f64) -> f64 {
        value * self.watts()
    }

    /// As it is written in a configuration.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::W => "W",
            Self::Kilo => "kW",
            Self::Milli => "mW",
            Self::Micro => "uW",
        }
    }

    fn watts(self) -> f64 {
        match self {
            Self::W => 1.0,
            Self::Kilo => 1e3,
            Self::Milli => 1e-3,
            Self::Micro => 1e-6,
        }
    }
}

/// The unit a device counts energy in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum EnergyUnit {
    /// Kilowatt-hours, 3.6 MJ.
    #[default]
    #[serde(rename = "kWh")]
    KilowattHour,
    /// Watt-hours, 3 600 J.
    #[serde(rename = "Wh")]
    WattHour,
    /// Megawatt-hours, 3.6 GJ.
    #[serde(rename = "MWh")]
    MegawattHour,
    /// Watt-minutes, 60 J: first-generation Shelly relays.
    #[serde(rename = "Wmin")]
    WattMinute,
    /// Joules.
    #[serde(rename = "J")]
    Joule,
    /// Kilojoules.
    #[serde(rename = "kJ")]
    Kilojoule,
    /// Millijoules.
    #[serde(rename = "mJ")]
    Millijoule,
    /// Microjoules.
    #[serde(rename = "uJ")]
    Microjoule,
}

impl EnergyUnit {
    const ALL: [Self; 8] = [
        Self::KilowattHour,
        Self::WattHour,
        Self::MegawattHour,
        Self::WattMinute,
        Self::Joule,
        Self::Kilojoule,
        Self::Millijoule,
        Self::Microjoule,
    ];

    /// The unit that is written so in a configuration.
    ///
    /// # Errors
    /// Which there are.
    pub fn from_symbol(symbol: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::symbol).join(", ");
        let unit = Self::ALL.into_iter().find(|unit| unit.symbol() == symbol);
        unit.ok_or_else(|| format!("units are {}", known()))
    }

    /// As it is written in a configuration.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::KilowattHour => "kWh",
            Self::WattHour => "Wh",
            Self::MegawattHour => "MWh",
            Self::WattMinute => "Wmin",
            Self::Joule => "J",
            Self::Kilojoule => "kJ",
            Self::Millijoule => "mJ",
            Self::Microjoule => "uJ",
        }
    }

    fn joules(self) -> f64 {
        match self {
            Self::KilowattHour => 3.6e6,
            Self::WattHour => 3600.0,
            Self::MegawattHour => 3.6e9,
            Self::WattMinute => 60.0,
            Self::Joule => 1.0,
            Self::Kilojoule => 1e3,
            Self::Millijoule => 1e-3,
            Self::Microjoule => 1e-6,
        }
    }
}

/// An integer field, by whose width and sign a device's "not measured" is known. One notion for all drivers; what a
/// device's manual lists besides is the driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sentinel {
    /// An unsigned field of so many bits: all of them set (255, 65 535, 4 294 967 295), which is what an unsigned
    /// reader makes of -1.
    Unsigned(u32),
    /// A field of so many bits in two's complement: the ends of its range (7FFFh and 8000h, as `SunSpec` has them). Not
    /// -1: a meter that may export may report it.
    Signed(u32),
}

impl Sentinel {
    /// The fields that a device's JSON or metrics are made of, which don't state which: of a present value…
    pub(crate) const WRITTEN: [Self; 3] = [Self::Unsigned(16), Self::Unsigned(32), Self::Signed(32)];
    /// …and of a counter, which passes 65 535 by right; the ends of wider fields it misses for a tick.
    pub(crate) const WRITTEN_COUNTER: [Self; 2] = [Self::Unsigned(32), Self::Signed(32)];

    /// Whether a value of this field means: not measured. A field wider than 64 bits has none.
    pub(crate) fn is(self, raw: i128) -> bool {
        match self {
            Self::Unsigned(bits @ 1..=64) => raw == (1_i128 << bits) - 1,
            Self::Signed(bits @ 1..=64) => {
                let end = 1_i128 << (bits - 1);
                raw == end - 1 || raw == -end
            }
            Self::Unsigned(_) | Self::Signed(_) => false,
        }
    }

    /// Whether a value means "not measured" in any of these fields, where a protocol does not state which it was.
    pub(crate) fn any(fields: &[Self], raw: i128) -> bool {
        fields.iter().any(|field| field.is(raw))
    }

    /// The same of a number that came as text or JSON, as far as it is whole.
    pub(crate) fn any_written(fields: &[Self], number: f64) -> bool {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole, and cut off at the ends of i128, which are none"
        )]
        let raw = number as i128;
        number.fract() == 0.0 && Self::any(fields, raw)
    }
}

/// A number that came as text or JSON, unless it stands for "not measured" in one of `fields`.
///
/// # Errors
/// [`NoReading::Implausible`] where it does.
pub(crate) fn written(number: f64, fields: &[Sentinel]) -> Result<f64, NoReading> {
    if Sentinel::any_written(fields, number) {
        return Err(NoReading::Implausible(format!("{number}, a placeholder for no value")));
    }
    Ok(number)
}

/// Active power of one outlet.
///
/// # Errors
/// [`NoReading::Implausible`] for what no consumer draws: negative, not finite, more than a power station.
pub(crate) fn power(value: f64, unit: PowerUnit) -> Result<Watts, NoReading> {
    let watts = Watts(value * unit.watts());
    if Measurement::power_is_valid(watts) {
        return Ok(watts);
    }
    let advice = if watts.0 < 0.0 { "; check for a reversed current transformer or wiring" } else { "" };
    Err(NoReading::Implausible(format!("{watts}{advice}")))
}

/// A meter's counter, its `resolution` in the same unit. One millijoule is the finest there is.
///
/// # Errors
/// [`NoReading::Implausible`] for a negative count or one that is no number.
pub(crate) fn counter(value: f64, resolution: f64, unit: EnergyUnit) -> Result<MeterCounter, NoReading> {
    let energy = Energy::from_joules(value * unit.joules())
        .ok_or_else(|| NoReading::Implausible(format!("energy counter at {value}")))?;
    let tick = Energy::from_joules(resolution * unit.joules()).unwrap_or(Energy::ZERO);
    Ok(MeterCounter::new(energy, tick.max(Energy::from_millijoules(1))))
}

/// A stamp in Unix seconds with their fraction, as JSON and OpenMetrics give it; `None` before 2000 or after 2200,
/// which is a clock that was never set or another unit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked just above")]
pub(crate) fn unix_seconds(seconds: f64) -> Option<Timestamp> {
    const YEAR_2000: f64 = 946_684_800.0;
    const YEAR_2200: f64 = 7_258_118_400.0;
    (YEAR_2000..YEAR_2200).contains(&seconds).then(|| Timestamp::from_micros((seconds * 1e6).round() as u64))
}

/// A stamp with its zone, as RFC 3339 writes it; `None` for anything else and for clocks never set.
pub(crate) fn rfc3339(text: &str) -> Option<Timestamp> {
    let micros = text.trim().parse::<jiff::Timestamp>().ok()?.as_microsecond();
    unix_seconds(micros as f64 / 1e6)?;
    u64::try_from(micros).ok().map(Timestamp::from_micros)
}

/// Finds the tick of a counter whose device does not state it, from the decimals it prints: the finest seen so far,
/// since a device that prints thousandths shows `12.5` now and then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decimals(i32);

impl Decimals {
    /// More are rounding noise of floating point (`0.30000000000000004`).
    const MAX: i32 = 6;

    /// Learns from one printed value and returns the tick in its unit.
    pub(crate) fn resolution(&mut self, printed: &str) -> f64 {
        let decimals = match printed.split_once('.') {
            Some((_, fraction)) if !fraction.contains(['e', 'E']) => {
                i32::try_from(fraction.trim_end_matches('0').len()).unwrap_or(Self::MAX)
            }
            Some(_) | None => 0,
        };
        self.0 = self.0.max(decimals.min(Self::MAX));
        10_f64.powi(-self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_comes_to_si() {
        let watts = |value, unit| power(value, unit).map(|watts| watts.0);
        assert_eq!(watts(2.0, PowerUnit::W), Ok(2.0));
        assert_eq!(watts(2.0, PowerUnit::Kilo), Ok(2000.0));
        assert_eq!(watts(5e3, PowerUnit::Milli), Ok(5.0));
        assert_eq!(watts(61e6, PowerUnit::Micro), Ok(61.0));
        for (value, unit) in [
            (1.0, EnergyUnit::KilowattHour),
            (1e3, EnergyUnit::WattHour),
            (1e-3, EnergyUnit::MegawattHour),
            (6e4, EnergyUnit::WattMinute),
            (3.6e6, EnergyUnit::Joule),
            (3.6e3, EnergyUnit::Kilojoule),
            (3.6e9, EnergyUnit::Millijoule),
            (3.6e12, EnergyUnit::Microjoule),
        ] {
            let counter = counter(value, 0.0, unit).expect("a count");
            assert_eq!(counter.value, Energy::from_watt_hours(1000), "{unit:?}");
            assert_eq!(counter.resolution, Energy::from_millijoules(1));
        }
    }

    #[test]
    fn the_end_of_a_fields_range_means_not_measured() {
        for (field, sentinels, numbers) in [
            (Sentinel::Unsigned(8), vec![255], vec![0, 254, 256, -1]),
            (Sentinel::Unsigned(16), vec![65_535], vec![0, 32_767, 65_534, -1]),
            (Sentinel::Unsigned(64), vec![i128::from(u64::MAX)], vec![i128::from(i64::MAX)]),
            (Sentinel::Signed(16), vec![32_767, -32_768], vec![-1, 0, 65_535, 32_766]),
            (Sentinel::Signed(32), vec![0x7fff_ffff, -0x8000_0000], vec![-1, 0xffff_ffff]),
            (Sentinel::Signed(65), vec![], vec![0, i128::MAX, i128::MIN]),
            (Sentinel::Unsigned(0), vec![], vec![0, -1]),
        ] {
            for raw in sentinels {
                assert!(field.is(raw), "{field:?} {raw}");
            }
            for raw in numbers {
                assert!(!field.is(raw), "{field:?} {raw}");
            }
        }
        assert!(Sentinel::any(&[Sentinel::Signed(16), Sentinel::Unsigned(32)], 0xffff_ffff));
        assert!(!Sentinel::any(&[Sentinel::Signed(16), Sentinel::Unsigned(32)], 65_535));
        for (written, is) in
            [(65_535.0, true), (65_535.5, false), (f64::NAN, false), (f64::INFINITY, false), (1e300, false)]
        {
            assert_eq!(Sentinel::any_written(&[Sentinel::Unsigned(16)], written), is, "{written}");
        }
    }

    #[test]
    fn what_no_consumer_draws_is_implausible() {
        for value in [-0.1, f64::NAN, f64::INFINITY, 2e9] {
            assert!(matches!(power(value, PowerUnit::W), Err(NoReading::Implausible(_))), "{value}");
        }
        assert!(counter(-1.0, 1.0, EnergyUnit::Joule).is_err());
        assert!(counter(f64::NAN, 1.0, EnergyUnit::Joule).is_err());
    }

    #[test]
    fn a_stamp_is_read_and_an_unset_clock_is_none() {
        let expected = Some(Timestamp::from_micros(1_795_430_400_250_000));
        assert_eq!(unix_seconds(1_795_430_400.25), expected);
        assert_eq!(
            rfc3339("2026-11-23T12:00:00.25+01:00"),
            Some(Timestamp::from_micros(1_795_431_600_250_000))
        );
        for unset in ["1970-01-01T00:00:12Z", "2026-11-23T12:00:00", "", "yesterday"] {
            assert_eq!(rfc3339(unset), None, "{unset}");
        }
        assert_eq!(unix_seconds(12.0), None);
        assert_eq!(unix_seconds(f64::NAN), None);
        assert_eq!(unix_seconds(1_795_430_400_250.0), None, "milliseconds are no seconds");
    }

    #[test]
    fn the_finest_decimals_seen_are_the_tick() {
        let mut decimals = Decimals::default();
        let mut check = |printed, expected: f64| {
            let actual = decimals.resolution(printed);
            assert!((actual - expected).abs() < expected * 1e-9, "{printed}: {actual}");
        };
        check("12", 1.0);
        check("12.5", 0.1);
        check("12.534", 0.001);
        check("12.6", 0.001);
        check("1.5e300", 0.001);
        check("0.30000000000000004", 1e-6);
    }
}
