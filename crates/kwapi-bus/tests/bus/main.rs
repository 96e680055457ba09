//! The bus against programs we did not write: pyzmq, with signatures computed from their description in Python.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what tests share states what it expects by failing, too"
)]

mod attach;
mod bounds;
mod curve;
mod forwarder;
mod hostile;
mod nats;
mod pair;
mod pyzmq;
mod rotation;
#[allow(dead_code, reason = "the rest of it is for tests in processes of their own")]
#[path = "../zmtp/mod.rs"]
mod zmtp;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kwapi_bus::{
    BusContext, EndpointConfig, Key, Publisher, PublisherConfig, Received, Refusal, Scheme, SourceConfig,
    Subscriber, SubscriberConfig,
};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, Pattern, ProbeId, ProcessClocks, Quality, Timestamp,
    Totals, WallClock, Watts,
};
use kwapi_peers::{Lab, Peer, python_environment, wait_until};

const SECRET: &str = "Change This Or Be Hacked";
const LIMIT: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "a test is where the wall clock is given from")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_micros(u64::try_from(since.as_micros()).expect("before 586 000 AD"))
}

/// The clocks of the process; all that listens in one shares them.
fn clocks() -> ProcessClocks {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let monotonic = MonotonicClock::new(|| ORIGIN.elapsed());
    ProcessClocks { wall: WallClock::new(now), monotonic }
}

fn key() -> Key {
    Key::new("test-1", SECRET)
}

/// The keys of a scheme: one or none.
fn keys(scheme: Scheme) -> Vec<Key> {
    match scheme {
        Scheme::Kwapi1 | Scheme::Legacy => vec![key()],
        Scheme::None => Vec::new(),
    }
}

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Kwapi1 => "kwapi-1",
        Scheme::Legacy => "legacy",
        Scheme::None => "none",
    }
}

fn measurement(probe: &str, seq: u64) -> Measurement {
    Measurement {
        probe: ProbeId::new(probe).expect("a probe id"),
        power: Watts(97.5),
        voltage: None,
        current: None,
        accounting: Some(Accounting {
            timestamp: now(),
            session: Timestamp::from_seconds(1),
            seq,
            totals: Totals { energy: Energy::from_millijoules(seq), ..Totals::default() },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        }),
    }
}

fn publisher(context: &BusContext, scheme: Scheme, endpoint: EndpointConfig) -> Publisher {
    let config = PublisherConfig {
        endpoints: vec![endpoint],
        signature: scheme,
        keys: keys(scheme),
        high_water: None,
    };
    Publisher::start(context, &config, 10).expect("a free endpoint")
}

fn subscriber(context: &BusContext, sources: Vec<SourceConfig>, probes: &[&str]) -> Subscriber {
    let probes = probes.iter().map(|pattern| Pattern::new(pattern).expect("a pattern")).collect();
    let config = SubscriberConfig { probes, ..SubscriberConfig::new(sources) };
    Subscriber::start(context, &config, &clocks(), 10).expect("an endpoint")
}

/// A source without signatures.
fn plain(url: &str) -> SourceConfig {
    SourceConfig::new(url, Scheme::None, Vec::new())
}

fn ipc(lab: &Lab) -> String {
    format!("ipc://{}", lab.join("probes").display())
}

/// Waits for `count` measurements.
async fn receive(subscriber: &mut Subscriber, count: usize) -> Vec<Received> {
    let mut all = Vec::new();
    while all.len() < count {
        let next = tokio::time::timeout(LIMIT, subscriber.recv()).await;
        let Ok(Some((batch, ack))) = next else {
            panic!("{} of {count}: {:?}", all.len(), subscriber.counters())
        };
        all.extend(batch.measurements);
        ack.confirm();
    }
    all
}

/// Publishes until `done`, since a subscriber receives nothing published before it connected.
fn publish_until<T>(
    what: &str,
    publisher: &Publisher,
    probes: &[&str],
    mut done: impl FnMut() -> Option<T>,
) -> T {
    let mut seq = 0;
    wait_until(what, LIMIT, || {
        for probe in probes {
            publisher.publish(measurement(probe, seq));
        }
        seq += 1;
        done()
    })
}

fn seq_of(received: &Received) -> u64 {
    received.measurement.accounting.map_or(0, |accounting| accounting.seq)
}

fn refused(subscriber: &Subscriber) -> Vec<(Refusal, u64)> {
    subscriber.counters().refused.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[expect(clippy::disallowed_methods, reason = "a peer is a program")]
fn python(lab: &Lab, script: &str, args: &[&str]) -> Peer {
    let script: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let mut command = std::process::Command::new(python_environment("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(&script).args(args);
    let log = script.file_stem().expect("a name").to_string_lossy().into_owned();
    let count = std::fs::read_dir(lab.path()).map_or(0, Iterator::count);
    Peer::start(&mut command, lab.join(format!("{log}-{count}.log")))
}
