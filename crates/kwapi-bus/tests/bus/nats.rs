//! NATS JetStream, with a real server: stored, delivered again until it is confirmed, and reported where it is not.

mod accounts;
mod ahead;
mod aside;
mod batches;
mod cluster;
mod earlier;
mod faults;
mod leaf;
mod limits;
mod logins;
mod operators;
mod order;
mod spool;
mod stranger;

use kwapi_bus::{Ack, ConsumerBegin, NatsConfig, NatsLink, NatsSetup, SpoolConfig, StreamLimits};
use kwapi_peers::free_port;
use kwapi_peers::nats::NatsServer;
use stranger::Stranger;
use tokio::time::timeout;

use super::*;

/// A server with one stream, `power`, and what connects to it.
struct World {
    lab: Lab,
    server: NatsServer,
    url: String,
    config: NatsConfig,
    /// Of publishers.
    batch_messages_max: Option<u32>,
    context: BusContext,
}

impl World {
    /// A server without logins, its stream made.
    async fn new() -> Self {
        let world = Self::without_stream("", NatsConfig::default());
        world.make_stream().await;
        world
    }

    fn without_stream(configuration: &str, config: NatsConfig) -> Self {
        let lab = Lab::empty();
        let server = NatsServer::start(&lab, free_port(), configuration);
        let url = server.url("power");
        Self { lab, server, url, config, batch_messages_max: None, context: BusContext::new() }
    }

    fn endpoint(&self) -> EndpointConfig {
        let (nats, batch_messages_max) = (self.config.clone(), self.batch_messages_max);
        EndpointConfig { nats, batch_messages_max, ..EndpointConfig::new(&self.url) }
    }

    async fn setup(&self) -> NatsSetup {
        NatsSetup::connect(&self.endpoint()).await.expect("a server")
    }

    async fn make_stream(&self) {
        let limits = StreamLimits { replicas: 1, bytes_max: None, age_max: Duration::from_secs(86_400) };
        let made = self.setup().await.stream(limits, &[], now()).await.expect("a stream");
        assert_eq!((made.name.as_str(), made.done), ("power", "created"));
    }

    async fn make_consumer(&self, begin: ConsumerBegin) -> (&'static str, u64) {
        let report = self.setup().await.consumer("centre", &[Pattern::All], begin).await.expect("a consumer");
        (report.done, report.messages)
    }

    fn publisher(&self) -> Publisher {
        publisher(&self.context, Scheme::Kwapi1, self.endpoint())
    }

    fn source(&self, consumer: Option<&str>) -> SourceConfig {
        let source = SourceConfig::new(&self.url, Scheme::Kwapi1, vec![key()]);
        SourceConfig { nats: self.config.clone(), consumer: consumer.map(str::to_owned), ..source }
    }

    /// A subscriber that keeps what it receives.
    fn history(&self) -> Subscriber {
        subscriber(&self.context, vec![self.source(Some("centre"))], &["*"])
    }

    /// A client that is not ours.
    fn stranger(&self) -> Stranger {
        Stranger::connect(self.url.trim_start_matches("nats://").trim_end_matches("/power"))
    }
}

/// A publisher that keeps messages for `centre`.
fn keeping(world: &World) -> Publisher {
    keeping_with(world, vec![key()])
}

/// The same with keys of its own.
fn keeping_with(world: &World, keys: Vec<Key>) -> Publisher {
    let endpoint = EndpointConfig { consumers: vec!["centre".to_owned()], ..world.endpoint() };
    let config =
        PublisherConfig { endpoints: vec![endpoint], signature: Scheme::Kwapi1, keys, high_water: None };
    let spool = SpoolConfig {
        directory: world.lab.join("spool"),
        bytes_max: 1 << 30,
        age_max: Duration::from_secs(86_400),
        clock: clocks().wall,
    };
    Publisher::start_with_spool(&world.context, &config, 10, spool).expect("a site")
}

fn link(links: Vec<NatsLink>) -> NatsLink {
    links.into_iter().next().expect("a stream")
}

/// Waits until `publisher` has nothing left to store.
fn stored(publisher: &Publisher, count: u64) {
    wait_until("messages are stored", LIMIT, || {
        let link = link(publisher.nats_links());
        (link.messages == count && link.waiting == 0).then_some(())
    });
}

/// The numbers of `count` measurements, as they come, and what confirms them.
async fn receive(subscriber: &Subscriber, count: usize) -> (Vec<u64>, Vec<Ack>) {
    let (mut numbers, mut acks) = (Vec::new(), Vec::new());
    while numbers.len() < count {
        let received = timeout(LIMIT, subscriber.recv()).await;
        let (batch, ack) =
            received.unwrap_or_else(|_| panic!("{} of {count} came", numbers.len())).expect("open");
        let all = batch.measurements.iter().filter_map(|received| received.measurement.accounting);
        numbers.extend(all.map(|accounting| accounting.seq));
        acks.push(ack);
    }
    (numbers, acks)
}

/// How many messages wait for the consumer: not delivered yet, or not acknowledged.
fn wanting(world: &World) -> u64 {
    let info = world.stranger().request("$JS.API.CONSUMER.INFO.power.centre", b"");
    let count = |key: &str| info[key].as_u64().unwrap_or_else(|| panic!("{info}"));
    count("num_pending") + count("num_ack_pending")
}

/// Waits until so many messages wait for the consumer.
fn until_wanting(world: &World, count: u64) {
    wait_until("what waits", LIMIT, || (wanting(world) == count).then_some(()));
}

#[tokio::test]
async fn what_was_published_while_nobody_listened_is_received_once_and_in_order() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    assert_eq!(world.make_consumer(ConsumerBegin::Now).await, ("created", 0));
    let publisher = world.publisher();
    (0..5_000).for_each(|number| publisher.publish(measurement("lyon.a b.*", number)));
    stored(&publisher, 5_000);
    let kept = wanting(&world);
    assert!(kept < 500, "messages travel in batches: {kept}");
    let history = world.history();
    let (numbers, acks) = receive(&history, 5_000).await;
    assert_eq!(numbers, (0..5_000).collect::<Vec<_>>());
    assert!(acks.iter().all(Ack::is_awaited));
    assert_eq!(wanting(&world), kept, "nothing is let go of before it is confirmed");
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    let (sent, received) = (link(publisher.nats_links()), link(history.nats_links()));
    assert_eq!((sent.problem, sent.repeated, sent.dropped, sent.rejected), (None, 0, 0, 0));
    assert_eq!((received.problem, received.messages, received.repeated), (None, 5_000, 0));
    // The clock of a publisher is informative while its messages are fresh.
    assert!(history.skews().iter().all(|skew| skew.micros < 300_000_000));
}

#[tokio::test]
async fn what_was_not_confirmed_is_delivered_again_and_what_was_is_not() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World { batch_messages_max: Some(1), ..World::new().await };
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    (0..1_000).for_each(|number| publisher.publish(measurement("a", number)));
    let history = world.history();
    let (mut numbers, first) = receive(&history, 1).await;
    let confirmed = numbers.len();
    let (others, acks) = receive(&history, 1_000 - confirmed).await;
    numbers.extend(others);
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    first.into_iter().for_each(Ack::confirm);
    // Lost on the way, as by a journal that takes nothing.
    drop(acks);
    until_wanting(&world, 1_000 - confirmed as u64);
    drop(history);
    let again = world.history();
    // What comes later does not overtake it.
    (1_000..1_200).for_each(|number| publisher.publish(measurement("a", number)));
    let (numbers, acks) = receive(&again, 1_200 - confirmed).await;
    assert_eq!(numbers, (confirmed as u64..1_200).collect::<Vec<_>>());
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
}

#[tokio::test]
async fn what_a_journal_let_go_of_is_delivered_again_to_the_same_process() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let (publisher, history) = (world.publisher(), world.history());
    publisher.publish(measurement("a", 7));
    let (_, acks) = receive(&history, 1).await;
    drop(acks);
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [7]);
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
}

#[tokio::test]
async fn history_from_before_is_delivered_only_if_an_operator_configures_it() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World { batch_messages_max: Some(1), ..World::new().await };
    let publisher = world.publisher();
    (0..10).for_each(|number| publisher.publish(measurement("a", number)));
    stored(&publisher, 10);
    // A history that nobody has announced begins with what comes.
    let history = world.history();
    wait_until("the consumer", LIMIT, || link(history.nats_links()).problem.is_none().then_some(()));
    publisher.publish(measurement("a", 10));
    let (numbers, acks) = receive(&history, 1).await;
    assert_eq!(numbers, [10]);
    acks.into_iter().for_each(Ack::confirm);
    drop(history);
    assert_eq!(world.make_consumer(ConsumerBegin::Now).await.0, "unchanged");
    assert_eq!(world.make_consumer(ConsumerBegin::All).await, ("recreated", 11));
    let (numbers, _) = receive(&world.history(), 11).await;
    assert_eq!(numbers, (0..11).collect::<Vec<_>>());
    let later = now().after(Duration::from_secs(60));
    assert_eq!(world.make_consumer(ConsumerBegin::At(later)).await, ("recreated", 0));
}

#[tokio::test]
async fn only_the_probes_wanted_are_delivered_and_a_changed_wish_changes_the_consumer() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    for (number, probe) in ["lyon.a", "lyon", "lyonnais.b", "lyon.c.d"].into_iter().enumerate() {
        publisher.publish(measurement(probe, number as u64));
    }
    stored(&publisher, 4);
    let wishes = ["lyon.*", "lyon.c.d"];
    let history = subscriber(&world.context, vec![world.source(Some("centre"))], &wishes);
    let (numbers, acks) = receive(&history, 2).await;
    assert_eq!(numbers, [0, 3]);
    acks.into_iter().for_each(Ack::confirm);
    until_wanting(&world, 0);
    assert_eq!(history.counters().unwanted, 0, "the server chooses");
}

#[tokio::test]
async fn without_a_consumer_what_is_published_is_received_and_nothing_is_kept() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = World::new().await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 0));
    stored(&publisher, 1);
    // Beside a publisher without a server between: one subscriber receives both.
    let direct = super::publisher(&world.context, Scheme::Kwapi1, EndpointConfig::new("inproc://direct"));
    let inproc = SourceConfig::new("inproc://direct", Scheme::Kwapi1, vec![key()]);
    let live = subscriber(&world.context, vec![world.source(None), inproc], &["a", "b"]);
    wait_until("a subscription", LIMIT, || link(live.nats_links()).problem.is_none().then_some(()));
    let begun = Instant::now();
    let mut names: Vec<String> = Vec::new();
    while names.len() < 2 {
        assert!(begun.elapsed() < LIMIT, "received {names:?}");
        publisher.publish(measurement("a", 1));
        direct.publish(measurement("b", 1));
        let Ok(Some((batch, ack))) = timeout(Duration::from_millis(200), live.recv()).await else { continue };
        assert!(!ack.is_awaited());
        for received in batch.measurements {
            assert_eq!(received.measurement.accounting.map(|it| it.seq), Some(1));
            names.push(received.measurement.probe.to_string());
        }
        names.sort_unstable();
        names.dedup();
    }
    assert_eq!(names, ["a", "b"]);
}
