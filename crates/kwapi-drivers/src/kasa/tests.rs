//! Answers shaped after what devices of each kind send, in numbers of our own; the device is a socket that responds as
//! they do.

use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::testing::{by_key, one};

fn plug() -> Value {
    json!({"system": {"get_sysinfo": {"sw_ver": "1.2.6", "model": "HS110(EU)", "mac": "50:C7:BF:01:02:03",
        "alias": "Coffee", "feature": "TIM:ENE", "relay_state": 1, "err_code": 0}}})
}

fn strip() -> Value {
    json!({"system": {"get_sysinfo": {"model": "HS300(US)", "mic_type": "IOT.SMARTPLUGSWITCH", "mac": "B0:A7:B9:0A:0B:0C",
        "alias": "Strip", "child_num": 2, "err_code": 0, "children": [
            {"id": "8006AA00", "state": 1, "alias": "Screen"}, {"id": "8006AA01", "state": 1, "alias": "Lamp"}]}}})
}

fn meter(realtime: &Value) -> Value {
    json!({"emeter": {"get_realtime": realtime}})
}

#[track_caller]
fn check(answer: &Value, expected: &str) {
    let outcome = emeter::reading(answer, "1", &mut Notes::default());
    assert_eq!(outcome.map_or_else(|error| error.to_string(), |reading| reading.to_string()), expected);
}

#[test]
fn the_first_hardware_reports_volts_and_the_later_thousandths() {
    let first = json!({"current": 0.25, "voltage": 231.5, "power": 48.75, "total": 1.25, "err_code": 0});
    check(&meter(&first), "48.75 W, 231.5 V, 0.25 A, 4500000 J");
    let later = json!({"current_ma": 250, "voltage_mv": 231_500, "power_mw": 48_750, "total_wh": 1250, "err_code": 0});
    check(&meter(&later), "48.75 W, 231.5 V, 0.25 A, 4500000 J");
    let of_a_strip = json!({"slot_id": 0, "current_ma": 0, "voltage_mv": 120_000, "power_mw": 0, "total_wh": 7, "err_code": 0});
    check(&meter(&of_a_strip), "0 W, 120 V, 0 A, 25200 J");
}

#[test]
fn what_is_not_reported_is_not_zero() {
    check(
        &json!({"emeter": {"err_code": -1, "err_msg": "module not support"}}),
        "not available: emeter: error -1 module not support",
    );
    check(&meter(&json!({"err_code": -2})), "not available: emeter: error -2");
    check(
        &meter(&json!({"voltage_mv": 1, "err_code": 0})),
        "not available: emeter: neither power nor energy",
    );
    check(&json!({"system": {}}), "not available: no emeter in the answer");
    check(&meter(&json!({"power_mw": null, "total_wh": 3})), "10800 J");
}

/// A device at a port, and the requests it received.
struct Device {
    port: u16,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Device {
    async fn start(answer: impl Fn(&Value) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Ok(length) = stream.read_u32().await {
                    let mut question = vec![0; usize::try_from(length).expect("short")];
                    if stream.read_exact(&mut question).await.is_err() {
                        break;
                    }
                    let question = serde_json::from_slice(&wire::clear(&question)).expect("JSON");
                    let answer = answer(&question);
                    log.lock().push(question);
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            }
        });
        Self { port, requests }
    }

    async fn round(&self, outlets: &Outlets) -> String {
        let outcome = async {
            let config =
                toml::from_str(&format!("host = \"127.0.0.1:{}\"", self.port)).expect("a configuration");
            let mut session = Kasa::open(&config, outlets, &Arc::default()).await?;
            let mut readings = Readings::default();
            session.read(&mut readings).await?;
            let outcome = readings.drain().map(|(probe, reading)| match reading {
                Ok(reading) => {
                    let known = reading.register.as_ref().map_or_else(String::new, |register| {
                        let part = |part: &Option<String>| part.clone().unwrap_or_default();
                        format!(" by {} {}", part(&register.serial), part(&register.path))
                    });
                    format!("{probe}: {reading}{known}")
                }
                Err(error) => format!("{probe}: {error}"),
            });
            Ok::<_, DriverError>(outcome.collect::<Vec<_>>().join("\n"))
        };
        outcome.await.unwrap_or_else(|error| error.to_string()).replace(&self.port.to_string(), "PORT")
    }
}

fn framed(answer: &Value) -> Vec<u8> {
    let sent = wire::obscured(answer.to_string().as_bytes());
    let length = u32::try_from(sent.len()).expect("short");
    [&length.to_be_bytes()[..], &sent].concat()
}

#[tokio::test]
async fn a_plug_is_read_and_its_counter_known_by_its_hardware_address() {
    let device = Device::start(|question| match question.get("emeter") {
        Some(_) => framed(&meter(&json!({"power": 12.5, "total": 0.5, "err_code": 0}))),
        None => framed(&plug()),
    })
    .await;
    assert_eq!(device.round(&one()).await, "A: 12.5 W, 1800000 J by 50:C7:BF:01:02:03 emeter");
    let all = Outlets::all("office.{label}");
    assert_eq!(device.round(&all).await, "office.Coffee: 12.5 W, 1800000 J by 50:C7:BF:01:02:03 emeter");
    let is_reading = |question: &Value| {
        question.as_object().is_some_and(|parts| parts.values().all(|part| part.to_string().contains("get_")))
    };
    assert!(device.requests.lock().iter().all(is_reading), "nothing is ever set");
}

#[tokio::test]
async fn each_socket_of_a_strip_is_an_outlet_by_number_or_name() {
    let device =
        Device::start(|question| match question.pointer("/context/child_ids/0").and_then(Value::as_str) {
            Some("8006AA00") => framed(&meter(&json!({"power_mw": 30_000, "total_wh": 9, "err_code": 0}))),
            Some(_) => framed(&meter(&json!({"power_mw": 4_500, "total_wh": 2, "err_code": 0}))),
            None => framed(&strip()),
        })
        .await;
    let all = Outlets::all("desk.{outlet}");
    assert_eq!(
        device.round(&all).await,
        "desk.1: 30 W, 32400 J by B0:A7:B9:0A:0B:0C 8006AA00\ndesk.2: 4.5 W, 7200 J by B0:A7:B9:0A:0B:0C 8006AA01"
    );
    let named = by_key([("Lamp", "lamp"), ("1", "screen"), ("3", "none")]);
    assert_eq!(
        device.round(&named).await,
        "lamp: 4.5 W, 7200 J by B0:A7:B9:0A:0B:0C 8006AA01\nscreen: 30 W, 32400 J by B0:A7:B9:0A:0B:0C 8006AA00\n\
         none: no such outlet: \"3\"; numbers 1 to 2, or names [\"Screen\", \"Lamp\"]"
    );
}

#[tokio::test]
async fn each_fault_of_a_device_shows_what_it_is() {
    let no_meter = json!({"system": {"get_sysinfo": {"model": "HS100(UK)", "mac": "X"}},
        "emeter": {"err_code": -1, "err_msg": "module not support"}});
    let old = "check that this is a Kasa device with the old protocol";
    for (answer, expected) in [
        (framed(&no_meter), "refused: 127.0.0.1:PORT: this HS100(UK) does not measure power (not available: emeter: error -1 module not support)".to_owned()),
        (framed(&json!({"system": {"get_sysinfo": {"err_code": -1}}})), "malformed answer: \"{\\\"system\\\":{\\\"get_sysinfo\\\":{\\\"err_code\\\":-1}}}\"".to_owned()),
        (vec![0xff; 600], format!("link lost: 127.0.0.1:PORT: an answer longer than any; {old}")),
        (vec![0, 0, 0, 4, 0xd0, 0xf0, 0xd2, 0xa1], "malformed answer: \"{ \\\"s\"".to_owned()),
    ] {
        let device = Device::start(move |_| answer.clone()).await;
        assert_eq!(device.round(&one()).await, expected);
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in ".{0,200}", number in any::<f64>()) {
        emeter::parse_anything(noise.as_bytes());
        emeter::parse_anything(meter(&json!({"power": number, "total": number, "voltage_mv": number})).to_string().as_bytes());
    }
}
