//! `/readyz` of each service, as a load balancer requests it, and what its HTTP servers count.

use kwapi_peers::{free_port, wait_until};
use serde_json::{Value, json};

use crate::commands::OWN;
use crate::harness::{Kwapi, PATIENCE, get, request};

const KEY: &str = "[bus]\nkey = { id = 'k', secret = '0123456789abcdef' }\n";
const METER: &str = "[[meter]]\ndriver = 'dummy'\nprobe = 'a'\ninterval_seconds = 0.1\n";

/// What `/readyz` returns, once there is a response.
fn ready(kwapi: &Kwapi) -> (u16, Value) {
    let (status, body) = wait_until("an answer", PATIENCE, || get(kwapi.status, "/readyz"));
    (status, serde_json::from_str(&body).unwrap())
}

fn becomes_ready(kwapi: &Kwapi) {
    wait_until(&format!("readiness\n{}", kwapi.process.log()), PATIENCE, || {
        (ready(kwapi).0 == 200).then_some(())
    });
}

#[test]
fn a_plugin_is_ready_once_it_has_received_something_and_stays_so() {
    let bus = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/bus", bus.path().display());
    let status = "[status]\nlisten = '127.0.0.1:@STATUS@'\n";
    let subscribing = |table: &str, port: &str| {
        format!(
            "state_directory = '@DIR@/state'\n{KEY}[{table}]\nsubscribe = ['{endpoint}']\nlisten = '127.0.0.1:{port}'\n{status}"
        )
    };
    let api = Kwapi::start(&["api"], &subscribing("api", "@API@"));
    let rrd = Kwapi::start(&["rrd"], &subscribing("rrd", "@WEB@"));
    let nothing = "no data received yet";
    assert_eq!(ready(&api), (503, json!({ "status": "not ready", "waiting": { "bus": nothing } })));
    assert_eq!(ready(&rrd), (503, json!({ "status": "not ready", "waiting": { "bus": nothing } })));

    let drivers =
        Kwapi::start(&["drivers"], &format!("{KEY}[drivers]\npublish = ['{endpoint}']\n{status}{METER}"));
    becomes_ready(&drivers);
    becomes_ready(&api);
    becomes_ready(&rrd);
    drop(drivers);
    assert_eq!(ready(&api), (200, json!({ "status": "ready" })), "another API would receive nothing either");
}

#[test]
fn messages_that_nobody_trusts_do_not_make_ready() {
    let bus = tempfile::tempdir().unwrap();
    let endpoint = format!("ipc://{}/bus", bus.path().display());
    let status = "[status]\nlisten = '127.0.0.1:@STATUS@'\n";
    let _drivers =
        Kwapi::start(&["drivers"], &format!("{KEY}[drivers]\npublish = ['{endpoint}']\n{status}{METER}"));
    let other = KEY.replace("0123456789abcdef", "fedcba9876543210");
    let api = Kwapi::start(
        &["api"],
        &format!(
            "state_directory = '@DIR@/state'\n{other}[api]\nsubscribe = ['{endpoint}']\nlisten = '127.0.0.1:@API@'\n{status}"
        ),
    );
    let rrd = Kwapi::start(
        &["rrd"],
        &format!(
            "state_directory = '@DIR@/state'\n{other}[rrd]\nsubscribe = ['{endpoint}']\nlisten = '127.0.0.1:@WEB@'\n{status}"
        ),
    );
    let output = wait_until("a refusal", PATIENCE, || {
        let why = ready(&api).1["waiting"]["bus"].as_str().unwrap_or_default().to_owned();
        why.contains("all failed verification").then_some(why)
    });
    assert!(output.ends_with("see kwapi_bus_refused_total"), "{output}");
    let trouble = wait_until("a warning", PATIENCE, || {
        let (_, troubles) = get(api.status, "/troubles")?;
        troubles.contains("all messages failed verification for").then_some(troubles)
    });
    assert!(
        trouble.contains(&endpoint) && trouble.contains("signature_wrong); check the keys in [bus]"),
        "{trouble}"
    );
    // An empty page names the same reason.
    let page = wait_until("the reason on a page", PATIENCE, || {
        let (_, page) = get(rrd.web, "/last/minute/")?;
        page.contains("all messages failed verification for").then_some(page)
    });
    assert!(page.contains(&endpoint) && page.contains("signature_wrong); check the keys in [bus]"), "{page}");
    let mut status = crate::harness::kwapi();
    status.args(["status", "--address", &format!("127.0.0.1:{}", rrd.status)]);
    let status = kwapi_peers::output(&mut status);
    assert!(status.starts_with("no meters in this process; not ready: bus: "), "{status}");
    assert!(status.contains("all failed verification"), "{status}");
}

#[test]
fn a_publisher_without_a_valid_key_is_not_ready_and_reports_what_to_do() {
    let bus = tempfile::tempdir().unwrap();
    let key = "[bus]\nkey = { id = 'k', secret = '0123456789abcdef', valid_until = 2020-01-01T00:00:00Z }\n";
    let drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "state_directory = '@DIR@/state'\n{key}[drivers]\npublish = ['ipc://{}/bus']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n{METER}",
            bus.path().display()
        ),
    );
    let why = wait_until("that it is not ready", PATIENCE, || {
        let why = ready(&drivers).1["waiting"]["drivers"].as_str().unwrap_or_default().to_owned();
        why.contains("all measurements lost for").then_some(why)
    });
    assert!(why.ends_with("no signing key is valid now; add one to `key` in [bus]"), "{why}");
    let address = format!("127.0.0.1:{}", drivers.status);
    let output = crate::harness::kwapi().args(["status", "--address", &address]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("trouble: all measurements lost for"), "{shown}");
}

#[test]
fn an_api_that_keystone_does_not_let_in_is_not_ready_and_reports_it() {
    let keystone = free_port();
    let kwapi = Kwapi::start(
        &["run"],
        &format!(
            "{OWN}[api.auth.keystone]\nurl = 'http://127.0.0.1:{keystone}/v3'\nusername = 'kwapi'\n\
             password_file = '/dev/null'\n{METER}"
        ),
    );
    let why = wait_until("Keystone's absence", PATIENCE, || {
        let (status, output) = ready(&kwapi);
        let why = output["waiting"]["keystone"].as_str().unwrap_or_default().to_owned();
        (status == 503 && why.contains("refused")).then_some(why)
    });
    assert!(why.starts_with(&format!("http://127.0.0.1:{keystone}/v3: ")), "{why}");
}

#[test]
fn requests_are_counted_by_route_and_never_by_name() {
    let own = OWN.replace("[api]\n", "[api]\naccess_log = true\n");
    let kwapi = Kwapi::start(&["run"], &format!("{own}{METER}"));
    kwapi.probe("a");
    becomes_ready(&kwapi);
    for path in ["/v1/probes/a/", "/v1/probes/secret-name/", "/v1/probes/a%2Fb/w/"] {
        get(kwapi.api, path);
    }
    get(kwapi.web, "/probe/a/");
    let (status, _, body) = request(kwapi.api, "nonsense secret-name\r\n\r\n").unwrap();
    assert!(status == 400 && body.starts_with(b"{\"error\":{\"code\":400,"), "{body:?}");
    let (_, metrics) = get(kwapi.status, "/metrics").unwrap();
    for line in [
        "kwapi_http_requests_total{server=\"api\",route=\"/v1/probes/{probe}/\",method=\"GET\",code=\"200\"} 1",
        "kwapi_http_requests_total{server=\"api\",route=\"/v1/probes/{probe}/\",method=\"GET\",code=\"404\"} 1",
        "kwapi_http_requests_total{server=\"api\",route=\"/v1/probes/{probe}/{meter}/\",method=\"GET\",code=\"404\"} 1",
        "kwapi_http_request_duration_seconds_count{server=\"web\",route=\"/probe/{probe}/\"} 1",
        "kwapi_http_requests_total{server=\"api\",route=\"unreadable\",method=\"OTHER\",code=\"400\"} 1",
        "kwapi_http_connections{server=\"web\"}",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(!metrics.contains("secret-name"), "{metrics}");
    let log = wait_until("the log of what could not be read", PATIENCE, || {
        kwapi.process.log().lines().find(|line| line.contains("unreadable request")).map(str::to_owned)
    });
    assert!(
        log.contains("status=400") && log.contains("peer=127.0.0.1") && !log.contains("secret-name"),
        "{log}"
    );
}
