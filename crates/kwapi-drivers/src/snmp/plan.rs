//! Which objects to request: from the configured outlets and a profile to OIDs.

use std::sync::Arc;

use async_snmp::Oid;
use kwapi_core::{Energy, ProbeId, Register};
use tokio::time::Instant;

use super::interpret::ColumnValues;
use super::profile::{Field, ProfileKind, Section};

/// One outlet to measure.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// What the operator calls it.
    pub probe: ProbeId,
    /// What can be measured of it; the same for all outlets of a kind.
    pub section: Arc<Section>,
    /// Its row.
    pub index: Vec<u32>,
    /// Its objects.
    pub columns: Vec<(Field, Oid)>,
    /// What its energy counter is known by, if it has one.
    pub register: Option<Arc<Register>>,
    /// Scales, label and reset stamp, as last read.
    pub slow: ColumnValues,
    /// The last reading of its counter, by which a fall is noticed.
    pub counter: Option<Energy>,
    /// Whether the device had no row for it in the last round.
    pub is_missing: bool,
    /// When the device last had a row for it, in this session or an earlier one of the process.
    pub seen_at: Option<Instant>,
}

impl Point {
    /// Plans one outlet. Voltage and current are left out where the device reports watts, unless they are requested:
    /// half the objects are half the round trips.
    pub(super) fn new(
        probe: ProbeId,
        section: &Arc<Section>,
        index: &[u32],
        voltage_and_current: bool,
    ) -> Self {
        let requires = |field: Field| match field {
            Field::Voltage | Field::VoltageDigits | Field::Current | Field::CurrentDigits => {
                voltage_and_current || section.power.is_none()
            }
            Field::Label
            | Field::Status
            | Field::Power
            | Field::PowerDigits
            | Field::Energy
            | Field::EnergyDigits
            | Field::ResetAt => true,
            Field::LineCurrent => false,
        };
        let columns = section
            .columns()
            .into_iter()
            .filter(|(field, _)| requires(*field))
            .map(|(field, column)| (field, column.at(index)))
            .collect();
        let section = Arc::clone(section);
        Self {
            probe,
            section,
            index: index.to_vec(),
            columns,
            register: None,
            slow: ColumnValues::new(),
            counter: None,
            is_missing: false,
            seen_at: None,
        }
    }

    /// Continues from what was known of the same objects.
    pub(super) fn resume(&mut self, earlier: &[Self]) {
        let Some(earlier) = earlier.iter().find(|earlier| earlier.columns == self.columns) else { return };
        self.counter = earlier.counter;
        self.seen_at = self.seen_at.max(earlier.seen_at);
    }

    /// The objects that change rarely, or the others.
    pub(super) fn oids(&self, slow: bool) -> impl Iterator<Item = &(Field, Oid)> {
        self.columns.iter().filter(move |(field, _)| field.is_slow() == slow)
    }
}

/// An outlet index has at most this many numbers; a longer key is refused.
const KEY_NUMBERS_MAX: usize = 8;

/// Reads a key: `7`, `2.7`, `inlet`, `inlet.2`, `phase.1`. `None` for anything else.
pub(crate) fn parse_key(key: &str) -> Option<(ProfileKind, Vec<u32>)> {
    let key = key.trim();
    let word_length = key.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(key.len());
    let (word, numbers) = key.split_at_checked(word_length)?;
    let kind = ProfileKind::ALL.into_iter().find(|kind| kind.word() == word)?;
    let numbers = if kind == ProfileKind::Outlet || numbers.is_empty() {
        numbers
    } else {
        numbers.strip_prefix('.')?
    };
    if numbers.is_empty() {
        return (kind != ProfileKind::Outlet && !key.ends_with('.')).then(|| (kind, Vec::new()));
    }
    let numbers: Vec<u32> = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() <= KEY_NUMBERS_MAX).then_some((kind, numbers))
}

/// Writes a key: the reverse of [`parse_key`], with no more numbers than needed.
pub(super) fn key(kind: ProfileKind, section: &Section, index: &[u32]) -> String {
    let numbers: Vec<String> = section.numbers(index).iter().map(ToString::to_string).collect();
    match (kind.word(), numbers.as_slice()) {
        ("", _) => numbers.join("."),
        (word, []) => word.to_owned(),
        (word, _) => format!("{word}.{}", numbers.join(".")),
    }
}

#[cfg(test)]
mod tests;
