//! Remote write into a real Prometheus and a real `VictoriaMetrics`, and what they have then, sample by sample.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use kwapi_peers::{Lab, Peer, free_port, need, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, request, run};

mod victoria;

const PROBES: [&str; 3] = ["lyon.1", "lyon.2", "lyon.3"];
/// A login that one of the servers requires.
const LOGIN: &str = "Authorization: Basic a3dhcGk6d2F0dHM=\r\n";
/// What Prometheus keeps of its password (bcrypt).
const HASH: &str = "$2b$04$kwapikwapikwapikwapikO5z0obfb.XYRUuhIJE7QN29Jx/lLghjy";

/// A Prometheus that takes remote write, with the data that is in its directory.
fn prometheus(lab: &Path, port: u16, config: &str, arguments: &[&str]) -> Peer {
    std::fs::write(lab.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.current_dir(lab).args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]);
    command.arg("--web.enable-remote-write-receiver").args(arguments);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    // With a login, whoever has none is refused once it is ready.
    Peer::start(&mut command, lab.join("prometheus.log"))
        .ready(PATIENCE, || get(port, "/-/ready").is_some_and(|(status, _)| matches!(status, 200 | 401)))
}

fn site(port: u16, more: &str) -> String {
    format!(
        "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n[bus]\nmax_gap_seconds = 3\n\
         [drivers]\ninterval_seconds = 0.2\nmax_gap_seconds = 3\n\
         [[meter]]\ndriver = 'dummy'\nprobe = 'lyon.{{outlet}}'\noutlets = 3\nwatts = 200\njitter_watts = 50\n\
         [[remote_write]]\nurl = 'http://127.0.0.1:{port}/api/v1/write'\nlabels = {{ site = 'lyon' }}\n{more}"
    )
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "stamps and counts")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// What Prometheus answers to a query.
fn query_prometheus(port: u16, query: &str) -> Option<Vec<Value>> {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let text = format!(
        "GET /api/v1/query?query={query} HTTP/1.1\r\nHost: localhost\r\n{LOGIN}Connection: close\r\n\r\n"
    );
    let (_, _, body) = request(port, &text)?;
    let answer: Value = serde_json::from_slice(&body).ok()?;
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().cloned()
}

/// The samples of a series, by Unix milliseconds.
fn series(port: u16, metric: &str, probe: &str) -> BTreeMap<u64, f64> {
    let query = format!("{metric}{{probe=\"{probe}\",site=\"lyon\"}}[1d]");
    let rows = query_prometheus(port, &query).unwrap_or_default();
    let Some(row) = rows.first() else { return BTreeMap::new() };
    assert_eq!(rows.len(), 1, "{query}");
    let pairs = row["values"].as_array().unwrap();
    let samples: BTreeMap<_, _> = pairs
        .iter()
        .map(|pair| (whole(pair[0].as_f64().unwrap() * 1e3), pair[1].as_str().unwrap().parse().unwrap()))
        .collect();
    assert_eq!(samples.len(), pairs.len(), "a stamp twice: {query}");
    samples
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// What Kwapi has of a probe: watts and joules by Unix milliseconds.
fn ours(service: &Kwapi, probe: &str) -> BTreeMap<u64, (f64, f64)> {
    let path = format!("/v2/samples?probe={probe}&start={}&end=now&limit=100000", now() - 3_600);
    let (status, body) = get(service.api, &path).unwrap();
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let number = |sample: &Value, key: &str| sample[key].as_f64().unwrap();
    let rows = answer["samples"].as_array().unwrap().iter();
    rows.map(|sample| {
        let at_ms = whole(number(sample, "timestamp") * 1e6) / 1_000;
        (at_ms, (number(sample, "watts"), number(sample, "joules")))
    })
    .collect()
}

/// Prometheus has each sample that Kwapi has up to the newest there, and no other.
fn assert_same(service: &Kwapi, port: u16) {
    for probe in PROBES {
        let power = series(port, "kwapi_probe_power_watts", probe);
        let energy = series(port, "kwapi_probe_energy_joules_total", probe);
        let newest = *power.keys().next_back().unwrap();
        let energy: BTreeMap<_, _> = energy.into_iter().filter(|(at, _)| *at <= newest).collect();
        let ours = wait_until("the newest sample here", PATIENCE, || {
            let ours = ours(service, probe);
            ours.contains_key(&newest).then_some(ours)
        });
        let here = ours.range(..=newest);
        let powers: BTreeMap<_, _> = here.clone().map(|(at, (watts, _))| (*at, *watts)).collect();
        let energies: BTreeMap<_, _> = here.map(|(at, (_, joules))| (*at, *joules)).collect();
        let missing: Vec<_> = powers.keys().filter(|at| !power.contains_key(at)).collect();
        assert!(
            missing.is_empty(),
            "{probe}: of {} samples not there: {missing:?}\n{}",
            powers.len(),
            service.process.log()
        );
        assert_eq!(power, powers, "{probe}");
        assert_eq!(energy, energies, "{probe}");
        assert!(energy.values().is_sorted(), "{probe}");
    }
}

/// Waits until Prometheus has something of a probe that is newer than `after`, and returns its newest stamp.
fn newer(port: u16, probe: &str, after: u64) -> u64 {
    wait_until("a newer sample", PATIENCE, || {
        let samples = series(port, "kwapi_probe_power_watts", probe);
        samples.keys().next_back().copied().filter(|newest| *newest > after)
    })
}

/// Samples by what became of them.
fn samples(service: &Kwapi, result: &str) -> u64 {
    let (_, text) = get(service.status, "/metrics").unwrap();
    let head = format!("kwapi_remote_write_samples_total{{name=\"default\",result=\"{result}\"}} ");
    whole(text.lines().find_map(|line| line.strip_prefix(&head)).unwrap().parse().unwrap())
}

fn killed(service: Kwapi) -> Lab {
    service.process.signal(9);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    lab
}

fn troubles(service: &Kwapi) -> String {
    get(service.status, "/troubles").unwrap().1
}

#[test]
fn a_server_and_a_service_that_are_killed_cost_no_sample_and_double_none() {
    if !need(&["prometheus"]) {
        return;
    }
    let (store, port) = (Lab::empty(), free_port());
    let server = prometheus(store.path(), port, "", &[]);
    let toml = site(port, "");
    let service = Kwapi::start(&["run"], &toml);
    let newest = newer(port, "lyon.3", 0);
    newer(port, "lyon.3", newest + 1_000);
    // The server goes away in the middle of it…
    server.signal(9);
    drop(server);
    wait_until("a trouble", PATIENCE, || {
        troubles(&service).contains("remote write default: cannot send to").then_some(())
    });
    assert_eq!(get(service.status, "/readyz").unwrap().0, 200, "others are not disturbed");
    // …and meanwhile the service too.
    let lab = killed(service);
    let service = Kwapi::start_in(lab, &["run"], &toml);
    service.probe("lyon.1");
    let server = prometheus(store.path(), port, "", &[]);
    let since = newer(port, "lyon.1", newest);
    newer(port, "lyon.1", since);
    assert_same(&service, port);
    // A kill between the server's answer and the note of it: the place is that of before, and the server has more.
    let place = "state/history/journal/remote-write-default.position";
    let before = std::fs::read(service.file(place)).unwrap();
    let sent = newer(port, "lyon.2", 0);
    newer(port, "lyon.2", sent + 2_000);
    let lab = killed(service);
    assert_ne!(std::fs::read(lab.join(place)).unwrap(), before);
    std::fs::write(lab.join(place), before).unwrap();
    let service = Kwapi::start_in(lab, &["run"], &toml);
    let sent = newer(port, "lyon.2", 0);
    newer(port, "lyon.2", sent + 2_000);
    assert_same(&service, port);
    assert!(samples(&service, "repeated") > 0, "{}", service.process.log());
    assert_eq!(samples(&service, "refused"), 0, "{}", service.process.log());
    // Kills at moments that nobody chose.
    let mut lab = killed(service);
    for round in 0..3 {
        let service = Kwapi::start_in(lab, &["run"], &toml);
        let sent = newer(port, "lyon.2", 0);
        newer(port, "lyon.2", sent + 1_000 + 300 * round);
        lab = killed(service);
    }
    let service = Kwapi::start_in(lab, &["run"], &toml);
    let sent = newer(port, "lyon.2", 0);
    newer(port, "lyon.2", sent + 2_000);
    assert_same(&service, port);
    assert_eq!(samples(&service, "refused"), 0, "{}", service.process.log());
    assert_eq!(troubles(&service), "[]");
    assert!(server.log().contains("Server is ready"), "{}", server.log());
}

/// A meter that is to fall silent.
const OLD: &str = "[[meter]]\nname = 'old'\ndriver = 'dummy'\nprobe = 'old'\n";

/// A service with it, of which the server has a value.
fn sends_old(port: u16) -> Kwapi {
    let service = Kwapi::start(&["run"], &site(port, OLD));
    wait_until("a value", PATIENCE, || value(port, "old").filter(|rows| rows.len() == 1));
    service
}

/// What the server has of a probe now.
fn value(port: u16, probe: &str) -> Option<Vec<Value>> {
    query_prometheus(port, &format!("kwapi_probe_power_watts{{probe=\"{probe}\"}}"))
}

#[test]
fn a_probe_that_falls_silent_has_no_value_from_then_on() {
    if !need(&["prometheus"]) {
        return;
    }
    let (store, port) = (Lab::empty(), free_port());
    let _server = prometheus(store.path(), port, "", &[]);
    let service = sends_old(port);
    let file = service.file("kwapi.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(OLD, "")).unwrap();
    // Without a marker, Prometheus would show it for five minutes.
    wait_until("no value", PATIENCE * 2, || value(port, "old").filter(Vec::is_empty));
    assert_eq!(value(port, "lyon.1").unwrap().len(), 1);
}

#[test]
fn a_probe_that_fell_silent_while_nobody_read_has_no_value_after_the_start() {
    if !need(&["prometheus"]) {
        return;
    }
    let (store, port) = (Lab::empty(), free_port());
    let _server = prometheus(store.path(), port, "", &[]);
    let service = sends_old(port);
    // All that is in the journal has been sent: nothing of it comes again.
    let sent = newer(port, "old", 0);
    newer(port, "old", sent + 2_000);
    service.process.signal(15);
    let Kwapi { process, lab, .. } = service;
    process.ended(PATIENCE);
    assert_eq!(value(port, "old").unwrap().len(), 1, "nothing has been sent yet");
    let service = Kwapi::start_in(lab, &["run"], &site(port, ""));
    // Without a marker, Prometheus would show it for five minutes.
    wait_until("no value", PATIENCE * 2, || value(port, "old").filter(Vec::is_empty));
    wait_until("others", PATIENCE, || value(port, "lyon.1").filter(|rows| rows.len() == 1));
    assert_eq!(samples(&service, "refused"), 0, "{}", service.process.log());
}

#[test]
fn a_wrong_token_loses_nothing_and_is_reported() {
    if !need(&["prometheus"]) {
        return;
    }
    let (store, port) = (Lab::empty(), free_port());
    std::fs::write(store.join("web.yml"), format!("basic_auth_users: {{ kwapi: '{HASH}' }}\n")).unwrap();
    let _server = prometheus(store.path(), port, "", &["--web.config.file=web.yml"]);
    let toml = site(port, "bearer_token = 'no-such-token'\n");
    let service = Kwapi::start(&["run"], &toml);
    service.probe("lyon.1");
    wait_until("a trouble", PATIENCE, || {
        troubles(&service).contains("check bearer_token and headers").then_some(())
    });
    assert!(!service.process.log().contains("no-such-token"), "{}", service.process.log());
    let output =
        run(&["status", "--address", &format!("127.0.0.1:{}", service.status)], service.lab.path()).1;
    assert!(output.contains("trouble: remote write default: cannot send to http://127.0.0.1"), "{output}");
    assert_eq!((samples(&service, "sent"), samples(&service, "refused")), (0, 0));
    let oldest = *ours(&service, "lyon.1").keys().next().unwrap();
    let lab = killed(service);
    let toml = site(port, "headers = { Authorization = 'Basic a3dhcGk6d2F0dHM=' }\n");
    let service = Kwapi::start_in(lab, &["run"], &toml);
    newer(port, "lyon.1", oldest);
    assert_eq!(*series(port, "kwapi_probe_power_watts", "lyon.1").keys().next().unwrap(), oldest);
    assert_same(&service, port);
}

#[test]
fn what_a_server_refuses_is_dropped_and_counted_and_the_rest_arrives() {
    /// Of each of two probes.
    const OLD: u64 = 500;
    if !need(&["prometheus"]) {
        return;
    }
    let (store, port) = (Lab::empty(), free_port());
    // One that has newer samples takes none of yesterday.
    let scrape = format!(
        "scrape_configs:\n- job_name: self\n  scrape_interval: 1s\n  static_configs: [{{ targets: ['127.0.0.1:{port}'] }}]\n"
    );
    let _server = prometheus(store.path(), port, &scrape, &[]);
    wait_until("a sample of its own", PATIENCE, || {
        query_prometheus(port, "up").filter(|rows| !rows.is_empty())
    });
    let lab = Lab::empty();
    let start = now() - 2 * 86_400;
    let mut csv = "at,id,watts\n".to_owned();
    for row in 0..OLD {
        for id in ["a", "b"] {
            writeln!(csv, "{},{id},{}", start + row, 100 + row % 7).unwrap();
        }
    }
    std::fs::write(lab.join("log.csv"), csv).unwrap();
    let arguments = "import log.csv --into state --time at --power watts --probe old.{id}";
    let (is_well, output) = run(&arguments.split(' ').collect::<Vec<_>>(), lab.path());
    assert!(is_well, "{output}");
    let service = Kwapi::start_in(lab, &["run"], &site(port, ""));
    newer(port, "lyon.1", 0);
    // With the marker that each of them ends with.
    wait_until("all refusals", PATIENCE, || {
        (samples(&service, "refused") + samples(&service, "repeated") == 2 * OLD + 2).then_some(())
    });
    assert!(service.process.log().contains("out of bounds"), "{}", service.process.log());
    assert_same(&service, port);
}

#[test]
fn check_names_what_is_wrong_with_a_server() {
    let lab = Lab::empty();
    for (keys, expected) in [
        ("url = 'prometheus:9090'", "kwapi.toml:2: [[remote_write]] url: must be an http"),
        (
            "url = 'http://127.0.0.1/w'\nca_file = '/nowhere/ca.pem'",
            "kwapi.toml:3: [[remote_write]] ca_file: /nowhere/ca.pem",
        ),
        (
            "url = 'http://127.0.0.1/w'\nlabels = { probe = 'x' }",
            "kwapi.toml:3: [[remote_write]] labels: `probe`",
        ),
        ("url = 'http://127.0.0.1/w'\ntoken = 'x'", "unknown key `token`"),
        ("name = 'x'", "`url` is missing"),
        (
            "url = 'http://other.example/w'\nbearer_token = 'x'",
            "measurements and credentials are sent unencrypted",
        ),
    ] {
        std::fs::write(lab.join("kwapi.toml"), format!("[[remote_write]]\n{keys}\n")).unwrap();
        let (_, output) = run(&["check", "--config", "kwapi.toml"], lab.path());
        assert!(output.contains(expected), "{keys}: {output}");
    }
}
