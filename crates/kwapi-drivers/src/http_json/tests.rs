//! Python's own web server is the device for plain files; faults are simulated.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

use std::process::Command;

use kwapi_peers::{Lab, Peer, free_port, need};
use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};

use super::*;
use crate::testing::{self, by_key, one};

async fn round(url: &str, keys: &str, outlets: &Outlets) -> String {
    let config = toml::from_str(&format!("url = \"{url}\"\n{keys}")).expect("a configuration");
    let outcome = async {
        let mut meter = HttpJson::open(&config, outlets, &Arc::default()).await?;
        Ok::<_, DriverError>(testing::round(&mut meter).await?.join("\n"))
    };
    outcome.await.unwrap_or_else(|error| error.to_string())
}

fn two() -> Outlets {
    by_key([("a", "a"), ("b", "b")])
}

#[tokio::test]
async fn a_file_on_a_web_server_is_a_meter() {
    if !need(&["python3"]) {
        return;
    }
    let (lab, port) = (Lab::empty(), free_port());
    let text =
        r#"{"outlets": {"a": {"w": 12.5, "wh": 100}, "b": {"w": null}}, "at": "2026-11-23T10:00:00Z"}"#;
    std::fs::write(lab.join("meter.json"), text).expect("room");
    let mut server = Command::new("python3");
    server
        .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"])
        .arg(lab.path());
    let _server = Peer::start(&mut server, lab.join("log"))
        .ready(Duration::from_secs(20), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("http://127.0.0.1:{port}/meter.json");
    let keys = "values = { power = \"/outlets/{outlet}/w\", energy = \"/outlets/{outlet}/wh\", energy_unit = \"Wh\" }";
    assert_eq!(
        round(&url, keys, &two()).await,
        "a: 12.5 W, 360000 J\nb: not available: no value at /outlets/{outlet}/w or /outlets/{outlet}/wh"
    );
    let same = "values = { power = \"/w\" }";
    assert!(round(&url, same, &two()).await.contains("several probes require {outlet}"));
    let gone = round(&format!("{url}.gone"), keys, &two()).await;
    assert!(gone.starts_with("refused: GET http://127.0.0.1:") && gone.ends_with("check url"), "{gone}");
}

#[tokio::test]
async fn a_header_is_sent_and_never_shown() {
    let respond = |request: &HttpRequest| match request.header("x-api-key") {
        Some("hunter2") => HttpAnswer::ok("{\"w\": 3}"),
        _ => HttpAnswer::status(403),
    };
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let url = format!("http://{}/x?key=hunter2", simulator.address());
    let with = |key: &str| format!("headers = {{ X-Api-Key = \"{key}\" }}\nvalues = {{ power = \"/w\" }}");
    assert_eq!(round(&url, &with("hunter2"), &one()).await, "A: 3 W");
    let outcome = round(&url, &with("hunter3"), &one()).await;
    assert!(outcome.contains("403 Forbidden") && !outcome.contains("hunter"), "{outcome}");
    let outcome = round(&url, &with("hunter\\n2"), &one()).await;
    assert!(outcome.contains("invalid HTTP header") && !outcome.contains("hunter"), "{outcome}");
}

#[tokio::test]
async fn yesterdays_value_is_stale_by_the_devices_own_clock() {
    let respond = |_: &HttpRequest| {
        let document = "{\"w\": 3, \"at\": \"2026-11-23T09:00:00Z\"}";
        HttpAnswer::ok(document).with_header("date", "Mon, 23 Nov 2026 10:00:00 GMT")
    };
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let url = format!("http://{}/", simulator.address());
    let keys = "values = { power = \"/w\", time = \"/at\" }";
    assert_eq!(round(&url, keys, &one()).await, "A: stale: measured 3600 s before the request");
    assert_eq!(round(&url, &format!("stale_seconds = 3600\n{keys}"), &one()).await, "A: 3 W");
}
