//! Programs for everyone else: curl, Prometheus, schemathesis.

use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port, output, python_environment, wait_until};

use crate::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_our_values() {
    if !kwapi_peers::need(&["prometheus", "curl"]) {
        return;
    }
    let stand = Stand::start(0, None);
    stand.receive("quote\" back\\slash é", 97.5, 4_320_000);
    let lab = Lab::empty();
    let port = free_port();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: kwapi\n    static_configs:\n      - targets: ['127.0.0.1:{}']\n",
        stand.port
    );
    std::fs::write(lab.join("prometheus.yml"), config).unwrap();
    let _prometheus = Peer::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", lab.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", lab.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        lab.join("log"),
    );
    let request = move |query: &str| {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let query = format!("query={query}");
        let answer = Command::new("curl").args(["-sG", &url, "--data-urlencode", &query]).output().ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).ok()?;
        let result = answer["data"]["result"].get(0)?.clone();
        Some((result["metric"]["probe"].as_str()?.to_owned(), result["value"][1].as_str()?.to_owned()))
    };
    let found = tokio::task::spawn_blocking(move || {
        let limit = Duration::from_secs(60);
        let power = wait_until("power", limit, || request("kwapi_probe_power_watts"));
        (power, wait_until("energy", limit, || request("kwapi_probe_energy_joules_total")))
    });
    let (power, energy) = found.await.unwrap();
    assert_eq!(power, ("quote\" back\\slash é".to_owned(), "97.5".to_owned()));
    assert_eq!(energy.1, "4320000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_fault_with_the_document_or_the_answers() {
    if !kwapi_peers::need_python("python") {
        return;
    }
    let stand = Stand::start(0, None);
    for probe in ["A", "B", "lyon.rack3.taurus-7", "a/b é"] {
        stand.receive(probe, 97.5, 4_320_000);
    }
    let lab = Lab::empty();
    let url = stand.url("/v1/openapi.json");
    let schemathesis = python_environment("python").with_file_name("schemathesis");
    let text = tokio::task::spawn_blocking(move || {
        let checks =
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
        output(Command::new(schemathesis).current_dir(lab.path()).args([
            "run",
            &url,
            "--checks",
            checks,
            "--max-examples",
            "40",
            "--seed",
            "1",
            "--no-color",
        ]))
    });
    println!("{}", text.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_follows_a_missing_slash_and_keeps_its_connection() {
    if !kwapi_peers::need(&["curl"]) {
        return;
    }
    let stand = Stand::start(0, None);
    stand.receive("A", 94.0, 1_584);
    let (probes, probe) = (stand.url("/v1/probes/"), stand.url("/v1/probes/A/w?x=1"));
    let text = tokio::task::spawn_blocking(move || {
        let format = "%{http_code} %{num_connects} %{url_effective}\n";
        let arguments = ["-sSL", "--compressed", "-w", format, "-o", "/dev/null"];
        output(Command::new("curl").args(arguments).arg(&probes).args(["-o", "/dev/null"]).arg(&probe))
    });
    let text = text.await.unwrap();
    let expected =
        format!("200 1 {}\n200 0 {}\n", stand.url("/v1/probes/"), stand.url("/v1/probes/A/w/?x=1"));
    assert_eq!(text, expected);
    let http10 = stand.url("/v1/");
    let answer = tokio::task::spawn_blocking(move || {
        output(Command::new("curl").args([
            "-sS",
            "--http1.0",
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
            &http10,
        ]))
    });
    assert_eq!(answer.await.unwrap(), "200");
}
