//! What stands on a bill besides its lines, and how its numbers are written.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use kwapi_core::{Bill, BillValue, ProbeId};
use kwapi_plugins::answers::when::rfc3339;

use super::milliseconds;
use super::month::BillMonth;
use super::reader::LedgerRow;
use crate::config::Config;

/// What a bill is of.
#[derive(Clone, Debug)]
pub(super) struct BillFacts {
    pub(super) month: BillMonth,
    pub(super) zone: TimeZone,
    /// The label whose values it is by.
    pub(super) by: Option<String>,
    pub(super) currency: String,
    pub(super) decimals: u32,
    /// In percent, by probe, where it is configured.
    pub(super) accuracy: BTreeMap<ProbeId, f64>,
    /// Whether all meters are calibrated.
    pub(super) is_calibrated: bool,
    interpolated: u64,
    rrd_mj: i64,
}

impl BillFacts {
    pub(super) fn new(config: &Config, month: &BillMonth, by: Option<&str>) -> Self {
        Self {
            month: month.clone(),
            zone: config.bill.zone.clone(),
            by: by.map(str::to_owned),
            currency: config.bill.currency.clone(),
            decimals: config.bill.decimals,
            accuracy: BTreeMap::new(),
            is_calibrated: true,
            interpolated: 0,
            rrd_mj: 0,
        }
    }

    /// Takes note of a row that is billed.
    pub(super) fn note(&mut self, row: &LedgerRow) {
        self.interpolated += u64::from(row.is_interpolated);
        self.rrd_mj = self.rrd_mj.saturating_add(row.rrd_mj);
    }

    /// Takes note of a probe that is billed.
    pub(super) fn add(&mut self, config: &Config, probe: &ProbeId) {
        self.is_calibrated &= config.bill.calibrated.iter().any(|pattern| pattern.matches(probe));
        if let Some(percent) = config.accuracy.of(probe) {
            self.accuracy.insert(probe.clone(), percent);
        }
    }

    /// What must be known of the bill, a sentence each.
    pub(super) fn notes(&self, bill: &Bill) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.is_calibrated {
            notes.push("allocation of cost, not calibrated metering".to_owned());
        }
        if self.month.end_ms < self.month.month_end_ms {
            notes.push(format!("the month is not over; billed until {}", self.instant(self.month.end_ms)));
        }
        let unknown: u64 = bill.values.iter().flat_map(|value| &value.probes).map(|of| of.unknown_ms).sum();
        if unknown > 0 {
            notes.push("energy of unknown time is not in the bill".to_owned());
        }
        if self.interpolated > 0 {
            let count = self.interpolated;
            notes.push(format!(
                "{count} quarter hours are parts of longer rows, in proportion to time: the ledger has no quarter hours of that time"
            ));
        }
        if self.rrd_mj > 0 {
            notes.push(format!(
                "{} kWh from before the ledger, estimated from RRD files, are not in the bill",
                kwh(self.rrd_mj / 3_600_000)
            ));
        }
        notes
    }

    /// What a value is called.
    pub(super) fn name<'a>(&self, value: &'a BillValue) -> &'a str {
        match (&value.value, &self.by) {
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
            squares += (energy * self.accuracy.get(probe)?).powi(2);
        }
        (all > 0.0).then(|| squares.sqrt() / all)
    }

    /// An instant in the bill's zone.
    pub(super) fn instant(&self, at_ms: u64) -> String {
        rfc3339(milliseconds(at_ms), &self.zone)
    }

    /// Money, without the currency.
    pub(super) fn money(&self, amount: i64) -> String {
        decimal(amount, self.decimals)
    }
}

/// Watt-hours as kilowatt-hours; grams as kilograms.
pub(super) fn kwh(thousandths: i64) -> String {
    decimal(thousandths, 3)
}

/// Milliseconds as seconds.
pub(super) fn seconds(milliseconds: impl TryInto<i64>) -> String {
    decimal(milliseconds.try_into().unwrap_or(i64::MAX), 3)
}

/// A whole number of the last of so many decimals.
fn decimal(number: i64, decimals: u32) -> String {
    let (sign, size) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    let unit = 10_u64.pow(decimals.min(9));
    if unit == 1 {
        return format!("{sign}{size}");
    }
    let width = decimals as usize;
    format!("{sign}{}.{:0>width$}", size / unit, size % unit)
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
