//! `GET /v1/probes/` over loopback while measurements arrive: requests a second and their latency, the server on one
//! thread. Prints a line; `cargo bench --bench requests`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench: it takes real time and fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kwapi_bus::{Batch, Received};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, ProbeId, Quality, Timestamp, Totals, WallClock, Watts,
};
use kwapi_plugins::api::{self, Api};
use kwapi_plugins::directory::Directory;
use kwapi_plugins::http::{Listen, Listener};
use kwapi_plugins::intake::Intake;
use kwapi_plugins::live::{Live, LiveConfig};

const PROBES: u64 = 1_000;
const MESSAGES_PER_SECOND: u64 = 10_000;
const CLIENTS: usize = 4;
const LENGTH: Duration = Duration::from_secs(5);

fn main() {
    let origin = Instant::now();
    let clock = MonotonicClock::new(move || origin.elapsed() + Duration::from_secs(1));
    let state = tempfile::tempdir().unwrap();
    let config = LiveConfig { directory: Some(state.path().to_owned()), ..LiveConfig::default() };
    let wall = WallClock::new(|| Timestamp::from_seconds(1_800_000_000));
    let live = Live::open(config, Vec::new(), wall, clock);
    let mut intake = Intake::new(live.clone(), None);
    feed(&live, &mut intake, 0, PROBES);

    let (sender, receiver) = std::sync::mpsc::channel();
    let served = live.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let address = ([127, 0, 0, 1], 0).into();
            let (tls, access_log) = (None, false);
            let listen = Listen {
                address,
                tls,
                connections_max: 100,
                seats: kwapi_plugins::http::Seats::new(100),
                hosts: kwapi_plugins::http::Hosts::Any,
                access_log,
                routes: api::ROUTES,
            };
            let listener = Listener::bind(&listen).unwrap();
            sender.send(listener.address()).unwrap();
            let router = api::router(Api::new(Directory::default().with_live(served)), None, None);
            listener.serve(router, std::future::pending()).await.unwrap();
        });
    });
    let address = receiver.recv().unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || client(address, &stop))
        })
        .collect();
    let begin = Instant::now();
    let mut fed = PROBES;
    while begin.elapsed() < LENGTH {
        thread::sleep(Duration::from_millis(1));
        let due = PROBES + begin.elapsed().as_millis() as u64 * MESSAGES_PER_SECOND / 1000;
        feed(&live, &mut intake, fed, due);
        fed = due;
    }
    stop.store(true, Ordering::Relaxed);
    let mut latencies: Vec<Duration> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "GET /v1/probes/ with {PROBES} probes, {MESSAGES_PER_SECOND} messages a second, {CLIENTS} clients: \
         {:.0} requests/s, p50 {:?}, p99 {:?}",
        latencies.len() as f64 / LENGTH.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
}

/// Sends requests on one kept connection until requested to stop; returns how long each response took.
fn client(address: SocketAddr, stop: &AtomicBool) -> Vec<Duration> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_nodelay(true).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        connection.write_all(b"GET /v1/probes/ HTTP/1.1\r\nhost: kwapi\r\n\r\n").unwrap();
        let mut length = 0;
        // The body's end is the only place of this in an answer.
        while !buffer[..length].ends_with(b"}}\n") {
            let read = connection.read(&mut buffer[length..]).unwrap();
            assert!(read > 0, "the server hung up");
            length += read;
        }
        latencies.push(begin.elapsed());
        assert!(length > 50 * PROBES as usize, "an answer of {length} bytes has not all probes");
    }
    latencies
}

/// Feeds the messages with these numbers, each probe in its turn.
fn feed(live: &Live, intake: &mut Intake, from: u64, to: u64) {
    let session = Timestamp::from_seconds(1_700_000_000);
    let received_at = live.now();
    let received = |number: u64| {
        let seq = number / PROBES;
        let accounting = Accounting {
            timestamp: session.after(Duration::from_secs(seq)),
            session,
            seq,
            totals: Totals { energy: Energy::from_millijoules(seq * 97_500), ..Totals::default() },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: ProbeId::new(format!("site.n{:04}", number % PROBES)).unwrap(),
            power: Watts(97.5),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        };
        Received { measurement, key: None, description: None, arrived: session, received_at }
    };
    intake.take(Batch { measurements: (from..to).map(received).collect() }, Box::new(|| ()));
}
