//! From a device's number and unit to SI, with what makes no sense refused. Shared by the drivers whose units the
//! operator or a register map names.

use kwapi_core::{Energy, Measurement, MeterCounter, NoReading, Timestamp, Watts};
use serde::Deserialize;

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
    /// A number of this unit in watts, whatever its sign.
    pub(crate) fn to_watts(self, value: f64) -> f64 {
        value * self.watts()
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

/// Active power of one outlet.
///
/// # Errors
/// [`NoReading::Implausible`] for what no consumer draws: negative, not finite, more than a power station.
pub(crate) fn power(value: f64, unit: PowerUnit) -> Result<Watts, NoReading> {
    let watts = Watts(value * unit.watts());
    if Measurement::power_is_valid(watts) {
        return Ok(watts);
    }
    let advice = if watts.0 < 0.0 { "; is the current transformer or the wiring reversed?" } else { "" };
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
