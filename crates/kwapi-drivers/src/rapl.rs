//! The processor's own meter (RAPL: Intel since Sandy Bridge, AMD since Zen), through Linux's powercap files.
//!
//! It counts energy and says no watts. A package contains its cores and graphics, the platform (`psys`) contains the
//! packages, memory (`dram`) stands beside its package; none of them sees fans, disks or the power supply's loss.
//!
//! Source: Linux, *Documentation/power/powercap/powercap.rst* and *ABI/testing/sysfs-class-powercap*.

mod zones;

use std::path::PathBuf;
use std::sync::Arc;

use kwapi_core::{ProbeId, Reading, Register};
use serde::Deserialize;

use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use zones::{Kind, Total, Zone};

/// `driver = "rapl"`. Outlets are `total` (also `1`), `package-0`, `package-0.dram`, `psys` and their like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the powercap files are.
    pub root: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self { root: "/sys/class/powercap".into() }
    }
}

/// The counters of this machine.
#[derive(Debug)]
pub struct Rapl {
    zones: Vec<Zone>,
    /// Which zones are read for which probe.
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    probe: ProbeId,
    total: Total,
    register: Arc<Register>,
}

impl Source {
    fn new(probe: ProbeId, zones: Vec<usize>) -> Self {
        let is_of_session = zones.len() > 1; // The sum of their advances begins with the session.
        let register = Arc::new(Register { is_in_host: true, is_of_session, ..Register::default() });
        Self { probe, total: Total::of(zones), register }
    }
}

impl Driver for Rapl {
    const NAME: &'static str = "rapl";
    const SUMMARY: &'static str = "the processor's own energy counters (RAPL), of the machine kwapi runs on";
    type Config = Config;
    type Shared = ();

    fn check_outlets(_: &Config, outlets: &Outlets) -> Result<(), String> {
        let is_position = |key: &str| key != "1" && key.parse::<u32>().is_ok();
        match outlets.named().iter().find(|outlet| is_position(&outlet.key)) {
            Some(outlet) => Err(format!(
                "outlet {:?}: zones have names, not numbers; write probes = {{ total = \"…\", package-0 = \"…\" }}",
                outlet.key
            )),
            None => Ok(()),
        }
    }

    async fn open(config: &Config, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let zones = zones::find(&config.root)?;
        let sources = choose(&zones, outlets)?;
        for source in &sources {
            for zone in source.total.zones(&zones) {
                zone.read()?; // A missing permission is told now, not at the first reading.
            }
        }
        Ok(Self { zones, sources })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        for Source { probe, total, register } in &mut self.sources {
            let (counter, register) = (Some(total.read(&self.zones)?), Some(register.clone()));
            readings.push(probe, Ok(Reading { counter, register, ..Reading::default() }));
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let used = |zone: &Zone| {
            self.sources.iter().any(|source| source.total.zones(&self.zones).any(|used| used.key == zone.key))
        };
        let value = |zone: &Zone| match zone.read() {
            Ok(counter) => format!("{} J", counter.value.joules()),
            Err(error) => error.to_string(),
        };
        self.zones
            .iter()
            .map(|zone| Finding {
                what: zone.key.clone(),
                value: value(zone),
                is_used: used(zone),
                why: zone.kind.why().to_owned(),
            })
            .collect()
    }
}

/// Which zones make which probe.
fn choose(zones: &[Zone], outlets: &Outlets) -> Result<Vec<Source>, DriverError> {
    if outlets.wants_all() {
        // Whatever adds up: packages and memory; the platform contains them.
        let parts = zones.iter().enumerate().filter(|(_, zone)| zone.kind.adds_up());
        let sources =
            parts.filter_map(|(index, zone)| Some(Source::new(outlets.probe(&zone.key, None)?, vec![index])));
        return Ok(sources.collect());
    }
    let mut sources = Vec::new();
    for outlet in outlets.named() {
        let indices: Vec<usize> = match outlet.key.as_str() {
            "1" | "total" => total(zones),
            key => zones.iter().position(|zone| zone.key == key).into_iter().collect(),
        };
        if indices.is_empty() {
            let known: Vec<_> = zones.iter().map(|zone| zone.key.as_str()).collect();
            let (key, known) = (&outlet.key, known.join(", "));
            return Err(DriverError::Refused(format!("no zone {key:?} here; there are total, {known}")));
        }
        sources.push(Source::new(outlet.probe.clone(), indices));
    }
    Ok(sources)
}

/// The whole machine, as far as RAPL sees it: the platform where there is one, else packages and memory.
fn total(zones: &[Zone]) -> Vec<usize> {
    if let Some(psys) = zones.iter().position(|zone| zone.kind == Kind::Platform) {
        return vec![psys];
    }
    zones.iter().enumerate().filter(|(_, zone)| zone.kind.adds_up()).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests;
