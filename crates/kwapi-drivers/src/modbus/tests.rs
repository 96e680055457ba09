//! pymodbus is the meters, over TCP and, through socat, on a pseudo-terminal; the faults it lacks are raw bytes.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

mod refusals;
mod sunspec;

use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, devices, free_port, need, need_python};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::testing::{one, round_or_error as round};

const PATIENCE: Duration = Duration::from_secs(20);

fn pymodbus(script: &str, arguments: &[&str]) -> Option<(Lab, u16, Peer)> {
    if !need_python("python") {
        return None;
    }
    let (lab, port) = (Lab::of("modbus", 0), free_port());
    let peer = devices::python(&lab, &format!("modbus/{script}"), port, arguments);
    Some((lab, port, peer))
}

async fn open(keys: &str, outlets: &Outlets, lines: &Arc<Lines>) -> Result<Modbus, DriverError> {
    Modbus::open(&toml::from_str(keys).expect("a configuration"), outlets, lines).await
}

#[tokio::test]
async fn a_meter_on_tcp_reports_its_watts_and_what_it_lacks_is_absent() {
    let Some((_lab, port, _peer)) = pymodbus("meter.py", &["321.5"]) else { return };
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm630\"");
    let mut meter = open(&keys, &one(), &Arc::default()).await.expect("open");
    for _ in 0..2 {
        assert_eq!(round(&mut meter).await, "A: 321.5 W");
    }
    let findings = meter.findings();
    assert!(findings.iter().any(|f| f.value == "illegal data address" && !f.is_used), "{findings:?}");
    let wrong = keys.replace("eastron-sdm630", "schneider-iem3155");
    let mut meter = open(&wrong, &one(), &Arc::default()).await.expect("open");
    let outcome = round(&mut meter).await;
    assert!(
        outcome.starts_with("refused: ")
            && outcome.contains("check that \"Schneider iEM3155\" is the right map"),
        "{outcome}"
    );
}

/// Two meters on one line, read at once, and a third address where nobody is.
async fn check_line(line: &str) {
    let lines = Arc::new(Lines::default());
    let eastron = format!("{line}\nmap = \"eastron-sdm120\"\nunit = 1");
    let schneider = format!("{line}\nmap = \"schneider-iem3155\"\nunit = 2");
    let mut eastron = open(&eastron, &one(), &lines).await.expect("open");
    let mut schneider = open(&schneider, &one(), &lines).await.expect("open");
    assert!(Arc::ptr_eq(&eastron.line, &schneider.line));
    let expected =
        ("A: 100.25 W, 230.5 V, 0.5 A, 45000000 J".to_owned(), "A: 1500 W, 444441600 J".to_owned());
    for _ in 0..5 {
        assert_eq!(tokio::join!(round(&mut eastron), round(&mut schneider)), expected);
    }
    let mut nobody =
        open(&format!("{line}\nmap = \"eastron-sdm120\"\nunit = 9"), &one(), &lines).await.expect("open");
    let (outcome, other) = tokio::join!(round(&mut nobody), round(&mut eastron));
    assert!(outcome.contains("unit 9, registers from 0x0000 (2): timed out after 2s; check"), "{outcome}");
    assert_eq!(other, expected.0, "a dead meter delays the line and does not break it");
}

#[tokio::test]
async fn meters_behind_a_gateway_share_its_connection() {
    let Some((_lab, port, _peer)) = pymodbus("line.py", &["socket"]) else { return };
    check_line(&format!("host = \"127.0.0.1:{port}\"")).await;
}

#[tokio::test]
async fn meters_on_a_serial_line_share_it() {
    if !need(&["socat"]) {
        return;
    }
    let Some((lab, port, _peer)) = pymodbus("line.py", &["rtu"]) else { return };
    let device = lab.join("line");
    let mut socat = Command::new("socat");
    socat
        .arg(format!("pty,link={},raw,echo=0", device.display()))
        .arg(format!("tcp:127.0.0.1:{port},nodelay"));
    let _socat = Peer::start(&mut socat, lab.join("socat.log")).ready(PATIENCE, || device.exists());
    let line = format!("device = \"{}\"\nbaud = 9600\nparity = \"none\"", device.display());
    check_line(&line).await;

    let lines = Arc::new(Lines::default());
    let meter = open(&format!("{line}\nmap = \"eastron-sdm120\""), &one(), &lines).await.expect("open");
    let other = format!("device = \"{}\"\nbaud = 19200\nmap = \"eastron-sdm120\"", device.display());
    let error = open(&other, &one(), &lines).await.expect_err("another speed").to_string();
    assert!(error.contains("already in use by another meter as") && error.contains("9600 8N1"), "{error}");
    drop(meter);
}

#[tokio::test]
async fn a_plain_converter_is_read_with_rtu_framing() {
    let Some((_lab, port, _peer)) = pymodbus("line.py", &["rtu"]) else { return };
    check_line(&format!("host = \"127.0.0.1:{port}\"\nframing = \"rtu\"")).await;
}

#[tokio::test]
async fn every_phase_is_an_outlet_and_others_are_none() {
    let Some((_lab, port, _peer)) = pymodbus("line.py", &["socket"]) else { return };
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm120\"");
    let mut meter = open(&keys, &Outlets::all("m.{outlet}"), &Arc::default()).await.expect("open");
    assert!(round(&mut meter).await.starts_with("m.total: 100.25 W"));
    let two = Outlets::by_position([ProbeId::new("A").ok(), ProbeId::new("B").ok()]);
    let mut meter = open(&keys, &two, &Arc::default()).await.expect("open");
    let outcome = round(&mut meter).await;
    assert!(outcome.contains("A: no such outlet: \"1\"; available: [\"total\"]"), "{outcome}");
}

/// A gateway that answers everything with the same bytes.
async fn gateway(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                let transaction = request[..2].to_vec();
                let answer = if answer.is_empty() { vec![] } else { [&transaction[..], answer].concat() };
                if answer.is_empty() || stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    });
    let keys = format!("host = \"127.0.0.1:{port}\"\nmap = \"eastron-sdm630\"");
    let mut meter = open(&keys, &one(), &Arc::default()).await.expect("open");
    round(&mut meter).await.replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn each_fault_of_a_gateway_shows_what_it_is() {
    let place = "127.0.0.1:PORT: unit 1, registers from 0x0034";
    for (answer, expected) in [
        (&[0, 0, 0, 3, 1, 0x84, 6][..], format!("busy: {place}: exception 6, device busy")),
        (
            &[0, 0, 0, 3, 1, 0x84, 11],
            format!("link lost: {place}: exception 11, gateway target device failed to respond"),
        ),
        (
            &[0, 0, 0, 7, 1, 4, 4, 0x7f, 0xc0, 0, 0],
            "A: not ready: registers 0x0034, 0x0048 have no value".into(),
        ),
        (
            &[0, 0, 0, 5, 1, 4, 2, 0, 0],
            format!("link lost: {place} (2): unexpected response: unit 1, [04, 02, 00, 00]"),
        ),
        (b"TTP/1.1 400", format!("link lost: {place} (2): not Modbus TCP: ")),
        (&[], format!("link lost: {place} (2): early eof")),
    ] {
        let outcome = gateway(answer).await;
        assert!(outcome.starts_with(&expected), "{outcome}\nnot {expected}");
    }
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_queried() {
    for (keys, expected) in [
        ("map = \"eastron-sdm630\"", "set host"),
        ("map = \"eastron-sdm630\"\nhost = \"a\"\ndevice = \"/b\"", "mutually exclusive"),
        ("map = \"sdm\"\nhost = \"a\"", "available: [\"abb-b23\""),
        (
            "map = \"eastron-sdm630\"\nhost = \"a\"\nunit = 250",
            "`unit`: must be 1 to 247, or 0 or 255 for the meter",
        ),
        (
            "map = \"eastron-sdm630\"\nhost = \"a\"\nunit = 255\nframing = \"rtu\"",
            "`unit`: must be 1 to 247, not 255",
        ),
        ("map = \"eastron-sdm630\"\ndevice = \"/dev/null\"\nunit = 0", "`unit`: must be 1 to 247, not 0"),
        ("map = \"eastron-sdm630\"\ndevice = \"/dev/null\"\nstop_bits = 3", "`stop_bits`: must be 1 or 2"),
    ] {
        let error = open(keys, &one(), &Arc::default()).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
