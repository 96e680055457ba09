//! What one column counts, and in which unit.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::column::Column;

/// A number of watts: `"1.3.…"`, or with its scale.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Short<PowerTable>")]
pub struct PowerColumn {
    /// Where it stands.
    pub oid: Column,
    /// Watts per count.
    pub watts: f64,
    /// Where the device reports how many decimal digits the count has.
    pub digits: Option<Column>,
    /// Counts that mean: not measured.
    pub not_available: Vec<i64>,
}

/// A number of watt-hours that grows.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Short<EnergyTable>")]
pub struct CounterColumn {
    /// Where it stands.
    pub oid: Column,
    /// Watt-hours per count.
    pub watt_hours: f64,
    /// Where the device reports how many decimal digits the count has.
    pub digits: Option<Column>,
    /// Where it starts again from zero, in counts, if the device states it.
    pub range_counts: Option<u64>,
    /// Counts that mean: not measured.
    pub not_available: Vec<i64>,
}

/// A number of volts.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Short<VoltageTable>")]
pub struct Voltage {
    /// Where it stands.
    pub oid: Column,
    /// Volts per count.
    pub volts: f64,
    /// Where the device reports how many decimal digits the count has.
    pub digits: Option<Column>,
    /// Counts that mean: not measured.
    pub not_available: Vec<i64>,
}

/// A number of amperes.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Short<CurrentTable>")]
pub struct Current {
    /// Where it stands.
    pub oid: Column,
    /// Amperes per count.
    pub amperes: f64,
    /// Where the device reports how many decimal digits the count has.
    pub digits: Option<Column>,
    /// Counts that mean: not measured.
    pub not_available: Vec<i64>,
}

/// Whether a row's values mean anything: good when its number is one of `available`, or none of `unavailable`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusColumn {
    /// Where it stands.
    pub oid: Column,
    /// Numbers that mean: measured. Any other does not.
    #[serde(default)]
    pub available: Vec<i64>,
    /// Numbers that mean: not measured.
    #[serde(default)]
    pub unavailable: Vec<i64>,
}

/// When a counter was last set back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetStamp {
    /// Where it stands.
    pub oid: Column,
    /// How it is written.
    pub format: StampFormat,
}

/// How a device writes an instant. Devices give no time zone; UTC is assumed, and only a change of it has consequences.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum StampFormat {
    /// Unix seconds.
    #[serde(rename = "unix")]
    Unix,
    /// `10/31/2026 23:59:59`
    #[serde(rename = "month/day/year")]
    MonthDayYear,
    /// `31/10/2026,23:59:59`
    #[serde(rename = "day/month/year")]
    DayMonthYear,
    /// `2026-10-31 23:59:59`
    #[serde(rename = "year-month-day")]
    YearMonthDay,
}

macro_rules! columns {
    ($($table:ident, $column:ident { $unit:ident $(, $more:ident: $type:ty)? };)*) => {$(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $table {
            oid: Column,
            #[serde(default = "one")]
            $unit: f64,
            digits: Option<Column>,
            $(#[serde(default)] $more: $type,)?
            #[serde(default)]
            not_available: Vec<i64>,
        }

        impl From<Short<$table>> for $column {
            fn from(short: Short<$table>) -> Self {
                match short {
                    Short::Table($table { oid, $unit, digits, $($more,)? not_available }) => {
                        Self { oid, $unit, digits, $($more,)? not_available }
                    }
                    Short::Oid(oid) => {
                        Self { oid, $unit: 1.0, digits: None, $($more: None,)? not_available: Vec::new() }
                    }
                }
            }
        }
    )*};
}

columns! {
    PowerTable, PowerColumn { watts };
    EnergyTable, CounterColumn { watt_hours, range_counts: Option<u64> };
    VoltageTable, Voltage { volts };
    CurrentTable, Current { amperes };
}

/// A column given by its OID alone or as a table. Not serde's `untagged`, which hides what is wrong in the table.
enum Short<T> {
    Oid(Column),
    Table(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Shape<T> {
            type Value = Short<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OID (\"1.3.6.1.…\") or a table with an oid")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Column::parse(text).map(Short::Oid).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(table)).map(Short::Table)
            }
        }

        deserializer.deserialize_any(Shape(PhantomData))
    }
}

fn one() -> f64 {
    1.0
}
