//! Powercap's files: one directory a zone, `intel-rapl:0` for a package and `intel-rapl:0:2` for a part of it.
//!
//! `intel-rapl-mmio:0` shows the same counters a second time and is left alone.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kwapi_core::{Energy, MeterCounter};
use tokio::time::Instant;

use crate::driver::DriverError;
use crate::parts::Notes;

/// No machine has as many; a directory that does is not powercap.
const ZONES_MAX: usize = 1_024;
/// The counters step by microjoules; ours by millijoules.
const RESOLUTION: Energy = Energy::from_millijoules(1);

/// No package, memory or platform draws more.
const ZONE_WATTS_MAX: f64 = 3_000.0;

/// One counter.
#[derive(Debug)]
pub(super) struct Zone {
    /// `package-0`, `package-0.dram`, `psys`; by its directory (`intel-rapl:0:1`) where another is called the same.
    pub(super) key: String,
    /// `package-0`, `package-0.dram`, `psys`.
    pub(super) name: String,
    pub(super) kind: ZoneKind,
    directory: PathBuf,
    range: Option<Energy>,
}

/// What a zone's counter contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneKind {
    Package,
    Memory,
    Platform,
    /// Cores, graphics and whatever else lies within a package.
    Within,
}

impl ZoneKind {
    /// Whether the zones of this kind, with the others that add up, are each watt once.
    pub(super) fn adds_up(self) -> bool {
        match self {
            Self::Package | Self::Memory => true,
            Self::Platform | Self::Within => false,
        }
    }

    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Package => "a processor package, including cores and graphics",
            Self::Memory => "memory, not included in its package",
            Self::Platform => "the whole platform, including the packages; never added to them",
            Self::Within => "part of its package; never added to it",
        }
    }
}

impl Zone {
    /// The counter as it stands.
    pub(super) fn read(&self) -> Result<MeterCounter, DriverError> {
        let path = self.directory.join("energy_uj");
        let text = fs::read_to_string(&path).map_err(|error| cannot_read(&path, &error))?;
        let value = parse_microjoules(&text).ok_or_else(|| DriverError::Malformed {
            what: "energy_uj",
            input: text.chars().take(100).collect(),
        })?;
        Ok(MeterCounter { range: self.range, ..MeterCounter::new(value, RESOLUTION) })
    }
}

pub(super) fn cannot_read(path: &Path, error: &io::Error) -> DriverError {
    let path = path.display();
    match error.kind() {
        ErrorKind::PermissionDenied => DriverError::Refused(format!(
            "{path}: permission denied; Linux restricts it to root (CVE-2020-8694): run kwapi as root, or grant its group access (chgrp kwapi {path}; chmod g+r {path}), with a udev rule to survive reboots"
        )),
        kind => DriverError::Link(io::Error::new(kind, format!("{path}: {error}"))),
    }
}

/// All zones below `root`, packages first, each followed by its parts.
pub(super) fn find(root: &Path) -> Result<Vec<Zone>, DriverError> {
    let none = || {
        let root = root.display();
        let advice = "virtual machines have none; on real hardware load the intel_rapl_msr module";
        DriverError::Refused(format!("no RAPL counters in {root}: {advice}"))
    };
    let entries = fs::read_dir(root).map_err(|_| none())?;
    let names = entries.take(ZONES_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<Vec<u32>> = names.filter_map(|name| parse_zone(&name)).collect();
    names.sort();
    let mut zones: Vec<Zone> = Vec::new();
    let mut package = String::new();
    for indices in names {
        let path: Vec<_> = indices.iter().map(u32::to_string).collect();
        let directory = root.join(format!("intel-rapl:{}", path.join(":")));
        let Ok(name) = fs::read_to_string(directory.join("name")) else { continue };
        let name = name.trim();
        let is_top = indices.len() == 1;
        let (key, kind) = match (is_top, name) {
            (true, "psys") => (name.to_owned(), ZoneKind::Platform),
            (true, _) => (name.to_owned(), ZoneKind::Package),
            (false, "dram") => (format!("{package}.{name}"), ZoneKind::Memory),
            (false, _) => (format!("{package}.{name}"), ZoneKind::Within),
        };
        if is_top {
            package.clone_from(&key);
        }
        let range = fs::read_to_string(directory.join("max_energy_range_uj")).ok();
        let range = range.as_deref().and_then(parse_microjoules);
        zones.push(Zone { name: key.clone(), key, kind, directory, range });
    }
    let names: Vec<String> = zones.iter().map(|zone| zone.name.clone()).collect();
    for zone in &mut zones {
        if names.iter().filter(|name| **name == zone.name).count() > 1
            && let Some(directory) = zone.directory.file_name()
        {
            zone.key = directory.to_string_lossy().into_owned();
        }
    }
    if zones.is_empty() { Err(none()) } else { Ok(zones) }
}

/// `intel-rapl:0:2` as 0 and 2; at most two levels.
fn parse_zone(name: &str) -> Option<Vec<u32>> {
    let indices: Result<Vec<u32>, _> = name.strip_prefix("intel-rapl:")?.split(':').map(str::parse).collect();
    indices.ok().filter(|indices| indices.len() <= 2)
}

/// Whole microjoules, rounded down to our millijoules.
pub(super) fn parse_microjoules(text: &str) -> Option<Energy> {
    text.trim().parse::<u64>().ok().map(|microjoules| Energy::from_millijoules(microjoules / 1000))
}

/// One zone, or the sum of several since the session began: counters that wrap each at its own time have no sum
/// but that of their advances.
#[derive(Debug)]
pub(super) struct Total {
    /// Each zone with its last value, and when.
    zones: Vec<(usize, Option<(MeterCounter, Instant)>)>,
    sum: Energy,
}

impl Total {
    pub(super) fn of(zones: Vec<usize>) -> Self {
        Self { zones: zones.into_iter().map(|zone| (zone, None)).collect(), sum: Energy::ZERO }
    }

    /// Whether it is the sum of several zones.
    pub(super) fn is_sum(&self) -> bool {
        self.zones.len() > 1
    }

    pub(super) fn zones<'a>(&'a self, zones: &'a [Zone]) -> impl Iterator<Item = &'a Zone> {
        self.zones.iter().filter_map(|(index, _)| zones.get(*index))
    }

    /// Reads what it consists of. A part that cannot be read is left out and noted: the rest is less than the whole,
    /// and better than nothing.
    ///
    /// # Errors
    /// When no part can be read: why not the first.
    pub(super) fn read(&mut self, zones: &[Zone], notes: &mut Notes) -> Result<MeterCounter, DriverError> {
        let is_sum = self.is_sum();
        let (mut single, mut problem) = (None, None);
        for (index, last) in &mut self.zones {
            let Some(zone) = zones.get(*index) else { continue };
            let now = match zone.read() {
                Ok(now) => now,
                Err(error) => {
                    if is_sum {
                        notes.add("rapl", &zone.key, error.to_string());
                    }
                    problem = problem.or(Some(error));
                    continue;
                }
            };
            notes.clear("rapl", &zone.key);
            let at = Instant::now();
            if let Some((before, since)) = last.replace((now, at)) {
                self.sum =
                    self.sum.saturating_add(advance(&before, &now, at.saturating_duration_since(since)));
            }
            single = Some(now);
        }
        match (single, problem) {
            (Some(_), _) if is_sum => Ok(MeterCounter::new(self.sum, RESOLUTION)),
            (Some(counter), _) => Ok(counter),
            (None, Some(error)) => Err(error),
            (None, None) => Err(DriverError::link("no RAPL zone is left")),
        }
    }

    /// What it has advanced since it was first read.
    pub(super) fn advanced(&self) -> Energy {
        self.sum
    }
}

/// What one counter advanced in `elapsed`; past its range it starts again. One that fell and would have needed more than
/// any zone draws was set back (a suspend, AMD's drivers): it continues from where it stands. Two wraps look like one, so
/// it must be read well within the time the package needs for its range (11 minutes at 400 W on many).
fn advance(before: &MeterCounter, after: &MeterCounter, elapsed: Duration) -> Energy {
    if after.value >= before.value {
        return after.value.saturating_sub(before.value);
    }
    let Some(range) = after.range else { return Energy::ZERO };
    let wrapped = range.saturating_sub(before.value).saturating_add(after.value);
    if wrapped.joules() <= ZONE_WATTS_MAX * elapsed.as_secs_f64() { wrapped } else { Energy::ZERO }
}
