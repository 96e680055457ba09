//! Whether what a register map makes of a meter is a meter's: Modbus answers with any registers requested.

use kwapi_core::{Reading, Volts};

/// Mains between a phase and neutral, 100 V to 277 V, or between phases, to 480 V, each with a tenth to spare.
const VOLTS_MIN: f64 = 90.0;
const VOLTS_MAX: f64 = 528.0;
/// A phase that is not connected shows less than this.
const VOLTS_NOTHING: f64 = 5.0;
/// Volts times amperes may fall behind the watts by this share, and by this much: they are not measured at one instant.
const POWER_SHARE: f64 = 1.2;
const POWER_SLACK: f64 = 25.0;

/// Judges what was read with one map.
///
/// # Errors
/// Why it is not accepted, for a comment.
pub(super) fn judge(readings: &[Reading]) -> Result<(), String> {
    let volts: Vec<f64> = readings.iter().filter_map(|reading| Some(reading.voltage?.0)).collect();
    if let Some(odd) = volts.iter().find(|volts| {
        !(VOLTS_MIN..=VOLTS_MAX).contains(*volts) && !(-VOLTS_NOTHING..VOLTS_NOTHING).contains(*volts)
    }) {
        return Err(format!("{} is not a mains voltage", Volts(*odd)));
    }
    if !volts.iter().any(|volts| *volts >= VOLTS_MIN) {
        return Err("no mains voltage to check it against".to_owned());
    }
    for reading in readings {
        let (Some(power), Some(volts), Some(amperes)) = (reading.power, reading.voltage, reading.current)
        else {
            continue;
        };
        if power.0.abs() > volts.0 * amperes.0.abs() * POWER_SHARE + POWER_SLACK {
            return Err(format!("{power} is more than {volts} times {amperes}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kwapi_core::{Amperes, Watts};

    use super::*;

    #[track_caller]
    fn check(phases: &[(Option<f64>, Option<f64>, Option<f64>)], expected: &str) {
        let readings: Vec<_> = phases
            .iter()
            .map(|(power, voltage, current)| Reading {
                power: power.map(Watts),
                voltage: voltage.map(Volts),
                current: current.map(Amperes),
                ..Reading::default()
            })
            .collect();
        assert_eq!(judge(&readings).err().unwrap_or_else(|| "plausible".to_owned()), expected);
    }

    #[test]
    fn volts_amperes_and_watts_that_agree_are_a_meter() {
        check(&[(Some(100.25), Some(230.5), Some(0.5))], "plausible");
        check(&[(Some(1_500.0), None, None), (Some(500.0), Some(229.0), Some(2.3))], "plausible");
        check(&[(Some(900.0), Some(401.0), Some(2.4)), (Some(0.0), Some(0.0), Some(0.0))], "plausible");
        check(&[(Some(-800.0), Some(118.0), Some(7.0))], "plausible");
    }

    #[test]
    fn another_meters_registers_are_not() {
        check(&[(Some(12.0), Some(3.4e-38), Some(1.0))], "no mains voltage to check it against");
        check(&[(Some(12.0), None, None)], "no mains voltage to check it against");
        check(&[(Some(12.0), Some(50.0), Some(230.0))], "50 V is not a mains voltage");
        check(&[(Some(9e6), Some(230.0), Some(1.0))], "9000000 W is more than 230 V times 1 A");
    }
}
