//! From a real SNMP agent to the API, in one process and in four, directly and through a forwarder.

use kwapi_peers::need;

use crate::devices::Pdu;
use crate::harness::{Kwapi, PATIENCE, get};

const KEY: &str = "key = { id = 'lyon', secret = '0123456789abcdef0123456789abcdef' }";

#[test]
fn one_process_serves_the_watts_of_a_real_agent() {
    if !need(&["snmpd", "snmpget"]) {
        return;
    }
    let pdu = Pdu::start();
    let kwapi = Kwapi::start(
        &["run"],
        &format!(
            "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n{}",
            pdu.meter()
        ),
    );
    assert_eq!(kwapi.probe("rack.a")["w"].to_string(), "101.0");
    assert_eq!(kwapi.probe("rack.x")["w"].as_f64(), Some(pdu.watts_by_snmpget(24)));
    assert!(kwapi.probe("rack.b")["kwh"].is_f64() && kwapi.probe("rack.b")["timestamp"].is_f64());
    pdu.draw(500);
    kwapi_peers::wait_until("the new watts", PATIENCE, || {
        (kwapi.probe("rack.b")["w"].as_f64() == Some(501.0)).then_some(())
    });
    assert_eq!(
        get(kwapi.api, "/v1/probes/rack.b/w/").unwrap(),
        (200, "{\"rack.b\":{\"w\":501.0}}\n".to_owned())
    );
}

#[test]
fn separate_services_serve_the_same_by_both_wirings_and_count_each_message_once() {
    if !need(&["snmpd", "snmpget"]) {
        return;
    }
    let pdu = Pdu::start();
    let bus = tempfile::tempdir().unwrap();
    let (drivers, forwarder) = (
        format!("ipc://{}/drivers", bus.path().display()),
        format!("ipc://{}/forwarder", bus.path().display()),
    );
    let _drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "[bus]\n{KEY}\n[drivers]\npublish = ['{drivers}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n{}",
            pdu.meter()
        ),
    );
    let _forwarder = Kwapi::start(
        &["forwarder"],
        &format!(
            "[forwarder]\nsubscribe = ['{drivers}']\npublish = ['{forwarder}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n"
        ),
    );
    let api = |endpoints: &str| {
        Kwapi::start(
            &["api"],
            &format!(
                "state_directory = '@DIR@/state'\n[bus]\nkeys = [{}]\n[api]\nlisten = '127.0.0.1:@API@'\n\
                 subscribe = [{endpoints}]\n[status]\nlisten = '127.0.0.1:@STATUS@'\n",
                KEY.trim_start_matches("key = ")
            ),
        )
    };
    let directly = api(&format!("'{drivers}'"));
    let forwarded = api(&format!("'{forwarder}'"));
    let both = api(&format!("'{drivers}', '{forwarder}'"));
    for api in [&directly, &forwarded, &both] {
        assert_eq!(api.probe("rack.a")["w"].as_f64(), Some(101.0));
    }
    let duplicates = kwapi_peers::wait_until("duplicates noticed", PATIENCE, || {
        let (_, metrics) = get(both.api, "/metrics")?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("kwapi_collector_refused_total{cause=\"duplicate\""))?;
        line.rsplit(' ').next()?.parse::<f64>().ok().filter(|count| *count > 0.0)
    });
    assert!(duplicates > 0.0);
    let kwh = |api: &Kwapi| api.probe("rack.a")["kwh"].as_f64().unwrap();
    // Each counts from its own first message; twice the energy would be twice the other's rate.
    let (before_one, before_both) = (kwh(&directly), kwh(&both));
    kwapi_peers::wait_until("a thousandth of a kWh", PATIENCE, || {
        (kwh(&directly) - before_one > 1e-4).then_some(())
    });
    let (one, twice) = (kwh(&directly) - before_one, kwh(&both) - before_both);
    assert!(twice < one * 1.5, "{one} kWh directly, {twice} kWh by both ways");
}
