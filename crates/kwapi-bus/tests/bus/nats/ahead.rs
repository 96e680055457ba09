//! The present, shown beside a consumer that has a backlog to read.

use kwapi_bus::NatsSide;

use super::*;

/// More than is handed on before any of it is acknowledged, and is fetched before that: as long as nobody does, the history is
/// behind.
const BACKLOG: u64 = (1 << 16) + 30_000;

/// The connection of a side.
fn side(subscriber: &Subscriber, side: NatsSide) -> NatsLink {
    subscriber.nats_links().into_iter().find(|link| link.side == side).expect("a connection")
}

/// The seconds of what shows the present, as they come.
async fn shown(subscriber: &Subscriber) -> Vec<u64> {
    let batch = timeout(LIMIT, subscriber.recv_ahead()).await.expect("live").expect("open");
    batch.measurements.iter().filter_map(|received| Some(received.measurement.accounting?.seq)).collect()
}

#[tokio::test]
async fn what_is_published_is_shown_at_once_while_a_backlog_waits_and_is_received_after_it_once() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    (0..BACKLOG).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, BACKLOG);
    let before = now();
    let history = world.history();
    for side_name in [NatsSide::Subscribe, NatsSide::Live] {
        let works = || side(&history, side_name).problem.is_none().then_some(());
        wait_until("a connection", LIMIT, works);
    }
    publisher.publish(measurement("a", BACKLOG));
    assert_eq!(shown(&history).await, [BACKLOG]);
    // A stranger's message is refused here as well, and so is a copy of ours with another signature.
    world.stranger().request("power.a", b"{}");
    publisher.publish(measurement("a", BACKLOG + 1));
    assert_eq!(shown(&history).await, [BACKLOG + 1]);
    let behind = side(&history, NatsSide::Subscribe);
    assert!(behind.waiting > 0 && behind.read_until.is_some_and(|until| until < before), "{behind:?}");
    assert_eq!(history.stored_until(), behind.read_until);
    let counters = history.counters();
    assert!(counters.received <= 1 << 16, "what shows the present is counted where it is kept: {counters:?}");

    let (mut numbers, mut refused) = (Vec::new(), 0);
    while (numbers.len() as u64) < BACKLOG + 2 || refused == 0 {
        let (more, acks) = receive(&history, 1).await;
        numbers.extend(more);
        acks.into_iter().for_each(Ack::confirm);
        refused = history.counters().refused.iter().map(|(_, count)| count).sum();
    }
    assert_eq!(numbers, (0..BACKLOG + 2).collect::<Vec<_>>());
    assert_eq!((refused, history.counters().received), (1, BACKLOG + 3));
    wait_until("all is read", LIMIT, || (history.stored_until()? > before).then_some(()));
    until_wanting(&world, 0);
    // What is read to its end is not received twice.
    let begun = Instant::now();
    loop {
        let received = side(&history, NatsSide::Live).messages;
        publisher.publish(measurement("a", 0));
        tokio::time::sleep(Duration::from_millis(300)).await;
        if side(&history, NatsSide::Live).messages == received {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "it is listened to for ever");
    }
}

#[tokio::test]
async fn a_history_that_may_not_listen_reports_it_and_keeps_what_is_stored() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let users = "authorization { users = [ { user: u, password: p, \
        permissions: { subscribe: { deny: \"power.>\" } } } ] }";
    let config = NatsConfig {
        user: Some("u".to_owned()),
        password: Some(kwapi_core::Secret::new("p")),
        ..NatsConfig::default()
    };
    let world = World::without_stream(users, config);
    world.make_stream().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    wait_until("it is reported", LIMIT, || {
        side(&history, NatsSide::Live)
            .problem
            .filter(|problem| problem.to_lowercase().contains("permissions"))
    });
    publisher.publish(measurement("a", 7));
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!((numbers, side(&history, NatsSide::Subscribe).problem), (vec![7], None));
    acks.into_iter().for_each(Ack::confirm);
}

/// Two servers, a stream each, whose messages are read in the order that they were measured in.
#[tokio::test]
async fn streams_that_are_behind_are_read_side_by_side() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let (one, other) = (World::new().await, World::new().await);
    let begun = now();
    // A message a second, for three hours; that of the other site first.
    let stamped = |probe: &str, number: u64| {
        let mut measurement = measurement(probe, number);
        if let Some(accounting) = &mut measurement.accounting {
            accounting.timestamp = Timestamp::from_seconds(begun.seconds() - 10_800 + number);
        }
        measurement
    };
    for (world, probe) in [(&one, "a"), (&other, "b")] {
        world.make_consumer(ConsumerBegin::Now).await;
        let publisher = world.publisher();
        (0..10_800).for_each(|number| publisher.publish(stamped(probe, number)));
        stored(&publisher, 10_800);
    }
    let history =
        subscriber(&one.context, vec![one.source(Some("centre")), other.source(Some("centre"))], &["*"]);
    let (mut newest, mut apart, mut count) = ([None::<u64>; 2], 0, 0);
    while count < 2 * 10_800 {
        let (batch, ack) = timeout(LIMIT, history.recv()).await.expect("messages").expect("open");
        for received in &batch.measurements {
            let place = usize::from(received.measurement.probe.as_str() == "b");
            let stamp = received.measurement.accounting.map(|accounting| accounting.timestamp.seconds());
            assert!(newest[place] < stamp, "each in its own order");
            newest[place] = stamp;
            if let [Some(one), Some(other)] = newest {
                apart = apart.max(one.abs_diff(other));
            }
            count += 1;
        }
        ack.confirm();
    }
    // One may have had a turn before the other stood; not several.
    assert!(apart <= 1_024 + 128, "{apart} s apart");
}
