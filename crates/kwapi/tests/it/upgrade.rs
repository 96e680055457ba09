//! What a released version left on disk is opened by this one: totals go on, history stays.

use std::path::Path;

use kwapi_peers::{Lab, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get};

/// The probes of the golden directories, at a watt, so that what this version adds is far below what is there.
const METERS: &str = "[[meter]]\ndriver = 'dummy'\nwatts = 1\nprobes = ['rack.a', 'rack.b']\n\
     [[meter]]\ndriver = 'dummy'\nwatts = 1\nprobe = 'desk'\n";

fn listeners() -> &'static str {
    "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
     [status]\nlisten = '127.0.0.1:@STATUS@'\n"
}

/// A scratch directory with a copy of what version 0.1.0 left.
fn left_by_0_1_0() -> Lab {
    let lab = Lab::empty();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state-0.1.0/run");
    copy(&golden, &lab.join("state"));
    lab
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
fn totals_of_version_0_1_0_go_on_in_one_process() {
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
    let kwapi = Kwapi::start_in(left_by_0_1_0(), &["run"], &format!("{}{METERS}", listeners()));
    kwapi.probe("desk");
    let year = wait_until("the graph of the year", PATIENCE, || {
        let (status, body) = get(kwapi.web, "/graph/year/desk/?format=svg")?;
        (status == 200 && body.contains("100.0 kW")).then_some(body)
    });
    assert!(!year.contains("No data yet"), "{year}");
}
