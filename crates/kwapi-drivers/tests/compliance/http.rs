//! Every driver that reads over HTTP, against a device that requires a login.

use std::marker::PhantomData;
use std::sync::Arc;

use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};
use parking_lot::Mutex;

use crate::suite::{Device, Fault, complies};

const PASSWORD: &str = "s3cr3tOfTheMeter";
const LOGIN: &str = "username = 'admin'\npassword = 's3cr3tOfTheMeter'";
/// `admin:s3cr3tOfTheMeter` (RFC 7617, 2).
const BASIC: &str = "Basic YWRtaW46czNjcjN0T2ZUaGVNZXRlcg==";

/// One kind of device.
trait Kind: Send + Sync + 'static {
    const DRIVER: &'static str;

    /// The meter's keys but for the login.
    fn keys(address: &str) -> String;

    /// What a healthy device answers, and one that has no power to report.
    fn answer(path: &str, has_power: bool) -> Option<&'static str>;

    /// What it answers to anybody else.
    fn refusal() -> HttpAnswer {
        HttpAnswer::status(401)
    }
}

struct Site<K> {
    device: Option<HttpDevice>,
    address: String,
    fault: Arc<Mutex<Option<Fault>>>,
    kind: PhantomData<K>,
}

async fn start<K: Kind>() -> Site<K> {
    let fault = Arc::new(Mutex::new(None));
    let present = Arc::clone(&fault);
    let device =
        HttpDevice::start(move |request| respond::<K>(*present.lock(), request)).await.expect("a port");
    let address = device.address().to_string();
    Site { device: Some(device), address, fault, kind: PhantomData }
}

fn respond<K: Kind>(fault: Option<Fault>, request: &HttpRequest) -> HttpAnswer {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let is_admitted = request.header("authorization") == Some(BASIC)
        || query.ends_with("&user=admin&password=s3cr3tOfTheMeter");
    match fault {
        Some(Fault::Hang) => return HttpAnswer::Silence,
        Some(Fault::Garbage) => return HttpAnswer::ok("\u{0}{]<html>"),
        Some(Fault::WrongSecret) => return K::refusal(),
        _ if !is_admitted => return K::refusal(),
        _ => {}
    }
    match (K::answer(path, fault != Some(Fault::NoPower)), fault) {
        (Some(body), Some(Fault::HalfAnswer)) => HttpAnswer::Half(body.into()),
        (Some(body), _) => HttpAnswer::ok(body),
        (None, _) => HttpAnswer::status(404),
    }
}

impl<K: Kind> Device for Site<K> {
    const DRIVER: &'static str = K::DRIVER;

    fn keys(&self) -> String {
        // Keys of tables come last in TOML.
        format!("{LOGIN}\n{}", K::keys(&self.address))
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned(), BASIC.replace("Basic ", "")]
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        *self.fault.lock() = Some(fault);
        if fault == Fault::Disconnect {
            self.device = None;
        }
        true
    }
}

struct Redfish;

impl Kind for Redfish {
    const DRIVER: &'static str = "redfish";

    fn keys(address: &str) -> String {
        format!("host = 'http://{address}'")
    }

    fn answer(path: &str, has_power: bool) -> Option<&'static str> {
        Some(match path {
            "/redfish/v1/" => r#"{"Chassis": {"@odata.id": "/redfish/v1/Chassis"}}"#,
            "/redfish/v1/Chassis" => r#"{"Members": [{"@odata.id": "/redfish/v1/Chassis/1"}]}"#,
            "/redfish/v1/Chassis/1" => {
                r#"{"Id": "1", "EnvironmentMetrics": {"@odata.id": "/redfish/v1/Chassis/1/EnvironmentMetrics"}}"#
            }
            "/redfish/v1/Chassis/1/EnvironmentMetrics" if has_power => {
                r#"{"PowerWatts": {"Reading": 236.5}}"#
            }
            "/redfish/v1/Chassis/1/EnvironmentMetrics" => r#"{"PowerWatts": {"Reading": null}}"#,
            _ => return None,
        })
    }
}

struct Shelly;

impl Kind for Shelly {
    const DRIVER: &'static str = "shelly";

    fn keys(address: &str) -> String {
        format!("host = '{address}'")
    }

    fn answer(path: &str, has_power: bool) -> Option<&'static str> {
        Some(match path {
            "/shelly" => {
                r#"{"id": "shellyplus1pm-a8032ab1fe78", "gen": 2, "app": "Plus1PM", "auth_en": true}"#
            }
            "/rpc/Shelly.GetStatus" if has_power => {
                r#"{"switch:0": {"apower": 8.5, "aenergy": {"total": 2.0}}}"#
            }
            "/rpc/Shelly.GetStatus" => r#"{"switch:0": {"apower": null, "aenergy": {"total": 2.0}}}"#,
            _ => return None,
        })
    }
}

struct Tasmota;

impl Kind for Tasmota {
    const DRIVER: &'static str = "tasmota";

    fn keys(address: &str) -> String {
        format!("host = '{address}'")
    }

    fn answer(path: &str, has_power: bool) -> Option<&'static str> {
        Some(match path {
            "/cm" if has_power => {
                r#"{"StatusSNS": {"ENERGY": {"Total": 52.438, "Power": 12, "Voltage": 231}}}"#
            }
            "/cm" => r#"{"StatusSNS": {"ENERGY": {"Total": 52.438, "Power": null, "Voltage": 231}}}"#,
            _ => return None,
        })
    }

    fn refusal() -> HttpAnswer {
        HttpAnswer::ok(r#"{"WARNING": "Need user=<username>&password=<password>"}"#)
    }
}

struct HttpJson;

impl Kind for HttpJson {
    const DRIVER: &'static str = "http_json";

    fn keys(address: &str) -> String {
        format!("url = 'http://{address}/status'\nvalues = {{ power = '/w' }}")
    }

    fn answer(path: &str, has_power: bool) -> Option<&'static str> {
        Some(match path {
            "/status" if has_power => r#"{"w": 12.5}"#,
            "/status" => r#"{"w": null}"#,
            _ => return None,
        })
    }
}

struct Prometheus;

impl Kind for Prometheus {
    const DRIVER: &'static str = "prometheus";

    fn keys(address: &str) -> String {
        format!("url = 'http://{address}/metrics'\npower = 'node_power_watts'")
    }

    fn answer(path: &str, has_power: bool) -> Option<&'static str> {
        Some(match path {
            "/metrics" if has_power => "# TYPE node_power_watts gauge\nnode_power_watts{chip=\"a\"} 61.5\n",
            "/metrics" => "# TYPE node_power_watts gauge\nnode_power_watts{chip=\"a\"} NaN\n",
            _ => return None,
        })
    }
}

#[tokio::test]
async fn redfish_complies() {
    complies(start::<Redfish>).await;
}

#[tokio::test]
async fn shelly_complies() {
    complies(start::<Shelly>).await;
}

#[tokio::test]
async fn tasmota_complies() {
    complies(start::<Tasmota>).await;
}

#[tokio::test]
async fn http_json_complies() {
    complies(start::<HttpJson>).await;
}

#[tokio::test]
async fn prometheus_complies() {
    complies(start::<Prometheus>).await;
}
