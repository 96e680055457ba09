//! What can be measured of one kind of thing, and how its rows are numbered.

use std::fmt;

use async_snmp::Oid;
use serde::Deserialize;

use super::super::value::ObjectValue;
use super::column::Column;
use super::quantity::{CounterColumn, Current, PowerColumn, ResetStamp, StatusColumn, Voltage};

/// What can be measured of one kind of thing (an outlet, an inlet).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// How many numbers an index has.
    #[serde(default)]
    pub index_length: usize,
    /// What a key with fewer numbers begins with: `7` is `1.7` when this is `[1]`.
    #[serde(default)]
    pub index_default: Vec<u32>,
    /// Which number of an index, from 1, is the unit's of a daisy chain; none where units are numbered in one row or not
    /// at all. What `unit` of a configuration stands for.
    pub unit_at: Option<usize>,
    /// The column that lists the rows there are; the power or current column if not given.
    pub list: Option<Column>,
    /// The operator's name of it, on the device.
    pub label: Option<Column>,
    /// Whether the other values mean anything.
    pub status: Option<StatusColumn>,
    /// Active power.
    pub power: Option<PowerColumn>,
    /// The energy counter.
    pub energy: Option<CounterColumn>,
    /// When the energy counter was last set back.
    pub reset_at: Option<ResetStamp>,
    /// Potential (RMS).
    pub voltage: Option<Voltage>,
    /// Current (RMS).
    pub current: Option<Current>,
    /// Current (RMS) of the line that feeds it, where a device does not report that of the thing itself. It is reported
    /// alone: of three lines each is part of two phases, and line amperes times volts between lines is 73 % too much.
    pub line_current: Option<Current>,
}

impl Section {
    pub(in crate::snmp) fn check(&self) -> Result<(), String> {
        if self.unit_at.is_some_and(|place| place == 0 || place > self.index_default.len()) {
            return Err(format!(
                "unit_at must be 1 to {}, a position in index_default",
                self.index_default.len()
            ));
        }
        if self.power.is_none() && self.current.is_none() && self.energy.is_none() {
            return Err("nothing to measure; set power, energy or current".to_owned());
        }
        if self.index_default.len() > self.index_length {
            return Err(format!(
                "index_default has {} numbers, index_length is {}",
                self.index_default.len(),
                self.index_length
            ));
        }
        for (key, scale) in [
            ("power.watts", self.power.as_ref().map(|power| power.watts)),
            ("energy.watt_hours", self.energy.as_ref().map(|energy| energy.watt_hours)),
            ("voltage.volts", self.voltage.as_ref().map(|voltage| voltage.volts)),
            ("current.amperes", self.current.as_ref().map(|current| current.amperes)),
            ("line_current.amperes", self.line_current.as_ref().map(|current| current.amperes)),
        ] {
            if scale.is_some_and(|scale| !(scale.is_finite() && scale > 0.0)) {
                return Err(format!("{key} must be more than 0"));
            }
        }
        for (field, column) in self.columns() {
            if column.is_indexed() != (self.index_length > 0) {
                let advice = if self.index_length > 0 {
                    "the OID must contain {index}, because index_length is not 0"
                } else {
                    "the OID contains {index}; set index_length to its number of components, for example 1"
                };
                return Err(format!("{field}: {advice}"));
            }
        }
        Ok(())
    }

    /// All its columns.
    pub fn columns(&self) -> Vec<(Field, &Column)> {
        let power = self.power.as_ref();
        let energy = self.energy.as_ref();
        let voltage = self.voltage.as_ref();
        let current = self.current.as_ref();
        let line_current = self.line_current.as_ref();
        [
            (Field::Label, self.label.as_ref()),
            (Field::Status, self.status.as_ref().map(|status| &status.oid)),
            (Field::Power, power.map(|power| &power.oid)),
            (Field::PowerDigits, power.and_then(|power| power.digits.as_ref())),
            (Field::Energy, energy.map(|energy| &energy.oid)),
            (Field::EnergyDigits, energy.and_then(|energy| energy.digits.as_ref())),
            (Field::ResetAt, self.reset_at.as_ref().map(|stamp| &stamp.oid)),
            (Field::Voltage, voltage.map(|voltage| &voltage.oid)),
            (Field::VoltageDigits, voltage.and_then(|voltage| voltage.digits.as_ref())),
            (Field::Current, current.map(|current| &current.oid)),
            (Field::CurrentDigits, current.and_then(|current| current.digits.as_ref())),
            (Field::LineCurrent, line_current.map(|current| &current.oid)),
        ]
        .into_iter()
        .filter_map(|(field, column)| Some((field, column?)))
        .collect()
    }

    /// The columns by one of which at least a device is known to have this: power and current, else energy.
    pub(in crate::snmp) fn measured_columns(&self) -> impl Iterator<Item = &Column> {
        let power = self.power.as_ref().map(|power| &power.oid);
        let current = self.current.as_ref().map(|current| &current.oid);
        let line_current = self.line_current.as_ref().map(|current| &current.oid);
        let energy = self.energy.as_ref().map(|energy| &energy.oid);
        let energy = energy.filter(|_| power.is_none() && current.is_none());
        [power, current, line_current, energy].into_iter().flatten()
    }

    /// The section as it stands for a unit of a daisy chain; `None` where it does not distinguish units.
    #[must_use]
    pub(in crate::snmp) fn of_unit(&self, unit: u32) -> Option<Self> {
        let mut section = self.clone();
        *section.index_default.get_mut(self.unit_at?.checked_sub(1)?)? = unit;
        Some(section)
    }

    /// Which unit of a daisy chain a row is of.
    pub(in crate::snmp) fn unit_of(&self, index: &[u32]) -> Option<u32> {
        index.get(self.unit_at?.checked_sub(1)?).copied()
    }

    /// The columns that show which rows there are, the best first: a device may lack the table of names, or the watts.
    pub(crate) fn listings(&self) -> impl Iterator<Item = &Column> {
        let power = self.power.as_ref().map(|power| &power.oid);
        let current = self.current.as_ref().map(|current| &current.oid);
        let line_current = self.line_current.as_ref().map(|current| &current.oid);
        let energy = self.energy.as_ref().map(|energy| &energy.oid);
        [self.list.as_ref(), power, current, line_current, energy].into_iter().flatten()
    }

    /// The rows that the objects below one of its listing columns show, in order. Where that column is one of what is
    /// measured, a row that has a word there (`not-support`) or nothing is none: such agents list as many as their largest
    /// model has.
    pub(in crate::snmp) fn rows<'a>(
        &self,
        listing: &Column,
        objects: impl IntoIterator<Item = (&'a Oid, &'a ObjectValue)>,
    ) -> Vec<Vec<u32>> {
        let is_row = |value: &ObjectValue| self.list.as_ref() == Some(listing) || value.number().is_some();
        let mut rows: Vec<_> = objects
            .into_iter()
            .filter(|(_, value)| is_row(value))
            .filter_map(|(oid, _)| listing.index_of(oid, self.index_length))
            .collect();
        rows.sort();
        rows.dedup();
        rows
    }

    /// The full index that a key's numbers mean; `None` when there are too many or too few.
    pub fn index(&self, numbers: &[u32]) -> Option<Vec<u32>> {
        let missing = self.index_length.checked_sub(numbers.len())?;
        let mut index = self.index_default.get(..missing)?.to_vec();
        index.extend(numbers);
        Some(index)
    }

    /// The shortest numbers that mean this index.
    pub fn numbers<'a>(&self, index: &'a [u32]) -> &'a [u32] {
        let defaults = self.index_default.len().min(index.len());
        (0..=defaults)
            .rev()
            .find_map(|length| {
                let given = index.strip_prefix(self.index_default.get(..length)?)?;
                Some(given)
            })
            .unwrap_or(index)
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The operator's name on the device.
    Label,
    /// Whether the values mean anything.
    Status,
    /// Active power.
    Power,
    /// Decimal digits of the power.
    PowerDigits,
    /// The energy counter.
    Energy,
    /// Decimal digits of the energy counter.
    EnergyDigits,
    /// When the counter was set back.
    ResetAt,
    /// Potential.
    Voltage,
    /// Decimal digits of the voltage.
    VoltageDigits,
    /// Current.
    Current,
    /// Decimal digits of the current.
    CurrentDigits,
    /// Current of the line that feeds it.
    LineCurrent,
}

impl Field {
    /// Whether it changes so rarely that reading it every few minutes, and after a reboot, does.
    pub fn is_slow(self) -> bool {
        match self {
            Self::Label
            | Self::PowerDigits
            | Self::EnergyDigits
            | Self::VoltageDigits
            | Self::CurrentDigits
            | Self::ResetAt => true,
            Self::Status | Self::Power | Self::Energy | Self::Voltage | Self::Current | Self::LineCurrent => {
                false
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Label => "label",
            Self::Status => "status",
            Self::Power => "power",
            Self::PowerDigits => "power.digits",
            Self::Energy => "energy",
            Self::EnergyDigits => "energy.digits",
            Self::ResetAt => "reset_at",
            Self::Voltage => "voltage",
            Self::VoltageDigits => "voltage.digits",
            Self::Current => "current",
            Self::CurrentDigits => "current.digits",
            Self::LineCurrent => "line_current",
        })
    }
}
