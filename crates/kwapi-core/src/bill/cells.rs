//! What a probe's owners have of it: sums as they come, exact, and what a bill shows of them in the end.

use std::collections::BTreeMap;
use std::ops::Range;

use super::apportion::{apportion, in_proportion, rounded};
use super::document::{BillLine, BillLineKind, BillProbe, BillQuarterSum, QuarterStatus};
use super::grid::Grid;
use super::shares::Shares;
use super::{BillTerms, BilledQuarter};
use crate::ProbeId;
use crate::tariff::{Decimal, QUARTER_MS, RateValue};

/// A watt-hour in millijoules.
const WATT_HOUR_MJ: i64 = 3_600_000;
const BILLION: i128 = 1_000_000_000;
/// Grams of CO2 are summed as millijoules times two factors in billionths.
const GRAM: i128 = 3_600_000_000 * BILLION * BILLION;

/// What the owners of one probe have of it.
#[derive(Debug)]
pub(super) struct ProbeCells {
    segments: Vec<Segment>,
    cells: Vec<OwnerCells>,
}

/// Quarter hours in which the owners are the same, with the same shares.
#[derive(Debug)]
struct Segment {
    quarters: Range<usize>,
    /// Which of the cells, and its share in billionths. They add up to the whole.
    weights: Vec<(usize, i128)>,
    /// What each has, in millijoules.
    parts: Vec<i128>,
    /// By how much the register advanced, in watt-hours…
    own_wh: i64,
    /// …and those of probes directly below, which are billed by themselves.
    below_wh: i64,
}

/// What one owner has for a time.
#[derive(Debug, Default)]
struct OwnerCells {
    /// Its place among the values.
    value: usize,
    quarters: Range<usize>,
    register_wh: [i64; 2],
    mj: [i64; 3],
    ms: [i64; 3],
    unknown_ms: u64,
    absent_ms: u64,
    rates: Vec<RateCells>,
    co2: i128,
    lacks_co2: bool,
}

/// What one rate charges an owner, in millijoules and the 3.6·10²⁷th part of the currency.
#[derive(Debug, Default)]
struct RateCells {
    entries: BTreeMap<usize, (i128, i128)>,
    bridged: (i128, i128),
    bounds: [i128; 2],
    unpriced_mj: i128,
    overhead: (i128, i128),
}

impl ProbeCells {
    /// Nothing yet, of owners by these shares. `intern` returns the place of a value among all.
    pub(super) fn new(shares: &Shares, grid: &Grid, mut intern: impl FnMut(Option<&str>) -> usize) -> Self {
        let (begin, count) = (grid.begin, grid.quarters.len());
        let place = |at: u64| {
            usize::try_from(at.saturating_sub(begin) / QUARTER_MS).map_or(count, |at| at.min(count))
        };
        let mut edges: Vec<usize> = shares.changes().map(place).chain([0, count]).collect();
        edges.sort_unstable();
        edges.dedup();
        let (mut segments, mut cells): (Vec<Segment>, Vec<OwnerCells>) = (Vec::new(), Vec::new());
        for (from, until) in edges.iter().copied().zip(edges.iter().copied().skip(1)) {
            let at = begin.saturating_add(QUARTER_MS.saturating_mul(from as u64));
            let mut owners: Vec<(usize, i128)> = Vec::new();
            let mut left = BILLION;
            for share in shares.at(at) {
                let (value, part) = (intern(Some(&share.value)), i128::from(share.share.billionths()));
                left -= part;
                match owners.iter_mut().find(|(owner, _)| *owner == value) {
                    Some((_, sum)) => *sum += part,
                    None => owners.push((value, part)),
                }
            }
            if left > 0 {
                owners.push((intern(None), left));
            }
            let mut weights = Vec::new();
            for (value, part) in owners {
                // The owner right before continues.
                let before = cells
                    .iter_mut()
                    .zip(0..)
                    .find(|(cell, _)| cell.value == value && cell.quarters.end == from);
                let place = if let Some((cell, place)) = before {
                    cell.quarters.end = until;
                    place
                } else {
                    let rates = (0..grid.rates.len()).map(|_| RateCells::default()).collect();
                    cells.push(OwnerCells { value, quarters: from..until, rates, ..OwnerCells::default() });
                    cells.len() - 1
                };
                weights.push((place, part));
            }
            let parts = vec![0; weights.len()];
            segments.push(Segment { quarters: from..until, weights, parts, own_wh: 0, below_wh: 0 });
        }
        Self { segments, cells }
    }

    /// Adds the probe's own quarter hours; or takes away those of one below it. `register` is of that probe, at each begin of
    /// a quarter hour and at the end, in millijoules.
    pub(super) fn add(
        &mut self,
        grid: &Grid,
        quarters: &[BilledQuarter],
        register: &[i64],
        is_below: bool,
        sums: &mut [Vec<BillQuarterSum>],
    ) {
        let reading = |at: usize| register.get(at).map_or(0, |mj| mj.div_euclid(WATT_HOUR_MJ));
        let sign = if is_below { -1 } else { 1 };
        let bounds = grid.bounds(quarters);
        if !is_below {
            for cell in &mut self.cells {
                cell.register_wh = [reading(cell.quarters.start), reading(cell.quarters.end)];
            }
        }
        for segment in &mut self.segments {
            let wh = reading(segment.quarters.end).saturating_sub(reading(segment.quarters.start));
            let sum = if is_below { &mut segment.below_wh } else { &mut segment.own_wh };
            *sum = sum.saturating_add(wh);
            let shares: Vec<i128> = segment.weights.iter().map(|(_, part)| *part).collect();
            for (quarter, at) in
                quarters.iter().zip(0..).skip(segment.quarters.start).take(segment.quarters.len())
            {
                let of_status = quarter.known.mj.map(|mj| split(mj, &shares));
                for (place, ((cell, _), part)) in segment.weights.iter().zip(&mut segment.parts).enumerate() {
                    let mj = of_status.each_ref().map(|parts| sign * parts.get(place).copied().unwrap_or(0));
                    let Some(cell) = self.cells.get_mut(*cell) else { continue };
                    let sum = mj.iter().fold(0_i64, |sum, part| sum.saturating_add(*part));
                    *part = part.saturating_add(i128::from(sum));
                    cell.add_energy(mj, grid, at, bounds.get(at).map_or(&[][..], Vec::as_slice));
                    let mut status = QuarterStatus::Absent;
                    if !is_below {
                        cell.add_time(quarter);
                        status = quarter.status();
                    }
                    if let Some(of_value) = sums.get_mut(cell.value).and_then(|sums| sums.get_mut(at)) {
                        of_value.mj = of_value.mj.saturating_add(sum);
                        of_value.status = of_value.status.max(status);
                    }
                }
            }
        }
    }

    /// What a bill shows of them, each with the place of its value.
    pub(super) fn finish(self, probe: &ProbeId, terms: &BillTerms, grid: &Grid) -> Vec<(usize, BillProbe)> {
        let count = self.cells.len();
        let (mut energy, mut below) = (vec![0_i128; count], vec![0_i128; count]);
        for segment in &self.segments {
            let target = i128::from(segment.own_wh.saturating_sub(segment.below_wh));
            let shares: Vec<i128> = segment.weights.iter().map(|(_, part)| *part).collect();
            let of_energy = apportion(target, &segment.parts, WATT_HOUR_MJ.into());
            let of_below = in_proportion(segment.below_wh.into(), &shares);
            for ((cell, _), (own, other)) in segment.weights.iter().zip(of_energy.into_iter().zip(of_below)) {
                energy.get_mut(*cell).into_iter().for_each(|sum| *sum += own);
                below.get_mut(*cell).into_iter().for_each(|sum| *sum += other);
            }
        }
        let co2: Vec<i128> = self.cells.iter().map(|cell| cell.co2).collect();
        let grams = apportion(rounded(sum(&co2), GRAM), &co2, GRAM);
        let mut of_rates: Vec<Vec<BillLine>> = vec![Vec::new(); count];
        for rate in 0..grid.rates.len() {
            self.charge(rate, &energy, terms, grid, &mut of_rates);
        }
        let instant = |quarter: usize| grid.begin.saturating_add(QUARTER_MS.saturating_mul(quarter as u64));
        let parts = self.cells.into_iter().zip(of_rates).zip(energy.into_iter().zip(below)).zip(grams);
        parts
            .map(|(((cell, lines), (energy, below)), grams)| {
                let of_status = apportion(energy, &cell.mj.map(i128::from), WATT_HOUR_MJ.into());
                let mut status_wh = [0; 3];
                status_wh.iter_mut().zip(of_status).for_each(|(wh, part)| *wh = whole(part));
                let amount = lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount));
                let of_probe = BillProbe {
                    probe: probe.clone(),
                    from_ms: instant(cell.quarters.start),
                    until_ms: instant(cell.quarters.end),
                    register_wh: cell.register_wh,
                    below_wh: whole(below),
                    energy_wh: whole(energy),
                    status_wh,
                    status_ms: cell.ms,
                    unknown_ms: cell.unknown_ms,
                    absent_ms: cell.absent_ms,
                    lines,
                    amount,
                    co2_grams: (grid.has_co2 && !cell.lacks_co2).then_some(whole(grams)),
                };
                (cell.value, of_probe)
            })
            .collect()
    }

    /// Adds the lines of one rate: what it charges the probe is rounded once, and its owners and lines add up to that.
    fn charge(
        &self,
        rate: usize,
        energy: &[i128],
        terms: &BillTerms,
        grid: &Grid,
        lines: &mut [Vec<BillLine>],
    ) {
        let unit = terms.amount_unit();
        let Some(of_rate) = grid.rates.get(rate).and_then(|place| terms.rates.get(*place)) else { return };
        let rates: Vec<&RateCells> = self.cells.iter().filter_map(|cell| cell.rates.get(rate)).collect();
        let exact: Vec<i128> = rates.iter().map(|cells| cells.amount()).collect();
        let amounts = apportion(rounded(sum(&exact), unit), &exact, unit);
        for (((cells, amount), energy), lines) in rates.into_iter().zip(amounts).zip(energy).zip(lines) {
            let mut kinds: Vec<(BillLineKind, (i128, i128))> = Vec::new();
            for (place, sums) in &cells.entries {
                let price = match of_rate.entries().get(*place).map(|entry| &entry.value) {
                    Some(RateValue::Constant(price)) => Some(*price),
                    Some(RateValue::Series(_)) | None => None,
                };
                let kind = BillLineKind::Energy(price);
                // The same price in other hours is the same line.
                match kinds.iter_mut().find(|(other, _)| *other == kind) {
                    Some((_, (mj, amount))) => {
                        *mj = mj.saturating_add(sums.0);
                        *amount = amount.saturating_add(sums.1);
                    }
                    None => kinds.push((kind, *sums)),
                }
            }
            let [one, other] = cells.bounds.map(|bound| whole(rounded(bound, unit)));
            // What is taken away from a meter costs most at the lowest price.
            let (cheapest, dearest) = (one.min(other), one.max(other));
            kinds.push((BillLineKind::Bridged { cheapest, dearest }, cells.bridged));
            kinds.push((BillLineKind::Unpriced, (cells.unpriced_mj, 0)));
            kinds.retain(|(_, sums)| *sums != (0, 0));
            let mj: Vec<i128> = kinds.iter().map(|(_, (mj, _))| *mj).collect();
            let mut of_energy = apportion(*energy, &mj, WATT_HOUR_MJ.into());
            if cells.overhead != (0, 0) {
                kinds.push((BillLineKind::Overhead, cells.overhead));
                of_energy.push(rounded(cells.overhead.0, i128::from(WATT_HOUR_MJ) * BILLION));
            }
            let exact: Vec<i128> = kinds.iter().map(|(_, (_, amount))| *amount).collect();
            let of_amount = apportion(amount, &exact, unit);
            for (((kind, _), energy), amount) in kinds.into_iter().zip(of_energy).zip(of_amount) {
                lines.push(BillLine {
                    rate: of_rate.name().to_owned(),
                    kind,
                    energy_wh: whole(energy),
                    amount: whole(amount),
                });
            }
        }
    }
}

impl OwnerCells {
    fn add_energy(&mut self, mj: [i64; 3], grid: &Grid, at: usize, bounds: &[[i64; 2]]) {
        for (sum, part) in self.mj.iter_mut().zip(mj) {
            *sum = sum.saturating_add(part);
        }
        let Some(quarter) = grid.quarters.get(at) else { return };
        let [measured, estimated, bridged] = mj.map(i128::from);
        let (spread, all) = (measured + estimated, measured + estimated + bridged);
        if all != 0 || spread != 0 {
            match quarter.co2 {
                Some(factor) => self.co2 = plus(self.co2, all, factor, quarter.pue),
                None => self.lacks_co2 = true,
            }
        }
        let one = Decimal::ONE;
        for ((cells, price), place) in self.rates.iter_mut().zip(&quarter.prices).zip(0..) {
            let Some((entry, price)) = *price else {
                cells.unpriced_mj = cells.unpriced_mj.saturating_add(all);
                continue;
            };
            if spread != 0 {
                let (mj, amount) = cells.entries.entry(entry).or_default();
                *mj = mj.saturating_add(spread);
                *amount = plus(*amount, spread, price, one);
            }
            if bridged != 0 {
                let (mj, amount) = &mut cells.bridged;
                *mj = mj.saturating_add(bridged);
                *amount = plus(*amount, bridged, price, one);
                let own = [price.billionths(); 2];
                let prices = bounds.get(place).copied().unwrap_or(own).map(i128::from);
                for (sum, price) in cells.bounds.iter_mut().zip(prices) {
                    *sum = sum.saturating_add(bridged.saturating_mul(price).saturating_mul(BILLION));
                }
            }
            let over = i128::from(quarter.pue.billionths()) - BILLION;
            let (mj, amount) = &mut cells.overhead;
            let of_overhead = all.saturating_mul(over);
            *mj = mj.saturating_add(of_overhead);
            *amount = amount.saturating_add(of_overhead.saturating_mul(price.billionths().into()));
        }
    }

    fn add_time(&mut self, quarter: &BilledQuarter) {
        for (sum, part) in self.ms.iter_mut().zip(quarter.known.ms) {
            *sum = sum.saturating_add(part);
        }
        self.unknown_ms = self.unknown_ms.saturating_add(quarter.unknown_ms);
        self.absent_ms = self.absent_ms.saturating_add(quarter.absent_ms);
    }
}

impl RateCells {
    fn amount(&self) -> i128 {
        let entries = self.entries.values().fold(0_i128, |sum, (_, amount)| sum.saturating_add(*amount));
        entries.saturating_add(self.bridged.1).saturating_add(self.overhead.1)
    }
}

/// `sum` and the product of `mj` with two factors.
fn plus(sum: i128, mj: i128, first: Decimal, second: Decimal) -> i128 {
    let product = mj.saturating_mul(first.billionths().into()).saturating_mul(second.billionths().into());
    sum.saturating_add(product)
}

/// Whole millijoules by shares in billionths that add up to one.
fn split(mj: i64, shares: &[i128]) -> Vec<i64> {
    if shares.len() == 1 || mj == 0 {
        return vec![mj; shares.len()];
    }
    let parts: Vec<i128> = shares.iter().map(|share| i128::from(mj) * share).collect();
    apportion(mj.into(), &parts, BILLION).into_iter().map(whole).collect()
}

fn sum(parts: &[i128]) -> i128 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

/// A sum as it is reported; what no meter counts is held at the largest number.
pub(super) fn whole(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}
