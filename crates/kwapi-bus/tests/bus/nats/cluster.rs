//! A cluster of three servers, each with a copy of the stream: what the loss of one costs, and of two.

use kwapi_peers::nats::NatsCluster;

use super::*;

/// What an election among the servers may take on a loaded machine, besides what is noticed late.
const ELECTION_LIMIT: Duration = Duration::from_secs(60);

struct Trio {
    _lab: Lab,
    cluster: NatsCluster,
    endpoint: EndpointConfig,
    context: BusContext,
}

impl Trio {
    /// A cluster whose stream each server has, and a consumer.
    async fn new() -> Self {
        let lab = Lab::empty();
        let cluster = NatsCluster::start(&lab, "");
        let endpoint = EndpointConfig::new(cluster.url("power"));
        let limits = StreamLimits { replicas: 3, bytes_max: None, age_max: Duration::from_secs(86_400) };
        // Until the three have a leader, nobody answers.
        let begun = Instant::now();
        let mut setup = loop {
            let mut setup = NatsSetup::connect(&endpoint).await.expect("one of three servers");
            match setup.stream(limits, &[], now()).await {
                Ok(_) => break setup,
                Err(error) => assert!(begun.elapsed() < ELECTION_LIMIT, "{error}"),
            }
        };
        setup.consumer("centre", &[Pattern::All], ConsumerBegin::Now).await.expect("a consumer");
        Self { _lab: lab, cluster, endpoint, context: BusContext::new() }
    }

    /// Which of the servers leads the stream, according to `server`.
    fn leader(&self, server: usize) -> usize {
        wait_until("a leader", ELECTION_LIMIT, || {
            let mut stranger = Stranger::connect(&self.cluster.servers[server].address());
            let info = stranger.request("$JS.API.STREAM.INFO.power", b"");
            info["cluster"]["leader"].as_str()?.strip_prefix('n')?.parse().ok()
        })
    }
}

/// Receives until each number below `end` has come at least once; confirms all.
async fn receive_all(history: &Subscriber, all: &mut Vec<u64>, end: u64) {
    let begun = Instant::now();
    while (all.len() as u64) < end {
        assert!(begun.elapsed() < 2 * ELECTION_LIMIT, "{} of {end}: {:?}", all.len(), history.nats_links());
        let Ok(Some((batch, ack))) = timeout(LIMIT, history.recv()).await else { continue };
        all.extend(batch.measurements.iter().map(super::super::seq_of));
        ack.confirm();
        all.sort_unstable();
        all.dedup();
    }
}

#[tokio::test]
async fn a_cluster_continues_without_one_of_its_servers_whichever_that_is() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut trio = Trio::new().await;
    let publisher = publisher(&trio.context, Scheme::Kwapi1, trio.endpoint.clone());
    let source = SourceConfig::new(&trio.endpoint.url, Scheme::Kwapi1, vec![key()]);
    let source = SourceConfig { consumer: Some("centre".to_owned()), ..source };
    let history = subscriber(&trio.context, vec![source], &["*"]);
    let mut all = Vec::new();
    let mut published = 0;
    let mut publish = |count: u64| {
        (published..published + count).for_each(|number| publisher.publish(measurement("a", number)));
        published += count;
        published
    };
    receive_all(&history, &mut all, publish(300)).await;
    // The leader, killed; then a server that is neither dead nor alive, as beyond a link that swallows everything.
    let killed = trio.leader(0);
    trio.cluster.servers[killed].kill();
    receive_all(&history, &mut all, publish(300)).await;
    trio.cluster.servers[killed].restart();
    let stalled = trio.leader((killed + 1) % 3);
    trio.cluster.servers[stalled].signal(libc::SIGSTOP);
    receive_all(&history, &mut all, publish(300)).await;
    trio.cluster.servers[stalled].signal(libc::SIGCONT);
    // Without two of three nothing is stored; nothing is lost either.
    let left = trio.leader((stalled + 1) % 3);
    let gone = [(left + 1) % 3, (left + 2) % 3];
    gone.iter().for_each(|place| trio.cluster.servers[*place].kill());
    let end = publish(300);
    let outage = wait_until("that nothing is stored is reported", ELECTION_LIMIT, || {
        link(publisher.nats_links()).problem.filter(|problem| !problem.starts_with("connection"))
    });
    wait_until("all of it waits here", LIMIT, || (link(publisher.nats_links()).waiting >= 300).then_some(()));
    wait_until("it is reported", ELECTION_LIMIT, || link(history.nats_links()).problem);
    assert!(!outage.contains("nats-setup"), "the stream is there: {outage}");
    gone.iter().for_each(|place| trio.cluster.servers[*place].restart());
    receive_all(&history, &mut all, end).await;
    assert_eq!(all, (0..1_200).collect::<Vec<_>>());
    // What was stored and not confirmed is sent again, and recognised.
    wait_until("all is well again", ELECTION_LIMIT, || {
        let links = [publisher.nats_links(), history.nats_links()].map(link);
        let is_well = links.iter().all(|link| link.problem.is_none());
        (is_well && links[0].waiting == 0).then_some(())
    });
    let link = link(publisher.nats_links());
    assert_eq!((link.dropped, link.rejected), (0, 0));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_passed_over_and_all_are_named_where_none_is() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut world = World::new().await;
    let absent = [free_port(), free_port()];
    let present = world.url.trim_start_matches("nats://").to_owned();
    world.url = format!("nats://127.0.0.1:{},127.0.0.1:{},{present}", absent[0], absent[1]);
    world.make_consumer(ConsumerBegin::Now).await;
    let publisher = world.publisher();
    publisher.publish(measurement("a", 1));
    assert_eq!(receive(&world.history(), 1).await.0, [1]);
    world.server.kill();
    let problem = NatsSetup::connect(&world.endpoint()).await.expect_err("no server").to_string();
    for port in absent {
        assert!(problem.contains(&format!("127.0.0.1:{port}: cannot connect")), "{problem}");
    }
    let names_all = |problem: &String| problem.matches("cannot connect").count() == 3;
    wait_until("each is reported", LIMIT, || link(publisher.nats_links()).problem.filter(names_all));
}
