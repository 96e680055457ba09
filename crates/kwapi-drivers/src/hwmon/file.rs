//! One file of a chip: what it is called, what is in it, and what its errors mean.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kwapi_core::NoReading;

use crate::driver::DriverError;

/// A number and a line end; the kernel writes no more.
const BYTES_MAX: u64 = 64;

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Quantity {
    /// `power1_…`, in microwatts.
    Power,
    /// `energy1_…`, in microjoules.
    Energy,
    /// `in1_…`, in millivolts.
    Voltage,
    /// `curr1_…`, in milliamperes.
    Current,
}

impl Quantity {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Energy => "energy",
            Self::Voltage => "in",
            Self::Current => "curr",
        }
    }
}

/// What a file of a sensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The present value.
    Input,
    /// The mean over an interval of the chip's.
    Average,
    /// The chip's name for the sensor.
    Label,
}

/// Splits `power12_average` into what it is about, its number and what it holds; `None` for limits, alarms and whatever
/// else a chip has.
pub(super) fn parse_name(name: &str) -> Option<(Quantity, u32, Item)> {
    let (sensor, item) = name.split_once('_')?;
    let item = match item {
        "input" => Item::Input,
        "average" => Item::Average,
        "label" => Item::Label,
        _ => return None,
    };
    let digits = sensor.trim_start_matches(|character: char| character.is_ascii_lowercase());
    let quantity = match sensor.strip_suffix(digits)? {
        "power" => Quantity::Power,
        "energy" => Quantity::Energy,
        "in" => Quantity::Voltage,
        "curr" => Quantity::Current,
        _ => return None,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Only power and energy have an average that is a value.
    let is_value = item != Item::Average || quantity == Quantity::Power;
    Some((quantity, digits.parse().ok().filter(|_| is_number && is_value)?, item))
}

/// Why a file gave no number.
#[derive(Clone, Debug)]
pub(super) enum FileTrouble {
    /// It is there and this user may not read it.
    Denied(PathBuf),
    /// It is no longer there.
    Gone(String),
    /// The chip does not answer now.
    Busy(String),
    /// The chip has no value, or its driver refuses to wake it.
    Silent(String),
    /// It is no number.
    Malformed(String),
}

impl FileTrouble {
    fn of(path: &Path, error: &io::Error) -> Self {
        let reason = format!("{}: {error}", path.display());
        match error.raw_os_error() {
            Some(libc::EACCES) => Self::Denied(path.to_owned()),
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::ENOTDIR) => Self::Gone(reason),
            Some(libc::EAGAIN | libc::EBUSY | libc::EINTR | libc::ETIMEDOUT) => Self::Busy(reason),
            _ => Self::Silent(reason),
        }
    }

    pub(super) fn no_reading(&self) -> NoReading {
        match self {
            Self::Denied(path) => NoReading::NotAvailable(denied(path)),
            Self::Gone(reason) | Self::Silent(reason) => NoReading::NotAvailable(reason.clone()),
            Self::Busy(reason) => NoReading::NotReady(reason.clone()),
            Self::Malformed(reason) => NoReading::Implausible(reason.clone()),
        }
    }

    /// The error of a meter none of whose sensors can be read; none where the session is as good as before.
    pub(super) fn into_error(self) -> Option<DriverError> {
        match self {
            Self::Denied(path) => Some(DriverError::Refused(denied(&path))),
            Self::Gone(reason) => Some(DriverError::link(reason)),
            Self::Busy(reason) => Some(DriverError::Busy(reason)),
            Self::Malformed(input) => Some(DriverError::Malformed { what: "hwmon value", input }),
            Self::Silent(_) => None,
        }
    }
}

fn denied(path: &Path) -> String {
    let path = path.display();
    format!(
        "{path}: permission denied; run kwapi as root, or grant its group access (chgrp kwapi {path}; chmod g+r \
         {path}), with a udev rule to survive reboots"
    )
}

/// The whole number in a file.
pub(super) fn read_number(path: &Path) -> Result<i64, FileTrouble> {
    let text = read_text(path).map_err(|error| FileTrouble::of(path, &error))?;
    parse_number(&text).ok_or_else(|| {
        let input: String = text.trim().chars().take(40).collect();
        FileTrouble::Malformed(format!("{}: {input:?}", path.display()))
    })
}

/// The beginning of a file.
pub(super) fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The beginning of a file, as text.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    read_start(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A whole number with a line end. A counter beyond 2⁶³ is none.
pub(super) fn parse_number(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}
