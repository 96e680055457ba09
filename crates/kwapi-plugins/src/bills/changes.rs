//! How a bill differs from the same bill made before, and why: the same readings by other prices, or by other owners, each
//! step by itself. The steps add up to the whole.

use std::collections::BTreeMap;

use kwapi_core::{Bill, ProbeId};
use serde::{Deserialize, Serialize};

/// Why a closed bill is corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BillReason {
    /// Readings were received, or corrected, after it was closed.
    Readings,
    /// Tariffs have changed.
    Prices,
    /// Labels or their shares have changed.
    Owners,
}

impl BillReason {
    pub(super) const ALL: [Self; 3] = [Self::Readings, Self::Prices, Self::Owners];

    /// In JSON and CSV.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Prices => "tariffs",
            Self::Owners => "shares",
        }
    }

    /// For people.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Readings => "Readings received after the month was closed",
            Self::Prices => "Corrected tariffs",
            Self::Owners => "Corrected labels or shares",
        }
    }
}

/// A difference, of a probe or of a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillChange {
    /// Why.
    pub(super) reason: BillReason,
    /// Whose.
    pub(super) value: Option<String>,
    /// Of which probe; `None` for what is charged by the month or the peak.
    pub(super) probe: Option<ProbeId>,
    /// The name of what is charged by the month or the peak.
    pub(super) charge: Option<String>,
    /// By how many watt-hours more.
    pub(super) energy_wh: i64,
    /// By how much more.
    pub(super) amount: i64,
}

/// Whose, and of what; and how much.
type Sums = BTreeMap<(bool, Option<String>, Option<ProbeId>, Option<String>), (i64, i64)>;

/// What differs between two bills of the same month.
pub(super) fn changes(reason: BillReason, before: &Bill, after: &Bill) -> Vec<BillChange> {
    let mut sums = sums(after);
    for (key, (energy, amount)) in self::sums(before) {
        let sum = sums.entry(key).or_default();
        *sum = (sum.0.saturating_sub(energy), sum.1.saturating_sub(amount));
    }
    sums.retain(|_, sum| *sum != (0, 0));
    let change = |((_, value, probe, charge), (energy_wh, amount))| BillChange {
        reason,
        value,
        probe,
        charge,
        energy_wh,
        amount,
    };
    sums.into_iter().map(change).collect()
}

/// In order of the values, as on a bill.
fn sums(bill: &Bill) -> Sums {
    let mut sums = Sums::new();
    for value in &bill.values {
        let mut add = |probe: Option<&ProbeId>, charge: Option<&String>, energy: i64, amount: i64| {
            let key = (value.value.is_none(), value.value.clone(), probe.cloned(), charge.cloned());
            let sum = sums.entry(key).or_default();
            *sum = (sum.0.saturating_add(energy), sum.1.saturating_add(amount));
        };
        for of in &value.probes {
            add(Some(&of.probe), None, of.energy_wh, of.amount);
        }
        for charge in &value.charges {
            add(None, Some(&charge.rate), 0, charge.amount);
        }
    }
    sums
}
