//! A history that connects again, beside requests for messages that its server still has from before: each probe's messages
//! are taken in their order.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;

/// A server that serves leaf nodes: it serves requests of a connection that has ended for two seconds more.
fn with_leaves() -> World {
    let configuration = format!("leafnodes {{ listen: \"127.0.0.1:{}\" }}", free_port());
    let world = World::without_stream(&configuration, NatsConfig::default());
    World { batch_messages_max: Some(1), ..world }
}

/// Takes measurements from `next` on until there are `count`, confirming them; fails where one comes before those that it
/// follows.
async fn take_in_order(history: &Subscriber, mut next: u64, count: u64) {
    while next < count {
        let (numbers, acks) = receive(history, 1).await;
        for number in numbers {
            assert!(number <= next, "{number} came before {next}");
            next = next.max(number + 1);
        }
        acks.into_iter().for_each(Ack::confirm);
    }
}

#[tokio::test]
async fn a_history_that_is_started_again_at_once_takes_what_it_lacks_in_order() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = with_leaves();
    world.make_stream().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    (0..2_000).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 2_000);
    let history = world.history();
    let (_, acks) = receive(&history, 300).await;
    drop((acks, history));
    take_in_order(&world.history(), 0, 2_000).await;
    until_wanting(&world, 0);
}

#[tokio::test]
async fn requests_of_another_client_of_the_consumer_are_reported_and_take_nothing_from_a_history() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World { batch_messages_max: Some(1), ..World::new().await };
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    let mut stranger = world.stranger();
    // One that has requested messages and reads none of them.
    let request = |stranger: &mut Stranger| {
        stranger.listen("taken.by.a.stranger");
        let request = br#"{"batch":100,"expires":8000000000}"#;
        stranger.send_for("$JS.API.CONSUMER.MSG.NEXT.power.centre", "taken.by.a.stranger", request);
    };
    request(&mut stranger);
    let waits = || world.stranger().request("$JS.API.CONSUMER.INFO.power.centre", b"")["num_waiting"] == 1;
    wait_until("the request stands", LIMIT, || waits().then_some(()));
    let history = world.history();
    let problem = wait_until("it is reported", LIMIT, || {
        link(history.nats_links()).problem.filter(|problem| !problem.starts_with("not connected"))
    });
    assert!(problem.contains("requests of another connection stand at consumer centre"), "{problem}");
    (0..300).for_each(|number| publisher.publish(measurement("a", number)));
    take_in_order(&history, 0, 300).await;
    // One that begins while the history receives.
    wait_until("it works", LIMIT, || link(history.nats_links()).problem.is_none().then_some(()));
    request(&mut stranger);
    for turn in 1..=20 {
        (turn * 300..(turn + 1) * 300).for_each(|number| publisher.publish(measurement("a", number)));
        stored(&publisher, (turn + 1) * 300);
    }
    take_in_order(&history, 300, 6_300).await;
    until_wanting(&world, 0);
}

/// A line between a history and its server that breaks at the history's end alone, and holds back its next request to set the
/// consumer back.
struct Line {
    port: u16,
    /// The ends at the history.
    near: Arc<Mutex<Vec<TcpStream>>>,
    is_held: Arc<AtomicBool>,
    passes: Arc<AtomicBool>,
}

impl Line {
    fn start(to: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let near: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (is_held, passes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let line = Self { port, near: near.clone(), is_held: is_held.clone(), passes: passes.clone() };
        std::thread::spawn(move || {
            for mut here in listener.incoming().flatten() {
                let mut there = TcpStream::connect(&to).expect("a server");
                let (mut back, mut forth) = (here.try_clone().expect("one"), there.try_clone().expect("one"));
                near.lock().push(here.try_clone().expect("one"));
                // What the server sends is read, whether anybody takes it or not.
                std::thread::spawn(move || {
                    let mut bytes = [0; 16 << 10];
                    while let Ok(count @ 1..) = forth.read(&mut bytes) {
                        _ = back.write_all(&bytes[..count]);
                    }
                });
                let (is_held, passes) = (is_held.clone(), passes.clone());
                std::thread::spawn(move || {
                    let mut bytes = [0; 16 << 10];
                    while let Ok(count @ 1..) = here.read(&mut bytes) {
                        let sent = &bytes[..count];
                        if sent.windows(15).any(|part| part == b".CONSUMER.RESET") {
                            is_held.store(true, Ordering::SeqCst);
                            let pass = || passes.load(Ordering::SeqCst).then_some(());
                            wait_until("the test goes on", LIMIT, pass);
                        }
                        there.write_all(sent).expect("a server");
                    }
                    // The server is not notified.
                    std::mem::forget(there);
                });
            }
        });
        line
    }

    /// Breaks what is connected: at the history's end.
    fn breaks(&self) {
        self.is_held.store(false, Ordering::SeqCst);
        self.passes.store(false, Ordering::SeqCst);
        for near in self.near.lock().drain(..) {
            _ = near.shutdown(Shutdown::Both);
        }
    }

    /// Waits until the history is about to set back its consumer.
    fn until_held(&self) {
        wait_until("the consumer is being set back", LIMIT, || {
            self.is_held.load(Ordering::SeqCst).then_some(())
        });
    }
}

#[tokio::test]
async fn what_is_delivered_for_requests_of_a_broken_connection_does_not_overtake_what_it_lost() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World { batch_messages_max: Some(1), ..World::new().await };
    world.make_consumer(ConsumerBegin::Now).await;
    let line = Line::start(world.server.address());
    let publisher = world.publisher();
    let source =
        SourceConfig { url: format!("nats://127.0.0.1:{}/power", line.port), ..world.source(Some("centre")) };
    let history = subscriber(&world.context, vec![source], &["*"]);
    publisher.publish(measurement("a", 0));
    take_in_order(&history, 0, 1).await;
    until_wanting(&world, 0);
    line.breaks();
    // Delivered to the broken connection, which its server has for alive.
    (1..20).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 20);
    line.until_held();
    (20..40).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 40);
    line.passes.store(true, Ordering::SeqCst);
    take_in_order(&history, 1, 40).await;
    until_wanting(&world, 0);
}
