//! What a probe is travels with its measurements: drivers, a forwarder and a centre that has no file of the meters, with a
//! subscriber of another program beside it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use kwapi_peers::{Lab, Peer, free_port, need_python, python_environment, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, request};

/// The hashes of the tokens `physics-token` and `biology-token`.
const PHYSICS: &str = "60527ae8cf728a305487ae87bedf0b1ce4613ece6caa621df5b06ff282e9fe90";
const BIOLOGY: &str = "31d8359c2201f199cac62b675875f412dbdb3de514e862aa5b1a340fa4015862";
const STATUS: &str = "[status]\nlisten = '127.0.0.1:@STATUS@'\n";
/// Prints what it receives, and ends at the first message that is no measurement on its probe's topic.
const SUBSCRIBE: &str = "import json, sys, zmq\n\
    socket = zmq.Context().socket(zmq.SUB)\n\
    socket.setsockopt(zmq.SUBSCRIBE, b'')\n\
    socket.connect(sys.argv[1])\n\
    while True:\n\
    \x20   topic, payload = socket.recv_multipart()\n\
    \x20   message = json.loads(payload)\n\
    \x20   assert topic.decode() == message['probe_id'] + '.', topic\n\
    \x20   print('received', message['probe_id'], float(message['w']), flush=True)\n";

/// What the API answers to somebody, as JSON.
fn get_json(kwapi: &Kwapi, token: &str, path: &str) -> Option<Value> {
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n"
    );
    let (status, _, body) = request(kwapi.api, &text)?;
    serde_json::from_slice(&body).ok().filter(|_| status == 200)
}

/// A sample of `/metrics`, by all that stands before its value.
fn sample(kwapi: &Kwapi, name: &str) -> Option<f64> {
    let (_, metrics) = get(kwapi.status, "/metrics")?;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The share of the time between two Unix seconds of which a probe's power is known.
fn known_share(kwapi: &Kwapi, probe: &str, from: u64, to: u64) -> Option<f64> {
    let path = format!("/v2/series?probe={probe}&start={from}&end={to}&step={}", to - from);
    get_json(kwapi, "physics-token", &path)?["series"][0]["rows"][0]["watts_known_share"].as_f64()
}

#[test]
fn a_meter_of_five_minutes_needs_no_configuration_where_it_is_kept() {
    if !need_python("python") {
        return;
    }
    let (published, forwarded) = (free_port(), free_port());
    let key = "{ id = 'lyon', secret = '0123456789abcdef'";
    let drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "state_directory = '@DIR@/state'\n{STATUS}[bus]\nkey = {key} }}\n\
             [drivers]\npublish = ['tcp://127.0.0.1:{published}']\n\
             [[meter]]\ndriver = 'push'\nlisten = 'unix:@DIR@/meter.sock'\ninterval_seconds = 300\n\
             accuracy = '2 %'\nlabels = {{ owner = 'biology', rack = 'r1' }}\n\
             probes = {{ 1 = 'lyon.seldom', 2 = 'lyon.often' }}\n"
        ),
    );
    let _forwarder = Kwapi::start(
        &["forwarder"],
        &format!(
            "{STATUS}[forwarder]\nsubscribe = ['tcp://127.0.0.1:{published}']\npublish = ['tcp://127.0.0.1:{forwarded}']\n"
        ),
    );
    let centre = format!(
        "state_directory = '@DIR@/state'\n{STATUS}[bus]\nkeys = [{key}, probes = 'lyon.*' }}]\n\
         [api]\nlisten = '127.0.0.1:@API@'\nsubscribe = ['tcp://127.0.0.1:{forwarded}']\n\
         [rrd]\nlisten = '127.0.0.1:@WEB@'\nsubscribe = ['tcp://127.0.0.1:{forwarded}']\n\
         [[api.auth.token]]\nname = 'physics'\nsha256 = '{PHYSICS}'\n\
         [[api.auth.token]]\nname = 'biology'\nsha256 = '{BIOLOGY}'\n\
         [[api.auth.scope]]\ntoken = 'physics'\nprobes = ['lyon.*']\n\
         [[api.auth.scope]]\ntoken = 'biology'\nlabels = {{ owner = 'biology' }}\n"
    );
    let kept = Kwapi::start(&["run"], &centre);
    let lab = Lab::empty();
    std::fs::write(lab.join("subscribe.py"), SUBSCRIBE).unwrap();
    let mut command = Command::new(python_environment("python"));
    command.arg(lab.join("subscribe.py")).arg(format!("tcp://127.0.0.1:{forwarded}"));
    let other = Peer::start(&mut command, lab.join("subscribe.log"));

    let mut socket =
        wait_until("the meter's socket", PATIENCE, || UnixStream::connect(drivers.file("meter.sock")).ok());
    let mut push = |line: &str| writeln!(socket, "{line}").unwrap();
    wait_until("all to listen", PATIENCE, || {
        push(r#"{"outlet":"2","watts":50}"#);
        let is_received = get_json(&kept, "physics-token", "/v2/probes/lyon.often/").is_some();
        (is_received && other.log().contains("received lyon.often 50.0")).then_some(())
    });
    // Two measurements as far apart as a message may be old.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (from, to) = (now - 250, now - 1);
    for at in [from, to] {
        push(&format!(r#"{{"outlet":"1","watts":30,"timestamp":{at}}}"#));
    }
    let probe = wait_until("its description", PATIENCE, || {
        let probe = get_json(&kept, "physics-token", "/v2/probes/lyon.seldom/")?;
        (probe["timestamp"].as_f64()? >= to as f64).then_some(probe)
    });
    let description = &probe["description"];
    assert_eq!(probe["labels"], serde_json::json!({ "owner": "biology", "rack": "r1" }), "{probe}");
    assert_eq!(description["labels_of_publisher"], serde_json::json!(["owner", "rack"]), "{probe}");
    assert_eq!((&description["driver"], &description["interval_seconds"]), (&"push".into(), &300.0.into()));
    assert_eq!(
        (&description["accuracy_percent"], &description["accuracy_source"]),
        (&2.0.into(), &"publisher".into())
    );
    assert_eq!(description["max_gap_source"], "publisher");
    assert!(description["max_gap_seconds"].as_f64().unwrap() >= 3_000.0, "{probe}");
    let (_, page) = get(kept.web, "/probe/lyon.seldom/").unwrap();
    for words in ["push", "300\u{a0}s", "±2\u{a0}% of the reading, according to its publisher", "r1"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (_, found) = get(kept.web, "/table/day/?label=rack:r1").unwrap();
    assert!(found.contains("lyon.seldom") && found.contains("lyon.often"), "{found}");
    let (_, found) = get(kept.web, "/table/day/?label=rack:r2").unwrap();
    assert!(!found.contains("/probe/lyon.seldom/"), "{found}");
    // What a site describes of its probe lets nobody see it.
    let nothing = serde_json::json!({ "probe_ids": [] });
    assert_eq!(get_json(&kept, "biology-token", "/v1/probe-ids/").unwrap(), nothing);
    wait_until("power between its measurements", PATIENCE, || {
        known_share(&kept, "lyon.seldom", from, to).filter(|share| *share > 0.99)
    });
    assert!(sample(&kept, "kwapi_bus_descriptions_total{plugin=\"api\"}").unwrap() >= 2.0);
    assert!(sample(&drivers, "kwapi_bus_publish_described_total").unwrap() >= 2.0);
    wait_until("it at the other subscriber", PATIENCE, || {
        other.log().contains("received lyon.seldom 30.0").then_some(())
    });
    assert!(!other.log().contains("Error"), "{}", other.log());

    // Killed, it has as much before it has received anything again.
    drop(socket);
    drop(drivers);
    let Kwapi { process, lab, .. } = kept;
    drop(process);
    let again = Kwapi::start_in(lab, &["run"], &centre);
    let described = "kwapi_described_probes{plugin=\"api\"}";
    wait_until("the description of before", PATIENCE, || {
        sample(&again, described).filter(|count| *count == 2.0)
    });
    wait_until("power between its measurements", PATIENCE, || {
        known_share(&again, "lyon.seldom", from, to).filter(|share| *share > 0.99)
    });
}
