//! Powercap's files: one directory a zone, `intel-rapl:0` for a package and `intel-rapl:0:2` for a part of it.
//!
//! `intel-rapl-mmio:0` shows the same counters a second time and is left alone.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use kwapi_core::{Energy, MeterCounter};

use crate::driver::DriverError;

/// No machine has as many; a directory that does is not powercap.
const ZONES_MAX: usize = 1_024;
/// The counters step by microjoules; ours by millijoules.
const RESOLUTION: Energy = Energy::from_millijoules(1);

/// One counter.
#[derive(Debug)]
pub(super) struct Zone {
    /// `package-0`, `package-0.dram`, `psys`.
    pub(super) key: String,
    pub(super) kind: Kind,
    directory: PathBuf,
    range: Option<Energy>,
}

/// What a zone's counter contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Package,
    Memory,
    Platform,
    /// Cores, graphics and whatever else lies within a package.
    Within,
}

impl Kind {
    /// Whether the zones of this kind, with the others that add up, are each watt once.
    pub(super) fn adds_up(self) -> bool {
        match self {
            Self::Package | Self::Memory => true,
            Self::Platform | Self::Within => false,
        }
    }

    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Package => "a processor package, with its cores and graphics",
            Self::Memory => "memory, which its package does not contain",
            Self::Platform => "the whole platform, which contains the packages: never added to them",
            Self::Within => "a part of its package: never added to it",
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
            "{path}: permission denied; Linux lets only root read it (CVE-2020-8694): run kwapi as root, or give \
             its group the file (chgrp kwapi {path}; chmod g+r {path}), which a udev rule repeats after a reboot"
        )),
        kind => DriverError::Link(io::Error::new(kind, format!("{path}: {error}"))),
    }
}

/// All zones below `root`, packages first, each followed by its parts.
pub(super) fn find(root: &Path) -> Result<Vec<Zone>, DriverError> {
    let none = || {
        let root = root.display();
        let advice = "a virtual machine has none, a real one needs the intel_rapl_msr module";
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
            (true, "psys") => (name.to_owned(), Kind::Platform),
            (true, _) => (name.to_owned(), Kind::Package),
            (false, "dram") => (format!("{package}.{name}"), Kind::Memory),
            (false, _) => (format!("{package}.{name}"), Kind::Within),
        };
        if is_top {
            package.clone_from(&key);
        }
        let range = fs::read_to_string(directory.join("max_energy_range_uj")).ok();
        let range = range.as_deref().and_then(parse_microjoules);
        zones.push(Zone { key, kind, directory, range });
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
    zones: Vec<usize>,
    last: Vec<MeterCounter>,
    sum: Energy,
}

impl Total {
    pub(super) fn of(zones: Vec<usize>) -> Self {
        Self { zones, last: Vec::new(), sum: Energy::ZERO }
    }

    pub(super) fn zones<'a>(&'a self, zones: &'a [Zone]) -> impl Iterator<Item = &'a Zone> {
        self.zones.iter().filter_map(|index| zones.get(*index))
    }

    pub(super) fn read(&mut self, zones: &[Zone]) -> Result<MeterCounter, DriverError> {
        let now: Vec<MeterCounter> = self.zones(zones).map(Zone::read).collect::<Result<_, _>>()?;
        if let [counter] = now.as_slice() {
            return Ok(*counter);
        }
        for (before, after) in self.last.iter().zip(&now) {
            self.sum = self.sum.saturating_add(advance(before, after));
        }
        self.last = now;
        Ok(MeterCounter::new(self.sum, RESOLUTION))
    }
}

/// What one counter advanced; past its range it begins again. Two wraps look like one, so it must be read well
/// within the time the package needs for its range (11 minutes at 400 W on many).
fn advance(before: &MeterCounter, after: &MeterCounter) -> Energy {
    if after.value >= before.value {
        return after.value.saturating_sub(before.value);
    }
    let rest = after.range.map_or(Energy::ZERO, |range| range.saturating_sub(before.value));
    rest.saturating_add(after.value)
}
