//! What a message costs from the bus's two frames to the probe's account, what the account's part of it is, and what a
//! list costs the API, from 100 to 100 000 probes.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kwapi_bus::{Batch, Key, Received, Scheme, Signer, Verifier, Wire};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, ProbeId, Quality, Timestamp, Totals, WallClock, Watts,
};
use kwapi_plugins::api::{self, Api};
use kwapi_plugins::directory::Directory;
use kwapi_plugins::intake::Intake;
use kwapi_plugins::live::{Live, LiveConfig};
use tower::ServiceExt as _;

const PROBES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// What the bus hands over at a time.
const BATCH: usize = 256;

fn intake(directory: Option<&std::path::Path>) -> (Live, Intake) {
    let origin = Instant::now();
    let wall = WallClock::new(|| Timestamp::from_seconds(1_800_000_000));
    let clock = MonotonicClock::new(move || origin.elapsed() + Duration::from_secs(1));
    let directory = directory.map(std::path::Path::to_owned);
    let live = Live::open(LiveConfig { directory, ..LiveConfig::default() }, Vec::new(), wall, clock);
    (live.clone(), Intake::new(live, None))
}

fn ids(count: usize) -> Vec<ProbeId> {
    (0..count).map(|number| ProbeId::new(format!("site.r{:02}.n{number}", number % 40)).unwrap()).collect()
}

/// The messages of one second: one of each probe.
fn round(ids: &[ProbeId], seq: u64, received_at: Duration) -> Vec<Batch> {
    let session = Timestamp::from_seconds(1_700_000_000);
    let received = |id: &ProbeId| Received {
        measurement: Measurement {
            probe: id.clone(),
            power: Watts(97.5),
            voltage: None,
            current: None,
            accounting: Some(Accounting {
                timestamp: session.after(Duration::from_secs(seq)),
                session,
                seq,
                totals: Totals {
                    energy: Energy::from_millijoules(seq * 97_500),
                    measured_ms: seq * 1000,
                    ..Totals::default()
                },
                curve: None,
                meter: None,
                quality: Quality::Measured,
            }),
        },
        key: None,
        description: None,
        arrived: session,
        received_at,
    };
    ids.chunks(BATCH).map(|chunk| Batch { measurements: chunk.iter().map(received).collect() }).collect()
}

/// Feeds rounds until about `messages` are in, and returns the time of the feeding alone.
fn feed((live, intake): (&Live, &mut Intake), ids: &[ProbeId], seq: &mut u64, messages: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut fed = 0;
    while fed < messages {
        *seq += 1;
        let batches = round(ids, *seq, live.now());
        let begin = Instant::now();
        for batch in batches {
            if fed >= messages {
                break;
            }
            fed += batch.measurements.len() as u64;
            intake.take(batch, Box::new(|| ()));
        }
        spent += begin.elapsed();
    }
    spent.mul_f64(messages as f64 / fed as f64)
}

/// As [`feed`], from signed frames as they come off the bus: read, verified and credited.
fn receive((live, intake): (&Live, &mut Intake), ids: &[ProbeId], seq: &mut u64, messages: u64) -> Duration {
    let key = Key::new("bench", "a secret of the bench");
    let signer = Signer::new(Scheme::Kwapi1, Some(&key)).unwrap();
    let verifier = Verifier::new(Scheme::Kwapi1, Some(key)).unwrap();
    let mut wires: Vec<Wire> = (0..BATCH).map(|_| Wire::default()).collect();
    let mut spent = Duration::ZERO;
    let mut fed = 0;
    'rounds: loop {
        *seq += 1;
        let received_at = live.now();
        for batch in round(ids, *seq, received_at) {
            if fed >= messages {
                break 'rounds;
            }
            for (received, wire) in batch.measurements.iter().zip(&mut wires) {
                signer.encode(&received.measurement, wire);
            }
            let arrived = batch.measurements[0].arrived;
            let begin = Instant::now();
            let decoded = wires.iter().take(batch.measurements.len()).map(|wire| {
                let verified = verifier.decode(&[&wire.topic, &wire.payload]).unwrap();
                Received {
                    measurement: verified.measurement,
                    key: verified.key.map(|(_, id)| id),
                    arrived,
                    received_at,
                    description: None,
                }
            });
            let decoded = Batch { measurements: decoded.collect() };
            intake.take(decoded, Box::new(|| ()));
            spent += begin.elapsed();
            fed += batch.measurements.len() as u64;
        }
    }
    spent.mul_f64(messages as f64 / fed as f64)
}

/// Some messages and how long they take: [`feed`] or [`receive`].
type Feeding = fn((&Live, &mut Intake), &[ProbeId], &mut u64, u64) -> Duration;

fn feeding(criterion: &mut Criterion) {
    let ways: [(&str, Feeding); 2] = [("two frames to one account", receive), ("feed one message", feed)];
    for (name, way) in ways {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1)).sample_size(10);
        for count in PROBES {
            let ((live, mut intake), ids) = (intake(None), ids(count));
            let mut seq = 0;
            feed((&live, &mut intake), &ids, &mut seq, count as u64);
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter_custom(|messages| way((&live, &mut intake), &ids, &mut seq, messages));
            });
        }
        group.finish();
    }
}

fn listing(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("GET /v1/probes/");
    group.sample_size(10);
    for count in PROBES {
        let directory = state.path().join(count.to_string());
        let ((live, mut intake), ids) = (intake(Some(&directory)), ids(count));
        let router = api::router(Api::new(Directory::default().with_live(live.clone())), None, None);
        let get = || {
            let request = Request::get("/v1/probes/").body(Body::empty()).unwrap();
            runtime.block_on(async {
                let response = router.clone().oneshot(request).await.unwrap();
                to_bytes(response.into_body(), usize::MAX).await.unwrap().len()
            })
        };
        let mut seq = 0;
        feed((&live, &mut intake), &ids, &mut seq, count as u64);
        group.bench_function(BenchmarkId::new("all probes changed", count), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    feed((&live, &mut intake), &ids, &mut seq, count as u64);
                    let begin = Instant::now();
                    black_box(get());
                    spent += begin.elapsed();
                }
                spent
            });
        });
        group.bench_function(BenchmarkId::new("two probes changed", count), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    seq += 1;
                    for batch in round(&ids[..2], seq, live.now()) {
                        intake.take(batch, Box::new(|| ()));
                    }
                    let begin = Instant::now();
                    black_box(get());
                    spent += begin.elapsed();
                }
                spent
            });
        });
        group.bench_function(BenchmarkId::new("nothing changed", count), |bencher| bencher.iter(&get));
        live.maintain(true);
    }
    group.finish();
}

criterion_group!(benches, feeding, listing);
criterion_main!(benches);
