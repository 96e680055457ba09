//! Sensor data records: which sensors a card has, and how their raw readings become watts.
//!
//! Source: IPMI 2.0 rev. 1.1, 43.1 (full sensor record), 36.3 (conversion), 35.14 (reading).

use kwapi_core::NoReading;

use super::reader::ByteReader;

/// Of a record, before its body: 43.1, "record header".
pub(super) const HEADER_BYTES: u8 = 5;
/// The only record type with a conversion: full sensor record, 43.1.
pub(super) const FULL_SENSOR: u8 = 0x01;
/// Sensor unit type code of watts: 43.17.
const UNIT_WATTS: u8 = 6;
/// The BMC's slave address; what other controllers own would have to be queried over a bridge.
const OWNER_BMC: u8 = 0x20;

/// What comes before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) record_type: u8,
    /// Bytes of the body.
    pub(super) length: u8,
}

/// Reads a record's header.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let [_, _, _version, record_type, length] = ByteReader::new(bytes).array()?;
    Some(Header { record_type, length })
}

/// A sensor of power.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IpmiSensor {
    pub(super) name: String,
    /// The controller it belongs to; with the two that follow, which sensor it is.
    pub(super) owner: u8,
    pub(super) number: u8,
    pub(super) lun: u8,
    /// What it belongs to: 43.14.
    pub(super) entity: u8,
    /// From raw readings to watts, or why there is no way.
    pub(super) conversion: Result<Conversion, &'static str>,
}

impl IpmiSensor {
    /// Whether both records describe one sensor.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.owner, self.lun, self.number) == (other.owner, other.lun, other.number)
    }
}

/// A record that ends before its fields do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TruncatedRecord;

/// Reads a full sensor record, header included. `None`: a sensor of something else than watts.
pub(super) fn full_sensor(record: &[u8]) -> Result<Option<IpmiSensor>, TruncatedRecord> {
    fields(record).ok_or(TruncatedRecord).map(|(units, sensor)| (units == WATTS).then_some(sensor))
}

/// Base unit watts, no percentage, no modifier unit (as in W/s), no rate: 43.1, bytes 21 and 22.
const WATTS: [u8; 2] = [0x00, UNIT_WATTS];

/// Whether the beginning of a full sensor record already shows that it is of something else than watts.
pub(super) fn is_of_other_unit(record: &[u8]) -> bool {
    let mut reader = ByteReader::new(record);
    // Header, and the body up to the units.
    let units = reader.take(usize::from(HEADER_BYTES) + 15).and_then(|_| reader.array::<2>());
    units.is_some_and(|[units, base_unit]| [units & 0x3F, base_unit] != WATTS)
}

/// What the record's sensor measures, by the last six bits of its units and its base unit, and the sensor.
fn fields(record: &[u8]) -> Option<([u8; 2], IpmiSensor)> {
    let mut reader = ByteReader::new(record);
    let _header = reader.take(HEADER_BYTES.into())?;
    let [owner, owner_lun, number, entity, _instance] = reader.array()?;
    let _to_units = reader.take(10)?;
    let [units, base_unit, _modifier_unit, linearisation] = reader.array()?;
    let [m, m_tolerance, b, b_accuracy, _accuracy, exponents] = reader.array()?;
    let _to_name = reader.take(17)?;
    let name = name(reader.u8()?, reader.rest());

    let conversion = match (Format::of(units >> 6), Linearisation::of(linearisation & 0x7F)) {
        _ if owner != OWNER_BMC => Err("owned by a controller other than the BMC"),
        (None, _) => Err("no analog reading"),
        (_, None) => Err("non-linear readings (36.2)"),
        (Some(format), Some(linearisation)) => Ok(Conversion {
            m: ten_bits(m, m_tolerance),
            b: ten_bits(b, b_accuracy),
            b_exponent: four_bits(exponents),
            result_exponent: four_bits(exponents >> 4),
            linearisation,
            format,
        }),
    };
    Some((
        [units & 0x3F, base_unit],
        IpmiSensor { name, owner, number, lun: owner_lun & 0x03, entity, conversion },
    ))
}

/// Ten bits of two's complement: the low eight in a byte, the high two atop another.
fn ten_bits(low: u8, high: u8) -> i16 {
    let bits = u16::from(high >> 6) << 8 | u16::from(low);
    (bits << 6).cast_signed() >> 6
}

/// Four bits of two's complement.
fn four_bits(low: u8) -> i8 {
    (low << 4).cast_signed() >> 4
}

/// y = L[(M·x + B·10^K1)·10^K2]: 36.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Conversion {
    m: i16,
    b: i16,
    b_exponent: i8,
    result_exponent: i8,
    linearisation: Linearisation,
    format: Format,
}

/// How a raw byte is a number: 43.1, byte 21.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Unsigned,
    OnesComplement,
    TwosComplement,
}

impl Format {
    fn of(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Unsigned),
            1 => Some(Self::OnesComplement),
            2 => Some(Self::TwosComplement),
            _ => None,
        }
    }

    fn number(self, raw: u8) -> f64 {
        let signed = raw.cast_signed();
        match self {
            Self::Unsigned => f64::from(raw),
            // FFh is a negative zero, FEh is -1.
            Self::OnesComplement if signed < 0 => f64::from(signed) + 1.0,
            Self::OnesComplement | Self::TwosComplement => f64::from(signed),
        }
    }
}

/// The function L: 43.1, byte 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linearisation {
    Linear,
    NaturalLogarithm,
    Logarithm10,
    Logarithm2,
    Exponential,
    Power10,
    Power2,
    Inverse,
    Square,
    Cube,
    SquareRoot,
    CubeRoot,
}

impl Linearisation {
    /// `None` for what differs from reading to reading (70h and above) and for what is not defined.
    fn of(code: u8) -> Option<Self> {
        Some(match code {
            0x00 => Self::Linear,
            0x01 => Self::NaturalLogarithm,
            0x02 => Self::Logarithm10,
            0x03 => Self::Logarithm2,
            0x04 => Self::Exponential,
            0x05 => Self::Power10,
            0x06 => Self::Power2,
            0x07 => Self::Inverse,
            0x08 => Self::Square,
            0x09 => Self::Cube,
            0x0A => Self::SquareRoot,
            0x0B => Self::CubeRoot,
            _ => return None,
        })
    }

    fn of_value(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::NaturalLogarithm => value.ln(),
            Self::Logarithm10 => value.log10(),
            Self::Logarithm2 => value.log2(),
            Self::Exponential => value.exp(),
            Self::Power10 => 10_f64.powf(value),
            Self::Power2 => value.exp2(),
            Self::Inverse => value.recip(),
            Self::Square => value.powi(2),
            Self::Cube => value.powi(3),
            Self::SquareRoot => value.sqrt(),
            Self::CubeRoot => value.cbrt(),
        }
    }
}

impl Conversion {
    /// The watts a raw reading stands for; not finite where the function has no value.
    pub(super) fn watts(self, raw: u8) -> f64 {
        // Powers of ten with a negative exponent are divided by: a tenth is not exact, ten is.
        let scaled = |value: f64, exponent: i8| {
            let power = 10_f64.powi(i32::from(exponent).abs());
            if exponent < 0 { value / power } else { value * power }
        };
        let sum = f64::from(self.m) * self.format.number(raw) + scaled(f64::from(self.b), self.b_exponent);
        self.linearisation.of_value(scaled(sum, self.result_exponent))
    }

    /// Watts between two neighbouring readings, for the operator; about that where the function is no line.
    pub(super) fn step(self) -> f64 {
        (self.watts(101) - self.watts(100)).abs()
    }
}

/// The raw value in the answer to Get Sensor Reading, or why it holds none: 35.14. `None` when the answer is cut.
pub(super) fn raw_reading(data: &[u8]) -> Option<Result<u8, NoReading>> {
    let [raw, flags] = ByteReader::new(data).array()?;
    Some(if flags & 0x20 != 0 {
        Err(NoReading::NotAvailable("reading unavailable".to_owned()))
    } else if flags & 0x40 == 0 {
        Err(NoReading::NotAvailable("sensor scanning disabled".to_owned()))
    } else {
        Ok(raw)
    })
}

/// A sensor's name from its type/length byte and what follows: 43.15.
fn name(type_length: u8, bytes: &[u8]) -> String {
    let bytes = bytes.get(..usize::from(type_length & 0x1F)).unwrap_or(bytes);
    let text: String = match type_length >> 6 {
        // BCD plus: two characters a byte.
        0b01 => bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]).filter_map(bcd_plus).collect(),
        // Four six-bit characters, counted from the space, in three bytes.
        0b10 => bytes
            .chunks(3)
            .flat_map(|chunk| {
                let bits = chunk.iter().rev().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
                (0..chunk.len() * 8 / 6).map(move |place| (bits >> (6 * place)) & 0x3F)
            })
            .filter_map(|code| char::from_u32(code + 0x20))
            .collect(),
        // Latin 1, whose codes are Unicode's; "Unicode" without a language is read as it.
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    text.chars().filter(|character| !character.is_control()).collect::<String>().trim().to_owned()
}

fn bcd_plus(nibble: u8) -> Option<char> {
    "0123456789 -.".chars().nth(nibble.into())
}

#[cfg(test)]
mod tests;
