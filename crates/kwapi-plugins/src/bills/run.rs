//! A bill being made: readings come as the text of two answers of `/v2/energy`, what is made of them is
//! `kwapi_core::BillMaker`'s. A correction is made in the same pass.

use std::collections::BTreeMap;

use kwapi_core::{BillMaker, BillTerms, BilledProbe, BilledQuarter, ProbeId, Rate, Shares, groups_of};
use serde::{Deserialize, Serialize};

use super::changes::{BillChange, BillReason, changes};
use super::config::BillConfig;
use super::facts::BillFacts;
use super::month::BillMonth;
use super::reader::{AnsweredSpan, RowReader};
use crate::directory::Directory;

/// A bill, and what it was made by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeBill {
    pub(super) facts: BillFacts,
    /// The position in the journal that its readings are of, where that is known.
    pub(super) position: Option<String>,
    /// Prices, as they apply in its month.
    pub(super) rates: Vec<Rate>,
    /// Whose each probe is in its month.
    pub(super) owners: BTreeMap<ProbeId, Shares>,
    pub(super) bill: kwapi_core::Bill,
}

impl MadeBill {
    /// Nothing, if there is something to be billed, and somebody is.
    ///
    /// # Errors
    /// When there is not, as one line: who mistypes a label must not take it for unallocated.
    pub fn check(&self) -> Result<(), String> {
        let values = &self.bill.values;
        if values.is_empty() {
            return Err("no probe matches; `kwapi energy` shows which there are".to_owned());
        }
        match &self.facts.by {
            Some(label) if values.iter().all(|value| value.value.is_none()) => {
                Err(format!("no probe has the label {label:?} in this month"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A bill being made.
#[derive(Debug)]
pub struct BillRun<'a> {
    config: &'a BillConfig,
    directory: &'a Directory,
    /// The document that is corrected.
    before: Option<&'a MadeBill>,
    readers: [RowReader; 2],
    /// The bill; and before it, where there is a document to correct, that by its prices and owners, and that by its
    /// owners.
    makers: Vec<BillMaker>,
    rates: Vec<Rate>,
    owners: BTreeMap<ProbeId, Shares>,
    /// Of each probe that is billed, its register at the begin, in millijoules.
    registers: BTreeMap<ProbeId, i64>,
    /// Whose quarter hours are coming.
    current: Option<(ProbeId, Vec<BilledQuarter>)>,
    position: Option<String>,
    facts: BillFacts,
}

impl<'a> BillRun<'a> {
    /// A bill of `month`, by the values of a label. Labels, sums and accuracies are those of `directory`.
    ///
    /// # Errors
    /// When the configuration makes no bill, as one line.
    pub fn new(
        config: &'a BillConfig,
        directory: &'a Directory,
        month: BillMonth,
        by: Option<&str>,
    ) -> Result<Self, String> {
        Self::of(config, directory, BillFacts::new(config, month, by), None)
    }

    /// The same bill as `before`, by what is known and configured now.
    ///
    /// # Errors
    /// When the configuration makes no bill, or none that can be compared, as one line.
    pub fn correcting(
        config: &'a BillConfig,
        directory: &'a Directory,
        before: &'a MadeBill,
    ) -> Result<Self, String> {
        let facts = &before.facts;
        let changed = |what: &str, was: &str, is: &str| {
            format!(
                "`{what}` was {was:?} when the month was closed and is {is:?} now; set it back in [bill] to correct the bill"
            )
        };
        if facts.currency != config.currency {
            return Err(changed("currency", &facts.currency, &config.currency));
        }
        if facts.decimals != config.decimals {
            return Err(changed("decimals", &facts.decimals.to_string(), &config.decimals.to_string()));
        }
        if facts.zone != config.zone {
            let name = |zone: &jiff::tz::TimeZone| zone.iana_name().unwrap_or("local time").to_owned();
            return Err(changed("zone", &name(&facts.zone), &name(&config.zone)));
        }
        let facts = BillFacts::new(config, facts.month.clone(), facts.by.as_deref());
        Self::of(config, directory, facts, Some(before))
    }

    fn of(
        config: &'a BillConfig,
        directory: &'a Directory,
        facts: BillFacts,
        before: Option<&'a MadeBill>,
    ) -> Result<Self, String> {
        let span = facts.month.span();
        let rates: Vec<Rate> = config.rates.iter().map(|rate| rate.within(&span)).collect();
        let maker = |rates: &[Rate]| {
            let terms = BillTerms {
                zone: config.zone.clone(),
                begin_ms: facts.month.begin_ms,
                end_ms: facts.month.end_ms,
                month_ms: facts.month.month_end_ms.saturating_sub(facts.month.begin_ms),
                decimals: config.decimals,
                rates: rates.to_vec(),
            };
            BillMaker::new(terms).map_err(|error| error.to_string())
        };
        let makers = match before {
            Some(before) => vec![maker(&before.rates)?, maker(&rates)?, maker(&rates)?],
            None => vec![maker(&rates)?],
        };
        Ok(Self {
            config,
            directory,
            before,
            readers: Default::default(),
            makers,
            rates,
            owners: BTreeMap::new(),
            registers: BTreeMap::new(),
            current: None,
            position: None,
            facts,
        })
    }

    /// Its month.
    pub fn month(&self) -> &BillMonth {
        &self.facts.month
    }

    /// Takes the next part of the answer to the first of [`BillMonth::questions`].
    ///
    /// # Errors
    /// When it makes no sense or files could not be read, as one line.
    pub fn take_registers(&mut self, part: &[u8]) -> Result<(), String> {
        let ([reader, _], registers) = (&mut self.readers, &mut self.registers);
        reader.take(part, &mut |row| {
            row.complete()?;
            // Of a sum its parts are billed.
            if !self.directory.is_sum(&row.probe) {
                registers.insert(row.probe, row.quarter.known.energy_mj());
            }
            Ok(())
        })
    }

    /// Takes the next part of the answer to the second of [`BillMonth::questions`], once the first has ended.
    ///
    /// # Errors
    /// When it makes no sense or files could not be read, as one line.
    pub fn take_quarters(&mut self, part: &[u8]) -> Result<(), String> {
        let [_, reader] = &mut self.readers;
        let mut reader = std::mem::take(reader);
        let taken = reader.take(part, &mut |row| self.take(row));
        self.readers = [RowReader::default(), reader];
        taken
    }

    /// The second answer is true at this position in the journal.
    pub fn set_position(&mut self, position: Option<String>) {
        self.position = position;
    }

    fn take(&mut self, row: AnsweredSpan) -> Result<(), String> {
        if self.directory.is_sum(&row.probe) {
            return Ok(());
        }
        row.complete()?;
        self.facts.note(&row);
        match &mut self.current {
            Some((probe, quarters)) if *probe == row.probe => quarters.push(row.quarter),
            _ => {
                self.add_current()?;
                self.current = Some((row.probe, vec![row.quarter]));
            }
        }
        Ok(())
    }

    fn add_current(&mut self) -> Result<(), String> {
        let Some((probe, quarters)) = self.current.take() else { return Ok(()) };
        let above = groups_of(&probe).filter_map(|group| ProbeId::new(group).ok());
        let meter = above.filter(|group| self.registers.contains_key(group)).last();
        // One that was first received a moment ago had nothing before.
        let register_mj = self.registers.get(&probe).copied().unwrap_or(0);
        let of_label = |label: &str| self.config.owners(self.directory, &probe, label);
        let owners =
            self.facts.by.as_deref().map(of_label).unwrap_or_default().within(&self.facts.month.span());
        self.facts.add(self.config, self.directory, &probe);
        // Of a probe that is new nobody was the owner before.
        let before = self.before.and_then(|before| before.owners.get(&probe)).unwrap_or(&owners).clone();
        let last = self.makers.len().saturating_sub(1);
        for (maker, place) in self.makers.iter_mut().zip(0..) {
            let shares = if place == last { owners.clone() } else { before.clone() };
            let (probe, meter, quarters) = (probe.clone(), meter.clone(), quarters.clone());
            let billed = BilledProbe { probe, meter, register_mj, quarters, shares };
            maker.add(billed).map_err(|error| error.to_string())?;
        }
        self.owners.insert(probe, owners);
        Ok(())
    }

    /// The bill, and how it differs from the document that it corrects.
    ///
    /// # Errors
    /// When the last probe makes no bill, as one line.
    pub fn end(mut self) -> Result<(MadeBill, Vec<BillChange>), String> {
        self.add_current()?;
        let bills: Vec<kwapi_core::Bill> = self.makers.drain(..).map(BillMaker::bill).collect();
        let reasons = [BillReason::Readings, BillReason::Prices, BillReason::Owners];
        let mut all_changes = Vec::new();
        let mut last = self.before.map(|before| &before.bill);
        for (bill, reason) in bills.iter().zip(reasons) {
            if let Some(last) = last.replace(bill).filter(|_| self.before.is_some()) {
                all_changes.extend(changes(reason, last, bill));
            }
        }
        let bill = bills.into_iter().next_back().unwrap_or_default();
        let Self { facts, position, rates, owners, .. } = self;
        Ok((MadeBill { facts, position, rates, owners, bill }, all_changes))
    }
}
