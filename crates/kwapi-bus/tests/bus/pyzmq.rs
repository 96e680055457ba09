//! Plain publishing and subscribing with pyzmq.

use kwapi_bus::{Forwarder, ForwarderConfig};
use kwapi_peers::{free_port, need_python};

use super::*;

/// Publishes under `scheme` at `url` and compares what a pyzmq subscriber to `prefixes` prints.
fn check_received(scheme: Scheme, url: &str, lab: &Lab, prefixes: &str, expected: &[&str]) {
    let context = BusContext::new();
    let publisher = publisher(&context, scheme, EndpointConfig::new(url));
    let peer = python(lab, "subscribe.py", &[url, prefixes, name(scheme), "test-1", SECRET]);
    let received =
        publish_until("every line expected", &publisher, &["A", "A.1", "AB", "nœud-🔌 \"7\""], || {
            let log = peer.log();
            let mut lines: Vec<_> =
                log.lines().filter(|line| line.starts_with("received")).map(str::to_owned).collect();
            lines.sort();
            lines.dedup();
            (lines.len() >= expected.len()).then_some(lines)
        });
    assert_eq!(received, expected, "{scheme:?} {url}");
}

#[test]
fn pyzmq_receives_what_it_subscribed_to_and_verifies_it() {
    if !need_python("python") {
        return;
    }
    for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
        let lab = Lab::empty();
        let tcp = format!("tcp://127.0.0.1:{}", free_port());
        for url in [tcp, ipc(&lab)] {
            check_received(
                scheme,
                &url,
                &lab,
                "A.",
                &["received A. \"A\" 97.5 True", "received A.1. \"A.1\" 97.5 True"],
            );
            let strange = r#"received nœud-🔌 "7". "n\u0153ud-\ud83d\udd0c \"7\"" 97.5 True"#;
            check_received(scheme, &url, &lab, "AB.,nœud", &["received AB. \"AB\" 97.5 True", strange]);
        }
    }
}

#[tokio::test]
async fn what_pyzmq_publishes_is_verified_here() {
    if !need_python("python") {
        return;
    }
    for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
        let lab = Lab::empty();
        let url = ipc(&lab);
        let context = BusContext::new();
        let mut subscriber =
            subscriber(&context, vec![SourceConfig::new(&url, scheme, keys(scheme))], &["good"]);
        let _peer = python(&lab, "publish.py", &[&url, "good", name(scheme), "test-1", SECRET]);
        let received = receive(&mut subscriber, 3).await;
        let watts: Vec<_> = received.iter().map(|received| received.measurement.power.0).collect();
        assert_eq!(watts, [0.25, 1.25, 2.25], "{scheme:?}");
        for received in received {
            assert_eq!(received.key.as_deref(), (scheme != Scheme::None).then_some("test-1"));
            assert_eq!(received.measurement.accounting.is_none(), scheme == Scheme::Legacy);
        }
        assert_eq!(refused(&subscriber), []);
        let skew = subscriber.skews().pop();
        match scheme {
            Scheme::Legacy => assert_eq!(skew, None),
            Scheme::Kwapi1 | Scheme::None => {
                let micros = skew.expect("a stamp was seen").micros;
                assert!((0..20_000_000).contains(&micros), "{micros} µs");
            }
        }
    }
}

#[test]
fn what_pyzmq_publishes_reaches_pyzmq_untouched_through_two_forwarders() {
    if !need_python("python") {
        return;
    }
    for scheme in [Scheme::Legacy, Scheme::Kwapi1] {
        let lab = Lab::empty();
        let context = BusContext::new();
        let forward = |upstream: &str| {
            let config = ForwarderConfig {
                upstream: vec![EndpointConfig::new(upstream)],
                downstream: vec![EndpointConfig::new("tcp://127.0.0.1:*")],
                high_water: None,
            };
            Forwarder::start(&context, &config, &clocks().wall, 10).expect("free endpoints")
        };
        let near = forward(&ipc(&lab));
        let far = forward(&near.bound()[0]);
        let listener = python(&lab, "subscribe.py", &[&far.bound()[0], "go", name(scheme), "test-1", SECRET]);
        wait_until("its subscription is at the source", LIMIT, || {
            (near.links()[0].subscriptions == 1).then_some(())
        });
        let _source = python(&lab, "publish.py", &[&ipc(&lab), "good", name(scheme), "test-1", SECRET]);
        let received = wait_until("three messages", LIMIT, || {
            let log = listener.log();
            let lines: Vec<_> =
                log.lines().filter(|line| line.starts_with("received")).map(str::to_owned).collect();
            (lines.len() >= 3).then_some(lines)
        });
        let expected = ["0.25", "1.25", "2.25"].map(|watts| format!("received good. \"good\" {watts} True"));
        assert_eq!(received, expected, "{scheme:?}");
    }
}
