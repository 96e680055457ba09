//! One sensor: the files it is read from, and what they held.

use std::path::PathBuf;

use kwapi_core::{Amperes, Energy, MeterCounter, NoReading, Volts};

use super::file::{FileTrouble, read_number, read_text};
use super::scope::SensorScope;
use crate::driver::DriverError;

/// The counters step by microjoules; ours by millijoules.
const RESOLUTION: Energy = Energy::from_millijoules(1);

/// One thing that is measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HwmonSensor {
    /// `amdgpu-pci-0300.power1`.
    pub(super) key: String,
    /// `amdgpu-pci-0300`.
    pub(super) chip: String,
    /// The chip's name for it, where it has one: `PPT`, `pin`.
    pub(super) named: Option<String>,
    pub(super) scope: SensorScope,
    /// The mean power where the chip has it, else the present one.
    pub(super) power: Option<PathBuf>,
    pub(super) energy: Option<PathBuf>,
    pub(super) voltage: Option<PathBuf>,
    pub(super) current: Option<PathBuf>,
    /// Holds `suspended` while the device sleeps; reading the others would wake it.
    pub(super) sleep: Option<PathBuf>,
}

impl HwmonSensor {
    /// What it is called where a template requires names.
    pub(super) fn label(&self) -> &str {
        self.named.as_deref().unwrap_or(&self.chip)
    }

    /// Whether power has to be made of volts and amperes, which is the driver manager's.
    pub(super) fn is_volts_and_amperes(&self) -> bool {
        self.power.is_none() && self.energy.is_none()
    }

    /// What is read, in a few words.
    pub(super) fn describe(&self) -> String {
        let files = [&self.power, &self.energy, &self.voltage, &self.current].into_iter().flatten();
        let names = files.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let names = names.collect::<Vec<_>>().join(", ");
        match &self.named {
            Some(named) => format!("{named} ({names})"),
            None => names,
        }
    }

    /// Reads its files. Blocks as long as the chip takes.
    pub(super) fn read_files(&self) -> Raw {
        if let Some(sleep) = &self.sleep
            && read_text(sleep).is_ok_and(|status| status.trim() == "suspended")
        {
            let reason = "the device is suspended; reading its sensors would wake it".to_owned();
            return Raw { power: Some(Err(FileTrouble::Silent(reason))), ..Raw::default() };
        }
        let number = |path: &Option<PathBuf>| path.as_ref().map(|path| read_number(path));
        Raw {
            power: number(&self.power),
            energy: number(&self.energy),
            voltage: number(&self.voltage),
            current: number(&self.current),
        }
    }
}

type Part = Option<Result<i64, FileTrouble>>;

/// What the files of a sensor held, in their units.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    power: Part,
    energy: Part,
    voltage: Part,
    current: Part,
}

impl Raw {
    pub(super) fn volts(&self) -> Option<Volts> {
        value(&self.voltage).map(|millivolts| Volts(millivolts / 1e3))
    }

    pub(super) fn amperes(&self) -> Option<Amperes> {
        value(&self.current).map(|milliamperes| Amperes(milliamperes / 1e3))
    }

    pub(super) fn watts(&self) -> Option<Result<f64, NoReading>> {
        self.power.as_ref().map(|power| match power {
            Ok(microwatts) => Ok(*microwatts as f64 / 1e6),
            Err(trouble) => Err(trouble.no_reading()),
        })
    }

    pub(super) fn counter(&self) -> Option<Result<MeterCounter, NoReading>> {
        self.energy.as_ref().map(|energy| {
            let microjoules = energy.as_ref().map_err(FileTrouble::no_reading)?;
            let microjoules = u64::try_from(*microjoules)
                .map_err(|_| NoReading::Implausible(format!("energy counter at {microjoules}")))?;
            Ok(MeterCounter::new(Energy::from_millijoules(microjoules / 1_000), RESOLUTION))
        })
    }

    /// Whether a file was there before and is no longer.
    pub(super) fn is_gone(&self) -> bool {
        self.troubles().any(|trouble| matches!(trouble, FileTrouble::Gone(_)))
    }

    /// Why there is no reading.
    pub(super) fn no_reading(&self) -> NoReading {
        let gone = || NoReading::NotAvailable("the sensor is gone".to_owned());
        self.troubles().next().map_or_else(gone, FileTrouble::no_reading)
    }

    /// The error of a meter that has this sensor alone, if it cannot be read.
    pub(super) fn problem(&self) -> Option<DriverError> {
        self.troubles().find_map(|trouble| trouble.clone().into_error())
    }

    fn troubles(&self) -> impl Iterator<Item = &FileTrouble> {
        let parts = [&self.power, &self.energy, &self.voltage, &self.current].into_iter().flatten();
        parts.filter_map(|part| part.as_ref().err())
    }
}

fn value(part: &Part) -> Option<f64> {
    part.as_ref()?.as_ref().ok().map(|number| *number as f64)
}
