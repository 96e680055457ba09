//! The driver against the simulated rack: what it reads, in how many requests, and what it makes of every fault.

mod hostile;
mod listing;
mod peers;

use kwapi_core::{Energy, ProbeId};
use kwapi_simulators::snmp::{AgentFault, Rack, RackSettings};
use proptest::prelude::*;

use super::*;
use crate::outlets::Outlet;

pub(super) fn config(address: std::net::SocketAddr, more: &str) -> SnmpConfig {
    let text =
        format!("host = \"{}\"\nport = {}\ntimeout_seconds = 0.4\n{more}", address.ip(), address.port());
    toml::from_str(&text).unwrap()
}

pub(super) fn outlets(keys: &[&str]) -> Outlets {
    Outlets::by_key(
        keys.iter().map(|key| Outlet { key: (*key).to_owned(), probe: ProbeId::new(key).unwrap() }),
    )
}

pub(super) async fn read(driver: &mut Snmp) -> Result<Vec<String>, String> {
    let mut readings = Readings::default();
    driver.read(&mut readings).await.map_err(|error| error.to_string())?;
    let line = |(probe, result): (ProbeId, Result<Reading, kwapi_core::NoReading>)| match result {
        Ok(reading) => format!("{probe}: {reading}"),
        Err(reason) => format!("{probe}: {reason}"),
    };
    Ok(readings.drain().map(line).collect())
}

async fn rack(outlets: usize) -> Rack {
    let names = (1..=outlets).map(|number| format!("host {number}")).collect();
    let rack = Rack::start(RackSettings { names, ..RackSettings::default() }).await.unwrap();
    for outlet in 1..=outlets {
        rack.set_watts(outlet, Some(100.0 + outlet as f64));
        rack.set_watt_hours(outlet, 1_000.0 * outlet as f64 + 0.25);
    }
    rack
}

async fn open(rack: &Rack, more: &str, wanted: &Outlets) -> Result<Snmp, String> {
    let shared = Arc::new(SnmpShared::default());
    Snmp::open(&config(rack.address(), more), wanted, &shared).await.map_err(|error| error.to_string())
}

/// What two rounds return with a fault in force from the start, or why they return nothing.
async fn with_fault(fault: AgentFault, more: &str) -> Result<Vec<String>, String> {
    let rack = rack(3).await;
    rack.set_fault(Some(fault));
    let mut driver = open(&rack, more, &outlets(&["1", "3"])).await?;
    read(&mut driver).await?;
    read(&mut driver).await
}

const BOTH: [&str; 2] = ["1: 101 W, 3600000 J", "3: 103 W, 10800000 J"];

#[tokio::test]
async fn a_pdu_is_recognised_and_all_its_outlets_come_in_two_requests() {
    for more in ["", "version = '1'"] {
        let rack = rack(24).await;
        let mut driver = open(&rack, more, &Outlets::all("rack.{label}")).await.unwrap();
        read(&mut driver).await.unwrap();
        let before = rack.datagrams();
        let lines = read(&mut driver).await.unwrap();
        assert_eq!(lines.len(), 24);
        assert_eq!(lines[6], "rack.host 7: 107 W, 25200000 J");
        assert_eq!(rack.datagrams().received - before.received, 2, "{more}");
        assert_eq!(rack.datagrams().sent - before.sent, 2, "{more}");
    }
}

#[tokio::test]
async fn findings_report_what_was_chosen_and_why() {
    let rack = rack(2).await;
    let mut driver = open(&rack, "", &outlets(&["1", "inlet"])).await.unwrap();
    assert_eq!(read(&mut driver).await.unwrap(), ["1: 101 W, 3600000 J", "inlet: 203 W, 10800000 J"]);
    let findings: Vec<_> =
        driver.findings().into_iter().map(|finding| format!("{}: {}", finding.what, finding.why)).collect();
    for expected in [
        "device: sysObjectID 1.3.6.1.4.1.13742.6",
        "profile raritan_px2: its tables are present",
        "power: scaled by the decimal digits the device reports",
        "requests: at most 48 objects per request",
    ] {
        assert!(findings.iter().any(|finding| finding == expected), "{findings:#?}");
    }
}

#[tokio::test]
async fn a_missing_row_is_no_such_outlet_and_the_others_keep_theirs() {
    for more in ["", "version = '1'"] {
        let rack = rack(3).await;
        rack.remove_outlet(2);
        let mut driver = open(&rack, more, &outlets(&["1", "2", "3"])).await.unwrap();
        for _ in 0..2 {
            let lines = read(&mut driver).await.unwrap();
            assert_eq!(lines, [BOTH[0], "2: no such outlet: not in the agent's table", BOTH[1]], "{more}");
        }
        // Once version 1 has found out which object is missing, a round is one request again.
        let before = rack.datagrams().received;
        read(&mut driver).await.unwrap();
        assert_eq!(rack.datagrams().received - before, 1, "{more}");
    }
}

#[tokio::test]
async fn an_agent_of_small_means_is_queried_in_smaller_requests_from_then_on() {
    for fault in [AgentFault::TooBig(5), AgentFault::SilentAbove(5)] {
        let rack = rack(3).await;
        rack.set_fault(Some(fault));
        let mut driver = open(&rack, "retransmits = 0", &outlets(&["1", "2", "3"])).await.unwrap();
        read(&mut driver).await.unwrap();
        let before = rack.datagrams();
        let lines = read(&mut driver).await.unwrap();
        assert_eq!(lines.len(), 3, "{fault:?}");
        assert_eq!(lines[2], BOTH[1]);
        let (received, sent) =
            (rack.datagrams().received - before.received, rack.datagrams().sent - before.sent);
        assert!(received == sent && received <= 4, "{fault:?}: {received} requests, {sent} answers");
    }
}

#[tokio::test]
async fn answers_in_another_order_are_put_right() {
    assert_eq!(with_fault(AgentFault::Reversed, "").await.unwrap(), BOTH);
}

#[tokio::test]
async fn one_object_that_fails_does_not_take_the_others_with_it() {
    let lines = with_fault(AgentFault::GenErr(3), "").await.unwrap();
    assert_eq!(lines, [BOTH[0], "3: not ready: the agent returned an error for power"]);
}

#[tokio::test]
async fn no_usable_answer_names_the_host_and_what_to_try() {
    for fault in
        [AgentFault::Silence, AgentFault::Garbage, AgentFault::HalfPacket, AgentFault::WrongRequestId]
    {
        let message = with_fault(fault, "").await.unwrap_err();
        assert!(
            message.starts_with("link lost: 127.0.0.1:")
                && message.ends_with("timed out after 0.4 s (3 objects); check the address, the community and the agent's access list"),
            "{fault:?}: {message}"
        );
    }
    let rack = rack(1).await;
    let message = open(&rack, "community = 'sesame'", &outlets(&["1"])).await.unwrap_err();
    assert!(message.contains("check the address, the community") && !message.contains("sesame"), "{message}");
}

#[tokio::test]
async fn an_agent_that_goes_silent_later_is_a_lost_link_and_comes_back() {
    let rack = rack(3).await;
    let mut driver = open(&rack, "", &outlets(&["1", "3"])).await.unwrap();
    read(&mut driver).await.unwrap();
    rack.set_fault(Some(AgentFault::Silence));
    assert!(read(&mut driver).await.unwrap_err().contains("timed out after 0.4 s (7 objects)"));
    rack.set_fault(Some(AgentFault::Delay(std::time::Duration::from_millis(50))));
    assert_eq!(read(&mut driver).await.unwrap(), BOTH);
}

#[tokio::test]
async fn a_request_lost_on_the_way_is_sent_again() {
    let rack = rack(3).await;
    let mut driver = open(&rack, "retransmits = 3", &outlets(&["1", "3"])).await.unwrap();
    read(&mut driver).await.unwrap();
    rack.set_fault(Some(AgentFault::LoseNext(2)));
    assert_eq!(read(&mut driver).await.unwrap(), BOTH);
}

#[tokio::test]
async fn a_counter_is_carried_through_wrap_and_reset_with_its_range() {
    let rack = rack(1).await;
    let mut driver = open(&rack, "", &outlets(&["1"])).await.unwrap();
    let mut counters = Vec::new();
    for watt_hours in [4_294_967_294.5, 4_294_967_300.5, 7.5] {
        rack.set_watt_hours(1, watt_hours);
        let mut readings = Readings::default();
        driver.read(&mut readings).await.unwrap();
        let counter = readings.drain().next().unwrap().1.unwrap().counter.unwrap();
        assert_eq!(counter.range, Some(Energy::from_watt_hours(1 << 32)));
        assert_eq!(counter.resolution, Energy::from_watt_hours(1));
        counters.push(counter.value);
    }
    assert_eq!(counters, [4_294_967_294, 4, 7].map(Energy::from_watt_hours));
}

#[tokio::test]
async fn after_a_reboot_and_when_a_counter_falls_names_and_scales_are_read_again() {
    let rack = rack(1).await;
    let mut driver = open(&rack, "", &outlets(&["1"])).await.unwrap();
    let mut requests = Vec::new();
    for step in 0..4 {
        match step {
            2 => rack.reboot(),
            3 => rack.set_watt_hours(1, 0.5),
            _ => {}
        }
        let before = rack.datagrams().received;
        read(&mut driver).await.unwrap();
        requests.push(rack.datagrams().received - before);
    }
    assert_eq!(requests, [2, 1, 2, 2]);
}

#[tokio::test]
async fn raw_objects_are_read_by_their_own_names() {
    let rack = rack(2).await;
    let more = "[oids.total]\npower = { oid = '1.3.6.1.4.1.13742.6.5.2.3.1.4.1.1.5', watts = 0.1 }\n\
                [oids.second]\npower = '1.3.6.1.4.1.13742.6.5.4.3.1.4.1.2.5'\nenergy = '1.3.6.1.4.1.13742.6.5.4.3.1.4.1.2.8'";
    let mut driver = open(&rack, more, &outlets(&["total", "second"])).await.unwrap();
    assert_eq!(read(&mut driver).await.unwrap(), ["total: 203 W", "second: 1020 W, 7200000 J"]);
    let mut driver = open(&rack, more, &Outlets::all("pdu.{outlet}")).await.unwrap();
    assert_eq!(read(&mut driver).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_gives_the_reason() {
    let rack = rack(2).await;
    for (more, keys, expected) in [
        ("profile = 'raritan'", ["1"], "unknown profile \"raritan\"; available: apc_easy_epdu"),
        ("", ["x7"], "outlet \"x7\": must be a number"),
        ("", ["phase.1"], "outlet \"phase.1\": profile \"raritan_px2\" does not measure phase"),
        ("", ["1.2.3"], "outlet \"1.2.3\": profile \"raritan_px2\" requires 2 numbers"),
        ("profile_directory = '/nonexistent'", ["1"], "profile /nonexistent: "),
        ("profile = 'vertiv_geist'\nunit = 2", ["1"], "`unit`: not supported by profile \"vertiv_geist\""),
        ("version = '3'", ["1"], "SNMP version 3 requires `user`"),
    ] {
        let message = open(&rack, more, &outlets(&keys)).await.unwrap_err();
        assert!(message.starts_with("refused: ") && message.contains(expected), "{message}");
    }
    let message = open(&rack, "profile = 'vertiv_geist'", &Outlets::all("{outlet}")).await.unwrap_err();
    assert!(message.contains("lists no outlets in the tables of profile \"vertiv_geist\""), "{message}");
}

#[tokio::test]
async fn a_pdu_that_meters_no_outlet_is_read_by_its_inlet() {
    let rack = rack(0).await;
    let mut driver = open(&rack, "", &Outlets::all("rack1.{outlet}")).await.unwrap();
    assert_eq!(read(&mut driver).await.unwrap(), ["rack1.inlet: 0 W, 0 J"]);
}

#[tokio::test]
async fn a_recorded_rack_yields_what_the_rack_reported() {
    let rack = rack(2).await;
    let shared = Arc::new(SnmpShared::default());
    let text = record(&config(rack.address(), ""), &shared).await.unwrap();
    assert!(!text.contains("host 1") && !text.contains("simulated-rack"), "{text}");
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let walk = parse_snmprec(&text).unwrap();
    let yields: Vec<_> = evaluate(catalogue.get("raritan_px2").unwrap(), &walk)
        .into_iter()
        .map(|outlet| format!("{}: {}", outlet.key, outlet.reading.unwrap()))
        .collect();
    assert_eq!(yields, ["1: 101 W, 3600000 J", "2: 102 W, 7200000 J", "inlet: 203 W, 10800000 J"]);
}

#[tokio::test]
async fn many_agents_share_one_socket() {
    let shared = Arc::new(SnmpShared::default());
    let mut racks = Vec::new();
    let mut drivers = Vec::new();
    for number in 1..=20 {
        let rack = rack(1).await;
        rack.set_watts(1, Some(f64::from(number)));
        drivers.push(Snmp::open(&config(rack.address(), ""), &outlets(&["1"]), &shared).await.unwrap());
        racks.push(rack);
    }
    for (driver, number) in drivers.iter_mut().zip(1..) {
        assert_eq!(read(driver).await.unwrap(), [format!("1: {number} W, 3600000 J")]);
    }
    let sockets = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(sockets < 400, "{sockets} descriptors");
}

#[test]
fn an_outlet_that_no_pdu_of_the_family_has_is_reported_before_anything_is_queried() {
    let check = |keys: &str, key: &str, expected: &str| {
        let config: SnmpConfig = toml::from_str(&format!("host = 'pdu1'\n{keys}")).unwrap();
        match Snmp::check_outlets(&config, &outlets(&[key])) {
            Ok(()) => assert_eq!(expected, "", "{keys} {key}"),
            Err(message) => {
                assert!(!expected.is_empty() && message.to_string().contains(expected), "{message}");
            }
        }
    };
    check("profile = 'raritan_px2'", "7", "");
    check("profile = 'raritan_px2'", "phase.1", "does not measure phase");
    check("profile = 'raritan_px2'", "1.2.3", "requires 2 numbers");
    check("profile = 'apc_easy_epdu'", "7", "does not measure outlets");
    check("profile = 'raritan_px1_old'\nunit = 2", "7", "`unit`: not supported by profile");
    check("", "phase.1", "");
    check("", "web1", "must be a number");
    check("[oids.web1]\npower = '1.3.6.1.4.1.99.1.0'", "web1", "");
}

proptest! {
    #[test]
    fn no_datagram_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzzing::datagram(&noise, &ProfileCatalogue::built_in().unwrap());
    }
}
