//! The compose file of a centre and two sites: each service is run here with the command and the configuration that it has
//! there, host names and ports replaced by those of this machine.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use kwapi_peers::{need_python, python_environment};
use serde_json::Value;

use super::*;
use crate::harness::run;

mod with_nats;

/// YAML as a parser of others reads it.
fn compose(name: &str) -> Value {
    let read = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let mut python = Command::new(python_environment("python"));
    python.args(["-c", read]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let text = std::fs::read(folder().join(name).join("compose.yaml")).unwrap();
    python.stdin.take().unwrap().write_all(&text).unwrap();
    serde_json::from_slice(&python.wait_with_output().unwrap().stdout).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// Where a service finds `inside` of the container, and with which rights.
fn mounted<'a>(service: &'a Value, inside: &str) -> Option<&'a str> {
    texts(&service["volumes"]).into_iter().find_map(|volume| volume.strip_suffix(inside)?.strip_suffix(':'))
}

fn log(running: &BTreeMap<&str, Peer>) -> String {
    running.iter().map(|(name, peer)| format!("── {name}\n{}", peer.log())).collect()
}

#[test]
fn the_centre_of_the_compose_file_has_both_sites_and_reaches_only_their_gateways() {
    if !need_python("python") {
        return;
    }
    let compose = compose("sites");
    let services: BTreeMap<&str, &Value> = compose["services"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, service)| (name.as_str(), service))
        .collect();
    let networks = |name: &str| texts(&services[name]["networks"]);
    for (name, service) in &services {
        assert_eq!(service["image"], "kwapi", "{name}");
        assert_eq!((&service["read_only"], &service["cap_drop"][0]), (&true.into(), &"all".into()), "{name}");
        for port in texts(&service["ports"]) {
            assert!(
                port.starts_with("127.0.0.1:"),
                "{name}: {port} is open to others without authentication"
            );
        }
    }
    // A port of this machine for each that a service has to itself in its container.
    let lab = Lab::empty();
    let ports: BTreeMap<&str, [u16; 5]> =
        services.keys().map(|name| (*name, [0; 5].map(|_: u16| free_port()))).collect();
    let mut running = BTreeMap::new();
    for (name, service) in &services {
        let own = ports[name];
        let folder_of = lab.join(name);
        std::fs::create_dir(&folder_of).unwrap();
        let file = mounted(service, "/etc/kwapi/kwapi.toml:ro").unwrap();
        let mut toml = std::fs::read_to_string(folder().join("sites").join(file)).unwrap();
        for (place, inside) in ["*:5556", "*:5557", "0.0.0.0:5000", "0.0.0.0:8080"].iter().zip(own) {
            let address = if place.starts_with('*') { "127.0.0.1" } else { "0.0.0.0" };
            toml = toml.replace(place, &format!("{address}:{inside}"));
        }
        for (other, theirs) in &ports {
            for (port, there) in [5556, 5557].iter().zip(theirs) {
                let (place, is_named) =
                    (format!("{other}:{port}"), toml.contains(&format!("{other}:{port}")));
                if is_named {
                    let shared = networks(name).iter().any(|network| networks(other).contains(network));
                    assert!(shared, "{name} and {other} have no network in common");
                }
                toml = toml.replace(&place, &format!("127.0.0.1:{there}"));
            }
        }
        let status = format!("\n[status]\nlisten = '127.0.0.1:{}'\n", own[4]);
        std::fs::write(folder_of.join("kwapi.toml"), toml + &status).unwrap();
        for site in ["lyon", "paris"] {
            let secret = format!("{site}.secret");
            if mounted(service, &format!("/etc/kwapi/{secret}:ro")) == Some(&format!("./secrets/{secret}")) {
                let file = folder_of.join(&secret);
                std::fs::write(&file, format!("{site} 0123456789abcdef0123456789abcdef")).unwrap();
                std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_kwapi"));
        command.args(texts(&service["command"])).arg("--config").arg(folder_of.join("kwapi.toml"));
        command.env("STATE_DIRECTORY", folder_of.join("state"));
        running.insert(*name, Peer::start(&mut command, lab.join(format!("{name}.log"))));
    }
    let probes = || {
        let (_, body) = get(ports["centre"][2], "/v1/probe-ids/")?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        let ids: Vec<String> = texts(&answer["probe_ids"]).into_iter().map(ToOwned::to_owned).collect();
        (ids.len() == 12).then_some(ids)
    };
    let patience = std::time::Instant::now();
    let probes = loop {
        if let Some(probes) = probes() {
            break probes;
        }
        assert!(patience.elapsed() < PATIENCE, "{}", log(&running));
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert_eq!(probes.iter().filter(|id| id.starts_with("lyon.rack1.")).count(), 8, "{probes:?}");
    assert_eq!(probes.iter().filter(|id| id.starts_with("paris.rack1.")).count(), 4, "{probes:?}");
    // The image's health check, which every one of them has.
    for (name, own) in &ports {
        let (is_well, output) =
            run(&["status", "--json", "--address", &format!("127.0.0.1:{}", own[4])], lab.path());
        assert!(is_well, "{name}: {output}");
    }
    assert_eq!(networks("centre"), ["between", "outside"]);
    assert_eq!(get(ports["centre"][3], "/last/minute/").unwrap().0, 200);
}
