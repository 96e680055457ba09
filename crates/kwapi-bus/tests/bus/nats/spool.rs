//! What a site keeps for the consumers that it lists, with a real server: one that loses power, or what it stored.

use std::fs;
use std::path::Path;

use kwapi_bus::{SpoolConsumer, SpoolCounters, SpoolReader};

use super::*;

/// A history that keeps where it stands.
fn centre(world: &World) -> Subscriber {
    let config = SubscriberConfig {
        positions: Some(world.lab.path().to_owned()),
        ..SubscriberConfig::new(vec![world.source(Some("centre"))])
    };
    Subscriber::start(&world.context, &config, &clocks(), 10).expect("a history")
}

fn spool(site: &Publisher) -> (SpoolCounters, SpoolReader, SpoolConsumer) {
    let (counters, readers) = site.spool().expect("a spool");
    let [reader] = readers.try_into().expect("one stream");
    let [consumer] = reader.consumers.clone().try_into().expect("one consumer");
    (counters, reader, consumer)
}

fn publish(site: &Publisher, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| site.publish(measurement("lyon.a", number)));
}

/// Waits until the server has confirmed all `count` that this process has published.
fn confirmed(site: &Publisher, count: u64) {
    let is_done = || spool(site).0.messages == count && link(site.nats_links()).waiting == 0;
    wait_until("the server confirms all", LIMIT, || is_done().then_some(()));
}

/// Waits until the site has confirmation that all is on the disk of the centre.
fn released(site: &Publisher) {
    wait_until("the centre has all", LIMIT, || (spool(site).2.lacking == 0).then_some(()));
}

/// Receives `numbers`, each once and in order, and confirms them.
async fn take(centre: &Subscriber, numbers: std::ops::Range<u64>) {
    let (received, acks) = receive(centre, numbers.clone().count()).await;
    assert_eq!(received, numbers.collect::<Vec<_>>());
    acks.into_iter().for_each(Ack::confirm);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("room");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("room");
        }
    }
}

/// What the server has on its disk by now.
fn keep_store(world: &World) {
    world.server.signal(libc::SIGSTOP);
    copy(&world.lab.join("nats"), &world.lab.join("nats.kept"));
    world.server.signal(libc::SIGCONT);
}

/// The server's machine loses power: the store is as it was kept.
fn cut_power(world: &mut World) {
    world.server.kill();
    fs::remove_dir_all(world.lab.join("nats")).expect("a store");
    copy(&world.lab.join("nats.kept"), &world.lab.join("nats"));
}

#[tokio::test]
async fn what_a_server_confirmed_and_lost_with_its_power_is_sent_again() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let site = keeping(&world);
    let history = centre(&world);
    publish(&site, 0..500);
    take(&history, 0..500).await;
    released(&site);
    drop(history);
    publish(&site, 500..800);
    confirmed(&site, 800);
    keep_store(&world);
    publish(&site, 800..1_500);
    confirmed(&site, 1_500);
    cut_power(&mut world);
    publish(&site, 1_500..1_600);
    world.server.restart();
    let history = centre(&world);
    take(&history, 500..1_600).await;
    released(&site);
    until_wanting(&world, 0);
    assert!(spool(&site).1.repeated >= 700, "{:?}", spool(&site));
    assert_eq!(link(history.nats_links()).misplaced, 0);
}

#[tokio::test]
async fn a_site_and_a_centre_that_are_killed_beside_it_lose_nothing_either() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let first = keeping(&world);
    publish(&first, 0..1_000);
    confirmed(&first, 1_000);
    let history = centre(&world);
    let (numbers, acks) = receive(&history, 1_000).await;
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    // On its disk, and not known to the site.
    acks.into_iter().take(1).for_each(Ack::confirm);
    drop(history);
    keep_store(&world);
    publish(&first, 1_000..1_500);
    confirmed(&first, 1_500);
    drop(first);
    cut_power(&mut world);
    // Its numbers are greater than before.
    let second = keeping(&world);
    publish(&second, 1_500..1_600);
    let kept = spool(&second).0;
    assert!(kept.bytes > 0 && kept.trouble.is_none(), "{kept:?}");
    world.server.restart();
    let history = centre(&world);
    let mut all = Vec::new();
    while all.last() != Some(&1_599) {
        let (numbers, acks) = receive(&history, 1).await;
        all.extend(numbers);
        acks.into_iter().for_each(Ack::confirm);
    }
    // What was on its disk may come once more, before anything else.
    let begin = all.first().copied().unwrap_or_default();
    assert!(begin < 1_000 && all == (begin..1_600).collect::<Vec<_>>(), "{all:?}");
    released(&second);
}

#[tokio::test]
async fn what_is_lost_at_a_server_without_a_word_is_missed_and_sent_again() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    // By themselves and in batches.
    for (batch_messages_max, kept) in [(Some(1), 300), (None, 5)] {
        let world = World { batch_messages_max, ..World::new().await };
        world.make_consumer(ConsumerBegin::Now).await;
        let (site, history) = (keeping(&world), centre(&world));
        publish(&site, 0..100);
        take(&history, 0..100).await;
        until_wanting(&world, 0);
        drop(history);
        publish(&site, 100..2_000);
        confirmed(&site, 2_000);
        let request = format!("{{\"keep\":{kept}}}");
        let purged = world.stranger().request("$JS.API.STREAM.PURGE.power", request.as_bytes());
        assert!(purged["purged"].as_u64().is_some_and(|count| count > 20), "{purged}");
        let history = centre(&world);
        take(&history, 100..2_000).await;
        publish(&site, 2_000..2_100);
        take(&history, 2_000..2_100).await;
        released(&site);
        let received = link(history.nats_links());
        assert!(received.early >= kept && received.misplaced == 0, "{received:?}");
        assert_eq!(spool(&site).0.dropped, 0);
    }
}

#[tokio::test]
async fn what_the_centre_refuses_is_not_sent_for_ever() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let site = keeping(&world);
    let lyon = Key { probes: Pattern::new("lyon.*").expect("a pattern"), ..key() };
    let source = SourceConfig { keys: vec![lyon], ..world.source(Some("centre")) };
    let history = subscriber(&world.context, vec![source], &["*"]);
    for number in 0..100 {
        site.publish(measurement("lyon.a", number));
        site.publish(measurement("paris.a", number));
    }
    take(&history, 0..100).await;
    released(&site);
    assert_eq!(refused(&history), [(Refusal::KeyScope, 100)]);
    assert_eq!((spool(&site).1.repeated, link(history.nats_links()).early), (0, 0));
}

#[tokio::test]
async fn forged_positions_of_a_consumer_are_counted_and_release_nothing() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    let site = keeping(&world);
    publish(&site, 0..10);
    confirmed(&site, 10);
    let identity = fs::read_to_string(world.lab.join("spool/identity")).expect("a spool");
    let id = identity.lines().nth(1).expect("an identity");
    let subject = format!("%position.centre.{id}");
    let mac = "0".repeat(64);
    let forged = [
        String::new(),
        format!("1 centre {id} 9 9 0 1790000000000000 test-1 {mac}"),
        format!("1 centre {id} 9 9 0 1790000000000000 other {mac}"),
        "x".repeat(1_000_000),
    ];
    let mut stranger = world.stranger();
    forged.iter().for_each(|text| stranger.send(&subject, text.as_bytes()));
    let counted = wait_until("all is counted", LIMIT, || {
        let refused = spool(&site).1.refused;
        (refused.iter().map(|(_, count)| count).sum::<u64>() == 4).then_some(refused)
    });
    for (cause, count) in counted {
        let expected = match cause {
            "malformed" => 2,
            "signature" | "key" => 1,
            _ => 0,
        };
        assert_eq!(count, expected, "{cause}");
    }
    assert_eq!((spool(&site).2.lacking, spool(&site).2.received_at), (10, None));
    publish(&site, 10..20);
    confirmed(&site, 20);
}

#[tokio::test]
async fn a_message_with_a_place_that_is_not_its_own_moves_nothing() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (site, history) = (keeping(&world), centre(&world));
    publish(&site, 0..1);
    take(&history, 0..1).await;
    let mut stranger = world.stranger();
    let identity = fs::read_to_string(world.lab.join("spool/identity")).expect("a spool");
    let id = identity.lines().nth(1).expect("an identity");
    let place = format!("Kwapi-Position: {id} {} 1 1 centre test-1 {}\r\n", u64::MAX, "0".repeat(64));
    for head in
        [place, format!("Kwapi-Position: {}\r\n", "1".repeat(9_000)), "Kwapi-Position: \r\n".to_owned()]
    {
        stranger.send_with("power.lyon.a", &head, b"{}");
    }
    publish(&site, 1..100);
    take(&history, 1..100).await;
    released(&site);
    assert_eq!(link(history.nats_links()).misplaced, 3);
}
