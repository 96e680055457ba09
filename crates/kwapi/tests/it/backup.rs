//! `kwapi backup` and `restore`: copies taken of a service under load, also ones that are killed on the way, are opened as
//! what a kill would have left; a service that continues from one credits everything once.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use kwapi_core::Timestamp;
use kwapi_history::journal::{Journal, JournalConfig, Position};
use kwapi_history::{EnergyRequest, EnergyStep, Ledger, LedgerConfig, Query};
use kwapi_peers::Lab;

use crate::harness::{Kwapi, PATIENCE, get, kwapi, run};

/// The driver manager is a process of its own, which is never restarted: its sessions show how much it was.
const DRIVERS: &str = "state_directory = '@DIR@/drivers'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
    [bus]\nkey = { id = 'k', secret = '0123456789abcdef0123456789abcdef' }\n\
    [drivers]\npublish = ['ipc://@DIR@/bus']\ninterval_seconds = 0.1\n\
    [[meter]]\ndriver = 'dummy'\nprobe = 'a.{outlet}'\noutlets = 20\nwatts = 3600\njitter_watts = 900\n";

fn keeper(bus: &Path) -> String {
    format!(
        "state_directory = '@DIR@/state'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [bus]\nkey = {{ id = 'k', secret = '0123456789abcdef0123456789abcdef' }}\n\
         [rrd]\nlisten = '127.0.0.1:@WEB@'\nsubscribe = ['ipc://{}']\nflush_interval_seconds = 1\n[ledger]\nwrite_interval_seconds = 1\n",
        bus.display()
    )
}

/// Each probe's register at its last record, in millijoules. Each record's register is what its session has counted since
/// the first that was received: nothing is missing, and nothing is there twice. The ledger has the same.
fn registers(home: &Path) -> HashMap<String, u64> {
    let now = Timestamp::from_seconds(1);
    let (journal, _) = Journal::open(home, JournalConfig::default(), now).unwrap();
    let mut first: HashMap<String, u64> = HashMap::new();
    let mut last = HashMap::new();
    let replayed = journal
        .replay(Position::default(), |record| {
            let (taken, accounting) = (record.taken.unwrap(), record.accounting.unwrap());
            let (register, total) =
                (taken.register.energy.millijoules(), accounting.totals.energy.millijoules());
            let base = *first.entry(record.probe.to_string()).or_insert(total - register);
            assert_eq!(register, total - base, "{} at {}", record.probe, accounting.seq);
            last.insert(record.probe.to_string(), register);
        })
        .unwrap();
    assert_eq!(replayed.lost_count, 0, "{replayed:?}");
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(now);
    let end = Timestamp::from_seconds(1 << 33);
    let request = EnergyRequest {
        probes: ledger.probes(),
        start: Timestamp::EPOCH,
        end,
        step: EnergyStep::Whole,
        is_to_now: false,
        now,
    };
    let answer = Query::new(ledger, None).energy(&request).unwrap();
    assert!(answer.unreadable.is_empty(), "{answer:?}");
    for probe in &answer.probes {
        let energy = probe.spans[0].energy_mj().unsigned_abs();
        assert_eq!(Some(&energy), last.get(probe.probe.as_str()), "{}", probe.probe);
    }
    assert_eq!(answer.probes.len(), last.len());
    last
}

/// Until 20 probes are in the records of `service`.
fn wait_for_records(service: &Kwapi) {
    kwapi_peers::wait_until("twenty probes", PATIENCE, || {
        let (_, metrics) = get(service.status, "/metrics")?;
        metrics.contains("\"a.20\"").then_some(())
    });
}

fn stop(service: Kwapi, signal: i32) -> Lab {
    service.process.signal(signal);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    lab
}

#[test]
fn a_service_that_continues_from_a_backup_credits_everything_once() {
    let drivers = Kwapi::start(&["drivers"], DRIVERS);
    let configuration = keeper(&drivers.file("bus"));
    let service = Kwapi::start(&["rrd"], &configuration);
    wait_for_records(&service);
    let config = service.file("kwapi.toml").display().to_string();
    let folder = service.lab.path().to_owned();
    let mut dice: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut before: HashMap<String, u64> = HashMap::new();
    for round in 0..12 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = format!("copy-{round}");
        // One that is killed on the way leaves nothing in its place, and does not hinder the next.
        let mut killed = kwapi();
        killed.args(["--config", &config, "backup", &name]).current_dir(&folder);
        let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis((dice >> 33) % 60));
        _ = killed.kill();
        killed.wait().unwrap();
        if !folder.join(&name).exists() {
            let (is_well, output) = run(&["--config", &config, "backup", &name], &folder);
            assert!(is_well, "{output}");
        }
        let state = format!("restored-{round}");
        let (is_well, output) = run(&["restore", &name, "--into", &state], &folder);
        assert!(is_well, "{output}");
        let all = registers(&folder.join(&state).join("history"));
        for (probe, register) in &before {
            assert!(all.get(probe) >= Some(register), "round {round}: {probe} fell");
        }
        before = all;
    }
    assert_eq!(before.len(), 20);

    // The machine fails; the last copy takes the place of its records, and receives further.
    let snapshot = service.file("state/history/accounts");
    kwapi_peers::wait_until("a snapshot of accounts", PATIENCE, || snapshot.exists().then_some(()));
    let lab = stop(service, 9);
    let (is_well, output) = run(&["--config", &config, "restore", "copy-11"], lab.path());
    assert!(!is_well && output.contains("--replace"), "{output}");
    let (is_well, output) = run(&["--config", &config, "restore", "copy-11", "--replace"], lab.path());
    assert!(is_well, "{output}");
    assert!(lab.join("state/history.before-1/accounts").exists());
    let service = Kwapi::start_in(lab, &["rrd"], &configuration);
    kwapi_peers::wait_until("readiness", PATIENCE, || {
        get(service.status, "/readyz").filter(|(status, _)| *status == 200)
    });
    kwapi_peers::wait_until("measurements of each", PATIENCE, || {
        let (_, metrics) = get(service.status, "/metrics")?;
        let count = "kwapi_collector_messages_total{kind=\"ledgered\"} ";
        let count: f64 = metrics.lines().find_map(|line| line.strip_prefix(count)?.parse().ok())?;
        (count > 3.0 * 20.0).then_some(())
    });
    let (is_well, output) =
        run(&["--config", &config, "restore", "copy-11", "--replace"], service.lab.path());
    let config = service.file("kwapi.toml").display().to_string();
    assert!(!is_well, "{output}");
    let (is_well, output) =
        run(&["--config", &config, "restore", "copy-11", "--replace"], service.lab.path());
    assert!(!is_well && output.contains("in use by another kwapi"), "{output}");
    let lab = stop(service, 15);
    let after = registers(&lab.join("state/history"));
    for (probe, register) in &before {
        assert!(after[probe] > *register, "{probe} did not continue");
    }
    // A byte that has changed since is reported, and nothing is touched.
    let list: serde_json::Value =
        serde_json::from_slice(&std::fs::read(lab.join("copy-11/kwapi-backup.json")).unwrap()).unwrap();
    let file = lab.join("copy-11").join(list["files"][0]["path"].as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (is_well, output) = run(&["restore", "copy-11", "--into", "state", "--replace"], lab.path());
    assert!(!is_well && output.contains("is no intact backup"), "{output}");
    assert_eq!(registers(&lab.join("state/history")), after);
    drop(drivers);
}
