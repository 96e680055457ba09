//! What waits for listeners that do not read, all of them together. Each test has the process for itself: its connections are
//! counted, and share what the process keeps.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what tests share states what it expects by failing"
)]

#[allow(dead_code, reason = "the rest of it is for the tests of the bus")]
mod zmtp;

use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use kwapi_bus::{BusContext, EndpointConfig, Publisher, PublisherConfig, Scheme};
use kwapi_core::{Measurement, ProbeId, Watts};
use kwapi_peers::{Lab, wait_until};
use parking_lot::Mutex;
use zmtp::Zmtp;

const LIMIT: Duration = Duration::from_secs(60);
/// How many messages are kept for each of few listeners.
const HIGH_WATER: u32 = 10_000;
/// More than a share of 64 comes to with what the system keeps, and less than half a whole queue: libzmq takes up to half
/// of it for full that has been read.
const BETWEEN: usize = 4_000;
/// More than that, and than the system keeps for a connection besides.
const FLOOD: u64 = 20_000;
/// Whose test has connections: all of a process are counted together.
static CONNECTED: Mutex<()> = Mutex::new(());
/// How many floods have been counted.
static COUNTED: AtomicU32 = AtomicU32::new(0);

/// A long name, so that the system keeps few messages for a connection.
fn flooding() -> String {
    "flood".repeat(38)
}

fn publish(publisher: &Publisher, name: &str) {
    let probe = ProbeId::new(name).expect("a name");
    publisher.publish(Measurement {
        probe,
        power: Watts(1.0),
        voltage: None,
        current: None,
        accounting: None,
    });
}

/// Has the publisher send while `listener` does not read. How many messages waited for it.
fn flood(publisher: &Publisher, listener: &mut Zmtp<UnixStream>) -> usize {
    let before = publisher.counters().published;
    for _ in 0..FLOOD {
        publish(publisher, &flooding());
    }
    wait_until("all is sent", LIMIT, || (publisher.counters().published >= before + FLOOD).then_some(()));
    count(publisher, listener)
}

/// How many messages of the flood come before the first of another probe that is sent from now on.
fn count(publisher: &Publisher, listener: &mut Zmtp<UnixStream>) -> usize {
    let end = format!("end{}", COUNTED.fetch_add(1, Ordering::Relaxed));
    let (flood_topic, end_topic) = (format!("{}.", flooding()), format!("{end}."));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("the end has come", LIMIT, || {
                publish(publisher, &end);
                is_over.load(Ordering::Relaxed).then_some(())
            });
        });
        let mut waited = 0;
        loop {
            let frame = listener.receive().expect("a frame");
            waited += usize::from(frame == flood_topic.as_bytes());
            if frame == end_topic.as_bytes() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        waited
    })
}

fn bound(context: &BusContext, url: &str) -> Publisher {
    let config = PublisherConfig {
        endpoints: vec![EndpointConfig::new(url)],
        signature: Scheme::None,
        keys: Vec::new(),
        high_water: NonZeroU32::new(HIGH_WATER),
    };
    Publisher::start(context, &config, 10).expect("a free endpoint")
}

/// A listener to everything.
fn come(url: &str) -> Zmtp<UnixStream> {
    let mut listener = Zmtp::connect_inside(url, "SUB").expect("it is let in");
    listener.send(b"\x01", false).expect("it is read");
    listener
}

#[test]
fn many_slow_listeners_share_eight_queues() {
    const MANY: usize = 64;
    let _alone = CONNECTED.lock();
    let lab = Lab::empty();
    let url = format!("ipc://{}", lab.join("bus").display());
    let context = BusContext::new();
    let publisher = bound(&context, &url);
    let mut listeners: Vec<_> = (0..MANY).map(|_| come(&url)).collect();
    for listener in &mut listeners {
        assert_eq!(count(&publisher, listener), 0, "it is subscribed");
    }
    let mut last = listeners.pop().expect("many");
    let shared = wait_until("the queues are shared", LIMIT, || {
        Some(flood(&publisher, &mut last)).filter(|waited| *waited < BETWEEN)
    });
    assert!(shared >= 64, "{shared}");
    drop(listeners);
    wait_until("it is alone", LIMIT, || (context.counters().connections == 1).then_some(()));
    wait_until("it has a queue of its own", LIMIT, || (flood(&publisher, &mut last) > BETWEEN).then_some(()));
}

#[test]
fn listeners_that_come_and_go_while_queues_are_shared_harm_nobody() {
    const ROUNDS: usize = 150;
    let _alone = CONNECTED.lock();
    let lab = Lab::empty();
    let url = format!("ipc://{}", lab.join("bus").display());
    let context = BusContext::new();
    let publisher = bound(&context, &url);
    let mut stays = come(&url);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The publisher looks at the connections after each message.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                publish(&publisher, "busy");
                std::thread::yield_now();
            }
        });
        for _ in 0..ROUNDS {
            let guests: Vec<_> = (0..16).map(|_| come(&url)).collect();
            drop(guests);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    wait_until("it is alone", LIMIT, || (context.counters().connections == 1).then_some(()));
    count(&publisher, &mut stays);
}
