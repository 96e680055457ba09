//! One process, one way in: each service opens one connection to a publisher, receives each message once, and reports of
//! itself what the others report, in metrics that the reference parser reads.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kwapi_peers::{free_port, need_python, output, python_environment, wait_until};

use crate::harness::{Kwapi, PATIENCE, get, request};

const KEY: &str = "[bus]\nkey = { id = 'k', secret = '0123456789abcdef' }\n";
const STATUS: &str = "[status]\nlisten = '127.0.0.1:@STATUS@'\n";
const METERS: &str =
    "[[meter]]\ndriver = 'dummy'\nprobe = 'a.{outlet}'\noutlets = 3\ninterval_seconds = 0.1\n";

fn becomes_ready(kwapi: &Kwapi) {
    wait_until(&format!("readiness\n{}", kwapi.process.log()), PATIENCE, || {
        (get(kwapi.status, "/readyz")?.0 == 200).then_some(())
    });
}

/// A sample of `/metrics`, by all that stands before its value.
fn sample(kwapi: &Kwapi, name: &str) -> Option<f64> {
    let (_, metrics) = get(kwapi.status, "/metrics")?;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A way through which a subscriber reaches its publisher; counts connections and the signed messages that pass.
#[derive(Default)]
struct Counted {
    connections: AtomicUsize,
    messages: AtomicUsize,
}

impl Counted {
    /// Listens on a port that it returns, and passes everything on to `publisher`. Its threads end with their peers.
    fn before(publisher: u16) -> (Arc<Self>, u16) {
        let counted = Arc::new(Self::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = counted.clone();
        std::thread::spawn(move || {
            while let Ok((subscriber, _)) = listener.accept() {
                own.connections.fetch_add(1, Ordering::Relaxed);
                let Ok(publisher) = TcpStream::connect(("127.0.0.1", publisher)) else { continue };
                let (up, down) = (subscriber.try_clone().unwrap(), publisher.try_clone().unwrap());
                std::thread::spawn(move || pass(up, publisher, |_| ()));
                let counted = own.clone();
                std::thread::spawn(move || {
                    pass(down, subscriber, |messages| {
                        counted.messages.fetch_add(messages, Ordering::Relaxed);
                    });
                });
            }
        });
        (counted, port)
    }
}

/// Copies bytes, counting how many signatures passed.
fn pass(mut from: TcpStream, mut to: TcpStream, count: impl Fn(usize)) {
    const MARK: &[u8] = b"\"message_signature\"";
    let mut bytes = [0; 16_384];
    let mut tail = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        tail.extend_from_slice(&bytes[..length]);
        count(tail.windows(MARK.len()).filter(|window| *window == MARK).count());
        tail.drain(..tail.len().saturating_sub(MARK.len() - 1));
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_service_opens_one_connection_and_receives_each_message_once() {
    for (service, section, port) in [("rrd", "rrd", "@WEB@"), ("api", "api", "@API@")] {
        let publisher = free_port();
        let (counted, way) = Counted::before(publisher);
        let subscriber = Kwapi::start(
            &[service],
            &format!(
                "state_directory = '@DIR@/state'\n{KEY}{STATUS}[{section}]\nsubscribe = ['tcp://127.0.0.1:{way}']\n\
                 listen = '127.0.0.1:{port}'\n"
            ),
        );
        let drivers = Kwapi::start(
            &["drivers"],
            &format!("{KEY}{STATUS}[drivers]\npublish = ['tcp://127.0.0.1:{publisher}']\n{METERS}"),
        );
        becomes_ready(&subscriber);
        let received = format!("kwapi_bus_received_total{{plugin=\"{service}\"}}");
        let taken = wait_until("some rounds", PATIENCE, || {
            let taken = sample(&subscriber, &received)?;
            let credited = sample(&subscriber, "kwapi_collector_messages_total{kind=\"ledgered\"}")?;
            (credited >= 30.0).then_some(taken)
        });
        let passed = counted.messages.load(Ordering::Relaxed) as f64;
        let sent = sample(&drivers, "kwapi_bus_published_total").unwrap();
        assert!(
            taken <= passed && passed <= sent,
            "{service}: {sent} sent, {passed} passed, {taken} received"
        );
        let duplicates = sample(&subscriber, "kwapi_collector_refused_total{cause=\"duplicate\"}");
        assert_eq!(duplicates, Some(0.0), "{service}");
        // A subscriber connects again while its publisher is not there yet: those attempts find nobody behind the way.
        let connected = format!(" 0100007F:{way:04X} 01 ");
        let open = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(open.matches(&connected).count(), 1, "{service}: connections to the publisher");
        assert!(counted.connections.load(Ordering::Relaxed) >= 1);
    }
}

#[test]
fn a_service_may_listen_for_its_publishers() {
    for (service, port) in [("rrd", "@WEB@"), ("api", "@API@")] {
        let meeting = free_port();
        let endpoint =
            |attach: &str| format!("[{{ url = 'tcp://127.0.0.1:{meeting}', attach = '{attach}' }}]");
        let subscriber = Kwapi::start(
            &[service],
            &format!(
                "state_directory = '@DIR@/state'\n{KEY}{STATUS}[{service}]\nlisten = '127.0.0.1:{port}'\nsubscribe = {}\n",
                endpoint("bind")
            ),
        );
        let _drivers = Kwapi::start(
            &["drivers"],
            &format!("{KEY}{STATUS}[drivers]\npublish = {}\n{METERS}", endpoint("connect")),
        );
        becomes_ready(&subscriber);
    }
}

#[test]
fn the_reference_parser_reads_the_metrics_of_every_service() {
    const PARSE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        text = open(sys.argv[1]).read()\n\
        families = list(parse(text))\n\
        seen = set()\n\
        for family in families:\n\
        \x20 for sample in family.samples:\n\
        \x20   key = (sample.name, tuple(sorted(sample.labels.items())))\n\
        \x20   assert key not in seen, key\n\
        \x20   seen.add(key)\n\
        print(len(seen))\n";
    if !need_python("openmetrics") {
        return;
    }
    let bus = tempfile::tempdir().unwrap();
    let (source, relayed) = (
        format!("ipc://{}/drivers", bus.path().display()),
        format!("ipc://{}/forwarder", bus.path().display()),
    );
    let state = "state_directory = '@DIR@/state'\n";
    let services = [
        Kwapi::start(&["drivers"], &format!("{KEY}{STATUS}[drivers]\npublish = ['{source}']\n{METERS}")),
        Kwapi::start(
            &["forwarder"],
            &format!("{STATUS}[forwarder]\nsubscribe = ['{source}']\npublish = ['{relayed}']\n"),
        ),
        Kwapi::start(
            &["api"],
            &format!("{state}{KEY}{STATUS}[api]\nlisten = '127.0.0.1:@API@'\nsubscribe = ['{relayed}']\n"),
        ),
        Kwapi::start(
            &["rrd"],
            &format!("{state}{KEY}{STATUS}[rrd]\nlisten = '127.0.0.1:@WEB@'\nsubscribe = ['{relayed}']\n"),
        ),
        Kwapi::start(
            &["run"],
            &format!(
                "{state}{KEY}{STATUS}[api]\nlisten = '127.0.0.1:@API@'\nsubscribe = ['{relayed}']\n[rrd]\n\
                 listen = '127.0.0.1:@WEB@'\nsubscribe = ['{relayed}']\n{}",
                METERS.replace("a.", "own.")
            ),
        ),
    ];
    let scrape = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\
               Connection: close\r\n\r\n";
    for service in &services {
        becomes_ready(service);
        let (status, head, body) = request(service.status, scrape).unwrap();
        assert!(status == 200 && head.contains("application/openmetrics-text"), "{head}");
        let file = service.file("metrics.txt");
        std::fs::write(&file, body).unwrap();
        let mut parser = Command::new(python_environment("openmetrics"));
        let samples: usize = output(parser.args(["-c", PARSE]).arg(&file)).trim().parse().unwrap();
        assert!(samples > 8, "{samples} in {}", file.display());
    }
}

#[test]
fn a_name_that_is_not_the_servers_is_refused_where_nobody_must_log_in() {
    let kwapi = Kwapi::start(
        &["run"],
        &format!(
            "state_directory = '@DIR@/state'\n{STATUS}hosts = ['status.example']\n[api]\nlisten = '127.0.0.1:@API@'\n\
             [rrd]\nlisten = '127.0.0.1:@WEB@'\nhosts = ['pages.example']\n{METERS}"
        ),
    );
    kwapi.probe("a.1");
    let get = |port: u16, path: &str, host: &str| {
        request(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).unwrap()
    };
    for (port, path, key) in [
        (kwapi.api, "/v1/probes/", "[api]"),
        (kwapi.api, "/metrics", "[api]"),
        (kwapi.web, "/last/minute/", "[rrd]"),
        (kwapi.status, "/meters", "[status]"),
    ] {
        let (status, _, body) = get(port, path, "rebind.example");
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(status == 421 && body.contains(&format!("`hosts` in {key}")), "{path}: {status} {body}");
        assert!(!body.contains("a.1"), "{body}");
        for host in ["127.0.0.1", &format!("localhost:{port}"), "[::1]:9"] {
            assert_eq!(get(port, path, host).0, 200, "{path} as {host}");
        }
    }
    assert_eq!(get(kwapi.web, "/last/minute/", "Pages.example:80").0, 200);
    assert_eq!(get(kwapi.status, "/meters", "status.example").0, 200);
    assert_eq!(get(kwapi.api, "/v1/probes/", "pages.example").0, 421);
}

#[test]
fn idle_clients_do_not_take_the_descriptors_of_meters_and_files() {
    let kwapi = Kwapi::start_limited(
        Some(160),
        &["run"],
        &format!(
            "state_directory = '@DIR@/state'\n{STATUS}[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\n\
             listen = '127.0.0.1:@WEB@'\nflush_interval_seconds = 1\n{METERS}"
        ),
    );
    kwapi.probe("a.1");
    let idle: Vec<TcpStream> = (0..200)
        .filter_map(|number| {
            let port = if number % 2 == 0 { kwapi.api } else { kwapi.web };
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .collect();
    assert!(idle.len() > 150, "only {} connected", idle.len());
    let before = sample(&kwapi, "kwapi_collector_messages_total{kind=\"ledgered\"}").unwrap();
    wait_until("measurements beside idle clients", PATIENCE, || {
        let now = sample(&kwapi, "kwapi_collector_messages_total{kind=\"ledgered\"}")?;
        (now > before + 30.0).then_some(())
    });
    assert_eq!(get(kwapi.web, "/probe/a.1/").unwrap().0, 200);
    for failure in ["kwapi_history_flush_failures_total", "kwapi_history_journal_failures_total"] {
        assert_eq!(sample(&kwapi, failure), Some(0.0), "{failure}");
    }
    let made_room: f64 = ["api", "web"]
        .iter()
        .filter_map(|server| {
            sample(&kwapi, &format!("kwapi_http_connections_idle_closed_total{{server=\"{server}\"}}"))
        })
        .sum();
    assert!(made_room > 50.0, "{made_room} idle connections made room");
    assert!(kwapi.process.log().contains("raise it to"), "{}", kwapi.process.log());
    drop(idle);
}
