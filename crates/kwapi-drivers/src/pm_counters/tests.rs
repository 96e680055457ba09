//! Counters as a node with four accelerators shows them, in a scratch directory.

use std::fs;

use kwapi_core::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use super::file::{parse, parse_name};
use super::*;
use crate::driver::{Driver as _, Readings};
use crate::local_sensors::LocalSensorsConfig;
use crate::outlets::Outlets;
use crate::testing::{by_key, round};

const STAMP: u64 = 1_799_999_999_123_456;

/// A node with these files, each `name text`.
fn node(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(root.path().join(name), format!("{text}\n")).unwrap();
    }
    root
}

fn cray() -> TempDir {
    node(&[
        ("power", "612 W 1799999999123456 us"),
        ("energy", "48211345 J 1799999999123456 us"),
        ("cpu_power", "141 W 1799999999123456 us"),
        ("cpu_energy", "1200345 J 1799999999123456 us"),
        ("memory_power", "38 W 1799999999123456 us"),
        ("memory_energy", "345000 J 1799999999123456 us"),
        ("accel0_power", "102 W 1799999999123456 us"),
        ("accel0_energy", "8000001 J 1799999999023456 us"),
        ("accel1_power", "99 W 1799999999123456 us"),
        ("accel1_energy", "8000002 J 1799999999123456 us"),
        ("accel0_power_cap", "0 W"),
        ("cpu0_temp", "48 C"),
        ("freshness", "20211"),
        ("generation", "7"),
        ("raw_scan_hz", "10"),
        ("startup", "1799000000000000"),
        ("version", "2"),
    ])
}

fn named(key: &str) -> Outlets {
    by_key([(key, "p")])
}

fn config(root: &Path) -> LocalSensorsConfig<NodePart> {
    toml::from_str(&format!("root = '{}'", root.display())).unwrap()
}

async fn open(root: &TempDir, outlets: &Outlets) -> Result<PmCounters, DriverError> {
    PmCounters::open(&config(root.path()), outlets, &Arc::default()).await
}

/// One round as text.
async fn read(meter: &mut PmCounters) -> Result<String, DriverError> {
    Ok(round(meter).await?.join("\n"))
}

#[tokio::test]
async fn the_node_reports_watts_and_joules_and_when() {
    let root = cray();
    for key in ["total", "1"] {
        let mut meter = open(&root, &named(key)).await.unwrap();
        let mut readings = Readings::default();
        meter.read(&mut readings).await.unwrap();
        let (_, reading) = readings.drain().next().unwrap();
        let reading = reading.unwrap();
        assert_eq!(reading.to_string(), "612 W, 48211345 J");
        assert_eq!(reading.measured_at.map(Timestamp::micros), Some(STAMP));
        assert_eq!(reading.counter.unwrap().resolution.joules(), 1.0);
        let register = reading.register.unwrap();
        assert_eq!((register.path.as_deref(), register.is_in_host), (Some("total"), true));
    }
}

#[tokio::test]
async fn a_template_takes_the_parts_and_not_their_sums() {
    let root = cray();
    let mut meter = open(&root, &Outlets::all("n1.{outlet}")).await.unwrap();
    let expected = "n1.accel0: 102 W, 8000001 J\nn1.accel1: 99 W, 8000002 J\nn1.cpu: 141 W, 1200345 J\nn1.memory: 38 W, 345000 J";
    assert_eq!(read(&mut meter).await.unwrap(), expected);
    for number in 0..2 {
        let text = format!("{} W 1799999999123456 us", 70 + number);
        fs::write(root.path().join(format!("cpu{number}_power")), text).unwrap();
    }
    let mut meter = open(&root, &Outlets::all("n1.{outlet}")).await.unwrap();
    let outcome = read(&mut meter).await.unwrap();
    assert!(outcome.contains("n1.cpu0: 70 W\nn1.cpu1: 71 W") && !outcome.contains("n1.cpu:"), "{outcome}");
    let bare = node(&[("power", "12 W"), ("freshness", "1")]);
    let mut meter = open(&bare, &Outlets::all("n1.{outlet}")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), "n1.total: 12 W");
    let findings = meter.findings();
    assert!(findings[0].is_used && findings[0].why.contains("whole node"), "{findings:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_costs_itself_alone() {
    let root = cray();
    let mut meter = open(&root, &named("accel0")).await.unwrap();
    fs::write(root.path().join("accel0_power"), "soon\n").unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), "p: 8000001 J");
    fs::write(root.path().join("accel0_energy"), "\u{0}\u{1b}[2J").unwrap();
    let error = read(&mut meter).await.unwrap_err();
    assert!(matches!(error, DriverError::Malformed { .. }), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
    fs::remove_file(root.path().join("accel0_power")).unwrap();
    fs::remove_file(root.path().join("accel0_energy")).unwrap();
    assert!(matches!(read(&mut meter).await, Err(DriverError::Link(_))));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let nothing = tempfile::tempdir().unwrap();
    let error = open(&nothing, &named("total")).await.unwrap_err().to_string();
    assert!(error.contains("HPE Cray nodes have them"), "{error}");
    let error = open(&cray(), &named("accel7")).await.unwrap_err().to_string();
    assert!(
        error.contains("unknown counter \"accel7\"; available: total, accel0, accel1, cpu, memory"),
        "{error}"
    );
    let error =
        PmCounters::check_outlets(&LocalSensorsConfig::default(), &named("2")).unwrap_err().to_string();
    assert!(error.contains("counters have names"), "{error}");
}

#[test]
fn a_line_is_a_number_its_unit_and_a_stamp() {
    let value = |text| parse(text, "W").map(|value| (value.count, value.stamp.map(Timestamp::micros)));
    assert_eq!(value("265 W 1799999999123456 us\n"), Some((265.0, Some(STAMP))));
    assert_eq!(value("265 W"), Some((265.0, None)));
    for text in
        ["", "265", "265 J", "265 W 5 us", "265 W soon us", "265 W 1799999999123456", "NaN W", "1 W 2 us 3"]
    {
        assert_eq!(value(text), None, "{text:?}");
    }
    for (name, expected) in [
        ("power", Some((NODE, true))),
        ("accel3_energy", Some(("accel3", false))),
        ("power_cap", None),
        ("accel0_power_cap", None),
        ("_power", None),
        ("total_power", None),
        ("../x_power", None),
        ("freshness", None),
    ] {
        assert_eq!(parse_name(name), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}") {
        _ = (parse(&noise, "W"), parse_name(&noise));
    }
}
