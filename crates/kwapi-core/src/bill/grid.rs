//! Prices and factors of each quarter hour of a bill, looked up once for all probes.

use super::{BillError, BillTerms, BilledQuarter};
use crate::tariff::{Decimal, QUARTER_MS, QuarterOfWeek, RateUnit};

/// A bill is of a year at most.
pub(super) const QUARTERS_MAX: u64 = 366 * 96 + 8;

/// The quarter hours of a bill.
#[derive(Debug)]
pub(super) struct Grid {
    /// Where the first begins, in Unix milliseconds.
    pub(super) begin: u64,
    pub(super) quarters: Vec<GridQuarter>,
    /// The rates for kilowatt-hours, by their places among all.
    pub(super) rates: Vec<usize>,
    pub(super) has_co2: bool,
}

#[derive(Debug)]
pub(super) struct GridQuarter {
    pub(super) of_week: QuarterOfWeek,
    /// Of each rate for kilowatt-hours the entry and its price; `None`: it has none.
    pub(super) prices: Vec<Option<(usize, Decimal)>>,
    /// One where none is configured.
    pub(super) pue: Decimal,
    pub(super) co2: Option<Decimal>,
}

impl Grid {
    pub(super) fn new(terms: &BillTerms) -> Result<Self, BillError> {
        let length = terms.end_ms.saturating_sub(terms.begin_ms);
        if length == 0 || !length.is_multiple_of(QUARTER_MS) || !terms.begin_ms.is_multiple_of(QUARTER_MS) {
            return Err(BillError::NotQuarters);
        }
        let count = length / QUARTER_MS;
        if count > QUARTERS_MAX {
            return Err(BillError::TooLong);
        }
        let of_unit = |unit: RateUnit| terms.rates.iter().filter(move |rate| rate.unit() == unit);
        let factor = |unit: RateUnit| match (of_unit(unit).next(), of_unit(unit).nth(1)) {
            (_, Some(_)) => Err(BillError::TwoFactors),
            (factor, None) => Ok(factor),
        };
        let (pue, co2) = (factor(RateUnit::Pue)?, factor(RateUnit::Co2)?);
        let mut quarters = Vec::new();
        for number in 0..count {
            let begin = terms.begin_ms + number * QUARTER_MS;
            let of_week = QuarterOfWeek::of(begin, &terms.zone).ok_or(BillError::NotQuarters)?;
            let prices = of_unit(RateUnit::Kwh).map(|rate| rate.at(begin, of_week)).collect();
            let value = |rate: Option<&crate::tariff::Rate>| Some(rate?.at(begin, of_week)?.1);
            quarters.push(GridQuarter {
                of_week,
                prices,
                pue: value(pue).unwrap_or(Decimal::ONE),
                co2: value(co2),
            });
        }
        let rates = terms.rates.iter().zip(0..).filter(|(rate, _)| rate.unit() == RateUnit::Kwh);
        let rates = rates.map(|(_, place)| place).collect();
        Ok(Self { begin: terms.begin_ms, quarters, rates, has_co2: co2.is_some() })
    }

    /// Of each quarter hour that has bridged energy, and of each rate: the lowest and the highest price of the stretch in
    /// which it lies, in billionths. What has no price costs nothing.
    pub(super) fn bounds(&self, quarters: &[BilledQuarter]) -> Vec<Vec<[i64; 2]>> {
        let mut bounds: Vec<Vec<[i64; 2]>> = vec![Vec::new(); quarters.len()];
        let mut first = 0;
        let is_bridged = |at: usize| quarters.get(at).is_some_and(BilledQuarter::is_bridged);
        while first < quarters.len() {
            if !is_bridged(first) {
                first += 1;
                continue;
            }
            let end = (first..quarters.len()).find(|at| !is_bridged(*at)).unwrap_or(quarters.len());
            let of_stretch = self.quarters.get(first..end).unwrap_or_default();
            let of_rate = |rate: usize| {
                let price = |quarter: &GridQuarter| {
                    quarter.prices.get(rate).copied().flatten().map_or(0, |(_, price)| price.billionths())
                };
                let prices = || of_stretch.iter().map(price);
                [prices().min().unwrap_or(0), prices().max().unwrap_or(0)]
            };
            let of_rates: Vec<[i64; 2]> = (0..self.rates.len()).map(of_rate).collect();
            for of_quarter in bounds.iter_mut().take(end).skip(first) {
                of_quarter.clone_from(&of_rates);
            }
            first = end;
        }
        bounds
    }
}
