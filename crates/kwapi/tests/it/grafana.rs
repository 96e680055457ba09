//! The Grafana dashboard's queries, asked of a real Prometheus that scrapes a running kwapi.

use std::path::Path;
use std::process::Command;

use kwapi_peers::{Peer, free_port, need, output, wait_until};
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get};

/// What is asked of Prometheus: all panels' queries, and the variable's.
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
            .replace("$price", "0.25")
            .replace("$top", "12")
    };
    targets.map(|(title, query)| (title, fill_in(query))).collect()
}

fn ask(prometheus: u16, query: &str) -> Option<Vec<Value>> {
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/grafana/kwapi.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
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
            ask(port, &query).filter(|rows| !rows.is_empty())
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

#[test]
fn promtool_accepts_the_alert_rules_and_they_fire_as_their_tests_say() {
    if !need(&["promtool"]) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/prometheus");
    for arguments in [["check", "config", "scrape.yml"], ["test", "rules", "alerts_test.yml"]] {
        let told = output(Command::new("promtool").current_dir(&folder).args(arguments));
        assert!(told.contains("SUCCESS"), "{arguments:?}: {told}");
    }
}
