//! Prometheus' own `/metrics` is an exporter, and so is Python's web server with a file of well-known metrics.

#![allow(clippy::disallowed_methods, reason = "a test starts the peer it uses")]

use std::process::Command;
use std::time::Duration;

use kwapi_core::ProbeId;
use kwapi_peers::{Lab, Peer, free_port, need};
use kwapi_simulators::{HttpAnswer, HttpDevice, HttpRequest};

use super::*;
use crate::testing::{by_key, one};

const PATIENCE: Duration = Duration::from_secs(30);

async fn round(url: &str, keys: &str, outlets: &Outlets) -> String {
    let config = toml::from_str(&format!("url = \"{url}\"\n{keys}")).expect("a configuration");
    let outcome = async {
        let mut meter = Prometheus::open(&config, outlets, &Arc::default()).await?;
        let mut readings = Readings::default();
        meter.read(&mut readings).await?;
        let outcome = readings.drain().map(|(probe, reading)| match reading {
            Ok(reading) => {
                let reset = reading.counter.and_then(|counter| counter.reset_at);
                let since = reset.map(|at| format!(" since {}", at.seconds())).unwrap_or_default();
                format!("{probe}: {reading}{since}")
            }
            Err(error) => format!("{probe}: {error}"),
        });
        Ok::<_, DriverError>(outcome.collect::<Vec<_>>().join("\n"))
    };
    outcome.await.unwrap_or_else(|error| error.to_string())
}

#[tokio::test]
async fn prometheus_own_metrics_are_read() {
    if !need(&["prometheus"]) {
        return;
    }
    let (lab, port) = (Lab::empty(), free_port());
    std::fs::write(lab.join("p.yml"), "global: {}\n").expect("room");
    let mut server = Command::new("prometheus");
    server.arg(format!("--config.file={}", lab.join("p.yml").display()));
    server.arg(format!("--storage.tsdb.path={}", lab.join("data").display()));
    server.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _server = Peer::start(&mut server, lab.join("log"))
        .ready(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("http://127.0.0.1:{port}/metrics");
    // Not watts, but numbers of a real exporter: a gauge, and a counter with a label.
    let outcome = round(&url, "power = \"go_threads\"\nenergy = \"process_cpu_seconds_total\"", &one()).await;
    assert!(outcome.starts_with("A: ") && outcome.contains(" W, ") && outcome.ends_with(" J"), "{outcome}");
    let named = by_key(["200", "nonsense"].map(|key| (key, key)));
    let keys = "energy = \"promhttp_metric_handler_requests_total\"\nlabel = \"code\"";
    let outcome = round(&url, keys, &named).await;
    assert!(
        outcome.contains("200: ") && outcome.contains("nonsense: no such outlet: \"nonsense\"; available: "),
        "{outcome}"
    );
    let outcome = round(&url, "power = \"node_watts\"", &one()).await;
    assert!(outcome.starts_with("refused: no series of [\"node_watts\"] among "), "{outcome}");
}

#[tokio::test]
async fn well_known_exporters_are_read() {
    if !need(&["python3"]) {
        return;
    }
    let (lab, port) = (Lab::empty(), free_port());
    // Names and labels as ipmi_exporter, node_exporter, kepler and scaphandre give them.
    let text = "# TYPE ipmi_dcmi_power_consumption_watts gauge\n\
        ipmi_dcmi_power_consumption_watts 236\n\
        # TYPE node_rapl_package_joules_total counter\n\
        node_rapl_package_joules_total{index=\"0\",path=\"/sys/class/powercap/intel-rapl:0\"} 83518.867258\n\
        node_rapl_package_joules_total{index=\"1\",path=\"/sys/class/powercap/intel-rapl:1\"} NaN\n\
        kepler_node_platform_joules_total{instance=\"a\",mode=\"dynamic\"} 10\n\
        kepler_node_platform_joules_total{instance=\"a\",mode=\"idle\"} 20\n\
        scaph_host_power_microwatts 19525837\n";
    std::fs::write(lab.join("metrics"), text).expect("room");
    let mut server = Command::new("python3");
    server
        .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"])
        .arg(lab.path());
    let _server = Peer::start(&mut server, lab.join("log"))
        .ready(PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("http://127.0.0.1:{port}/metrics");
    let all = Outlets::all("p.{outlet}");
    for (keys, outlets, expected) in [
        ("power = \"ipmi_dcmi_power_consumption_watts\"", &one(), "A: 236 W"),
        ("power = \"scaph_host_power_microwatts\"\npower_unit = \"uW\"", &one(), "A: 19.525837 W"),
        (
            "energy = \"node_rapl_package_joules_total\"\nlabel = \"index\"",
            &all,
            "p.0: 83518.867 J\np.1: not ready: node_rapl_package_joules_total is NaN",
        ),
        (
            "energy = \"kepler_node_platform_joules_total\"",
            &one(),
            "A: implausible: several series of kepler_node_platform_joules_total; distinguish them with label, or select one with labels",
        ),
        ("energy = \"kepler_node_platform_joules_total\"\nlabels = { mode = \"idle\" }", &one(), "A: 20 J"),
        ("power = \"ipmi_dcmi_power_consumption_watts\"", &all, "p.1: 236 W"),
    ] {
        assert_eq!(round(&url, keys, outlets).await, expected, "{keys}");
    }
}

async fn scrape(content_type: &'static str, text: &'static str, keys: &str) -> String {
    let respond = move |_: &HttpRequest| {
        HttpAnswer::ok(text)
            .with_header("content-type", content_type)
            .with_header("date", "Mon, 23 Nov 2026 10:00:00 GMT")
    };
    let simulator = HttpDevice::start(respond).await.expect("a port");
    round(&format!("http://{}/metrics", simulator.address()), keys, &one()).await
}

#[tokio::test]
async fn an_old_stamp_is_stale_and_a_created_stamp_is_the_reset() {
    let keys = "power = \"w\"";
    // 2026-11-23T10:00:00Z is 1795428000.
    assert_eq!(scrape("text/plain", "w 5 1795427990000\n", keys).await, "A: 5 W");
    assert_eq!(
        scrape("text/plain", "w 5 1795424400000\n", keys).await,
        "A: stale: measured 3600 s before the scrape"
    );
    assert_eq!(
        scrape("text/plain", "w 5 1795427990\n", keys).await,
        "A: implausible: invalid timestamp 1795427.99 s; check the exporter's clock"
    );
    let openmetrics = "# TYPE e counter\ne_total 5.5 1795427990.5\ne_created 1795400000.0\n# EOF\n";
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(scrape(kind, openmetrics, "energy = \"e_total\"").await, "A: 5.5 J since 1795400000");
}

#[tokio::test]
async fn factors_and_neighbours_are_as_everywhere() {
    let text = "amps 31\nhundredths{p=\"1\"} 64\nload -712.5\nvolts{p=\"1\"} 229\nvolts{p=\"2\"} 231\nticks_total 15\n";
    let read = async |keys| scrape("text/plain", text, keys).await;
    assert_eq!(read("power = 'hundredths'\npower_unit = 'kW'\npower_scale = 0.01").await, "A: 640 W");
    assert_eq!(
        read("power = 'load'\npower_scale = -1\ncurrent = 'amps'\ncurrent_scale = 0.1").await,
        "A: 712.5 W, 3.1 A"
    );
    assert_eq!(read("energy = 'ticks_total'\nenergy_scale = 100").await, "A: 1500 J");
    assert_eq!(
        read("power = 'hundredths'\nvoltage = 'volts'").await,
        "A: 64 W",
        "volts of two series are left out"
    );
    assert_eq!(read("power = 'load'\nenergy = 'ticks_total'").await, "A: 0 W, 15 J", "it feeds back");
    let refused = "`power_scale`: must be a number other than 0";
    assert_eq!(read("power = 'load'\npower_scale = 0").await, format!("refused: {refused}"));
}

#[tokio::test]
async fn the_end_of_a_devices_field_is_no_value() {
    let page = "w{o=\"a\"} 65535\nw{o=\"b\"} 4294967295\nw{o=\"c\"} 7\nj{o=\"c\"} 2147483647\n";
    let respond = move |_: &HttpRequest| HttpAnswer::ok(page);
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let url = format!("http://{}/metrics", simulator.address());
    let keys = "power = 'w'\nenergy = 'j'\nlabel = 'o'";
    let outcome = round(&url, keys, &Outlets::all("{outlet}")).await;
    let expected = "a: implausible: 65535, a placeholder for no value\n\
                    b: implausible: 4294967295, a placeholder for no value\nc: 7 W";
    assert_eq!(outcome, expected);
}

#[tokio::test]
async fn an_exporter_that_starts_again_is_busy_and_not_refused() {
    let shown = std::sync::atomic::AtomicBool::new(true);
    let respond = move |_: &HttpRequest| {
        let is_first = shown.swap(false, std::sync::atomic::Ordering::SeqCst);
        HttpAnswer::ok(if is_first { "w 5\n" } else { "up 1\n" })
    };
    let simulator = HttpDevice::start(respond).await.expect("a port");
    let url = format!("url = \"http://{}/metrics\"\npower = \"w\"", simulator.address());
    let config = toml::from_str(&url).expect("a configuration");
    let mut meter = Prometheus::open(&config, &one(), &Arc::default()).await.expect("open");
    let mut readings = Readings::default();
    meter.read(&mut readings).await.expect("a reading");
    let error = meter.read(&mut readings).await.expect_err("no series");
    assert!(matches!(error, DriverError::Busy(_)), "{error}");
}

#[tokio::test]
async fn a_page_without_samples_may_pass_and_is_not_refused() {
    let outcome = scrape("text/html", "<html>starting\u{2026}</html>", "power = \"w\"").await;
    assert!(outcome.starts_with("malformed metrics: \"<html>"), "{outcome}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_once() {
    let two = Outlets::by_position([ProbeId::new("A").ok(), ProbeId::new("B").ok()]);
    assert!(round("http://x/", "", &one()).await.contains("set power or energy"));
    assert!(round("http://x/", "power = \"w\"", &two).await.contains("2 probes are configured"));
}

#[test]
fn what_cannot_work_is_reported_before_anything_is_queried() {
    let check = |keys: &str, expected: &str| {
        let config: PrometheusConfig = toml::from_str(keys).expect("a configuration");
        let message = Prometheus::check(&config).expect_err("a fault").to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("url = 'http://h/metrics'", "set power or energy");
    check("url = 'gopher://h/metrics'\npower = 'w'", "`url`: invalid URL");
    check(
        "url = 'http://h/metrics'\npower = 'w'\nheaders = { 'a b' = 'x' }",
        "`headers`: \"a b\": invalid HTTP header",
    );
    let config: PrometheusConfig =
        toml::from_str("url = 'http://h/metrics'\npower = 'w'").expect("a configuration");
    Prometheus::check(&config).expect("no fault");
    let two = Outlets::by_position(["a", "b"].map(|name| kwapi_core::ProbeId::new(name).ok()));
    let message = Prometheus::check_outlets(&config, &two).expect_err("a fault").to_string();
    assert!(message.contains("set label to the label that distinguishes them"), "{message}");
}

#[tokio::test]
async fn ten_thousand_series_where_a_few_were_are_refused_and_no_name_has_control_characters() {
    let outcome_of = async |text: String| {
        let simulator = HttpDevice::start(move |_: &HttpRequest| HttpAnswer::ok(text.clone())).await;
        let simulator = simulator.expect("a port");
        let url = format!("http://{}/metrics", simulator.address());
        round(&url, "power = \"w\"\nlabel = \"x\"", &Outlets::all("p.{outlet}")).await
    };
    let series = |count: usize| (0..count).map(|n| format!("w{{x=\"{n}\"}} 1\n")).collect::<String>();
    assert_eq!(outcome_of(series(10_000)).await.lines().count(), 10_000);
    let outcome = outcome_of(series(10_001)).await;
    assert!(outcome.starts_with("refused: ") && outcome.contains("10000 series"), "{outcome}");
    let outcome = outcome_of("w{x=\"\u{1b}[2Ja\"} 5\nw{x=\"b\"} 6\n".to_owned()).await;
    assert!(outcome.ends_with("p.b: 6 W") && !outcome.contains('\u{1b}'), "{outcome:?}");
}
