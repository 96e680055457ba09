//! What an operator, or somebody else with the rights of one, does to a stream or a consumer while both ends run.

use serde_json::{Value, json};

use super::*;

/// The consumer's configuration with other values, put in place of it.
fn change(world: &World, changes: &Value) {
    let mut stranger = world.stranger();
    let mut config = stranger.request("$JS.API.CONSUMER.INFO.power.centre", b"")["config"].clone();
    for (key, value) in changes.as_object().expect("a table") {
        config[key] = value.clone();
    }
    let request = json!({ "stream_name": "power", "config": config, "action": "update" }).to_string();
    let changed = stranger.request("$JS.API.CONSUMER.CREATE.power.centre", request.as_bytes());
    assert!(changed["error"].is_null(), "{changed}");
}

/// Whether `changes` hold for the consumer as it is now.
fn is_changed(world: &World, changes: &Value) -> bool {
    let config = world.stranger().request("$JS.API.CONSUMER.INFO.power.centre", b"")["config"].clone();
    changes.as_object().expect("a table").iter().any(|(key, value)| config.get(key) == Some(value))
}

/// Waits until the history has `count` messages in order, whatever came twice.
async fn in_order(history: &Subscriber, count: u64) {
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        let (numbers, acks) = receive(history, 1).await;
        acks.into_iter().for_each(Ack::confirm);
        all.extend(numbers);
        all.sort_unstable();
        all.dedup();
    }
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_consumer_that_was_changed_so_that_it_loses_messages_is_restored() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    let mut next = 0;
    for changes in [
        json!({ "max_deliver": 1 }),
        json!({ "headers_only": true }),
        json!({ "inactive_threshold": 60_000_000_000_u64 }),
        json!({ "max_batch": 5 }),
        json!({ "max_expires": 1_000_000_000 }),
        json!({ "backoff": [20_000_000_000_u64, 30_000_000_000_u64], "max_deliver": 3 }),
    ] {
        change(&world, &changes);
        assert!(is_changed(&world, &changes), "{changes}");
        (next..next + 100).for_each(|number| publisher.publish(measurement("a", number)));
        let history = world.history();
        let (numbers, acks) = receive(&history, 100).await;
        assert_eq!(numbers, (next..next + 100).collect::<Vec<_>>(), "{changes}");
        acks.into_iter().for_each(Ack::confirm);
        until_wanting(&world, 0);
        assert!(!is_changed(&world, &changes), "{changes}");
        next += 100;
    }
}

#[tokio::test]
async fn a_consumer_that_is_changed_while_it_is_in_use_is_restored_and_nothing_is_lost() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    publisher.publish(measurement("a", 0));
    let (_, acks) = receive(&history, 1).await;
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    let mut next = 1;
    // What the next message or request shows, and what only a look does.
    for changes in [
        json!({ "headers_only": true }),
        json!({ "max_batch": 5 }),
        json!({ "inactive_threshold": 60_000_000_000_u64 }),
    ] {
        change(&world, &changes);
        (next..next + 100).for_each(|number| publisher.publish(measurement("a", number)));
        let (numbers, acks) = receive(&history, 100).await;
        assert_eq!(numbers, (next..next + 100).collect::<Vec<_>>(), "{changes}");
        acks.into_iter().for_each(Ack::confirm);
        wait_until("the configuration", LIMIT, || (!is_changed(&world, &changes)).then_some(()));
        next += 100;
    }
    assert!(history.counters().refused.iter().all(|(_, count)| *count == 0));
}

#[tokio::test]
async fn a_consumer_that_is_paused_while_it_is_in_use_is_reported_with_the_command_that_resumes_it() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    publisher.publish(measurement("a", 0));
    let (_, acks) = receive(&history, 1).await;
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    let pause = |until: &str| {
        let request = format!("{{\"pause_until\":\"{until}\"}}");
        world.stranger().request("$JS.API.CONSUMER.PAUSE.power.centre", request.as_bytes())
    };
    assert_eq!(pause("2100-01-01T00:00:00Z")["paused"], true);
    publisher.publish(measurement("a", 1));
    let problem = wait_until("the pause is reported", LIMIT, || link(history.nats_links()).problem);
    assert_eq!(
        problem,
        "consumer centre is paused until 2100-01-01T00:00:00Z; to resume it: nats consumer resume power centre"
    );
    assert_ne!(pause("2000-01-01T00:00:00Z")["paused"], true);
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [1]);
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
}

#[tokio::test]
async fn what_a_stream_drops_before_a_history_has_it_is_counted_with_when_that_was() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    // One by one: the server counts messages, whatever is in them.
    let world = World { batch_messages_max: Some(1), ..World::new().await };
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    (0..10).for_each(|number| publisher.publish(measurement("a", number)));
    let history = world.history();
    in_order(&history, 10).await;
    until_wanting(&world, 0);
    assert_eq!(link(history.nats_links()).lost, 0);
    drop(history);
    // While the history is away, with a limit that a smaller part fits in.
    let mut stranger = world.stranger();
    let mut config = stranger.request("$JS.API.STREAM.INFO.power", b"")["config"].clone();
    config["max_msgs"] = 100.into();
    let changed = stranger.request("$JS.API.STREAM.UPDATE.power", config.to_string().as_bytes());
    assert!(changed["error"].is_null(), "{changed}");
    let before = now();
    (10..1_000).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 1_000);
    let history = world.history();
    let (numbers, acks) = receive(&history, 100).await;
    assert_eq!(numbers, (900..1_000).collect::<Vec<_>>());
    acks.into_iter().for_each(Ack::confirm);
    let received = link(history.nats_links());
    assert_eq!(received.lost, 890);
    assert!(received.lost_until.is_some_and(|until| until >= before && until <= now()), "{received:?}");
    // While it runs: by a purge of what it has not received.
    until_wanting(&world, 0);
    let info = stranger.request("$JS.API.STREAM.INFO.power", b"");
    let begin = info["state"]["last_seq"].as_u64().expect("a number") + 1;
    let pause = |stranger: &mut Stranger, until: &str| {
        let request = format!("{{\"pause_until\":\"{until}\"}}");
        stranger.request("$JS.API.CONSUMER.PAUSE.power.centre", request.as_bytes())
    };
    assert_eq!(pause(&mut stranger, "2100-01-01T00:00:00Z")["paused"], true);
    (1_000..1_010).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 1_010);
    let request = format!("{{\"seq\":{}}}", begin + 4);
    stranger.request("$JS.API.STREAM.PURGE.power", request.as_bytes());
    assert_ne!(pause(&mut stranger, "2000-01-01T00:00:00Z")["paused"], true);
    let (numbers, acks) = receive(&history, 6).await;
    assert_eq!(numbers, (1_004..1_010).collect::<Vec<_>>());
    acks.into_iter().for_each(Ack::confirm);
    assert_eq!(link(history.nats_links()).lost, 894);
    until_wanting(&world, 0);
}

#[tokio::test]
async fn a_stream_that_is_purged_is_not_waited_for() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    (0..10).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 10);
    world.stranger().request("$JS.API.STREAM.PURGE.power", b"");
    let history = world.history();
    let begun = now();
    wait_until("all there is was read", LIMIT, || history.stored_until().filter(|until| *until >= begun));
    publisher.publish(measurement("a", 10));
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [10]);
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    world.stranger().request("$JS.API.STREAM.PURGE.power", b"");
    let purged = now();
    wait_until("nothing is waited for", LIMIT, || history.stored_until().filter(|until| *until > purged));
    assert_eq!(link(history.nats_links()).problem, None);
}
