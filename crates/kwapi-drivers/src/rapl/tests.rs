//! A powercap tree as Linux 6.12 shows it on a dual-socket Xeon, copied to a scratch directory.

use std::fs;
use std::path::Path;

use kwapi_core::Energy;
use proptest::prelude::*;
use tempfile::TempDir;

use super::zones::parse_microjoules;
use super::*;
use crate::driver::ReadRequest;
use crate::testing::by_key;

/// Zones by path, with name and counter in microjoules; the range is that of many Xeons.
fn tree(zones: &[(&str, &str, u64)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, name, energy) in zones {
        let zone = root.path().join(path);
        fs::create_dir(&zone).unwrap();
        fs::write(zone.join("name"), format!("{name}\n")).unwrap();
        fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        fs::write(zone.join("energy_uj"), format!("{energy}\n")).unwrap();
    }
    root
}

fn two_packages() -> TempDir {
    tree(&[
        ("intel-rapl:1", "package-1", 3_000_000),
        ("intel-rapl:0", "package-0", 1_000_000),
        ("intel-rapl:0:0", "core", 900_000),
        ("intel-rapl:0:1", "dram", 50_000),
        ("intel-rapl-mmio:0", "package-0", 1_000_000),
    ])
}

fn set(root: &Path, zone: &str, energy: &str) {
    fs::write(root.join(zone).join("energy_uj"), energy).unwrap();
}

fn named(key: &str) -> Outlets {
    by_key([(key, "cpu")])
}

async fn open(root: &Path, outlets: &Outlets) -> Result<Rapl, DriverError> {
    Rapl::open(&RaplConfig { root: root.to_owned() }, outlets, &Arc::default()).await
}

/// One round as text.
async fn read(meter: &mut Rapl) -> Result<Vec<String>, DriverError> {
    let mut readings = Readings::default();
    meter.read(&mut readings).await?;
    Ok(readings.drain().map(|(probe, reading)| format!("{probe}: {}", reading.unwrap())).collect())
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_is_read_more_often_than_it_steps_is_reported_when_it_has_stepped() {
    let root = tree(&[("intel-rapl:0", "package-0", 1_000_000)]);
    let mut meter = open(root.path(), &named("package-0")).await.unwrap();
    let mut readings = Readings::default();
    readings.request(ReadRequest { interval: Duration::from_millis(1), ..ReadRequest::default() });
    let mut reported = Vec::new();
    for (wait_ms, energy) in [(1, 1_000_000), (1, 1_000_000), (1, 1_062_000), (1, 1_062_000), (50, 1_062_000)]
    {
        set(root.path(), "intel-rapl:0", &energy.to_string());
        sleep(Duration::from_millis(wait_ms)).await;
        meter.read(&mut readings).await.unwrap();
        let outcome: Vec<_> = readings.drain().map(|(_, reading)| reading.unwrap().to_string()).collect();
        reported.push(outcome.join(" "));
    }
    assert_eq!(reported, ["1 J", "", "1.062 J", "", "1.062 J"]);
    // At its usual pace it is reported at each reading.
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 1.062 J"]);
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 1.062 J"]);
}

#[tokio::test]
async fn all_outlets_are_those_that_add_up() {
    let root = two_packages();
    let mut meter = open(root.path(), &Outlets::all("{outlet}")).await.unwrap();
    let expected = ["package-0: 1 J", "package-0.dram: 0.05 J", "package-1: 3 J"];
    assert_eq!(read(&mut meter).await.unwrap(), expected);
    let findings = meter.findings();
    let used: Vec<_> = findings.iter().filter(|finding| finding.is_used).map(|f| f.what.as_str()).collect();
    assert_eq!(used, ["package-0", "package-0.dram", "package-1"]);
    assert_eq!(findings.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_total_adds_packages_and_memory_once_and_survives_a_wrap_of_one() {
    let root = two_packages();
    set(root.path(), "intel-rapl:0", "262143000000");
    let mut meter = open(root.path(), &named("total")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 0 J"]);
    tokio::time::advance(Duration::from_secs(1)).await;
    set(root.path(), "intel-rapl:0", "672000"); // 0.328 J to the range, and 0.672 J more
    set(root.path(), "intel-rapl:1", "5000000");
    set(root.path(), "intel-rapl:0:0", "999999999");
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 3 J"]);
}

#[tokio::test(start_paused = true)]
async fn a_counter_of_a_sum_that_is_set_back_is_no_wrap() {
    let root = two_packages();
    set(root.path(), "intel-rapl:1", "5000000000");
    let mut meter = open(root.path(), &named("total")).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    set(root.path(), "intel-rapl:1", "30000000");
    set(root.path(), "intel-rapl:0", "3000000");
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 2 J"]);
    tokio::time::advance(Duration::from_secs(1)).await;
    set(root.path(), "intel-rapl:1", "60000000");
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 32 J"]);
}

/// A machine with a platform counter, and what its total reports in each round in which the counters are set to these.
async fn machine(rounds: &[(u64, u64)]) -> (Vec<String>, String) {
    let zones = [
        ("intel-rapl:0", "package-0", 1_000_000),
        ("intel-rapl:0:0", "dram", 500_000),
        ("intel-rapl:1", "psys", 7_000_000),
    ];
    let root = tree(&zones);
    let mut meter = open(root.path(), &named("1")).await.unwrap();
    let mut outcome = Vec::new();
    for (package, psys) in rounds {
        set(root.path(), "intel-rapl:0", &package.to_string());
        set(root.path(), "intel-rapl:1", &psys.to_string());
        let mut readings = Readings::default();
        meter.read(&mut readings).await.unwrap();
        let (_, reading) = readings.drain().next().unwrap();
        outcome.push(reading.map_or_else(|error| error.to_string(), |reading| reading.to_string()));
    }
    let psys = meter.findings().pop().unwrap();
    (outcome, format!("{} {}", psys.is_used, psys.why))
}

const COMPARED: &str = "not ready: comparing psys with its packages";

#[tokio::test(start_paused = true)]
async fn the_platform_is_the_total_where_there_is_one_that_counts() {
    let (outcome, psys) =
        machine(&[(1_000_000, 7_000_000), (3_000_000, 10_000_000), (4_000_000, 12_000_000)]).await;
    assert_eq!(outcome, [COMPARED, "10 J", "12 J"]);
    assert!(psys.starts_with("true ") && psys.ends_with("used as the total"), "{psys}");
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_counts_less_than_its_packages_is_not_the_total() {
    let (outcome, psys) = machine(&[(3_000_000, 7_000_000), (4_000_000, 7_000_000)]).await;
    assert_eq!(outcome, ["2 J", "3 J"]);
    assert!(psys.starts_with("false ") && psys.contains("not wired on this machine"), "{psys}");
    // It creeps, or stops later.
    let (outcome, _) = machine(&[(3_000_000, 7_100_000)]).await;
    assert_eq!(outcome, ["2 J"]);
    let (outcome, _) =
        machine(&[(3_000_000, 10_000_000), (9_000_000, 10_000_000), (10_000_000, 20_000_000)]).await;
    assert_eq!(outcome, ["10 J", "8 J", "9 J"]);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_never_proven_is_left_out() {
    let (outcome, psys) = machine(&[(1_000_000, 7_000_000); 12]).await;
    assert_eq!(outcome.iter().filter(|outcome| *outcome == COMPARED).count(), 8, "{outcome:?}");
    assert_eq!(outcome.last().unwrap(), "0 J");
    assert!(psys.starts_with("false ") && psys.contains("not enough load to verify it"), "{psys}");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_cannot_be_read_costs_itself_alone() {
    let root = two_packages();
    fs::remove_file(root.path().join("intel-rapl:0:1/energy_uj")).unwrap();
    let mut meter = open(root.path(), &named("total")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 0 J"]);
    set(root.path(), "intel-rapl:1", "4000000");
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 1 J"]);
    let dram = meter.findings().into_iter().find(|finding| finding.what == "package-0.dram").unwrap();
    assert!(dram.value.contains("No such file") && !dram.is_used, "{dram:?}");
    let mut all = open(root.path(), &Outlets::all("{outlet}")).await.unwrap();
    let mut readings = Readings::default();
    all.read(&mut readings).await.unwrap();
    let bad: Vec<_> =
        readings.drain().filter(|(_, reading)| reading.is_err()).map(|(probe, _)| probe).collect();
    assert_eq!(bad, [ProbeId::new("package-0.dram").unwrap()]);
}

#[tokio::test(start_paused = true)]
async fn zones_that_come_later_are_read() {
    let root = tree(&[("intel-rapl:0", "package-0", 1_000_000)]);
    let mut meter = open(root.path(), &Outlets::all("{outlet}")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), ["package-0: 1 J"]);
    let other = tree(&[("intel-rapl:0:0", "dram", 250_000)]);
    fs::rename(other.path().join("intel-rapl:0:0"), root.path().join("intel-rapl:0:0")).unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), ["package-0: 1 J"]);
    tokio::time::advance(ZONES_PAUSE).await;
    assert_eq!(read(&mut meter).await.unwrap(), ["package-0: 1 J", "package-0.dram: 0.25 J"]);
}

#[tokio::test]
async fn zones_of_one_name_are_distinguished_or_refused_by_name() {
    let root = tree(&[("intel-rapl:0", "package-0", 1_000_000), ("intel-rapl:1", "package-0", 2_000_000)]);
    let mut meter = open(root.path(), &Outlets::all("{outlet}")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), ["intel-rapl:0: 1 J", "intel-rapl:1: 2 J"]);
    let mut meter = open(root.path(), &named("intel-rapl:1")).await.unwrap();
    assert_eq!(read(&mut meter).await.unwrap(), ["cpu: 2 J"]);
    let error = open(root.path(), &named("package-0")).await.unwrap_err().to_string();
    assert_eq!(error, "refused: \"package-0\" matches several zones; use one of intel-rapl:0, intel-rapl:1");
}

#[tokio::test]
async fn a_single_counter_carries_its_range() {
    let root = two_packages();
    let mut meter = open(root.path(), &named("package-0")).await.unwrap();
    let mut readings = Readings::default();
    meter.read(&mut readings).await.unwrap();
    let reading = readings.drain().next().unwrap().1.unwrap();
    assert_eq!(reading.counter.unwrap().range, Some(Energy::from_millijoules(262_143_328)));
    assert_eq!(reading.power, None);
}

#[tokio::test]
async fn what_cannot_be_read_names_the_remedy() {
    let message = |result: Result<Rapl, DriverError>| match result {
        Err(DriverError::Refused(message)) => message,
        other => panic!("{other:?}"),
    };
    let empty = tempfile::tempdir().unwrap();
    assert!(message(open(empty.path(), &named("1")).await).contains("virtual machine"));
    assert!(message(open(&empty.path().join("nowhere"), &named("1")).await).contains("virtual machine"));
    let root = two_packages();
    assert_eq!(
        message(open(root.path(), &named("gpu")).await),
        "unknown zone \"gpu\"; available: total, package-0, package-0.core, package-0.dram, package-1"
    );
    set(root.path(), "intel-rapl:0", "soon");
    let error = open(root.path(), &named("package-0")).await.unwrap_err();
    assert_eq!(error.to_string(), "malformed energy_uj: \"soon\"");
    fs::remove_file(root.path().join("intel-rapl:1/energy_uj")).unwrap();
    assert!(matches!(open(root.path(), &named("package-1")).await, Err(DriverError::Link(_))));
}

#[test]
fn a_missing_permission_names_the_file_and_the_remedy() {
    let denied =
        zones::cannot_read(Path::new("/sys/x/energy_uj"), &std::io::ErrorKind::PermissionDenied.into());
    let DriverError::Refused(message) = denied else { panic!("{denied:?}") };
    assert!(message.contains("chgrp kwapi /sys/x/energy_uj"), "{message}");
}

proptest! {
    #[test]
    fn no_text_in_a_counter_panics(text in ".*") {
        _ = parse_microjoules(&text);
    }
}

#[test]
fn a_zone_is_named_and_not_numbered() {
    let config = RaplConfig::default();
    let two = Outlets::by_position(["a", "b"].map(|name| ProbeId::new(name).ok()));
    let message = Rapl::check_outlets(&config, &two).unwrap_err().to_string();
    assert!(message.starts_with("`probes`: outlet \"2\": zones have names"), "{message}");
}

/// The registers of a round, as the manager receives them.
async fn registers(meter: &mut Rapl) -> Vec<Arc<Register>> {
    let mut readings = Readings::default();
    meter.read(&mut readings).await.unwrap();
    readings.drain().map(|(_, reading)| reading.unwrap().register.unwrap()).collect()
}

#[tokio::test]
async fn a_zones_register_is_of_the_host_by_its_name_and_a_sum_of_zones_is_of_the_session() {
    let root = two_packages();
    let mut meter = open(root.path(), &Outlets::all("{outlet}")).await.unwrap();
    let reported = registers(&mut meter).await;
    let paths: Vec<_> = reported.iter().filter_map(|register| register.path.as_deref()).collect();
    assert_eq!(paths, ["package-0", "package-0.dram", "package-1"]);
    assert!(reported.iter().all(|register| register.is_in_host && !register.is_of_session), "{reported:?}");
    let again = registers(&mut meter).await;
    assert!(
        reported.iter().zip(&again).all(|(before, after)| Arc::ptr_eq(before, after)),
        "one name a session"
    );

    // Several zones, each with a wrap of its own, have no register that another session could continue.
    let mut meter = open(root.path(), &named("total")).await.unwrap();
    let [total] = registers(&mut meter).await.try_into().expect("one outlet");
    assert!(total.path.is_none() && total.is_of_session && total.is_in_host, "{total:?}");
    let one = tree(&[("intel-rapl:0", "package-0", 5_000_000)]);
    let mut meter = open(one.path(), &named("total")).await.unwrap();
    let [total] = registers(&mut meter).await.try_into().expect("one outlet");
    assert_eq!(
        (total.path.as_deref(), total.is_of_session),
        (Some("package-0"), false),
        "a sum of one is it"
    );
}
