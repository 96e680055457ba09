//! The counters of an HPE Cray node's controller, which Linux shows there as files: power and energy of the node and of its
//! processors, memory and accelerators, ten times a second, each with the controller's stamp.
//!
//! Source: HPE Cray, *XC Series Power Management and SMW/NC Administration Guide* (S-0043), "Node power and energy
//! counters": `265 W 1414013342123456 us`.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Register};
use serde::Deserialize;
use tokio::time::Instant;

use crate::blocking::OneThread;
use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::{Notes, power_and_counter};
use file::{CounterTrouble, CounterValue, NODE, NodePart, Said, parts};

/// Where Linux shows the counters.
const ROOT: &str = "/sys/cray/pm_counters";
/// How often it looks whether there are other counters than before.
const PARTS_PAUSE: Duration = Duration::from_secs(60);

/// `driver = "pm_counters"`. Outlets are `total` (also `1`, the node), `cpu`, `cpu0`, `memory`, `accel0` and their like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PmCountersConfig {
    /// Where the counters are.
    pub root: PathBuf,
}

impl Default for PmCountersConfig {
    fn default() -> Self {
        Self { root: ROOT.into() }
    }
}

/// The counters of this node.
#[derive(Debug)]
pub struct PmCounters {
    root: PathBuf,
    outlets: Outlets,
    thread: Arc<OneThread>,
    parts: Arc<Vec<NodePart>>,
    sources: Vec<ReadPart>,
    looked_at: Instant,
    notes: Notes,
}

/// Which part is read for a probe.
#[derive(Debug)]
struct ReadPart {
    probe: ProbeId,
    part: usize,
    register: Arc<Register>,
    last: String,
}

impl Driver for PmCounters {
    const NAME: &'static str = "pm_counters";
    const SUMMARY: &'static str = "the power and energy counters of the HPE Cray node kwapi runs on";
    const KEYS: &'static [DriverKey] =
        &[DriverKey::new("root", "where Linux shows the counters").or(ROOT).naming(Names::Kernel)];
    type Config = PmCountersConfig;
    type Shared = OneThread;

    fn check_outlets(_: &PmCountersConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.refuse_numbers("counters", "total = \"…\", accel0 = \"…\"")
    }

    async fn open(
        config: &PmCountersConfig,
        outlets: &Outlets,
        thread: &Arc<OneThread>,
    ) -> Result<Self, DriverError> {
        let root = config.root.clone();
        let parts = thread.run("kwapi-cray", move || parts(&root)).await??;
        let sources = choose(&parts, outlets)?;
        let mut meter = Self {
            root: config.root.clone(),
            outlets: outlets.clone(),
            thread: Arc::clone(thread),
            parts: Arc::new(parts),
            sources,
            looked_at: Instant::now(),
            notes: Notes::default(),
        };
        // A missing permission is told now, not at the first reading.
        match meter.read(&mut Readings::default()).await {
            Err(error @ DriverError::Refused(_)) => Err(error),
            Ok(()) | Err(_) => Ok(meter),
        }
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.looked_at.elapsed() >= PARTS_PAUSE {
            self.look_again().await?;
        }
        let parts = Arc::clone(&self.parts);
        let wanted: Vec<usize> = self.sources.iter().map(|source| source.part).collect();
        let read = move || -> Vec<Option<Said>> {
            wanted.iter().map(|index| parts.get(*index).map(NodePart::read)).collect()
        };
        let said = self.thread.run("kwapi-cray", read).await?;
        let (mut problem, mut is_read) = (None, false);
        for (source, said) in self.sources.iter_mut().zip(said) {
            let (Some(part), Some(said)) = (self.parts.get(source.part), said) else { continue };
            problem = problem.or_else(|| said.problem());
            let reading = said.reading(&part.key, &source.register, &mut self.notes);
            is_read |= reading.is_ok();
            source.last = reading.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            readings.push(&source.probe, reading);
        }
        readings.end(problem.map(CounterTrouble::into_error), is_read)
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |(index, part): (usize, &NodePart)| {
            let source = self.sources.iter().find(|source| source.part == index);
            Finding {
                what: part.key.clone(),
                value: source.map_or_else(|| "not read".to_owned(), |source| source.last.clone()),
                is_used: source.is_some(),
                why: part.why().to_owned(),
            }
        };
        self.parts.iter().enumerate().map(finding).chain(self.notes.findings()).collect()
    }
}

impl PmCounters {
    /// Looks whether there are other counters. What is configured and gone has no reading until it is back.
    async fn look_again(&mut self) -> Result<(), DriverError> {
        self.looked_at = Instant::now();
        let root = self.root.clone();
        let Ok(parts) = self.thread.run("kwapi-cray", move || parts(&root)).await? else { return Ok(()) };
        if parts == *self.parts {
            return Ok(());
        }
        if let Ok(sources) = choose(&parts, &self.outlets) {
            tracing::info!(
                counters = parts.len(),
                before = self.parts.len(),
                "the list of counters has changed"
            );
            (self.parts, self.sources) = (Arc::new(parts), sources);
        }
        Ok(())
    }
}

/// Which part is read for which probe. A template takes the parts of the node that are each watt once; the node itself
/// where it shows no parts.
fn choose(parts: &[NodePart], outlets: &Outlets) -> Result<Vec<ReadPart>, DriverError> {
    let source = |probe: ProbeId, part: usize| {
        let path = parts.get(part).map(|part| part.key.clone());
        // Whether the controller goes on counting while the node restarts is not said.
        let register = Arc::new(Register { path, is_in_host: true, ..Register::default() });
        ReadPart { probe, part, register, last: String::new() }
    };
    if outlets.wants_all() {
        let counted = file::counted(parts);
        let listed =
            counted.iter().filter_map(|index| parts.get(*index)).map(|part| (part.key.as_str(), None));
        let probes = outlets.probes(listed);
        return Ok(counted
            .iter()
            .zip(probes)
            .filter_map(|(index, probe)| Some(source(probe?, *index)))
            .collect());
    }
    let known = || parts.iter().map(|part| part.key.as_str()).collect::<Vec<_>>().join(", ");
    let mut sources = Vec::new();
    for outlet in outlets.named() {
        let key = if outlet.key == "1" { NODE } else { outlet.key.as_str() };
        let Some(part) = parts.iter().position(|part| part.key == key) else {
            return Err(DriverError::NothingToRead(format!(
                "unknown counter {key:?}; available: {}",
                known()
            )));
        };
        sources.push(source(outlet.probe.clone(), part));
    }
    Ok(sources)
}

impl Said {
    /// Why there is nothing, if there is.
    fn problem(&self) -> Option<CounterTrouble> {
        [&self.power, &self.energy].into_iter().flatten().find_map(|said| said.as_ref().err().cloned())
    }

    /// In SI units, at the later of its stamps. A file that cannot be read costs itself alone.
    fn reading(&self, key: &str, register: &Arc<Register>, notes: &mut Notes) -> Result<Reading, NoReading> {
        let value = |said: &Result<CounterValue, CounterTrouble>| {
            said.as_ref().copied().map_err(CounterTrouble::no_reading)
        };
        let (power, energy) = (self.power.as_ref().map(value), self.energy.as_ref().map(value));
        let stamps = [&power, &energy].into_iter().flatten().flatten().filter_map(|value| value.stamp);
        let measured_at = stamps.max();
        let absent = || NoReading::NotAvailable("the counter is gone".to_owned());
        let watts = power.map(|power| power.map(|value| value.count));
        let counter = energy.map(|energy| energy.and_then(CounterValue::counter));
        let (power, counter) = power_and_counter(key, watts, counter, absent, notes)?;
        let register = counter.map(|_| Arc::clone(register));
        Ok(Reading { power, counter, register, measured_at, ..Reading::default() })
    }
}

#[cfg(test)]
mod tests;
