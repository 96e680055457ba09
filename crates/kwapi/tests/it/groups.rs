//! Groups and power over time, of a running service.

use kwapi_peers::wait_until;
use serde_json::Value;

use crate::harness::{Kwapi, PATIENCE, get, request};

fn json(port: u16, path: &str) -> Option<Value> {
    let (status, body) = get(port, path)?;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).ok()
}

/// The page of the hall, which shows the kilowatt-hours that `/v2/energy` has at the same position in the journal.
fn page_with_energy(service: &Kwapi) -> String {
    let get = |port: u16, path: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (status, head, body) = request(port, &text)?;
        let position = head.lines().find_map(|line| line.strip_prefix("kwapi-position: ").map(str::to_owned));
        (status == 200).then_some((position?, String::from_utf8(body).ok()?))
    };
    wait_until("one position of page and API", PATIENCE, || {
        let (position, page) = get(service.web, "/group/hall/")?;
        let (other, energy) = get(service.api, "/v2/energy?group=hall&start=2026-01-01T00:00:00Z")?;
        if position != other {
            return None;
        }
        let energy: Value = serde_json::from_str(&energy).ok()?;
        let joules = energy["energy"][0]["rows"][0]["joules"].as_f64()?;
        let kwh = kwapi_graph::energy_text(joules / 3.6e6);
        // In its head, and in the legend of each period: all of them have all of it.
        assert_eq!(page.matches(&format!("<dd>{kwh}</dd>")).count(), 6, "{kwh} in {page}");
        assert!(page.contains(&format!("<strong>{kwh}</strong>")), "{kwh} in {page}");
        Some(page)
    })
}

#[test]
fn a_rack_is_reported_by_its_meter_with_what_that_lacks() {
    let mut toml = "state_directory = '@DIR@/state'\n[rrd]\nlisten = '127.0.0.1:@WEB@'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
                    [api]\nlisten = '127.0.0.1:@API@'\n"
        .to_owned();
    for (probe, watts) in [("hall.rack", 100), ("hall.rack.a", 60), ("hall.rack.b", 70), ("hall.c", 5)] {
        toml += &format!(
            "[[meter]]\ndriver = 'dummy'\nprobe = '{probe}'\nwatts = {watts}\ninterval_seconds = 0.2\naccuracy = '1 %'\n"
        );
    }
    toml += "[[virtual]]\nprobe = 'hall.all'\nsum = ['hall.rack', 'hall.c']\n";
    let service = Kwapi::start(&["run"], &toml);
    let hall = wait_until("all members of the hall", PATIENCE, || {
        let groups = json(service.api, "/v2/groups/")?;
        let hall = groups["groups"].get(0).cloned()?;
        (hall["reporting"] == 4).then_some(hall)
    });
    let about = |value: &Value, watts: f64| (value.as_f64().unwrap() - watts).abs() < watts.abs() / 4.0;
    assert_eq!((&hall["group"], &hall["probes"], &hall["meter"]), (&"hall".into(), &4.into(), &Value::Null));
    assert!(about(&hall["watts"], 105.0), "each watt once: {hall}");
    let rack = wait_until("energy of the rack", PATIENCE, || {
        let rack = json(service.api, "/v2/groups/hall.rack/")?;
        rack["energy"]["energy"][0]["rows"][0]["joules"]
            .as_f64()
            .is_some_and(|joules| joules > 100.0)
            .then_some(rack)
    });
    assert!(about(&rack["watts"], 100.0) && rack["rest_watts"].as_f64().unwrap() < 0.0, "{rack}");
    // Below nothing, but nobody is judged by a few seconds.
    let [meter] = &rack["rests"]["meters"].as_array().unwrap()[..] else { panic!("{rack}") };
    assert_eq!(
        (&meter["meter"], &meter["probes_below"], &meter["finding"]),
        (&"hall.rack".into(), &2.into(), &Value::Null)
    );
    assert_eq!(json(service.status, "/troubles").unwrap(), Value::Array(Vec::new()));
    let (_, metrics) = get(service.status, "/metrics").unwrap();
    assert!(metrics.contains("\nkwapi_group_negative_rests 0\n"), "{metrics}");
    let known = wait_until("two seconds of the hall", PATIENCE, || {
        let series = json(service.api, "/v2/series?group=hall&step=1")?;
        let rows = series["series"][0]["rows"].as_array()?.iter();
        let known: Vec<_> = rows.filter(|row| row["watts_known_share"] == 1.0).cloned().collect();
        (known.len() > 1).then_some(known)
    });
    assert!(known.iter().all(|row| about(&row["watts_mean"], 105.0)), "{known:?}");
    // Before its first sample the RRD file has a second of a probe.
    let page = page_with_energy(&service);
    assert!(page.contains("4 of 4 probes reporting") && page.contains("100 % known"), "{page}");
    wait_until("a graph of the hall", PATIENCE, || {
        let (status, svg) = get(service.web, "/graph/minute/group/hall/?format=svg")?;
        (status == 200 && svg.contains("kw-line")).then_some(())
    });
    let (_, metrics) = get(service.status, "/metrics").unwrap();
    assert!(
        metrics.contains("\nkwapi_groups 2\n") && metrics.contains("\nkwapi_groups_refused_total 0\n"),
        "{metrics}"
    );
    let (_, ready) = get(service.status, "/readyz").unwrap();
    assert!(!ready.contains("groups:"), "{ready}");
    assert!(known[1..].iter().all(|row| row["watts_source"] == "samples"), "{known:?}");
}
