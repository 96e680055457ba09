//! One pair of files, `accel0_power` and `accel0_energy`: which there are, and what is in them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use kwapi_core::{Energy, MeterCounter, NoReading, Timestamp};

use crate::driver::DriverError;
use crate::value::unix_seconds;

/// The key of the whole node, whose files are `power` and `energy`.
pub(super) const NODE: &str = "total";
/// A number, its unit and a stamp; the kernel writes no more.
const BYTES_MAX: u64 = 128;
/// No node has more files there.
const FILES_MAX: usize = 1_024;

/// Something whose power or energy is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodePart {
    /// `total`, `cpu`, `memory`, `accel0`.
    pub(super) key: String,
    power: Option<PathBuf>,
    energy: Option<PathBuf>,
}

/// Everything that is counted below `root`, the node first.
pub(super) fn parts(root: &Path) -> Result<Vec<NodePart>, DriverError> {
    let none = || {
        let root = root.display();
        DriverError::NothingToRead(format!(
            "no power counters in {root}: HPE Cray nodes have them, and no other machine"
        ))
    };
    let entries = fs::read_dir(root).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => DriverError::Refused(denied(root)),
        _ => none(),
    })?;
    let names = entries.take(FILES_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut parts: Vec<NodePart> = Vec::new();
    for name in names {
        let Some((key, is_power)) = parse_name(&name) else { continue };
        let place = parts.iter().position(|part| part.key == key).unwrap_or_else(|| {
            parts.push(NodePart { key: key.to_owned(), power: None, energy: None });
            parts.len() - 1
        });
        let Some(part) = parts.get_mut(place) else { continue };
        *(if is_power { &mut part.power } else { &mut part.energy }) = Some(root.join(&name));
    }
    parts.sort_by(|left, right| (left.key != NODE, &left.key).cmp(&(right.key != NODE, &right.key)));
    if parts.is_empty() { Err(none()) } else { Ok(parts) }
}

/// What a file is about, and whether it is power; `None` for limits, temperatures and what the controller reports of
/// itself.
pub(super) fn parse_name(name: &str) -> Option<(&str, bool)> {
    match name {
        "power" => return Some((NODE, true)),
        "energy" => return Some((NODE, false)),
        _ => {}
    }
    let (key, is_power) = match (name.strip_suffix("_power"), name.strip_suffix("_energy")) {
        (Some(key), _) => (key, true),
        (None, Some(key)) => (key, false),
        (None, None) => return None,
    };
    let is_key =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (is_key && key != NODE).then_some((key, is_power))
}

/// The parts that are each watt once: `cpu0` and its like rather than `cpu`, which is their sum; the node where there are
/// none.
pub(super) fn counted(parts: &[NodePart]) -> Vec<usize> {
    let is_sum = |part: &NodePart| {
        let numbered = |other: &NodePart| {
            let number = other.key.strip_prefix(part.key.as_str());
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        parts.iter().any(numbered)
    };
    let parts_of_node = parts.iter().enumerate().filter(|(_, part)| part.key != NODE && !is_sum(part));
    let counted: Vec<usize> = parts_of_node.map(|(index, _)| index).collect();
    if counted.is_empty() { (0..parts.len().min(1)).collect() } else { counted }
}

impl NodePart {
    /// What it contains.
    pub(super) fn contents(&self) -> &'static str {
        match self.key.as_str() {
            NODE => "the whole node, including the other counters; never added to them",
            key if key.starts_with("accel") => "an accelerator, or all of them where it has no number",
            key if key.starts_with("cpu") => "a processor, or all of them where it has no number",
            "memory" => "memory",
            _ => "part of the node",
        }
    }

    /// Reads its files. Blocks as long as the kernel takes.
    pub(super) fn read_files(&self) -> PartValues {
        let read = |path: &Option<PathBuf>, unit| path.as_ref().map(|path| read(path, unit));
        PartValues { power: read(&self.power, "W"), energy: read(&self.energy, "J") }
    }
}

/// What the two files of a part held.
#[derive(Debug)]
pub(crate) struct PartValues {
    pub(super) power: Option<Result<CounterValue, CounterTrouble>>,
    pub(super) energy: Option<Result<CounterValue, CounterTrouble>>,
}

/// A number of the file's unit, and when it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CounterValue {
    pub(super) count: f64,
    pub(super) stamp: Option<Timestamp>,
}

impl CounterValue {
    /// The counter, which counts whole joules.
    pub(super) fn counter(self) -> Result<MeterCounter, NoReading> {
        let implausible = || NoReading::Implausible(format!("energy counter at {} J", self.count));
        let value = Energy::from_joules(self.count).ok_or_else(implausible)?;
        Ok(MeterCounter::new(value, Energy::from_millijoules(1_000)))
    }
}

/// Why a file gave no number.
#[derive(Clone, Debug)]
pub(super) enum CounterTrouble {
    Denied(PathBuf),
    Gone(String),
    Malformed(String),
}

impl CounterTrouble {
    pub(super) fn no_reading(&self) -> NoReading {
        match self {
            Self::Denied(path) => NoReading::NotAvailable(denied(path)),
            Self::Gone(reason) => NoReading::NotAvailable(reason.clone()),
            Self::Malformed(reason) => NoReading::Implausible(reason.clone()),
        }
    }

    pub(super) fn into_error(self) -> DriverError {
        match self {
            Self::Denied(path) => DriverError::Refused(denied(&path)),
            Self::Gone(reason) => DriverError::link(reason),
            Self::Malformed(input) => DriverError::Malformed { what: "pm_counters", input },
        }
    }
}

fn denied(path: &Path) -> String {
    format!("{}: permission denied; run kwapi as a user that may read it", path.display())
}

fn read(path: &Path, unit: &str) -> Result<CounterValue, CounterTrouble> {
    let text = read_text(path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => CounterTrouble::Denied(path.to_owned()),
        _ => CounterTrouble::Gone(format!("{}: {error}", path.display())),
    })?;
    parse(&text, unit).ok_or_else(|| {
        let input: String = text.trim().chars().take(60).collect();
        CounterTrouble::Malformed(format!("{}: {input:?}", path.display()))
    })
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `265 W 1414013342123456 us`: a number of `unit`, and the controller's stamp. One without a stamp is of now; one with a
/// stamp that is none is nothing.
pub(super) fn parse(text: &str, unit: &str) -> Option<CounterValue> {
    let mut words = text.split_whitespace();
    let count: f64 = words.next()?.parse().ok().filter(|count: &f64| count.is_finite())?;
    if words.next()? != unit {
        return None;
    }
    let stamp = match (words.next(), words.next(), words.next()) {
        (None, None, None) => None,
        (Some(micros), Some("us"), None) => Some(stamp(micros)?),
        _ => return None,
    };
    Some(CounterValue { count, stamp })
}

fn stamp(micros: &str) -> Option<Timestamp> {
    let micros: u64 = micros.parse().ok()?;
    unix_seconds(micros as f64 / 1e6)?;
    Some(Timestamp::from_micros(micros))
}
