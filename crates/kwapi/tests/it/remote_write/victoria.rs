//! Remote write into a real `VictoriaMetrics`: what it has then is exported and compared, sample by sample.

use super::*;

fn victoria_metrics(lab: &Path, port: u16) -> Peer {
    let mut command = Command::new("victoria-metrics");
    command.current_dir(lab).arg("-storageDataPath=data").arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    Peer::start(&mut command, lab.join("victoria-metrics.log"))
        .ready(PATIENCE, || get(port, "/health").is_some_and(|(status, _)| status == 200))
}

/// All that it has of a series, by Unix milliseconds. A staleness marker is no sample.
fn exported(port: u16, metric: &str, probe: &str) -> BTreeMap<u64, f64> {
    let series = format!("{metric}{{probe=\"{probe}\",site=\"lyon\"}}");
    let series: String = form_urlencoded::byte_serialize(series.as_bytes()).collect();
    let (status, body) = get(port, &format!("/api/v1/export?match[]={series}")).unwrap();
    assert_eq!(status, 200, "{body}");
    let mut samples = BTreeMap::new();
    for line in body.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let stamps = row["timestamps"].as_array().unwrap();
        for (stamp, value) in stamps.iter().zip(row["values"].as_array().unwrap()) {
            let Some(value) = value.as_f64() else { continue };
            assert_eq!(samples.insert(stamp.as_u64().unwrap(), value), None, "{probe}: {stamp} twice");
        }
    }
    samples
}

/// It writes numbers as decimals: the last of a double's 16 digits may differ.
fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= one.abs() * 1e-14
}

/// Waits until it has something of a probe that is newer than `after`, and returns its newest stamp.
fn newer(port: u16, probe: &str, after: u64) -> u64 {
    wait_until("a newer sample", PATIENCE, || {
        let samples = exported(port, "kwapi_probe_power_watts", probe);
        samples.keys().next_back().copied().filter(|newest| *newest > after)
    })
}

#[test]
fn victoria_metrics_has_each_sample_once_after_it_was_away() {
    if !need(&["victoria-metrics"]) {
        return;
    }
    let (store, port) = (Lab::empty(), free_port());
    let server = victoria_metrics(store.path(), port);
    let toml = site(port, "");
    let service = Kwapi::start(&["run"], &toml);
    let sent = newer(port, "lyon.3", 0);
    newer(port, "lyon.3", sent + 1_000);
    // It ends in the middle of it, and meanwhile the service is killed.
    server.stop(15, PATIENCE);
    wait_until("a trouble", PATIENCE, || {
        troubles(&service).contains("remote write default: cannot send to").then_some(())
    });
    let service = Kwapi::start_in(killed(service), &["run"], &toml);
    service.probe("lyon.1");
    let _server = victoria_metrics(store.path(), port);
    let sent = newer(port, "lyon.2", sent);
    newer(port, "lyon.2", sent + 2_000);
    for probe in PROBES {
        let power = exported(port, "kwapi_probe_power_watts", probe);
        let energy = exported(port, "kwapi_probe_energy_joules_total", probe);
        let newest = *power.keys().next_back().unwrap();
        let ours = wait_until("the newest sample here", PATIENCE, || {
            let ours = ours(&service, probe);
            ours.contains_key(&newest).then_some(ours)
        });
        let ours: BTreeMap<_, _> = ours.range(..=newest).collect();
        assert!(power.keys().eq(ours.keys().copied()), "{probe}: {power:?}\n{ours:?}");
        for (at, (watts, joules)) in ours {
            assert!(is_same(*watts, power[at]), "{probe}: {watts} W and {} at {at}", power[at]);
            assert!(is_same(*joules, energy[at]), "{probe}: {joules} J and {} at {at}", energy[at]);
        }
    }
    assert_eq!(samples(&service, "refused"), 0, "{}", service.process.log());
    assert_eq!(troubles(&service), "[]");
}
