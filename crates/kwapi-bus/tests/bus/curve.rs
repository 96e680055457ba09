//! CURVE with pyzmq, and between ourselves.

use kwapi_bus::{Attach, CurveConfig, Forwarder, ForwarderConfig};
use kwapi_core::Secret;
use kwapi_peers::{free_port, need_python};

use super::*;

struct Pair {
    public: String,
    secret: String,
}

fn pair() -> Pair {
    let pair = zmq::CurveKeyPair::new().expect("CURVE is built in");
    let text = |key: &[u8]| zmq::z85_encode(key).expect("32 bytes");
    Pair { public: text(&pair.public_key), secret: text(&pair.secret_key) }
}

fn serve(server: &Pair, clients: &[&Pair]) -> CurveConfig {
    CurveConfig {
        secret_key: Secret::new(&server.secret),
        public_key: None,
        server_key: None,
        clients: clients.iter().map(|client| client.public.clone()).collect(),
    }
}

fn join(client: &Pair, server: &Pair) -> CurveConfig {
    CurveConfig {
        secret_key: Secret::new(&client.secret),
        public_key: Some(client.public.clone()),
        server_key: Some(server.public.clone()),
        clients: Vec::new(),
    }
}

#[test]
fn pyzmq_with_the_right_key_is_let_in_and_nobody_else() {
    if !need_python("python") {
        return;
    }
    let (server, friend, stranger) = (pair(), pair(), pair());
    let lab = Lab::empty();
    let context = BusContext::new();
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let endpoint = EndpointConfig { curve: Some(serve(&server, &[&friend])), ..EndpointConfig::new(&url) };
    let publisher = publisher(&context, Scheme::Kwapi1, endpoint);
    let listen = |curve: &[&str]| {
        let args = [&[url.as_str(), "", "kwapi-1", "test-1", SECRET], curve].concat();
        python(&lab, "subscribe.py", &args)
    };
    let plaintext = listen(&[]);
    let wrong_client = listen(&[&server.public, &stranger.public, &stranger.secret]);
    let wrong_server = listen(&[&stranger.public, &friend.public, &friend.secret]);
    let others = [plaintext, wrong_client, wrong_server];
    // The friend comes last: when it receives, the others have had their chance.
    wait_until("all others are up", LIMIT, || {
        others.iter().all(|peer| peer.log().contains("connected")).then_some(())
    });
    let right = listen(&[&server.public, &friend.public, &friend.secret]);
    publish_until("the friend receives much", &publisher, &["A"], || {
        (right.log().matches("received A. \"A\" 97.5 True").count() > 20).then_some(())
    });
    for peer in &others {
        assert!(!peer.log().contains("received"), "{}", peer.log());
    }
}

#[tokio::test]
async fn a_forwarder_encrypts_on_both_sides() {
    let (driver, forwarder, plugin) = (pair(), pair(), pair());
    let context = BusContext::new();
    let bound = |curve| EndpointConfig { curve: Some(curve), ..EndpointConfig::new("tcp://127.0.0.1:*") };
    let publisher = publisher(&context, Scheme::Kwapi1, bound(serve(&driver, &[&forwarder])));
    let upstream = EndpointConfig {
        curve: Some(join(&forwarder, &driver)),
        ..EndpointConfig::new(&publisher.bound()[0])
    };
    let downstream = bound(serve(&forwarder, &[&plugin]));
    let config = ForwarderConfig { upstream: vec![upstream], downstream: vec![downstream], high_water: None };
    let running = Forwarder::start(&context, &config, &clocks().wall, 10).expect("free endpoints");
    // The plugin's key opens the forwarder's door, not the driver's.
    let source = |url: &str, server: &Pair| SourceConfig {
        curve: Some(join(&plugin, server)),
        ..SourceConfig::new(url, Scheme::Kwapi1, vec![key()])
    };
    let refused = subscriber(&context, vec![source(&publisher.bound()[0], &driver)], &["*"]);
    let mut allowed = subscriber(&context, vec![source(&running.bound()[0], &forwarder)], &["*"]);
    publish_until("the plugin receives", &publisher, &["A"], || {
        (allowed.counters().verified > 20).then_some(())
    });
    assert_eq!(receive(&mut allowed, 1).await[0].key.as_deref(), Some("test-1"));
    assert_eq!(refused.counters().received, 0);
}

#[test]
fn keys_on_the_wrong_side_are_a_mistake() {
    let (one, other) = (pair(), pair());
    let fails = |attach, curve| {
        let endpoint = EndpointConfig {
            attach: Some(attach),
            curve: Some(curve),
            ..EndpointConfig::new("tcp://127.0.0.1:*")
        };
        let config = PublisherConfig {
            endpoints: vec![endpoint],
            signature: Scheme::None,
            keys: Vec::new(),
            high_water: None,
        };
        Publisher::start(&BusContext::new(), &config, 1).expect_err("a mistake").to_string()
    };
    let at = |reason: &str| format!("tcp://127.0.0.1:*: {reason}");
    assert_eq!(fails(Attach::Bind, serve(&one, &[])), at("curve.clients is empty; no client could connect"));
    assert_eq!(
        fails(Attach::Bind, join(&one, &other)),
        at("public_key and server_key apply only to endpoints that connect")
    );
    assert_eq!(
        fails(Attach::Connect, serve(&one, &[&other])),
        at("curve.clients applies only to endpoints that bind")
    );
}

/// Whether each of `subscribers` receives what is published from now on, within so many rounds.
fn check_received(publisher: &Publisher, subscriber: &Subscriber) {
    let before = subscriber.counters().verified;
    publish_until("it receives", publisher, &["A"], || {
        (subscriber.counters().verified > before + 3).then_some(())
    });
}

#[test]
fn who_may_connect_changes_while_it_runs_and_who_is_removed_is_dropped() {
    let (server, stays, goes) = (pair(), pair(), pair());
    let context = BusContext::new();
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let endpoint = |clients: &[&Pair]| EndpointConfig {
        curve: Some(serve(&server, clients)),
        ..EndpointConfig::new(&url)
    };
    let publisher = publisher(&context, Scheme::Kwapi1, endpoint(&[&stays]));
    let listen = |client: &Pair| {
        let curve = Some(join(client, &server));
        let source = SourceConfig { curve, ..SourceConfig::new(&url, Scheme::Kwapi1, vec![key()]) };
        // Another context: what is counted of connections is of the process, and what is dropped is of the socket.
        subscriber(&BusContext::new(), vec![source], &["*"])
    };
    let (first, second) = (listen(&stays), listen(&goes));
    check_received(&publisher, &first);
    assert_eq!(second.counters().received, 0);
    publisher.let_in(&[endpoint(&[&stays, &goes])]).expect("keys");
    check_received(&publisher, &second);
    publisher.let_in(&[endpoint(&[&stays])]).expect("keys");
    // The one that stays is back before long; the other receives nothing beyond what it had when it was dropped.
    wait_until("the second is dropped", LIMIT, || {
        let before = second.counters().received;
        check_received(&publisher, &first);
        (second.counters().received == before).then_some(())
    });
    let before = second.counters().received;
    for _ in 0..10 {
        check_received(&publisher, &first);
    }
    assert_eq!(second.counters().received, before);
    let mistake = EndpointConfig { curve: Some(serve(&server, &[])), ..EndpointConfig::new(&url) };
    assert!(publisher.let_in(&[mistake]).is_err());
    publisher.let_in(&[endpoint(&[&stays, &goes])]).expect("keys");
    check_received(&publisher, &second);
}

#[test]
fn a_forwarder_drops_who_was_removed_on_either_side() {
    let (forwarder, driver, plugin, other) = (pair(), pair(), pair(), pair());
    let context = BusContext::new();
    let urls = [(); 2].map(|()| format!("tcp://127.0.0.1:{}", free_port()));
    let bound = |url: &str, client: &Pair| EndpointConfig {
        attach: Some(Attach::Bind),
        curve: Some(serve(&forwarder, &[client])),
        ..EndpointConfig::new(url)
    };
    let config = |publisher: &Pair, listener: &Pair| ForwarderConfig {
        upstream: vec![bound(&urls[0], publisher)],
        downstream: vec![bound(&urls[1], listener)],
        high_water: None,
    };
    let both = |config: ForwarderConfig| [config.upstream, config.downstream].concat();
    let running =
        Forwarder::start(&context, &config(&driver, &plugin), &clocks().wall, 10).expect("free endpoints");
    let connect = EndpointConfig {
        attach: Some(Attach::Connect),
        curve: Some(join(&driver, &forwarder)),
        ..EndpointConfig::new(&urls[0])
    };
    let publisher = publisher(&context, Scheme::Kwapi1, connect);
    let curve = Some(join(&plugin, &forwarder));
    let source = SourceConfig { curve, ..SourceConfig::new(&urls[1], Scheme::Kwapi1, vec![key()]) };
    let listener = subscriber(&context, vec![source], &["*"]);
    let received = || listener.counters().received;
    let silent = || {
        wait_until("nothing more comes", LIMIT, || {
            let (before, published) = (received(), publisher.counters().published);
            publish_until("much is published", &publisher, &["A"], || {
                (publisher.counters().published > published + 8).then_some(())
            });
            (received() == before).then_some(())
        });
    };
    for without in [config(&other, &plugin), config(&driver, &other)] {
        check_received(&publisher, &listener);
        running.let_in(&both(without)).expect("keys");
        silent();
        running.let_in(&both(config(&driver, &plugin))).expect("keys");
    }
    check_received(&publisher, &listener);
}
