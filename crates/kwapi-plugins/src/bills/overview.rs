//! A bill in short, in words: what its page shows before it is printed.

use kwapi_core::BillValue;

use super::facts::{BillFacts, kwh};
use super::html::{BillHead, head};
use super::request::ShownBill;

/// A bill in short. Numbers are those of the print.
#[derive(Debug)]
pub(crate) struct BillOverview {
    pub(crate) head: BillHead,
    pub(crate) values: Vec<ValueOverview>,
    /// Energy in kilowatt-hours and money of all.
    pub(crate) kwh: String,
    pub(crate) amount: String,
    /// Money of what is allocated to none, where it is by a label and there is some.
    pub(crate) unallocated: Option<String>,
    /// Of the sum of energy, in percent.
    pub(crate) accuracy: Option<String>,
    /// Why there is nothing to be billed, or nobody.
    pub(crate) nothing: Option<String>,
    /// Of a closed one, how many corrections it has.
    pub(crate) corrections: usize,
    /// Whether its readings are signed.
    pub(crate) is_signed: bool,
}

/// A value of the label, in short.
#[derive(Debug)]
pub(crate) struct ValueOverview {
    pub(crate) name: String,
    pub(crate) is_unallocated: bool,
    /// Kilowatt-hours: measured, estimated, bridged, and all.
    pub(crate) statuses: [String; 3],
    pub(crate) kwh: String,
    /// Hours of its probes of which nothing is known.
    pub(crate) unknown_hours: Option<String>,
    /// Kilowatts of its highest quarter hour.
    pub(crate) peak: Option<String>,
    pub(crate) amount: String,
}

impl BillOverview {
    pub(crate) fn new(shown: &ShownBill) -> Self {
        let (made, kept, corrections) = match shown {
            ShownBill::Open(made) => (&**made, None, 0),
            ShownBill::Closed(kept, corrections) => (kept.made(), Some(&**kept), *corrections),
        };
        let (bill, facts) = (&made.bill, &made.facts);
        let unallocated = bill.values.iter().filter(|value| value.value.is_none() && facts.by.is_some());
        Self {
            head: head(facts, Some(bill), kept),
            values: bill.values.iter().map(|value| ValueOverview::new(value, facts)).collect(),
            kwh: kwh(bill.energy_wh),
            amount: facts.money(bill.amount),
            unallocated: unallocated.map(|value| facts.money(value.amount)).next(),
            accuracy: facts.accuracy_of_sum(bill).map(|percent| format!("{percent:.2}")),
            nothing: made.check().err(),
            corrections,
            is_signed: kept.is_some_and(|kept| kept.public_key().is_some()),
        }
    }
}

impl ValueOverview {
    fn new(value: &BillValue, facts: &BillFacts) -> Self {
        let mut statuses = [0_i64; 3];
        let mut unknown_ms = 0_u64;
        for of in &value.probes {
            for (sum, part) in statuses.iter_mut().zip(of.status_wh) {
                *sum = sum.saturating_add(part);
            }
            unknown_ms = unknown_ms.saturating_add(of.unknown_ms);
        }
        Self {
            name: facts.name(value.value.as_deref()).to_owned(),
            is_unallocated: value.value.is_none() && facts.by.is_some(),
            statuses: statuses.map(kwh),
            kwh: kwh(value.energy_wh),
            unknown_hours: (unknown_ms > 0).then(|| format!("{:.2}", unknown_ms as f64 / 3.6e6)),
            peak: value.peak.map(|peak| kwh(peak.watts())),
            amount: facts.money(value.amount),
        }
    }
}
