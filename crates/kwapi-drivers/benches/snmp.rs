//! A machine room of PDUs over SNMP: 1 000 of 24 outlets, each once a second, through one socket.
//!
//! `cargo bench -p kwapi-drivers --bench snmp [-- PDUS SECONDS]`. The drivers have one thread, the simulated agents
//! another; the CPU time of each is read from /proc. Without `--bench` (as `cargo test --all-targets` starts it) it
//! is a short run that only sees that all is answered.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measurement prints and stops at what it did not expect"
)]

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_drivers::snmp::{Snmp, SnmpConfig, SnmpShared};
use kwapi_drivers::{Driver, Outlet, Outlets, Readings};
use kwapi_simulators::snmp::{Rack, RackSettings};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

const OUTLETS: usize = 24;
const INTERVAL: Duration = Duration::from_secs(1);
/// Clock ticks a second in /proc (`USER_HZ`, fixed at 100 by Linux' interface).
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let pdus = numbers.next().unwrap_or(if is_bench { 1_000 } else { 20 });
    let seconds = numbers.next().unwrap_or(if is_bench { 20 } else { 2 });

    let (addresses, agents) = mpsc::channel();
    let simulators = std::thread::Builder::new().name("agents".into());
    _ = simulators
        .spawn(move || runtime().block_on(simulate(pdus, addresses)))
        .expect("a thread for the agents");
    let racks = agents.recv().expect("the agents start");

    let drivers = std::thread::Builder::new().name("drivers".into());
    let drivers =
        drivers.spawn(move || runtime().block_on(drive(&racks, seconds))).expect("a thread for the drivers");
    drivers.join().expect("the drivers end");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn simulate(pdus: usize, ready: mpsc::Sender<Arc<Vec<Rack>>>) {
    let mut racks = Vec::new();
    for seed in 0..pdus {
        let names = (1..=OUTLETS).map(|number| format!("host {number}")).collect();
        let settings = RackSettings { names, seed: seed as u64, ..RackSettings::default() };
        racks.push(Rack::start(settings).await.expect("a free port and a descriptor (ulimit -n)"));
    }
    ready.send(Arc::new(racks)).expect("somebody waits for the agents");
    std::future::pending::<()>().await;
}

async fn drive(racks: &[Rack], seconds: usize) {
    let shared = Arc::new(SnmpShared::default());
    let outlets = Outlets::by_key((1..=OUTLETS).map(|number| Outlet {
        key: number.to_string(),
        probe: ProbeId::new(format!("outlet {number}")).expect("a probe id"),
    }));
    let memory_before = resident_kib();
    let opening = Instant::now();
    let mut drivers = Vec::new();
    for rack in racks {
        let address = rack.address();
        let config: SnmpConfig =
            toml::from_str(&format!("host = \"{}\"\nport = {}", address.ip(), address.port()))
                .expect("a configuration");
        let mut driver = Snmp::open(&config, &outlets, &shared).await.expect("an agent that answers");
        driver.read(&mut Readings::default()).await.expect("a first reading");
        drivers.push(driver);
    }
    println!("{} PDUs opened and read once in {:.1?}", racks.len(), opening.elapsed());

    let (cpu_before, datagrams_before) = ((cpu_seconds("drivers"), cpu_seconds("agents")), datagrams(racks));
    let start = Instant::now() + Duration::from_millis(200);
    let count = u32::try_from(racks.len()).expect("a sane number of PDUs");
    let mut meters = tokio::task::JoinSet::new();
    for (driver, number) in drivers.into_iter().zip(0_u32..) {
        // Phases are spread over the interval, as the driver manager spreads them.
        meters.spawn(poll(driver, start + INTERVAL * number / count, seconds));
    }
    let mut lateness = Vec::new();
    let (mut readings, mut failures) = (0, 0);
    while let Some(meter) = meters.join_next().await {
        let (late, read, failed) = meter.expect("a meter's task ends");
        lateness.extend(late);
        readings += read;
        failures += failed;
    }
    let elapsed = start.elapsed().as_secs_f64();
    let memory = resident_kib().saturating_sub(memory_before);

    lateness.sort();
    let percentile = |percent: usize| {
        lateness.get((lateness.len().saturating_sub(1)) * percent / 100).copied().unwrap_or_default()
    };
    let rounds = lateness.len() as f64;
    let (received, sent) = datagrams(racks);
    let requests = (received - datagrams_before.0) as f64;
    println!("{rounds} rounds in {elapsed:.1} s: {readings} readings, {failures} failed rounds");
    println!(
        "requests a round: {:.2} ({} of {requests} answered)",
        requests / rounds,
        sent - datagrams_before.1
    );
    println!(
        "done after being due: p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        percentile(50),
        percentile(99),
        percentile(100)
    );
    let cpu = |thread, before| cpu_seconds(thread) - before;
    let (drivers, agents) = (cpu("drivers", cpu_before.0), cpu("agents", cpu_before.1));
    println!(
        "CPU: drivers {:.1} % of a core, {:.0} µs a PDU and round; simulated agents {:.1} %",
        drivers / elapsed * 100.0,
        drivers / rounds * 1e6,
        agents / elapsed * 100.0
    );
    println!("memory: {} KiB a PDU (drivers, plan and open sessions)", memory / u64::from(count.max(1)));
    assert_eq!(failures, 0, "every round is answered");
    assert_eq!(readings, lateness.len() * OUTLETS, "every outlet has a reading");
    assert!(requests <= 2.0 * rounds, "two requests a round at most");
}

/// Reads a meter once per interval; gives how long after it was due each round was done.
async fn poll(mut driver: Snmp, first: Instant, rounds: usize) -> (Vec<Duration>, usize, usize) {
    let mut pace = tokio::time::interval_at(first, INTERVAL);
    let mut readings = Readings::default();
    let (mut lateness, mut read, mut failed) = (Vec::new(), 0, 0);
    for _ in 0..rounds {
        let due = pace.tick().await;
        match driver.read(&mut readings).await {
            Ok(()) => read += readings.drain().filter(|(_, reading)| reading.is_ok()).count(),
            Err(error) => {
                println!("{error}");
                failed += 1;
            }
        }
        lateness.push(due.elapsed());
    }
    (lateness, read, failed)
}

fn datagrams(racks: &[Rack]) -> (u64, u64) {
    racks.iter().map(Rack::datagrams).fold((0, 0), |sum, rack| (sum.0 + rack.received, sum.1 + rack.sent))
}

/// User and system time of the thread of that name (proc(5), `task/*/stat`, fields 14 and 15).
fn cpu_seconds(thread: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    let ticks = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11);
        let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        (name == thread).then_some(ticks)
    });
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
