//! Servers that store no more: what is reported, and that nothing is lost once they do again.

use super::*;

/// More messages than any limit here takes.
const COUNT: u64 = 4_000;

/// Waits until the publisher reports something with `words` in it, while what it could not store waits.
fn check_problem(publisher: &Publisher, words: &str) {
    let problem = wait_until(words, 2 * LIMIT, || {
        let link = link(publisher.nats_links());
        link.problem.filter(|problem| problem.contains(words) && link.waiting > 0)
    });
    assert!(!problem.is_empty());
}

fn publish(publisher: &Publisher) {
    (0..COUNT).for_each(|number| publisher.publish(measurement("a", number)));
}

/// All of what was published comes, whatever came twice.
async fn all_comes(world: &World) {
    let history = world.history();
    let mut all = Vec::new();
    while (all.len() as u64) < COUNT {
        let (numbers, acks) = receive(&history, 1).await;
        acks.into_iter().for_each(Ack::confirm);
        all.extend(numbers);
        all.sort_unstable();
        all.dedup();
    }
    assert_eq!(all, (0..COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stream_that_refuses_what_is_new_is_reported_and_setup_mends_it() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let mut stranger = world.stranger();
    let info = stranger.request("$JS.API.STREAM.INFO.power", b"");
    let mut config = info["config"].clone();
    (config["max_bytes"], config["discard"]) = (100_000.into(), "new".into());
    let changed = stranger.request("$JS.API.STREAM.UPDATE.power", config.to_string().as_bytes());
    assert!(changed["error"].is_null(), "{changed}");
    let publisher = world.publisher();
    publish(&publisher);
    check_problem(
        &publisher,
        "maximum bytes exceeded; the stream is full and refuses what is new: `kwapi nats-setup`",
    );
    let limits = StreamLimits { replicas: 1, bytes_max: None, age_max: Duration::from_secs(86_400) };
    assert_eq!(world.setup().await.stream(limits, &[], now()).await.expect("a stream").done, "changed");
    all_comes(&world).await;
    assert_eq!(link(publisher.nats_links()).dropped, 0);
}

#[tokio::test]
async fn a_server_without_storage_left_is_reported_and_used_again_when_it_has_more() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let file = world.lab.join("nats.conf");
    let text = std::fs::read_to_string(&file).expect("its configuration");
    world.server.configure(&text.replace("store_dir", "max_file: 100KB, store_dir"));
    world.server.restart();
    let publisher = world.publisher();
    publish(&publisher);
    check_problem(&publisher, "insufficient resources; the server has no storage left");
    world.server.configure(&text);
    world.server.restart();
    all_comes(&world).await;
    assert_eq!(link(publisher.nats_links()).dropped, 0);
}

#[tokio::test]
async fn a_full_disk_is_reported_and_costs_nothing_once_the_server_is_started_with_room() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    world.server.limit_files(Some(256));
    world.server.restart();
    let publisher = world.publisher();
    publish(&publisher);
    check_problem(
        &publisher,
        "the server does not confirm messages; see its log (after a full disk, it takes a restart)",
    );
    world.server.limit_files(None);
    world.server.restart();
    all_comes(&world).await;
    assert_eq!(link(publisher.nats_links()).dropped, 0);
}

#[tokio::test]
async fn a_server_without_jetstream_is_reported_at_both_ends() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let text = std::fs::read_to_string(world.lab.join("nats.conf")).expect("its configuration");
    let login = "accounts { A: { users: [ { user: a, password: a } ] } }\nno_auth_user: a\n";
    let without = text.lines().filter(|line| !line.contains("jetstream")).collect::<Vec<_>>().join("\n");
    for (configuration, words) in [
        (without, "JetStream is not enabled"),
        (
            format!("{text}\n{login}"),
            "JetStream not enabled for account; enable JetStream in the configuration",
        ),
    ] {
        world.server.configure(&configuration);
        world.server.restart();
        let limits = StreamLimits { replicas: 1, bytes_max: None, age_max: Duration::from_secs(86_400) };
        let refused =
            world.setup().await.stream(limits, &[], now()).await.expect_err("no JetStream").to_string();
        assert!(refused.contains(words), "{refused}");
        let (publisher, history) = (world.publisher(), world.history());
        publisher.publish(measurement("a", 0));
        check_problem(&publisher, words);
        wait_until(words, LIMIT, || {
            link(history.nats_links()).problem.filter(|problem| problem.contains(words))
        });
    }
    world.server.configure(&text);
    world.server.restart();
    let publisher = world.publisher();
    publish(&publisher);
    all_comes(&world).await;
}

#[tokio::test]
async fn a_message_too_large_for_the_server_is_given_up_and_others_pass() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let text = std::fs::read_to_string(world.lab.join("nats.conf")).expect("its configuration");
    world.server.configure(&format!("{text}\nmax_payload: 420\n"));
    world.server.restart();
    let publisher = world.publisher();
    publisher.publish(measurement("a", 0));
    publisher.publish(measurement(&"long".repeat(50), 1));
    publisher.publish(measurement("a", 2));
    wait_until("all is settled", LIMIT, || {
        let link = link(publisher.nats_links());
        (link.rejected == 1 && link.messages == 2 && link.waiting == 0 && link.problem.is_none())
            .then_some(())
    });
    assert_eq!(receive(&world.history(), 2).await.0, [0, 2]);
}

#[tokio::test]
async fn replicas_that_a_server_alone_cannot_have_are_refused_with_what_they_take() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::without_stream("", NatsConfig::default());
    let limits = StreamLimits { replicas: 3, bytes_max: None, age_max: Duration::from_secs(86_400) };
    let refused = world.setup().await.stream(limits, &[], now()).await.expect_err("one server").to_string();
    assert!(refused.contains("--replicas requires a cluster"), "{refused}");
}
