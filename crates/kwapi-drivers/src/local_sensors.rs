//! Sensors of the machine kwapi runs on that Linux shows as files: hwmon chips, the counters of a Cray node. They are read on
//! a thread of their own, as the kernel may take its time, and looked for again now and then.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Register};
use serde::Deserialize;
use tokio::time::Instant;

use crate::blocking::OneThread;
use crate::config::{ConfigError, DriverKey, Names};
use crate::driver::{Driver, DriverError, Finding, Readings};
use crate::outlets::{Outlet, Outlets};
use crate::parts::Notes;

/// How often it looks whether there are other sensors: a driver may be loaded, a GPU plugged in.
const LOOK_PAUSE: Duration = Duration::from_secs(60);

/// The keys of a driver of such sensors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default, bound = "S: LocalSensor")]
pub(crate) struct LocalSensorsConfig<S> {
    /// Where the sensors are.
    pub(crate) root: PathBuf,
    #[serde(skip)]
    of: PhantomData<S>,
}

impl<S: LocalSensor> Default for LocalSensorsConfig<S> {
    fn default() -> Self {
        Self { root: S::ROOT.into(), of: PhantomData }
    }
}

/// A sensor with its files, and the driver that reads it.
pub(crate) trait LocalSensor: fmt::Debug + Clone + PartialEq + Send + Sync + Sized + 'static {
    /// What its files hold, in their units.
    type Values: Send + 'static;
    /// The driver, as in [`Driver`].
    const NAME: &'static str;
    const SUMMARY: &'static str;
    /// Where Linux shows the sensors.
    const ROOT: &'static str;
    const ROOT_ABOUT: &'static str;
    /// What the thread that reads is called, one sensor and all of them in messages, and outlets as they are written.
    const THREAD: &'static str;
    const ONE: &'static str;
    const ALL: &'static str;
    const OUTLETS: &'static str;

    /// All that are below `root`.
    ///
    /// # Errors
    /// When there are none, or none may be seen.
    fn find(root: &Path) -> Result<Vec<Self>, DriverError>;

    /// Those that add up to what the machine draws: each watt once.
    fn counted(sensors: &[Self]) -> Vec<usize>;

    /// Those that are called `key`.
    fn called(sensors: &[Self], key: &str) -> Vec<usize>;

    /// Its outlet.
    fn key(&self) -> &str;

    /// Its name on the device, if it has one.
    fn label(&self) -> Option<&str> {
        None
    }

    /// What it measures, for `kwapi probe`.
    fn why(&self) -> String;

    /// Reads its files. Blocks as long as the kernel takes.
    fn read(&self) -> Self::Values;

    /// In SI units.
    ///
    /// # Errors
    /// Why there is no reading.
    fn reading(
        &self,
        values: &Self::Values,
        register: &Arc<Register>,
        notes: &mut Notes,
    ) -> Result<Reading, NoReading>;

    /// The error of a meter that has this sensor alone, if it cannot be read.
    fn problem(values: &Self::Values) -> Option<DriverError>;

    /// Whether a file is gone, and other sensors are to be looked for at once.
    fn is_gone(_: &Self::Values) -> bool {
        false
    }
}

/// The sensors of this machine, and those of them that are read.
#[derive(Debug)]
pub(crate) struct LocalSensors<S> {
    root: PathBuf,
    outlets: Outlets,
    thread: Arc<OneThread>,
    sensors: Arc<Vec<S>>,
    sources: Vec<ReadSensor>,
    looked_at: Instant,
    is_other: bool,
    notes: Notes,
}

/// Which sensor is read for a probe.
#[derive(Debug)]
struct ReadSensor {
    probe: ProbeId,
    sensor: usize,
    register: Arc<Register>,
    last: String,
}

impl<S: LocalSensor> Driver for LocalSensors<S> {
    const NAME: &'static str = S::NAME;
    const SUMMARY: &'static str = S::SUMMARY;
    const KEYS: &'static [DriverKey] =
        &[DriverKey::new("root", S::ROOT_ABOUT).or(S::ROOT).naming(Names::Kernel)];
    type Config = LocalSensorsConfig<S>;
    type Shared = OneThread;

    fn check_outlets(_: &LocalSensorsConfig<S>, outlets: &Outlets) -> Result<(), ConfigError> {
        outlets.refuse_numbers(S::ALL, S::OUTLETS)
    }

    /// Reads once: a missing permission is reported now, not at the first reading.
    async fn open(
        config: &LocalSensorsConfig<S>,
        outlets: &Outlets,
        thread: &Arc<OneThread>,
    ) -> Result<Self, DriverError> {
        let root = config.root.clone();
        let place = root.clone();
        let sensors = thread.run(S::THREAD, move || S::find(&place)).await??;
        let mut meter = Self {
            root,
            outlets: outlets.clone(),
            thread: Arc::clone(thread),
            sources: sources(&sensors, outlets)?,
            sensors: Arc::new(sensors),
            looked_at: Instant::now(),
            is_other: false,
            notes: Notes::default(),
        };
        match meter.read(&mut Readings::default()).await {
            Err(error @ DriverError::Refused(_)) => Err(error),
            Ok(()) | Err(_) => Ok(meter),
        }
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        if self.is_other || self.looked_at.elapsed() >= LOOK_PAUSE {
            self.look_again().await?;
        }
        let sensors = Arc::clone(&self.sensors);
        let wanted: Vec<usize> = self.sources.iter().map(|source| source.sensor).collect();
        let read = move || -> Vec<Option<S::Values>> {
            wanted.iter().map(|index| sensors.get(*index).map(S::read)).collect()
        };
        let values = self.thread.run(S::THREAD, read).await?;
        let (mut problem, mut is_read) = (None, false);
        for (source, values) in self.sources.iter_mut().zip(values) {
            let (Some(sensor), Some(values)) = (self.sensors.get(source.sensor), values) else { continue };
            self.is_other |= S::is_gone(&values);
            problem = problem.or_else(|| S::problem(&values));
            let reading = sensor.reading(&values, &source.register, &mut self.notes);
            is_read |= reading.is_ok();
            source.last = reading.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            readings.push(&source.probe, reading);
        }
        readings.end(problem, is_read)
    }

    fn findings(&self) -> Vec<Finding> {
        let finding = |(index, sensor): (usize, &S)| {
            let source = self.sources.iter().find(|source| source.sensor == index);
            Finding {
                what: sensor.key().to_owned(),
                value: source.map_or_else(|| "not read".to_owned(), |source| source.last.clone()),
                is_used: source.is_some(),
                why: sensor.why(),
            }
        };
        self.sensors.iter().enumerate().map(finding).chain(self.notes.findings()).collect()
    }
}

impl<S: LocalSensor> LocalSensors<S> {
    /// Looks whether there are other sensors. What is configured and gone has no reading until it is back.
    async fn look_again(&mut self) -> Result<(), DriverError> {
        (self.looked_at, self.is_other) = (Instant::now(), false);
        let root = self.root.clone();
        let Ok(sensors) = self.thread.run(S::THREAD, move || S::find(&root)).await? else { return Ok(()) };
        if sensors == *self.sensors {
            return Ok(());
        }
        if let Ok(sources) = sources(&sensors, &self.outlets) {
            let (now, before) = (sensors.len(), self.sensors.len());
            tracing::info!(now, before, "the list of {} {} has changed", S::NAME, S::ALL);
            (self.sensors, self.sources) = (Arc::new(sensors), sources);
        }
        Ok(())
    }
}

fn sources<S: LocalSensor>(sensors: &[S], outlets: &Outlets) -> Result<Vec<ReadSensor>, DriverError> {
    let source = |(probe, sensor): (ProbeId, usize)| {
        let path = sensors.get(sensor).map(|sensor| sensor.key().to_owned());
        // Whether a counter continues while the machine restarts is not stated.
        let register = Arc::new(Register { path, is_in_host: true, ..Register::default() });
        ReadSensor { probe, sensor, register, last: String::new() }
    };
    Ok(choose(sensors, outlets)?.into_iter().map(source).collect())
}

/// Which sensor is read for which probe.
fn choose<S: LocalSensor>(sensors: &[S], outlets: &Outlets) -> Result<Vec<(ProbeId, usize)>, DriverError> {
    if outlets.selects_all() {
        let counted = S::counted(sensors);
        let parts = counted.iter().filter_map(|index| sensors.get(*index));
        let probes = outlets.probes(parts.map(|sensor| (sensor.key(), sensor.label())));
        return Ok(probes
            .into_iter()
            .zip(counted)
            .filter_map(|(probe, index)| Some((probe?, index)))
            .collect());
    }
    let known = || sensors.iter().map(S::key).collect::<Vec<_>>().join(", ");
    let choose = |Outlet { key, probe }: &Outlet| match S::called(sensors, key).as_slice() {
        [only] => Ok((probe.clone(), *only)),
        [] => Err(format!("unknown {} {key:?}; available: {}", S::ONE, known())),
        _ => Err(format!("{key:?} matches several {}; use one of {}", S::ALL, known())),
    };
    outlets.named().iter().map(choose).collect::<Result<_, _>>().map_err(DriverError::NothingToRead)
}
