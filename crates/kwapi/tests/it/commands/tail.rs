//! `kwapi tail`: what passes on the bus, and how meters are doing.

use kwapi_peers::{Peer, free_udp_port, wait_until};
use serde_json::Value;

use super::{fails, folder, succeeds};
use crate::harness::{Kwapi, PATIENCE, kwapi};

#[test]
fn tail_shows_what_passes_and_gives_the_reason_it_shows_nothing() {
    let bus = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/drivers", bus.path().display());
    let key = |secret: &str| format!("[bus]\nkey = {{ id = 'lyon', secret = '{secret}' }}\n");
    let meters = "[[meter]]\ndriver = 'dummy'\nname = 'a'\nwatts = 100.5\nprobes = ['rack.a', 'desk.b']\noutlets = 2\n\
        interval_seconds = 0.1\n";
    let drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "{}[drivers]\npublish = ['{endpoint}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n{meters}",
            key("0123456789abcdef")
        ),
    );
    // A meter that just starts is not up, which is reported too.
    let tail = |arguments: &[&str]| {
        let output = succeeds(arguments, drivers.lab.path());
        let is_state = |line: &&str| line.starts_with("meter ") || line.starts_with("{\"error\"");
        output.lines().filter(|line| !is_state(line)).map(|line| format!("{line}\n")).collect::<String>()
    };
    let text = tail(&["tail", "-n", "3", "rack.*"]);
    assert!(text.lines().count() == 3 && text.lines().all(|line| line.starts_with("rack.a ")), "{text}");
    assert!(text.contains(" 100.5 W "), "{text}");
    let json = tail(&["tail", "-n", "2", "--json", "desk.b"]);
    for line in json.lines() {
        let measurement: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (measurement["probe_id"].as_str(), measurement["w"].as_f64()),
            (Some("desk.b"), Some(100.5))
        );
        assert!(measurement["session"].is_u64() && measurement["key"] == "lyon", "{line}");
    }

    let wrong = folder(&format!("{}[api]\nsubscribe = ['{endpoint}']\n", key("fedcba9876543210")));
    let log = wrong.path().join("log");
    let tail = Peer::start(kwapi().args(["tail"]).current_dir(wrong.path()), log);
    wait_until("why nothing is shown", PATIENCE, || {
        (tail.log().contains(" all failed verification (") && tail.log().contains(" signature_wrong"))
            .then_some(())
    });
    tail.signal(libc::SIGINT);
    wait_until("the summary", PATIENCE, || tail.log().contains("\nrefused: ").then_some(()));

    let inside = folder("[[meter]]\ndriver = 'dummy'\nprobe = 'x'\n");
    assert!(fails(&["tail"], inside.path()).contains("set `publish` in [drivers]"));
}

#[test]
fn tail_shows_how_meters_are_doing_beside_what_they_measure() {
    let port = free_udp_port();
    let drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "[drivers]\npublish = ['ipc://@DIR@/bus']\n[bus]\nkey = {{ id = 'k', secret = '0123456789abcdef' }}\n[status]\n\
             listen = '127.0.0.1:@STATUS@'\n[[meter]]\nname = 'pdu1'\ndriver = 'snmp'\nhost = '127.0.0.1'\nport = {port}\n\
             community = 'public'\nprobe = 'rack.{{label}}'\n[[meter]]\ndriver = 'dummy'\nname = 'a'\nprobe = 'desk'\n\
             interval_seconds = 0.1\n"
        ),
    );
    let tail = |arguments: &[&str], log: &str| {
        let mut command = kwapi();
        command.arg("tail").args(arguments).current_dir(drivers.lab.path());
        Peer::start(&mut command, drivers.file(log))
    };
    let text = tail(&[], "text.log");
    let shows = |starts: &str, holds: &str| {
        wait_until(&format!("{starts}{holds}\n{}", drivers.process.log()), PATIENCE, || {
            text.log().lines().any(|line| line.starts_with(starts) && line.contains(holds)).then_some(())
        });
    };
    shows("desk ", " W ");
    shows("meter pdu1: ", "backoff, ");

    let json = tail(&["--json"], "json.log");
    let state = wait_until("the state as JSON", PATIENCE, || {
        let objects = json.log();
        let mut objects = objects.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        objects.find(|it| it["meter"] == "pdu1")
    });
    assert!(state["was"].is_null() && state["failures"].as_u64() >= Some(1), "{state}");
    assert!(state["error"].as_str().unwrap().contains(": timed out after "), "{state}");

    let listen = format!("127.0.0.1:{port}");
    let _pdu = Peer::start(
        kwapi().args(["simulate", "rack", "--listen", &listen, "--outlets", "2"]),
        drivers.file("rack.log"),
    );
    shows("meter pdu1: ", " → running, ");
    shows("rack.", " W ");
}
