//! From a real SNMP agent to what a real Ceilometer publishes and a real Gnocchi keeps, with tokens and a catalogue of a
//! real Keystone, the definitions of `packaging/ceilometer` and the commands of the manual.

use std::time::{Duration, Instant};

use kwapi_peers::openstack::{Ceilometer, CeilometerSample, Gnocchi, Keystone, Way};
use kwapi_peers::{need, need_python, wait_until};
use serde_json::{Value, json};

use crate::devices::Pdu;
use crate::gnocchi::{Reader, run_of_the_manual};
use crate::harness::{Kwapi, PATIENCE, request};

/// What Ceilometer may take to start and poll, which loads Python programs of a hundred modules.
const CEILOMETER_PATIENCE: Duration = Duration::from_secs(90);

/// The probes of [`Pdu::meter`], and their outlets.
const OUTLETS: [(&str, u32); 3] = [("rack.a", 1), ("rack.b", 2), ("rack.x", 24)];

/// How often each probe's energy is published before we look: two differences at least, where the last one is lost.
const CYCLES: usize = 4;

/// Gnocchi adds differences of totals in an order of its own.
const ROUNDING: f64 = 1e-9;

const JOULES_PER_KWH: f64 = 3_600_000.0;

#[test]
fn ceilometer_publishes_and_gnocchi_keeps_the_watts_and_kilowatt_hours_of_a_real_agent() {
    let programs = need(&["bash", "snmpd", "snmpget", "initdb", "setpriv"]);
    let environments = ["keystone", "ceilometer", "gnocchi"].map(need_python);
    if !programs || environments.contains(&false) {
        return;
    }
    let pdu = Pdu::start();
    let keystone = Keystone::start();
    let gnocchi = Gnocchi::start(&keystone);
    let kwapi = behind(&keystone, &pdu);
    keystone.register_both(kwapi.api, &gnocchi);
    let refused = wait_until("an answer", PATIENCE, || probes(&kwapi, None));
    assert_eq!(refused.0, 401, "{}", refused.1);
    let token = token(&keystone, "ceilometer", "ceilpw", "service");
    let shown = || {
        let (status, body) = probes(&kwapi, Some(&token))?;
        assert_eq!(status, 200, "{body}\n{}", kwapi.process.log());
        (body["probes"].as_object()?.len() == OUTLETS.len()).then_some(body)
    };
    let known = wait_until("all probes at the API", PATIENCE, shown);
    assert_eq!(known["probes"]["rack.a"]["w"].as_f64(), Some(101.0));
    run_of_the_manual(&keystone, "resource-type create");
    let reader = Reader::new(&keystone, &gnocchi);

    // The plugin's samples keep the time of the measurement.
    let published = published(&keystone, Way::Plugin, &reader);
    let known = shown().unwrap();
    for (probe, outlet) in OUTLETS {
        let watts = pdu.watts_by_snmpget(outlet);
        let (first, last) = check(&published, probe, watts, &known, &reader);
        for aggregation in ["mean", "min", "max"] {
            let kept = reader.measures(probe, "power", aggregation);
            assert!(!kept.is_empty() && kept.iter().all(|value| *value == watts), "{probe}: {kept:?}");
        }
        let kwh = reader.measures(probe, "energy", "rate:sum").iter().sum();
        assert_close(kwh, last.volume - first.volume, ROUNDING);
        assert_close(kwh, watts * (last.measured - first.measured) / JOULES_PER_KWH, 0.01);
    }
    let output = run_of_the_manual(&keystone, "original_resource_id");
    assert!(output.contains("rack.a") && output.contains("101.0"), "{output}");

    // The dynamic pollsters', to the same resources, have the time of the cycle.
    let before = OUTLETS.map(|(probe, _)| reader.total(probe));
    pdu.draw(201);
    wait_until("the new watts", PATIENCE, || {
        let known = shown()?;
        OUTLETS.iter().all(|(probe, _)| known["probes"][probe]["w"].as_f64() > Some(200.0)).then_some(())
    });
    let published = self::published(&keystone, Way::Pollsters, &reader);
    let known = shown().unwrap();
    for ((probe, outlet), before) in OUTLETS.into_iter().zip(before) {
        let watts = pdu.watts_by_snmpget(outlet);
        let (first, _) = check(&published, probe, watts, &known, &reader);
        assert!(first.volume > before, "{probe}: {before} kWh, then {first:?}");
        assert_eq!(reader.measures(probe, "power", "max").last(), Some(&watts), "{probe}");
    }
}

/// Lets Ceilometer publish for some cycles, ends it, and returns all it published, once Gnocchi has aggregated it.
fn published(keystone: &Keystone, way: Way, reader: &Reader<'_>) -> Vec<(String, CeilometerSample)> {
    let ceilometer = Ceilometer::start_with_gnocchi(keystone, way);
    let start = Instant::now();
    while !OUTLETS.iter().all(|(probe, _)| of(&ceilometer.samples(), probe, "energy").count() >= CYCLES) {
        assert!(start.elapsed() < CEILOMETER_PATIENCE, "{way:?}:\n{}", ceilometer.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = ceilometer.log();
    assert!(!log.contains("Gnocchi client exception") && !log.contains("Traceback"), "{way:?}:\n{log}");
    let published = ceilometer.stop();
    assert_eq!(published.iter().filter(|(name, _)| !name.contains("rack.")).count(), 0, "{published:?}");
    wait_until("gnocchi-metricd", PATIENCE, || reader.has_aggregated_all().then_some(()));
    published
}

/// Checks what was published of a probe, and that Gnocchi has the meters' units and the last total. Returns the first
/// sample of its energy, and the one that Gnocchi has as the last.
fn check<'a>(
    published: &'a [(String, CeilometerSample)],
    probe: &str,
    watts: f64,
    known: &Value,
    reader: &Reader<'_>,
) -> (&'a CeilometerSample, &'a CeilometerSample) {
    for power in of(published, probe, "power") {
        assert_eq!((power.volume, about(power)), (watts, ("W", "gauge")), "{probe}");
    }
    let energy: Vec<_> = of(published, probe, "energy").collect();
    let kwh = known["probes"][probe]["kwh"].as_f64().unwrap();
    for sample in &energy {
        assert_eq!(about(sample), ("kWh", "cumulative"), "{probe}");
        assert!(sample.volume > 0.0 && sample.volume <= kwh, "{probe}: {sample:?}, then {kwh} kWh");
    }
    assert_eq!(reader.about(probe, "power"), ["W", "kwapi-power"], "{probe}");
    assert_eq!(reader.about(probe, "energy"), ["kWh", "kwapi-energy"], "{probe}");

    let total = reader.total(probe);
    // The last cycle may have been cut off on its way.
    let last = energy.iter().rposition(|sample| sample.volume == total);
    let last = last.unwrap_or_else(|| panic!("{probe}: {total} kWh was never published: {energy:?}"));
    assert!(last + 2 >= energy.len() && last + 2 >= CYCLES, "{probe}: sample {last} of {energy:?}");
    (energy[0], energy[last])
}

fn of<'a>(
    published: &'a [(String, CeilometerSample)],
    probe: &str,
    meter: &str,
) -> impl Iterator<Item = &'a CeilometerSample> + use<'a> {
    let name = format!("{probe} {meter}");
    published.iter().filter(move |(of, _)| *of == name).map(|(_, sample)| sample)
}

fn about(sample: &CeilometerSample) -> (&str, &str) {
    (&sample.unit, &sample.kind)
}

#[track_caller]
fn assert_close(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance * expected.abs(), "{value} is not {expected}");
}

/// A kwapi that reads `pdu` and lets in who is in `keystone`.
fn behind(keystone: &Keystone, pdu: &Pdu) -> Kwapi {
    let password_file = keystone.lab.join("password");
    std::fs::write(&password_file, "kwapipw\n").unwrap();
    Kwapi::start(
        &["run"],
        &format!(
            "state_directory = '@DIR@/state'\n[api]\nlisten = '127.0.0.1:@API@'\n[api.auth.keystone]\nurl = '{}'\n\
             username = 'kwapi'\npassword_file = '{}'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n\
             [status]\nlisten = '127.0.0.1:@STATUS@'\n{}",
            keystone.url(""),
            password_file.display(),
            pdu.meter()
        ),
    )
}

/// `GET /v1/probes/` with a token or without: its status and its body.
fn probes(kwapi: &Kwapi, token: Option<&str>) -> Option<(u16, Value)> {
    let token = token.map(|token| format!("X-Auth-Token: {token}\r\n")).unwrap_or_default();
    let text = format!("GET /v1/probes/ HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n");
    let (status, _, body) = request(kwapi.api, &text)?;
    Some((status, serde_json::from_slice(&body).ok()?))
}

/// A token of a user on a project, from Keystone itself.
pub(crate) fn token(keystone: &Keystone, user: &str, password: &str, project: &str) -> String {
    let domain = json!({ "id": "default" });
    let user = json!({ "name": user, "domain": domain, "password": password });
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": user } },
        "scope": { "project": { "name": project, "domain": domain } },
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
