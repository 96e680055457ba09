//! `kwapi api` on a host whose clock is in 1970, by libfaketime: it reports that, takes the time from its publishers,
//! and its totals, their begin and the unknown time are right, then and after the clock is set.

use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port, need, wait_until};
use serde_json::Value;

use crate::fake_clock::{FakedClock, begin_at};
use crate::harness::{Kwapi, PATIENCE, get, kwapi};

const KEY: &str = "[bus]\nkey = { id = 'k', secret = '0123456789abcdef0123456789abcdef' }\n";
/// What the probe draws.
const WATTS: f64 = 3_600.0;

/// An API that receives from `drivers`, in the year of `clock`.
fn api(lab: &Lab, drivers: &Kwapi, [api, status]: [u16; 2], clock: Option<&str>) -> Peer {
    let toml = format!(
        "state_directory = '{}/state'\n{KEY}[api]\nlisten = '127.0.0.1:{api}'\nsubscribe = ['ipc://{}']\n[status]\nlisten = '127.0.0.1:{status}'\n",
        lab.path().display(),
        drivers.file("bus").display()
    );
    std::fs::write(lab.join("api.toml"), toml).unwrap();
    let mut command: Command = kwapi();
    command.args(["api", "--config"]).arg(lab.join("api.toml"));
    if let Some(clock) = clock {
        begin_at(&mut command, clock);
    }
    Peer::start(&mut command, lab.join(if clock.is_some() { "api-1970.log" } else { "api.log" }))
}

/// The probe once it has drawn for so many seconds.
fn after(port: u16, seconds: f64) -> Value {
    wait_until("the probe", PATIENCE, || {
        let (_, body) = get(port, "/v2/probes/a/")?;
        let probe: Value = serde_json::from_str(&body).ok()?;
        (probe["time"]["measured_seconds"].as_f64()? >= seconds).then_some(probe)
    })
}

#[track_caller]
fn check(probe: &Value, unknown: f64) {
    let number = |name: &str| probe[name].as_f64().unwrap();
    let time = |name: &str| probe["time"][name].as_f64().unwrap();
    let elapsed = number("energy_timestamp") - number("since");
    assert!((number("joules") / WATTS - elapsed).abs() < 0.01, "{probe:#}");
    assert!((time("unknown_seconds") - unknown).abs() < 0.01, "{probe:#}");
    assert!((time("measured_seconds") + time("unknown_seconds") - elapsed).abs() < 0.01, "{probe:#}");
    assert_eq!(probe["is_stale"], false);
}

#[test]
fn an_api_in_1970_is_right_by_its_publishers_and_stays_right() {
    if !need(&["faketime"]) {
        return;
    }
    let drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "state_directory = '@DIR@/state'\n{KEY}[status]\nlisten = '127.0.0.1:@STATUS@'\n[drivers]\npublish = ['ipc://@DIR@/bus']\n\
             interval_seconds = 0.2\n[[meter]]\ndriver = 'dummy'\nprobe = 'a'\nwatts = {WATTS}\n"
        ),
    );
    let (lab, ports) = (Lab::empty(), [free_port(), free_port()]);
    let process = api(&lab, &drivers, ports, Some("1970-01-01 00:05:00"));
    let faked = FakedClock(process.id());
    let first = after(ports[0], 2.0);
    check(&first, 0.0);
    let log = process.log();
    assert!(log.contains("the wall clock is wrong; using the clocks of the publishers"), "{log}");
    let (status, ready) = get(ports[1], "/readyz").unwrap();
    assert!(status == 503 && ready.contains("earlier than the release date"), "{ready}");
    let (_, metrics) = get(ports[1], "/metrics").unwrap();
    assert!(metrics.contains("\nkwapi_clock_wrong 1\n"));
    process.signal(15);
    process.ended(PATIENCE);
    drop(faked);
    // The clock is set, and the service started again; what was used meanwhile is in the session's totals.
    std::thread::sleep(Duration::from_secs(1));
    let process = api(&lab, &drivers, ports, None);
    let second = after(ports[0], first["time"]["measured_seconds"].as_f64().unwrap() + 3.0);
    check(&second, 0.0);
    assert_eq!(second["since"], first["since"]);
    assert!(!process.log().contains("wall clock is wrong"));
    process.signal(15);
    process.ended(PATIENCE);
}
