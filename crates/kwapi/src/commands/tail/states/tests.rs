use super::*;

fn meter(name: &str, state: &str, failures: u64) -> MeterReport {
    MeterReport {
        name: name.to_owned(),
        driver: "snmp".to_owned(),
        state: state.to_owned(),
        is_up: state == "running",
        since: 0.0,
        last_error: (failures > 0).then(|| "no answer".to_owned()),
        latency_seconds: (state != "starting").then_some(0.0123),
        last_reading: None,
        reads: 0,
        failures,
        is_slow: false,
        ticks_missed: 0,
        probes: Vec::new(),
    }
}

#[track_caller]
fn check(states: &mut States, meters: &[MeterReport], expected: &[&str]) {
    let lines: Vec<String> = states.update(meters).iter().map(Change::text).collect();
    assert_eq!(lines, expected);
}

#[test]
fn trouble_is_reported_at_first_and_then_each_change_once() {
    let mut states = States::default();
    check(
        &mut states,
        &[meter("a", "running", 0), meter("b", "starting", 0)],
        &["meter b: starting, 0 failures"],
    );
    let lost = [meter("a", "backoff", 3), meter("b", "refused", 1)];
    check(
        &mut states,
        &lost,
        &[
            "meter a: running → backoff, 3 failures, latency 12.3 ms: no answer",
            "meter b: starting → refused, 1 failure, latency 12.3 ms: no answer",
        ],
    );
    check(&mut states, &lost, &[]);
    check(
        &mut states,
        &[meter("a", "running", 4), meter("c", "running", 0)],
        &["meter a: backoff → running, 4 failures, latency 12.3 ms"],
    );
}

#[test]
fn an_object_reports_null_where_nothing_is_known() {
    let meters = [meter("b", "starting", 0)];
    let mut states = States::default();
    let changes = states.update(&meters);
    assert_eq!(
        changes[0].json(),
        r#"{"error":null,"failures":0,"latency_seconds":null,"meter":"b","state":"starting","was":null}"#
    );
}
