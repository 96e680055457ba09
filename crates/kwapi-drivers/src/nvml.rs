//! NVIDIA GPUs of the machine kwapi runs on, by the library of NVIDIA's driver (NVML).
//!
//! A GPU since Volta counts its energy in a register, by millijoules, in steps of a tenth of a second; it has the last word,
//! and the watts fill in. A GPU that is divided (MIG) is one meter: its parts share the board's.
//!
//! Source: *NVML API Reference Guide*; read on an H100 (driver 580): the register agrees with the integrated power to
//! 0.2 %, while the mean that `nvmlDeviceGetPowerUsage` gives is half as much again for a second after a load ends.

mod gpu;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Energy, MeterCounter, NoReading, ProbeId, Reading, Register};
use nvml_sys::{Error, ErrorCode, GpuSample};
use serde::Deserialize;
use tokio::time::Instant;

use crate::blocking::OneThread;
use crate::config::DriverKey;
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::Outlets;
use crate::parts::{ListedProbes, Notes, power_and_counter};
use gpu::{Gpu, Loaded};

/// How often GPUs that are lost or were never opened are looked for again.
const LOST_PAUSE: Duration = Duration::from_secs(60);
/// The register counts millijoules.
const RESOLUTION: Energy = Energy::from_millijoules(1);

/// `driver = "nvml"`. Outlets are `nvidia-pci-3b00` (by place), `GPU-…` (by UUID), `gpu0` (by number, as `nvidia-smi`
/// counts), a board's serial number, or by position from 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NvmlConfig {
    /// The library: a name for the loader, or a path.
    pub library: PathBuf,
}

impl Default for NvmlConfig {
    fn default() -> Self {
        Self { library: nvml_sys::LIBRARY.into() }
    }
}

/// The GPUs of this machine.
#[derive(Debug)]
pub struct Nvml {
    library: PathBuf,
    outlets: Outlets,
    thread: Arc<OneThread>,
    loaded: Arc<Loaded>,
    sources: Vec<ReadGpu>,
    /// When one was found lost; after a while all are reopened.
    lost_at: Option<Instant>,
    notes: Notes,
    listed: ListedProbes,
}

/// Which GPU is read for a probe.
#[derive(Debug)]
struct ReadGpu {
    probe: ProbeId,
    /// Its outlet, and where it is among those found now.
    key: String,
    gpu: Option<usize>,
    register: Arc<Register>,
    last: Result<Reading, NoReading>,
}

impl Driver for Nvml {
    const NAME: &'static str = "nvml";
    const SUMMARY: &'static str = "NVIDIA GPUs of the machine kwapi runs on";
    const KEYS: &'static [DriverKey] =
        &[DriverKey::new("library", "NVIDIA's management library, a name or a path").or(nvml_sys::LIBRARY)];
    type Config = NvmlConfig;
    type Shared = OneThread;

    async fn open(
        config: &NvmlConfig,
        outlets: &Outlets,
        thread: &Arc<OneThread>,
    ) -> Result<Self, DriverError> {
        let name = config.library.to_string_lossy().into_owned();
        let loaded = thread
            .run("kwapi-nvml", move || Loaded::open(&name))
            .await?
            .map_err(|error| into_error(&error))?;
        let sources = choose(&loaded.gpus, outlets);
        let known = || {
            let gpus = loaded.gpus.iter().map(|gpu| format!("{} ({})", gpu.key, gpu.uuid));
            gpus.collect::<Vec<_>>().join(", ")
        };
        if let Some(missing) = sources.iter().find(|source| source.gpu.is_none()) {
            let key = &missing.key;
            return Err(DriverError::NothingToRead(format!("unknown GPU {key:?}; available: {}", known())));
        }
        if sources.is_empty() {
            let why = "the NVIDIA driver reports no GPU";
            return Err(DriverError::NothingToRead(why.to_owned()));
        }
        Ok(Self {
            library: config.library.clone(),
            outlets: outlets.clone(),
            thread: Arc::clone(thread),
            loaded: Arc::new(loaded),
            sources,
            lost_at: None,
            notes: Notes::default(),
            listed: ListedProbes::default(),
        })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.lost_at.is_some_and(|since| since.elapsed() >= LOST_PAUSE) {
            self.open_again().await?;
        }
        let (loaded, wanted) = (Arc::clone(&self.loaded), self.sources.iter());
        let wanted: Vec<Option<usize>> = wanted.map(|source| source.gpu).collect();
        let sample = move |index: Option<usize>| Some(loaded.gpus.get(index?)?.sample());
        let samples = move || wanted.into_iter().map(sample).collect::<Vec<_>>();
        let samples = self.thread.run("kwapi-nvml", samples).await?;
        let (mut problem, mut is_read) = (None, false);
        for (source, sample) in self.sources.iter_mut().zip(samples) {
            let gpu = source.gpu.and_then(|index| self.loaded.gpus.get(index));
            let reading = match (gpu, sample) {
                (Some(gpu), Some(sample)) => {
                    if let Some(error) = lost(&sample) {
                        self.lost_at = self.lost_at.or_else(|| Some(Instant::now()));
                        problem = problem.or_else(|| Some(into_error(&error)));
                    }
                    reading(gpu, sample, &source.register, &mut self.notes)
                }
                _ => Err(NoReading::NotAvailable(format!(
                    "GPU {:?} is not reported by the driver",
                    source.key
                ))),
            };
            is_read |= reading.is_ok();
            source.last.clone_from(&reading);
            readings.push(&source.probe, reading);
        }
        if let (Some(error), false) = (problem, is_read) {
            _ = readings.drain().count();
            return Err(error);
        }
        if self.outlets.selects_all() {
            self.listed.complete(readings);
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let driver = Finding {
            what: "driver".to_owned(),
            value: self.loaded.driver.clone(),
            is_used: true,
            why: "energy registers restart at 0 when it is loaded".to_owned(),
        };
        let gpus = self.loaded.gpus.iter().enumerate().map(|(index, gpu)| {
            let source = self.sources.iter().find(|source| source.gpu == Some(index));
            let value = source.map(|source| match &source.last {
                Ok(reading) => reading.to_string(),
                Err(no_reading) => no_reading.to_string(),
            });
            let counts = source.and_then(|source| Some(source.last.as_ref().ok()?.counter.is_some()));
            let source_of = match counts {
                Some(true) => "its energy register takes precedence",
                Some(false) => "no energy register; power only",
                None => "not read",
            };
            Finding {
                what: gpu.key.clone(),
                value: value.unwrap_or_else(|| "not read".to_owned()),
                is_used: source.is_some(),
                why: format!("{}; {source_of}", gpu.describe()),
            }
        });
        let missing = self.loaded.missing.iter().map(|(index, why)| Finding {
            what: format!("gpu{index}"),
            value: "ignored".to_owned(),
            is_used: false,
            why: why.to_string(),
        });
        std::iter::once(driver).chain(gpus).chain(missing).chain(self.notes.findings()).collect()
    }
}

impl Nvml {
    /// Shuts the library down and reopens it: it finds a GPU again that was lost only so.
    async fn open_again(&mut self) -> Result<(), DriverError> {
        let before = std::mem::take(&mut self.loaded);
        let name = self.library.to_string_lossy().into_owned();
        let open = move || {
            if let Some(before) = Arc::into_inner(before) {
                before.close();
            }
            Loaded::open(&name)
        };
        let loaded = self.thread.run("kwapi-nvml", open).await?.map_err(|error| into_error(&error))?;
        self.sources = choose(&loaded.gpus, &self.outlets);
        let is_complete = loaded.missing.is_empty() && self.sources.iter().all(|source| source.gpu.is_some());
        self.lost_at = (!is_complete).then(Instant::now);
        self.loaded = Arc::new(loaded);
        Ok(())
    }
}

/// What a GPU measured, in SI units.
fn reading(
    gpu: &Gpu,
    sample: GpuSample,
    register: &Arc<Register>,
    notes: &mut Notes,
) -> Result<Reading, NoReading> {
    let GpuSample { energy_millijoules, power_milliwatts } = sample;
    let power = of(power_milliwatts.map(|milliwatts| milliwatts as f64 / 1e3));
    let counter = energy_millijoules
        .map(|millijoules| MeterCounter::new(Energy::from_millijoules(millijoules), RESOLUTION));
    let absent = || NoReading::NotAvailable(format!("{} does not measure power", gpu.describe()));
    let (power, counter) = power_and_counter(&gpu.key, power, of(counter), absent, notes)?;
    let register = counter.map(|_| Arc::clone(register));
    Ok(Reading { power, counter, register, ..Reading::default() })
}

/// A value, a failure, or `None` where the GPU does not measure this.
fn of<T>(value: Result<T, Error>) -> Option<Result<T, NoReading>> {
    match value {
        Ok(value) => Some(Ok(value)),
        Err(error) if error.code == ErrorCode::NotSupported => None,
        Err(error) => Some(Err(NoReading::NotAvailable(advice(&error)))),
    }
}

/// Why a sample has nothing, where that is the GPU's or the driver's end rather than something it does not measure.
fn lost(sample: &GpuSample) -> Option<Error> {
    let errors = [sample.energy_millijoules.as_ref().err(), sample.power_milliwatts.as_ref().err()];
    errors.into_iter().flatten().find(|error| error.code != ErrorCode::NotSupported).cloned()
}

fn into_error(error: &Error) -> DriverError {
    let message = advice(error);
    match error.code {
        ErrorCode::NoLibrary | ErrorCode::NoPermission => DriverError::Refused(message),
        ErrorCode::NoDriver
        | ErrorCode::VersionMismatch
        | ErrorCode::Lost
        | ErrorCode::ResetRequired
        | ErrorCode::Other => DriverError::link(message),
        ErrorCode::NotSupported => DriverError::NothingToRead(message),
    }
}

/// A failure with what to do about it.
fn advice(error: &Error) -> String {
    let advice = match error.code {
        ErrorCode::NoLibrary => {
            "; it is part of the NVIDIA driver (libnvidia-compute on Debian and Ubuntu); set `library` if it is elsewhere"
        }
        ErrorCode::NoDriver => "; the NVIDIA kernel module is not loaded (modprobe nvidia)",
        ErrorCode::VersionMismatch => {
            "; the driver was updated but the kernel still runs the previous one; reload it or reboot"
        }
        ErrorCode::NoPermission => "; grant the user that runs kwapi access to /dev/nvidia*",
        ErrorCode::Lost => {
            "; the GPU fell off the bus; check the kernel log for Xid 79; a reboot restores it"
        }
        ErrorCode::ResetRequired => "; reset it (nvidia-smi --gpu-reset) or reboot",
        ErrorCode::NotSupported | ErrorCode::Other => "",
    };
    format!("{error}{advice}")
}

/// Which GPU is read for which probe; none for one that is configured and not found.
fn choose(gpus: &[Gpu], outlets: &Outlets) -> Vec<ReadGpu> {
    let source = |probe: ProbeId, key: &str, index: Option<usize>| {
        let gpu = index.and_then(|index| gpus.get(index));
        let register = Register {
            serial: gpu.map(|gpu| gpu.uuid.clone()),
            path: Some("energy".to_owned()),
            is_in_host: true,
            ..Register::default()
        };
        let last = Err(NoReading::NotReady("not read yet".to_owned()));
        ReadGpu { probe, key: key.to_owned(), gpu: index, register: Arc::new(register), last }
    };
    if outlets.selects_all() {
        let probes = outlets.probes(gpus.iter().map(|gpu| (gpu.key.as_str(), gpu.name.as_deref())));
        let sources = gpus.iter().enumerate().zip(probes);
        return sources
            .filter_map(|((index, gpu), probe)| Some(source(probe?, &gpu.key, Some(index))))
            .collect();
    }
    let named = outlets.named().iter().map(|outlet| {
        let index = gpus.iter().position(|gpu| gpu.is_called(&outlet.key));
        source(outlet.probe.clone(), &outlet.key, index)
    });
    named.collect()
}

/// The outlets of the GPUs that the library finds and that measure, for `kwapi run` without a configuration. Blocks while
/// the library is loaded.
pub fn readable(library: &std::path::Path) -> Vec<String> {
    let Ok(loaded) = Loaded::open(&library.to_string_lossy()) else { return Vec::new() };
    let measures = |gpu: &&Gpu| {
        let sample = gpu.sample();
        sample.energy_millijoules.is_ok() || sample.power_milliwatts.is_ok()
    };
    loaded.gpus.iter().filter(measures).map(|gpu| gpu.key.clone()).collect()
}

#[cfg(test)]
mod tests;
