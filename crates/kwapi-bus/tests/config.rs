//! The bus's part of `kwapi.toml`.

use kwapi_bus::{Attach, ForwarderConfig, PublisherConfig, Scheme, SubscriberConfig};

const PUBLISHER: &str = r#"
    signature = "kwapi-1"
    key = { id = "lyon-1", secret = "0123456789abcdef" }
    high_water = 5000

    [[endpoints]]
    url = "ipc:///run/kwapi/probes"

    [[endpoints]]
    url = "tcp://*:5555"
    ipv6 = true
    [endpoints.curve]
    secret_key = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
    clients = ["Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"]
"#;

const SUBSCRIBER: &str = r#"
    probes = ["lyon.*", "C"]
    max_age_seconds = 60

    [[endpoints]]
    url = "ipc:///run/kwapi/probes"
    [[endpoints.keys]]
    id = "lyon-1"
    secret = "0123456789abcdef"
    probes = "lyon.*"

    [[endpoints]]
    url = "tcp://old.example:5555"
    signature = "legacy"
    keys = [{ id = "old", secret = "x" }]

    [[endpoints]]
    url = "tcp://gateway.example:5556"
    keys = [{ id = "nancy-1", secret = "fedcba9876543210" }]
    [endpoints.curve]
    secret_key = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
    public_key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
    server_key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
"#;

const FORWARDER: &str = r#"
    upstream = [{ url = "ipc:///run/kwapi/probes" }, { url = "tcp://*:5557", attach = "bind" }]
    downstream = [{ url = "tcp://*:5556" }]
"#;

#[test]
fn each_component_reads_its_table() {
    let publisher: PublisherConfig = toml::from_str(PUBLISHER).expect("a publisher");
    assert_eq!(publisher.signature, Scheme::Kwapi1);
    assert_eq!(publisher.endpoints.len(), 2);
    let subscriber: SubscriberConfig = toml::from_str(SUBSCRIBER).expect("a subscriber");
    let schemes: Vec<_> = subscriber.endpoints.iter().map(|endpoint| endpoint.signature).collect();
    assert_eq!(schemes, [Scheme::Kwapi1, Scheme::Legacy, Scheme::Kwapi1]);
    assert_eq!(subscriber.endpoints[0].keys[0].probes.to_string(), "lyon.*");
    assert_eq!(subscriber.endpoints[1].keys[0].probes.to_string(), "*");
    let forwarder: ForwarderConfig = toml::from_str(FORWARDER).expect("a forwarder");
    assert_eq!(forwarder.upstream[1].attach, Some(Attach::Bind));
}

#[test]
fn what_is_left_out_is_safe() {
    let subscriber: SubscriberConfig =
        toml::from_str("endpoints = [{ url = \"ipc:///x\" }]").expect("a subscriber");
    assert_eq!(subscriber.endpoints[0].signature, Scheme::Kwapi1);
    assert_eq!(subscriber.max_age_seconds, 300);
    assert_eq!(subscriber.probes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["*"]);
}

#[test]
fn a_misspelt_key_is_refused_by_name() {
    for (text, key) in [
        (PUBLISHER.replace("high_water", "hwm"), "hwm"),
        (PUBLISHER.replace("clients", "client"), "client"),
        (PUBLISHER.replace("kwapi-1", "kwapi-2"), "kwapi-2"),
    ] {
        let error = toml::from_str::<PublisherConfig>(&text).expect_err("a misspelling").to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
    for (text, key) in [
        (SUBSCRIBER.replace("max_age_seconds", "max_age"), "max_age"),
        (SUBSCRIBER.replace("probes = \"lyon.*\"", "probe = \"lyon.*\""), "probe"),
        (SUBSCRIBER.replace("server_key", "server"), "server"),
    ] {
        let error = toml::from_str::<SubscriberConfig>(&text).expect_err("a misspelling").to_string();
        assert!(error.contains(&format!("`{key}`")), "{error}");
    }
}

#[test]
fn no_secret_prints() {
    let publisher: PublisherConfig = toml::from_str(PUBLISHER).expect("a publisher");
    let subscriber: SubscriberConfig = toml::from_str(SUBSCRIBER).expect("a subscriber");
    let shown = format!("{publisher:?}{subscriber:?}");
    for secret in ["0123456789abcdef", "fedcba9876543210", "JTKVSB", "D:)Q["] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
