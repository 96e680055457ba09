//! What every driver must do.

use std::time::Duration;

use kwapi_core::{NoReading, ProbeId, Reading, Watts};
use kwapi_drivers::registry::{self, ConfiguredDriver, MeterSession, SharedPool};
use kwapi_drivers::{DriverError, Outlets, Readings};
use tokio::time::timeout;

/// A healthy device on this machine gives a first reading within this.
const FIRST_READING: Duration = Duration::from_secs(5);
/// A driver that has not answered within this is held by the device, which its deadline would end.
const HANG: Duration = Duration::from_millis(1_500);
/// A dead or babbling device is noticed within this.
const NOTICE: Duration = Duration::from_secs(8);

/// What can be done to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It sends nothing more.
    Hang,
    /// It sends nonsense, and only that until it is repaired.
    Garbage,
    /// It begins each answer and breaks off.
    HalfAnswer,
    /// It is unplugged, or its port closed.
    Disconnect,
    /// It no longer takes the configured secret.
    WrongSecret,
    /// It answers as it should, but reports no power.
    NoPower,
}

/// A simulated device, and the configuration that reads it.
pub(crate) trait Device {
    /// The driver's name in the registry.
    const DRIVER: &'static str;

    /// The meter's own keys, in TOML.
    fn keys(&self) -> String;

    /// The outlets that are read.
    fn outlets(&self) -> Outlets {
        Outlets::by_position([ProbeId::new("p").ok()])
    }

    /// Secrets in the keys, which must show nowhere.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does `fault` to the device; `false` if this kind of device cannot have it.
    async fn inflict(&mut self, fault: Fault) -> bool;
}

/// Puts the driver of the devices that `make` starts, one for each test, through everything.
pub(crate) async fn complies<D: Device>(make: impl AsyncFn() -> D) {
    a_wrong_key_is_named(&make().await);
    a_healthy_device_is_read_and_explained(make().await).await;
    for fault in [Fault::Hang, Fault::Garbage, Fault::HalfAnswer, Fault::Disconnect, Fault::WrongSecret] {
        a_fault_is_named_for_what_to_do(make().await, fault).await;
    }
    what_is_not_reported_is_not_zero(make().await).await;
}

fn configured<D: Device>(device: &D) -> ConfiguredDriver {
    let entry = registry::find(D::DRIVER).expect("a driver of the registry");
    let keys = device.keys().parse().expect("keys in TOML");
    entry.configure(keys).expect("keys that are right")
}

#[track_caller]
fn keeps_secrets<D: Device>(device: &D, text: &str) {
    for secret in device.secrets() {
        assert!(!text.contains(&secret), "{}: a secret shows in {text:?}", D::DRIVER);
    }
}

fn a_wrong_key_is_named<D: Device>(device: &D) {
    let entry = registry::find(D::DRIVER).expect("a driver of the registry");
    let mut keys: toml::Table = device.keys().parse().expect("keys in TOML");
    keys.insert("no_such_key".to_owned(), true.into());
    let error = entry.configure(keys).expect_err("an unknown key");
    assert_eq!(error.key(), Some("no_such_key"), "{}: {error}", D::DRIVER);
    keeps_secrets(device, &format!("{error:?} {error} {:?}", configured(device)));
}

async fn open<D: Device>(device: &D) -> Result<MeterSession, DriverError> {
    let connector = configured(device).connector(&SharedPool::default());
    let outlets = device.outlets();
    let opened = timeout(FIRST_READING, connector.open(&outlets)).await;
    opened.unwrap_or_else(|_| Err(DriverError::link("no session in time")))
}

/// Reads until something was received.
async fn read(session: &mut MeterSession) -> Result<Vec<(ProbeId, Result<Reading, NoReading>)>, DriverError> {
    let mut readings = Readings::default();
    while readings.is_empty() {
        session.read(&mut readings).await?;
    }
    Ok(readings.drain().collect())
}

async fn a_healthy_device_is_read_and_explained<D: Device>(device: D) {
    let mut session = open(&device).await.expect("a session");
    let mut received = Vec::new();
    for _ in 0..2 {
        received = timeout(FIRST_READING, read(&mut session)).await.expect("in time").expect("readings");
    }
    let wanted = device.outlets();
    for (probe, reading) in &received {
        let reading = reading.as_ref().unwrap_or_else(|error| panic!("{}: {probe}: {error}", D::DRIVER));
        assert!(!reading.is_empty(), "{}: {probe} has no reading", D::DRIVER);
        let is_wanted = wanted.selects_all() || wanted.named().iter().any(|outlet| outlet.probe == *probe);
        assert!(is_wanted, "{}: {probe} is not configured", D::DRIVER);
    }
    let findings = session.findings();
    assert!(findings.iter().any(|finding| finding.is_used), "{}: {findings:?}", D::DRIVER);
    keeps_secrets(&device, &format!("{findings:?}"));
}

async fn a_fault_is_named_for_what_to_do<D: Device>(mut device: D, fault: Fault) {
    let mut session = open(&device).await.expect("a session");
    timeout(FIRST_READING, read(&mut session)).await.expect("in time").expect("readings");
    if !device.inflict(fault).await {
        return;
    }
    let bound = if matches!(fault, Fault::Hang | Fault::WrongSecret) { HANG } else { NOTICE };
    let noticed = timeout(bound, first_error(&mut session)).await;
    drop(session);
    let error = match (noticed, fault) {
        (Err(_), Fault::Hang) => return, // The manager's deadline ends it.
        // Some sessions outlive the fault, and some end by it: the next one meets it.
        (Err(_), Fault::Disconnect | Fault::WrongSecret) | (Ok(DriverError::Link(_)), Fault::WrongSecret) => {
            match open(&device).await {
                Ok(mut session) => {
                    let error = timeout(NOTICE, first_error(&mut session)).await;
                    error.unwrap_or_else(|_| panic!("{}: {fault:?} goes unnoticed", D::DRIVER))
                }
                Err(error) => error,
            }
        }
        (Ok(error), _) => error,
        (Err(_), _) => panic!("{}: {fault:?} goes unnoticed", D::DRIVER),
    };
    let is_right = match fault {
        Fault::Hang => matches!(error, DriverError::Link(_) | DriverError::Busy(_)),
        Fault::Garbage | Fault::HalfAnswer => {
            matches!(error, DriverError::Malformed { .. } | DriverError::Link(_))
        }
        Fault::Disconnect => matches!(error, DriverError::Link(_)),
        Fault::WrongSecret => matches!(error, DriverError::Refused(_) | DriverError::Locked(_)),
        Fault::NoPower => false,
    };
    assert!(is_right, "{}: {fault:?} gave {error:?}", D::DRIVER);
    keeps_secrets(&device, &format!("{error} {error:?}"));
}

async fn what_is_not_reported_is_not_zero<D: Device>(mut device: D) {
    let mut session = open(&device).await.expect("a session");
    timeout(FIRST_READING, read(&mut session)).await.expect("in time").expect("readings");
    if !device.inflict(Fault::NoPower).await {
        return;
    }
    let mut readings = Readings::default();
    let nothing = async {
        loop {
            let Ok(()) = session.read(&mut readings).await else { return };
            for (probe, reading) in readings.drain() {
                let Ok(reading) = reading else { return };
                assert_ne!(reading.power, Some(Watts(0.0)), "{}: {probe}: {reading}", D::DRIVER);
                if reading.power.is_none() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(NOTICE, nothing).await.unwrap_or_else(|_| panic!("{}: continues to report watts", D::DRIVER));
}

/// The first error, or outlet without a reading, which is how a driver of many outlets may report garbage.
async fn first_error(session: &mut MeterSession) -> DriverError {
    let mut readings = Readings::default();
    loop {
        if let Err(error) = session.read(&mut readings).await {
            return error;
        }
        for (probe, reading) in readings.drain() {
            if let Err(NoReading::Implausible(what) | NoReading::NotAvailable(what)) = reading {
                return DriverError::Malformed { what: "outlet", input: format!("{probe}: {what}") };
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // Polled drivers answer as fast as they are queried.
    }
}
