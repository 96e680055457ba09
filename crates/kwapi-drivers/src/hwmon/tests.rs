//! Chips as Linux shows them, in a scratch directory: one directory a chip, with a link to its device.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use kwapi_core::ProbeId;
use proptest::prelude::*;
use tempfile::TempDir;

use super::chip::bus_address;
use super::file::{parse_name, parse_number};
use super::*;
use crate::driver::{Driver as _, Readings};
use crate::local_sensors::LocalSensorsConfig;
use crate::outlets::Outlets;
use crate::testing::{by_key, round};

/// A machine without chips.
fn machine() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn root(machine: &TempDir) -> PathBuf {
    machine.path().join("hwmon")
}

/// Adds a chip of the device `device` (none: no link) with these files, each `name value`.
fn chip(machine: &TempDir, number: u32, device: &str, files: &[&str]) {
    let directory = root(machine).join(format!("hwmon{number}"));
    fs::create_dir_all(&directory).unwrap();
    if !device.is_empty() {
        let target = machine.path().join("devices").join(device);
        fs::create_dir_all(target.join("power")).unwrap();
        symlink(target, directory.join("device")).unwrap();
    }
    for file in files {
        let (name, value) = file.split_once(' ').unwrap();
        fs::write(directory.join(name), format!("{value}\n")).unwrap();
    }
}

const RADEON: [&str; 6] = [
    "name amdgpu",
    "power1_average 41000000",
    "power1_input 97000000",
    "power1_label PPT",
    "in0_input 806",
    "in0_label vddgfx",
];
const INA226: [&str; 5] =
    ["name ina226", "in0_input 2", "in1_input 12040", "curr1_input 415", "power1_input 5000000"];

fn named(key: &str) -> Outlets {
    by_key([(key, "p")])
}

fn config(root: &Path) -> LocalSensorsConfig<HwmonSensor> {
    toml::from_str(&format!("root = '{}'", root.display())).unwrap()
}

async fn open(machine: &TempDir, outlets: &Outlets) -> Result<Hwmon, DriverError> {
    Hwmon::open(&config(&root(machine)), outlets, &Arc::default()).await
}

/// One round as text.
async fn read(meter: &mut Hwmon) -> Result<String, DriverError> {
    Ok(round(meter).await?.join("; "))
}

#[track_caller]
fn check(machine: &TempDir, outlets: &Outlets, expected: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let actual = runtime.block_on(async { read(&mut open(machine, outlets).await?).await });
    assert_eq!(actual.unwrap_or_else(|error| error.to_string()), expected);
}

#[test]
fn chips_are_named_by_their_place_and_not_by_their_number() {
    let first = machine();
    chip(&first, 4, "0000:03:00.0", &RADEON);
    chip(&first, 11, "1-0040", &INA226);
    let second = machine();
    chip(&second, 2, "1-0040", &INA226);
    chip(&second, 7, "0000:03:00.0", &RADEON);
    check(
        &first,
        &Outlets::all("{outlet}"),
        "amdgpu-pci-0300.power1: 41 W; ina226-i2c-1-40.power1: 5 W, 12.04 V, 0.415 A",
    );
    check(
        &second,
        &Outlets::all("{outlet}"),
        "ina226-i2c-1-40.power1: 5 W, 12.04 V, 0.415 A; amdgpu-pci-0300.power1: 41 W",
    );
    for key in ["amdgpu-pci-0300", "amdgpu-pci-0300.power1", "amdgpu-pci-0300.PPT"] {
        check(&first, &named(key), "p: 41 W");
        check(&second, &named(key), "p: 41 W");
    }
    check(&first, &Outlets::all("n.{label}"), "n.PPT: 41 W; n.ina226-i2c-1-40: 5 W, 12.04 V, 0.415 A");
}

#[test]
fn the_address_on_the_bus_is_written_as_lm_sensors_writes_it() {
    for (device, expected) in [
        ("0000:03:00.0", Some("pci-0300")),
        ("0001:c1:02.3", Some("pci-1c113")),
        ("1-0040", Some("i2c-1-40")),
        ("ACPI000D:00", Some("acpi-0")),
        ("0003:1B1C:1C05.0001", Some("hid-3-1")),
        ("coretemp.0", None),
        ("1-1.2", None),
        ("hwmon", None),
        ("", None),
    ] {
        assert_eq!(bus_address(device).as_deref(), expected, "{device}");
    }
    let machine = machine();
    chip(&machine, 0, "soc:meter.1", &["name a.b", "power1_input 1000000"]);
    chip(&machine, 1, "", &["name loose", "power1_input 2000000"]);
    chip(&machine, 2, "", &["name loose", "power1_input 3000000"]);
    let expected =
        "a-b-soc-meter-1.power1: 1 W; loose-virtual-0.power1: 2 W; loose-virtual-0-hwmon2.power1: 3 W";
    check(&machine, &Outlets::all("{outlet}"), expected);
}

#[test]
fn a_chip_of_an_older_driver_has_its_files_with_its_device() {
    let machine = machine();
    chip(&machine, 0, "ACPI000D:00", &[]);
    let device = machine.path().join("devices/ACPI000D:00");
    fs::write(device.join("name"), "power_meter\n").unwrap();
    fs::write(device.join("power1_average"), "213000000\n").unwrap();
    check(&machine, &named("1"), "p: 213 W");
}

#[test]
fn the_whole_machine_is_not_added_to_its_parts() {
    let machine = machine();
    chip(&machine, 0, "ACPI000D:00", &["name power_meter", "power1_average 213000000"]);
    check(&machine, &Outlets::all("{outlet}"), "power_meter-acpi-0.power1: 213 W");
    chip(&machine, 1, "0000:03:00.0", &RADEON);
    check(&machine, &Outlets::all("{outlet}"), "amdgpu-pci-0300.power1: 41 W");
    check(&machine, &named("power_meter-acpi-0"), "p: 213 W");
}

#[test]
fn parts_of_a_chip_are_not_added_to_its_total() {
    let supply = machine();
    let rails = [
        "name pmbus",
        "power1_label pin",
        "power1_input 250000000",
        "power2_label pout1",
        "power2_input 231000000",
        "in1_label vin",
        "in1_input 229500",
        "in2_label vout1",
        "in2_input 12100",
        "curr1_label iin",
        "curr1_input 1100",
        "curr2_label iout1",
        "curr2_input 19090",
    ];
    chip(&supply, 0, "3-0058", &rails);
    check(&supply, &Outlets::all("{label}"), "pin: 250 W, 229.5 V, 1.1 A");
    check(&supply, &named("pmbus-i2c-3-58.pout1"), "p: 231 W, 12.1 V, 19.09 A");
    check(&supply, &named("pmbus-i2c-3-58"), "p: 250 W, 229.5 V, 1.1 A");
    let arc = machine();
    let counters = [
        "name xe",
        "energy1_label card",
        "energy1_input 9000001000",
        "energy2_label pkg",
        "energy2_input 7000000000",
    ];
    chip(&arc, 0, "0000:03:00.0", &counters);
    check(&arc, &Outlets::all("{outlet}"), "xe-pci-0300.energy1: 9000.001 J");
    check(&arc, &named("xe-pci-0300.pkg"), "p: 7000 J");
}

#[test]
fn volts_and_amperes_are_handed_over_where_they_belong_together() {
    let machine = machine();
    let ina3221 = [
        "name ina3221",
        "in1_input 5020",
        "in1_label VDD_IN",
        "in2_input 3300",
        "in4_input 40",
        "in5_input 12",
        "curr1_input 1500",
        "curr2_input -8",
        "curr4_input 1492",
    ];
    chip(&machine, 0, "1-0041", &ina3221);
    check(
        &machine,
        &Outlets::all("{outlet}"),
        "ina3221-i2c-1-41.curr1: 5.02 V, 1.5 A; ina3221-i2c-1-41.curr2: 3.3 V, 0 A",
    );
    // Numbers alone mean nothing of another chip's inputs.
    chip(&machine, 1, "nct.656", &["name nct6775", "in1_input 1000", "curr1_input 7000", "in0_input 3"]);
    check(
        &machine,
        &named("nct6775-nct-656"),
        &format!(
            "refused: unknown sensor \"nct6775-nct-656\"; available: {}",
            ["ina3221-i2c-1-41.curr1", "ina3221-i2c-1-41.curr2",].join(", ")
        ),
    );
}

#[test]
fn power_and_energy_of_one_number_are_one_sensor_unless_their_labels_differ() {
    let machine = machine();
    chip(&machine, 0, "1-0040", &["name ina238", "power1_input 7250000", "energy1_input 5000000"]);
    check(&machine, &Outlets::all("{outlet}"), "ina238-i2c-1-40.power1: 7.25 W, 5 J");
    let files =
        ["name occ", "power1_label a", "power1_input 1000000", "energy1_label b", "energy1_input 2000000"];
    chip(&machine, 1, "2-0041", &files);
    check(&machine, &named("occ-i2c-2-41.energy1"), "p: 2 J");
    check(&machine, &named("occ-i2c-2-41.power1"), "p: 1 W");
}

#[test]
fn a_battery_and_a_processor_are_distinguished_from_consumers() {
    let machine = machine();
    chip(&machine, 0, "BAT0", &["name BAT0", "power1_input 9000000"]);
    fs::write(machine.path().join("devices/BAT0/type"), "Battery\n").unwrap();
    chip(&machine, 1, "0000:03:00.0", &RADEON);
    chip(&machine, 2, "0000:0a:00.0", &["name amdgpu", "power1_average 22000000"]);
    for (device, header) in [("0000:03:00.0", [0x78, 0, 1, 3]), ("0000:0a:00.0", [0x80, 0, 2, 2])] {
        fs::write(machine.path().join("devices").join(device).join("gpu_metrics"), header).unwrap();
    }
    let found: Vec<_> = readable(&root(&machine)).into_iter().map(|found| (found.key, found.scope)).collect();
    let expected = [
        ("amdgpu-pci-0300.power1", SensorScope::Consumer),
        ("amdgpu-pci-0a00.power1", SensorScope::Processor),
    ];
    assert_eq!(found, expected.map(|(key, scope)| (key.to_owned(), scope)));
    check(&machine, &named("BAT0-BAT0"), "p: 9 W");
}

#[test]
fn a_card_that_sleeps_is_left_to_sleep() {
    let machine = machine();
    chip(&machine, 0, "0000:03:00.0", &RADEON);
    let device = machine.path().join("devices/0000:03:00.0");
    fs::write(device.join("vendor"), "0x1002\n").unwrap();
    fs::write(device.join("power/runtime_status"), "suspended\n").unwrap();
    let asleep = "p: not available: the device is suspended; reading its sensors would wake it";
    check(&machine, &named("1"), asleep);
    fs::write(device.join("power/runtime_status"), "active\n").unwrap();
    check(&machine, &named("1"), "p: 41 W");
}

#[tokio::test]
async fn a_sensor_that_fails_costs_itself_alone() {
    let machine = machine();
    chip(&machine, 0, "1-0040", &INA226);
    chip(&machine, 1, "1-0041", &INA226);
    let mut meter = open(&machine, &Outlets::all("{outlet}")).await.unwrap();
    fs::write(root(&machine).join("hwmon0/power1_input"), "soon\n").unwrap();
    let outcome = read(&mut meter).await.unwrap();
    assert!(outcome.starts_with("ina226-i2c-1-40.power1: implausible: "), "{outcome}");
    assert!(outcome.ends_with("; ina226-i2c-1-41.power1: 5 W, 12.04 V, 0.415 A"), "{outcome}");
    fs::write(root(&machine).join("hwmon0/power1_input"), "-400000\n").unwrap();
    assert!(read(&mut meter).await.unwrap().starts_with("ina226-i2c-1-40.power1: 0 W"));
    let used: Vec<_> =
        meter.findings().iter().map(|finding| (finding.value.clone(), finding.is_used)).collect();
    assert_eq!(used[0], ("0 W, 12.04 V, 0.415 A".to_owned(), true));
}

#[tokio::test]
async fn a_chip_that_comes_back_under_another_number_is_the_same() {
    let machine = machine();
    chip(&machine, 3, "0000:03:00.0", &RADEON);
    let mut meter = open(&machine, &named("amdgpu-pci-0300")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), "p: 41 W");
    fs::rename(root(&machine).join("hwmon3"), root(&machine).join("hwmon5")).unwrap();
    assert!(matches!(read(&mut meter).await, Err(DriverError::Link(_))));
    assert_eq!(read(&mut meter).await.unwrap(), "p: 41 W");
}

#[tokio::test]
async fn a_counter_is_known_by_its_chip_and_not_beyond_the_boot() {
    let machine = machine();
    chip(&machine, 0, "0000:03:00.0", &["name xe", "energy1_label card", "energy1_input 1234567"]);
    let mut meter = open(&machine, &named("1")).await.unwrap();
    let mut readings = Readings::default();
    meter.read(&mut readings).await.unwrap();
    let reading = readings.drain().next().unwrap().1.unwrap();
    assert_eq!(reading.counter.unwrap().value.millijoules(), 1234);
    let register = reading.register.unwrap();
    assert_eq!(register.path.as_deref(), Some("xe-pci-0300.energy1"));
    assert!(register.is_in_host && !register.is_of_session);
}

#[test]
fn what_cannot_be_read_names_the_remedy() {
    let machine = machine();
    let none = format!(
        "refused: no power or energy sensors in {}; virtual machines have none; on real hardware load the chip's kernel module",
        root(&machine).display()
    );
    check(&machine, &named("1"), &none);
    chip(&machine, 0, "coretemp.0", &["name coretemp", "temp1_input 41000", "power1_cap 5"]);
    check(&machine, &named("1"), &none);
    chip(&machine, 1, "1-0040", &INA226);
    chip(&machine, 2, "1-0041", &INA226);
    check(
        &machine,
        &named("1"),
        "refused: \"1\" matches several sensors; use one of ina226-i2c-1-40.power1, ina226-i2c-1-41.power1",
    );
    let two = Outlets::by_position(["a", "b"].map(|name| ProbeId::new(name).ok()));
    let message = Hwmon::check_outlets(&LocalSensorsConfig::default(), &two).unwrap_err().to_string();
    assert!(message.starts_with("`probes`: outlet \"2\": sensors have names"), "{message}");
    let denied = super::file::FileTrouble::Denied("/sys/x/energy1_input".into()).into_error();
    let Some(DriverError::Refused(message)) = denied else { panic!("{denied:?}") };
    assert!(message.contains("chgrp kwapi /sys/x/energy1_input"), "{message}");
}

proptest! {
    #[test]
    fn no_name_and_no_text_panics(name in "\\PC{0,40}", text in "\\PC{0,40}") {
        _ = parse_name(&name);
        _ = parse_number(&text);
        _ = bus_address(&name);
    }

    #[test]
    fn a_files_name_is_read_whole(quantity in "power|energy|in|curr", number in 0_u32.., item in "input|label") {
        let (found, index, _) = parse_name(&format!("{quantity}{number}_{item}")).unwrap();
        prop_assert_eq!((found.prefix(), index), (quantity.as_str(), number));
        let signed = format!("{quantity}+{number}_{item}");
        prop_assert!(parse_name(&signed).is_none());
    }
}
