//! From a real SNMP agent to what a real Ceilometer publishes, with tokens and a catalogue of a real Keystone.

use std::time::Duration;

use kwapi_peers::openstack::{Ceilometer, Keystone, Sample, Way};
use kwapi_peers::{need, need_python, wait_until};
use serde_json::{Value, json};

use crate::devices::Pdu;
use crate::harness::{Kwapi, PATIENCE, request};

/// What Ceilometer may take to start and poll, which loads Python programs of a hundred modules.
const CEILOMETER_PATIENCE: Duration = Duration::from_secs(90);

/// The probes of [`Pdu::meter`], and their outlets.
const OUTLETS: [(&str, u32); 3] = [("rack.a", 1), ("rack.b", 2), ("rack.x", 24)];

#[test]
fn a_real_ceilometer_publishes_the_watts_of_a_real_agent() {
    let programs = need(&["bash", "snmpd", "snmpget"]);
    if !programs || !need_python("keystone") || !need_python("ceilometer") {
        return;
    }
    let pdu = Pdu::start();
    let keystone = Keystone::start();
    let password_file = keystone.lab.join("password");
    std::fs::write(&password_file, "kwapipw\n").unwrap();
    let kwapi = Kwapi::start(
        &["run"],
        &format!(
            "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[api.auth.keystone]\nurl = '{}'\n\
             username = 'kwapi'\npassword_file = '{}'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n{}",
            keystone.url(""),
            password_file.display(),
            pdu.meter()
        ),
    );
    keystone.register(kwapi.api);
    let both = [Way::Pollsters, Way::Plugin].map(|way| (way, Ceilometer::start(&keystone, way)));

    let refused = wait_until("an answer", PATIENCE, || probes(&kwapi, None));
    assert_eq!(refused.0, 401, "{}", refused.1);
    let token = token(&keystone, "ceilometer", "ceilpw");
    let known = wait_until("all probes at the API", PATIENCE, || {
        let (status, body) = probes(&kwapi, Some(&token))?;
        assert_eq!(status, 200, "{body}\n{}", kwapi.process.log());
        (body["probes"].as_object()?.len() == OUTLETS.len()).then_some(body)
    });
    assert_eq!(known["probes"]["rack.a"]["w"].as_f64(), Some(101.0));

    for (way, ceilometer) in &both {
        let samples = ceilometer.samples_within(CEILOMETER_PATIENCE, 2 * OUTLETS.len());
        let (_, shown) = probes(&kwapi, Some(&token)).unwrap();
        assert_eq!(samples.len(), 2 * OUTLETS.len(), "{way:?}: {samples:?}");
        for (probe, outlet) in OUTLETS {
            let power = &samples[&format!("{probe} power")];
            assert_eq!(about(power), ("W", "gauge"), "{way:?}");
            assert_eq!(power.volume, pdu.watts_by_snmpget(outlet), "{probe} by {way:?}");
            let energy = &samples[&format!("{probe} energy")];
            assert_eq!(about(energy), ("kWh", "cumulative"), "{way:?}");
            let kwh = shown["probes"][probe]["kwh"].as_f64().unwrap();
            assert!(
                energy.volume > 0.0 && energy.volume <= kwh,
                "{probe} by {way:?}: {} kWh, then {kwh}",
                energy.volume
            );
        }
        assert_eq!(samples["rack.a power"].volume, 101.0, "{way:?}");
    }
}

fn about(sample: &Sample) -> (&str, &str) {
    (&sample.unit, &sample.kind)
}

/// `GET /v1/probes/` with a token or without: its status and its body.
fn probes(kwapi: &Kwapi, token: Option<&str>) -> Option<(u16, Value)> {
    let token = token.map(|token| format!("X-Auth-Token: {token}\r\n")).unwrap_or_default();
    let text = format!("GET /v1/probes/ HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n");
    let (status, _, body) = request(kwapi.api, &text)?;
    Some((status, serde_json::from_slice(&body).ok()?))
}

/// A token of a user on project `service`, from Keystone itself.
fn token(keystone: &Keystone, user: &str, password: &str) -> String {
    let domain = json!({ "id": "default" });
    let user = json!({ "name": user, "domain": domain, "password": password });
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "name": "service", "domain": domain } },
    } })
    .to_string();
    let text = format!(
        "POST /v3/auth/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (status, head, body) = request(keystone.port, &text).unwrap();
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
    });
    token.unwrap()
}
