//! Each end may be the one that waits.

use kwapi_bus::{Attach, Forwarder, ForwarderConfig};

use super::*;

fn attached(attach: Attach, url: &str) -> EndpointConfig {
    EndpointConfig { attach: Some(attach), ..EndpointConfig::new(url) }
}

#[tokio::test]
async fn a_plugin_may_wait_for_its_publishers_at_several_addresses() {
    let lab = Lab::empty();
    let context = BusContext::new();
    let bind = |url: &str| SourceConfig { attach: Some(Attach::Bind), ..plain(url) };
    let sources = vec![bind("tcp://127.0.0.1:*"), bind(&ipc(&lab)), bind("inproc://here")];
    let listener = subscriber(&context, sources, &["*"]);
    assert_eq!(listener.bound().len(), 3);
    for url in listener.bound() {
        let published = publisher(&context, Scheme::None, attached(Attach::Connect, url));
        let before = listener.counters().verified;
        publish_until(url, &published, &["A"], || (listener.counters().verified > before).then_some(()));
    }
}

#[tokio::test]
async fn a_forwarder_may_go_to_its_listeners_and_wait_for_its_publishers() {
    let context = BusContext::new();
    let source = SourceConfig { attach: Some(Attach::Bind), ..plain("tcp://127.0.0.1:*") };
    let listener = subscriber(&context, vec![source], &["A"]);
    let config = ForwarderConfig {
        upstream: vec![attached(Attach::Bind, "tcp://127.0.0.1:*")],
        downstream: vec![attached(Attach::Connect, &listener.bound()[0])],
        high_water: None,
    };
    let forwarder = Forwarder::start(&context, &config, &clocks().wall, 10).expect("free endpoints");
    let published = publisher(&context, Scheme::None, attached(Attach::Connect, &forwarder.bound()[0]));
    publish_until("a measurement", &published, &["A", "unwanted"], || {
        (listener.counters().verified > 0).then_some(())
    });
    assert_eq!(listener.counters().unwanted, 0);
}
