//! What a probe is, as its publisher says.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a driver manager knows of a probe that it measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeterFacts {
    /// The driver that reads its meter; `sum` of a probe that is the sum of others.
    pub driver: &'static str,
    /// How often it is read, if the manager sets the pace or the operator says.
    pub interval: Option<Duration>,
    /// For how long it may be silent before its time is unknown.
    pub max_gap: Duration,
    /// How accurate its power is, in percent of the reading, where the device itself says it.
    pub accuracy_percent: Option<f64>,
}

/// What a publisher says a probe is.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The driver that reads its meter.
    pub driver: String,
    /// How often it is measured, if that is known.
    pub interval: Option<Duration>,
    /// For how long it may be silent before its time is unknown.
    pub max_gap: Duration,
    /// How accurate its power is, in percent of the reading.
    pub accuracy_percent: Option<f64>,
    /// The labels that its operator has given it.
    pub labels: BTreeMap<String, String>,
}

impl From<MeterFacts> for Description {
    fn from(facts: MeterFacts) -> Self {
        let MeterFacts { driver, interval, max_gap, accuracy_percent } = facts;
        Self { driver: driver.to_owned(), interval, max_gap, accuracy_percent, labels: BTreeMap::new() }
    }
}
