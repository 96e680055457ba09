//! What stands on a bill besides its lines, and how its numbers are written.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use kwapi_core::{Bill, ProbeId};
use serde::{Deserialize, Serialize};

use super::config::BillConfig;
use super::month::{BillMonth, milliseconds};
use super::reader::AnsweredSpan;
use crate::answers::when::rfc3339;
use crate::directory::Directory;

/// What a bill is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BillFacts {
    pub(super) month: BillMonth,
    #[serde(with = "zone_name")]
    pub(super) zone: TimeZone,
    /// The label whose values it is by.
    pub(super) by: Option<String>,
    pub(super) currency: String,
    pub(super) decimals: u32,
    /// Of each probe that is billed.
    pub(super) probes: BTreeMap<ProbeId, ProbeFacts>,
    /// Whether charges are not shown to the caller.
    #[serde(skip)]
    pub(super) has_hidden_charges: bool,
}

/// What must be known of a probe's energy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ProbeFacts {
    /// Of its meter, in percent, where it is configured.
    pub(super) accuracy: Option<f64>,
    is_calibrated: bool,
    /// Quarter hours that are parts of longer rows of the ledger.
    interpolated: u64,
    /// Energy from before the ledger, in millijoules.
    rrd_mj: i64,
}

impl BillFacts {
    pub(super) fn new(config: &BillConfig, month: BillMonth, by: Option<&str>) -> Self {
        Self {
            month,
            zone: config.zone.clone(),
            by: by.map(str::to_owned),
            currency: config.currency.clone(),
            decimals: config.decimals,
            probes: BTreeMap::new(),
            has_hidden_charges: false,
        }
    }

    /// Takes note of a row that is billed.
    pub(super) fn note(&mut self, row: &AnsweredSpan) {
        let of_probe = self.probes.entry(row.probe.clone()).or_default();
        of_probe.interpolated = of_probe.interpolated.saturating_add(u64::from(row.is_interpolated));
        of_probe.rrd_mj = of_probe.rrd_mj.saturating_add(row.rrd_mj);
    }

    /// Takes note of a probe that is billed.
    pub(super) fn add(&mut self, config: &BillConfig, directory: &Directory, probe: &ProbeId) {
        let of_probe = self.probes.entry(probe.clone()).or_default();
        of_probe.is_calibrated = config.calibrated.iter().any(|pattern| pattern.matches(probe));
        of_probe.accuracy = directory.accuracy(probe).map(|(percent, _)| percent);
    }

    /// Whether all meters are calibrated.
    pub(super) fn is_calibrated(&self) -> bool {
        self.probes.values().all(|of_probe| of_probe.is_calibrated)
    }

    /// Accuracy of a probe's meter in percent, where it is configured.
    pub(super) fn accuracy(&self, probe: &ProbeId) -> Option<f64> {
        self.probes.get(probe)?.accuracy
    }

    /// What must be known of the bill, a sentence each, with instants as `instant` writes them.
    pub(super) fn notes(&self, bill: &Bill, instant: impl Fn(&Self, u64) -> String) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.is_calibrated() {
            notes.push("allocation of cost, not calibrated metering".to_owned());
        }
        if self.month.end_ms < self.month.month_end_ms {
            notes.push(format!("the month is not over; billed until {}", instant(self, self.month.end_ms)));
        }
        let unknown: u64 = bill.values.iter().flat_map(|value| &value.probes).map(|of| of.unknown_ms).sum();
        if unknown > 0 {
            notes.push("energy of unknown time is not in the bill".to_owned());
        }
        let count = self.probes.values().fold(0_u64, |sum, of| sum.saturating_add(of.interpolated));
        if count > 0 {
            notes.push(format!(
                "{count} quarter hours are parts of longer rows, in proportion to time: the ledger has no quarter hours of that time"
            ));
        }
        if self.has_hidden_charges {
            notes.push(
                "charges by the month and the peak of parts that are shown in part are not included"
                    .to_owned(),
            );
        }
        let rrd_mj = self.probes.values().fold(0_i64, |sum, of| sum.saturating_add(of.rrd_mj));
        if rrd_mj > 0 {
            notes.push(format!(
                "{} kWh from before the ledger, estimated from RRD files, are not in the bill",
                kwh(rrd_mj / 3_600_000)
            ));
        }
        notes
    }

    /// What a value is called.
    pub(super) fn name<'a>(&self, value: Option<&'a str>) -> &'a str {
        match (value, &self.by) {
            (Some(name), _) => name,
            (None, Some(_)) => "(unallocated)",
            (None, None) => "all probes",
        }
    }

    /// Accuracy of all meters together, in percent: they err independently, as in `kwapi measure`. `None` where one is not
    /// known.
    pub(super) fn accuracy_of_sum(&self, bill: &Bill) -> Option<f64> {
        let (mut of_probes, mut all) = (BTreeMap::<&ProbeId, f64>::new(), 0.0);
        for of in bill.values.iter().flat_map(|value| &value.probes) {
            *of_probes.entry(&of.probe).or_default() += of.energy_wh as f64;
            all += of.energy_wh as f64;
        }
        let mut squares = 0.0;
        for (probe, energy) in of_probes {
            squares += (energy * self.accuracy(probe)?).powi(2);
        }
        (all > 0.0).then(|| squares.sqrt() / all)
    }

    /// An instant in the bill's zone, for programs and columns.
    pub(super) fn instant(&self, at_ms: u64) -> String {
        rfc3339(milliseconds(at_ms), &self.zone)
    }

    /// The same for people, as pages write it: `1 November 2026, 00:00 CET`.
    pub(super) fn instant_in_words(&self, at_ms: u64) -> String {
        self.written(at_ms, "%-d %B %Y, %H:%M %Z")
    }

    /// An instant in the bill's zone, as `format` defines.
    pub(super) fn written(&self, at_ms: u64, format: &str) -> String {
        let micros = i64::try_from(milliseconds(at_ms).micros()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
        at.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// Money, without the currency.
    pub(super) fn money(&self, amount: i64) -> String {
        decimal(amount, self.decimals)
    }
}

/// Watt-hours as kilowatt-hours; grams as kilograms.
pub(crate) fn kwh(thousandths: i64) -> String {
    decimal(thousandths, 3)
}

/// Milliseconds as seconds.
pub(super) fn seconds(milliseconds: impl TryInto<i64>) -> String {
    decimal(milliseconds.try_into().unwrap_or(i64::MAX), 3)
}

/// A whole number of the last of so many decimals.
fn decimal(number: i64, decimals: u32) -> String {
    let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    let decimals = decimals.min(9);
    let unit = 10_u64.pow(decimals);
    if unit == 1 {
        return format!("{sign}{size}");
    }
    let width = decimals as usize;
    format!("{sign}{}.{:0>width$}", size / unit, size % unit)
}

/// A zone by its name in the time zone database.
mod zone_name {
    use jiff::tz::TimeZone;
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::{Error as _, Serializer};

    pub(super) fn serialize<S: Serializer>(zone: &TimeZone, serializer: S) -> Result<S::Ok, S::Error> {
        let name = zone.iana_name().ok_or_else(|| S::Error::custom("the zone has no name"))?;
        serializer.serialize_str(name)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeZone, D::Error> {
        TimeZone::get(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_with_all_its_decimals() {
        let cases = [(1_234, 2, "12.34"), (-5, 2, "-0.05"), (0, 2, "0.00"), (-7, 0, "-7"), (12, 3, "0.012")];
        for (number, decimals, expected) in cases {
            assert_eq!(decimal(number, decimals), expected);
        }
        assert_eq!(decimal(i64::MIN, 2), "-92233720368547758.08");
    }
}
