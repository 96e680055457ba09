//! `kwapi bill`: what a month's energy costs, and whose it is. Energy is asked as `kwapi energy` asks it; prices and owners
//! are the configuration's; what is made of them is `kwapi_core::BillMaker`'s.

mod csv;
mod facts;
mod json;
mod month;
mod reader;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kwapi_core::{BillMaker, BillTerms, BilledProbe, BilledQuarter, ProbeId, Shares, Timestamp, groups_of};
use kwapi_plugins::answers::when::rfc3339;

use super::energy::{answer, print};
use crate::cli::{BillArgs, EnergyPrint};
use crate::config::{Config, Labels};
use crate::stack::configured_labels;

use facts::BillFacts;
use month::BillMonth;
use reader::{LedgerRow, RowReader};

/// Makes the bill and prints it.
///
/// # Errors
/// When there is none, as one line.
pub(crate) async fn bill(arguments: &BillArgs, named: Option<&Path>) -> Result<(), String> {
    let config = super::configuration(named)?;
    let month = BillMonth::new(&arguments.month, &config.bill.zone, crate::stack::wall_clock().now())?;
    let (mut registers, mut reader) = (BTreeMap::new(), RowReader::default());
    let question = question(arguments, (0, month.begin_ms), None);
    answer(&arguments.ledger, named, &question, &mut |part| {
        reader.take(part, &mut |row| {
            row.complete()?;
            registers.insert(row.probe, row.quarter.known.energy_mj());
            Ok(())
        })
    })
    .await?;
    let mut run = BillRun::new(&config, &month, arguments.by.as_deref(), registers)?;
    let mut reader = RowReader::default();
    let of_month = self::question(arguments, (month.begin_ms, month.end_ms), Some("quarter"));
    answer(&arguments.ledger, named, &of_month, &mut |part| reader.take(part, &mut |row| run.take(row)))
        .await?;
    let (bill, facts) = run.end()?;
    let text = match (arguments.profile, arguments.format) {
        (true, _) => csv::profile(&bill, &facts),
        (false, EnergyPrint::Table) => table::text(&bill, &facts),
        (false, EnergyPrint::Csv) => csv::text(&bill, &facts),
        (false, EnergyPrint::Json) => json::text(&bill, &facts),
    };
    print(text.as_bytes())
}

/// The question for the energy between two Unix milliseconds.
fn question(
    arguments: &BillArgs,
    (from, until): (u64, u64),
    step: Option<&str>,
) -> Vec<(&'static str, String)> {
    let instant = |at: u64| rfc3339(milliseconds(at), &jiff::tz::TimeZone::UTC);
    let mut pairs: Vec<(&'static str, String)> =
        arguments.probes.iter().map(|pattern| ("pattern", pattern.clone())).collect();
    pairs.extend(step.map(|step| ("step", step.to_owned())));
    let rest = [("start", instant(from)), ("end", instant(until))];
    pairs.extend(rest);
    pairs.extend(
        [("zone", "UTC"), ("by", "probe"), ("format", "csv")].map(|(name, value)| (name, value.to_owned())),
    );
    pairs
}

fn milliseconds(at: u64) -> Timestamp {
    Timestamp::from_micros(at.saturating_mul(1_000))
}

/// A bill being read.
struct BillRun<'a> {
    config: &'a Config,
    labels: Box<dyn Fn(&ProbeId) -> Labels>,
    maker: BillMaker,
    sums: BTreeSet<&'a ProbeId>,
    /// Of each probe that is billed, its register at the begin, in millijoules.
    registers: BTreeMap<ProbeId, i64>,
    /// Whose quarter hours are coming.
    current: Option<(ProbeId, Vec<BilledQuarter>)>,
    facts: BillFacts,
}

impl<'a> BillRun<'a> {
    fn new(
        config: &'a Config,
        month: &BillMonth,
        by: Option<&str>,
        mut registers: BTreeMap<ProbeId, i64>,
    ) -> Result<Self, String> {
        let terms = BillTerms {
            zone: config.bill.zone.clone(),
            begin_ms: month.begin_ms,
            end_ms: month.end_ms,
            month_ms: month.month_end_ms - month.begin_ms,
            decimals: config.bill.decimals,
            rates: config.bill.rates.clone(),
        };
        let sums: BTreeSet<&ProbeId> = config.virtual_probes.iter().map(|sum| &sum.probe).collect();
        registers.retain(|probe, _| !sums.contains(probe));
        Ok(Self {
            config,
            labels: Box::new(configured_labels(config)),
            maker: BillMaker::new(terms).map_err(|error| error.to_string())?,
            sums,
            registers,
            current: None,
            facts: BillFacts::new(config, month, by),
        })
    }

    fn take(&mut self, row: LedgerRow) -> Result<(), String> {
        // Its parts are billed.
        if self.sums.contains(&row.probe) {
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
        // One that was first heard a moment ago had nothing before.
        let register_mj = self.registers.get(&probe).copied().unwrap_or(0);
        let shares = self.facts.by.as_deref().map(|label| self.shares(&probe, label)).unwrap_or_default();
        self.facts.add(self.config, &probe);
        self.maker
            .add(BilledProbe { probe, meter, register_mj, quarters, shares })
            .map_err(|error| error.to_string())
    }

    /// Whose a probe is, by a label.
    fn shares(&self, probe: &ProbeId, label: &str) -> Shares {
        let dated = self.config.bill.shares.get(probe).and_then(|labels| labels.get(label));
        let plain = || (self.labels)(probe).remove(label).map(Shares::whole);
        dated.cloned().or_else(plain).unwrap_or_default()
    }

    fn end(mut self) -> Result<(kwapi_core::Bill, BillFacts), String> {
        self.add_current()?;
        let bill = self.maker.bill();
        if bill.values.is_empty() {
            return Err("no probe matches; `kwapi energy` shows which there are".to_owned());
        }
        // Who mistypes a label must not take it for unallocated.
        if let Some(label) = &self.facts.by
            && bill.values.iter().all(|value| value.value.is_none())
        {
            return Err(format!("no probe has the label {label:?} in this month"));
        }
        Ok((bill, self.facts))
    }
}
