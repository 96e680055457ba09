//! The processor's own meter (RAPL: Intel since Sandy Bridge, AMD since Zen), through Linux's powercap files.
//!
//! It counts energy and reports no watts. A package contains its cores and graphics, the platform (`psys`) contains the
//! packages, memory (`dram`) stands beside its package; none of them sees fans, disks or the power supply's loss.
//!
//! Source: Linux, *Documentation/power/powercap/powercap.rst* and *ABI/testing/sysfs-class-powercap*.

mod platform;
mod zones;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{MeterCounter, NoReading, ProbeId, Reading, Register};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{BLOCK, Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::Notes;
use platform::Machine;
use zones::{Total, Zone, ZoneKind};

/// `driver = "rapl"`. Outlets are `total` (also `1`), `package-0`, `package-0.dram`, `psys` and their like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaplConfig {
    /// Where the powercap files are.
    pub root: PathBuf,
}

impl Default for RaplConfig {
    fn default() -> Self {
        Self { root: "/sys/class/powercap".into() }
    }
}

/// How often it looks whether there are other zones: a module may be loaded, a package taken offline.
const ZONES_PAUSE: Duration = Duration::from_secs(60);
/// How long psys is compared with its packages while the session is opened. Counters step every millisecond.
const COMPARE_PAUSE: Duration = Duration::from_millis(250);

/// The counters of this machine.
#[derive(Debug)]
pub struct Rapl {
    root: PathBuf,
    outlets: Outlets,
    zones: Vec<Zone>,
    looked_at: Instant,
    /// Which zones are read for which probe.
    sources: Vec<ReadZones>,
    notes: Notes,
}

#[derive(Debug)]
struct ReadZones {
    probe: ProbeId,
    total: Reads,
    register: Arc<Register>,
    /// What was last reported, and when.
    reported: Option<(MeterCounter, Instant)>,
}

/// What is read for a probe.
#[derive(Debug)]
enum Reads {
    Zones(Total),
    /// The whole machine, where the platform has a counter of its own.
    Machine(Machine),
}

impl ReadZones {
    fn new(probe: ProbeId, total: Reads, zones: &[Zone]) -> Self {
        // The sum of several zones' advances begins with the session.
        let path = match &total {
            Reads::Zones(total) if !total.is_sum() => total.zones(zones).next().map(|zone| zone.key.clone()),
            Reads::Zones(_) | Reads::Machine(_) => None,
        };
        let is_of_session = path.is_none();
        let register = Arc::new(Register { path, is_in_host: true, is_of_session, ..Register::default() });
        Self { probe, total, register, reported: None }
    }

    /// Whether a counter that is read more often than it steps has not stepped since it was reported. It is reported
    /// now and then even so: it is there.
    fn is_standing(&mut self, counter: &MeterCounter) -> bool {
        let is_standing =
            self.reported.is_some_and(|(reported, at)| reported == *counter && at.elapsed() < BLOCK);
        if !is_standing {
            self.reported = Some((*counter, Instant::now()));
        }
        is_standing
    }
}

impl Driver for Rapl {
    const NAME: &'static str = "rapl";
    const SUMMARY: &'static str = "the processor's energy counters (RAPL) of the machine kwapi runs on";
    const KEYS: &'static [DriverKey] = &[DriverKey::new("root", "directory of Linux's powercap files")
        .or("/sys/class/powercap")
        .naming(Names::Kernel)];
    /// Counters step about once a millisecond.
    const INTERVAL_MIN: Duration = Duration::from_millis(1);
    const IS_SAMPLED: bool = true;
    type Config = RaplConfig;
    type Shared = ();

    fn check_outlets(_: &RaplConfig, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.refuse_numbers("zones", "total = \"…\", package-0 = \"…\"")
    }

    async fn open(config: &RaplConfig, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let zones = zones::find(&config.root)?;
        let sources = choose(&zones, outlets)?;
        let (root, outlets, notes) = (config.root.clone(), outlets.clone(), Notes::default());
        let mut meter = Self { root, outlets, zones, looked_at: Instant::now(), sources, notes };
        // A missing permission is reported now, not at the first reading.
        meter.first_look()?;
        if meter.sources.iter().any(|source| matches!(source.total, Reads::Machine(_))) {
            sleep(COMPARE_PAUSE).await;
            meter.compare();
        }
        Ok(meter)
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.looked_at.elapsed() >= ZONES_PAUSE {
            self.look_again();
        }
        let (mut problem, mut is_read) = (None, false);
        for source in &mut self.sources {
            let counter = match &mut source.total {
                Reads::Zones(total) => total.read(&self.zones, &mut self.notes).map(Ok),
                Reads::Machine(machine) => machine.read(&self.zones, &mut self.notes),
            };
            match counter {
                Ok(Ok(counter)) if readings.are_fast() && source.is_standing(&counter) => is_read = true,
                Ok(counter) => {
                    is_read = true;
                    let register = Some(source.register.clone());
                    let reading = counter.map(|counter| Reading {
                        counter: Some(counter),
                        register,
                        ..Reading::default()
                    });
                    readings.push(&source.probe, reading);
                }
                Err(error) => {
                    readings.push(&source.probe, Err(NoReading::NotAvailable(error.to_string())));
                    problem = problem.or(Some(error));
                }
            }
        }
        readings.end(problem, is_read)
    }

    fn findings(&self) -> Vec<Finding> {
        let used = |zone: &Zone| self.sources.iter().any(|source| source.total.uses(&self.zones, zone));
        let value = |zone: &Zone| match zone.read() {
            Ok(counter) => format!("{} J", counter.value.joules()),
            Err(error) => error.to_string(),
        };
        let machine = self.sources.iter().find_map(|source| match &source.total {
            Reads::Machine(machine) => Some(machine),
            Reads::Zones(_) => None,
        });
        let why = |zone: &Zone| match (zone.kind, machine) {
            (ZoneKind::Platform, Some(machine)) => format!("{}; {}", zone.kind.why(), machine.why()),
            _ => zone.kind.why().to_owned(),
        };
        let zones = self.zones.iter().map(|zone| Finding {
            what: zone.key.clone(),
            value: value(zone),
            is_used: used(zone) && zone.read().is_ok(),
            why: if zone.key == zone.name { why(zone) } else { format!("{}: {}", zone.name, why(zone)) },
        });
        zones.collect()
    }
}

impl Rapl {
    /// Reads everything once.
    fn first_look(&mut self) -> Result<(), DriverError> {
        let (mut is_read, mut problem) = (false, None);
        for source in &mut self.sources {
            let read = match &mut source.total {
                Reads::Zones(total) => total.read(&self.zones, &mut self.notes).map(drop),
                Reads::Machine(machine) => machine.read(&self.zones, &mut self.notes).map(drop),
            };
            match read {
                Ok(()) => is_read = true,
                Err(error @ DriverError::Refused(_)) => return Err(error),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        match problem {
            Some(error) if !is_read => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    fn compare(&mut self) {
        for source in &mut self.sources {
            if let Reads::Machine(machine) = &mut source.total {
                machine.compare(&self.zones, &mut self.notes);
            }
        }
    }

    /// Checks whether there are other zones than before. Sums start again with those there are now, as after a reset.
    fn look_again(&mut self) {
        self.looked_at = Instant::now();
        let Ok(zones) = zones::find(&self.root) else { return };
        if zones.iter().map(|zone| &zone.key).eq(self.zones.iter().map(|zone| &zone.key)) {
            return;
        }
        // What is configured and gone has no reading until it is back.
        if let Ok(sources) = choose(&zones, &self.outlets) {
            tracing::info!(
                zones = zones.len(),
                before = self.zones.len(),
                "the list of RAPL zones has changed"
            );
            (self.zones, self.sources) = (zones, sources);
        }
    }
}

impl Reads {
    fn uses(&self, zones: &[Zone], zone: &Zone) -> bool {
        match self {
            Self::Zones(total) => total.zones(zones).any(|used| used.key == zone.key),
            Self::Machine(machine) => machine.uses(zones, zone),
        }
    }
}

/// Which zones make which probe.
fn choose(zones: &[Zone], outlets: &Outlets) -> Result<Vec<ReadZones>, DriverError> {
    if outlets.selects_all() {
        // Whatever adds up: packages and memory; the platform contains them.
        let parts: Vec<_> = zones.iter().enumerate().filter(|(_, zone)| zone.kind.adds_up()).collect();
        let probes =
            outlets.probes(parts.iter().map(|(_, zone)| (zone.key.as_str(), Some(zone.name.as_str()))));
        let sources = parts.into_iter().zip(probes).filter_map(|((index, _), probe)| {
            Some(ReadZones::new(probe?, Reads::Zones(Total::of(vec![index])), zones))
        });
        return Ok(sources.collect());
    }
    let mut sources = Vec::new();
    for outlet in outlets.named() {
        let total = match outlet.key.as_str() {
            "1" | "total" => Some(total(zones)),
            key => {
                zones.iter().position(|zone| zone.key == key).map(|zone| Reads::Zones(Total::of(vec![zone])))
            }
        };
        let Some(total) = total else {
            let alike: Vec<_> =
                zones.iter().filter(|zone| zone.name == outlet.key).map(|zone| zone.key.as_str()).collect();
            if !alike.is_empty() {
                let (key, alike) = (&outlet.key, alike.join(", "));
                return Err(DriverError::Refused(format!(
                    "{key:?} matches several zones; use one of {alike}"
                )));
            }
            let known: Vec<_> = zones.iter().map(|zone| zone.key.as_str()).collect();
            let (key, known) = (&outlet.key, known.join(", "));
            return Err(DriverError::Refused(format!("unknown zone {key:?}; available: total, {known}")));
        };
        sources.push(ReadZones::new(outlet.probe.clone(), total, zones));
    }
    Ok(sources)
}

/// The whole machine, as far as RAPL sees it: the platform where there is one that counts, else packages and memory.
fn total(zones: &[Zone]) -> Reads {
    let adds_up = zones.iter().enumerate().filter(|(_, zone)| zone.kind.adds_up());
    let parts: Vec<usize> = adds_up.map(|(index, _)| index).collect();
    match zones.iter().position(|zone| zone.kind == ZoneKind::Platform) {
        Some(psys) if parts.is_empty() => Reads::Zones(Total::of(vec![psys])),
        Some(psys) => Reads::Machine(Machine::new(psys, parts)),
        None => Reads::Zones(Total::of(parts)),
    }
}

#[cfg(test)]
mod tests;
