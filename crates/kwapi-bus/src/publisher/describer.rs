//! When a message describes its probe: the first of all, the next after the description has changed, and otherwise one
//! every half minute.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use kwapi_core::{Description, MeterFacts, ProbeId, Timestamp};

/// How often a probe is described.
const INTERVAL: Duration = Duration::from_secs(30);
/// Descriptions of one second of stamps, at most: a hundred thousand probes are described within ten. Further ones come
/// with a later message.
const SECOND_MAX: u32 = 10_000;
/// Probes of which it is known when they were described. Full: it is forgotten of all, and they are described again.
const PROBES_MAX: usize = 1 << 18;

/// Adds what the configuration has of a probe to what its driver manager has.
pub type Describe = Box<dyn Fn(&ProbeId, &mut Description) + Send>;

/// Decides which messages describe their probe.
#[derive(Default)]
pub(super) struct Describer {
    describe: Option<Describe>,
    sent: HashMap<ProbeId, SentDescription>,
    second: u64,
    in_second: u32,
}

/// What was published of a probe, and when by the stamp of its message.
#[derive(Clone, Copy, Debug)]
struct SentDescription {
    facts: MeterFacts,
    at: Timestamp,
}

impl Describer {
    /// Adds what this function returns from now on; all probes are described again.
    pub(super) fn describe_with(&mut self, describe: Describe) {
        self.describe = Some(describe);
        self.sent.clear();
    }

    /// What the message of `probe` stamped `at` is to describe of it, if anything.
    pub(super) fn due(&mut self, probe: &ProbeId, facts: MeterFacts, at: Timestamp) -> Option<Description> {
        let sent = self.sent.get_mut(probe);
        let is_current = |sent: &&mut SentDescription| {
            sent.facts == facts && at >= sent.at && at.since(sent.at) < INTERVAL
        };
        if sent.as_ref().is_some_and(is_current) || !self.has_room(at) {
            return None;
        }
        if let Some(sent) = self.sent.get_mut(probe) {
            *sent = SentDescription { facts, at };
        } else {
            if self.sent.len() >= PROBES_MAX {
                self.sent.clear();
            }
            // So that those that begin together are not described together ever after.
            self.sent.insert(probe.clone(), SentDescription { facts, at: at.before(phase(probe)) });
        }
        let mut description = Description::from(facts);
        if let Some(describe) = &self.describe {
            describe(probe, &mut description);
        }
        Some(description)
    }

    /// Whether one more may be described in the second of `at`.
    fn has_room(&mut self, at: Timestamp) -> bool {
        if self.second != at.seconds() {
            (self.second, self.in_second) = (at.seconds(), 0);
        }
        self.in_second += 1;
        self.in_second <= SECOND_MAX
    }
}

impl fmt::Debug for Describer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Describer").field("sent", &self.sent.len()).finish_non_exhaustive()
    }
}

/// A part of the interval that is a probe's own.
fn phase(probe: &ProbeId) -> Duration {
    let mut hasher = DefaultHasher::new();
    probe.as_str().hash(&mut hasher);
    let millis = u64::try_from(INTERVAL.as_millis()).unwrap_or(1).max(1);
    Duration::from_millis(hasher.finish() % millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: MeterFacts = MeterFacts {
        driver: "snmp",
        interval: Some(Duration::from_secs(1)),
        max_gap: Duration::from_secs(10),
        accuracy_percent: None,
    };

    fn probe(id: &str) -> ProbeId {
        ProbeId::new(id).unwrap()
    }

    /// The seconds of so many, one after the other, in which a probe is described.
    fn seconds(describer: &mut Describer, facts: MeterFacts, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let at = Timestamp::from_seconds;
        seconds.filter(|second| describer.due(&probe("a"), facts, at(*second)).is_some()).collect()
    }

    #[test]
    fn a_probe_is_described_at_first_at_changes_and_every_half_minute() {
        let mut describer = Describer::default();
        let described = seconds(&mut describer, FACTS, 1_000..1_200);
        assert_eq!(described[0], 1_000);
        assert!(described[1] <= 1_030, "{described:?}");
        assert!(described.windows(2).skip(1).all(|pair| pair[1] - pair[0] == 30), "{described:?}");
        let slower = MeterFacts { max_gap: Duration::from_secs(20), ..FACTS };
        assert_eq!(seconds(&mut describer, slower, 1_200..1_202), [1_200]);
        // A message every five minutes has it each time; so has the first after a clock was set back.
        let seldom = (1..4).map(|time| 1_200 + 300 * time);
        assert!(seldom.clone().all(|second| seconds(&mut describer, slower, second..second + 1) == [second]));
        assert_eq!(seconds(&mut describer, slower, 500..501), [500]);
        describer.describe_with(Box::new(|_, description| {
            description.labels.insert("rack".into(), "r1".into());
        }));
        let again = describer.due(&probe("a"), slower, Timestamp::from_seconds(501)).unwrap();
        assert_eq!((again.driver.as_str(), again.labels.len()), ("snmp", 1));
    }

    #[test]
    fn a_hundred_thousand_probes_that_begin_together_are_described_bit_by_bit() {
        let mut describer = Describer::default();
        let probes: Vec<_> = (0..100_000).map(|number| probe(&format!("lyon.n{number}"))).collect();
        let counts: Vec<usize> = (1_000..1_090)
            .map(|second| {
                let at = Timestamp::from_seconds(second);
                probes.iter().filter(|probe| describer.due(probe, FACTS, at).is_some()).count()
            })
            .collect();
        assert!(counts[..9].iter().all(|count| *count == 10_000), "{counts:?}");
        assert!(counts[30..].iter().all(|count| (1..10_000).contains(count)), "{counts:?}");
        assert!(counts[60..].iter().sum::<usize>() >= 100_000, "each once in half a minute: {counts:?}");
    }
}
