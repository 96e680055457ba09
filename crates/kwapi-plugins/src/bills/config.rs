//! By what bills are made: prices, owners, and the zone whose months they are of.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use kwapi_core::{Pattern, ProbeId, Rate, Shares};

use crate::directory::Directory;

/// Shares by probe and label.
pub type SharesOf = BTreeMap<ProbeId, BTreeMap<String, Shares>>;

/// What bills are made by.
#[derive(Clone, Debug)]
pub struct BillConfig {
    /// Of months, days and hours.
    pub zone: TimeZone,
    /// As it is printed.
    pub currency: String,
    /// How many the currency has.
    pub decimals: u32,
    /// The prices.
    pub rates: Vec<Rate>,
    /// Values of labels that have shares or dates.
    pub shares: SharesOf,
    /// Probes whose meters are calibrated for billing.
    pub calibrated: Vec<Pattern>,
}

impl BillConfig {
    /// Whose a probe is, by a label: by its shares, or else by its one value in the configuration of
    /// `directory`: its publisher does not decide who pays.
    pub(crate) fn owners(&self, directory: &Directory, probe: &ProbeId, label: &str) -> Shares {
        let dated = self.shares.get(probe).and_then(|labels| labels.get(label));
        let plain = || directory.configured_labels(probe).remove(label).map(Shares::whole);
        dated.cloned().or_else(plain).unwrap_or_default()
    }
}
