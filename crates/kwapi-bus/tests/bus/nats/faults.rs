//! What goes wrong between us and a server.

use kwapi_core::Secret;

use super::*;

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_costs_no_message() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    let mut all = Vec::new();
    for round in 0..4 {
        if round % 2 == 1 {
            // What was received may not be confirmed to its publisher yet.
            let none = || (link(publisher.nats_links()).waiting == 0).then_some(());
            wait_until("all is confirmed", LIMIT, none);
            world.server.kill();
        }
        (round * 500..(round + 1) * 500).for_each(|number| publisher.publish(measurement("a", number)));
        if round % 2 == 1 {
            wait_until("the outage is reported", LIMIT, || link(publisher.nats_links()).problem);
            wait_until("the outage is reported", LIMIT, || link(history.nats_links()).problem);
            let all = || (link(publisher.nats_links()).waiting == 500).then_some(());
            wait_until("all of it waits here", LIMIT, all);
            world.server.restart();
        }
        // What was acknowledged just before the kill may come again.
        while (all.len() as u64) < (round + 1) * 500 {
            let (numbers, acks) = receive(&history, 1).await;
            acks.into_iter().for_each(Ack::confirm);
            all.extend(numbers);
            all.sort_unstable();
            all.dedup();
        }
    }
    assert_eq!(all, (0..2_000).collect::<Vec<_>>());
    until_wanting(&world, 0);
    wait_until("all is well again", LIMIT, || link(publisher.nats_links()).problem.is_none().then_some(()));
    assert_eq!(link(publisher.nats_links()).dropped, 0);
}

#[tokio::test]
async fn a_server_that_stalls_or_is_not_there_makes_nobody_wait() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let absent = EndpointConfig::new(format!("nats://127.0.0.1:{}/power", free_port()));
    let nobody = super::super::publisher(&world.context, Scheme::Kwapi1, absent);
    // More than wait at most.
    (0..140_000).for_each(|number| nobody.publish(measurement("a", number)));
    let status = wait_until("what is dropped is reported", LIMIT, || {
        let link = link(nobody.nats_links());
        (link.dropped + link.waiting == 140_000 && link.problem.is_some()).then_some(link)
    });
    assert_eq!(status.waiting, 1 << 17);
    assert!(status.problem.is_some_and(|problem| problem.contains("cannot connect")));
    let publisher = world.publisher();
    publisher.publish(measurement("a", 0));
    stored(&publisher, 1);
    world.server.signal(libc::SIGSTOP);
    (1..3_000).for_each(|number| publisher.publish(measurement("a", number)));
    wait_until("the stall is reported", LIMIT, || link(publisher.nats_links()).problem);
    world.server.signal(libc::SIGCONT);
    let history = world.history();
    let mut all = Vec::new();
    while all.len() < 3_000 {
        // What was not confirmed in time is stored twice.
        let (numbers, acks) = receive(&history, 1).await;
        acks.into_iter().for_each(Ack::confirm);
        all.extend(numbers);
        all.sort_unstable();
        all.dedup();
    }
    assert_eq!(all, (0..3_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_login_that_is_wrong_is_reported_and_one_that_is_right_works() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let login = |user: &str, password: &str| NatsConfig {
        user: Some(user.to_owned()),
        password: Some(Secret::new(password)),
        ..NatsConfig::default()
    };
    let users = "authorization { users = [ { user: site, password: right } ] }";
    let mut world = World::without_stream(users, login("site", "wrong"));
    let refused = NatsSetup::connect(&world.endpoint()).await.expect_err("a wrong password").to_string();
    assert!(refused.ends_with("authentication failed; check the login in `nats`"), "{refused}");
    let (publisher, history) = (world.publisher(), world.history());
    for problem in [
        wait_until("the refusal is reported", LIMIT, || {
            link(publisher.nats_links()).problem.filter(|it| it.contains("auth"))
        }),
        wait_until("the refusal is reported", LIMIT, || {
            link(history.nats_links()).problem.filter(|it| it.contains("auth"))
        }),
    ] {
        assert_eq!(problem, "authentication failed; check the login in `nats`");
    }
    drop((publisher, history));
    world.config = login("site", "right");
    world.make_stream().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 1));
    assert_eq!(receive(&world.history(), 1).await.0, [1]);
}

#[tokio::test]
async fn who_may_not_publish_or_subscribe_gets_the_error_of_the_server() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let users = "authorization { users = [ { user: setup, password: setup }, { user: reader, password: reader, \
        permissions: { publish: \"$JS.API.>\", subscribe: \"_INBOX.>\" } } ] }";
    let login = |name: &str| NatsConfig {
        user: Some(name.to_owned()),
        password: Some(Secret::new(name)),
        ..NatsConfig::default()
    };
    let mut world = World::without_stream(users, login("setup"));
    world.make_stream().await;
    world.config = login("reader");
    let publisher = world.publisher();
    let live = subscriber(&world.context, vec![world.source(None)], &["*"]);
    publisher.publish(measurement("a", 1));
    let problem = wait_until("the refusal is reported", LIMIT, || {
        link(publisher.nats_links()).problem.filter(|it| it.contains("server reports"))
    });
    assert!(problem.to_lowercase().contains("permissions violation for publish to \"power.a\""), "{problem}");
    let problem = wait_until("the refusal is reported", LIMIT, || {
        link(live.nats_links()).problem.filter(|it| it.contains("server reports"))
    });
    assert!(
        problem.to_lowercase().contains("permissions violation for subscription to \"power.>\""),
        "{problem}"
    );
}

#[tokio::test]
async fn garbage_and_giants_are_counted_by_cause_and_not_delivered_again() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let mut stranger = world.stranger();
    for (subject, payload) in [
        ("power.a", "no JSON".to_owned()),
        ("power.a", "x".repeat(9_000)),
        ("power.%zz", "{}".to_owned()),
        ("power.a", String::new()),
        ("power.a", r#"{"probe_id":"a","w":1,"message_signature":"1:test-1:00"}"#.to_owned()),
    ] {
        let stored = stranger.request(subject, payload.as_bytes());
        assert!(stored["seq"].as_u64().is_some(), "{stored}");
    }
    // A stream takes no more than what a message can be, with room to spare.
    let giant = stranger.request("power.a", &vec![b'x'; 100_000]);
    assert_eq!(giant["error"]["err_code"], 10_054, "{giant}");
    let publisher = world.publisher();
    publisher.publish(measurement("a", 5));
    let history = world.history();
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [5]);
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    let counters = history.counters();
    let refused: u64 = counters.refused.iter().map(|(_, count)| count).sum();
    assert_eq!((counters.received, counters.verified, refused), (6, 1, 5), "{:?}", counters.refused);
}

#[tokio::test]
async fn a_stream_or_consumer_that_is_deleted_is_reported_and_used_again_when_it_is_back() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    publisher.publish(measurement("a", 0));
    // Under way to a journal.
    let (numbers, first) = receive(&history, 1).await;
    assert_eq!(numbers, [0]);
    let mut stranger = world.stranger();
    assert_eq!(stranger.request("$JS.API.CONSUMER.DELETE.power.centre", b"")["success"], true);
    (1..=600).for_each(|number| publisher.publish(measurement("a", number)));
    let (numbers, acks) = receive(&history, 600).await;
    assert_eq!(numbers, (1..=600).collect::<Vec<_>>(), "it continues where it was");
    acks.into_iter().for_each(Ack::confirm);
    first.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    assert_eq!(stranger.request("$JS.API.STREAM.DELETE.power", b"")["success"], true);
    publisher.publish(measurement("a", 601));
    let missing =
        |problem: &String| problem.starts_with("stream power not found; create it with `kwapi nats-setup`");
    wait_until("the loss is reported", LIMIT, || link(publisher.nats_links()).problem.filter(missing));
    wait_until("the loss is reported", LIMIT, || link(history.nats_links()).problem.filter(missing));
    world.make_stream().await;
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [601], "the numbers of another stream are others");
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_alone() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let files = Lab::empty();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let (certificate, key_file) = (files.join("server.pem"), files.join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("room");
    std::fs::write(&key_file, made.signing_key.serialize_pem()).expect("room");
    std::fs::write(files.join("other.pem"), other.cert.pem()).expect("room");
    let tls =
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", certificate.display(), key_file.display());
    let trusting = |name: &str| NatsConfig { ca: Some(files.join(name)), ..NatsConfig::default() };
    let mut world = World::without_stream(&tls, trusting("other.pem"));
    world.url = world.url.replace("nats://", "tls://");
    let refused = NatsSetup::connect(&world.endpoint()).await.expect_err("another authority").to_string();
    assert!(refused.to_lowercase().contains("certificate"), "{refused}");
    world.config = trusting("server.pem");
    world.make_stream().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 1));
    assert_eq!(receive(&world.history(), 1).await.0, [1]);
}

#[test]
fn what_is_not_signed_by_our_own_scheme_does_not_go_over_it() {
    let context = BusContext::new();
    for scheme in [Scheme::Legacy, Scheme::None] {
        let config = PublisherConfig {
            endpoints: vec![EndpointConfig::new("nats://127.0.0.1:1/power")],
            signature: scheme,
            keys: keys(scheme),
            high_water: None,
        };
        let refused = Publisher::start(&context, &config, 1).expect_err("refused").to_string();
        assert!(refused.contains("NATS requires signature"), "{refused}");
        let source = SourceConfig::new("nats://127.0.0.1:1/power", scheme, keys(scheme));
        let config = SubscriberConfig::new(vec![source]);
        let refused = Subscriber::start(&context, &config, &clocks(), 1).expect_err("refused").to_string();
        assert!(refused.contains("NATS requires signature"), "{refused}");
    }
}

#[tokio::test]
async fn a_consumer_that_is_paused_is_reported() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 0));
    stored(&publisher, 1);
    let pause = |until: &str| {
        let request = format!("{{\"pause_until\":\"{until}\"}}");
        world.stranger().request("$JS.API.CONSUMER.PAUSE.power.centre", request.as_bytes())
    };
    assert_eq!(pause("2100-01-01T00:00:00Z")["paused"], true);
    let history = world.history();
    wait_until("the pause is reported", LIMIT, || {
        link(history.nats_links()).problem.filter(|problem| problem.contains("is paused until 2100"))
    });
    assert_ne!(pause("2000-01-01T00:00:00Z")["paused"], true);
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [0]);
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
}
