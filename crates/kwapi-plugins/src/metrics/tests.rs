use super::*;
use crate::api::tests::{Stand, request};

fn metrics() -> Metrics {
    let stand = Stand::new();
    stand.receive("quote\"back\\slash", 0, 1.5, 0);
    let mut metrics = Metrics::new();
    metrics.add(stand.directory);
    metrics.add(|out: &mut Exposition| {
        let drivers =
            out.defined("kwapi_drivers", families::Kind::Gauge, "Meters by the state of their driver.");
        drivers.count(&[("state", "reading")], 3).count(&[("state", "backoff")], 1);
    });
    metrics
}

/// Names are a promise: dashboards and alerts are built on them.
#[test]
fn names_types_and_units_are_as_promised() {
    let text = metrics().exposition(Scope::All).open_metrics().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let golden = include_str!("golden.txt");
    assert_eq!(text, golden, "add a name, never change one");
}

#[tokio::test]
async fn who_does_not_request_openmetrics_gets_the_older_text() {
    let answer = request(router(Arc::new(metrics()), Scope::All), "GET", "/metrics", &[]).await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.body.contains("# TYPE kwapi_probe_energy_joules_total counter"), "{}", answer.body);
    let open = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let answer = request(router(Arc::new(metrics()), Scope::All), "GET", "/metrics", &open).await;
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_part_that_is_not_ready_gives_the_reason_while_the_process_is_healthy() {
    let mut metrics = Metrics::new();
    metrics.add_readiness("bus", || Err("no publisher received yet".to_owned()));
    metrics.add_readiness("collector", || Ok(()));
    let router = router(Arc::new(metrics), Scope::All);
    let answer = request(router.clone(), "GET", "/readyz", &[]).await;
    let expected = "{\"status\":\"not ready\",\"waiting\":{\"bus\":\"no publisher received yet\"}}\n";
    assert_eq!((answer.status, answer.body.as_str()), (503, expected));
    assert_eq!(request(router, "GET", "/healthz", &[]).await.status, 200);
}

#[test]
fn promtool_finds_no_fault() {
    if !kwapi_peers::need(&["promtool", "sh"]) {
        return;
    }
    let lab = kwapi_peers::Lab::empty();
    std::fs::write(lab.join("metrics"), metrics().exposition(Scope::All).prometheus()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "promtool is the referee")]
    let mut command = std::process::Command::new("sh");
    command.current_dir(lab.path()).args(["-c", "promtool check metrics < metrics 2>&1"]);
    assert_eq!(kwapi_peers::output(&mut command), "");
}
