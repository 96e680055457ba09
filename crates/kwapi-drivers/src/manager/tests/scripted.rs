//! Meters whose driver follows a script, and a manager of them.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use kwapi_core::{Accounting, Energy, Measurement, MeterCounter, NoReading, ProbeId, Reading, Timestamp};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::SECOND;
use crate::config::DriverKey;
use crate::driver::{Driver, DriverError, Readings};
use crate::outlets::Outlets;
use crate::registry::DriverEntry;

/// What a scripted meter does. Numbers in the script count reads of a session from 0.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Script {
    Steady,
    TakesMs(u64),
    HangsAtOpen,
    HangsAt(u64),
    PanicsAtOpen,
    PanicsAt(u64),
    UnpluggedAt(u64),
    WrongPassword,
    Busy,
    Malformed,
    Implausible,
    Silent,
    /// Shows a counter alone, which stands still.
    CountsNothing,
    /// Sends from the read counted so on, and until the other.
    SendsFromTo(u64, u64),
    /// Each second, so many values that it has measured meanwhile, each with its stamp.
    SendsBlocksOf(u64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    script: Script,
}

struct Scripted {
    script: Script,
    probe: ProbeId,
    reads: u64,
}

impl Driver for Scripted {
    const NAME: &'static str = "scripted";
    const SUMMARY: &'static str = "follows a script";
    const KEYS: &'static [DriverKey] = &[DriverKey::required("script", "what it does")];
    type Config = Config;
    type Shared = ();

    async fn open(config: &Config, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        match config.script {
            Script::HangsAtOpen => std::future::pending().await,
            Script::PanicsAtOpen => panic!("at open"),
            Script::WrongPassword => Err(DriverError::Refused("wrong password".to_owned())),
            _ => Ok(Self { script: config.script.clone(), probe: outlets.only()?, reads: 0 }),
        }
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let read = self.reads;
        self.reads += 1;
        match self.script {
            Script::TakesMs(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
            Script::HangsAt(when) if read >= when => std::future::pending().await,
            Script::PanicsAt(when) if read >= when => panic!("at read {read}"),
            Script::UnpluggedAt(when) if read >= when => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            Script::Busy => return Err(DriverError::Busy("C0".to_owned())),
            Script::Malformed => {
                return Err(DriverError::Malformed { what: "record", input: "#".to_owned() });
            }
            Script::Implausible => {
                readings.push(&self.probe, Ok(Reading::watts(-1.0)));
                return Ok(());
            }
            Script::CountsNothing => {
                let counter = MeterCounter::new(Energy::from_watt_hours(5_000), Energy::from_watt_hours(1));
                readings.push(&self.probe, Ok(Reading { counter: Some(counter), ..Reading::default() }));
                return Ok(());
            }
            Script::Silent => {
                readings.push(&self.probe, Err(NoReading::NotAvailable("no sensor".to_owned())));
                return Ok(());
            }
            _ => {}
        }
        readings.push(&self.probe, Ok(Reading::watts(100.0)));
        Ok(())
    }
}

const SCRIPTED: DriverEntry = DriverEntry::of::<Scripted>();

/// The same, sent when it likes: a read is a second of waiting.
pub(super) struct Sending(Scripted);

impl Driver for Sending {
    const NAME: &'static str = "sending";
    const SUMMARY: &'static str = "follows a script, by itself";
    const CADENCE: crate::driver::Cadence = crate::driver::Cadence::Pushed;
    const KEYS: &'static [DriverKey] = &[DriverKey::required("script", "what it does")];
    type Config = Config;
    type Shared = ();

    async fn open(config: &Config, outlets: &Outlets, shared: &Arc<()>) -> Result<Self, DriverError> {
        Scripted::open(config, outlets, shared).await.map(Self)
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        sleep(SECOND).await;
        match self.0.script {
            Script::SendsFromTo(from, to) if !(from..to).contains(&self.0.reads) => {
                self.0.reads += 1;
                Ok(())
            }
            Script::SendsBlocksOf(values) => {
                let probe = self.0.probe.clone();
                for value in 0..values {
                    let at = BLOCKS_BEGIN.after(SECOND * u32::try_from(self.0.reads).unwrap());
                    let at =
                        at.after(SECOND * u32::try_from(value).unwrap() / u32::try_from(values).unwrap());
                    let watts = curve((at.micros() - BLOCKS_BEGIN.micros()) as f64 / 1e6);
                    let reading = Reading { measured_at: Some(at), ..Reading::watts(watts) };
                    readings.push(&probe, Ok(reading));
                    // Another outlet, now and then, between two of them.
                    if value % 250 == 7 {
                        readings.push(&ProbeId::new("beside").unwrap(), Ok(Reading::watts(5.0)));
                    }
                }
                self.0.reads += 1;
                Ok(())
            }
            _ => self.0.read(readings).await,
        }
    }
}

/// The same, read by a thread at each tick of a short interval; it reports how often it was read before.
pub(super) struct Sampled(Scripted);

impl Driver for Sampled {
    const NAME: &'static str = "sampled";
    const SUMMARY: &'static str = "follows a script, at each tick";
    const INTERVAL_MIN: Duration = Duration::from_millis(1);
    const IS_SAMPLED: bool = true;
    const KEYS: &'static [DriverKey] = &[DriverKey::required("script", "what it does")];
    type Config = Config;
    type Shared = ();

    async fn open(config: &Config, outlets: &Outlets, shared: &Arc<()>) -> Result<Self, DriverError> {
        Scripted::open(config, outlets, shared).await.map(Self)
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let (probe, reads) = (self.0.probe.clone(), self.0.reads);
        self.0.read(readings).await?;
        _ = readings.drain().count();
        readings.push(&probe, Ok(Reading::watts(reads as f64)));
        Ok(())
    }
}

/// When the first value of a block is stamped: as the scene begins, a second before the block comes.
pub(super) const BLOCKS_BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What [`Script::SendsBlocksOf`] measures, in watts after so many seconds…
fn curve(seconds: f64) -> f64 {
    150.0 + 90.0 * (std::f64::consts::TAU * seconds / 0.32).sin()
}

/// …and the joules that it comes to by then.
pub(super) fn curve_joules(seconds: f64) -> f64 {
    let angle = std::f64::consts::TAU * seconds / 0.32;
    150.0 * seconds + 90.0 * 0.32 / std::f64::consts::TAU * (1.0 - angle.cos())
}

pub(super) fn meter(name: &str, script: &str) -> MeterSpec {
    let keys = format!("script = {script}").parse().expect("TOML");
    let outlets = Outlets::by_position([ProbeId::new(name).ok()]);
    MeterSpec::new(name, SCRIPTED.configure(keys).expect("a script"), outlets)
}

/// A manager, what it published (with the instant), and its wall clock's error in seconds.
pub(super) struct Scene {
    pub(super) manager: Manager,
    pub(super) published: Arc<Mutex<Vec<(Instant, Measurement)>>>,
    pub(super) step: Arc<AtomicI64>,
}

impl Scene {
    pub(super) fn new(meters: Vec<MeterSpec>) -> Self {
        let published = Arc::new(Mutex::new(Vec::new()));
        let (sink, step) = (published.clone(), Arc::new(AtomicI64::new(0)));
        let (began, clock_step) = (Instant::now(), step.clone());
        let clock = WallClock::new(move || {
            let seconds = 1_800_000_000_u64.saturating_add_signed(clock_step.load(Ordering::Relaxed));
            Timestamp::from_seconds(seconds).after(began.elapsed())
        });
        let manager = Manager::new(Arc::new(move |m, _| sink.lock().push((Instant::now(), m))), clock);
        manager.apply(meters);
        Self { manager, published, step }
    }

    pub(super) fn status(&self, name: &str) -> MeterStatus {
        self.manager.statuses().into_iter().find(|status| status.name == name).expect("a meter")
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.published.lock().iter().filter(|(_, measurement)| measurement.probe.as_str() == name).count()
    }

    pub(super) fn instants(&self, name: &str) -> Vec<Instant> {
        let published = self.published.lock();
        published.iter().filter(|(_, m)| m.probe.as_str() == name).map(|(instant, _)| *instant).collect()
    }

    pub(super) fn status_beats(&self, index: usize) -> u64 {
        let meters = self.manager.meters.lock();
        meters[&format!("m{index}")].visible.lock().status.reads
    }

    pub(super) fn ledgers(&self) -> Vec<Accounting> {
        self.published.lock().iter().filter_map(|(_, measurement)| measurement.accounting).collect()
    }
}
