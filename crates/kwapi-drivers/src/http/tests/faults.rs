//! What devices do to an answer: they cut it, pack it, repeat it, lead it elsewhere and never end it.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use kwapi_core::ProbeId;

use super::*;
use crate::deadline::{Silent, since_last_answer};
use crate::driver::{Driver, Readings};
use crate::outlets::Outlets;

fn device(simulator: &HttpDevice, login: Login) -> DeviceClient {
    let address = simulator.address().to_string();
    DeviceClient::new(&Clients::default(), &address, "http", &DeviceTls::System, login).expect("a device")
}

async fn start(respond: impl Fn(&HttpRequest) -> HttpAnswer + Send + Sync + 'static) -> HttpDevice {
    HttpDevice::start(respond).await.expect("a port")
}

#[tokio::test]
async fn a_refusal_counts_whatever_becomes_of_its_body() {
    let head = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\ntransfer-encoding: chunked\r\n\r\n20\r\n";
    for ended in [true, false] {
        let simulator = start(move |_| {
            let bytes = format!("{head}<html>").into_bytes();
            if ended { HttpAnswer::Raw(bytes) } else { HttpAnswer::Endless(bytes) }
        })
        .await;
        let error = device(&simulator, login()).get("/status", None).await.expect_err("a wrong password");
        let error = error.to_string();
        assert!(error.starts_with("refused: ") && error.contains("check username and password"), "{error}");
        let requests = simulator.requests();
        let sent = requests.iter().filter(|request| request.header("authorization").is_some()).count();
        assert_eq!(sent, 1, "the password is sent once");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_replaced_once() {
    let count = AtomicUsize::new(0);
    let simulator = start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 | 2 => HttpAnswer::ok("42"),
        _ => HttpAnswer::Raw(Vec::new()),
    })
    .await;
    let device = device(&simulator, Login::default());
    for _ in 0..2 {
        assert_eq!(device.get("/", None).await.expect("an answer").text(), "42");
    }
    assert_eq!(simulator.requests().len(), 3);
    // Now each connection ends so: one repetition, and no more.
    assert!(matches!(device.get("/", None).await, Err(DriverError::Link(_))));
    assert_eq!(simulator.requests().len(), 5);
}

#[tokio::test]
async fn a_device_that_has_never_answered_and_a_post_are_queried_once() {
    let simulator = start(|request| match request.method.as_str() {
        "POST" => HttpAnswer::Raw(Vec::new()),
        _ if request.target == "/no" => HttpAnswer::Raw(Vec::new()),
        _ => HttpAnswer::ok("42"),
    })
    .await;
    let device = device(&simulator, Login::default());
    assert!(device.get("/no", None).await.is_err());
    assert_eq!(simulator.requests().len(), 1);
    device.get("/", None).await.expect("an answer");
    assert!(device.post("/x", &serde_json::json!({})).await.is_err());
    assert_eq!(simulator.requests().len(), 3);
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("room");
    encoder.finish().expect("room")
}

#[tokio::test]
async fn what_comes_packed_unasked_is_unpacked_within_the_bound() {
    let text = |body: Vec<u8>| {
        get(move |_| HttpAnswer::ok(body.clone()).with_header("content-encoding", "gzip"), Login::default())
    };
    assert_eq!(text(packed(b"42")).await, "42");
    let bomb = packed(&vec![b' '; BODY_BYTES_MAX + 1]);
    assert!(bomb.len() < BODY_BYTES_MAX / 100);
    let error = text(bomb).await;
    assert!(error.contains("more than 4194304 bytes"), "{error}");
    let error = text(packed(b"42").split_at(12).0.to_vec()).await;
    assert!(error.starts_with("malformed gzip: "), "{error}");
}

#[tokio::test]
async fn only_a_slash_at_the_end_of_the_same_device_is_followed_and_once() {
    let to = |place: &'static str| {
        move |request: &HttpRequest| match request.target.as_str() {
            "/status/?token=hunter2" => HttpAnswer::ok("42"),
            _ => HttpAnswer::status(308).with_header("location", place),
        }
    };
    assert_eq!(get(to("/status/"), login()).await, "42");
    for elsewhere in
        ["http://127.0.0.2/status/", "//127.0.0.2/status/", "/other/", "/status", "https://x/status/"]
    {
        let text = get(to(elsewhere), login()).await;
        assert!(text.contains("308") && text.contains("configure that address"), "{elsewhere}: {text}");
    }
    let around = |request: &HttpRequest| {
        let other = if request.target.starts_with("/status/") { "/status" } else { "/status/" };
        HttpAnswer::status(301).with_header("location", other)
    };
    let simulator = start(around).await;
    assert!(device(&simulator, login()).get("/status", None).await.expect("an answer").found().is_err());
    assert_eq!(simulator.requests().len(), 2);
}

#[tokio::test]
async fn a_secret_that_a_device_repeats_is_not_shown() {
    let words = "the password hunter2 is wrong\u{1b}[2J";
    let body = serde_json::json!({"error": {"@Message.ExtendedInfo": [{"Message": words}]}}).to_string();
    let text = get(move |_| HttpAnswer::Whole(400, Vec::new(), body.clone().into_bytes()), login()).await;
    assert!(text.contains("contains a secret"), "{text}");
    let words =
        serde_json::json!({"error": {"@Message.ExtendedInfo": [{"Message": "Not \u{1b}[2Jlicensed"}]}});
    let text =
        get(move |_| HttpAnswer::Whole(400, Vec::new(), words.to_string().into_bytes()), login()).await;
    assert!(text.ends_with("400 Bad Request (\"Not [2Jlicensed\")"), "{text:?}");
}

#[tokio::test]
async fn an_answer_of_a_thousand_brackets_is_malformed() {
    let simulator = start(|_| HttpAnswer::ok("[".repeat(100_000))).await;
    let answer = device(&simulator, login()).get("/", None).await.expect("an answer");
    assert!(matches!(answer.json(), Err(DriverError::Malformed { .. })));
}

/// A good answer's head, and a body that comes byte by byte and never ends.
const TRICKLING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{";

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_is_given_up_with_its_request() {
    let simulator = start(|_| HttpAnswer::Trickle(TRICKLING.to_vec())).await;
    let device = device(&simulator, Login::default());
    let within = tokio::time::timeout(REQUEST_TIMEOUT + Duration::from_secs(5), device.get("/", None)).await;
    let error = within.expect("the request has a bound").expect_err("no end").to_string();
    assert!(error.starts_with("link lost: ") && error.contains("timed out"), "{error}");
}

/// What comes of a driver whose device trickles, within a deadline of 10 s.
async fn within_deadline<D: Driver>(key: &str) -> Result<Result<(), DriverError>, Silent> {
    let simulator = start(|_| HttpAnswer::Trickle(TRICKLING.to_vec())).await;
    let config =
        toml::from_str(&key.replace("HOST", &simulator.address().to_string())).expect("a configuration");
    let outlets = Outlets::by_position([ProbeId::new("A").ok()]);
    let round = async {
        let mut driver = D::open(&config, &outlets, &Arc::default()).await?;
        driver.read(&mut Readings::default()).await
    };
    since_last_answer(Duration::from_secs(10), round).await
}

#[tokio::test(start_paused = true)]
async fn every_driver_over_http_gives_a_trickling_device_up_at_its_deadline() {
    let silent = Silent { deadline: Duration::from_secs(10), answers: 0 };
    let plain = "host = \"http://HOST\"";
    for result in [
        within_deadline::<crate::redfish::Redfish>(plain).await,
        within_deadline::<crate::shelly::Shelly>(plain).await,
        within_deadline::<crate::tasmota::Tasmota>(plain).await,
        within_deadline::<crate::prometheus::Prometheus>("url = \"http://HOST/metrics\"\npower = \"w\"")
            .await,
        within_deadline::<crate::http_json::HttpJson>("url = \"http://HOST/\"\nvalues = { power = \"/w\" }")
            .await,
    ] {
        assert_eq!(result.expect_err("no answer"), silent);
    }
}
