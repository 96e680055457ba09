//! The driver manager away for an hour, beside registers that we did not write: snmpsim's PDU and pymodbus' meter. The
//! hour passes on the clocks that the manager is given; what the register shows then is put into the peer.

#![allow(clippy::expect_used, reason = "helpers of tests state what they expect by failing")]
#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::{Account, Accounting, Energy, Measurement, NotBridged, ProbeId, Timestamp, WallClock};
use kwapi_drivers::Outlets;
use kwapi_drivers::manager::{Host, Manager, MeterSpec};
use kwapi_drivers::registry;
use kwapi_peers::{Lab, Peer, devices, free_port, need_python};
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

    /// A manager reads the meter until it has published three times, and is stopped. Returns why it did not bridge.
    async fn read(&self) -> Option<NotBridged> {
        self.read_as("drivers").await
    }

    /// As the manager of a host of that name, which has a state of its own.
    async fn read_as(&self, host_name: &str) -> Option<NotBridged> {
        let keys = self.keys.parse().expect("TOML");
        let driver = registry::find(self.driver).expect("a driver").configure(keys).expect("keys");
        let outlets = Outlets::by_position([ProbeId::new("p").ok()]);
        let spec =
            MeterSpec { interval: Duration::from_millis(300), ..MeterSpec::new("meter", driver, outlets) };
        let (began, later, published) = (self.began, self.later, self.published.clone());
        let clock =
            WallClock::new(move || Timestamp::from_seconds(1_800_000_000).after(began.elapsed() + later));
        let host = Host::new(host_name, move || began.elapsed() + later);
        let sink =
            Arc::new(move |measurement: Measurement, _| published.lock().extend(measurement.accounting));
        let manager = Manager::keeping(sink, clock, host, self.state.path().join(host_name));
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

impl Site {
    /// Copies what one host's manager keeps to another host.
    fn copy_state(&self, from: &str, to: &str) {
        let (from, to) = (self.state.path().join(from), self.state.path().join(to));
        fs::create_dir(&to).expect("room");
        for file in fs::read_dir(from).expect("a state").flatten() {
            fs::copy(file.path(), to.join(file.file_name())).expect("room");
        }
    }

    /// What a plugin bills that receives all of it as it comes, and how many messages it refused.
    fn billed(&self) -> (Energy, usize) {
        let (mut account, mut refused) = (Account::default(), 0);
        let published = self.published.lock();
        for message in published.iter() {
            let received_at = message.timestamp.since(Timestamp::EPOCH);
            refused += usize::from(account.credit(message, received_at, Duration::from_secs(60)).is_err());
        }
        (account.totals().energy, refused)
    }
}

/// The hour is given by the register to within two ticks, and nothing is unknown.
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
fn check_afresh(site: &Site, why: Option<NotBridged>, expected: NotBridged) {
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

/// snmpsim's Raritan PDU, outlet 1: 123.4 W, a register in watt-hours.
struct Pdu {
    lab: Lab,
    port: u16,
    peer: Option<Peer>,
    shows: String,
}

const REGISTER: &str = "1.3.6.1.4.1.13742.6.5.4.3.1.4.1.1.8|66|";

impl Pdu {
    fn start() -> Option<Self> {
        if !need_python("python") {
            return None;
        }
        let port = free_port();
        let mut pdu = Self { lab: Lab::of("snmp", port), port, peer: None, shows: "1010".to_owned() };
        pdu.begin();
        Some(pdu)
    }

    fn begin(&mut self) {
        let mut command = Command::new("sh");
        command.arg(self.lab.join("snmp/run-snmpsim.sh"));
        // It has the port once we cannot.
        let has_port = || UdpSocket::bind(("127.0.0.1", self.port)).is_err();
        self.peer = Some(Peer::start(&mut command, self.lab.join("snmpsim.log")).ready(PATIENCE, has_port));
    }

    /// From now on its register shows so many watt-hours.
    fn show(&mut self, watt_hours: &str) {
        drop(self.peer.take());
        let (from, to) = (format!("{REGISTER}{}", self.shows), format!("{REGISTER}{watt_hours}"));
        put(&self.lab.join("snmp/data/raritan-px2.snmprec"), &from, &to);
        watt_hours.clone_into(&mut self.shows);
        self.begin();
    }

    fn site(&self) -> Site {
        let port = self.port;
        let keys =
            format!("host = '127.0.0.1'\nport = {port}\ncommunity = 'raritan-px2'\ntimeout_seconds = 8");
        Site::new("snmp", keys)
    }
}

/// A manager reads a PDU, and another time an hour later, when its register shows so many watt-hours.
async fn pdu(shows: &str) -> Option<(Site, Option<NotBridged>)> {
    let mut pdu = Pdu::start()?;
    let mut site = pdu.site();
    site.read().await;
    pdu.show(shows);
    site.later = HOUR;
    let why = site.read().await;
    Some((site, why))
}

#[tokio::test]
async fn an_hour_without_the_manager_is_bridged_by_the_register_of_a_pdu() {
    let Some((site, why)) = pdu("1133").await else { return };
    assert_eq!(why, None);
    is_bridged(&site, Energy::from_watt_hours(123), Energy::from_watt_hours(1));
}

#[tokio::test]
async fn a_pdu_whose_register_was_reset_or_rose_too_far_starts_afresh() {
    for (shows, expected) in [("12", NotBridged::Fell), ("1310", NotBridged::Jumped)] {
        let Some((site, why)) = pdu(shows).await else { return };
        check_afresh(&site, why, expected);
    }
}

/// The register's advance is the most that may be billed. `tick`: besides, what watts fill in while managers read.
#[track_caller]
fn bills(site: &Site, least_wh: u64, most_wh: u64) {
    let (billed, refused) = site.billed();
    let ticks = Energy::from_watt_hours(3);
    let (least, most) = (Energy::from_watt_hours(least_wh), Energy::from_watt_hours(most_wh));
    assert!(billed.saturating_add(ticks) >= least && billed <= most.saturating_add(ticks), "{billed:?}");
    assert_eq!(refused, 0, "an hour between them: each is received when the other is silent");
}

/// A manager's state was copied to another host, with its disk, say: both continue from there, one after the other, and
/// each is sure of what the register counted meanwhile.
#[tokio::test]
async fn a_copied_state_bills_no_hour_twice() {
    let Some(mut pdu) = Pdu::start() else { return };
    let mut site = pdu.site();
    site.read_as("lyon").await;
    site.copy_state("lyon", "paris");
    for (hour, host_name, shows) in [(1, "paris", "1133"), (2, "lyon", "1256"), (3, "paris", "1379")] {
        pdu.show(shows);
        site.later = HOUR * hour;
        let why = site.read_as(host_name).await;
        assert_eq!(why, None, "{host_name}");
    }
    let runs: Vec<_> = site.published.lock().iter().filter_map(|message| message.curve).collect();
    assert!(runs.iter().all(|curve| curve.id == runs[0].id), "one curve, by two managers: {runs:?}");
    // The first hour is surely known; what the account makes of a rival's stop is nothing.
    bills(&site, 123, 369);
}

/// Another manager, which has nothing of the first, reads the meter for two hours; then the first is back, with a state
/// in which all three hours are its own stop.
#[tokio::test]
async fn another_manager_in_between_bills_no_hour_twice() {
    let Some(mut pdu) = Pdu::start() else { return };
    let mut site = pdu.site();
    site.read_as("lyon").await;
    let visits = [(1, "paris", "1133", None), (2, "paris", "1256", None), (3, "lyon", "1379", None)];
    for (hour, host_name, shows, expected) in visits {
        pdu.show(shows);
        site.later = HOUR * hour;
        assert_eq!(site.read_as(host_name).await, expected, "{host_name}");
    }
    let (first, last) = site.ends();
    let (first, last) = (first.curve.expect("a curve"), last.curve.expect("a curve"));
    assert_eq!((last.id, last.run), (first.id, 2), "the first manager continues its curve");
    assert!(last.begin >= Energy::from_watt_hours(366), "and all three hours are in it: {last:?}");
    bills(&site, 123, 369);
}

/// pymodbus' Eastron meter: 100.25 W, a register in kWh. `change` is made in the hour.
async fn modbus(change: (&str, &str), keys_after: Option<&str>) -> Option<(Site, Option<NotBridged>)> {
    if !need_python("python") {
        return None;
    }
    let (lab, port) = (Lab::of("modbus", 0), free_port());
    let start = || devices::python(&lab, "modbus/line.py", port, ["socket"]);
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
async fn an_hour_without_the_manager_is_bridged_by_the_register_of_a_modbus_meter() {
    let Some((site, why)) = modbus(("values=12.5,", "values=12.6,"), None).await else { return };
    assert_eq!(why, None);
    // It shows hundredths of a kWh, in single precision: 12.6 is 12.600000381.
    is_bridged(&site, Energy::from_watt_hours(100), Energy::from_watt_hours(10));
}

#[tokio::test]
async fn another_unit_on_the_line_is_another_register() {
    let keys = "map = 'schneider-iem3155'\nunit = 2";
    let Some((site, why)) = modbus(("values=12.5,", "values=12.6,"), Some(keys)).await else { return };
    check_afresh(&site, why, NotBridged::NoState);
}
