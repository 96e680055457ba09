//! From the objects of one row to a reading. Pure; the same for a live agent and for a recorded walk.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use kwapi_core::{Amperes, Energy, MeterCounter, NoReading, Reading, Timestamp, Volts, WATTS_MAX, Watts};

use super::profile::{CounterColumn, Field, Section, StampFormat, StatusColumn};
use super::value::ObjectValue;
use crate::value::Sentinel;

/// What an agent reported of one outlet, by column.
pub(super) type ColumnValues = Vec<(Field, ObjectValue)>;

/// An agent does not report how wide the field is that its INTEGER or Gauge32 was taken from. What is measured now and
/// stands at the end of any is not measured: UPS cards report 65 535 W, PDUs 4 294 967 295.
const INSTANT_FIELDS: [Sentinel; 5] = [
    Sentinel::Unsigned(16),
    Sentinel::Unsigned(32),
    Sentinel::Signed(32),
    Sentinel::Unsigned(64),
    Sentinel::Signed(64),
];
/// A counter passes 65 535 by right. The ends of wider fields it misses for a tick.
const COUNTER_FIELDS: [Sentinel; 4] =
    [Sentinel::Unsigned(32), Sentinel::Signed(32), Sentinel::Unsigned(64), Sentinel::Signed(64)];

/// What became of one column.
enum FieldValue {
    /// A number in the column's unit.
    Number(f64),
    /// The profile has no such column, or the agent no such object.
    Nothing,
    /// The agent has the object and reports nothing with it.
    NoReading(NoReading),
}

/// Reads one row. Power that should have been there and is not is a [`NoReading`], whatever else the row holds.
///
/// # Errors
/// Why the outlet has no reading; never an invented 0.
pub(super) fn reading(section: &Section, row: &ColumnValues) -> Result<Reading, NoReading> {
    if let Some(status) = &section.status {
        check_status(status, value(row, Field::Status))?;
    }
    let power = match &section.power {
        Some(power) => number(
            row,
            Field::Power,
            Field::PowerDigits,
            power.watts,
            power.digits.is_some(),
            &power.not_available,
        ),
        None => FieldValue::Nothing,
    };
    let power = match power {
        FieldValue::Number(watts) if watts > WATTS_MAX.0 => {
            return Err(NoReading::Implausible(format!("{watts} W; check the scale")));
        }
        FieldValue::Number(watts) => Some(Watts(watts)),
        FieldValue::Nothing => None,
        FieldValue::NoReading(reason) => return Err(reason),
    };
    let voltage = section.voltage.as_ref().and_then(|volts| {
        let digits = volts.digits.is_some();
        number(row, Field::Voltage, Field::VoltageDigits, volts.volts, digits, &volts.not_available).ok()
    });
    let current = match &section.current {
        Some(amperes) => {
            let digits = amperes.digits.is_some();
            number(row, Field::Current, Field::CurrentDigits, amperes.amperes, digits, &amperes.not_available)
        }
        None => FieldValue::Nothing,
    };
    let current = match (current, &section.power) {
        // Where there is no power, the current is what the outlet is measured by.
        (FieldValue::NoReading(reason), None) => return Err(reason),
        (value, _) => value.ok(),
    };
    let counter = section.energy.as_ref().and_then(|energy| counter(section, energy, row));
    let reading = Reading {
        power,
        voltage: voltage.map(Volts),
        current: current.map(Amperes),
        counter,
        ..Reading::default()
    };
    if reading.is_empty() {
        let failed = row.iter().any(|(_, value)| *value == ObjectValue::Failed);
        return Err(if failed {
            NoReading::NotReady("the agent returned an error for it".to_owned())
        } else {
            NoReading::NoSuchOutlet("not in the agent's table".to_owned())
        });
    }
    Ok(reading)
}

/// From here on volt-amperes are a load: below, an idle sensor may report as much.
const LOAD_VOLT_AMPERES: f64 = 50.0;

/// What a source is good for; the better is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Usefulness {
    /// No row holds anything.
    Nothing,
    /// Amperes, which are no watts without volts.
    Amperes,
    /// Volts and amperes, of which watts can be estimated.
    VoltAmperes,
    /// Watts and energy that are all 0: nothing is plugged in, or the table is not measured.
    Zeros,
    /// Volts and amperes of something that draws power: watts of 0 elsewhere are not measured.
    Load,
    /// An energy counter that has counted.
    Counter,
    /// Watts.
    Watts,
}

impl Usefulness {
    /// What the best of these readings is good for.
    pub(super) fn of<'a>(readings: impl IntoIterator<Item = &'a Result<Reading, NoReading>>) -> Self {
        let of_one = |reading: &Reading| {
            let has_counted = reading.counter.is_some_and(|counter| counter.value > Energy::ZERO);
            match (reading.power, reading.voltage, reading.current) {
                (Some(power), _, _) if power.0 > 0.0 || has_counted => Self::Watts,
                (None, _, _) if has_counted => Self::Counter,
                (Some(_), _, _) => Self::Zeros,
                (None, Some(volts), Some(amperes)) if volts.0 * amperes.0 >= LOAD_VOLT_AMPERES => Self::Load,
                (None, Some(_), Some(_)) => Self::VoltAmperes,
                (None, None, Some(_)) => Self::Amperes,
                (None, _, None) => Self::Nothing,
            }
        };
        let readings = readings.into_iter().filter_map(|reading| reading.as_ref().ok());
        readings.map(of_one).max().unwrap_or(Self::Nothing)
    }

    /// For findings.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Nothing => "no reading",
            Self::Amperes => "current only",
            Self::VoltAmperes | Self::Load => "voltage and current",
            Self::Zeros => "only 0 W",
            Self::Counter => "energy only",
            Self::Watts => "watts",
        }
    }
}

/// The section as a device has it whose rows these are. Families measure less on their cheaper models, which leave the
/// watts out or report -1 throughout, and keep the amperes; some of them those of the line alone.
pub(super) fn on_device(section: &Section, rows: &[ColumnValues]) -> Section {
    let is_reported = |field: Field, not_available: Option<&Vec<i64>>| {
        not_available.is_some_and(|missing| {
            let reported =
                |row| matches!(number(row, field, field, 1.0, false, missing), FieldValue::Number(_));
            rows.iter().any(reported)
        })
    };
    let mut adapted = section.clone();
    let line = adapted.line_current.take();
    if is_reported(Field::Power, section.power.as_ref().map(|power| &power.not_available)) {
        return adapted;
    }
    if is_reported(Field::Current, section.current.as_ref().map(|current| &current.not_available)) {
        adapted.power = None;
    } else if is_reported(Field::LineCurrent, line.as_ref().map(|current| &current.not_available)) {
        adapted.power = None;
        adapted.voltage = None;
        adapted.current = line;
    }
    adapted
}

/// The operator's name of an outlet on the device.
pub(super) fn label(row: &ColumnValues) -> Option<String> {
    let label = value(row, Field::Label)?.text()?;
    Some(label.chars().take(LABEL_CHARS_MAX).collect())
}

/// A longer name is cut here: it is the device's word, and goes into ids and onto pages.
const LABEL_CHARS_MAX: usize = 100;

fn value(row: &ColumnValues, field: Field) -> Option<&ObjectValue> {
    row.iter().find(|(candidate, _)| *candidate == field).map(|(_, value)| value)
}

fn check_status(status: &StatusColumn, value: Option<&ObjectValue>) -> Result<(), NoReading> {
    // A device without the column is taken at its word: the values themselves still show when they mean nothing.
    let Some(number) = value.and_then(ObjectValue::integer) else { return Ok(()) };
    let is = |list: &[i64]| list.iter().any(|code| i128::from(*code) == number);
    if is(&status.unavailable) || (!status.available.is_empty() && !is(&status.available)) {
        return Err(NoReading::NotAvailable(format!("device status is {number}")));
    }
    Ok(())
}

fn number(
    row: &ColumnValues,
    field: Field,
    digits_field: Field,
    scale: f64,
    has_digits: bool,
    not_available: &[i64],
) -> FieldValue {
    let raw = match value(row, field) {
        None | Some(ObjectValue::Absent) => return FieldValue::Nothing,
        Some(ObjectValue::Failed) => {
            return FieldValue::NoReading(NoReading::NotReady(format!(
                "the agent returned an error for {field}"
            )));
        }
        Some(raw) => raw,
    };
    let fields: &[Sentinel] = if field == Field::Energy { &COUNTER_FIELDS } else { &INSTANT_FIELDS };
    let means_nothing = |integer: i128| {
        not_available.iter().any(|code| i128::from(*code) == integer) || Sentinel::any(fields, integer)
    };
    if raw.is_blank() || raw.integer().is_some_and(means_nothing) {
        return FieldValue::NoReading(NoReading::NotAvailable(format!("{field} reads {}", raw.describe())));
    }
    let Some(count) = raw.number() else {
        return FieldValue::NoReading(NoReading::Implausible(format!("{field} {}", raw.describe())));
    };
    if count < 0.0 {
        return FieldValue::NoReading(NoReading::NotAvailable(format!("{field} reads {}", raw.describe())));
    }
    match digits(row, digits_field, has_digits) {
        Ok(digits) => FieldValue::Number(scaled(count, scale) / power_of_ten(digits)),
        Err(reason) => FieldValue::NoReading(reason),
    }
}

/// A count in its unit. Tenths are divided, not multiplied: 2301 × 0.1 is 230.10000000000002.
fn scaled(count: f64, scale: f64) -> f64 {
    if scale < 1.0 { count / (1.0 / scale) } else { count * scale }
}

/// More decimal digits than any meter has; above it the value is no digit count.
const DIGITS_MAX: i128 = 9;

/// How many decimal digits a count has. A device that should report it and does not is not guessed at: ten times too much
/// goes onto a bill unseen.
fn digits(row: &ColumnValues, field: Field, has_digits: bool) -> Result<u8, NoReading> {
    if !has_digits {
        return Ok(0);
    }
    match value(row, field).and_then(ObjectValue::integer) {
        Some(digits @ 0..=DIGITS_MAX) => Ok(u8::try_from(digits).unwrap_or_default()),
        Some(digits) => Err(NoReading::Implausible(format!("{field} {digits}"))),
        None => Err(NoReading::NotReady(format!("the device does not report {field}; the scale is unknown"))),
    }
}

/// How many decimals a number has that a device writes out, `719.7060`.
fn decimals(value: &ObjectValue) -> u8 {
    let text = value.text().unwrap_or_default();
    let decimals = text.rsplit_once('.').map_or(0, |(_, decimals)| decimals.len());
    u8::try_from(decimals).unwrap_or_default()
}

fn power_of_ten(digits: u8) -> f64 {
    10_f64.powi(i32::from(digits))
}

fn counter(section: &Section, energy: &CounterColumn, row: &ColumnValues) -> Option<MeterCounter> {
    let has_digits = energy.digits.is_some();
    let energy_value =
        number(row, Field::Energy, Field::EnergyDigits, energy.watt_hours, has_digits, &energy.not_available);
    let watt_hours = energy_value.ok()?;
    let digits = digits(row, Field::EnergyDigits, has_digits).ok()?;
    let tick = energy.watt_hours / power_of_ten(digits.saturating_add(decimals(value(row, Field::Energy)?)));
    let energy_of = |watt_hours: f64| Energy::from_joules(watt_hours * 3_600.0);
    let reset_at =
        section.reset_at.as_ref().and_then(|stamp| parse_stamp(stamp.format, value(row, Field::ResetAt)?));
    Some(MeterCounter {
        value: energy_of(watt_hours)?,
        resolution: energy_of(tick)?,
        #[expect(clippy::cast_precision_loss, reason = "ranges of meters are far below 2^53 counts")]
        range: energy.range_counts.and_then(|counts| energy_of(counts as f64 * tick)),
        reset_at,
    })
}

impl FieldValue {
    fn ok(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Nothing | Self::NoReading(_) => None,
        }
    }
}

/// Reads an instant; `None` for what is none (`"Unknown"`, 0), since a wrong one would look like a reset.
fn parse_stamp(format: StampFormat, value: &ObjectValue) -> Option<Timestamp> {
    if format == StampFormat::Unix {
        let seconds = u64::try_from(value.integer()?).ok()?;
        return (seconds > 0).then(|| Timestamp::from_seconds(seconds));
    }
    let text = value.text()?;
    let mut numbers =
        text.split(|character: char| !character.is_ascii_digit()).filter(|part| !part.is_empty());
    let mut next = || numbers.next().and_then(|part| part.parse::<i64>().ok());
    let (first, second, third) = (next()?, next()?, next()?);
    let (year, month, day) = match format {
        StampFormat::MonthDayYear => (third, first, second),
        StampFormat::DayMonthYear => (third, second, first),
        StampFormat::YearMonthDay | StampFormat::Unix => (first, second, third),
    };
    let [hour, minute, second] = [next(), next(), next()].map(Option::unwrap_or_default);
    let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(i8::try_from);
    let date = Date::new(i16::try_from(year).ok()?, month.ok()?, day.ok()?).ok()?;
    // A leap second is the one before it.
    let time = Time::new(hour.ok()?, minute.ok()?, second.ok()?.min(59), 0).ok()?;
    let at = DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok()?.timestamp();
    let is_plausible = (2000..=2200).contains(&year);
    is_plausible.then(|| u64::try_from(at.as_second()).ok().map(Timestamp::from_seconds)).flatten()
}

#[cfg(test)]
mod tests;
