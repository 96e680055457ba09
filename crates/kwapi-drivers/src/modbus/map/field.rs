//! One number of a meter: where its registers are, how they are written, what one count is worth.

use std::collections::BTreeMap;
use std::iter;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::value::Sentinel;

/// The registers that have been read, by function and address.
pub(crate) type RegisterValues = BTreeMap<(u8, u16), u16>;

/// More parts of one sum than any meter has.
pub(super) const PLACES_MAX: usize = 16;
/// Scale registers hold a power of ten in this range (`SunSpec` Information Model, `sunssf`).
const EXPONENT_MAX: i16 = 10;

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

/// What a map states of all its fields, unless they state otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    pub(crate) function: u8,
    pub(crate) word_order: WordOrder,
}

/// One register, or several whose numbers are added: `0x0C`, `[0x100, 0x104]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At(Vec<u16>);

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = At;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a register from 0 to 65535, or a list of registers to be summed")
            }

            fn visit_i64<E: serde::de::Error>(self, at: i64) -> Result<At, E> {
                let at = u16::try_from(at)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(at), &self))?;
                Ok(At(vec![at]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, all: A) -> Result<At, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(all)).map(At)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// One number.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterField {
    /// Its first register, counted from 0 as on the wire (manuals often count from 1, or from 30001 or 40001); of
    /// several, their sum is the number.
    pub at: At,
    /// How it is written.
    #[serde(rename = "type")]
    pub kind: NumberFormat,
    /// What one count is worth; negative where the meter reports consumption as negative.
    #[serde(default = "one")]
    pub scale: f64,
    /// The register that holds the power of ten to multiply by, as the meter likes (`SunSpec`).
    pub scale_register: Option<u16>,
    /// Registers whose numbers it is multiplied by: the ratios of transformers, where a meter reports what it measures
    /// behind them.
    #[serde(default)]
    pub ratios: Vec<Ratio>,
    /// 3 or 4, if not as in the map.
    pub function: Option<u8>,
    /// If not as in the map.
    pub word_order: Option<WordOrder>,
    /// Counts, before any scale, that mean "not available", beside those every meter has.
    #[serde(default)]
    pub invalid: Vec<f64>,
}

/// A register that holds a ratio, 16 bits, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Its register, counted from 0.
    pub at: u16,
    /// What one count is worth.
    #[serde(default = "one")]
    pub scale: f64,
}

pub(super) fn one() -> f64 {
    1.0
}

/// What one field was found to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FoundNumber {
    /// Its value, in the field's unit.
    pub(super) value: f64,
    /// What one count of it is worth, with the register's power of ten; of a sum, of all its parts.
    pub(super) tick: f64,
    /// What its ratios multiply by.
    pub(super) ratio: f64,
}

impl RegisterField {
    /// The ranges of registers it is in: function, first register, how many.
    pub(super) fn ranges(&self, defaults: Defaults) -> impl Iterator<Item = (u8, u16, u16)> + '_ {
        let function = self.function.unwrap_or(defaults.function);
        let numbers = self.at.0.iter().map(move |at| (function, *at, self.kind.registers()));
        numbers.chain(self.factors().map(move |at| (function, at, 1)))
    }

    /// The registers that hold what to multiply by.
    fn factors(&self) -> impl Iterator<Item = u16> + '_ {
        self.scale_register.into_iter().chain(self.ratios.iter().map(|ratio| ratio.at))
    }

    /// Counts its registers from `base`; `None` where it would end beyond the last register.
    pub(super) fn move_by(&mut self, base: u16) -> Option<()> {
        let ratios = self.ratios.iter_mut().map(|ratio| &mut ratio.at);
        for at in self.at.0.iter_mut().chain(&mut self.scale_register).chain(ratios) {
            *at = at.checked_add(base).filter(|at| at.checked_add(self.kind.registers()).is_some())?;
        }
        Some(())
    }

    /// How many numbers it is the sum of.
    pub(super) fn parts(&self) -> f64 {
        self.at.0.len() as f64
    }

    /// What is wrong with it, if anything is.
    pub(super) fn fault(&self, defaults: Defaults) -> Option<String> {
        if self.at.0.is_empty() || self.at.0.len() > PLACES_MAX {
            return Some(format!("a sum takes 1 to {PLACES_MAX} registers"));
        }
        let mut sorted = self.at.0.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
            return Some("a register is listed twice".to_owned());
        }
        if self.ranges(defaults).any(|(_, at, count)| at.checked_add(count).is_none()) {
            return Some("extends beyond the last register".to_owned());
        }
        if !matches!(self.function, None | Some(3 | 4)) {
            return Some("function must be 3 or 4".to_owned());
        }
        if self.ratios.len() > PLACES_MAX {
            return Some(format!("at most {PLACES_MAX} ratios"));
        }
        let mut scales = iter::once(self.scale).chain(self.ratios.iter().map(|ratio| ratio.scale));
        scales
            .any(|scale| !scale.is_finite() || scale == 0.0)
            .then(|| "scale must be a number other than 0".to_owned())
    }

    /// What the registers hold; `None` where they have no number now.
    pub(super) fn read(&self, registers: &RegisterValues, defaults: Defaults) -> Option<FoundNumber> {
        let function = self.function.unwrap_or(defaults.function);
        let order = self.word_order.unwrap_or(defaults.word_order);
        let mut scale = self.scale;
        if let Some(at) = self.scale_register {
            let exponent = registers.get(&(function, at))?.cast_signed();
            if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
                return None; // 8000h: the meter does not have this number.
            }
            scale *= 10_f64.powi(i32::from(exponent));
        }
        let mut ratio = 1.0;
        for Ratio { at, scale } in &self.ratios {
            // 0: not set yet, and nothing can be derived.
            let count = registers.get(&(function, *at)).filter(|count| **count != 0)?;
            ratio *= f64::from(*count) * scale;
        }
        scale *= ratio;
        let (mut sum, mut tick) = (0.0, 0.0);
        for at in &self.at.0 {
            let words: Option<Vec<u16>> = (*at..at.saturating_add(self.kind.registers()))
                .map(|at| registers.get(&(function, at)).copied())
                .collect();
            let count = self.kind.decode(&words?, order).filter(|count| !self.invalid.contains(count))?;
            sum += count;
            tick += self.kind.spacing(count);
        }
        Some(FoundNumber { value: sum * scale, tick: tick * scale.abs(), ratio: ratio.abs() })
    }
}

/// How a number is written in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberFormat {
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, two's complement.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, two's complement.
    I32,
    /// 48 bits, unsigned.
    U48,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, two's complement.
    I64,
    /// IEEE 754, single.
    F32,
    /// IEEE 754, double.
    F64,
    /// Four decimal digits, each in four bits.
    Bcd16,
    /// Eight decimal digits.
    Bcd32,
}

impl NumberFormat {
    /// How many registers.
    pub(super) fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 | Self::Bcd16 => 1,
            Self::U32 | Self::I32 | Self::F32 | Self::Bcd32 => 2,
            Self::U48 => 3,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }

    /// The number in `words`, `None` for what stands for "not available": the ends of an integer's range ([`Sentinel`];
    /// `SunSpec` 1.2, Schneider, ABB B23/B24 manual, 9.2), NaN and infinities, no digit, too few words.
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
        let width = u32::from(self.registers()) * 16;
        let measured = |field: Sentinel, raw: i128| (!field.is(raw)).then_some(raw as f64);
        match self {
            Self::U16 | Self::U32 | Self::U48 | Self::U64 => measured(Sentinel::Unsigned(width), bits.into()),
            Self::I16 => measured(Sentinel::Signed(width), low16.cast_signed().into()),
            Self::I32 => measured(Sentinel::Signed(width), low32.cast_signed().into()),
            Self::I64 => measured(Sentinel::Signed(width), bits.cast_signed().into()),
            Self::F32 => Some(f64::from(f32::from_bits(low32))).filter(|number| number.is_finite()),
            Self::F64 => Some(f64::from_bits(bits)).filter(|number| number.is_finite()),
            Self::Bcd16 | Self::Bcd32 => decimal(bits, self.registers()).map(f64::from),
        }
    }

    /// The distance between two neighbours near `number`.
    fn spacing(self, number: f64) -> f64 {
        let mantissa_bits = match self {
            Self::U16 | Self::I16 | Self::U32 | Self::I32 | Self::U48 | Self::Bcd16 | Self::Bcd32 => {
                return 1.0;
            }
            Self::U64 | Self::I64 | Self::F64 => 52,
            Self::F32 => 23,
        };
        number.abs() * 2_f64.powi(-mantissa_bits)
    }
}

/// Decimal digits of four bits each; `None` where one is no digit.
fn decimal(bits: u64, registers: u16) -> Option<u32> {
    (0..registers * 4).rev().try_fold(0_u32, |number, digit| {
        let digit = u32::try_from(bits >> (digit * 4) & 0xf).ok().filter(|digit| *digit < 10)?;
        Some(number * 10 + digit)
    })
}
