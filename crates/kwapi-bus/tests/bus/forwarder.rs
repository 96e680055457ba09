//! Forwarders between publishers and subscribers.

use kwapi_bus::{Attach, Forwarder, ForwarderConfig, LinkCounters, LinkSide};
use kwapi_peers::{free_port, need_python};

use super::*;

fn forwarder(context: &BusContext, upstream: &[&str], downstream: &str) -> Forwarder {
    let config = ForwarderConfig {
        upstream: upstream.iter().map(|url| EndpointConfig::new(*url)).collect(),
        downstream: vec![EndpointConfig::new(downstream)],
        high_water: None,
    };
    Forwarder::start(context, &config, &clocks().wall, 10).expect("free endpoints")
}

#[tokio::test]
async fn two_listeners_cost_the_network_one_copy_and_only_of_what_they_request() {
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
        let mut count = 0;
        while count < 100 {
            let received = receive(subscriber, 1).await;
            let of_now =
                |received: &&Received| received.measurement.accounting.is_some_and(|l| l.seq >= 1_000_000);
            count += received.iter().filter(of_now).count();
        }
        assert_eq!(count, 100);
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
    let forwarder = Forwarder::start(&context, &config, &clocks().wall, 10).expect("free endpoints");
    let upstream = forwarder.bound()[2].clone();
    let connect = EndpointConfig { attach: Some(Attach::Connect), ..EndpointConfig::new(upstream) };
    let publisher = publisher(&context, Scheme::None, connect);
    for url in &forwarder.bound()[..2] {
        let subscriber = subscriber(&context, vec![plain(url)], &["A"]);
        publish_until(url, &publisher, &["A"], || (subscriber.counters().verified > 0).then_some(()));
    }
}

#[tokio::test]
async fn each_link_is_distinguished_and_shows_how_late_its_messages_are() {
    let context = BusContext::new();
    let busy = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let idle = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let urls = [busy.bound()[0].clone(), idle.bound()[0].clone()];
    let forwarder = forwarder(&context, &[&urls[0], &urls[1]], "tcp://127.0.0.1:*");
    let source = || SourceConfig::new(&forwarder.bound()[0], Scheme::Kwapi1, vec![key()]);
    let first = subscriber(&context, vec![source()], &["A", "B"]);
    let second = subscriber(&context, vec![source()], &["A"]);
    publish_until("both listen", &busy, &["A"], || {
        (first.counters().verified > 0 && second.counters().verified > 0).then_some(())
    });
    let links = wait_until("what came is counted", LIMIT, || {
        let links = forwarder.links();
        (links[2].subscriptions == 2 && links[0].messages > 0).then_some(links)
    });
    let found: Vec<_> = links.iter().map(|link| (link.endpoint.as_str(), link.side)).collect();
    let here = "tcp://127.0.0.1:*";
    let expected = [(urls[0].as_str(), LinkSide::Upstream), (&urls[1], LinkSide::Upstream)];
    assert_eq!(found, [expected[0], expected[1], (here, LinkSide::Downstream)]);
    assert_eq!(links[0].messages, links[2].messages, "all of it came by the first");
    assert_eq!((links[1].messages, links[1].last_message, links[1].lag_micros), (0, None, None));
    assert_eq!([links[0].subscriptions, links[1].subscriptions], [2, 2]);
    let lag = links[0].lag_micros.expect("a stamp was seen");
    assert!((0..20_000_000).contains(&lag), "{lag} µs");
    assert!(links[0].last_message.is_some() && links[0].bytes > 100 * links[0].messages);
    drop((first, second));
    wait_until("nobody wants anything", LIMIT, || {
        forwarder.links().iter().all(|link| link.subscriptions == 0).then_some(())
    });
}

fn cuts(forwarders: &[Forwarder]) -> Vec<LinkCounters> {
    forwarders.iter().flat_map(Forwarder::links).filter(|link| link.cuts > 0).collect()
}

#[tokio::test]
async fn a_loop_of_forwarders_is_cut_at_one_link_and_all_continue() {
    let context = BusContext::new();
    let publisher = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let urls: Vec<_> = (0..3).map(|_| format!("tcp://127.0.0.1:{}", free_port())).collect();
    // Each listens to the one before it, and the first to the publisher as well.
    let forwarders: Vec<_> = (0..3)
        .map(|place| {
            let mut upstream = vec![urls[(place + 2) % 3].as_str()];
            upstream.extend((place == 0).then(|| publisher.bound()[0].as_str()));
            forwarder(&context, &upstream, &urls[place])
        })
        .collect();
    let source = |url: &str| SourceConfig::new(url, Scheme::Kwapi1, vec![key()]);
    let mut listener = subscriber(&context, vec![source(&urls[0])], &["*"]);
    wait_until("one link is cut", LIMIT, || (!cuts(&forwarders).is_empty()).then_some(()));
    publish_until("the listener receives", &publisher, &["warm-up"], || {
        (listener.counters().verified > 0).then_some(())
    });
    for seq in 0..50 {
        publisher.publish(measurement("A", seq));
    }
    publisher.publish(measurement("last", 0));
    let mut collected = Vec::new();
    while collected.last().is_none_or(|(probe, _)| probe != "last") {
        for received in receive(&mut listener, 1).await {
            collected.push((received.measurement.probe.to_string(), seq_of(&received)));
        }
    }
    collected.retain(|(probe, _)| probe == "A");
    let once: Vec<_> = (0..50).map(|seq| ("A".to_owned(), seq)).collect();
    assert_eq!(collected, once, "each once, and none that goes round");
    let cut = cuts(&forwarders);
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert!(cut[0].is_cut && cut[0].cuts == 1 && urls.contains(&cut[0].endpoint), "{cut:?}");
}

#[test]
fn a_forwarder_that_listens_to_itself_is_cut_off_from_itself() {
    let context = BusContext::new();
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let forwarder = forwarder(&context, &[&url], &url);
    wait_until("it is cut", LIMIT, || forwarder.links()[0].is_cut.then_some(()));
}

#[test]
fn who_listens_to_everything_is_sent_no_beacon_where_no_forwarder_listens() {
    let context = BusContext::new();
    let publisher = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let near = forwarder(&context, &[&publisher.bound()[0]], "tcp://127.0.0.1:*");
    let source = |url: &str| SourceConfig::new(url, Scheme::Kwapi1, vec![key()]);
    let before = subscriber(&context, vec![source(&near.bound()[0])], &["*"]);
    publish_until("it receives", &publisher, &["A"], || (before.counters().verified > 0).then_some(()));
    assert_eq!(before.counters().reserved, 0);
    let far = forwarder(&context, &[&near.bound()[0]], "tcp://127.0.0.1:*");
    let behind = subscriber(&context, vec![source(&far.bound()[0])], &["*"]);
    publish_until("what is between forwarders is passed over", &publisher, &["A"], || {
        (before.counters().reserved > 0 && behind.counters().verified > 0).then_some(())
    });
    assert_eq!((refused(&before), behind.counters().reserved), (Vec::new(), 0));
}
