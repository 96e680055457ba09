//! The server of a site as a leaf node of the centre's, whose stream takes what the site's has stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kwapi_bus::NatsSite;
use kwapi_peers::Relay;

use super::*;

/// A centre, a site behind a link, and the stream of each.
struct Leaf {
    _lab: Lab,
    centre: NatsServer,
    site: NatsServer,
    link: Relay,
    context: BusContext,
}

impl Leaf {
    async fn new() -> Self {
        let lab = Lab::empty();
        let [port, leaf_port, site_port] = [free_port(), free_port(), free_port()];
        let file = |name: &str, port: u16, leaf: &str| {
            let store = lab.join(name).join("store");
            format!(
                "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nping_interval: \"1s\"\nping_max: 1\n\
                 jetstream {{ store_dir: \"{}\", domain: {name} }}\nleafnodes {{ {leaf} }}\n",
                store.display()
            )
        };
        let leaves = format!("listen: \"127.0.0.1:{leaf_port}\"");
        let centre = NatsServer::configured(&lab.join("centre"), port, &file("centre", port, &leaves));
        let link = Relay::start(leaf_port);
        let remote = format!("reconnect: 1, remotes: [{{ urls: [\"nats://127.0.0.1:{}\"] }}]", link.port());
        let site = NatsServer::configured(&lab.join("lyon"), site_port, &file("lyon", site_port, &remote));
        let world = Self { _lab: lab, centre, site, link, context: BusContext::new() };
        world.make_stream(&world.site, &[]).await;
        world.make_stream(&world.centre, &[NatsSite::new("lyon").expect("a site")]).await;
        world
    }

    async fn make_stream(&self, server: &NatsServer, sites: &[NatsSite]) {
        let limits = StreamLimits { replicas: 1, bytes_max: None, age_max: Duration::from_secs(86_400) };
        let endpoint = EndpointConfig::new(server.url("power"));
        for done in ["created", "unchanged"] {
            let mut setup = NatsSetup::connect(&endpoint).await.expect("a server");
            assert_eq!(setup.stream(limits, sites, now()).await.expect("a stream").done, done);
        }
        // An operator who names no site changes nothing about those that are there.
        let mut setup = NatsSetup::connect(&endpoint).await.expect("a server");
        assert_eq!(setup.stream(limits, &[], now()).await.expect("a stream").done, "unchanged");
    }

    fn publisher(&self) -> Publisher {
        publisher(&self.context, Scheme::Kwapi1, EndpointConfig::new(self.site.url("power")))
    }

    fn listener(&self, consumer: Option<&str>) -> Subscriber {
        let source = SourceConfig::new(self.centre.url("power"), Scheme::Kwapi1, vec![key()]);
        let source = SourceConfig { consumer: consumer.map(str::to_owned), ..source };
        subscriber(&self.context, vec![source], &["*"])
    }
}

/// The headers of the first message in the centre's stream, as the server gives them: in base64.
fn headers(centre: &NatsServer) -> String {
    let mut stranger = Stranger::connect(&centre.address());
    let message = wait_until("the message", LIMIT, || {
        let answer = stranger.request("$JS.API.STREAM.MSG.GET.power", br#"{"next_by_subj":"power.>"}"#);
        answer["message"]["hdrs"].as_str().map(str::to_owned)
    });
    String::from_utf8(STANDARD.decode(message).expect("base64")).expect("text")
}

#[tokio::test]
async fn what_a_site_has_stored_reaches_the_centre_in_order_after_the_link_was_cut() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = Leaf::new().await;
    let (publisher, history) = (world.publisher(), world.listener(Some("centre")));
    let live = world.listener(None);
    for subscriber in [&history, &live] {
        wait_until("a connection", LIMIT, || link(subscriber.nats_links()).problem.is_none().then_some(()));
    }
    // Live comes through without any stream, once the servers have exchanged their subscriptions.
    let mut begun = 0;
    while timeout(Duration::from_millis(200), live.recv()).await.is_err() {
        publisher.publish(measurement("lyon.a", begun));
        begun += 1;
        assert!(begun < 100, "nothing is received live");
    }
    (begun..100).for_each(|number| publisher.publish(measurement("lyon.a", number)));
    let (mut numbers, acks) = receive(&history, 100).await;
    acks.into_iter().for_each(Ack::confirm);
    world.link.cut();
    (100..2_000).for_each(|number| publisher.publish(measurement("lyon.a", number)));
    stored(&publisher, 2_000);
    assert_eq!(link(publisher.nats_links()).problem, None, "the site has all it needs");
    world.link.heal();
    while numbers.len() < 2_000 {
        let Ok(Some((batch, ack))) = timeout(3 * LIMIT, history.recv()).await else {
            panic!("{} of 2000 came", numbers.len())
        };
        numbers.extend(batch.measurements.iter().map(super::super::seq_of));
        ack.confirm();
    }
    assert_eq!(numbers, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn headers_reach_the_centre_and_so_does_what_a_stream_stores_that_was_recreated() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let world = Leaf::new().await;
    let mut stranger = Stranger::connect(&world.site.address());
    let history = world.listener(Some("centre"));
    wait_until("a consumer", LIMIT, || link(history.nats_links()).problem.is_none().then_some(()));
    let head = "Kwapi-Position: b2c9 17\r\nNats-Msg-Id: b2c9-17";
    let stored_as = stranger.request_with(head, "power.lyon.x", b"{}");
    assert!(stored_as["seq"].as_u64().is_some(), "{stored_as}");
    let again = stranger.request_with(head, "power.lyon.x", b"{}");
    assert_eq!(again["duplicate"], true, "{again}");
    let headers = headers(&world.centre);
    assert!(headers.contains(head) && headers.contains("Nats-Stream-Source: power:"), "{headers}");
    // Another site's probe stays where it is, whoever has published it there.
    assert!(stranger.request("power.paris.x", b"{}")["seq"].as_u64().is_some());
    let publisher = world.publisher();
    (0..50).for_each(|number| publisher.publish(measurement("lyon.a", number)));
    let (numbers, acks) = receive(&history, 50).await;
    acks.into_iter().for_each(Ack::confirm);
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    // A disk was changed, or an operator has started afresh: the centre continues after the numbers it has.
    assert_eq!(stranger.request("$JS.API.STREAM.DELETE.power", b"")["success"], true);
    world.make_stream(&world.site, &[]).await;
    (50..60).for_each(|number| publisher.publish(measurement("lyon.a", number)));
    let mut numbers = Vec::new();
    while numbers.len() < 10 {
        let (batch, ack) = timeout(3 * LIMIT, history.recv()).await.expect("in time").expect("open");
        numbers.extend(batch.measurements.iter().map(super::super::seq_of));
        ack.confirm();
    }
    assert_eq!(numbers, (50..60).collect::<Vec<_>>());
    let refused: u64 = history.counters().refused.iter().map(|(_, count)| count).sum();
    assert_eq!(refused, 1, "the stranger's, of this site");
}
