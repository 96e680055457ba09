//! Mosquitto is the broker; its own `mosquitto_pub` is the other publisher.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

use std::process::Command;
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_peers::{Lab, Peer, free_port, need, output};

use super::*;
use crate::testing::{by_key, lines};

const PATIENCE: Duration = Duration::from_secs(10);

struct Broker {
    lab: Lab,
    port: u16,
    peer: Peer,
}

impl Broker {
    fn start(configuration: &str) -> Option<Self> {
        if !need(&["mosquitto", "mosquitto_pub", "mosquitto_passwd", "openssl"]) {
            return None;
        }
        let port = free_port();
        let lab = Lab::of("mqtt", port);
        if configuration == "secure.conf" {
            let folder = lab.join("mqtt");
            let users = folder.join("users").display().to_string();
            output(Command::new("mosquitto_passwd").args(["-c", "-b", &users, "kwapi", "secret"]));
            let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker"];
            let files = ["-keyout", "key.pem", "-out", "cert.pem"];
            output(Command::new("openssl").current_dir(&folder).args(request).args(files));
        }
        let peer = Self::run(&lab, configuration, port);
        Some(Self { lab, port, peer })
    }

    fn run(lab: &Lab, configuration: &str, port: u16) -> Peer {
        let mut command = Command::new(kwapi_peers::find("mosquitto").expect("it is there"));
        // As root mosquitto becomes a user that cannot read the scratch directory.
        let with_user = lab.join("run.conf");
        let text = std::fs::read_to_string(lab.join("mqtt").join(configuration)).expect("a configuration");
        std::fs::write(&with_user, format!("user root\n{text}")).expect("room");
        command.arg("-c").arg(with_user);
        Peer::start(&mut command, lab.join("log"))
            .ready(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
    }

    fn publish(&self, topic: &str, payload: &str, options: &[&str]) {
        let port = self.port.to_string();
        output(
            Command::new("mosquitto_pub")
                .args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-m", payload])
                .args(options),
        );
    }

    fn config(&self, keys: &str) -> MqttConfig {
        let broker = format!("broker = \"mqtt://127.0.0.1:{}\"", self.port);
        let broker = if keys.contains("broker") { String::new() } else { broker };
        toml::from_str(&format!("{broker}\n{keys}")).expect("a configuration")
    }
}

fn named(keys: &[&str]) -> Outlets {
    by_key(keys.iter().map(|key| (*key, *key)))
}

/// What the next `count` readings hold, as they come.
async fn next(meter: &mut Mqtt, count: usize) -> Vec<String> {
    let mut outcome = Vec::new();
    let mut readings = Readings::default();
    while outcome.len() < count {
        let read = tokio::time::timeout(PATIENCE, meter.read(&mut readings)).await.expect("a message");
        if let Err(error) = read {
            outcome.push(error.to_string());
            break;
        }
        outcome.extend(lines(&mut readings));
    }
    outcome
}

/// Waits until the broker has written the subscription down: it answers in order, so a ping of ours comes back after.
async fn settled(broker: &Broker, meter: &mut Mqtt, topic: &str) {
    let mut readings = Readings::default();
    loop {
        broker.publish(topic, r#"{"power": null, "ENERGY": {"Power": null}}"#, &[]);
        if tokio::time::timeout(Duration::from_millis(300), meter.read(&mut readings)).await.is_ok()
            && !readings.is_empty()
        {
            _ = readings.drain().count();
            // Pings that were under way.
            while tokio::time::timeout(Duration::from_millis(100), meter.read(&mut readings)).await.is_ok() {
                _ = readings.drain().count();
            }
            return;
        }
    }
}

#[tokio::test]
async fn messages_become_readings_and_retained_ones_do_not() {
    let Some(broker) = Broker::start("m.conf") else { return };
    broker.publish("plugs/a", r#"{"power": 999}"#, &["-r"]);
    let keys = r#"
        topic = "plugs/{outlet}"
        values = { power = "/power", energy = "/total", energy_unit = "Wh" }
    "#;
    let mut meter =
        Mqtt::open(&broker.config(keys), &named(&["a", "b"]), &Arc::default()).await.expect("open");
    settled(&broker, &mut meter, "plugs/b").await;
    broker.publish("plugs/b", r#"{"power": 12.5, "total": 2}"#, &[]);
    broker.publish("plugs/c", r#"{"power": 13}"#, &[]);
    broker.publish("plugs/a", "nonsense", &[]);
    broker.publish("plugs/a", r#"{"power": null}"#, &[]);
    broker.publish("plugs/a", r#"{"power": 14}"#, &["-r"]);
    assert_eq!(
        next(&mut meter, 4).await,
        [
            "b: 12.5 W, 7200 J",
            "a: implausible: plugs/a: invalid JSON: \"nonsense\"",
            "a: not available: plugs/a: no value at /power or /total",
            "a: 14 W",
        ],
        "published while we listen is fresh, also where the broker retains it"
    );
    let findings = meter.findings();
    assert!(findings[0].value.contains("1 retained and ignored, 0 dropped"), "{findings:?}");
}

#[tokio::test]
async fn every_outlet_of_a_filter_is_a_probe_and_meters_share_one_connection() {
    let Some(broker) = Broker::start("m.conf") else { return };
    let brokers = Arc::new(Brokers::default());
    let all = broker.config("topic = \"tele/{outlet}/SENSOR\"\nvalues = { power = \"/ENERGY/Power\" }");
    let mut meter = Mqtt::open(&all, &Outlets::all("lyon.{outlet}"), &brokers).await.expect("open");
    let one = broker.config("topic = \"tele/x/SENSOR\"\nvalues = { power = \"/ENERGY/Power\" }");
    let mut other =
        Mqtt::open(&one, &Outlets::by_position([ProbeId::new("x").ok()]), &brokers).await.expect("open");
    settled(&broker, &mut meter, "tele/x/SENSOR").await;
    while tokio::time::timeout(Duration::from_millis(100), other.subscription.next()).await.is_ok() {}
    broker.publish("tele/x/SENSOR", r#"{"ENERGY":{"Power":5}}"#, &[]);
    broker.publish("tele/y/SENSOR", r#"{"ENERGY":{"Power":6}}"#, &[]);
    assert_eq!(next(&mut meter, 2).await, ["lyon.x: 5 W", "lyon.y: 6 W"]);
    assert_eq!(next(&mut other, 1).await, ["x: 5 W"]);
    let connections = broker.peer.log().matches("New client connected").count();
    let publishers = broker.peer.log().matches("as auto-").count();
    assert_eq!(connections - publishers, 1, "{}", broker.peer.log());
    drop(meter);
    broker.publish("tele/x/SENSOR", r#"{"ENERGY":{"Power":7}}"#, &[]);
    assert_eq!(next(&mut other, 1).await, ["x: 7 W"], "the other meter's going takes nothing away");
}

#[tokio::test]
async fn messages_about_other_things_are_passed_over_and_make_no_probes() {
    let Some(broker) = Broker::start("m.conf") else { return };
    let brokers = Arc::new(Brokers::default());
    let all = broker.config("topic = \"home/{outlet}\"\nvalues = { power = \"/power\" }");
    let mut meter = Mqtt::open(&all, &Outlets::all("h.{outlet}"), &brokers).await.expect("open");
    settled(&broker, &mut meter, "home/desk").await;
    for (topic, payload) in [
        ("home/window1", r#"{"contact": false, "battery": 71}"#),
        ("home/bridge", "online"),
        ("home/desk", r#"{"voltage": 231.2}"#),
        ("home/desk", r#"{"power": 38.5}"#),
    ] {
        broker.publish(topic, payload, &[]);
    }
    assert_eq!(next(&mut meter, 1).await, ["h.desk: 38.5 W"]);
    assert!(meter.findings()[0].why.starts_with("3 without power; received on [\"home/desk\"]"));

    let one = broker.config("topic = \"home/desk\"\nvalues = { power = \"/watts\" }");
    let mut wrong =
        Mqtt::open(&one, &Outlets::by_position([ProbeId::new("desk").ok()]), &brokers).await.expect("open");
    while wrong.topics.messages < topics::REPORTED_AFTER {
        broker.publish("home/desk", r#"{"power": 38.5}"#, &[]);
        let mut readings = Readings::default();
        wrong.read(&mut readings).await.expect("a broker");
        let outcome: Vec<_> =
            readings.drain().map(|(_, reading)| reading.expect_err("none").to_string()).collect();
        let expected = ["not available: home/desk: no value at /watts"];
        assert_eq!(
            outcome,
            if wrong.topics.messages < topics::REPORTED_AFTER { &expected[..0] } else { &expected[..] }
        );
    }
}

#[tokio::test]
async fn power_and_energy_may_come_by_topics_of_their_own() {
    let Some(broker) = Broker::start("m.conf") else { return };
    let keys = "topic = \"m/{outlet}/power\"\nenergy_topic = \"m/{outlet}/energy\"\n\
        values = { power = \"\", energy = \"\", energy_unit = \"Wh\" }";
    let mut meter =
        Mqtt::open(&broker.config(keys), &Outlets::all("{outlet}"), &Arc::default()).await.expect("open");
    settled(&broker, &mut meter, "m/x/power").await;
    for (topic, payload) in [
        ("m/a/power", "10"),
        ("m/a/energy", "2"),
        ("m/b/energy", "7"),
        ("m/a/power", "11"),
        ("m/a/power", "12"),
        ("m/b/power", "20"),
    ] {
        broker.publish(topic, payload, &[]);
    }
    assert_eq!(next(&mut meter, 4).await, ["a: 10 W", "a: 11 W, 7200 J", "a: 12 W", "b: 20 W, 25200 J"]);
    let refused = |keys: &str| Mqtt::check(&broker.config(keys)).expect_err("a fault").to_string();
    let alone = "topic = 'a'\nenergy_topic = 'b'\nvalues = { energy = '' }";
    assert!(refused(alone).starts_with("`energy_topic`: values must set both power"));
    assert!(
        refused("topic = 'a'\nenergy_topic = 'a'\nvalues = { power = '/p', energy = '/e' }")
            .contains("same as topic")
    );
}

#[tokio::test]
async fn two_topics_of_one_probe_are_not_mixed() {
    let Some(broker) = Broker::start("m.conf") else { return };
    let keys = "topic = \"+/{outlet}/SENSOR\"\nvalues = { power = \"/power\" }";
    let mut meter =
        Mqtt::open(&broker.config(keys), &Outlets::all("{outlet}"), &Arc::default()).await.expect("open");
    settled(&broker, &mut meter, "lyon/plug/SENSOR").await;
    broker.publish("nancy/plug/SENSOR", r#"{"power": 900}"#, &[]);
    broker.publish("lyon/plug/SENSOR", r#"{"power": 7}"#, &[]);
    assert_eq!(next(&mut meter, 1).await, ["plug: 7 W"]);
}

#[tokio::test]
async fn a_lost_broker_is_a_lost_link_and_opening_again_works() {
    let Some(broker) = Broker::start("m.conf") else { return };
    let brokers = Arc::new(Brokers::default());
    let config = broker.config("topic = \"plugs/a\"\nvalues = { power = \"\" }");
    let one = Outlets::by_position([ProbeId::new("a").ok()]);
    let mut meter = Mqtt::open(&config, &one, &brokers).await.expect("open");
    let Broker { lab, port, peer } = broker;
    drop(peer);
    let outcome = next(&mut meter, 1).await.remove(0);
    assert!(outcome.starts_with(&format!("link lost: broker 127.0.0.1:{port}: ")), "{outcome}");
    let error = Mqtt::open(&config, &one, &brokers).await.expect_err("nobody there").to_string();
    assert!(error.contains("refused"), "{error}");
    let broker = Broker { peer: Broker::run(&lab, "m.conf", port), lab, port };
    let mut meter = Mqtt::open(&config, &one, &brokers).await.expect("open");
    settled(&broker, &mut meter, "plugs/a").await;
    broker.publish("plugs/a", "42", &[]);
    assert_eq!(next(&mut meter, 1).await, ["a: 42 W"]);
}

#[tokio::test]
async fn a_broker_with_users_and_tls_is_read_and_names_who_is_wrong() {
    let Some(broker) = Broker::start("secure.conf") else { return };
    let open = async |keys: &str| {
        let keys = format!(
            "broker = \"mqtts://127.0.0.1:{}\"\nvalues = {{ power = \"\" }}\nusername = \"kwapi\"\n{keys}",
            broker.port
        );
        Mqtt::open(&broker.config(&keys), &Outlets::by_position([ProbeId::new("a").ok()]), &Arc::default())
            .await
    };
    let ours = "topic = \"plugs/a\"\npassword = \"secret\"\n";
    let mut meter = open(&format!("{ours}tls = \"insecure\"")).await.expect("open");
    let publish = |payload: &str| {
        let certificate = broker.lab.join("mqtt/cert.pem").display().to_string();
        let login = ["-u", "kwapi", "-P", "secret", "--insecure", "--cafile", &certificate];
        broker.publish("plugs/a", payload, &login);
    };
    let mut readings = Readings::default();
    while readings.is_empty() {
        publish("42");
        _ = tokio::time::timeout(Duration::from_millis(300), meter.read(&mut readings)).await;
    }
    assert_eq!(
        readings.drain().next().and_then(|(_, reading)| reading.ok()).map(|r| r.to_string()),
        Some("42 W".into())
    );

    let error =
        open("topic = \"plugs/a\"\npassword = \"hunter2\"\ntls = \"insecure\"").await.expect_err("wrong");
    assert!(matches!(error, DriverError::Refused(_)), "{error}");
    assert!(error.to_string().contains("check username and password"), "{error}");
    let error = open(ours).await.expect_err("not trusted").to_string();
    assert!(error.contains("tls = \"sha256:") && !error.contains("secret"), "{error}");
}

#[test]
fn a_topic_that_cannot_distinguish_outlets_is_refused() {
    let check =
        |topic: &str, outlets: &Outlets, expected: Result<&[&str], &str>| match filters(topic, outlets) {
            Ok(filters) => assert_eq!(
                Ok(filters.iter().map(String::as_str).collect::<Vec<_>>()),
                expected.map(<[_]>::to_vec)
            ),
            Err(error) => assert!(expected.is_err_and(|part| error.to_string().contains(part)), "{error}"),
        };
    let all = Outlets::all("{outlet}");
    check("a/{outlet}/b", &all, Ok(&["a/+/b"]));
    check("a/x-{outlet}/b", &all, Err("one whole level"));
    check("a/b", &all, Err("one whole level"));
    check("a/b", &named(&["1"]), Ok(&["a/b"]));
    check("a/b", &named(&["1", "2"]), Err("several probes require {outlet}"));
    check("a/x{outlet}", &named(&["1", "2"]), Ok(&["a/x1", "a/x2"]));
    check("", &named(&["1"]), Err("invalid MQTT topic"));
}

#[test]
fn a_broker_is_read_from_its_address() {
    let check = |broker: &str, expected: &str| {
        let config = format!("broker = \"{broker}\"\ntopic = \"t\"\nvalues = {{}}");
        let config: MqttConfig = toml::from_str(&config).expect("a configuration");
        let outcome =
            BrokerAddress::new(&config).map_or_else(|error| error.to_string(), |address| address.to_string());
        assert_eq!(outcome, expected);
    };
    check("mqtt://host", "broker host:1883");
    check("mqtts://host/", "broker host:8883");
    check("host:99", "broker host:99");
    check("mqtt://[fe80::1]:99", "broker fe80::1:99");
    check("mqtt://[fe80::1]", "broker fe80::1:1883");
    check(
        "mqtt://u:hunter2@host",
        "`broker`: must not contain credentials; set username and password instead",
    );
    check("http://host", "`broker`: must start with mqtt:// or mqtts://");
    check("host:port", "`broker`: invalid port; must be 0 to 65535");
    check("", "`broker`: invalid address; write mqtt://HOST:PORT");
}

/// A broker that takes everybody and answers every subscription with `answer`, as bytes on the wire.
async fn raw_broker(answer: &'static [u8]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut seen = [0; 512];
        _ = stream.read(&mut seen).await;
        _ = stream.write_all(&[0x20, 2, 0, 0]).await;
        _ = stream.read(&mut seen).await;
        _ = stream.write_all(answer).await;
        std::future::pending::<()>().await;
    });
    port
}

async fn against(answer: &'static [u8]) -> String {
    let broker = raw_broker(answer).await;
    let config = format!("broker = \"127.0.0.1:{broker}\"\ntopic = \"t\"\nvalues = {{ power = \"\" }}");
    let config: MqttConfig = toml::from_str(&config).expect("a configuration");
    let one = Outlets::by_position([ProbeId::new("a").ok()]);
    let mut meter = Mqtt::open(&config, &one, &Arc::default()).await.expect("open");
    next(&mut meter, 1).await.remove(0)
}

#[tokio::test]
async fn a_broker_that_has_nothing_to_hand_on_is_no_fault() {
    let broker = raw_broker(&[0x90, 3, 0, 1, 0]).await;
    let config = format!("broker = \"127.0.0.1:{broker}\"\ntopic = \"t\"\nvalues = {{ power = \"\" }}");
    let config: MqttConfig = toml::from_str(&config).expect("a configuration");
    let one = Outlets::by_position([ProbeId::new("a").ok()]);
    let mut meter = Mqtt::open(&config, &one, &Arc::default()).await.expect("open");
    let mut readings = Readings::default();
    let read = tokio::time::timeout(PATIENCE, meter.read(&mut readings)).await.expect("empty-handed in time");
    assert!(read.is_ok() && readings.is_empty(), "{read:?}");
}

#[tokio::test]
async fn a_refused_subscription_is_refused_and_garbage_is_a_lost_link() {
    let outcome = against(&[0x90, 3, 0, 1, 0x80]).await;
    assert!(
        outcome.starts_with("refused: ") && outcome.ends_with("not authorized to subscribe to \"t\""),
        "{outcome}"
    );
    let outcome = against(&[0xff; 64]).await;
    assert!(outcome.starts_with("link lost: broker 127.0.0.1:"), "{outcome}");
    let outcome = against(&[0x30, 0xff, 0xff, 0xff, 0x7f, 0, 0]).await;
    assert!(outcome.starts_with("link lost: "), "a packet of 256 MiB: {outcome}");
}
