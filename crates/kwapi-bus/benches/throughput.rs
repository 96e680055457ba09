//! How many measurements a second one publisher gets to one subscriber: signed, sent, received, verified, none lost.
//!
//! `cargo bench -p kwapi-bus --bench throughput`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that prints its table and may end")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kwapi_bus::{
    BusContext, EndpointConfig, Key, Publisher, PublisherConfig, Scheme, SourceConfig, Subscriber,
    SubscriberConfig,
};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, Pattern, ProbeId, ProcessClocks, Quality, Timestamp,
    Totals, WallClock, Watts,
};

const SECONDS: Duration = Duration::from_secs(5);
const PROBES: usize = 10_000;
/// At most so many are on their way, so that no queue is ever full: half of the least high-water mark.
const UNDERWAY_MAX: u64 = 1_000;
const PAUSE: Duration = Duration::from_micros(20);

#[expect(clippy::disallowed_methods, reason = "a bench is where the wall clock is given from")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_micros(u64::try_from(since.as_micros()).expect("before 586 000 AD"))
}

fn measurement(probe: &ProbeId, session: Timestamp, timestamp: Timestamp, seq: u64) -> Measurement {
    let totals = Totals {
        energy: Energy::from_millijoules(seq * 97_500),
        measured_ms: seq * 1_000,
        ..Totals::default()
    };
    let quality = Quality::Measured;
    Measurement {
        probe: probe.clone(),
        power: Watts(97.5),
        voltage: None,
        current: None,
        accounting: Some(Accounting { timestamp, session, seq, totals, curve: None, meter: None, quality }),
    }
}

/// Measurements a second through `url`.
fn throughput(url: &str, runtime: &tokio::runtime::Runtime) -> f64 {
    let context = BusContext::new();
    let key = || Key::new("bench", "a secret of the bench");
    let config = PublisherConfig {
        endpoints: vec![EndpointConfig::new(url)],
        signature: Scheme::Kwapi1,
        keys: vec![key()],
        high_water: None,
    };
    let publisher = Publisher::start(&context, &config, PROBES).expect("a free endpoint");
    let bound = publisher.bound().first().expect("it was bound").clone();
    let source = SourceConfig::new(bound, Scheme::Kwapi1, vec![key()]);
    let probes = vec![Pattern::new("*").expect("a pattern")];
    let config = SubscriberConfig { probes, ..SubscriberConfig::new(vec![source]) };
    let origin = Instant::now();
    let clocks =
        ProcessClocks { wall: WallClock::new(now), monotonic: MonotonicClock::new(move || origin.elapsed()) };
    let subscriber = Subscriber::start(&context, &config, &clocks, PROBES).expect("an endpoint");

    let ids: Vec<_> =
        (0..PROBES).map(|number| ProbeId::new(format!("site.n{number}")).expect("an id")).collect();
    let received = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&received);
    let session = now();
    runtime.block_on(async {
        // Nothing published before a subscription has arrived is received.
        while tokio::time::timeout(Duration::from_millis(20), subscriber.recv()).await.is_err() {
            publisher.publish(measurement(ids.first().expect("ids"), session, now(), 0));
        }
    });
    let publishing = std::thread::spawn(move || {
        let (begin, mut sent) = (Instant::now(), 0);
        for seq in 1.. {
            for id in &ids {
                while sent - counted.load(Ordering::Relaxed) >= UNDERWAY_MAX {
                    if begin.elapsed() > SECONDS * 2 {
                        return sent; // Something was lost.
                    }
                    std::thread::park_timeout(PAUSE);
                }
                publisher.publish(measurement(id, session, now(), seq));
                sent += 1;
            }
            if begin.elapsed() >= SECONDS {
                break;
            }
        }
        // The last are on their way.
        while counted.load(Ordering::Relaxed) < sent && begin.elapsed() < SECONDS * 2 {
            std::thread::park_timeout(PAUSE);
        }
        sent
    });
    let begin = Instant::now();
    runtime.block_on(async {
        while !publishing.is_finished() {
            let next = tokio::time::timeout(Duration::from_millis(100), subscriber.recv()).await;
            let Ok(Some((batch, ack))) = next else { continue };
            let fresh = batch.measurements.iter().filter_map(|received| received.measurement.accounting);
            received
                .fetch_add(fresh.filter(|accounting| accounting.seq > 0).count() as u64, Ordering::Relaxed);
            ack.confirm();
        }
    });
    let elapsed = begin.elapsed().as_secs_f64();
    let (sent, received) = (publishing.join().expect("it ends"), received.load(Ordering::Relaxed));
    assert_eq!(sent, received, "{url} lost some: {:?}", subscriber.counters());
    received as f64 / elapsed
}

fn main() {
    // `cargo test --benches` and the like only check whether it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let ipc = format!("ipc://{}", directory.path().join("bus").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    println!("| transport | messages/s |\n|---|---|");
    for (name, url) in [("tcp", "tcp://127.0.0.1:*"), ("ipc", &ipc), ("inproc", "inproc://bench")] {
        println!("| {name} | {:.0} |", throughput(url, &runtime));
    }
}
