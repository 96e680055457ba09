//! What a released version left on disk is opened by this one: totals continue, history stays.

use std::path::{Path, PathBuf};

use kwapi_peers::{Lab, need, wait_until};
use serde_json::Value;

use crate::fake_clock::FakedClock;
use crate::harness::{Kwapi, PATIENCE, get, run};

/// The probes of the golden directories, at a watt, so that what this version adds is far below what is there.
const METERS: &str = "[[meter]]\ndriver = 'dummy'\nwatts = 1\nprobes = ['rack.a', 'rack.b']\n\
     [[meter]]\ndriver = 'dummy'\nwatts = 1\nprobe = 'desk'\n";

/// A day after version 0.1.0 left its directories: a graph shows the last year.
const DAY_AFTER: &str = "2026-11-27 20:00:00";

fn listeners() -> &'static str {
    "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
     [status]\nlisten = '127.0.0.1:@STATUS@'\n"
}

/// A scratch directory with a copy of what version 0.1.0 left.
fn left_by_0_1_0() -> Lab {
    let lab = Lab::empty();
    copy(&golden(), &lab.join("state"));
    lab
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state-0.1.0/run")
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A probe's totals, once a message of this process is in them.
#[track_caller]
fn check_total(kwapi: &Kwapi, probe: &str, joules: f64, since: f64) {
    kwapi.probe(probe);
    let entry: Value = wait_until("the probe", PATIENCE, || {
        let (status, body) = get(kwapi.api, &format!("/v2/probes/{probe}/"))?;
        serde_json::from_str(&body).ok().filter(|_| status == 200)
    });
    let gained = entry["joules"].as_f64().unwrap() - joules;
    // A second of 100 kW would be a hundred thousand: this is a watt, on a machine that may be slow.
    assert!((-0.1..1000.0).contains(&gained), "{entry}");
    assert_eq!(entry["since"].as_f64(), Some(since), "{entry}");
}

#[test]
fn totals_of_version_0_1_0_continue_in_one_process() {
    let toml = format!("{}{METERS}", listeners());
    let kwapi = Kwapi::start_in(left_by_0_1_0(), &["run"], &toml);
    check_total(&kwapi, "desk", 5_900_000.0, 1_795_721_927.791_281);
    check_total(&kwapi, "rack.b", 2_359_999.4, 1_795_721_927.200_566);
    // And again: what was taken over is now this version's own.
    let Kwapi { process, lab, .. } = kwapi;
    process.signal(9);
    process.ended(PATIENCE);
    let kwapi = Kwapi::start_in(lab, &["run"], &toml);
    check_total(&kwapi, "desk", 5_900_000.0, 1_795_721_927.791_281);
}

#[test]
fn history_of_version_0_1_0_stays() {
    if !need(&["faketime"]) {
        return;
    }
    let toml = format!("{}{METERS}", listeners());
    let kwapi = Kwapi::start_at(left_by_0_1_0(), DAY_AFTER, &["run"], &toml);
    let _faked = FakedClock(kwapi.process.id());
    check_year(&kwapi);
}

/// The graph of the year has what version 0.1.0 measured.
#[track_caller]
fn check_year(kwapi: &Kwapi) {
    kwapi.probe("desk");
    let year = wait_until("the graph of the year", PATIENCE, || {
        let (status, body) = get(kwapi.web, "/graph/year/desk/?format=svg")?;
        (status == 200 && body.contains("100.0 kW")).then_some(body)
    });
    assert!(!year.contains("No data yet"), "{year}");
}

#[test]
fn the_records_of_version_0_1_0_are_kept_and_come_back() {
    if !need(&["faketime"]) {
        return;
    }
    let toml = format!("{}{METERS}", listeners());
    let kwapi = Kwapi::start_at(left_by_0_1_0(), DAY_AFTER, &["run"], &toml);
    let _faked = FakedClock(kwapi.process.id());
    check_total(&kwapi, "desk", 5_900_000.0, 1_795_721_927.791_281);
    let log = kwapi.process.log();
    assert!(log.contains("state directory upgraded") && log.contains("0.1.0"), "{log}");
    let version = std::fs::read_to_string(kwapi.file("state/version")).unwrap();
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    let kept = kwapi.file("state").join(format!("before-{}", version.trim()));
    for file in ["api/accounts.log", "history/journal/0000000000000000.journal", "history/rrd/probes.jsonl"] {
        let is_same = std::fs::read(kept.join(file)).unwrap() == std::fs::read(golden().join(file)).unwrap();
        assert!(is_same, "{file}");
    }
    let Kwapi { process, lab, .. } = kwapi;
    process.stop(15, PATIENCE);

    let config = lab.join("kwapi.toml").display().to_string();
    let restore = ["--config", &config, "restore", kept.to_str().unwrap(), "--replace"];
    let (is_well, output) = run(&restore, lab.path());
    assert!(is_well, "{output}");
    assert!(!lab.join("state/version").exists(), "version 0.1.0 did not record it");
    assert!(!lab.join("state/history/accounts").exists(), "that version had none");
    // RRD files are as they were, and are put back.
    copy(&lab.join("state/history.before-1/rrd"), &lab.join("state/history/rrd"));
    let kwapi = Kwapi::start_at(lab, DAY_AFTER, &["run"], &toml);
    let _faked = FakedClock(kwapi.process.id());
    check_total(&kwapi, "desk", 5_900_000.0, 1_795_721_927.791_281);
    check_year(&kwapi);
}

#[test]
fn a_state_directory_of_a_later_version_is_left_alone() {
    let lab = left_by_0_1_0();
    std::fs::write(lab.join("state/version"), "99.1.0\n").unwrap();
    let config = lab.join("kwapi.toml");
    std::fs::write(
        &config,
        format!(
            "state_directory = '{}'\n[api]\nlisten = '127.0.0.1:0'\nsubscribe = ['ipc://{0}/bus']\n\
             [rrd]\nlisten = '127.0.0.1:0'\nsubscribe = ['ipc://{0}/bus']\n[status]\nlisten = '127.0.0.1:0'\n\
             [bus]\nsignature = 'none'\n[drivers]\npublish = ['ipc://{0}/bus']\n{METERS}",
            lab.join("state").display()
        ),
    )
    .unwrap();
    let state = lab.join("state").display().to_string();
    let csv = lab.join("log.csv");
    std::fs::write(&csv, "time,watts\n2026-11-26T12:00:00Z,1\n").unwrap();
    let csv = csv.display().to_string();
    let import = ["import", &csv, "--probe", "p", "--time", "time", "--power", "watts"];
    let commands: [&[&str]; 8] = [
        &["run"],
        &["drivers"],
        &["api"],
        &["rrd"],
        &["check"],
        &["energy", "--state-directory", &state],
        &["backup", "copy"],
        &import,
    ];
    for command in commands {
        let mut arguments = vec!["--config", config.to_str().unwrap()];
        arguments.extend(command);
        let (is_well, output) = run(&arguments, lab.path());
        let refusal = "was written by kwapi 99.1.0, which is newer than this one";
        assert!(!is_well && output.contains(refusal), "{command:?}: {output}");
    }
    let journal = "history/journal/0000000000000000.journal";
    let is_same = std::fs::read(lab.join("state").join(journal)).unwrap()
        == std::fs::read(golden().join(journal)).unwrap();
    assert!(is_same);
    assert!(!lab.join("state/drivers").exists() && !lab.join("state/history/accounts").exists());
}
