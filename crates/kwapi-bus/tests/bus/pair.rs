//! Our publisher and our subscriber.

use super::*;
use kwapi_peers::{free_port, need_python};

#[tokio::test]
async fn a_measurement_arrives_as_it_was_sent() {
    let context = BusContext::new();
    let lab = Lab::empty();
    for url in
        ["tcp://127.0.0.1:*".to_owned(), "tcp://[::1]:*".to_owned(), ipc(&lab), "inproc://probes".to_owned()]
    {
        let publisher = publisher(&context, Scheme::Kwapi1, EndpointConfig::new(&url));
        let bound = publisher.bound().first().expect("it is bound").clone();
        let source = SourceConfig::new(&bound, Scheme::Kwapi1, vec![key()]);
        let mut subscriber = subscriber(&context, vec![source], &["lyon.*", "C"]);
        let probes = ["lyon.a", "lyon", "lyonnais.a", "C", "C.1"];
        publish_until("a measurement", &publisher, &probes, || {
            (subscriber.counters().verified >= 6).then_some(())
        });
        let received = receive(&mut subscriber, 6).await;
        let mut names: Vec<_> = received.iter().map(|received| received.measurement.probe.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["C", "lyon.a"], "{bound}");
        assert!(received.is_sorted_by_key(|received| received.received_at));
        assert!(subscriber.counters().unwanted >= 1, "lyon and C.1: {:?}", subscriber.counters());
    }
}

#[tokio::test]
async fn a_publisher_that_comes_back_is_received_again() {
    let context = BusContext::new();
    let lab = Lab::empty();
    let url = format!("tcp://127.0.0.1:{}", free_port());
    for url in [url, ipc(&lab)] {
        let mut subscriber = subscriber(&context, vec![plain(&url)], &["*"]);
        for life in ["first", "second"] {
            let publisher = publisher(&context, Scheme::None, EndpointConfig::new(&url));
            let mut is_back = false;
            while !is_back {
                let before = subscriber.counters().verified;
                publish_until(life, &publisher, &[life], || {
                    (subscriber.counters().verified > before).then_some(())
                });
                let received = receive(&mut subscriber, 1).await;
                is_back = received.iter().any(|received| received.measurement.probe.as_str() == life);
            }
        }
    }
}

#[test]
fn all_that_runs_ends_at_once() {
    let context = BusContext::new();
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let publisher = publisher(&context, Scheme::None, EndpointConfig::new(&url));
    // Peers that are not there must not hold anything up.
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    let subscriber = subscriber(&context, vec![plain(&url), plain(&nobody)], &["*"]);
    publish_until("a measurement", &publisher, &["A"], || (subscriber.counters().verified > 0).then_some(()));
    (0..10_000).for_each(|seq| publisher.publish(measurement("A", seq)));
    // What is left unsent would hold it up for ever.
    let ending = std::thread::spawn(move || drop((publisher, subscriber, context)));
    wait_until("all has ended", LIMIT, || ending.is_finished().then_some(()));
}

#[tokio::test]
async fn a_stalled_subscriber_stalls_nobody_else() {
    const MESSAGES: u64 = 60_000; // 18 MB: more than the system's buffers and the high-water mark hold.
    const CHUNK: u64 = 250;
    if !need_python("python") {
        return;
    }
    let lab = Lab::empty();
    let context = BusContext::new();
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let publisher = publisher(&context, Scheme::None, EndpointConfig::new(&url));
    let stalled = python(&lab, "subscribe.py", &[&url, "", "none", "", ""]);
    publish_until("it listens", &publisher, &["A"], || stalled.log().contains("received").then_some(()));
    stalled.signal(19); // SIGSTOP
    let mut good = subscriber(&context, vec![plain(&url)], &["B"]);
    publish_until("the other listens", &publisher, &["B"], || (good.counters().verified > 0).then_some(()));
    let mut count = 0;
    for seq in 0..MESSAGES {
        publisher.publish(measurement("B", 1_000_000 + seq));
        if (seq + 1) % CHUNK == 0 {
            while count < seq + 1 {
                let batch = receive(&mut good, 1).await;
                count += batch.iter().filter(|received| seq_of(received) >= 1_000_000).count() as u64;
            }
        }
    }
    assert_eq!(count, MESSAGES);
    assert_eq!(publisher.counters().failed, 0);
}

#[tokio::test]
async fn a_plugin_that_does_not_read_loses_the_oldest_and_learns_how_many() {
    let context = BusContext::new();
    let publisher = publisher(&context, Scheme::None, EndpointConfig::new("inproc://flood"));
    let mut subscriber = subscriber(&context, vec![plain("inproc://flood")], &["*"]);
    publish_until("a measurement", &publisher, &["A"], || (subscriber.counters().verified > 0).then_some(()));
    let mut seq = 0;
    while subscriber.counters().dropped == 0 {
        publisher.publish(measurement("A", seq));
        seq += 1;
        if seq.is_multiple_of(500) {
            tokio::task::yield_now().await;
        }
        assert!(seq < 50_000_000, "{:?}", subscriber.counters());
    }
    drop(publisher);
    wait_until("the flood has passed", LIMIT, || {
        let before = subscriber.counters().received;
        std::thread::park_timeout(Duration::from_millis(100));
        (subscriber.counters().received == before).then_some(())
    });
    let counters = subscriber.counters();
    let kept = usize::try_from(counters.verified - counters.dropped).expect("small");
    assert_eq!(kept, 131_072, "the bound of the queue");
    assert_eq!(receive(&mut subscriber, kept).await.len(), kept);
}
