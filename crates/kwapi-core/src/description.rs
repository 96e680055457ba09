//! What a probe is, as described by its publisher.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Labels beyond this number are left out.
const LABELS_MAX: usize = 32;
/// A longer name or value of a label, or name of a driver, is left out.
const TEXT_BYTES_MAX: usize = 256;
/// No interval and no gap is longer.
const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What a driver manager has of a probe that it measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeterFacts {
    /// The driver that reads its meter; `sum` of a probe that is the sum of others.
    pub driver: &'static str,
    /// How often its meter is to be read; `None` of a sum.
    pub interval: Option<Duration>,
    /// For how long it may be silent before its time is unknown.
    pub max_gap: Duration,
    /// How accurate its power is, in percent of the reading, where the device itself reports it.
    pub accuracy_percent: Option<f64>,
}

/// A publisher's description of a probe. As JSON, durations are whole milliseconds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Description {
    /// The driver that reads its meter.
    pub driver: String,
    /// How often its meter is to be read, if that is known.
    #[serde(
        rename = "interval_ms",
        with = "optional_millis",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub interval: Option<Duration>,
    /// For how long it may be silent before its time is unknown.
    #[serde(rename = "max_gap_ms", with = "millis")]
    pub max_gap: Duration,
    /// How accurate its power is, in percent of the reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_percent: Option<f64>,
    /// The labels that its operator has given it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl From<MeterFacts> for Description {
    fn from(facts: MeterFacts) -> Self {
        let MeterFacts { driver, interval, max_gap, accuracy_percent } = facts;
        Self { driver: driver.to_owned(), interval, max_gap, accuracy_percent, labels: BTreeMap::new() }
    }
}

impl Description {
    /// Leaves out what nobody would accept: see [`Description::is_sound`].
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let clamp = |duration: Duration| duration.clamp(Duration::from_millis(1), DURATION_MAX);
        self.interval = self.interval.map(clamp);
        self.max_gap = clamp(self.max_gap);
        self.accuracy_percent = self.accuracy_percent.filter(|percent| is_percent(*percent));
        if !is_text(&self.driver) {
            self.driver.clear();
        }
        self.labels.retain(|name, value| is_text(name) && is_text(value));
        while self.labels.len() > LABELS_MAX {
            self.labels.pop_last();
        }
        self
    }

    /// Whether it may be accepted: times from a millisecond to a week, a percentage from 0 to 100, at most 32 labels, and no
    /// text of more than 256 bytes or with control characters.
    pub fn is_sound(&self) -> bool {
        let is_time = |duration: &Duration| (Duration::from_millis(1)..=DURATION_MAX).contains(duration);
        self.interval.as_ref().is_none_or(is_time)
            && is_time(&self.max_gap)
            && self.accuracy_percent.is_none_or(is_percent)
            && is_text(&self.driver)
            && self.labels.len() <= LABELS_MAX
            && self.labels.iter().all(|(name, value)| is_text(name) && is_text(value))
    }

    /// About what it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        /// A node of a map has room for so many entries.
        const NODE: usize = 11;
        let nodes = self.labels.len().div_ceil(NODE) * NODE * size_of::<(String, String)>();
        let texts = self.labels.iter().map(|(name, value)| name.len() + value.len());
        size_of::<Self>() + self.driver.len() + nodes + texts.sum::<usize>()
    }
}

fn is_percent(percent: f64) -> bool {
    (0.0..=100.0).contains(&percent)
}

fn is_text(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(of(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    pub(super) fn of(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    }
}

mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "serde requires this")]
    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::millis::of(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let facts = MeterFacts {
            driver: "snmp",
            interval: Some(Duration::from_secs(300)),
            max_gap: Duration::from_secs(750),
            accuracy_percent: Some(1.5),
        };
        Description { labels: BTreeMap::from([("rack".into(), "r1".into())]), ..facts.into() }
    }

    #[test]
    fn what_is_sound_stays_as_it_is() {
        assert!(description().is_sound());
        assert_eq!(description().bounded(), description());
    }

    #[test]
    fn what_nobody_would_accept_is_left_out() {
        let mut unsound: Vec<Description> = vec![
            Description { interval: Some(Duration::ZERO), ..description() },
            Description { max_gap: Duration::ZERO, ..description() },
            Description { max_gap: Duration::from_secs(604_801), ..description() },
            Description { accuracy_percent: Some(f64::NAN), ..description() },
            Description { accuracy_percent: Some(-1.0), ..description() },
            Description { driver: "x".repeat(257), ..description() },
        ];
        for (name, value) in [("a\nb", ""), ("a", "\0"), ("a", &*"x".repeat(257))] {
            let mut long = description();
            long.labels.insert(name.to_owned(), value.to_owned());
            unsound.push(long);
        }
        let mut many = description();
        many.labels.extend((0..40).map(|number| (format!("{number}"), String::new())));
        unsound.push(many);
        for unsound in unsound {
            assert!(!unsound.is_sound(), "{unsound:?}");
            assert!(unsound.clone().bounded().is_sound(), "{unsound:?}");
        }
    }
}
