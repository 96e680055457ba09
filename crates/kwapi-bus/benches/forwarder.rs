//! How many messages a second a forwarder passes, beside `zmq_proxy` of libzmq, which does no more than pass them: the
//! two in turn, in one run. Then with a thousand subscribers that each want something else, and with one more that
//! subscribes to everything and never reads.
//!
//! `cargo bench -p kwapi-bus --bench forwarder`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench that prints its table and may end")]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kwapi_bus::{BusContext, EndpointConfig, Forwarder, ForwarderConfig};
use kwapi_core::{Timestamp, WallClock};

const TURNS: usize = 5;
const SECONDS: Duration = Duration::from_secs(4);
const PROBES: usize = 10_000;
const SUBSCRIBERS: usize = 1_000;
/// At most so many are on their way, so that no queue is ever full.
const UNDERWAY_MAX: u64 = 1_000;
const PAUSE: Duration = Duration::from_micros(20);
/// About as long as a signed measurement.
const PAYLOAD: [u8; 320] = [b'x'; 320];
const HIGH_WATER: i32 = 20_000;

#[expect(clippy::disallowed_methods, reason = "a bench is where the wall clock is given from")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_micros(u64::try_from(since.as_micros()).expect("before 586 000 AD"))
}

/// What stands between publisher and subscribers; it ends when dropped.
enum Between {
    Forwarder(Forwarder),
    Proxy { context: zmq::Context, thread: Option<JoinHandle<()>> },
}

impl Between {
    /// Ours, from `upstream`, and where it is listened to.
    fn forwarder(upstream: &str) -> (Self, String) {
        let config = ForwarderConfig {
            upstream: vec![EndpointConfig::new(upstream)],
            downstream: vec![EndpointConfig::new("tcp://127.0.0.1:*")],
            high_water: None,
        };
        let wall = WallClock::new(now);
        let forwarder = Forwarder::start(&BusContext::new(), &config, &wall, PROBES).expect("a free port");
        let url = forwarder.bound().first().expect("it was bound").clone();
        (Self::Forwarder(forwarder), url)
    }

    /// libzmq's own.
    fn proxy(upstream: &str) -> (Self, String) {
        let context = zmq::Context::new();
        let (from, to) = (context.socket(zmq::XSUB), context.socket(zmq::XPUB));
        let (from, to) = (from.expect("a socket"), to.expect("a socket"));
        for socket in [&from, &to] {
            socket.set_rcvhwm(HIGH_WATER).expect("a number");
            socket.set_sndhwm(HIGH_WATER).expect("a number");
            socket.set_linger(0).expect("a number");
        }
        from.connect(upstream).expect("an address");
        to.bind("tcp://127.0.0.1:*").expect("a free port");
        let url = to.get_last_endpoint().expect("it was bound").expect("text");
        // It ends with its context.
        let thread = std::thread::spawn(move || _ = zmq::proxy(&from, &to));
        (Self::Proxy { context, thread: Some(thread) }, url)
    }

    fn is_running(&self) -> bool {
        match self {
            Self::Forwarder(forwarder) => forwarder.is_running(),
            Self::Proxy { thread, .. } => thread.as_ref().is_some_and(|thread| !thread.is_finished()),
        }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        if let Self::Proxy { context, thread } = self {
            _ = context.destroy();
            _ = thread.take().map(JoinHandle::join);
        }
    }
}

fn subscriber(context: &zmq::Context, url: &str, topic: &str) -> zmq::Socket {
    let socket = context.socket(zmq::SUB).expect("a socket");
    socket.set_rcvhwm(HIGH_WATER).expect("a number");
    socket.set_linger(0).expect("a number");
    socket.connect(url).expect("an address");
    socket.set_subscribe(topic.as_bytes()).expect("a topic");
    socket
}

/// Takes what has arrived; both frames of each message.
fn drain(socket: &zmq::Socket, frame: &mut zmq::Message) -> u64 {
    let mut messages = 0;
    while socket.recv(frame, zmq::DONTWAIT).is_ok() {
        messages += u64::from(!frame.get_more());
    }
    messages
}

/// Messages a second from one publisher through `between` to subscribers of `topics`, none lost; each message is wanted by
/// one of them. With `stalled`, one more subscribes to everything and never reads. With the memory of this process
/// then, in MiB.
fn rate(between: fn(&str) -> (Between, String), topics: &[String], stalled: bool) -> (f64, u64) {
    let context = zmq::Context::new();
    context.set_io_threads(1).expect("a number");
    let publisher = context.socket(zmq::PUB).expect("a socket");
    publisher.set_sndhwm(HIGH_WATER).expect("a number");
    publisher.set_linger(0).expect("a number");
    publisher.bind("tcp://127.0.0.1:*").expect("a free port");
    let upstream = publisher.get_last_endpoint().expect("it was bound").expect("text");
    let (between, url) = between(&upstream);
    let subscribers: Vec<_> = topics.iter().map(|topic| subscriber(&context, &url, topic)).collect();
    let stalled = stalled.then(|| subscriber(&context, &url, "site."));
    let ids: Vec<_> = (0..PROBES).map(|number| format!("site.n{number:05}.").into_bytes()).collect();

    // Nothing published before a subscription has arrived is received: until each has received something.
    let mut frame = zmq::Message::new();
    let mut silent: Vec<_> = subscribers.iter().collect();
    while !silent.is_empty() {
        for id in &ids {
            publisher.send_multipart([&id[..], &PAYLOAD[..]], 0).expect("it is open");
        }
        std::thread::park_timeout(Duration::from_millis(200));
        silent.retain(|socket| drain(socket, &mut frame) == 0);
    }
    std::thread::park_timeout(Duration::from_millis(500));
    for socket in &subscribers {
        drain(socket, &mut frame);
    }

    let (received, is_done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, done) = (Arc::clone(&received), Arc::clone(&is_done));
    let receiving = std::thread::spawn(move || {
        let mut frame = zmq::Message::new();
        while !done.load(Ordering::Relaxed) {
            let messages: u64 = subscribers.iter().map(|socket| drain(socket, &mut frame)).sum();
            counted.fetch_add(messages, Ordering::Relaxed);
            if messages == 0 {
                std::thread::park_timeout(PAUSE);
            }
        }
    });
    let (begin, mut sent) = (Instant::now(), 0);
    'publishing: while begin.elapsed() < SECONDS {
        for id in &ids {
            while sent - received.load(Ordering::Relaxed) >= UNDERWAY_MAX {
                if begin.elapsed() > SECONDS * 2 {
                    break 'publishing; // Something was lost.
                }
                std::thread::park_timeout(PAUSE);
            }
            publisher.send_multipart([&id[..], &PAYLOAD[..]], 0).expect("it is open");
            sent += 1;
        }
    }
    while received.load(Ordering::Relaxed) < sent && begin.elapsed() < SECONDS * 3 {
        std::thread::park_timeout(PAUSE);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    is_done.store(true, Ordering::Relaxed);
    receiving.join().expect("it ends");
    assert!(between.is_running(), "it ended by itself");
    assert_eq!(received.load(Ordering::Relaxed), sent, "messages were lost");
    let memory = memory();
    drop((between, stalled));
    (sent as f64 / elapsed, memory)
}

/// Of this process, in MiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}

fn row(name: &str, mut turns: Vec<(f64, u64)>) -> f64 {
    turns.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (median, memory) = *turns.get(turns.len() / 2).expect("turns");
    let (least, most) = (turns.first().expect("turns").0, turns.last().expect("turns").0);
    println!("| {name} | {median:.0} | {least:.0} to {most:.0} | {memory} |");
    median
}

fn main() {
    // `cargo test --benches` and the like only check whether it runs.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let (mut forwarder, mut proxy) = (Vec::new(), Vec::new());
    let all = ["site.".to_owned()];
    for _ in 0..TURNS {
        forwarder.push(rate(Between::forwarder, &all, false));
        proxy.push(rate(Between::proxy, &all, false));
    }
    println!("| nothing lost | messages/s, median | least to most | memory, MiB |\n|---|---|---|---|");
    let share = row("forwarder, one subscriber", forwarder) / row("zmq_proxy, one subscriber", proxy);
    let many: Vec<_> = (0..SUBSCRIBERS).map(|number| format!("site.n{number:04}")).collect();
    let (mut ours, mut theirs, mut stalled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(rate(Between::forwarder, &many, false));
        theirs.push(rate(Between::proxy, &many, false));
        stalled.push(rate(Between::forwarder, &many, true));
    }
    row("forwarder, 1 000 subscribers of 10 probes each", ours);
    row("zmq_proxy, the same", theirs);
    row("forwarder, the same and one that never reads", stalled);
    println!("\nThe forwarder does {:.0} % of zmq_proxy.", share * 100.0);
}
