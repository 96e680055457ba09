//! Register maps: which meter keeps what where. Data, so that a new meter needs no new program.

use std::collections::BTreeMap;
use std::path::Path;

use kwapi_core::{Amperes, MeterCounter, NoReading, Reading, Volts};
use serde::Deserialize;

use super::codec::REGISTERS_MAX;
use crate::driver::DriverError;
use crate::value::{self, EnergyUnit, PowerUnit};

/// The maps we ship. A file of the same name in the operator's directory comes first.
const SHIPPED: &[(&str, &str)] = &[
    ("eastron-sdm120", include_str!("maps/eastron-sdm120.toml")),
    ("eastron-sdm230", include_str!("maps/eastron-sdm120.toml")),
    ("eastron-sdm630", include_str!("maps/eastron-sdm630.toml")),
    ("schneider-iem3155", include_str!("maps/schneider-iem3155.toml")),
];

/// The names of the maps we ship.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// One family of meters.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Map {
    /// Maker and model.
    pub name: String,
    /// 3 reads holding registers, 4 input registers.
    pub function: u8,
    /// Which of several registers comes first.
    #[serde(default)]
    pub word_order: WordOrder,
    /// How the meter leaves the factory.
    #[serde(default)]
    pub serial: SerialSettings,
    /// What the meter measures: `total`, and the phases or circuits by name.
    pub outlets: BTreeMap<String, Outlet>,
}

/// Which of several registers comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WordOrder {
    /// The most significant, as nearly everywhere.
    #[default]
    Big,
    /// The least significant.
    Little,
}

/// How a serial line is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialSettings {
    /// Bits a second.
    pub baud: u32,
    /// The check of each character.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
}

impl Default for SerialSettings {
    /// What the standard asks of every device (*over Serial Line* 2.5.1): 19200, even.
    fn default() -> Self {
        Self { baud: 19_200, parity: Parity::Even, stop_bits: 1 }
    }
}

/// The check of each character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// None.
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// One thing the meter measures.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outlet {
    /// Active power, import.
    pub power: Option<Power>,
    /// Volts.
    pub voltage: Option<Field>,
    /// Amperes.
    pub current: Option<Field>,
    /// The energy counter, import.
    pub energy: Option<EnergyCounter>,
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its first register, counted from 0 as on the wire (manuals often count from 1, or from 30001 or 40001).
    pub at: u16,
    /// How it is written.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What one count is worth.
    #[serde(default = "one")]
    pub scale: f64,
}

/// A field of power.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    at: u16,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    unit: PowerUnit,
}

/// A field that counts.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyCounter {
    at: u16,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    unit: EnergyUnit,
    /// One tick, in `unit`; a float's own spacing where that is coarser.
    resolution: f64,
    /// Where it starts again from zero, in `unit`, if the manual says.
    range: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// How a number is written in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, two's complement.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, two's complement.
    I32,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, two's complement.
    I64,
    /// IEEE 754, single.
    F32,
    /// IEEE 754, double.
    F64,
}

impl Kind {
    /// How many registers.
    pub(super) fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }

    /// The number in `words`, `None` for what stands for "not available": NaN and infinities, the least signed and the
    /// greatest unsigned number (`SunSpec` 1.2 and Schneider agree on these), too few words.
    pub(super) fn decode(self, words: &[u16], order: WordOrder) -> Option<f64> {
        if words.len() != usize::from(self.registers()) {
            return None;
        }
        let append = |bits: u64, word: &u16| bits << 16 | u64::from(*word);
        let bits = match order {
            WordOrder::Big => words.iter().fold(0, append),
            WordOrder::Little => words.iter().rev().fold(0, append),
        };
        // Of each width, the bits that are there: a shift, so that nothing is cut off unseen.
        let (low16, low32) = (u16::try_from(bits & 0xffff).ok()?, u32::try_from(bits & 0xffff_ffff).ok()?);
        match self {
            Self::U16 => (low16 != u16::MAX).then(|| f64::from(low16)),
            Self::I16 => (low16 != 1 << 15).then(|| f64::from(low16.cast_signed())),
            Self::U32 => (low32 != u32::MAX).then(|| f64::from(low32)),
            Self::I32 => (low32 != 1 << 31).then(|| f64::from(low32.cast_signed())),
            Self::U64 => (bits != u64::MAX).then_some(bits as f64),
            Self::I64 => (bits != 1 << 63).then(|| bits.cast_signed() as f64),
            Self::F32 => Some(f64::from(f32::from_bits(low32))).filter(|number| number.is_finite()),
            Self::F64 => Some(f64::from_bits(bits)).filter(|number| number.is_finite()),
        }
    }

    /// The distance between two neighbours near `number`.
    fn spacing(self, number: f64) -> f64 {
        let mantissa_bits = match self {
            Self::U16 | Self::I16 | Self::U32 | Self::I32 => return 1.0,
            Self::U64 | Self::I64 | Self::F64 => 52,
            Self::F32 => 23,
        };
        number.abs() * 2_f64.powi(-mantissa_bits)
    }
}

/// The registers that have been read, by address.
pub(super) type Registers = BTreeMap<u16, u16>;

/// Words with their addresses; what would lie beyond the last register is left out.
pub(super) fn addressed(address: u16, words: Vec<u16>) -> impl Iterator<Item = (u16, u16)> {
    let addresses = (0..=u16::MAX).map_while(move |offset| address.checked_add(offset));
    addresses.zip(words)
}

impl Map {
    /// The map called `name`: the operator's, else ours.
    ///
    /// # Errors
    /// [`DriverError::Refused`] with the names there are, or with what is wrong in the operator's file.
    pub(super) fn load(name: &str, directory: Option<&Path>) -> Result<Self, DriverError> {
        let refused = |why: String| DriverError::Refused(format!("register map {name:?}: {why}"));
        if !name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'))
        {
            return Err(refused("a name has letters, digits, - and _ only".to_owned()));
        }
        if let Some(directory) = directory {
            let file = directory.join(format!("{name}.toml"));
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    return Self::parse(&text).map_err(|why| refused(format!("{}: {why}", file.display())));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(refused(format!("{}: {error}", file.display()))),
            }
        }
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(text).map_err(refused);
        }
        let names: Vec<_> = names().collect();
        Err(refused(format!("there are {names:?}, and those in the directory named by `maps`")))
    }

    /// Reads and checks a map.
    ///
    /// # Errors
    /// What is wrong, with its line where TOML knows it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let map: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if !matches!(map.function, 3 | 4) {
            return Err(format!("function is 3 or 4, not {}", map.function));
        }
        if map.outlets.is_empty() {
            return Err("no outlets".to_owned());
        }
        for (key, outlet) in &map.outlets {
            if outlet.power.is_none() && outlet.energy.is_none() {
                return Err(format!("outlet {key:?} has neither power nor energy"));
            }
            if outlet.fields().any(|field| field.at.checked_add(field.kind.registers()).is_none()) {
                return Err(format!("outlet {key:?} ends beyond the last register"));
            }
        }
        Ok(map)
    }

    /// The fewest requests that read all fields of `outlets`: neighbours together, and nothing between, since many
    /// meters answer a gap with an error.
    pub(super) fn requests<'a>(outlets: impl Iterator<Item = &'a Outlet>) -> Vec<(u16, u16)> {
        let mut ranges: Vec<_> =
            outlets.flat_map(Outlet::fields).map(|field| (field.at, field.kind.registers())).collect();
        ranges.sort_unstable();
        ranges.dedup();
        let mut requests: Vec<(u16, u16)> = Vec::new();
        for (at, count) in ranges {
            match requests.last_mut() {
                Some((begin, length))
                    if at <= begin.saturating_add(*length)
                        && at.saturating_add(count) - *begin <= REGISTERS_MAX =>
                {
                    *length = (*length).max(at.saturating_add(count) - *begin);
                }
                _ => requests.push((at, count)),
            }
        }
        requests
    }
}

impl Outlet {
    pub(super) fn fields(&self) -> impl Iterator<Item = Field> {
        let power = self.power.map(|Power { at, kind, scale, .. }| Field { at, kind, scale });
        let energy = self.energy.map(|EnergyCounter { at, kind, scale, .. }| Field { at, kind, scale });
        [power, self.voltage, self.current, energy].into_iter().flatten()
    }

    /// What the registers say of this outlet. Those that could not be read are absent.
    ///
    /// # Errors
    /// When neither power nor the counter has a value now.
    pub(super) fn read(&self, registers: &Registers, order: WordOrder) -> Result<Reading, NoReading> {
        let number = |field: Field| {
            let words: Option<Vec<u16>> = (field.at..field.at.saturating_add(field.kind.registers()))
                .map(|at| registers.get(&at).copied())
                .collect();
            Some(field.kind.decode(&words?, order)? * field.scale)
        };
        let power = match self.power {
            Some(Power { at, kind, scale, unit }) => match number(Field { at, kind, scale }) {
                Some(watts) => Some(value::power(watts, unit)?),
                None => None,
            },
            None => None,
        };
        let counter = match self.energy {
            Some(energy) => {
                energy.read(number(Field { at: energy.at, kind: energy.kind, scale: energy.scale }))?
            }
            None => None,
        };
        if power.is_none() && counter.is_none() {
            let places: Vec<_> = self.fields().map(|field| format!("0x{:04X}", field.at)).collect();
            return Err(NoReading::NotReady(format!("registers {} have no number now", places.join(", "))));
        }
        Ok(Reading {
            power,
            voltage: self.voltage.and_then(number).map(Volts),
            current: self.current.and_then(number).map(Amperes),
            counter,
            ..Reading::default()
        })
    }
}

impl EnergyCounter {
    fn read(&self, count: Option<f64>) -> Result<Option<MeterCounter>, NoReading> {
        let Some(count) = count else { return Ok(None) };
        let tick = self.resolution.max(self.kind.spacing(count / self.scale) * self.scale.abs());
        let mut counter = value::counter(count, tick, self.unit)?;
        counter.range = match self.range {
            Some(range) => Some(value::counter(range, 0.0, self.unit)?.value),
            None => None,
        };
        Ok(Some(counter))
    }
}

#[cfg(test)]
mod tests;
