//! Forwarders between publishers and subscribers.

use kwapi_bus::{Attach, Forwarder, ForwarderConfig};
use kwapi_peers::need_python;

use super::*;

fn forwarder(context: &BusContext, upstream: &[&str], downstream: &str) -> Forwarder {
    let config = ForwarderConfig {
        upstream: upstream.iter().map(|url| EndpointConfig::new(*url)).collect(),
        downstream: vec![EndpointConfig::new(downstream)],
        high_water: None,
    };
    Forwarder::start(context, &config, 10).expect("free endpoints")
}

#[tokio::test]
async fn two_listeners_cost_the_network_one_copy_and_only_of_what_they_want() {
    let context = BusContext::new();
    let publisher = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let forwarder = forwarder(&context, &[&publisher.bound()[0]], "tcp://127.0.0.1:*");
    let source = || SourceConfig::new(&forwarder.bound()[0], Scheme::Kwapi1, vec![key()]);
    let mut first = subscriber(&context, vec![source()], &["A"]);
    let mut second = subscriber(&context, vec![source()], &["A"]);
    publish_until("both listen", &publisher, &["A", "unwanted"], || {
        (first.counters().verified > 0 && second.counters().verified > 0).then_some(())
    });
    publisher.publish(measurement("A", 999_999)); // When both have this one, nothing of the warm-up is on its way.
    for subscriber in [&mut first, &mut second] {
        while !receive(subscriber, 1).await.iter().any(|received| seq_of(received) == 999_999) {}
    }
    let before = forwarder.counters().messages;
    for seq in 0..100 {
        publisher.publish(measurement("A", 1_000_000 + seq));
        publisher.publish(measurement("unwanted", 1_000_000 + seq));
    }
    for subscriber in [&mut first, &mut second] {
        let mut heard = 0;
        while heard < 100 {
            let received = receive(subscriber, 1).await;
            let of_now =
                |received: &&Received| received.measurement.accounting.is_some_and(|l| l.seq >= 1_000_000);
            heard += received.iter().filter(of_now).count();
        }
        assert_eq!(heard, 100);
        assert_eq!(refused(subscriber), []);
    }
    assert_eq!(forwarder.counters().messages - before, 100, "one copy, and none of `unwanted`");
    assert_eq!(forwarder.counters().subscriptions, 1, "the second listener changed nothing upstream");
}

#[tokio::test]
async fn a_message_that_comes_on_two_ways_is_handed_on_twice() {
    let context = BusContext::new();
    let publisher = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let direct = publisher.bound()[0].clone();
    let near = forwarder(&context, &[&direct], "tcp://127.0.0.1:*");
    let far = forwarder(&context, &[&near.bound()[0]], "tcp://127.0.0.1:*");
    let source = |url: &str| SourceConfig::new(url, Scheme::Kwapi1, vec![key()]);
    let mut both = subscriber(&context, vec![source(&direct), source(&far.bound()[0])], &["*"]);
    publish_until("both ways are open", &publisher, &["warm-up"], || {
        (far.counters().messages > 0 && both.counters().verified > 1).then_some(())
    });
    publisher.publish(measurement("A", 7));
    let mut copies = Vec::new();
    while copies.len() < 2 {
        let received = receive(&mut both, 1).await;
        copies.extend(received.into_iter().filter(|received| received.measurement.probe.as_str() == "A"));
    }
    assert_eq!(copies[0].measurement, copies[1].measurement);
}

#[tokio::test]
async fn the_originals_messages_pass_untouched() {
    if !need_python("python") {
        return;
    }
    let lab = Lab::empty();
    let context = BusContext::new();
    let forwarder = forwarder(&context, &[&ipc(&lab)], "tcp://127.0.0.1:*");
    let source = SourceConfig::new(&forwarder.bound()[0], Scheme::Legacy, vec![key()]);
    let mut subscriber = subscriber(&context, vec![source], &["*"]);
    let _peer = python(&lab, "publish.py", &[&ipc(&lab), "hostile", "legacy", "test-1", SECRET]);
    let received = receive(&mut subscriber, 28).await;
    assert!(received.iter().all(|received| received.measurement.accounting.is_none()));
    let counters = subscriber.counters();
    assert_eq!(
        (counters.received, counters.reserved),
        (25 + 28, 1),
        "the bad ones too: who listens judges them"
    );
}

#[tokio::test]
async fn publishers_may_come_to_the_forwarder() {
    let context = BusContext::new();
    let bind = EndpointConfig { attach: Some(Attach::Bind), ..EndpointConfig::new("tcp://127.0.0.1:*") };
    let downstream = vec![EndpointConfig::new("tcp://127.0.0.1:*"), EndpointConfig::new("inproc://second")];
    let config = ForwarderConfig { upstream: vec![bind], downstream, high_water: None };
    let forwarder = Forwarder::start(&context, &config, 10).expect("free endpoints");
    let upstream = forwarder.bound()[2].clone();
    let connect = EndpointConfig { attach: Some(Attach::Connect), ..EndpointConfig::new(upstream) };
    let publisher = publisher(&context, Scheme::None, connect);
    for url in &forwarder.bound()[..2] {
        let subscriber = subscriber(&context, vec![plain(url)], &["A"]);
        publish_until(url, &publisher, &["A"], || (subscriber.counters().verified > 0).then_some(()));
    }
}
