//! The routes of the seed, row by row as the original answered them, then what is ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::to_bytes;
use kwapi_bus::{Batch, Received};
use kwapi_core::{
    Accounting, Energy, Measurement, MonotonicClock, ProbeId, Quality, Timestamp, Totals, WallClock, Watts,
};
use kwapi_history::journal::{Journal, JournalConfig};
use kwapi_history::{Ledger, LedgerConfig};
use kwapi_peers::Lab;
use tower::ServiceExt as _;

use super::*;
use crate::directory::ConfiguredProbes;
use crate::intake::{Append, Intake};
use crate::live::{Live, LiveConfig};

/// What is live, with a clock that a test moves, and the API on it.
pub(crate) struct Stand {
    pub(crate) live: Live,
    intake: parking_lot::Mutex<Intake>,
    pub(crate) api: Api,
    pub(crate) directory: Directory,
    millis: Arc<AtomicU64>,
    ledger: Arc<Ledger>,
    lab: Lab,
}

/// Bills of a price, closed in a folder of `lab`.
fn bills(lab: &Lab) -> Bills {
    let value = kwapi_core::RateValue::Constant(kwapi_core::Decimal::ONE);
    let hours = kwapi_core::WeekHours::default();
    let entry = kwapi_core::RateEntry { valid: 0..u64::MAX, hours, value };
    let rate = |name: &str, unit| kwapi_core::Rate::new(name, unit, vec![entry.clone()]).unwrap();
    let rates = vec![rate("energy", kwapi_core::RateUnit::Kwh), rate("base", kwapi_core::RateUnit::Month)];
    let config = crate::bills::BillConfig {
        zone: jiff::tz::TimeZone::UTC,
        currency: "EUR".to_owned(),
        decimals: 4,
        rates,
        shares: crate::bills::SharesOf::new(),
        calibrated: Vec::new(),
    };
    Bills::new(config, &lab.join("state"))
}

impl Stand {
    /// Probes A, B and C.1: 94 W, 80 W and 12.5 W, the second message of each in.
    pub(crate) fn new() -> Self {
        let millis = Arc::new(AtomicU64::new(1_000_000));
        let clock = {
            let millis = Arc::clone(&millis);
            MonotonicClock::new(move || Duration::from_millis(millis.load(Ordering::Relaxed)))
        };
        let wall = WallClock::new(|| Timestamp::from_seconds(1_795_393_618));
        let live = Live::open(LiveConfig::default(), Vec::new(), wall, clock);
        let lab = Lab::empty();
        let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), live.wall().now()).unwrap();
        let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
        let append: Append = Box::new(move |records, now| journal.append(records, now));
        let intake = parking_lot::Mutex::new(Intake::new(live.clone(), Some(append)));
        let rack = |id: &ProbeId| [("rack".to_owned(), format!("of {id}"))].into();
        let directory = Directory::new(ConfiguredProbes::new(rack, [])).with_live(live.clone());
        let query = kwapi_history::Query::new(ledger.clone(), None);
        let api = Api::new(directory.clone()).with_energy(query).with_bills(bills(&lab));
        let stand = Self { live, intake, api, directory, millis, ledger, lab };
        for (probe, watts) in [("C.1", 12.5), ("A", 94.0), ("B", 80.0)] {
            stand.receive(probe, 0, watts, 0);
            stand.receive(probe, 1, watts, 1_584);
        }
        stand
    }

    /// Where its closed bills are kept.
    pub(super) fn state(&self) -> std::path::PathBuf {
        self.lab.join("state")
    }

    pub(crate) fn receive(&self, probe: &str, seq: u64, watts: f64, joules: u64) {
        let session = Timestamp::from_micros(1_795_393_617_857_424);
        let accounting = Accounting {
            timestamp: session.after(Duration::from_secs(seq)),
            session,
            seq,
            totals: Totals {
                energy: Energy::from_millijoules(joules * 1000),
                measured_ms: seq * 750,
                estimated_ms: seq * 125,
                unknown_ms: seq * 125,
                ..Totals::default()
            },
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let measurement = Measurement {
            probe: ProbeId::new(probe).unwrap(),
            power: Watts(watts),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        };
        let (received_at, arrived) = (self.live.now(), session);
        let received = Received { measurement, key: None, description: None, arrived, received_at };
        self.intake.lock().take(Batch { measurements: vec![received] }, Box::new(|| ()));
        self.ledger.catch_up(session);
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.millis.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(super) async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(router(self.api.clone(), None, None), method, path, headers).await
    }

    pub(super) async fn get(&self, path: &str) -> String {
        self.request("GET", path, &[]).await.body
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) async fn request(router: Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// One row of the table of the original's answers: request, status with its Location or type.
#[track_caller]
fn check_row(answer: &Answer, row: &str, expected: &str) {
    let location = answer.header("location");
    let kind = answer.header("content-type");
    let detail = if location.is_empty() { kind } else { location };
    assert_eq!(format!("{} {detail}", answer.status).trim(), expected, "{row}");
}

#[tokio::test]
async fn every_row_of_the_originals_table_has_its_status_and_location() {
    // An error's type is ours: JSON in one shape. So is the version document's, which was a page of one line.
    let rows = "
        DELETE /v1/probes/A/              405 application/json
        GET /v1/probes/                   200 application/json
        HEAD /v1/probes/                  200 application/json
        GET /v1/                          200 application/json
        OPTIONS /v1/probes/               200
        POST /v1/probes/                  405 application/json
        PUT /v1/                          405 application/json
        GET /v1/probes/A/                 200 application/json
        GET /v1/probes/A/bogus/           404 application/json
        GET /v1/probes/A/kwh/             200 application/json
        GET /v1/probes/A                  301 /v1/probes/A/
        GET /v1/probes/A?x=1              301 /v1/probes/A/?x=1
        GET /v1/probes/A/timestamp/       200 application/json
        GET /v1/probes/A/v/               404 application/json
        GET /v1/probes/A/w/               200 application/json
        GET /v1/probes/A/w                301 /v1/probes/A/w/
        GET /v1/probes/C.1/               200 application/json
        GET /v1//probes/                  404 application/json
        GET /v1/probe-ids/                200 application/json
        GET /v1/probe-ids                 301 /v1/probe-ids/
        GET /v1/probes/%C3%A9/            404 application/json
        GET /v1/probes/nope/              404 application/json
        GET /v1/probes/nope/w/            404 application/json
        GET /v1/probes/a%2Fb/             404 application/json
        GET /v1/probes                    301 /v1/probes/
        GET /                             404 application/json
        GET /v1                           301 /v1/";
    let stand = Stand::new();
    for row in rows.trim().lines() {
        let mut words = row.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let expected: Vec<_> = words.collect();
        check_row(&stand.request(method, path, &[]).await, row, &expected.join(" "));
    }
    for (name, value) in [("if-none-match", "*"), ("accept-encoding", "gzip")] {
        check_row(&stand.request("GET", "/v1/", &[(name, value)]).await, name, "200 application/json");
    }
    let xhr = [("x-requested-with", "XMLHttpRequest")];
    check_row(&stand.request("GET", "/v1/probes/", &xhr).await, "xhr", "200 application/json");
}

#[tokio::test]
async fn v2_shows_since_when_how_much_is_known_and_whose_it_is() {
    let stand = Stand::new();
    let probe: serde_json::Value = serde_json::from_str(&stand.get("/v2/probes/A/").await).unwrap();
    let expected = serde_json::json!({
        "id": "A", "unit": "W", "watts": 94.0, "quality": "measured", "timestamp": 1_795_393_618.857_424,
        "is_stale": false, "joules": 1584.0, "estimated_joules": 0.0, "bridged_joules": 0.0, "kwh": 0.00044,
        "energy_timestamp": 1_795_393_618.857_424, "since": 1_795_393_617.857_424,
        "time": {
            "measured_seconds": 0.75, "measured_share": 0.75, "estimated_seconds": 0.125,
            "estimated_share": 0.125, "bridged_seconds": 0.0, "bridged_share": 0.0, "unknown_seconds": 0.125, "unknown_share": 0.125
        },
        "messages_lost": 0, "messages_late": 0, "messages_duplicate": 0, "conflicting_publisher": false, "labels": { "rack": "of A" }, "last_error": null
    });
    assert_eq!(probe, expected);
    stand.pass(61);
    let page: serde_json::Value =
        serde_json::from_str(&stand.get("/v2/probes/?limit=1&after=A").await).unwrap();
    assert_eq!(
        (page["probes"][0]["id"].as_str(), page["probes"][0]["is_stale"].as_bool()),
        (Some("B"), Some(true))
    );
    assert_eq!(page["next"], "/v2/probes/?limit=1&after=B");
    assert_eq!(stand.request("GET", "/v2/probes/nope/", &[]).await.status, 404);
}

#[tokio::test]
async fn energy_between_two_instants_is_reported_with_its_statuses_and_position() {
    let stand = Stand::new();
    let answer = stand.request("GET", "/v2/energy?probe=A&start=1795393617.857&end=1795393618", &[]).await;
    let row = serde_json::json!({
        "start": "2026-11-23T00:26:57.857Z", "end": "2026-11-23T00:26:58Z", "joules": 226.512, "kwh": 226.512 / 3.6e6,
        "measured_joules": 226.512, "estimated_joules": 0.0, "bridged_joules": null, "rrd_joules": null,
        "measured_seconds": 0.107, "estimated_seconds": 0.017, "bridged_seconds": 0.0, "rrd_seconds": 0.0,
        "unknown_seconds": 0.019, "absent_seconds": 0.0, "mean_watts": 226_512.0 / 124.0, "peak_watts": 94.0,
        "source": "ledger", "is_interpolated": true, "is_incomplete": false, "corrections": 0
    });
    let expected = serde_json::json!({
        "start": "2026-11-23T00:26:57.857Z", "end": "2026-11-23T00:26:58Z", "step": null, "by": "probe",
        "energy": [{ "probe": "A", "since": "2026-11-23T00:26:57.857Z", "until": "2026-11-23T00:26:58.857Z", "rows": [row] }],
        "position": answer.header("kwapi-position"), "unreadable": [], "without_samples": []
    });
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, body), (200, expected));
    assert!(answer.header("kwapi-position").contains('-'));
    // Until now it is the total, also of a meter whose clock is ahead.
    for question in
        ["/v2/energy?probe=A", "/v2/energy?probe=A&end=now", "/v2/energy?probe=A&end=now&by=total"]
    {
        let answer = stand.request("GET", question, &[]).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let of_v1 = stand.request("GET", "/v1/probes/A/", &[]).await;
        let total: serde_json::Value = serde_json::from_str(&of_v1.body).unwrap();
        assert_eq!(body["energy"][0]["rows"][0]["kwh"], total["A"]["kwh"], "{question}");
        assert_eq!(answer.header("kwapi-position"), of_v1.header("kwapi-position"), "{question}");
    }
}

#[tokio::test]
async fn energy_comes_as_csv_and_by_label_and_in_steps() {
    let stand = Stand::new();
    let query = "/v2/energy?pattern=[A,B]&start=1795393617.857&end=1795393618&step=1&format=csv";
    let answer = stand.request("GET", query, &[]).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<Vec<&str>> = answer.body.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((lines[0][0], lines[0][3], lines.len()), ("probe", "joules", 3));
    assert_eq!(lines[1][..4], ["A", "2026-11-23T00:26:57.857Z", "2026-11-23T00:26:58Z", "226.512"]);
    assert_eq!(lines[2][0], "B");
    let preferred = stand.request("GET", "/v2/energy", &[("accept", "text/csv")]).await;
    assert!(preferred.body.starts_with("probe,start,end,"), "{}", preferred.body);
    let by_rack = stand.get("/v2/energy?by=rack").await;
    let body: serde_json::Value = serde_json::from_str(&by_rack).unwrap();
    let racks: Vec<_> = body["energy"].as_array().unwrap().iter().map(|sum| sum["label"].clone()).collect();
    assert_eq!(racks, ["of A", "of B", "of C.1"]);
    let total: serde_json::Value = serde_json::from_str(&stand.get("/v2/energy?by=total").await).unwrap();
    assert_eq!(
        (&total["energy"][0]["total"], &total["energy"][0]["probes"]),
        (&serde_json::json!(null), &serde_json::json!(3))
    );
}

#[tokio::test]
async fn a_question_about_energy_that_has_no_answer_is_reported_with_the_reason() {
    let stand = Stand::new();
    for (query, status, message) in [
        ("probe=nope", 404, "There is no probe \\\"nope\\\"."),
        ("group=lyon", 404, "There is no group \\\"lyon\\\"."),
        ("start=2026-12-22T22:00:00Z", 400, "is in the future"),
        ("start=1&end=1", 400, "The end must be after the start"),
        ("start=1&step=1", 400, "values requested; the limit is 67108864"),
        ("zone=Nowhere", 400, "there is no time zone"),
        ("stepp=1", 400, "Unknown parameter"),
    ] {
        for path in ["/v2/energy", "/v2/series"] {
            let answer = stand.request("GET", &format!("{path}?{query}"), &[]).await;
            let message =
                if path == "/v2/series" { message.replace("67108864", "1048576") } else { message.into() };
            assert_eq!(answer.status, status, "{path}?{query}: {}", answer.body);
            assert!(answer.body.contains(&message), "{path}?{query}: {}", answer.body);
        }
    }
    let without = Api::new(stand.directory.clone());
    for path in ["/v2/energy", "/v2/series"] {
        let answer = request(router(without.clone(), None, None), "GET", path, &[]).await;
        assert_eq!(answer.status, 501);
        assert!(answer.body.contains("keeps no ledger"), "{}", answer.body);
    }
    // Before anything was measured there is nothing, and the answer states that.
    let before: serde_json::Value =
        serde_json::from_str(&stand.get("/v2/energy?probe=A&start=1000&end=2000").await).unwrap();
    let row = &before["energy"][0]["rows"][0];
    assert_eq!(
        (&row["joules"], &row["absent_seconds"]),
        (&serde_json::json!(null), &serde_json::json!(1000.0))
    );
}

#[tokio::test]
async fn pages_of_configured_origins_may_read_and_others_not() {
    let stand = Stand::new();
    let router =
        || router(stand.api.clone(), None, Some(Cors::new(vec!["https://grafana.example.org".to_owned()])));
    let origin = ("origin", "https://grafana.example.org");
    let preflight = [origin, ("access-control-request-method", "GET")];
    let answer = request(router(), "OPTIONS", "/v1/probes/", &preflight).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, origin.1));
    let answer = request(router(), "GET", "/v1/probes/", &[origin]).await;
    assert_eq!(answer.header("access-control-allow-origin"), origin.1);
    let answer = request(router(), "GET", "/v1/probes/", &[("origin", "https://evil.example.org")]).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

/// What the OpenAPI document promises, a line each: addresses with their statuses, schemas with what they always have.
fn promises() -> String {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    let names = |value: &serde_json::Value| -> String {
        let names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        names.join(" ")
    };
    let mut lines = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        lines.push(format!("{path}: {}", names(&methods["get"]["responses"])));
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if schema["required"].is_array() {
            lines.push(format!("{name}: {}", schema["required"]));
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_document_promises_what_it_did() {
    assert_eq!(promises(), include_str!("promises.txt"), "add a version, never change one");
}

#[tokio::test]
async fn every_address_of_the_document_is_served_and_the_document_too() {
    let stand = Stand::new();
    assert_eq!(stand.get("/v1/openapi.json").await, OPENAPI);
    let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        let mut path = path
            .replace("{probe}", "A")
            .replace("{meter}", "w")
            .replace("{group}", "C")
            .replace("{month}", "2026-11");
        let mut api = stand.api.clone();
        if path == SAMPLES {
            path.push_str("?probe=A&start=0");
            api = samples::tests::Site::new().api;
        }
        assert_eq!(request(router(api, None, None), "GET", &path, &[]).await.status, 200, "{path}");
    }
}
