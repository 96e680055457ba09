//! Two instances of `kwapi api` on one publisher: one total, whichever started first and whichever ended.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kwapi_bus::{BusContext, EndpointConfig, Key, Publisher, PublisherConfig, Scheme};
use kwapi_core::{Accounting, Energy, Measurement, ProbeId, Quality, Timestamp, Totals, Watts};
use kwapi_peers::devices::certificate;
use kwapi_peers::{Lab, free_port, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, kwapi, request};

const KEY: &str = "[bus]\nkey = { id = 'api', secret = '0123456789abcdefghij' }\n";
const PUBLISHER: &str = "[bus]\nkey = { id = 'site', secret = 'abcdefghij0123456789' }\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
    [drivers]\ninterval_seconds = 0.5\npublish = ['tcp://127.0.0.1:@PUBLISH@']\n[[meter]]\ndriver = 'dummy'\n\
    probe = 'a.{outlet}'\noutlets = 5\nwatts = 3600\n";
const PROBES: usize = 5;

/// Ports that outlive a process: a peer finds the other where it was.
struct Site {
    publish: u16,
    apis: [u16; 2],
    drivers: Kwapi,
}

impl Site {
    fn start() -> Self {
        let (publish, apis) = (free_port(), [free_port(), free_port()]);
        let drivers = Kwapi::start(&["drivers"], &PUBLISHER.replace("@PUBLISH@", &publish.to_string()));
        Self { publish, apis, drivers }
    }

    /// Starts one of the two; `keys` are the `[bus]` table's.
    fn api(&self, lab: Lab, which: usize, keys: &str) -> Kwapi {
        let peer = format!("'http://127.0.0.1:{}'", self.apis[1 - which]);
        self.api_with(lab, which, keys, &format!("peers = [{peer}]"))
    }

    /// The same, with what `[api]` has besides.
    fn api_with(&self, lab: Lab, which: usize, keys: &str, more: &str) -> Kwapi {
        let own = self.apis[which];
        let toml = format!(
            "state_directory = '@DIR@/state'\n{keys}keys = [{{ id = 'site', secret = 'abcdefghij0123456789' }}]\n\
             [api]\nlisten = '127.0.0.1:{own}'\nsubscribe = ['tcp://127.0.0.1:{}']\n{more}\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n",
            self.publish
        );
        Kwapi { api: own, ..Kwapi::start_in(lab, &["api"], &toml) }
    }
}

/// Each probe as an instance shows it, once it shows all of them.
fn probes(api: u16) -> Option<Vec<Value>> {
    let (status, body) = get(api, "/v2/probes/")?;
    let body: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    let probes = body["probes"].as_array()?.clone();
    (probes.len() == PROBES).then_some(probes)
}

/// Looks for a while whether the two ever show different energy of a probe at the same message.
fn agree(site: &Site) {
    let mut compared = 0;
    let begun = Instant::now();
    while compared < 20 {
        if let [Some(one), Some(other)] = site.apis.map(shown) {
            let pairs = one.iter().zip(&other).filter(|(one, other)| one[0] == other[0]);
            for (one, other) in pairs {
                assert_eq!(one, other);
                compared += 1;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{compared} compared");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Timestamp, kWh as written, and since when, of each probe.
fn shown(api: u16) -> Option<Vec<[String; 3]>> {
    let fields = |probe: &Value| ["timestamp", "kwh", "since"].map(|field| probe[field].to_string());
    Some(probes(api)?.iter().map(fields).collect())
}

/// Waits until both show the same of every probe, at the same message; returns that.
fn same(site: &Site, apis: [&Kwapi; 2]) -> Vec<[String; 3]> {
    let logs = || format!("{}\n----\n{}", apis[0].process.log(), apis[1].process.log());
    let begun = Instant::now();
    loop {
        let both = site.apis.map(shown);
        if let [Some(one), Some(other)] = &both
            && one == other
        {
            return one.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{both:#?}\n{}", logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn kwh(shown: &[[String; 3]]) -> Vec<f64> {
    shown.iter().map(|[_, kwh, _]| kwh.parse().unwrap()).collect()
}

fn sample(kwapi: &Kwapi, name: &str) -> Option<f64> {
    let (_, metrics) = get(kwapi.status, "/metrics")?;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn ready(kwapi: &Kwapi) -> Option<Value> {
    let (status, body) = get(kwapi.status, "/readyz")?;
    serde_json::from_str(&body).ok().filter(|_| status == 200)
}

/// What `kwapi status` prints of an instance.
fn status(of: &Kwapi) -> String {
    let address = format!("127.0.0.1:{}", of.status);
    let output = kwapi().args(["status", "--address", &address]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn dead(kwapi: Kwapi) -> Lab {
    kwapi.process.signal(9);
    let Kwapi { process, lab, .. } = kwapi;
    process.ended(PATIENCE);
    lab
}

#[test]
fn two_instances_show_one_total_and_one_may_die() {
    let site = Site::start();
    let first = site.api(Lab::empty(), 0, KEY);
    let begin = wait_until("a total", PATIENCE, || {
        shown(site.apis[0]).filter(|shown| kwh(shown).iter().all(|kwh| *kwh > 0.003))
    });
    // Alone it serves, and reports that the other is unreachable.
    wait_until("readiness of the first alone", PATIENCE, || {
        ready(&first)?["warnings"]["peers"].as_str().map(drop)
    });
    assert!(status(&first).contains("0 of 1 peers up"), "{}", status(&first));

    // A newcomer with an empty record has the whole total, and since when.
    let second = site.api(Lab::empty(), 1, KEY);
    let both = same(&site, [&first, &second]);
    let since = |shown: &[[String; 3]]| shown.iter().map(|[_, _, since]| since.clone()).collect::<Vec<_>>();
    assert_eq!(since(&both), since(&begin));
    assert!(kwh(&both).iter().zip(kwh(&begin)).all(|(now, then)| *now > then), "{both:?} after {begin:?}");
    let own = format!("kwapi_api_peer_accounts_taken_total{{peer=\"http://127.0.0.1:{}\"}}", site.apis[0]);
    assert!(sample(&second, &own).unwrap() >= PROBES as f64);

    // Killed, and back with its record; meanwhile the publisher started afresh.
    let lab = dead(second);
    let Site { publish, apis, drivers } = site;
    let drivers_lab = dead(drivers);
    let drivers =
        Kwapi::start_in(drivers_lab, &["drivers"], &PUBLISHER.replace("@PUBLISH@", &publish.to_string()));
    let site = Site { publish, apis, drivers };
    let alone = wait_until("the new session", PATIENCE, || {
        shown(site.apis[0])
            .filter(|shown| kwh(shown).iter().zip(kwh(&both)).all(|(now, then)| *now > then + 0.001))
    });
    let second = site.api(lab, 1, KEY);
    let again = same(&site, [&first, &second]);
    assert!(kwh(&again).iter().zip(kwh(&alone)).all(|(now, then)| *now >= then), "{again:?} after {alone:?}");
    assert_eq!(since(&again), since(&begin));

    // The other one killed, and back with nothing: what it had is not lost.
    let lab = dead(first);
    std::fs::remove_dir_all(lab.join("state")).unwrap();
    let first = site.api(lab, 0, KEY);
    let last = same(&site, [&first, &second]);
    assert!(kwh(&last).iter().zip(kwh(&again)).all(|(now, then)| *now >= then), "{last:?} after {again:?}");
    assert_eq!(since(&last), since(&begin));
    agree(&site);

    // Ready, without a warning, and no difference was found at any message.
    for kwapi in [&first, &second] {
        wait_until("readiness", PATIENCE, || {
            (ready(kwapi)? == serde_json::json!({ "status": "ready" })).then_some(())
        });
        assert!(status(kwapi).contains("1 of 1 peers up"), "{}", status(kwapi));
        assert!(!kwapi.process.log().contains("differ"), "{}", kwapi.process.log());
    }
    assert!(get(site.drivers.status, "/healthz").is_some());
}

/// A way to one instance alone.
struct Way {
    publisher: Publisher,
    port: u16,
}

impl Way {
    fn open() -> Self {
        let port = free_port();
        let config = PublisherConfig {
            endpoints: vec![EndpointConfig::new(format!("tcp://127.0.0.1:{port}"))],
            signature: Scheme::Kwapi1,
            keys: vec![Key::new("site", "abcdefghij0123456789")],
            high_water: None,
        };
        Self { publisher: Publisher::start(&BusContext::new(), &config, 10).unwrap(), port }
    }

    /// Message `seq` of the session that began at `session`, with so many joules since then.
    fn send(&self, session: Timestamp, seq: u64, joules: u64) {
        let accounting = Accounting {
            timestamp: session.after(Duration::from_secs(seq)),
            session,
            seq,
            totals: Totals {
                energy: Energy::from_millijoules(joules * 1000),
                measured_ms: seq * 1000,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        self.publisher.publish(Measurement {
            probe: ProbeId::new("a").unwrap(),
            power: Watts(10.0),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        });
    }
}

/// Energy of the probe at an instance, in joules.
fn joules(api: u16) -> Option<f64> {
    let (status, body) = get(api, "/v2/probes/a/")?;
    let body: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    body["joules"].as_f64()
}

#[test]
fn totals_that_differ_at_the_same_message_are_an_alarm_until_they_agree() {
    let ways = [Way::open(), Way::open()];
    let ports = [free_port(), free_port()];
    let start = |which: usize| {
        let toml = format!(
            "state_directory = '@DIR@/state'\n{KEY}keys = [{{ id = 'site', secret = 'abcdefghij0123456789' }}]\n\
             [api]\nlisten = '127.0.0.1:{}'\nsubscribe = ['tcp://127.0.0.1:{}']\npeers = ['http://127.0.0.1:{}']\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n",
            ports[which],
            ways[which].port,
            ports[1 - which]
        );
        Kwapi { api: ports[which], ..Kwapi::start(&["api"], &toml) }
    };
    let both = [start(0), start(1)];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let begin = Timestamp::from_seconds(now.as_secs() - 20);
    let exchanges = |which: usize| {
        let peer = format!("http://127.0.0.1:{}", ports[1 - which]);
        sample(&both[which], &format!("kwapi_api_peer_exchanges_total{{peer=\"{peer}\"}}"))
    };
    // Received once the subscriptions are there; more copies are duplicates.
    wait_until("both", PATIENCE, || {
        for (way, seq) in ways.iter().flat_map(|way| (0..4).map(move |seq| (way, seq))) {
            way.send(begin, seq, seq * 10);
        }
        let is_everywhere = ports.iter().all(|port| joules(*port) == Some(30.0));
        (is_everywhere && (0..2).all(|which| exchanges(which) >= Some(1.0))).then_some(())
    });
    // One of them loses the last message of a session, and the next session begins at once.
    ways[0].send(begin, 4, 75);
    let next = begin.after(Duration::from_secs(10));
    for (seq, joules) in [(0, 0), (1, 5)] {
        ways.iter().for_each(|way| way.send(next, seq, joules));
    }
    let diverged = |which: usize| {
        let peer = format!("http://127.0.0.1:{}", ports[1 - which]);
        sample(&both[which], &format!("kwapi_api_peer_divergences_total{{peer=\"{peer}\"}}"))
    };
    let alarmed = wait_until("the alarm", PATIENCE, || {
        both.iter().enumerate().find(|(which, _)| diverged(*which) == Some(1.0)).map(|(_, kwapi)| kwapi)
    });
    let warning = status(alarmed);
    let log = alarmed.process.log();
    assert!(log.contains("totals differ at the same message: a: "), "{log}");
    assert!(log.contains("0.000012500 kWh apart"), "{log}");
    assert!(warning.contains("totals differ at the same message: a: "), "{warning}\n{log}");
    // Each takes what the other has, and they agree again.
    wait_until("the end of the alarm", PATIENCE, || {
        let is_over = ports.iter().all(|port| joules(*port) == Some(80.0));
        (is_over && both.iter().all(|kwapi| ready(kwapi) == Some(serde_json::json!({ "status": "ready" }))))
            .then_some(())
    });
}

#[test]
fn an_instance_with_another_key_is_no_peer() {
    let site = Site::start();
    let first = site.api(Lab::empty(), 0, KEY);
    wait_until("a total", PATIENCE, || shown(site.apis[0]));
    let foreign = KEY.replace("0123456789abcdefghij", "jihgfedcba9876543210");
    let second = site.api(Lab::empty(), 1, &foreign);
    let warning = |of: &Kwapi| ready(of)?["warnings"]["peers"].as_str().map(str::to_owned);
    for kwapi in [&first, &second] {
        let warning = wait_until("the warning", PATIENCE, || {
            warning(kwapi)
                .filter(|warning| warning.contains("configure the same `key` in [bus] of both instances"))
        });
        assert!(status(kwapi).contains(&warning), "{warning}\n{}", status(kwapi));
    }
    assert!(sample(&first, "kwapi_api_peer_asks_total{result=\"wrong_signature\"}").unwrap() >= 1.0);
    assert_eq!(sample(&first, "kwapi_api_peer_asks_total{result=\"answered\"}"), Some(0.0));
    // A token of the API, or none: nothing but the signature lets anybody in.
    let text = "POST /v2/peer HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(request(site.apis[0], text).unwrap().0, 400);
}

#[test]
fn peers_with_a_certificate_and_authentication_exchange_by_their_signature_alone() {
    if !kwapi_peers::need(&["openssl"]) {
        return;
    }
    let site = Site::start();
    let (lab_one, lab_two) = (Lab::empty(), Lab::empty());
    certificate(&lab_one, "one");
    certificate(&lab_two, "two");
    // Each trusts the other's certificate and no other.
    std::fs::copy(lab_one.join("one.pem"), lab_two.join("other.pem")).unwrap();
    std::fs::copy(lab_two.join("two.pem"), lab_one.join("other.pem")).unwrap();
    let more = |which: usize, name: &str, authority: &str| {
        let port = site.apis[1 - which];
        format!(
            "tls = {{ certificate = '@DIR@/{name}.pem', key = '@DIR@/{name}.key' }}\n\
             peers = [{{ url = 'https://127.0.0.1:{port}', ca_file = '@DIR@/{authority}.pem' }}]\n\
             [[api.auth.token]]\nname = 't'\nsha256 = '{}'",
            "0".repeat(64)
        )
    };
    let first = site.api_with(lab_one, 0, KEY, &more(0, "one", "other"));
    let second = site.api_with(lab_two, 1, KEY, &more(1, "two", "other"));
    for (kwapi, which) in [(&first, 1), (&second, 0)] {
        let up = format!("kwapi_api_peer_up{{peer=\"https://127.0.0.1:{}\"}}", site.apis[which]);
        wait_until(&format!("the peer\n{}", kwapi.process.log()), PATIENCE, || {
            (sample(kwapi, &up)? == 1.0).then_some(())
        });
    }
    // One that trusts its own certificate alone exchanges nothing.
    let lab = dead(second);
    let second = site.api_with(lab, 1, KEY, &more(1, "two", "two"));
    let warning = wait_until("the warning", PATIENCE, || {
        ready(&second)?["warnings"]["peers"].as_str().map(str::to_owned)
    });
    assert!(warning.contains("certificate"), "{warning}");
}

#[test]
fn peers_are_checked_before_anything_starts() {
    let lab = Lab::empty();
    let check = |arguments: &[&str], toml: &str, expected: &str| {
        let file = lab.join("kwapi.toml");
        std::fs::write(&file, toml).unwrap();
        let output = kwapi().args(arguments).arg("--config").arg(&file).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(printed.contains(expected), "{printed}");
    };
    let state = format!("state_directory = '{}'\n", lab.join("state").display());
    let peers = "[api]\nsubscribe = ['ipc:///nowhere']\npeers = ['https://b.example.org:5000']\n";
    check(&["check"], &format!("{state}{KEY}{peers}"), "Configuration OK.");
    check(&["check"], &format!("{state}{peers}"), "[api] peers requires `key` in [bus]");
    let short = "[bus]\nkey = { id = 'api', secret = 'short' }\nsignature = 'none'\n";
    check(&["check"], &format!("{state}{short}{peers}"), "too short");
    check(&["run"], &format!("{state}{KEY}{peers}"), "[api] peers works with `kwapi api` alone");
    let clear = peers.replace("https", "http");
    check(&["check"], &format!("{state}{KEY}{clear}"), "totals are sent unencrypted; use https://");
    let ca = peers.replace(
        "'https://b.example.org:5000'",
        "{ url = 'https://b.example.org:5000', ca_file = '/nowhere' }",
    );
    check(&["check"], &format!("{state}{KEY}{ca}"), "/nowhere: No such file or directory");
    check(
        &["check"],
        &format!("{state}{KEY}{}", peers.replace("https", "tcp")),
        "must be an http:// or https:// address",
    );
}
