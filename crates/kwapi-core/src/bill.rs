//! A bill: what the energy of quarter hours costs, and whose it is. Pure: rows, registers and tables in, lines out.
//!
//! What a rate charges a probe is an exact sum that is rounded once, to the currency's last decimal, a half away from zero;
//! owners and lines are parts of that by the largest remainder. So a bill by departments and one by probes have the same
//! sum, and what belongs to nobody is a part like the others. Watt-hours are the difference of the register's readings,
//! each rounded down, as on a meter: months add up to the register (ADR 0031).

mod apportion;
mod cells;
mod document;
mod grid;
mod runs;
mod shares;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::tariff::{QUARTER_MS, Rate, RateUnit, RateValue};
use crate::{Increment, ProbeId};

use apportion::{in_proportion, rounded};
use cells::{ProbeCells, whole};
pub use document::{
    Bill, BillCharge, BillChargeKind, BillLine, BillLineKind, BillPeak, BillProbe, BillQuarterSum, BillValue,
    QuarterStatus,
};
use grid::Grid;
pub use shares::{Share, Shares, SharesError};

/// The most decimals a currency has (ISO 4217).
const DECIMALS_MAX: u32 = 4;

/// What is billed, and by which prices.
#[derive(Clone, Debug)]
pub struct BillTerms {
    /// Whose calendar hours and weekdays are of.
    pub zone: TimeZone,
    /// Begin, in Unix milliseconds; a quarter hour begins there.
    pub begin_ms: u64,
    /// End, in Unix milliseconds; a quarter hour ends there.
    pub end_ms: u64,
    /// How long the month is in milliseconds, also where only a part of it is billed: monthly prices are for that.
    pub month_ms: u64,
    /// Decimals of the currency, 4 at most: 2 for cents.
    pub decimals: u32,
    /// The prices.
    pub rates: Vec<Rate>,
}

/// A probe to be billed.
#[derive(Clone, Debug)]
pub struct BilledProbe {
    /// Which.
    pub probe: ProbeId,
    /// The meter directly above it, whose energy contains this probe's.
    pub meter: Option<ProbeId>,
    /// Its energy up to the begin, since the ledger has it, in millijoules.
    pub register_mj: i64,
    /// All quarter hours from the begin to the end.
    pub quarters: Vec<BilledQuarter>,
    /// Whose it is.
    pub shares: Shares,
}

/// A quarter hour of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BilledQuarter {
    /// Its begin, in Unix milliseconds.
    pub begin_ms: u64,
    /// Energy and time by status.
    pub known: Increment,
    /// Time of which nothing is known, in milliseconds.
    pub unknown_ms: u64,
    /// Time before the probe was first received and after it was last, in milliseconds.
    pub absent_ms: u64,
}

/// Why there is no bill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// Its zone is offset from UTC by less than quarter hours, or it does not begin or end with one.
    #[error("a bill must begin and end with whole quarter hours of UTC and of its zone")]
    NotQuarters,
    /// It is longer than a year.
    #[error("a bill must not be longer than a year")]
    TooLong,
    /// Two factors of a kind.
    #[error("there must be one PUE and one CO2 factor at most")]
    TwoFactors,
    /// No currency has as many.
    #[error("a currency has at most 4 decimals")]
    Decimals,
    /// Quarter hours are missing, or are others.
    #[error("{0} must have each quarter hour of the bill once, in order")]
    Quarters(ProbeId),
    /// The meter above it was not added before.
    #[error("{0} lies below a meter that is not in the bill")]
    NoMeter(ProbeId),
    /// It was added before.
    #[error("{0} is in the bill already")]
    Twice(ProbeId),
}

/// A bill in the making: probes are added one after the other, and only sums are kept.
#[derive(Debug)]
pub struct BillMaker {
    terms: BillTerms,
    grid: Grid,
    /// The first is nobody.
    values: Vec<Option<String>>,
    places: BTreeMap<String, usize>,
    sums: Vec<Vec<BillQuarterSum>>,
    probes: BTreeMap<ProbeId, ProbeCells>,
}

impl BillTerms {
    /// An amount is summed in so small parts of the currency that this many are one of its last decimal: in millijoules
    /// times two factors in billionths.
    fn amount_unit(&self) -> i128 {
        36 * 10_i128.pow(26 - self.decimals.min(DECIMALS_MAX))
    }
}

impl BilledQuarter {
    fn is_bridged(&self) -> bool {
        let ([.., mj], [.., ms]) = (self.known.mj, self.known.ms);
        mj != 0 || ms > 0
    }

    fn status(&self) -> QuarterStatus {
        let [measured, estimated, _] = self.known.ms;
        match self {
            _ if self.unknown_ms > 0 => QuarterStatus::Unknown,
            _ if self.is_bridged() => QuarterStatus::Bridged,
            _ if estimated > 0 => QuarterStatus::Estimated,
            _ if measured > 0 => QuarterStatus::Measured,
            _ => QuarterStatus::Absent,
        }
    }
}

impl BillMaker {
    /// A bill of nothing yet.
    ///
    /// # Errors
    /// When its terms make no sense.
    pub fn new(terms: BillTerms) -> Result<Self, BillError> {
        if terms.decimals > DECIMALS_MAX {
            return Err(BillError::Decimals);
        }
        let grid = Grid::new(&terms)?;
        let sums = vec![vec![BillQuarterSum::default(); grid.quarters.len()]];
        let (places, probes) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { terms, grid, values: vec![None], places, sums, probes })
    }

    /// Adds a probe; meters before what lies below them.
    ///
    /// # Errors
    /// When its quarter hours are not those of the bill, or its meter was not added.
    pub fn add(&mut self, billed: BilledProbe) -> Result<(), BillError> {
        let BilledProbe { probe, meter, register_mj, quarters, shares } = billed;
        let begins = (0..self.grid.quarters.len() as u64).map(|number| self.grid.begin + number * QUARTER_MS);
        if !quarters.iter().map(|quarter| quarter.begin_ms).eq(begins) {
            return Err(BillError::Quarters(probe));
        }
        if self.probes.contains_key(&probe) {
            return Err(BillError::Twice(probe));
        }
        let mut register = vec![register_mj];
        let mut reading = register_mj;
        for quarter in &quarters {
            reading = reading.saturating_add(quarter.known.energy_mj());
            register.push(reading);
        }
        let (values, places, sums) = (&mut self.values, &mut self.places, &mut self.sums);
        let count = self.grid.quarters.len();
        let mut cells = ProbeCells::new(&shares, &self.grid, |value| {
            let Some(value) = value else { return 0 };
            *places.entry(value.to_owned()).or_insert_with(|| {
                values.push(Some(value.to_owned()));
                sums.push(vec![BillQuarterSum::default(); count]);
                values.len() - 1
            })
        });
        if let Some(meter) = meter {
            let Some(above) = self.probes.get_mut(&meter) else { return Err(BillError::NoMeter(probe)) };
            above.add(&self.grid, &quarters, &register, true, &mut self.sums);
        }
        cells.add(&self.grid, &quarters, &register, false, &mut self.sums);
        self.probes.insert(probe, cells);
        Ok(())
    }

    /// The bill of all that was added.
    pub fn bill(self) -> Bill {
        let Self { terms, grid, values, sums, probes, .. } = self;
        let mut of_values: Vec<BillValue> = values
            .into_iter()
            .zip(sums)
            .map(|(value, quarters)| BillValue {
                value,
                probes: Vec::new(),
                charges: Vec::new(),
                peak: None,
                energy_wh: 0,
                amount: 0,
                co2_grams: None,
                quarters,
            })
            .collect();
        for (probe, cells) in probes {
            for (value, of_probe) in cells.finish(&probe, &terms, &grid) {
                of_values.get_mut(value).into_iter().for_each(|value| value.probes.push(of_probe.clone()));
            }
        }
        of_values.retain(|value| !value.probes.is_empty());
        of_values.sort_by(|one, other| {
            (one.value.is_none(), &one.value).cmp(&(other.value.is_none(), &other.value))
        });
        for value in &mut of_values {
            value.energy_wh = total(value.probes.iter().map(|probe| probe.energy_wh));
            value.co2_grams = total_known(value.probes.iter().map(|probe| probe.co2_grams));
            value.peak = peak(&value.quarters, &grid, |_, _| true);
        }
        for rate in &terms.rates {
            charge(rate, &terms, &grid, &mut of_values);
        }
        for value in &mut of_values {
            let lines = value.probes.iter().map(|probe| probe.amount);
            value.amount = total(lines.chain(value.charges.iter().map(|charge| charge.amount)));
        }
        Bill {
            energy_wh: total(of_values.iter().map(|value| value.energy_wh)),
            amount: total(of_values.iter().map(|value| value.amount)),
            co2_grams: total_known(of_values.iter().map(|value| value.co2_grams)),
            values: of_values,
        }
    }
}

/// Adds what a rate charges by the month or the peak.
fn charge(rate: &Rate, terms: &BillTerms, grid: &Grid, values: &mut [BillValue]) {
    let scale = 10_i128.pow(terms.decimals.min(DECIMALS_MAX));
    let month_ms = i128::from(terms.month_ms.max(1));
    let billion = i128::from(crate::Decimal::ONE.billionths());
    for entry in rate.entries() {
        let RateValue::Constant(price) = entry.value else { continue };
        let covered = |until: u64| {
            i128::from(entry.valid.end.min(until).saturating_sub(entry.valid.start.max(terms.begin_ms)))
        };
        let exact = i128::from(price.billionths()) * scale;
        let name = rate.name();
        match rate.unit() {
            RateUnit::Month if covered(terms.end_ms) > 0 => {
                let amount = rounded(exact * covered(terms.end_ms), billion * month_ms);
                let weights: Vec<i128> = values.iter().map(|value| value.energy_wh.max(0).into()).collect();
                for (value, amount) in values.iter_mut().zip(in_proportion(amount, &weights)) {
                    let (rate, kind) = (name.to_owned(), BillChargeKind::Month);
                    value.charges.push(BillCharge { rate, kind, price, amount: whole(amount) });
                }
            }
            RateUnit::PeakKw if covered(terms.end_ms) > 0 => {
                for value in &mut *values {
                    let applies =
                        |begin: u64, of_week| entry.valid.contains(&begin) && entry.hours.has(of_week);
                    let Some(peak) = peak(&value.quarters, grid, applies) else { continue };
                    // A kilowatt for a quarter hour is 9e8 mJ.
                    let by_month = covered(terms.begin_ms.saturating_add(terms.month_ms));
                    let unit = 900_000_000 * billion * month_ms;
                    let amount = exact.saturating_mul(peak.mj.into()).saturating_mul(by_month);
                    let (rate, kind) = (name.to_owned(), BillChargeKind::Peak(peak));
                    let amount = whole(rounded(amount, unit));
                    value.charges.push(BillCharge { rate, kind, price, amount });
                }
            }
            RateUnit::Month | RateUnit::PeakKw | RateUnit::Kwh | RateUnit::Pue | RateUnit::Co2 => {}
        }
    }
}

/// The quarter hour with the most energy, of those that `applies` takes; none where none has any.
fn peak(
    quarters: &[BillQuarterSum],
    grid: &Grid,
    applies: impl Fn(u64, crate::tariff::QuarterOfWeek) -> bool,
) -> Option<BillPeak> {
    let mut highest: Option<BillPeak> = None;
    for ((sum, quarter), number) in quarters.iter().zip(&grid.quarters).zip(0..) {
        let begin_ms = grid.begin + QUARTER_MS * number;
        let before = highest.map_or(0, |peak| peak.mj);
        if sum.mj > before && applies(begin_ms, quarter.of_week) {
            highest = Some(BillPeak { begin_ms, mj: sum.mj });
        }
    }
    highest
}

fn total(parts: impl Iterator<Item = i64>) -> i64 {
    parts.fold(0, i64::saturating_add)
}

/// The sum, if all parts are known.
fn total_known(mut parts: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    parts.try_fold(0_i64, |sum, part| Some(sum.saturating_add(part?)))
}

#[cfg(test)]
mod tests;
