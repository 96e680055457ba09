//! Many measurements in one message of NATS, with a real server: fewer are stored, each comes once, and where a server takes
//! none they are sent one by one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// Probes of two racks and one of its own, none after another of its rack only.
const PROBES: [&str; 5] = ["lyon.r1.a", "lyon.r1.b", "lyon.r2.a", "lyon.r1.a", "lyon.total"];

fn publish(publisher: &Publisher, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let probe = usize::try_from(number).expect("small") % PROBES.len();
        publisher.publish(measurement(PROBES[probe], number));
    }
}

/// How many messages the stream has.
fn stored_messages(world: &World) -> u64 {
    let info = world.stranger().request("$JS.API.STREAM.INFO.power", b"");
    info["state"]["messages"].as_u64().expect("a stream")
}

/// A stream that was made by hand, for subjects of its own.
fn make_by_hand(world: &World, subjects: &str) {
    let request = format!("{{\"name\":\"power\",\"subjects\":[\"{subjects}\"],\"storage\":\"file\"}}");
    let made = world.stranger().request("$JS.API.STREAM.CREATE.power", request.as_bytes());
    assert!(made["error"].is_null(), "{made}");
}

/// What a history receives of `numbers` is each of them once and in order.
async fn take(history: &Subscriber, numbers: std::ops::Range<u64>) {
    let (received, acks) = receive(history, numbers.clone().count()).await;
    assert_eq!(received, numbers.collect::<Vec<_>>());
    acks.into_iter().for_each(Ack::confirm);
}

#[tokio::test]
async fn fewer_messages_than_measurements_are_stored_and_each_comes_once_and_in_order() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    for publisher in [world.publisher(), keeping(&world)] {
        let before = stored_messages(&world);
        publish(&publisher, 0..10_000);
        stored(&publisher, 10_000);
        let count = stored_messages(&world) - before;
        assert!(count < 1_000, "{count} messages for 10 000 measurements");
        let history = world.history();
        take(&history, 0..10_000).await;
        until_wanting(&world, 0);
        let (sent, received) = (link(publisher.nats_links()), link(history.nats_links()));
        assert_eq!(
            (sent.repeated, received.repeated, received.misplaced, received.messages),
            (0, 0, 0, 10_000)
        );
        assert!(sent.batches > 0 && sent.batches == received.batches && sent.batches <= count);
        assert_eq!(refused(&history), []);
    }
}

#[tokio::test]
async fn an_operator_turns_batches_off() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World { batch_messages_max: Some(1), ..World::new().await };
    for publisher in [world.publisher(), keeping(&world)] {
        let before = stored_messages(&world);
        publish(&publisher, 0..500);
        stored(&publisher, 500);
        assert_eq!(stored_messages(&world) - before, 500);
        assert_eq!(link(publisher.nats_links()).batches, 0);
    }
}

#[tokio::test]
async fn where_a_server_allows_no_batch_single_messages_are_sent_and_nothing_is_lost() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let users = "authorization { users = [ { user: u, password: p, permissions: { publish: { \
        allow: \">\", deny: [\"power.lyon.%batch\", \"power.lyon.*.%batch\"] } } } ] }\nno_auth_user: u";
    let config = NatsConfig {
        user: Some("u".to_owned()),
        password: Some(kwapi_core::Secret::new("p")),
        ..NatsConfig::default()
    };
    let world = World::without_stream(users, config);
    world.make_stream().await;
    world.make_consumer(ConsumerBegin::Now).await;
    for publisher in [world.publisher(), keeping(&world)] {
        publish(&publisher, 0..3_000);
        let sent = wait_until("all is stored", LIMIT, || {
            let link = link(publisher.nats_links());
            (link.messages >= 3_000 && link.waiting == 0).then_some(link)
        });
        assert_eq!((sent.problem, sent.connections), (None, 1), "nothing is wrong with the connection");
        let history = world.history();
        take(&history, 0..3_000).await;
        until_wanting(&world, 0);
    }
}

#[tokio::test]
async fn where_no_stream_takes_a_batch_single_messages_are_sent_also_if_somebody_listens() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::without_stream("", NatsConfig::default());
    make_by_hand(&world, "power.lyon.*.a");
    world.make_consumer(ConsumerBegin::Now).await;
    let both = |publisher: &Publisher, numbers: std::ops::Range<u64>| {
        for number in numbers {
            publisher.publish(measurement(["lyon.r1.a", "lyon.r2.a"][usize::from(number % 2 == 1)], number));
        }
    };
    let publisher = world.publisher();
    both(&publisher, 0..1_000);
    stored(&publisher, 1_000);
    assert_eq!(link(publisher.nats_links()).problem, None);
    // With a listener to all subjects, the server does not report that no stream has one.
    let mut listener = world.stranger();
    listener.listen("power.>");
    let publisher = keeping(&world);
    both(&publisher, 1_000..2_000);
    // Each window of batches is waited for for five seconds first.
    wait_until("all is stored", 3 * LIMIT, || {
        let link = link(publisher.nats_links());
        (link.messages >= 1_000 && link.waiting == 0).then_some(())
    });
    take(&world.history(), 0..2_000).await;
    until_wanting(&world, 0);
}

#[tokio::test]
async fn whoever_requests_a_probe_gets_it_out_of_batches_and_once() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    let wishes = ["lyon.r1.b", "lyon.r2.*"];
    let history = subscriber(&world.context, vec![world.source(Some("centre"))], &wishes);
    let live = subscriber(&world.context, vec![world.source(None)], &wishes);
    for subscriber in [&history, &live] {
        wait_until("a connection", LIMIT, || link(subscriber.nats_links()).problem.is_none().then_some(()));
    }
    let publisher = world.publisher();
    publish(&publisher, 0..1_000);
    stored(&publisher, 1_000);
    assert!(link(publisher.nats_links()).batches > 0);
    let expected: Vec<_> = (0..1_000).filter(|number| [1, 2].contains(&(number % 5))).collect();
    let (numbers, acks) = receive(&history, 400).await;
    assert_eq!(numbers, expected);
    acks.into_iter().for_each(Ack::confirm);
    assert_eq!(receive(&live, 400).await.0, expected);
    until_wanting(&world, 0);
    assert_eq!((refused(&history), refused(&live)), (Vec::new(), Vec::new()));
    assert!(timeout(Duration::from_millis(300), live.recv()).await.is_err(), "it came twice");
}

#[tokio::test]
async fn a_history_that_is_killed_within_a_batch_is_given_the_rest_of_it() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    publish(&publisher, 0..3_000);
    let history = world.history();
    let (mut numbers, first) = receive(&history, 1).await;
    let confirmed = numbers.len() as u64;
    let (others, acks) = receive(&history, 3_000 - numbers.len()).await;
    numbers.extend(others);
    assert_eq!(numbers, (0..3_000).collect::<Vec<_>>());
    let all = wanting(&world);
    first.into_iter().for_each(Ack::confirm);
    // Those before the batch in which it ends, if any.
    wait_until("the first are acknowledged", LIMIT, || {
        (wanting(&world) < all || confirmed < 60).then_some(())
    });
    drop(acks);
    drop(history);
    let again = world.history();
    let mut numbers = Vec::new();
    while numbers.last() != Some(&2_999) {
        let (more, acks) = receive(&again, 1).await;
        numbers.extend(more);
        acks.into_iter().for_each(Ack::confirm);
    }
    // What is on the disk of that batch is received once more, and the account recognises it.
    let begin = numbers.first().copied().unwrap_or_default();
    assert!(begin <= confirmed && confirmed < begin + 100, "{begin} of {confirmed}");
    assert_eq!(numbers, (begin..3_000).collect::<Vec<_>>());
    until_wanting(&world, 0);
}

#[tokio::test]
async fn batches_of_strangers_are_refused_by_cause_and_not_delivered_again() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    (0..40).for_each(|number| publisher.publish(measurement("lyon.r1.b", number)));
    stored(&publisher, 40);
    let mut stranger = world.stranger();
    let first = stranger.request("$JS.API.STREAM.INFO.power", b"")["state"]["first_seq"].as_u64();
    let first = first.expect("a stream with messages");
    // The first may have been sent before there were others.
    let batch = (first..first + 2).find_map(|number| {
        let get = format!("{{\"seq\":{number}}}");
        let message = stranger.request("$JS.API.STREAM.MSG.GET.power", get.as_bytes());
        assert_eq!(message["message"]["subject"], "power.lyon.r1.b");
        let data = STANDARD.decode(message["message"]["data"].as_str().expect("data")).expect("base64");
        data.starts_with(b"kwapi-batch-1\n").then_some(data)
    });
    let batch = batch.expect("a batch");
    let with = |parts: &[u8]| [b"kwapi-batch-1\n", parts].concat();
    let mut malformed = 0;
    for (subject, payload) in [
        ("power.lyon.r1.b", batch[..batch.len() - 1].to_vec()),
        ("power.lyon.%batch", batch.clone()),
        ("power.lyon.%batch", b"{}".to_vec()),
        ("power.lyon.%batch", Vec::new()),
        ("power.lyon.%batch", with(b"")),
        ("power.lyon.%batch", with(b"\0\x02a.")),
        ("power.lyon.%batch", with(&[0; 16_000])),
        ("power.lyon.a", with(&[0; 16_000])),
    ] {
        let stored = stranger.request(subject, &payload);
        assert!(stored["seq"].as_u64().is_some(), "{stored}");
        malformed += 1;
    }
    // At the root there is none; of another probe, their signatures are others'.
    assert!(stranger.request("power.%batch", &batch)["seq"].as_u64().is_some());
    assert!(stranger.request("power.paris.a", &batch)["seq"].as_u64().is_some());
    publisher.publish(measurement("lyon.r1.a", 40));
    let history = world.history();
    take(&history, 0..41).await;
    until_wanting(&world, 0);
    let counters = history.counters();
    let of = |cause: Refusal| counters.refused.iter().find(|(it, _)| *it == cause).map(|(_, count)| *count);
    assert_eq!(of(Refusal::Frames), Some(malformed), "{:?}", counters.refused);
    let refused: u64 = counters.refused.iter().map(|(_, count)| count).sum();
    let copied = refused - malformed - 1;
    assert!((39..=40).contains(&copied), "each of the copy: {:?}", counters.refused);
}
