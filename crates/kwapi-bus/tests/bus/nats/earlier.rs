//! A consumer that an earlier version has made, which begins with what is new: the server does not set it back, so that it is
//! deleted and made again where messages are to be read again.

use serde_json::{Value, json};

use super::aside::{
    history, lyon, mistyped, nothing_more, numbers, paris, publish, set_aside, site, sources, take,
};
use super::*;

/// Makes the consumer as versions before 0.2.0 did.
fn make_earlier(world: &World) {
    let config = json!({
        "durable_name": "centre", "name": "centre", "ack_policy": "explicit", "deliver_policy": "new",
        "ack_wait": 10_000_000_000_u64, "max_ack_pending": 65_536, "filter_subjects": ["power.>"],
    });
    let request = json!({ "stream_name": "power", "config": config, "action": "create" }).to_string();
    let made = world.stranger().request("$JS.API.CONSUMER.CREATE.power.centre", request.as_bytes());
    assert!(made["error"].is_null(), "{made}");
    assert_eq!(begins(world), "new");
}

/// With what the consumer begins.
fn begins(world: &World) -> Value {
    world.stranger().request("$JS.API.CONSUMER.INFO.power.centre", b"")["config"]["deliver_policy"].clone()
}

#[tokio::test]
async fn it_is_made_again_once_a_mistyped_key_is_right_and_everything_is_taken_in_order() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    make_earlier(&world);
    let history = history(&world, vec![mistyped(), paris()]);
    let (lyon_site, paris_site) = (site(&world, lyon()), site(&world, paris()));
    for turn in 0..10 {
        publish(&lyon_site, "lyon.a", turn * 20..(turn + 1) * 20);
        publish(&paris_site, "paris.a", turn * 20..(turn + 1) * 20);
    }
    let mut all = take(&history, 200).await;
    set_aside(&history, 200);
    until_wanting(&world, 0);
    history.verify_with(&sources(&world, vec![lyon(), paris()])).unwrap();
    publish(&lyon_site, "lyon.a", 200..300);
    publish(&paris_site, "paris.a", 200..300);
    all.extend(take(&history, 400).await);
    for probe in ["lyon.a", "paris.a"] {
        assert_eq!(numbers(&all, probe), (0..300).collect::<Vec<_>>(), "{probe}");
    }
    nothing_more(&history).await;
    until_wanting(&world, 0);
    assert_eq!(begins(&world), "by_start_sequence");
}

#[tokio::test]
async fn while_it_may_not_be_made_again_others_are_received_and_the_rest_comes_once_it_may() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let denied = "publish: { deny: \"$JS.API.CONSUMER.DELETE.>\" }";
    let users = format!(
        "authorization {{ users = [ {{ user: setup, password: setup }}, \
         {{ user: centre, password: centre, permissions: {{ {denied} }} }} ] }}\nno_auth_user: setup"
    );
    let mut world = World::without_stream(&users, NatsConfig::default());
    world.make_stream().await;
    make_earlier(&world);
    let (lyon_site, paris_site) = (site(&world, lyon()), site(&world, paris()));
    let publish_both = |numbers: std::ops::Range<u64>| {
        publish(&lyon_site, "lyon.a", numbers.clone());
        publish(&paris_site, "paris.a", numbers);
    };
    let centre = kwapi_core::Secret::new("centre");
    world.config =
        NatsConfig { user: Some("centre".to_owned()), password: Some(centre), ..NatsConfig::default() };
    let first = history(&world, vec![mistyped(), paris()]);
    publish_both(0..100);
    assert_eq!(numbers(&take(&first, 100).await, "paris.a"), (0..100).collect::<Vec<_>>());
    set_aside(&first, 100);
    until_wanting(&world, 0);
    first.verify_with(&sources(&world, vec![lyon(), paris()])).unwrap();
    let reported = |history: &Subscriber| {
        let problem = wait_until("the right is named", LIMIT, || link(history.nats_links()).aside_problem);
        assert!(problem.ends_with("to publish to $JS.API.CONSUMER.DELETE.power.centre"), "{problem}");
    };
    reported(&first);
    publish_both(100..200);
    assert_eq!(numbers(&take(&first, 100).await, "paris.a"), (100..200).collect::<Vec<_>>());
    set_aside(&first, 200);
    until_wanting(&world, 0);
    drop(first);
    // The same after a start.
    let second = history(&world, vec![lyon(), paris()]);
    reported(&second);
    publish_both(200..250);
    assert_eq!(numbers(&take(&second, 50).await, "paris.a"), (200..250).collect::<Vec<_>>());
    set_aside(&second, 250);
    until_wanting(&world, 0);
    assert_eq!(link(second.nats_links()).problem, None);
    let file = world.lab.join("nats.conf");
    let text = std::fs::read_to_string(&file).expect("its configuration");
    world.server.configure(&text.replace(denied, "publish: \">\""));
    world.server.signal(libc::SIGHUP);
    let all = take(&second, 250).await;
    assert_eq!(numbers(&all, "lyon.a"), (0..250).collect::<Vec<_>>(), "in order, each once");
    assert_eq!(begins(&world), "by_start_sequence");
    nothing_more(&second).await;
    until_wanting(&world, 0);
    let link = link(second.nats_links());
    assert_eq!((link.aside, link.aside_problem), (0, None));
}
