use kwapi_core::{NoReading, Watts};
use kwapi_drivers::manager::{NoReadingCounts, ProbeStatus};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A meter of two probes in this state, whose second probe was measured so many seconds ago.
fn status(state: MeterState, seconds_ago: u64) -> MeterStatus {
    let probe = |id: &str, seconds: u64| ProbeStatus {
        probe: ProbeId::new(id).unwrap(),
        power: Some(Watts(40.0)),
        measured_at: Some(Timestamp::from_seconds(NOW.seconds() - seconds)),
        max_gap: Duration::from_secs(10),
        problem: None,
        counter_resets: 0,
        counter_trusted: true,
        outliers: 0,
        outliers_in_a_row: 0,
        is_held: false,
        not_bridged: None,
        counter_shared_with: None,
        accuracy_percent: None,
        power_origin: Some(PowerOrigin::Reported),
        has_counter: true,
    };
    MeterStatus {
        name: "pdu".to_owned(),
        driver: "snmp",
        state,
        since: NOW,
        last_error: Some("timed out".to_owned()),
        last_latency: None,
        last_reading: None,
        reads: 1,
        failures: 1,
        consecutive_failures: 0,
        sessions: 1,
        ticks_missed: 0,
        is_slow: false,
        no_readings: NoReadingCounts::default(),
        probes_refused: 0,
        probes: vec![probe("a", 1), probe("b", seconds_ago)],
    }
}

#[test]
fn what_is_not_read_is_troubled_and_names_what_to_try() {
    for state in MeterState::ALL {
        let meter = meter_now(status(state, 1), NOW);
        let is_ill = !state.is_up() && state != MeterState::Starting;
        assert_eq!(meter.health == MeterHealth::Troubled, is_ill, "{state}");
        assert_eq!(meter.advice.is_some(), is_ill, "{state}: {:?}", meter.advice);
        assert_eq!(
            (meter.probes, meter.silent.len(), meter.last_error.as_deref()),
            (2, 0, Some("timed out"))
        );
    }
}

#[test]
fn a_meter_that_is_read_with_a_silent_outlet_or_too_slowly_is_worth_a_look() {
    let silent = meter_now(status(MeterState::Running, 60), NOW);
    assert_eq!((silent.health, silent.silent[0].as_str()), (MeterHealth::WorthALook, "b"));
    assert!(silent.unmeasured.is_empty());
    let mut never = status(MeterState::Running, 1);
    never.probes[1].measured_at = None;
    let never = meter_now(never, NOW);
    assert_eq!(
        (never.health, &never.silent, &never.unmeasured),
        (MeterHealth::WorthALook, &silent.silent, &silent.silent)
    );
    let mut slow = status(MeterState::Running, 1);
    (slow.is_slow, slow.probes[1].outliers_in_a_row) = (true, 5);
    let slow = meter_now(slow, NOW);
    assert_eq!(slow.health, MeterHealth::WorthALook);
    assert_eq!(slow.findings[0], "answers more slowly than its interval");
    assert!(slow.findings[1].starts_with("b: 5 implausible values in a row"), "{:?}", slow.findings);
    assert_eq!(meter_now(status(MeterState::Running, 1), NOW).health, MeterHealth::Well);
}

#[test]
fn many_findings_are_counted_and_an_outlet_s_own_problem_is_one() {
    let mut many = status(MeterState::Running, 60);
    many.probes[1].problem = Some(NoReading::NotReady("empty socket".into()));
    many.probes = std::iter::repeat_n(many.probes[1].clone(), 9).collect();
    let many = meter_now(many, NOW);
    assert!(many.findings[0].contains("empty socket"), "{:?}", many.findings);
    assert_eq!(many.findings.last().unwrap(), "and 5 more: kwapi status");
}

#[test]
fn a_probe_s_origin_reports_what_its_power_and_its_energy_are_of() {
    let check = |power, has_counter, counter_trusted, expected: (Option<&str>, &str)| {
        let mut status = status(MeterState::Running, 1);
        let of_probe = &mut status.probes[0];
        (of_probe.power_origin, of_probe.has_counter, of_probe.counter_trusted) =
            (power, has_counter, counter_trusted);
        let facts = ProbeFacts::new(of_probe);
        let origin = facts.origin(&meter_now(status, NOW));
        assert_eq!((&*origin.meter, origin.driver, origin.state), ("pdu", "snmp", "running"));
        assert_eq!((origin.power, origin.energy), expected);
    };
    let none = "power over time; the device reports no register";
    let doubted = "power over time, because the register of the device contradicts the power";
    check(None, false, true, (None, none));
    check(Some(PowerOrigin::Current), false, true, (Some("estimated from current and voltage"), none));
    check(
        Some(PowerOrigin::Reported),
        true,
        true,
        (Some("reported by the device"), "register of the device"),
    );
    let counted = "from the advance of the device's energy register";
    check(Some(PowerOrigin::Counter), true, false, (Some(counted), doubted));
}
