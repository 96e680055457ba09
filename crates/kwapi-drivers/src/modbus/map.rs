//! Register maps: which meter keeps what where. Data, so that a new meter needs no new program.

mod field;

use std::collections::BTreeMap;
use std::path::Path;

use kwapi_core::{Amperes, MeterCounter, NoReading, Reading, Volts};
use serde::{Deserialize, Deserializer};

use super::codec::REGISTERS_MAX;
use crate::config::ConfigError;
use crate::parts::{Notes, power_and_counter};
use crate::value::{self, EnergyUnit, PowerUnit};
pub(super) use field::RegisterValues;
pub use field::{At, NumberFormat, RegisterField, WordOrder};
use field::{Defaults, FoundNumber};

/// The maps we ship. A file of the same name in the operator's directory comes first.
const SHIPPED: &[(&str, &str)] = &[
    ("abb-b23", include_str!("maps/abb-b23.toml")),
    ("carlo-gavazzi-em24", include_str!("maps/carlo-gavazzi-em24.toml")),
    ("carlo-gavazzi-em24-e1", include_str!("maps/carlo-gavazzi-em340.toml")),
    ("carlo-gavazzi-em340", include_str!("maps/carlo-gavazzi-em340.toml")),
    ("chint-dtsu666", include_str!("maps/chint-dtsu666.toml")),
    ("eastron-sdm120", include_str!("maps/eastron-sdm120.toml")),
    ("eastron-sdm230", include_str!("maps/eastron-sdm120.toml")),
    ("eastron-sdm630", include_str!("maps/eastron-sdm630.toml")),
    ("eastron-sdm72", include_str!("maps/eastron-sdm72.toml")),
    ("janitza-umg", include_str!("maps/janitza-umg.toml")),
    ("pzem-004t", include_str!("maps/pzem-004t.toml")),
    ("schneider-iem3155", include_str!("maps/schneider-iem3155.toml")),
    ("schneider-pm5xxx", include_str!("maps/schneider-iem3155.toml")),
    ("siemens-pac2200", include_str!("maps/siemens-pac2200.toml")),
    ("socomec-countis", include_str!("maps/socomec-countis.toml")),
    ("socomec-diris-b30", include_str!("maps/socomec-diris-b30.toml")),
    ("solaredge-meter", include_str!("maps/solaredge-meter.toml")),
    ("sunspec-meter", include_str!("maps/sunspec-meter.toml")),
    ("sunspec-meter-float", include_str!("maps/sunspec-meter-float.toml")),
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
    /// The `SunSpec` models whose registers these are. They are counted from the model's own first, which is looked for
    /// when a meter is opened.
    #[serde(default)]
    pub sunspec: Vec<u16>,
    /// What the meter measures: `total`, and the phases or circuits by name.
    pub outlets: BTreeMap<String, MapOutlet>,
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
    /// What the standard requires of every device (*over Serial Line* 2.5.1): 19200, even.
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
pub struct MapOutlet {
    /// Active power, import.
    pub power: Option<PowerField>,
    /// Volts.
    pub voltage: Option<RegisterField>,
    /// Amperes.
    pub current: Option<RegisterField>,
    /// The energy counter, import.
    pub energy: Option<CounterField>,
}

/// A field of power.
#[derive(Clone, Debug, PartialEq)]
pub struct PowerField {
    field: RegisterField,
    unit: PowerUnit,
}

/// A field that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterField {
    field: RegisterField,
    unit: EnergyUnit,
    /// One tick, in `unit`; a float's own spacing, or that of the scale register, where that is coarser.
    resolution: f64,
    /// Where it starts again from zero, in `unit`, if the manual states it.
    range: Option<f64>,
}

/// Reads `keys` of a field's table as `own` and the rest as a [`RegisterField`]; serde's own `flatten` would take any key.
fn with_field<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
    own: &[&str],
) -> Result<(RegisterField, T), D::Error> {
    let mut table = toml::Table::deserialize(deserializer)?;
    let own: toml::Table =
        own.iter().filter_map(|key| Some(((*key).to_owned(), table.remove(*key)?))).collect();
    let field = RegisterField::deserialize(table).map_err(serde::de::Error::custom)?;
    Ok((field, T::deserialize(own).map_err(serde::de::Error::custom)?))
}

impl<'de> Deserialize<'de> for PowerField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Own {
            #[serde(default)]
            unit: PowerUnit,
        }
        let (field, Own { unit }) = with_field(deserializer, &["unit"])?;
        Ok(Self { field, unit })
    }
}

impl<'de> Deserialize<'de> for CounterField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Own {
            #[serde(default)]
            unit: EnergyUnit,
            resolution: f64,
            range: Option<f64>,
        }
        let (field, own) = with_field(deserializer, &["unit", "resolution", "range"])?;
        let Own { unit, resolution, range } = own;
        Ok(Self { field, unit, resolution, range })
    }
}

/// Words with their addresses; what would lie beyond the last register is left out.
pub(super) fn addressed(block: Block, words: Vec<u16>) -> impl Iterator<Item = ((u8, u16), u16)> {
    let addresses = (0..=u16::MAX).map_while(move |offset| block.at.checked_add(offset));
    addresses.map(move |at| (block.function, at)).zip(words)
}

/// Registers that one request reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    pub(super) function: u8,
    pub(super) at: u16,
    pub(super) count: u16,
}

impl Map {
    /// The map called `name`: the operator's, else ours.
    ///
    /// # Errors
    /// With the names there are, or with what is wrong in the operator's file.
    pub(super) fn load(name: &str, directory: Option<&Path>) -> Result<Self, ConfigError> {
        let refused = |why: String| ConfigError::of("map", format!("register map {name:?}: {why}"));
        if !name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'))
        {
            return Err(refused("a name may contain only letters, digits, - and _".to_owned()));
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
        Err(refused(format!("available: {names:?}, and the maps in the `maps` directory")))
    }

    /// Reads and checks a map.
    ///
    /// # Errors
    /// What is wrong, with its line where TOML reports it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let map: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if !matches!(map.function, 3 | 4) {
            return Err(format!("function must be 3 or 4, not {}", map.function));
        }
        if map.outlets.is_empty() {
            return Err("no outlets".to_owned());
        }
        for (key, outlet) in &map.outlets {
            if outlet.power.is_none() && outlet.energy.is_none() {
                return Err(format!("outlet {key:?} has neither power nor energy"));
            }
            if let Some(fault) = outlet.fields().find_map(|field| field.fault(map.defaults())) {
                return Err(format!("outlet {key:?}: {fault}"));
            }
        }
        Ok(map)
    }

    /// The map of a device whose model begins at `base`; `None` where a field would end beyond the last register.
    pub(super) fn moved(mut self, base: u16) -> Option<Self> {
        for outlet in self.outlets.values_mut() {
            outlet.fields_mut().try_for_each(|field| field.move_by(base))?;
        }
        Some(self)
    }

    pub(super) fn defaults(&self) -> Defaults {
        Defaults { function: self.function, word_order: self.word_order }
    }

    /// The fewest requests that read all fields of `outlets`: neighbours together, and nothing between, since many
    /// meters answer a gap with an error.
    pub(super) fn requests<'a>(&self, outlets: impl Iterator<Item = &'a MapOutlet>) -> Vec<Block> {
        let mut requests: Vec<Block> = Vec::new();
        for field in self.single_requests(outlets) {
            match requests.last_mut() {
                Some(Block { function, at, count })
                    if *function == field.function
                        && field.at <= at.saturating_add(*count)
                        && field.at.saturating_add(field.count) - *at <= REGISTERS_MAX =>
                {
                    *count = (*count).max(field.at.saturating_add(field.count) - *at);
                }
                _ => requests.push(field),
            }
        }
        requests
    }

    /// A request for each number of `outlets`: what is left where a meter refuses to read neighbours together.
    pub(super) fn single_requests<'a>(&self, outlets: impl Iterator<Item = &'a MapOutlet>) -> Vec<Block> {
        let ranges = outlets.flat_map(MapOutlet::fields).flat_map(|field| field.ranges(self.defaults()));
        let mut blocks: Vec<_> = ranges.map(|(function, at, count)| Block { function, at, count }).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }
}

impl MapOutlet {
    pub(super) fn fields(&self) -> impl Iterator<Item = &RegisterField> {
        let power = self.power.as_ref().map(|power| &power.field);
        let energy = self.energy.as_ref().map(|energy| &energy.field);
        [power, self.voltage.as_ref(), self.current.as_ref(), energy].into_iter().flatten()
    }

    fn fields_mut(&mut self) -> impl Iterator<Item = &mut RegisterField> {
        let power = self.power.as_mut().map(|power| &mut power.field);
        let energy = self.energy.as_mut().map(|energy| &mut energy.field);
        [power, self.voltage.as_mut(), self.current.as_mut(), energy].into_iter().flatten()
    }

    /// What the registers hold of this outlet. Those that could not be read are absent; a part that makes no sense is
    /// left out and noted as one of `outlet`'s.
    ///
    /// # Errors
    /// When neither power nor the counter has a value now, or one that makes sense.
    pub(super) fn read(
        &self,
        outlet: &str,
        registers: &RegisterValues,
        defaults: Defaults,
        notes: &mut Notes,
    ) -> Result<Reading, NoReading> {
        let value = |field: &RegisterField| field.read(registers, defaults).map(|number| number.value);
        let watts = self.power.as_ref().and_then(|power| Some(power.unit.to_watts(value(&power.field)?)));
        let counter = self.energy.as_ref().and_then(|energy| energy.read(registers, defaults));
        let absent = || {
            let ranges = self.fields().flat_map(|field| field.ranges(defaults));
            let places: Vec<_> = ranges.map(|(_, at, _)| format!("0x{at:04X}")).collect();
            NoReading::NotReady(format!("registers {} have no value", places.join(", ")))
        };
        let (power, counter) = power_and_counter(outlet, watts.map(Ok), counter, absent, notes)?;
        Ok(Reading {
            power,
            voltage: self.voltage.as_ref().and_then(value).map(Volts),
            current: self.current.as_ref().and_then(value).map(Amperes),
            counter,
            ..Reading::default()
        })
    }
}

impl CounterField {
    fn read(
        &self,
        registers: &RegisterValues,
        defaults: Defaults,
    ) -> Option<Result<MeterCounter, NoReading>> {
        let FoundNumber { value, tick, ratio } = self.field.read(registers, defaults)?;
        // Whole counts are as coarse as the map states: some meters count in steps of their own.
        let step = self.resolution * self.field.parts() * ratio;
        let counter = value::counter(value, step.max(tick), self.unit);
        Some(counter.and_then(|mut counter| {
            counter.range = match self.range {
                Some(range) => Some(value::counter(range, 0.0, self.unit)?.value),
                None => None,
            };
            Ok(counter)
        }))
    }
}

#[cfg(test)]
mod tests;
