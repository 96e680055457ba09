//! The bills that an API serves: closed ones from the state directory, open ones by the configuration of now, and of each
//! what a scope shows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kwapi_core::{Bill, BillValue, ProbeId};
use parking_lot::Mutex;

use super::closed::{BillSum, ClosedBills, KeptBill};
use super::config::BillConfig;
use super::correction::difference;
use super::open::OpenBills;
use super::run::MadeBill;
use crate::scope::Scope;

/// What bills are made and read of. Clones are handles of the same.
#[derive(Clone)]
pub struct Bills {
    config: Arc<ArcSwap<BillConfig>>,
    closed: ClosedBills,
    /// What is reported of closed bills, by month: documents are never changed, and large.
    listed: Arc<Mutex<BTreeMap<String, Vec<ListedBill>>>>,
    open: Arc<OpenBills>,
}

/// A closed bill, in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedBill {
    pub(crate) by: Option<String>,
    /// When it was closed, in the bill's zone: for programs, and for people.
    pub(crate) closed: String,
    pub(crate) closed_in_words: String,
    /// How many documents it has: one more than corrections.
    pub(crate) documents: usize,
}

impl fmt::Debug for Bills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bills").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Bills {
    /// Open bills by `config`, and those that are closed in the state directory `state`.
    pub fn new(config: BillConfig, state: &Path) -> Self {
        let config = Arc::new(ArcSwap::from_pointee(config));
        Self { config, closed: ClosedBills::new(state), listed: Arc::default(), open: Arc::default() }
    }

    /// Takes up a new configuration: open bills are made by it from now on.
    pub fn replace(&self, config: BillConfig) {
        self.config.store(Arc::new(config));
    }

    pub(super) fn open_bills(&self) -> &OpenBills {
        &self.open
    }

    pub(crate) fn config(&self) -> Arc<BillConfig> {
        self.config.load_full()
    }

    pub(crate) fn closed(&self) -> &ClosedBills {
        &self.closed
    }

    /// The closed bills by month.
    ///
    /// # Errors
    /// When a document cannot be read, as one line.
    pub(crate) fn list(&self) -> Result<BTreeMap<String, Vec<ListedBill>>, String> {
        let mut listed = self.listed.lock();
        for (month, count) in self.closed.months()? {
            let known = listed.get(&month).into_iter().flatten().map(|bill| bill.documents).sum::<usize>();
            if known == count {
                continue;
            }
            let mut of_month: Vec<ListedBill> = Vec::new();
            for kept in self.closed.of_month(&month)? {
                let by = kept.by().map(str::to_owned);
                match of_month.iter_mut().find(|bill| bill.by == by) {
                    Some(bill) => bill.documents += 1,
                    None => of_month.push(ListedBill {
                        by,
                        closed: kept.made_instant(),
                        closed_in_words: kept.made_in_words(),
                        documents: 1,
                    }),
                }
            }
            of_month.sort_by(|one, other| one.by.cmp(&other.by));
            listed.insert(month, of_month);
        }
        Ok(listed.clone())
    }
}

impl MadeBill {
    /// What of it `scope` shows: lines of its probes and owners, and their sums. What a part is charged by the month and the
    /// peak, and its quarter hours, are of all its probes: they are shown where all of these are.
    #[must_use]
    pub(crate) fn within(&self, scope: &Scope) -> Self {
        if scope.is_all() {
            return self.clone();
        }
        let mut made = self.clone();
        let by = made.facts.by.clone();
        let mut has_hidden_charges = false;
        for value in &mut made.bill.values {
            let count = value.probes.len();
            value.probes.retain(|of| scope.allows_part(&of.probe, by.as_deref(), value.value.as_deref()));
            if value.probes.len() < count {
                has_hidden_charges |= !value.probes.is_empty() && !value.charges.is_empty();
                hide_whole(value);
            }
            add_up(value);
        }
        made.bill.values.retain(|value| !value.probes.is_empty());
        let Bill { values, energy_wh, amount, co2_grams } = &mut made.bill;
        *energy_wh = values.iter().fold(0, |sum, value| sum.saturating_add(value.energy_wh));
        *amount = values.iter().fold(0, |sum, value| sum.saturating_add(value.amount));
        *co2_grams = total_known(values.iter().map(|value| value.co2_grams));
        let shown: Vec<ProbeId> =
            values.iter().flat_map(|value| &value.probes).map(|of| of.probe.clone()).collect();
        made.facts.probes.retain(|probe, _| shown.contains(probe));
        made.facts.has_hidden_charges = has_hidden_charges;
        made.owners.retain(|probe, _| shown.contains(probe));
        made.position = None;
        made
    }

    /// Whether `scope` shows all that a value has.
    fn shows_whole(&self, scope: &Scope, value: Option<&str>) -> bool {
        let by = self.facts.by.as_deref();
        let mut of_value = self.bill.values.iter().filter(|other| other.value.as_deref() == value);
        of_value.all(|value| {
            value.probes.iter().all(|of| scope.allows_part(&of.probe, by, value.value.as_deref()))
        })
    }
}

impl KeptBill {
    /// What of it `scope` shows; of a correction the changes of what it shows.
    #[must_use]
    pub(crate) fn within(&self, scope: &Scope) -> Self {
        if scope.is_all() {
            return self.clone();
        }
        let mut kept = self.clone();
        let document = &mut kept.document;
        let whole = &self.document.made;
        let by = whole.facts.by.as_deref();
        document.changes.retain(|change| match &change.probe {
            Some(probe) => scope.allows_part(probe, by, change.value.as_deref()),
            // Of a value that has gone the probes are unknown.
            None => {
                whole.bill.values.iter().any(|value| value.value == change.value)
                    && whole.shows_whole(scope, change.value.as_deref())
            }
        });
        document.made = whole.within(scope);
        let shown = &document.made.facts.probes;
        if let Some(signed) = &mut document.signed {
            signed.records.retain(|record| shown.contains_key(&record.probe));
        }
        let changed = difference(document);
        let now = &document.made.bill;
        document.before = document.before.map(|_| BillSum {
            energy_wh: now.energy_wh.saturating_sub(changed.energy_wh),
            amount: now.amount.saturating_sub(changed.amount),
        });
        kept
    }
}

/// Takes away what is of all probes of a value.
fn hide_whole(value: &mut BillValue) {
    value.charges.clear();
    value.quarters.clear();
    value.peak = None;
}

fn add_up(value: &mut BillValue) {
    value.energy_wh = value.probes.iter().fold(0, |sum, of| sum.saturating_add(of.energy_wh));
    let lines = value.probes.iter().map(|of| of.amount);
    let all = lines.chain(value.charges.iter().map(|charge| charge.amount));
    value.amount = all.fold(0, i64::saturating_add);
    value.co2_grams = total_known(value.probes.iter().map(|of| of.co2_grams));
}

/// The sum, if all parts are known.
fn total_known(mut parts: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    parts.try_fold(0_i64, |sum, part| Some(sum.saturating_add(part?)))
}
