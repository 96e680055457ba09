//! Keys that are changed without a gap.

use super::*;

const OTHER: &str = "another secret of the tests";

fn known(id: &str, secret: &str, valid_from: Option<Timestamp>, valid_until: Option<Timestamp>) -> Key {
    Key { valid_from, valid_until, ..Key::new(id, secret) }
}

/// Each measurement is of a second of its own, soon.
fn at_second(start: Timestamp, second: u64) -> Measurement {
    let mut measurement = measurement("A", second);
    if let Some(accounting) = &mut measurement.accounting {
        accounting.timestamp = start.after(Duration::from_secs(second));
    }
    measurement
}

/// The seq and key of what comes until the last of `count`.
async fn receive_until(subscriber: &mut Subscriber, count: u64) -> Vec<(u64, String)> {
    let mut all: Vec<(u64, String)> = Vec::new();
    while all.last().is_none_or(|(seq, _)| seq + 1 < count) {
        let received = receive(subscriber, 1).await;
        let of_story = received.iter().filter(|received| received.measurement.probe.as_str() == "A");
        all.extend(
            of_story.map(|received| (seq_of(received), received.key.as_deref().unwrap_or("").to_owned())),
        );
    }
    all
}

#[tokio::test]
async fn a_key_follows_another_at_an_instant_and_nothing_is_lost() {
    let context = BusContext::new();
    let start = now();
    let change = start.after(Duration::from_secs(20));
    let keys = || vec![known("old", SECRET, None, Some(change)), known("new", OTHER, Some(change), None)];
    let config = PublisherConfig {
        endpoints: vec![EndpointConfig::new("tcp://127.0.0.1:*")],
        signature: Scheme::Kwapi1,
        keys: keys(),
        high_water: None,
    };
    let publisher = Publisher::start(&context, &config, 10).expect("a free endpoint");
    let source = SourceConfig::new(&publisher.bound()[0], Scheme::Kwapi1, keys());
    let mut subscriber = subscriber(&context, vec![source], &["*"]);
    publish_until("it listens", &publisher, &["warm-up"], || {
        (subscriber.counters().verified > 0).then_some(())
    });
    (0..40).for_each(|second| publisher.publish(at_second(start, second)));
    let expected: Vec<_> =
        (0..40).map(|second| (second, if second < 20 { "old" } else { "new" }.to_owned())).collect();
    assert_eq!(receive_until(&mut subscriber, 40).await, expected);
    assert_eq!(refused(&subscriber), []);
}

#[tokio::test]
async fn keys_are_changed_on_both_sides_while_messages_pass() {
    let context = BusContext::new();
    let publisher = publisher(&context, Scheme::Kwapi1, EndpointConfig::new("tcp://127.0.0.1:*"));
    let (old, new) = (key(), Key::new("new", OTHER));
    let source = |keys: &[&Key]| {
        let keys = keys.iter().map(|key| (*key).clone()).collect();
        vec![SourceConfig::new(&publisher.bound()[0], Scheme::Kwapi1, keys)]
    };
    let mut subscriber = subscriber(&context, source(&[&old]), &["*"]);
    publish_until("it listens", &publisher, &["warm-up"], || {
        (subscriber.counters().verified > 0).then_some(())
    });
    let start = now();
    subscriber.verify_with(&source(&[&old, &new])).expect("keys");
    (0..10).for_each(|second| publisher.publish(at_second(start, second)));
    assert!(receive_until(&mut subscriber, 10).await.iter().all(|(_, key)| key == "test-1"));
    publisher.sign_with(std::slice::from_ref(&new)).expect("a key");
    (10..20).for_each(|second| publisher.publish(at_second(start, second)));
    assert_eq!(receive_until(&mut subscriber, 20).await.last().map(|(_, key)| key.as_str()), Some("new"));
    subscriber.verify_with(&source(&[&new])).expect("keys");
    (20..30).for_each(|second| publisher.publish(at_second(start, second)));
    receive_until(&mut subscriber, 30).await;
    assert_eq!(refused(&subscriber), [], "nothing was lost");
    // What is signed with the key that was taken away is no longer accepted.
    publisher.sign_with(&[old]).expect("a key");
    wait_until("it is refused", LIMIT, || {
        publisher.publish(at_second(start, 30));
        refused(&subscriber).iter().any(|(cause, _)| *cause == Refusal::KeyUnknown).then_some(())
    });
    assert_eq!(subscriber.skews().iter().map(|skew| skew.key.as_deref()).collect::<Vec<_>>(), [Some("new")]);
    assert!(publisher.sign_with(&[]).is_err() && subscriber.verify_with(&source(&[])).is_err());
}

#[test]
fn nothing_is_sent_that_no_key_is_valid_for() {
    let context = BusContext::new();
    let over = known("over", SECRET, None, Some(Timestamp::from_seconds(1_000)));
    let config = PublisherConfig {
        endpoints: vec![EndpointConfig::new("tcp://127.0.0.1:*")],
        signature: Scheme::Kwapi1,
        keys: vec![over.clone()],
        high_water: None,
    };
    let publisher = Publisher::start(&context, &config, 10).expect("a free endpoint");
    publish_until("it is counted", &publisher, &["A"], || (publisher.counters().unsigned > 0).then_some(()));
    assert_eq!(publisher.counters().published, 0);
    publisher.sign_with(&[Key { valid_until: None, ..over.clone() }]).expect("a key");
    let source = |key: Key| SourceConfig::new(&publisher.bound()[0], Scheme::Kwapi1, vec![key]);
    let listener = subscriber(&context, vec![source(over)], &["*"]);
    publish_until("it is refused", &publisher, &["A"], || {
        refused(&listener).iter().any(|(cause, _)| *cause == Refusal::KeyValidity).then_some(())
    });
    assert_eq!(listener.counters().verified, 0);
}

#[test]
fn endpoints_that_had_the_same_keys_keep_them_together() {
    let source = |url: &str, id: &str| SourceConfig::new(url, Scheme::Kwapi1, vec![Key::new(id, SECRET)]);
    let urls = ["inproc://a", "inproc://b"];
    let listener = subscriber(&BusContext::new(), urls.map(|url| source(url, "one")).into(), &["*"]);
    let error =
        listener.verify_with(&[source(urls[0], "two"), source(urls[1], "one")]).expect_err("they differ");
    assert_eq!(
        error.to_string(),
        "inproc://b: its keys are no longer those of inproc://a; restart to apply this"
    );
    assert!(listener.verify_with(&urls.map(|url| source(url, "two"))).is_ok());
}
