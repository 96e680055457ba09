//! What a stranger may make us keep is bounded.

use std::net::TcpListener;

use kwapi_bus::{Attach, Forwarder, ForwarderConfig};
use kwapi_peers::wait_until;

use super::*;
use crate::zmtp::Zmtp;

/// More than any system's buffers hold.
const FRAMES_MANY: usize = 100_000;

fn bind() -> EndpointConfig {
    EndpointConfig { attach: Some(Attach::Bind), ..EndpointConfig::new("tcp://127.0.0.1:*") }
}

/// Sends a message without an end, and returns how many of its frames were sent.
fn send_endless(stranger: &mut Zmtp) -> usize {
    let frame = [b'A'; 1_000];
    (0..FRAMES_MANY).find(|_| stranger.send(&frame, true).is_err()).unwrap_or(FRAMES_MANY)
}

#[tokio::test]
async fn a_message_without_an_end_costs_its_sender_the_connection() {
    let context = BusContext::new();
    let source = SourceConfig { attach: Some(Attach::Bind), ..plain("tcp://127.0.0.1:*") };
    let mut listener = subscriber(&context, vec![source], &["*"]);
    let config = ForwarderConfig { upstream: vec![bind()], downstream: vec![bind()], high_water: None };
    let forwarder = Forwarder::start(&context, &config, &clocks().wall, 10).expect("free endpoints");
    let published = publisher(&context, Scheme::None, bind());
    let doors = [
        (&listener.bound()[0], "PUB"),
        (&forwarder.bound()[1], "PUB"),
        (&forwarder.bound()[0], "SUB"),
        (&published.bound()[0], "SUB"),
    ];
    for (url, kind) in doors {
        let before = context.counters().messages_refused;
        let mut stranger = Zmtp::connect(url, kind).expect("a greeting");
        let sent = send_endless(&mut stranger);
        assert!(sent < FRAMES_MANY && stranger.is_closed(), "{url} took {sent} frames");
        assert!(context.counters().messages_refused > before, "{url}");
    }
    // Honest peers are received as before.
    let connect =
        EndpointConfig { attach: Some(Attach::Connect), ..EndpointConfig::new(&listener.bound()[0]) };
    let honest = publisher(&context, Scheme::None, connect);
    publish_until("a measurement", &honest, &["A"], || (listener.counters().verified > 0).then_some(()));
    assert_eq!(receive(&mut listener, 1).await[0].measurement.probe.as_str(), "A");
    assert_eq!(refused(&listener), []);
}

#[test]
fn who_listens_comes_back_to_a_publisher_that_broke_the_bounds() {
    let door = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let context = BusContext::new();
    let url = format!("tcp://{}", door.local_addr().expect("an address"));
    let listener = subscriber(&context, vec![plain(&url)], &["*"]);
    for breach in ["endless", "large"] {
        let mut stranger =
            Zmtp::shake_hands(door.accept().expect("a listener").0, "PUB").expect("a greeting");
        match breach {
            "endless" => _ = send_endless(&mut stranger),
            _ => _ = stranger.send(&vec![b'A'; 100_000], false),
        }
        assert!(stranger.is_closed(), "{breach}");
    }
    let mut honest = Zmtp::shake_hands(door.accept().expect("a listener").0, "PUB").expect("a greeting");
    for frame in [b"A.".as_slice(), b"{\"probe_id\":\"A\",\"w\":1}"] {
        honest.send(frame, frame.len() == 2).expect("it listens");
    }
    wait_until("a measurement", LIMIT, || (listener.counters().verified == 1).then_some(()));
}

#[tokio::test]
async fn a_flood_of_subscriptions_is_refused_and_shuts_nobody_out() {
    const FLOOD: u64 = 15_000;
    let context = BusContext::new();
    let published = publisher(&context, Scheme::None, EndpointConfig::new("tcp://127.0.0.1:*"));
    let url = published.bound()[0].clone();
    let before = context.counters().subscriptions_refused;
    let flood = |from: u64| {
        let mut stranger = Zmtp::connect(&url, "SUB").expect("a greeting");
        for number in from..from + FLOOD {
            let topic = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            stranger.send(&[b"\x01", topic.as_slice()].concat(), false).expect("it is read");
        }
        stranger
    };
    let refused_since = |before: u64| context.counters().subscriptions_refused - before;
    let strangers = [flood(0), flood(FLOOD), flood(2 * FLOOD)];
    // Each is granted a few; together they have 20 000 different ones.
    publish_until("the flood is judged", &published, &["A"], || {
        (refused_since(before) >= 3 * FLOOD - 20_000 - 3 * 16).then_some(())
    });
    assert!(refused_since(before) <= 3 * FLOOD - 20_000);
    let listener = subscriber(&context, vec![plain(&url)], &["A", "B", "lyon.*"]);
    publish_until("all is received that was subscribed to", &published, &["A", "B", "lyon.c"], || {
        (listener.counters().verified > 30).then_some(())
    });
    assert_eq!(listener.counters().unwanted, 0);
    drop(strangers);
    // The publisher takes note of their end when it next looks, so that a first one may still come too early.
    let refused_of_another = |number: u64| {
        let before = context.counters().subscriptions_refused;
        let _stranger = flood(number * FLOOD);
        let (mut last, mut times) = (0, 0);
        publish_until("another flood is judged", &published, &["A"], || {
            let now = refused_since(before);
            (last, times) = (now, if now == last { times + 1 } else { 0 });
            (now >= FLOOD - 10_000 && times > 20).then_some(now)
        })
    };
    // A few of the ones before may be judged only then.
    let is_granted = (3..20).any(|number| refused_of_another(number) <= FLOOD - 10_000 + 64);
    assert!(is_granted, "the first made no room");
}

#[test]
fn a_subscription_longer_than_any_topic_costs_the_connection() {
    let context = BusContext::new();
    let published = publisher(&context, Scheme::None, EndpointConfig::new("tcp://127.0.0.1:*"));
    let mut stranger = Zmtp::connect(&published.bound()[0], "SUB").expect("a greeting");
    stranger.send(&[b"\x01".as_slice(), &[b'A'; 2_000]].concat(), false).expect("it is read");
    assert!(stranger.is_closed());
}

#[test]
fn the_end_of_a_subscription_that_never_was_is_passed_on_to_nobody() {
    let context = BusContext::new();
    let config = ForwarderConfig { upstream: vec![bind()], downstream: vec![bind()], high_water: None };
    let forwarder = Forwarder::start(&context, &config, &clocks().wall, 10).expect("free endpoints");
    let mut stranger = Zmtp::connect(&forwarder.bound()[0], "SUB").expect("a greeting");
    for _ in 0..1_000 {
        stranger.send(b"\0A.", false).expect("it is read");
    }
    stranger.send(b"\x01B.", false).expect("it is read");
    wait_until("the last one has come", LIMIT, || (forwarder.counters().subscriptions > 0).then_some(()));
    assert_eq!(forwarder.counters().subscriptions, 1);
}
