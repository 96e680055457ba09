//! For how long each probe may be silent before its time is unknown.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::ProbeId;

/// For how long each probe may be silent, for all parts of a process that decide by it. Clones are handles of the same.
///
/// First counts what the operator has written for the probe's meter here, then what its publisher states, then what
/// follows from the meter's interval here, then the default.
#[derive(Clone, Debug)]
pub struct Gaps(Arc<RwLock<GapTable>>);

#[derive(Debug)]
struct GapTable {
    configured: ConfiguredGaps,
    described: HashMap<ProbeId, Duration>,
    /// What counts, of those probes that differ from the default.
    counting: HashMap<ProbeId, Duration>,
}

/// What the configuration of this process sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfiguredGaps {
    /// Of probes without any setting.
    pub default: Duration,
    /// As written for their meters.
    pub written: HashMap<ProbeId, Duration>,
    /// As it follows from the intervals of their meters.
    pub derived: HashMap<ProbeId, Duration>,
}

/// What determines how long a probe may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapSource {
    /// The operator, for its meter in this process's configuration.
    Configuration,
    /// Its publisher.
    Publisher,
    /// It follows from the interval of its meter in this process's configuration.
    Interval,
    /// Nobody: it is the default.
    Default,
}

impl GapSource {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Publisher => "publisher",
            Self::Interval => "interval",
            Self::Default => "default",
        }
    }
}

impl Gaps {
    /// The same for all probes that do not describe themselves.
    pub fn new(default: Duration) -> Self {
        Self::configured(ConfiguredGaps { default, ..ConfiguredGaps::default() })
    }

    /// As configured, as long as no probe describes itself.
    pub fn configured(configured: ConfiguredGaps) -> Self {
        let (described, counting) = Default::default();
        let mut table = GapTable { configured, described, counting };
        table.count_all();
        Self(Arc::new(RwLock::new(table)))
    }

    /// For how long `probe` may be silent.
    pub fn of(&self, probe: &ProbeId) -> Duration {
        let table = self.read();
        // Mostly all have the same.
        let own = if table.counting.is_empty() { None } else { table.counting.get(probe) };
        own.copied().unwrap_or(table.configured.default)
    }

    /// What determines for how long `probe` may be silent.
    pub fn source(&self, probe: &ProbeId) -> GapSource {
        self.read().gap_of(probe).0
    }

    /// For how long a probe without any setting may be silent.
    pub fn of_others(&self) -> Duration {
        self.read().configured.default
    }

    /// The longest that is configured.
    pub fn longest_configured(&self) -> Duration {
        let table = self.read();
        let ConfiguredGaps { default, written, derived } = &table.configured;
        written.values().chain(derived.values()).copied().fold(*default, Duration::max)
    }

    /// Takes up another configuration.
    pub fn configure(&self, configured: ConfiguredGaps) {
        let mut table = self.write();
        if table.configured != configured {
            table.configured = configured;
            table.count_all();
        }
    }

    /// Applies what the publisher of `probe` states.
    pub fn describe(&self, probe: &ProbeId, gap: Duration) {
        // Mostly it states the same as before.
        if self.read().described.get(probe) == Some(&gap) {
            return;
        }
        let mut table = self.write();
        table.described.insert(probe.clone(), gap);
        table.count(probe);
    }

    /// Forgets what the publisher of `probe` has stated.
    pub fn forget(&self, probe: &ProbeId) {
        let mut table = self.write();
        table.described.remove(probe);
        table.count(probe);
    }

    fn read(&self) -> RwLockReadGuard<'_, GapTable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, GapTable> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Gaps {
    /// A minute.
    fn default() -> Self {
        Self::new(Duration::from_secs(60))
    }
}

impl GapTable {
    /// What applies to a probe, and by what source.
    fn gap_of(&self, probe: &ProbeId) -> (GapSource, Duration) {
        let ConfiguredGaps { default, written, derived } = &self.configured;
        let sources = [
            (GapSource::Configuration, written.get(probe)),
            (GapSource::Publisher, self.described.get(probe)),
            (GapSource::Interval, derived.get(probe)),
        ];
        let first = sources.into_iter().find_map(|(source, gap)| Some((source, *gap?)));
        first.unwrap_or((GapSource::Default, *default))
    }

    fn count(&mut self, probe: &ProbeId) {
        let (_, gap) = self.gap_of(probe);
        if gap == self.configured.default {
            self.counting.remove(probe);
        } else {
            self.counting.insert(probe.clone(), gap);
        }
    }

    fn count_all(&mut self) {
        self.counting = HashMap::new();
        let ConfiguredGaps { written, derived, .. } = &self.configured;
        let probes: Vec<_> =
            written.keys().chain(derived.keys()).chain(self.described.keys()).cloned().collect();
        probes.iter().for_each(|probe| self.count(probe));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn probe(id: &str) -> ProbeId {
        ProbeId::new(id).unwrap()
    }

    fn configured(default: u32, written: &[(&str, u32)], derived: &[(&str, u32)]) -> ConfiguredGaps {
        let gaps = |all: &[(&str, u32)]| all.iter().map(|(id, gap)| (probe(id), *gap * SECOND)).collect();
        ConfiguredGaps { default: default * SECOND, written: gaps(written), derived: gaps(derived) }
    }

    #[track_caller]
    fn check(gaps: &Gaps, expected: [u32; 4]) {
        let found = ["written", "derived", "described", "unknown"].map(|id| gaps.of(&probe(id)));
        assert_eq!(found, expected.map(|gap| gap * SECOND));
    }

    #[test]
    fn what_is_written_counts_before_what_is_described_and_that_before_what_follows() {
        let gaps = Gaps::configured(configured(10, &[("written", 20)], &[("derived", 30)]));
        check(&gaps, [20, 30, 10, 10]);
        assert_eq!(gaps.source(&probe("derived")), GapSource::Interval);
        for id in ["written", "derived", "described"] {
            gaps.describe(&probe(id), 700 * SECOND);
        }
        check(&gaps, [20, 700, 700, 10]);
        let sources = ["written", "derived", "described", "unknown"].map(|id| gaps.source(&probe(id)).name());
        assert_eq!(sources, ["configuration", "publisher", "publisher", "default"]);
        gaps.describe(&probe("described"), 10 * SECOND);
        check(&gaps, [20, 700, 10, 10]);
        gaps.forget(&probe("derived"));
        check(&gaps, [20, 30, 10, 10]);
        assert_eq!((gaps.of_others(), gaps.longest_configured()), (10 * SECOND, 30 * SECOND));
    }

    #[test]
    fn another_configuration_leaves_what_is_described() {
        let gaps = Gaps::new(10 * SECOND);
        let handle = gaps.clone();
        gaps.describe(&probe("described"), 700 * SECOND);
        gaps.describe(&probe("written"), 700 * SECOND);
        handle.configure(configured(40, &[("written", 20)], &[]));
        check(&gaps, [20, 40, 700, 40]);
        handle.configure(configured(700, &[], &[]));
        check(&gaps, [700; 4]);
    }
}
