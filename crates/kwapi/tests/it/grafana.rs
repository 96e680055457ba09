//! The Grafana dashboard: its queries, run on a real Prometheus that scrapes a running kwapi, and its form, by
//! Grafana's own models.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use kwapi_peers::{Peer, free_port, need, need_python, output, python_environment, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get};

fn dashboard() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/grafana/kwapi.json");
    std::fs::read_to_string(path).unwrap()
}

/// The queries to Prometheus: all panels' queries, and the variable's.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(move |target| (title.to_owned(), target["expr"].as_str().unwrap()))
    });
    // As Grafana fills them in.
    let fill_in = |query: &str| {
        query
            .replace("$probe", ".*")
            .replace("$__range", "1h")
            .replace("$__rate_interval", "1m")
            .replace("$price", "0.25")
            .replace("$top", "12")
    };
    targets.map(|(title, query)| (title, fill_in(query))).collect()
}

fn query_prometheus(prometheus: u16, query: &str) -> Option<Vec<Value>> {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let (_, body) = get(prometheus, &format!("/api/v1/query?query={query}"))?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().cloned()
}

#[test]
fn each_query_of_the_dashboard_is_answered_by_prometheus() {
    if !need(&["prometheus"]) {
        return;
    }
    let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
    // One meter that is up, and one that is not: nobody listens there.
    let closed = free_port();
    let toml = format!(
        "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
         [status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [[meter]]\ndriver = 'dummy'\nwatts = 1000\nprobes = ['rack.a', 'rack.b']\n\
         [[meter]]\nname = 'ups'\ndriver = 'nut'\nhost = '127.0.0.1:{closed}'\nups = 'ups'\nprobe = 'ups'\n"
    );
    let kwapi = Kwapi::start(&["run"], &toml);
    kwapi.probe("rack.b");
    let port = free_port();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: kwapi\n  static_configs: [{{ targets: ['127.0.0.1:{}'] }}]\n",
        kwapi.status
    );
    std::fs::write(kwapi.lab.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new("prometheus");
    command.current_dir(kwapi.lab.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=tsdb"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _prometheus = Peer::start(&mut command, kwapi.lab.join("prometheus.log"))
        .ready(PATIENCE, || get(port, "/-/ready").is_some_and(|(status, _)| status == 200));

    let queries = queries(&dashboard);
    assert!(queries.len() > 12, "{queries:?}");
    for (title, query) in queries {
        let result = wait_until(&format!("{title}: {query}"), PATIENCE, || {
            query_prometheus(port, &query).filter(|rows| !rows.is_empty())
        });
        let value = || result[0]["value"][1].as_str().unwrap().parse::<f64>().unwrap();
        match title.as_str() {
            "Power now" => assert!((value() - 2000.0).abs() < 1.0, "{result:?}"),
            "Meters not up" => assert!((value() - 1.0).abs() < 0.1, "{result:?}"),
            "Meters that are not up" => assert_eq!(result[0]["metric"]["meter"], "ups"),
            "Energy by probe in the range" => assert_eq!(result.len(), 2, "{result:?}"),
            _ => {}
        }
    }
}

/// What Grafana's models of a version have against a dashboard.
fn objections(version: &str, dashboard: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/grafana/schema.py");
    let mut command = Command::new(python_environment(version));
    let mut running =
        command.arg(script).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(dashboard.as_bytes()).unwrap();
    let done = running.wait_with_output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap().trim().to_owned();
    assert_eq!(done.status.success(), text.is_empty(), "{text}");
    text
}

#[test]
fn grafanas_own_models_have_each_key_of_the_dashboard() {
    let dashboard = dashboard();
    for version in ["grafana-10.1", "grafana-11.6"] {
        if !need_python(version) {
            return;
        }
        assert_eq!(objections(version, &dashboard), "", "{version}");
        // They are strict: a key, a panel, a unit, an enumerated value and a data source that there is not.
        for (written, wrong) in [
            ("\"gridPos\"", "\"gridpos\""),
            ("\"type\": \"stat\"", "\"type\": \"stats\""),
            ("\"unit\": \"watt\"", "\"unit\": \"watts\""),
            ("\"graphTooltip\": 1", "\"graphTooltip\": 7"),
            ("\"type\": \"prometheus\"", "\"type\": \"prometheos\""),
        ] {
            assert!(dashboard.contains(written), "{written}");
            assert_ne!(objections(version, &dashboard.replace(written, wrong)), "", "{version}: {wrong}");
        }
    }
}

#[test]
fn each_panel_shows_what_it_states_from_the_chosen_prometheus_at_any_scrape_interval() {
    let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let text = panel.to_string();
        for needed in ["title", "description"] {
            assert!(panel[needed].as_str().is_some_and(|words| !words.is_empty()), "{needed}: {text}");
        }
        let chosen = |place: &Value| place["datasource"]["uid"] == "${datasource}";
        assert!(chosen(panel), "{text}");
        for target in panel["targets"].as_array().unwrap() {
            assert!(chosen(target), "{text}");
            // A rate over less than two scrapes is nothing.
            let query = target["expr"].as_str().unwrap();
            let is_rate = query.contains("rate(");
            assert_eq!(query.contains("[$__rate_interval]"), is_rate, "{query}");
        }
    }
}

#[test]
fn promtool_accepts_the_alert_rules_and_they_fire_as_their_tests_expect() {
    if !need(&["promtool"]) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/prometheus");
    for arguments in [["check", "config", "scrape.yml"], ["test", "rules", "alerts_test.yml"]] {
        let text = output(Command::new("promtool").current_dir(&folder).args(arguments));
        assert!(text.contains("SUCCESS"), "{arguments:?}: {text}");
    }
}
