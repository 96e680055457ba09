//! The driver manager away for an hour, beside registers that we did not write: snmpsim's PDU and pymodbus' meter. The
//! hour passes on the clocks that the manager is given; what the register shows then is put into the peer.

#![allow(clippy::expect_used, reason = "helpers of tests say what they expect by failing")]
#![allow(clippy::disallowed_methods, reason = "a test starts the peer it talks to")]

use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Accounting, Energy, Measurement, NotBridged, ProbeId, Timestamp, WallClock};
use kwapi_drivers::Outlets;
use kwapi_drivers::manager::{Host, Manager, MeterSpec};
use kwapi_drivers::registry;
use kwapi_peers::{Lab, Peer, free_port, need_python, python_environment};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(60);

/// A site with one meter, whose manager comes and goes.
struct Site {
    driver: &'static str,
    keys: String,
    state: tempfile::TempDir,
    published: Arc<Mutex<Vec<Accounting>>>,
    began: Instant,
    /// How much later it is than a test lasts.
    later: Duration,
}

impl Site {
    fn new(driver: &'static str, keys: String) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        Self { driver, keys, state, published: Arc::default(), began: Instant::now(), later: Duration::ZERO }
    }

    /// A manager reads the meter until it has published three times, and is stopped. Says why it did not bridge.
    async fn read(&self) -> Option<NotBridged> {
        let keys = self.keys.parse().expect("TOML");
        let driver = registry::find(self.driver).expect("a driver").configure(keys).expect("keys");
        let outlets = Outlets::by_position([ProbeId::new("p").ok()]);
        let spec =
            MeterSpec { interval: Duration::from_millis(300), ..MeterSpec::new("meter", driver, outlets) };
        let (began, later, published) = (self.began, self.later, self.published.clone());
        let clock =
            WallClock::new(move || Timestamp::from_seconds(1_800_000_000).after(began.elapsed() + later));
        let host = Host::new("boot", move || began.elapsed() + later);
        let sink = Arc::new(move |measurement: Measurement| published.lock().extend(measurement.accounting));
        let manager = Manager::keeping(sink, clock, host, self.state.path().join("drivers"));
        manager.apply(vec![spec]);
        let enough = self.published.lock().len() + 3;
        let since = Instant::now();
        while self.published.lock().len() < enough {
            let statuses = manager.statuses();
            assert!(since.elapsed() < PATIENCE, "nothing is published: {statuses:?}");
            sleep(Duration::from_millis(100)).await;
        }
        let not_bridged = manager.statuses().first().and_then(|meter| meter.probes.first()?.not_bridged);
        manager.stop().await;
        not_bridged
    }

    /// The first message and the last.
    fn ends(&self) -> (Accounting, Accounting) {
        let published = self.published.lock();
        (*published.first().expect("a message"), *published.last().expect("a message"))
    }
}

/// The hour is told by the register to within two ticks, and nothing is unknown.
#[track_caller]
fn is_bridged(site: &Site, used: Energy, tick: Energy) {
    let (first, last) = site.ends();
    let curve = last.curve.expect("a curve");
    assert_eq!((curve.id, curve.run), (first.session, 2), "{last:?}");
    assert_eq!(last.totals.unknown_ms, 0, "{last:?}");
    let error = curve.begin.millijoules().abs_diff(used.millijoules());
    // Besides, what watts fill in while the manager reads, a second or two.
    assert!(error <= 2 * tick.millijoules() + 1_000_000, "{curve:?}, and {used:?} were used");
}

/// Nothing of the stop is billed.
#[track_caller]
fn begins_anew(site: &Site, why: Option<NotBridged>, expected: NotBridged) {
    let (first, last) = site.ends();
    let curve = last.curve.expect("a curve");
    assert_eq!(why, Some(expected));
    assert!(curve.id > first.session && (curve.run, curve.begin) == (1, Energy::ZERO), "{last:?}");
    assert!(last.totals.energy <= Energy::from_watt_hours(1), "{last:?}");
}

/// Puts what a peer shows into the file it reads.
fn put(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("the peer's file");
    assert!(text.contains(from), "{from:?} in {}", file.display());
    fs::write(file, text.replace(from, to)).expect("room");
}

/// snmpsim's Raritan PDU, outlet 1: 123.4 W, a register in watt-hours. `change` is made in the hour.
async fn pdu(change: (&str, &str)) -> Option<(Site, Option<NotBridged>)> {
    if !need_python("python") {
        return None;
    }
    let port = free_port();
    let lab = Lab::of("snmp", port);
    let start = || {
        let mut command = Command::new("sh");
        command.arg(lab.join("snmp/run-snmpsim.sh"));
        Peer::start(&mut command, lab.join("snmpsim.log")).ready(PATIENCE, || {
            // It has the port once we cannot.
            UdpSocket::bind(("127.0.0.1", port)).is_err()
        })
    };
    let peer = start();
    let keys = format!("host = '127.0.0.1'\nport = {port}\ncommunity = 'raritan-px2'\ntimeout_seconds = 8");
    let mut site = Site::new("snmp", keys);
    site.read().await;
    drop(peer);
    put(&lab.join("snmp/data/raritan-px2.snmprec"), change.0, change.1);
    let _peer = start();
    site.later = HOUR;
    let why = site.read().await;
    Some((site, why))
}

const REGISTER: &str = "1.3.6.1.4.1.13742.6.5.4.3.1.4.1.1.8|66|";

#[tokio::test]
async fn an_hour_without_the_manager_is_told_by_the_register_of_a_pdu() {
    let (from, to) = (format!("{REGISTER}1010"), format!("{REGISTER}1133"));
    let Some((site, why)) = pdu((&from, &to)).await else { return };
    assert_eq!(why, None);
    is_bridged(&site, Energy::from_watt_hours(123), Energy::from_watt_hours(1));
}

#[tokio::test]
async fn a_pdu_whose_register_was_reset_or_rose_too_far_begins_anew() {
    for (shows, expected) in [("12", NotBridged::Fell), ("1310", NotBridged::Jumped)] {
        let (from, to) = (format!("{REGISTER}1010"), format!("{REGISTER}{shows}"));
        let Some((site, why)) = pdu((&from, &to)).await else { return };
        begins_anew(&site, why, expected);
    }
}

/// pymodbus' Eastron meter: 100.25 W, a register in kWh. `change` is made in the hour.
async fn modbus(change: (&str, &str), keys_after: Option<&str>) -> Option<(Site, Option<NotBridged>)> {
    if !need_python("python") {
        return None;
    }
    let (lab, port) = (Lab::of("modbus", 0), free_port());
    let start = || {
        let mut command = Command::new(python_environment("python"));
        command.arg(lab.join("modbus/line.py")).args([&port.to_string(), "socket"]);
        Peer::start(&mut command, lab.join("log"))
            .ready(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok())
    };
    let peer = start();
    let host = format!("host = '127.0.0.1:{port}'\n");
    let mut site = Site::new("modbus", format!("{host}map = 'eastron-sdm120'\nunit = 1"));
    site.read().await;
    drop(peer);
    put(&lab.join("modbus/line.py"), change.0, change.1);
    let _peer = start();
    site.later = HOUR;
    if let Some(keys) = keys_after {
        site.keys = format!("{host}{keys}");
    }
    let why = site.read().await;
    Some((site, why))
}

#[tokio::test]
async fn an_hour_without_the_manager_is_told_by_the_register_of_a_modbus_meter() {
    let Some((site, why)) = modbus(("values=12.5,", "values=12.6,"), None).await else { return };
    assert_eq!(why, None);
    // It shows hundredths of a kWh, in single precision: 12.6 is 12.600000381.
    is_bridged(&site, Energy::from_watt_hours(100), Energy::from_watt_hours(10));
}

#[tokio::test]
async fn another_unit_on_the_line_is_another_register() {
    let keys = "map = 'schneider-iem3155'\nunit = 2";
    let Some((site, why)) = modbus(("values=12.5,", "values=12.6,"), Some(keys)).await else { return };
    begins_anew(&site, why, NotBridged::NoState);
}
