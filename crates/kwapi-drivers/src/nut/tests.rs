//! upsd with dummy-ups is the server.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

mod hostile;

use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, find, free_port, need};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::testing::{by_key, one, round_or_error as round};

const PATIENCE: Duration = Duration::from_secs(20);

struct Upsd {
    lab: Lab,
    port: u16,
    driver: Option<Peer>,
    _server: Peer,
}

/// Each in the foreground, so that each ends with the test.
fn upsd() -> Option<Upsd> {
    if !need(&["upsd", "dummy-ups"]) {
        return None;
    }
    let port = free_port();
    let lab = Lab::of("nut", port);
    std::fs::create_dir_all(lab.join("nut/run")).expect("room");
    // So that it goes stale soon after its driver is gone.
    let configuration = std::fs::read_to_string(lab.join("nut/upsd.conf")).expect("a configuration");
    std::fs::write(lab.join("nut/upsd.conf"), format!("{configuration}MAXAGE 3\n")).expect("room");
    let command = |program: &str, arguments: &[&str]| {
        // /lib/nut before the search path: Debian's wrapper there only prints "disabled".
        let place = std::path::Path::new("/lib/nut").join(program);
        let place = if place.is_file() { place } else { find(program).expect("it is there") };
        let mut command = Command::new(place);
        for variable in ["NUT_STATEPATH", "NUT_ALTPIDPATH", "NUT_PIDPATH"] {
            command.env(variable, lab.join("nut/run"));
        }
        command.env("NUT_CONFPATH", lab.join("nut")).args(arguments).args(["-u", "root"]);
        command
    };
    let driver = Peer::start(&mut command("dummy-ups", &["-F", "-a", "pdu1"]), lab.join("driver.log"))
        .ready(PATIENCE, || lab.join("nut/run/dummy-ups-pdu1").exists());
    let server = Peer::start(&mut command("upsd", &["-F"]), lab.join("upsd.log"))
        .ready(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(Upsd { lab, port, driver: Some(driver), _server: server })
}

async fn open(port: u16, keys: &str, outlets: &Outlets) -> Result<Nut, DriverError> {
    let config = toml::from_str(&format!("host = \"127.0.0.1:{port}\"\n{keys}")).expect("a configuration");
    Nut::open(&config, outlets, &Arc::new(())).await
}

/// The first round in which upsd has received data from its driver.
async fn first_round(meter: &mut Nut) -> String {
    for _ in 0..100 {
        let outcome = round(meter).await;
        if outcome.contains(" W") {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("upsd never received data from dummy-ups");
}

#[tokio::test]
async fn a_pdu_reports_its_watts_until_its_driver_dies() {
    let Some(mut upsd) = upsd() else { return };
    let mut meter = open(upsd.port, "", &one()).await.expect("open");
    let outcome = first_round(&mut meter).await;
    assert!(["A: 245 W", "A: 251 W"].contains(&outcome.as_str()), "{outcome}\n{:?}", upsd.lab);
    let two = by_key([("1", "one"), ("2", "two"), ("7", "seven")]);
    let mut outlets = open(upsd.port, "ups = \"pdu1\"\nusername = \"admin\"\npassword = \"secret\"", &two)
        .await
        .expect("open");
    let outcome = round(&mut outlets).await;
    assert!(outcome.contains("two: 144 W"), "{outcome}");
    assert!(
        outcome.contains(
            "seven: no such outlet: \"7\": pdu1 reports no watts for it; available: [\"1\", \"2\"]"
        ),
        "{outcome}"
    );
    let mut all = open(upsd.port, "", &Outlets::all("p.{outlet}")).await.expect("open");
    assert!(round(&mut all).await.contains("p.2: 144 W"));
    assert!(meter.findings()[0].value.contains("ups.realpower"), "{:?}", meter.findings());

    drop(upsd.driver.take());
    let mut outcome = String::new();
    for _ in 0..100 {
        outcome = round(&mut meter).await;
        assert!(!outcome.contains(": 0 W"), "no watts are not zero: {outcome}");
        if outcome.contains("the driver of") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(outcome.starts_with("A: stale: ") || outcome.starts_with("A: not ready: "), "{outcome}");
    assert!(outcome.contains("the driver of pdu1"), "{outcome}");
}

#[tokio::test]
async fn a_wrong_password_or_name_is_refused_with_what_to_try() {
    let Some(upsd) = upsd() else { return };
    let wrong = "ups = \"pdu1\"\nusername = \"admin\"\npassword = \"hunter2\"";
    let outcome = open(upsd.port, wrong, &one()).await.expect_err("wrong").to_string();
    assert!(
        outcome.contains("LOGIN: ERR ACCESS-DENIED; check username") && !outcome.contains("hunter2"),
        "{outcome}"
    );
    let mut meter = open(upsd.port, "ups = \"pdu9\"", &one()).await.expect("open");
    let outcome = round(&mut meter).await;
    assert!(outcome.starts_with("refused: ") && outcome.contains("unknown UPS \"pdu9\""), "{outcome}");
    let error = open(upsd.port, "ups = \"a b\"", &one()).await.expect_err("no name").to_string();
    assert!(error.contains("invalid UPS name"), "{error}");
}

/// A server that responds with `bytes` to any request.
async fn against(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 64];
        _ = stream.read(&mut request).await;
        _ = stream.write_all(bytes).await;
    });
    let mut meter = open(port, "ups = \"u\"", &one()).await.expect("open");
    round(&mut meter).await.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn each_fault_of_a_server_shows_what_it_is() {
    for (bytes, expected) in [
        (
            &b"ERR DATA-STALE\n"[..],
            "A: stale: 127.0.0.1:PORT: the driver of u has lost its device (DATA-STALE)",
        ),
        (b"ERR ACCESS-DENIED\n", "refused: 127.0.0.1:PORT: LIST VAR u: ACCESS-DENIED"),
        (
            b"BEGIN LIST VAR u\nVAR u ups.real",
            "link lost: 127.0.0.1:PORT: LIST VAR u: incomplete line; check that this is a NUT server",
        ),
        (b"BEGIN LIST VAR u\n", "link lost: 127.0.0.1:PORT: LIST VAR u: unexpected end of file"),
        (
            b"HTTP/1.1 400 Bad Request\r\n",
            "link lost: 127.0.0.1:PORT: LIST VAR u: invalid variable \"HTTP/1.1 400 Bad Request\"",
        ),
        (
            b"BEGIN LIST VAR u\nVAR u ups.load \"9\"\nEND LIST VAR u\n",
            "A: not available: \"total\": u: ups.load needs nominal_watts to give watts, or power_factor where the VA rating is reported",
        ),
        (
            b"BEGIN LIST VAR u\nVAR u battery.charge \"100\"\nEND LIST VAR u\n",
            "A: not available: \"total\": u reports neither power nor current nor load; its NUT driver does not \
             measure them",
        ),
        (
            b"BEGIN LIST VAR u\nVAR other ups.realpower \"900\"\nEND LIST VAR u\n",
            "link lost: 127.0.0.1:PORT: LIST VAR u: invalid variable \"VAR other ups.realpower \\\"900\\\"\"",
        ),
    ] {
        assert_eq!(against(bytes).await, expected);
    }
}

#[test]
fn what_cannot_work_is_reported_before_anything_is_queried() {
    let check = |keys: &str, expected: &str| {
        let config: NutConfig = toml::from_str(keys).expect("a configuration");
        match (Nut::check(&config), expected) {
            (Ok(()), "") => {}
            (Err(message), expected) => {
                assert!(!expected.is_empty() && message.to_string().contains(expected), "{message}");
            }
            (Ok(()), expected) => panic!("{keys}: no {expected:?}"),
        }
    };
    for fine in ["nut1", "nut1:3494", "10.0.0.7", "[fd00::7]:3493", "fd00::7"] {
        check(&format!("host = {fine:?}"), "");
    }
    check("host = 'http://nut1'", "write HOST or HOST:PORT");
    check("host = 'rack@nut1'", "set ups to the device's name");
    check("host = 'nut1:70000'", "a port up to 65535");
    check("host = 'nut1'\nups = 'a b'", "invalid UPS name");
    check("host = 'nut1'\npassword = 'x'", "`password`: set without username");
}

/// A server whose device shows other variables in each round, the last for ever.
async fn changing(rounds: &'static [&'static str], outlets: &Outlets, keys: &str) -> Nut {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 64];
        for round in 0.. {
            let Ok(1..) = stream.read(&mut request).await else { return };
            let variables = rounds.get(round).or(rounds.last()).expect("a round");
            let lines = variables.split(' ').filter_map(|pair| pair.split_once('='));
            let lines: String = lines.map(|(name, value)| format!("VAR u {name} \"{value}\"\n")).collect();
            let answer = format!("BEGIN LIST VAR u\n{lines}END LIST VAR u\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    open(port, &format!("ups = \"u\"\n{keys}"), outlets).await.expect("open")
}

#[track_caller]
fn named(pairs: &[(&str, &str)]) -> Outlets {
    by_key(pairs.iter().copied())
}

#[tokio::test]
async fn a_better_source_wins_when_it_comes_and_one_that_contradicts_does_not() {
    let rounds = &[
        "ups.load=20 ups.realpower.nominal=500",
        "ups.load=20 ups.realpower.nominal=500 ups.realpower=0",
        "ups.load=20 ups.realpower.nominal=500 ups.realpower=96",
        "ups.load=20 ups.realpower.nominal=500 ups.realpower=",
        "ups.load=21 ups.realpower.nominal=500 ups.realpower=0",
    ];
    let mut meter = changing(rounds, &one(), "").await;
    for expected in [
        "A: 100 W (estimated)",
        "A: 100 W (estimated)",
        "A: 96 W",
        "A: not available: ups.realpower has no value",
        "A: 105 W (estimated)",
    ] {
        assert_eq!(round(&mut meter).await, expected);
    }
    let findings = meter.findings();
    assert_eq!(findings[0].value, "ups.load × ups.realpower.nominal");
    assert!(
        findings[0].why.starts_with("ups.realpower is 0 at a load of 21 %; of 3 variables"),
        "{findings:?}"
    );
}

#[tokio::test]
async fn outlets_come_later_and_one_that_is_gone_has_no_reading() {
    let rounds = &[
        "ups.realpower=300 outlet.1.desc=web",
        "ups.realpower=300 outlet.1.realpower=100 outlet.1.desc=web outlet.2.realpower=200 outlet.2.desc=db",
        "ups.realpower=300 outlet.1.realpower=101 outlet.1.desc=web",
    ];
    let mut meter = changing(rounds, &Outlets::all("r.{label}"), "").await;
    assert_eq!(round(&mut meter).await, "r.total: 300 W");
    assert_eq!(round(&mut meter).await, "r.web: 100 W\nr.db: 200 W");
    let expected = "r.web: 101 W\nr.2: not available: outlet.2.realpower has no value";
    let outcome = round(&mut meter).await;
    assert_eq!(outcome, expected.replace("r.2", "r.db"));
}

#[tokio::test]
async fn a_template_of_a_device_whose_driver_is_gone_reports_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 64];
        while let Ok(1..) = stream.read(&mut request).await {
            stream.write_all(b"ERR DRIVER-NOT-CONNECTED\n").await.expect("a client");
        }
    });
    let mut meter = open(port, "ups = \"u\"", &Outlets::all("r.{outlet}")).await.expect("open");
    let outcome = round(&mut meter).await;
    assert!(outcome.starts_with("busy: not ready: ") && outcome.contains("upsdrvctl start u"), "{outcome}");
}

#[tokio::test]
async fn a_ups_by_a_template_shows_what_is_missing_and_a_pdu_without_outlets_is_busy() {
    let rounds = &["ups.load=30 battery.charge=100 outlet.1.switchable=yes"];
    let mut meter = changing(rounds, &Outlets::all("r.{outlet}"), "").await;
    let outcome = round(&mut meter).await;
    assert!(
        outcome.starts_with("r.total: not available: \"total\": u: ups.load needs nominal_watts"),
        "{outcome}"
    );
    let mut meter = changing(&["ups.status=OL"], &Outlets::all("r.{outlet}"), "").await;
    let outcome = round(&mut meter).await;
    assert!(outcome.starts_with("busy: ") && outcome.ends_with("u reports no watts yet"), "{outcome}");
}

#[tokio::test]
async fn outlets_of_one_label_are_distinguished_or_refused_by_name() {
    let rounds = &["outlet.1.desc=web outlet.1.realpower=70 outlet.2.desc=web outlet.2.realpower=45 \
        outlet.3.desc=db outlet.3.realpower=20"];
    let mut meter = changing(rounds, &Outlets::all("r.{label}"), "").await;
    assert_eq!(round(&mut meter).await, "r.web.1: 70 W\nr.web.2: 45 W\nr.db: 20 W");
    let mut meter = changing(rounds, &named(&[("web", "a"), ("db", "b"), ("2", "c")]), "").await;
    assert_eq!(
        round(&mut meter).await,
        "a: no such outlet: \"web\" matches several outlets; use one of the numbers [\"1\", \"2\"]\nb: 20 W\nc: 45 W"
    );
}

#[tokio::test]
async fn a_full_load_makes_an_estimate() {
    let mut meter = changing(&["ups.load=30"], &one(), "nominal_watts = 400").await;
    assert_eq!(round(&mut meter).await, "A: 120 W (estimated)");
}
