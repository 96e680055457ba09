//! The emulator of sushy-tools is the judge of the way through a service; what it lacks (sessions, PDUs, several
//! chassis, a host that is off) is simulated.

use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_peers::{Lab, devices, free_port, need_python};
use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};
use serde_json::json;

use super::*;
use crate::outlets::Outlet as Named;
use crate::testing::round_or_error;

mod choosing;
mod hostile;

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

fn config(host: &str, keys: &str) -> RedfishConfig {
    toml::from_str(&format!("host = \"http://{host}\"\nusername = \"admin\"\n{keys}"))
        .expect("a configuration")
}

fn one() -> Outlets {
    Outlets::by_position([ProbeId::new("web1").ok()])
}

/// One round as text: each outlet's reading or why there is none, with the findings that were used.
async fn round(config: &RedfishConfig, outlets: &Outlets) -> String {
    let mut driver = match Redfish::open(config, outlets, &Arc::default()).await {
        Ok(driver) => driver,
        Err(error) => return error.to_string(),
    };
    round_or_error(&mut driver).await
}

/// A service of these resources, with sessions for admin/secret.
async fn service(mut resources: Value) -> HttpDevice {
    resources["/redfish/v1/"]["Links"] = json!({"Sessions": at(SESSIONS)});
    HttpDevice::start(move |request: &HttpRequest| {
        let path = request.target.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path, request.header("x-auth-token")) {
            ("POST", SESSIONS, _) if request.body.contains("\"secret\"") => {
                HttpAnswer::Whole(201, Vec::new(), b"{}".to_vec())
                    .with_header("x-auth-token", "t0k3n")
                    .with_header("location", "http://elsewhere/redfish/v1/SessionService/Sessions/9")
            }
            ("POST", ..) => HttpAnswer::status(401),
            (_, "/redfish/v1/", _) | (_, _, Some("t0k3n")) => match resources.get(&request.target) {
                Some(resource) => HttpAnswer::ok(resource.to_string()),
                None => HttpAnswer::status(404),
            },
            _ => HttpAnswer::status(401),
        }
    })
    .await
    .expect("a port")
}

fn at(path: &str) -> Value {
    json!({"@odata.id": path})
}

fn two_chassis() -> Value {
    json!({
        "/redfish/v1/": {"Chassis": at("/redfish/v1/Chassis")},
        "/redfish/v1/Chassis": {"Members": [at("/redfish/v1/Chassis/node"), at("/redfish/v1/Chassis/sled"), at("/redfish/v1/Chassis/fan")]},
        "/redfish/v1/Chassis/node": {"Id": "node", "EnvironmentMetrics": at("/redfish/v1/Chassis/node/EM")},
        "/redfish/v1/Chassis/node/EM": {"PowerWatts": {"Reading": null}},
        "/redfish/v1/Chassis/node/Power": {"PowerControl": [{"PowerConsumedWatts": 210}]},
        "/redfish/v1/Chassis/sled": {"Id": "sled"},
        "/redfish/v1/Chassis/sled/EnvironmentMetrics": {"PowerWatts": {"Reading": 400}, "EnergykWh": {"Reading": 1.25}},
        "/redfish/v1/Chassis/fan": {"Id": "fan"},
    })
}

#[tokio::test]
async fn the_emulator_reports_its_watts_and_refuses_a_wrong_password() {
    if !need_python("python") {
        return;
    }
    let (lab, port) = (Lab::of("redfish", 0), free_port());
    std::fs::write(lab.join("watts"), "236.5").expect("room");
    let _emulator = devices::python(&lab, "redfish/emu_power.py", port, [lab.join("watts")]);
    let host = format!("127.0.0.1:{port}");

    let outcome = round(&config(&host, "password = \"secret\""), &one()).await;
    assert!(outcome.starts_with("web1: 236.5 W, ") && outcome.ends_with(" J"), "{outcome}");
    let outcome = round(&config(&host, "password = \"hunter2\""), &one()).await;
    assert!(outcome.starts_with("refused: ") && outcome.contains("401"), "{outcome}");
    assert!(outcome.contains("check username and password") && !outcome.contains("hunter2"), "{outcome}");
    let outcome = round(&config(&host, "password = \"secret\"\nauth = \"session\""), &one()).await;
    assert!(outcome.contains("set auth = \"basic\""), "{outcome}");
    // The host goes off: its power is null, not nothing and not zero.
    std::fs::write(lab.join("watts"), "off").expect("room");
    let outcome = round(&config(&host, "password = \"secret\""), &one()).await;
    assert!(!outcome.contains("236") && !outcome.contains("0 W"), "{outcome}");
}

#[tokio::test]
async fn several_chassis_are_never_added() {
    let service = service(two_chassis()).await;
    let host = service.address().to_string();
    let outcome = round(&config(&host, "password = \"secret\""), &one()).await;
    assert!(outcome.contains("set chassis to one of [\"node\", \"sled\"]"), "{outcome}");
    let chosen = config(&host, "password = \"secret\"\nchassis = \"sled\"");
    assert_eq!(round(&chosen, &one()).await, "web1: 400 W, 4500000 J");
    let named =
        Outlets::by_key(["node", "sled", "gone"].map(|key| Named {
            key: key.to_owned(),
            probe: ProbeId::new(format!("p.{key}")).expect("an id"),
        }));
    assert_eq!(
        round(&config(&host, "password = \"secret\""), &named).await,
        "p.gone: no such outlet: \"gone\"; available: [\"node\", \"sled\"]\np.node: 210 W\np.sled: 400 W, 4500000 J"
    );
    let all = Outlets::all("lyon.{outlet}");
    assert_eq!(
        round(&config(&host, "password = \"secret\""), &all).await,
        "lyon.node: 210 W\nlyon.sled: 400 W, 4500000 J"
    );
}

#[tokio::test]
async fn a_session_is_opened_once_and_given_back() {
    let service = service(two_chassis()).await;
    let host = service.address().to_string();
    let config = config(&host, "password = \"secret\"\nchassis = \"node\"");
    let mut driver = Redfish::open(&config, &one(), &Arc::default()).await.expect("a session");
    for _ in 0..3 {
        driver.read(&mut Readings::default()).await.expect("a round");
    }
    drop(driver);
    let deleted = || {
        service.requests().iter().any(|request| {
            request.method == "DELETE"
                && request.target == "/redfish/v1/SessionService/Sessions/9"
                && request.header("x-auth-token") == Some("t0k3n")
        })
    };
    tokio::time::timeout(Duration::from_secs(5), async {
        while !deleted() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the session is deleted");
    let requests = service.requests();
    assert_eq!(requests.iter().filter(|request| request.method == "POST").count(), 1);
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn a_session_that_the_card_forgets_is_reopened() {
    let valid = Arc::new(std::sync::Mutex::new(0));
    let of_service = Arc::clone(&valid);
    let service = HttpDevice::start(move |request: &HttpRequest| {
        let mut valid = of_service.lock().expect("not poisoned");
        let is_ours = request.header("x-auth-token") == Some(format!("t{valid}").as_str());
        match (request.method.as_str(), request.target.as_str()) {
            ("POST", SESSIONS) => {
                *valid += 1;
                HttpAnswer::Whole(201, Vec::new(), b"{}".to_vec())
                    .with_header("x-auth-token", &format!("t{valid}"))
                    .with_header("location", &format!("{SESSIONS}/{valid}"))
            }
            (_, "/redfish/v1/") => HttpAnswer::ok(
                json!({"Chassis": at("/redfish/v1/Chassis"), "Links": {"Sessions": at(SESSIONS)}})
                    .to_string(),
            ),
            _ if !is_ours => HttpAnswer::status(401),
            (_, "/redfish/v1/Chassis") => {
                HttpAnswer::ok(json!({"Members": [at("/redfish/v1/Chassis/1")]}).to_string())
            }
            (_, "/redfish/v1/Chassis/1") => HttpAnswer::ok(json!({"Id": "1"}).to_string()),
            (_, "/redfish/v1/Chassis/1/Power") => {
                HttpAnswer::ok(json!({"PowerControl": [{"PowerConsumedWatts": 199}]}).to_string())
            }
            _ => HttpAnswer::status(404),
        }
    })
    .await
    .expect("a port");
    let config = config(&service.address().to_string(), "password = \"secret\"");
    let clients = Arc::default();
    let mut driver = Redfish::open(&config, &one(), &clients).await.expect("a session");
    driver.read(&mut Readings::default()).await.expect("a round");

    // Half an hour of silence, or a card that was reset: the token is worth nothing now.
    *valid.lock().expect("not poisoned") += 1;
    let error = driver.read(&mut Readings::default()).await.expect_err("no round");
    assert!(
        matches!(&error, DriverError::Link(_)) && error.to_string().contains("session expired"),
        "{error}"
    );
    // A lost link is opened again, at once and with the password; a refused login is not.
    let mut driver = Redfish::open(&config, &one(), &clients).await.expect("a new session");
    driver.read(&mut Readings::default()).await.expect("a round");
}

#[tokio::test]
async fn a_wrong_password_of_a_session_is_refused_and_not_shown() {
    let service = service(two_chassis()).await;
    let outcome = round(&config(&service.address().to_string(), "password = \"hunter2\""), &one()).await;
    assert!(outcome.contains("check username and password") && !outcome.contains("hunter2"), "{outcome}");
}

#[tokio::test]
async fn a_card_without_power_shows_what_was_tried() {
    let service = service(json!({"/redfish/v1/": {}, "/redfish/v1/Chassis": {"Members": []}})).await;
    let outcome = round(&config(&service.address().to_string(), "password = \"secret\""), &one()).await;
    assert!(outcome.starts_with("refused: http://") && outcome.contains("licence"), "{outcome}");
}

#[tokio::test]
async fn the_outlets_of_a_pdu_come_in_one_request_with_their_consumers() {
    let outlet = |n: u32, name: &str| {
        json!({"@odata.id": format!("/pdu/1/Outlets/{n}"), "Id": n.to_string(), "ElectricalConsumerNames": [name],
            "PowerWatts": {"Reading": n * 10}, "EnergykWh": {"Reading": 1.5}})
    };
    let service = service(json!({
        "/redfish/v1/": {"PowerEquipment": at("/pe"), "ProtocolFeaturesSupported": {"ExpandQuery": {"NoLinks": true}}},
        "/pe": {"RackPDUs": at("/pdus")},
        "/pdus": {"Members": [at("/pdu/1")]},
        "/pdu/1": {"Outlets": at("/pdu/1/Outlets"), "Metrics": at("/pdu/1/Metrics")},
        "/pdu/1/Metrics": {"PowerWatts": {"Reading": 33}},
        "/pdu/1/Outlets": {"Members": [at("/pdu/1/Outlets/1"), at("/pdu/1/Outlets/2")]},
        "/pdu/1/Outlets?$expand=.": {"Members": [outlet(1, "web1"), outlet(2, "")]},
        "/pdu/1/Outlets/1": outlet(1, "web1"),
        "/pdu/1/Outlets/2": outlet(2, ""),
    }))
    .await;
    let config = config(&service.address().to_string(), "password = \"secret\"");
    let mut driver = Redfish::open(&config, &Outlets::all("{label}"), &Arc::default()).await.expect("a PDU");
    let before = service.requests().len();
    let mut readings = Readings::default();
    driver.read(&mut readings).await.expect("a round");
    let outcome: Vec<_> = readings
        .drain()
        .map(|(probe, reading)| format!("{probe}: {}", reading.expect("a reading")))
        .collect();
    assert_eq!(outcome, ["web1: 10 W, 5400000 J", "2: 20 W, 5400000 J"]);
    assert_eq!(service.requests().len() - before, 1, "the outlets together, and not what counts them again");
}

#[tokio::test]
async fn a_pdu_of_a_room_or_a_shelf_is_read_and_its_total_where_no_outlet_is_measured() {
    for collection in ["FloorPDUs", "PowerShelves", "Switchgear"] {
        let mut resources = json!({
            "/redfish/v1/": {"PowerEquipment": at("/pe")},
            "/pe": {},
            "/pdus": {"Members": [at("/pdu/F1")]},
            "/pdu/F1": {"SerialNumber": "PD-7", "Outlets": at("/pdu/F1/Outlets"), "Metrics": at("/pdu/F1/Metrics")},
            "/pdu/F1/Metrics": {"PowerWatts": {"Reading": 9_100}, "EnergykWh": {"Reading": 12.0}},
            "/pdu/F1/Outlets": {"Members": [at("/pdu/F1/Outlets/1")]},
            "/pdu/F1/Outlets/1": {"Id": "1", "PowerState": "On"},
        });
        resources["/pe"][collection] = at("/pdus");
        let service = service(resources.clone()).await;
        let keys = config(&service.address().to_string(), "password = \"secret\"");
        let outcome = round(&keys, &Outlets::all("hall.{label}")).await;
        assert_eq!(outcome, "hall.total: 9100 W, 43200000 J", "{collection}");
        // What a chassis reports comes before what feeds the room.
        resources["/redfish/v1/"]["Chassis"] = at("/c");
        resources["/c"] = json!({"Members": [at("/c/1")]});
        resources["/c/1"] = json!({"Id": "1", "Power": at("/c/1/Power")});
        resources["/c/1/Power"] = json!({"PowerControl": [{"PowerConsumedWatts": 320}]});
        let service = self::service(resources).await;
        let keys = config(&service.address().to_string(), "password = \"secret\"");
        assert_eq!(round(&keys, &one()).await, "web1: 320 W", "{collection}");
    }
}

#[tokio::test]
async fn an_expired_session_is_a_lost_link_and_not_a_wrong_password() {
    let service = HttpDevice::start(|request: &HttpRequest| match request.method.as_str() {
        "POST" => HttpAnswer::Whole(201, Vec::new(), Vec::new()).with_header("x-auth-token", "t"),
        _ if request.target == "/redfish/v1/" => {
            HttpAnswer::ok(json!({"Links": {"Sessions": at(SESSIONS)}}).to_string())
        }
        _ => HttpAnswer::status(401),
    })
    .await
    .expect("a port");
    let outcome = round(&config(&service.address().to_string(), "password = \"secret\""), &one()).await;
    assert!(outcome.starts_with("link lost: ") && outcome.ends_with("session expired"), "{outcome}");
}

#[test]
fn what_cannot_work_is_reported_before_anything_is_queried() {
    let check = |keys: &str, expected: &str| {
        let config: RedfishConfig = toml::from_str(keys).expect("a configuration");
        let message = Redfish::check(&config).expect_err("a fault").to_string();
        assert!(message.contains(expected) && !message.contains("hunter2"), "{message}");
    };
    check("host = 'ftp://bmc1'", "`host`: invalid URL");
    check("host = 'https://admin:hunter2@bmc1'", "set username and password instead");
    check("host = 'bmc1'\nusername = 'admin'", "`username`: set without password");
    check("host = 'bmc1'\nauth = 'session'", "`auth`: requires username and password");
    check("host = 'bmc1'\ntls = 'ca:/no/such/ca.pem'", "`tls`: certificate authority /no/such/ca.pem");
    let pin = "00".repeat(32);
    check(&format!("host = 'http://bmc1'\ntls = 'sha256:{pin}'"), "`tls`: not used with http");
    Redfish::check(&config("bmc1", "password = 'hunter2'")).expect("no fault");

    let chosen = config("bmc1", "password = 'secret'\nchassis = 'sled'");
    let two = Outlets::by_position(["a", "b"].map(|name| ProbeId::new(name).ok()));
    let message = Redfish::check_outlets(&chosen, &two).expect_err("a fault").to_string();
    assert_eq!(message, "`chassis`: selects one resource, but 2 probes are configured; configure one");
    Redfish::check_outlets(&chosen, &one()).expect("no fault");
}
