//! A site whose manager comes and goes, and the devices whose registers continue.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use kwapi_core::{
    Accounting, Energy, Measurement, MeterCounter, NotBridged, ProbeId, Reading, Register, Timestamp, Watts,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::super::super::*;
use super::super::SECOND;
use crate::config::DriverKey;
use crate::driver::{Driver, DriverError, Readings};
use crate::outlets::Outlets;
use crate::registry::DriverEntry;

pub(super) const WATTS: f64 = 100.0;
/// One tick of the register, in joules.
pub(super) const TICK: f64 = 36.0;

/// The device that a name stands for.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) began: Instant,
    /// What the register shows besides what was used since, in joules.
    pub(super) offset: f64,
    pub(super) serial: Option<String>,
    pub(super) path: Option<String>,
    pub(super) is_in_host: bool,
}

pub(super) static DEVICES: LazyLock<Mutex<HashMap<String, Device>>> = LazyLock::new(Mutex::default);

pub(super) fn change(name: &str, change: impl FnOnce(&mut Device)) {
    change(DEVICES.lock().get_mut(name).expect("a device"));
}

/// Reads it.
struct Reader {
    probe: ProbeId,
    device: String,
    register: Arc<Register>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    device: String,
}

impl Driver for Reader {
    const NAME: &'static str = "reader";
    const SUMMARY: &'static str = "a register";
    const KEYS: &'static [DriverKey] = &[DriverKey::required("device", "which")];
    type Config = Address;
    type Shared = ();

    async fn open(config: &Address, outlets: &Outlets, _: &Arc<()>) -> Result<Self, DriverError> {
        let device = DEVICES.lock()[&config.device].clone();
        let Device { serial, path, is_in_host, .. } = device;
        let register = Arc::new(Register { serial, path, is_in_host, ..Register::default() });
        Ok(Self { probe: outlets.only()?, device: config.device.clone(), register })
    }

    async fn read(&mut self, readings: &mut Readings) -> Result<(), DriverError> {
        let device = DEVICES.lock()[&self.device].clone();
        let joules = device.offset + WATTS * device.began.elapsed().as_secs_f64();
        let value = Energy::from_joules((joules / TICK).floor() * TICK).expect("energy");
        let counter = MeterCounter::new(value, Energy::from_joules(TICK).expect("energy"));
        let reading = Reading {
            power: Some(Watts(WATTS)),
            counter: Some(counter),
            register: Some(self.register.clone()),
            ..Reading::default()
        };
        readings.push(&self.probe, Ok(reading));
        Ok(())
    }
}

pub(super) fn reader(probe: &str, device: &str) -> MeterSpec {
    let keys = format!("device = '{device}'").parse().expect("TOML");
    let driver = DriverEntry::of::<Reader>().configure(keys).expect("keys");
    MeterSpec::new(probe, driver, Outlets::by_position([ProbeId::new(probe).ok()]))
}

/// A site: its clocks, its state, and what was published.
pub(super) struct Site {
    pub(super) directory: tempfile::TempDir,
    published: Arc<Mutex<Vec<Measurement>>>,
    began: Instant,
    /// How far the wall clock is off, in seconds.
    pub(super) offset: Arc<AtomicI64>,
    boot: String,
    booted: Instant,
    pub(super) manager: Option<Manager>,
}

impl Site {
    /// With a device of this name, whose register shows 90 kJ.
    pub(super) fn new(device: &str) -> Self {
        let began = Instant::now();
        let device_state = Device { began, offset: 90_000.0, serial: None, path: None, is_in_host: false };
        DEVICES.lock().insert(device.to_owned(), device_state);
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            published: Arc::default(),
            began,
            offset: Arc::default(),
            boot: "first".to_owned(),
            booted: began,
            manager: None,
        }
    }

    pub(super) async fn run(&mut self, specs: Vec<MeterSpec>, seconds: u64) {
        let directory = self.directory.path().join("drivers");
        self.run_in(&directory, specs, seconds).await;
    }

    pub(super) async fn run_in(&mut self, directory: &Path, specs: Vec<MeterSpec>, seconds: u64) {
        let (sink, offset, began, booted) =
            (self.published.clone(), self.offset.clone(), self.began, self.booted);
        let clock = WallClock::new(move || {
            let seconds = 1_800_000_000_u64.saturating_add_signed(offset.load(Ordering::Relaxed));
            Timestamp::from_seconds(seconds).after(began.elapsed())
        });
        let host = Host::new(&self.boot, move || booted.elapsed() + SECOND);
        let sink = Arc::new(move |measurement, _| sink.lock().push(measurement));
        let manager = Manager::keeping(sink, clock, host, directory.to_owned());
        manager.apply(specs);
        self.manager = Some(manager);
        sleep(SECOND * u32::try_from(seconds).expect("not that long")).await;
    }

    pub(super) async fn stop(&mut self) {
        self.manager.take().expect("a manager").stop().await;
    }

    /// As `kill -9` does.
    pub(super) async fn kill(&mut self) {
        drop(self.manager.take());
        sleep(SECOND).await; // The file's lock goes with the process.
    }

    pub(super) fn boot(&mut self, name: &str) {
        (self.boot, self.booted) = (name.to_owned(), Instant::now());
    }

    pub(super) fn of(&self, probe: &str) -> Vec<Accounting> {
        let published = self.published.lock();
        let of_probe = published.iter().filter(|measurement| measurement.probe.as_str() == probe);
        of_probe.filter_map(|measurement| measurement.accounting).collect()
    }

    /// Which probes are reported as read from one register, and with which other.
    pub(super) fn shared(&self) -> Vec<(String, String)> {
        let statuses = self.manager.as_ref().expect("a manager").statuses();
        let probes = statuses.into_iter().flat_map(|status| status.probes);
        let pairs = probes.filter_map(|of| Some((of.probe.to_string(), of.counter_shared_with?.to_string())));
        pairs.collect()
    }

    pub(super) fn not_bridged(&self, probe: &str) -> Option<NotBridged> {
        let statuses = self.manager.as_ref().expect("a manager").statuses();
        let mut probes = statuses.into_iter().flat_map(|status| status.probes);
        probes.find(|status| status.probe.as_str() == probe).expect("a probe").not_bridged
    }
}
