//! Messages that no accepted key verifies: none is lost to an operator who mistyped a key, and none holds up others.

use super::*;

/// A publisher with a key of its own.
pub(super) fn site(world: &World, key: Key) -> Publisher {
    let config = PublisherConfig {
        endpoints: vec![world.endpoint()],
        signature: Scheme::Kwapi1,
        keys: vec![key],
        high_water: None,
    };
    Publisher::start(&world.context, &config, 10).expect("a publisher")
}

pub(super) fn lyon() -> Key {
    Key::new("lyon", "the right secret of lyon")
}

pub(super) fn paris() -> Key {
    Key::new("paris", "the right secret of paris")
}

pub(super) fn mistyped() -> Key {
    Key::new("lyon", "the wrong secret of lyon")
}

pub(super) fn sources(world: &World, keys: Vec<Key>) -> Vec<SourceConfig> {
    vec![SourceConfig { keys, ..world.source(Some("centre")) }]
}

/// A history that keeps where it stands, as a service does.
pub(super) fn history(world: &World, keys: Vec<Key>) -> Subscriber {
    let folder = world.lab.join("positions");
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = SubscriberConfig { positions: Some(folder), ..SubscriberConfig::new(sources(world, keys)) };
    Subscriber::start(&world.context, &config, &clocks(), 100).expect("a subscriber")
}

/// Waits until so many measurements are set aside.
pub(super) fn set_aside(history: &Subscriber, count: u64) {
    wait_until("messages are set aside", LIMIT, || (link(history.nats_links()).aside == count).then_some(()));
}

/// Waits for measurements, confirming them, until there are so many: the probe and number of each, as they came.
pub(super) async fn take(history: &Subscriber, count: usize) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    while all.len() < count {
        let received = timeout(LIMIT, history.recv()).await;
        let (batch, ack) =
            received.unwrap_or_else(|_| panic!("{} of {count} came", all.len())).expect("open");
        for received in batch.measurements {
            let number = received.measurement.accounting.map_or(u64::MAX, |accounting| accounting.seq);
            all.push((received.measurement.probe.as_str().to_owned(), number));
        }
        ack.confirm();
    }
    all
}

/// Takes note that nothing more comes.
pub(super) async fn nothing_more(history: &Subscriber) {
    let more = timeout(Duration::from_secs(2), history.recv()).await.ok().flatten();
    assert_eq!(more.map(|(batch, _)| batch.measurements.len()), None);
}

pub(super) fn numbers(all: &[(String, u64)], probe: &str) -> Vec<u64> {
    all.iter().filter(|(of, _)| of == probe).map(|(_, number)| *number).collect()
}

pub(super) fn publish(publisher: &Publisher, probe: &str, of: std::ops::Range<u64>) {
    of.for_each(|number| publisher.publish(measurement(probe, number)));
}

#[tokio::test]
async fn a_history_with_a_mistyped_key_has_everything_once_the_right_one_is_loaded() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let history = history(&world, vec![mistyped()]);
    let site = site(&world, lyon());
    publish(&site, "lyon.a", 0..500);
    set_aside(&history, 500);
    until_wanting(&world, 0);
    assert!(history.counters().refused.contains(&(Refusal::SignatureWrong, 500)));
    history.verify_with(&sources(&world, vec![lyon()])).unwrap();
    publish(&site, "lyon.a", 500..700);
    let all = take(&history, 700).await;
    assert_eq!(numbers(&all, "lyon.a"), (0..700).collect::<Vec<_>>(), "in order, each once");
    nothing_more(&history).await;
    until_wanting(&world, 0);
    assert_eq!((link(history.nats_links()).aside, link(history.nats_links()).lost), (0, 0));
}

#[tokio::test]
async fn the_right_key_at_a_start_does_the_same_also_after_a_kill_in_between() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (lyon_site, paris_site) = (site(&world, lyon()), site(&world, paris()));
    let wrong = history(&world, vec![mistyped(), paris()]);
    for turn in 0..10 {
        publish(&lyon_site, "lyon.a", turn * 50..(turn + 1) * 50);
        publish(&paris_site, "paris.a", turn * 50..(turn + 1) * 50);
    }
    assert_eq!(numbers(&take(&wrong, 500).await, "paris.a"), (0..500).collect::<Vec<_>>());
    set_aside(&wrong, 500);
    until_wanting(&world, 0);
    drop(wrong);
    let same = history(&world, vec![mistyped(), paris()]);
    set_aside(&same, 500);
    nothing_more(&same).await;
    drop(same);
    // The first start with the right key ends before anything is confirmed.
    let right = history(&world, vec![lyon(), paris()]);
    let (_, acks) = receive(&right, 100).await;
    drop(right);
    drop(acks);
    let right = history(&world, vec![lyon(), paris()]);
    publish(&paris_site, "paris.a", 500..550);
    publish(&lyon_site, "lyon.a", 500..550);
    let all = take(&right, 600).await;
    assert_eq!(numbers(&all, "lyon.a"), (0..550).collect::<Vec<_>>());
    assert_eq!(numbers(&all, "paris.a"), (500..550).collect::<Vec<_>>(), "what was taken is known");
    nothing_more(&right).await;
    until_wanting(&world, 0);
}

#[tokio::test]
async fn keys_that_a_site_rotates_first_cost_neither_it_nor_others_a_message() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let history = history(&world, vec![lyon(), paris()]);
    let (old, paris_site) = (site(&world, lyon()), site(&world, paris()));
    publish(&old, "lyon.a", 0..100);
    publish(&paris_site, "paris.a", 0..100);
    let mut all = take(&history, 200).await;
    let rotated = Key::new("lyon-2", "another secret of lyon");
    let new = site(&world, rotated.clone());
    for turn in 0..20 {
        publish(&new, "lyon.a", 100 + turn * 20..120 + turn * 20);
        publish(&paris_site, "paris.a", 100 + turn * 20..120 + turn * 20);
    }
    all.extend(take(&history, 400).await);
    set_aside(&history, 400);
    history.verify_with(&sources(&world, vec![lyon(), rotated, paris()])).unwrap();
    for turn in 20..30 {
        publish(&new, "lyon.a", 100 + turn * 20..120 + turn * 20);
        publish(&paris_site, "paris.a", 100 + turn * 20..120 + turn * 20);
    }
    all.extend(take(&history, 800).await);
    for probe in ["lyon.a", "paris.a"] {
        assert_eq!(numbers(&all, probe), (0..700).collect::<Vec<_>>(), "{probe}");
    }
    nothing_more(&history).await;
    until_wanting(&world, 0);
}

#[tokio::test]
async fn a_flood_of_forged_messages_holds_up_nobody_and_leaves_a_number() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let history = history(&world, vec![paris()]);
    let paris_site = site(&world, paris());
    let forger = site(&world, Key::new("paris", "a secret that was guessed"));
    let stranger = site(&world, Key::new("who", "a secret that nobody knows"));
    for turn in 0..100 {
        publish(&forger, "paris.a", turn * 300..(turn + 1) * 300);
        publish(&stranger, "paris.b", turn * 300..(turn + 1) * 300);
        publish(&paris_site, "paris.a", turn * 10..(turn + 1) * 10);
        tokio::task::yield_now().await;
        stored(&forger, (turn + 1) * 300);
    }
    assert_eq!(numbers(&take(&history, 1_000).await, "paris.a"), (0..1_000).collect::<Vec<_>>());
    set_aside(&history, 60_000);
    until_wanting(&world, 0);
    let file = std::fs::read_dir(world.lab.join("positions")).unwrap();
    let sizes: Vec<u64> = file.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size < 1_000), "{sizes:?}");
    // Another key reads all of it again, and takes what is its own.
    publish(&site(&world, lyon()), "lyon.a", 0..10);
    set_aside(&history, 60_010);
    history.verify_with(&sources(&world, vec![paris(), lyon()])).unwrap();
    assert_eq!(numbers(&take(&history, 10).await, "lyon.a"), (0..10).collect::<Vec<_>>());
    nothing_more(&history).await;
    let known = link(history.nats_links()).known;
    assert!((900..=1_000).contains(&known), "{known}: but for those before the first forged one");
}

#[tokio::test]
async fn a_site_that_keeps_messages_loses_none_of_those_that_an_older_key_has_signed() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    // What was measured before is signed with the old key, and sent with the place that the new one signs.
    let rotated_at = Timestamp::from_seconds(now().seconds() - 1_000);
    let old = Key { valid_until: Some(rotated_at), ..lyon() };
    let new = Key { valid_from: Some(rotated_at), ..Key::new("lyon-2", "another secret of lyon") };
    let missing = history(&world, vec![new.clone()]);
    let site = keeping_with(&world, vec![old.clone(), new.clone()]);
    for number in 0..300 {
        let mut stored = measurement("lyon.a", number);
        if let Some(accounting) = &mut stored.accounting {
            accounting.timestamp = Timestamp::from_seconds(rotated_at.seconds() - 300 + number);
        }
        site.publish(stored);
    }
    publish(&site, "lyon.a", 300..400);
    let newer = take(&missing, 100).await;
    assert_eq!(numbers(&newer, "lyon.a"), (300..400).collect::<Vec<_>>());
    set_aside(&missing, 300);
    until_wanting(&world, 0);
    missing.verify_with(&sources(&world, vec![old, new])).unwrap();
    assert_eq!(numbers(&take(&missing, 300).await, "lyon.a"), (0..300).collect::<Vec<_>>());
    nothing_more(&missing).await;
}
