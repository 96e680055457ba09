//! A real Ceilometer reading us by way of Keystone's catalogue and tokens, through both ways of `packaging/ceilometer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kwapi_core::Timestamp;
use kwapi_peers::{Lab, Peer, free_port, output, python_environment, wait_until};
use serde_json::Value;

use crate::cloud::{Cloud, environment};
use crate::keystone::auth;
use crate::stand::Stand;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ceilometer").join(name)
}

/// Starts a Ceilometer with its files in `directory`.
fn ceilometer(cloud: &Cloud, directory: &str, pollsters: &str, plugin: &str) -> Peer {
    let mut command = Command::new("bash");
    command
        .arg(cloud.lab.join("openstack/run-ceilometer.sh"))
        .arg(cloud.port.to_string())
        .arg(cloud.lab.join(directory))
        .args([pollsters, plugin, "power", "energy"])
        .env("CEILOMETER_VENV", environment("ceilometer"));
    Peer::start(&mut command, cloud.lab.join(format!("{directory}.out")))
}

/// The newest sample of each probe and meter, once there is one of each: `A energy` → volume, unit, type, timestamp.
fn samples(path: &Path, expected: usize) -> Option<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        let sample: Value = serde_json::from_str(line).ok()?;
        let word = |name: &str| sample[name].as_str().or(sample[&format!("counter_{name}")].as_str());
        let name = format!("{} {}", word("resource_id")?, word("name")?);
        samples.insert(name, sample);
    }
    (samples.len() >= expected).then_some(samples)
}

fn member<'a>(sample: &'a Value, name: &str) -> &'a Value {
    let long = &sample[format!("counter_{name}")];
    if long.is_null() { &sample[name] } else { long }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_ceilometer_publishes_our_values_by_pollsters_and_by_plugin() {
    if !kwapi_peers::need_python("keystone") || !kwapi_peers::need_python("ceilometer") {
        return;
    }
    let api_port = free_port();
    let cloud = Cloud::start(api_port).await;
    let stand = Stand::start(api_port, Some(auth(&cloud)));
    let measured = stand.hear("lyon.rack3.taurus-7", 97.5, 4_320_000);
    stand.hear("a/b é", 80.0, 1_584);

    let pollsters = packaging("pollsters.d").display().to_string();
    let plugin = packaging("plugin").display().to_string();
    for (directory, pollsters, plugin) in [("dynamic", pollsters.as_str(), "-"), ("plugged", "-", &*plugin)] {
        let agents = ceilometer(&cloud, directory, pollsters, plugin);
        let path = cloud.lab.join(directory).join("samples.json");
        let samples = tokio::task::spawn_blocking(move || {
            wait_until("four samples", Duration::from_secs(90), || samples(&path, 4))
        });
        let samples = samples.await.unwrap_or_else(|_| panic!("{directory}:\n{}", agents.log()));
        let text: Vec<String> = samples
            .iter()
            .map(|(name, sample)| {
                let [volume, unit, kind] = ["volume", "unit", "type"].map(|name| member(sample, name));
                format!("{name} = {volume} {} ({})", unit.as_str().unwrap(), kind.as_str().unwrap())
            })
            .collect();
        let expected = [
            "a/b é energy = 0.00044 kWh (cumulative)",
            "a/b é power = 80.0 W (gauge)",
            "lyon.rack3.taurus-7 energy = 1.2 kWh (cumulative)",
            "lyon.rack3.taurus-7 power = 97.5 W (gauge)",
        ];
        assert_eq!(text, expected, "{directory}");
        let sample = &samples["lyon.rack3.taurus-7 power"];
        let kept = sample["resource_metadata"]["timestamp"].as_f64().unwrap();
        assert_eq!(kept, measured.seconds_f64(), "{directory}");
        if directory == "plugged" {
            let time: jiff::civil::DateTime = sample["timestamp"].as_str().unwrap().parse().unwrap();
            let time = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_microsecond();
            assert_eq!(Timestamp::from_micros(u64::try_from(time).unwrap()), measured);
        }
    }
}

#[test]
fn ceilometer_itself_reads_our_gnocchi_resources() {
    if !kwapi_peers::need_python("ceilometer") {
        return;
    }
    let lab = Lab::empty();
    let script = "
import sys, warnings
warnings.simplefilter('ignore')
from ceilometer import service
from ceilometer.publisher import gnocchi
conf = service.prepare_service(argv=['test'], config_files=[])
resources, policies = gnocchi.GnocchiPublisher._load_definitions(conf, None, sys.argv[1])
for resource in resources:
    for metric, extra in sorted(resource.metrics.items()):
        print(resource.cfg['resource_type'], metric, extra['archive_policy_name'])
";
    let text = output(
        Command::new(python_environment("ceilometer"))
            .current_dir(lab.path())
            .args(["-W", "ignore", "-c", script])
            .arg(packaging("gnocchi_resources.yaml").canonicalize().unwrap())
            .stderr(std::process::Stdio::null()),
    );
    assert_eq!(text, "kwapi_probe energy ceilometer-low-rate\nkwapi_probe power ceilometer-low\n");
}
