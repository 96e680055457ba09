//! What the operator configures of a meter.

use std::time::Duration;

use kwapi_core::{Limits, Watts};

use super::derive::Assumptions;
use crate::outlets::Outlets;
use crate::registry::ConfiguredDriver;

/// One meter to be kept measured. Two that are equal are the same meter on reload.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterSpec {
    /// The operator's name for it, unique in the process. Its place on the grid of its interval follows from it.
    pub name: String,
    /// The driver, with its keys checked.
    pub driver: ConfiguredDriver,
    /// Which outlet is which probe.
    pub outlets: Outlets,
    /// How often it is read, if the manager sets the pace.
    pub interval: Duration,
    /// How long opening it or one read may take before it is called hung. A meter that pushes may be silent for
    /// this or `max_gap`, whichever is longer.
    pub deadline: Duration,
    /// Readings further apart than this have unknown time between them, and a device's stamp older than this is
    /// stale.
    pub max_gap: Duration,
    /// The most that one of its outlets can draw, if the operator configures it: a value above is dropped and counted,
    /// and its register is trusted up to that. Without it, each outlet's own history decides.
    pub max_watts: Option<Watts>,
    /// Whether `max_gap` grows with the pace at which a probe is received: a plug that publishes every 5 min is measured.
    pub max_gap_follows: bool,
    /// What the meter does not report.
    pub assumptions: Assumptions,
    /// A fingerprint of the files, besides the configuration, that its driver reads when it is opened (profiles, register
    /// maps, certificates), so that a change of theirs is one of the meter.
    pub files: u64,
}

impl MeterSpec {
    /// A meter read once a second, with ten seconds to answer.
    pub fn new(name: impl Into<String>, driver: ConfiguredDriver, outlets: Outlets) -> Self {
        let ten_seconds = Duration::from_secs(10);
        Self {
            name: name.into(),
            driver,
            outlets,
            interval: Duration::from_secs(1),
            deadline: ten_seconds,
            max_gap: ten_seconds,
            max_watts: None,
            max_gap_follows: false,
            assumptions: Assumptions::default(),
            files: 0,
        }
    }

    /// What is known of each outlet beforehand.
    pub(super) fn limits(&self) -> Limits {
        Limits { max_gap: self.max_gap, interval: self.interval, max_watts: self.max_watts }
    }
}
