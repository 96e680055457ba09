//! `kwapi keys`, and what libzmq makes of its keys.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use kwapi_peers::{Lab, free_port, need_python, python_environment, wait_until};

use crate::harness::{Kwapi, PATIENCE, get, kwapi};

/// What a command prints, and whether it succeeds.
fn run_keys(lab: &Lab, arguments: &[&str]) -> (bool, String) {
    let output = kwapi().current_dir(lab.path()).env_remove("KWAPI_CONFIG").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_new_curve_key_is_one_that_libzmq_accepts_and_nobody_else_reads() {
    if !need_python("python") {
        return;
    }
    let lab = Lab::empty();
    let (is_made, text) = run_keys(&lab, &["keys", "curve", "gateway.curve"]);
    assert!(is_made, "{text}");
    let file = lab.join("gateway.curve");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    let public = run_keys(&lab, &["keys", "public", "gateway.curve"]).1;
    assert!(text.contains(public.trim()) && !text.contains(secret.trim()), "{text}");
    let program = "import sys, zmq; print(zmq.curve_public(sys.argv[1].encode()).decode())";
    let mut python = Command::new(python_environment("python"));
    let z85 = kwapi_peers::output(python.args(["-c", program, secret.trim()]));
    assert_eq!(z85.trim(), public.trim());

    let (is_made, text) = run_keys(&lab, &["keys", "curve", "gateway.curve"]);
    assert!(!is_made && text.contains("exists already; a key is never overwritten"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    std::fs::write(lab.join("short.curve"), "abc").unwrap();
    let (is_read, text) = run_keys(&lab, &["keys", "public", "short.curve"]);
    assert!(!is_read && text.contains("short.curve: not a secret CURVE key"), "{text}");
}

#[test]
fn what_is_printed_is_a_configuration_whose_keys_are_listed_without_secrets() {
    let lab = Lab::empty();
    assert!(run_keys(&lab, &["keys", "curve", "here.curve"]).0);
    let peer = {
        assert!(run_keys(&lab, &["keys", "curve", "peer.curve"]).0);
        run_keys(&lab, &["keys", "public", "peer.curve"]).1
    };
    let (is_made, text) =
        run_keys(&lab, &["keys", "signing", "lyon.secret", "--id", "lyon", "--probes", "lyon.*"]);
    assert!(is_made, "{text}");
    let table: Vec<&str> =
        text.lines().filter(|line| line.starts_with("  ")).take(2).map(str::trim).collect();
    let toml = format!(
        "{}\n[drivers]\npublish = [{{ url = \"tcp://127.0.0.1:5559\", curve = {{ secret_key = {{ file = \"here.curve\" }}, clients = [\"{}\"] }} }}]\n",
        table.join("\n"),
        peer.trim()
    );
    std::fs::write(lab.join("kwapi.toml"), &toml).unwrap();
    let (is_listed, text) = run_keys(&lab, &["keys", "list"]);
    assert!(is_listed, "{text}\n{toml}");
    let here = run_keys(&lab, &["keys", "public", "here.curve"]).1;
    for expected in ["signs with     lyon", "for lyon.*", here.trim(), peer.trim(), "1 peer may connect"] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    for secret in ["here.curve", "lyon.secret"] {
        let secret = std::fs::read_to_string(lab.join(secret)).unwrap();
        assert!(!text.contains(secret.trim()), "{text}");
    }
    let (is_made, text) = run_keys(&lab, &["keys", "signing", "x.secret", "--id", "a b"]);
    assert!(!is_made && text.contains("must be 1 to 64 letters") && !lab.join("x.secret").exists(), "{text}");
}

/// A counter of a process's metrics; 0 before it counts.
fn counted(process: &Kwapi, name: &str) -> f64 {
    let (_, metrics) = get(process.status, "/metrics").unwrap_or_default();
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn grows(process: &Kwapi, name: &str) {
    let before = counted(process, name);
    wait_until(&format!("{name} grows"), PATIENCE, || (counted(process, name) > before).then_some(()));
}

/// Writes another configuration, and has it taken up.
fn reconfigure(process: &Kwapi, toml: &str) {
    let toml =
        toml.replace("@API@", &process.api.to_string()).replace("@STATUS@", &process.status.to_string());
    let toml = toml.replace("@DIR@", &process.lab.path().display().to_string());
    let reloads = || process.process.log().matches("configuration reloaded").count();
    let before = reloads();
    std::fs::write(process.file("kwapi.toml"), toml).unwrap();
    process.process.signal(1);
    wait_until("the reload", PATIENCE, || (reloads() > before).then_some(()));
    assert!(!process.process.log().contains("a restart is required"), "{}", process.process.log());
}

/// The events of an audit log that are of keys, each as its change and its key.
fn audited(process: &Kwapi) -> Vec<(String, String)> {
    let log = std::fs::read_to_string(process.file("state/audit.log")).unwrap_or_default();
    let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |event: &serde_json::Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["event"] == "key")
        .map(|event| (text(&event, "change"), text(&event, "key")))
        .collect()
}

#[test]
fn who_may_connect_and_what_is_signed_with_change_by_a_reload_and_it_is_recorded() {
    let lab = Lab::empty();
    let pair = |name: &str| {
        assert!(run_keys(&lab, &["keys", "curve", name]).0);
        let public = run_keys(&lab, &["keys", "public", name]).1.trim().to_owned();
        (lab.join(name).display().to_string(), public)
    };
    let (server, plugin, other) = (pair("server"), pair("plugin"), pair("other"));
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let drivers = |clients: &[&str], key: &str| {
        format!(
            "state_directory = '@DIR@/state'\n[bus]\nkey = {key}\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
             [drivers]\npublish = [{{ url = '{url}', curve = {{ secret_key = {{ file = '{}' }}, clients = {clients:?} }} }}]\n\
             [[meter]]\ndriver = 'dummy'\ninterval_seconds = 0.1\nprobe = 'lyon.a'\n",
            server.0
        )
    };
    let api = |keys: &str| {
        format!(
            "state_directory = '@DIR@/state'\n[bus]\nkeys = {keys}\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
             [api]\nlisten = '127.0.0.1:@API@'\nsubscribe = [{{ url = '{url}', curve = {{ secret_key = {{ file = '{}' }}, \
             public_key = '{}', server_key = '{}' }} }}]\n",
            plugin.0, plugin.1, server.1
        )
    };
    let old = "{ id = 'lyon', secret = '0123456789abcdef', probes = 'lyon.*' }";
    let new = "{ id = 'lyon-2', secret = '0123456789abcdeg', probes = 'lyon.*', valid_from = 2026-01-01 }";
    let without = Kwapi::start(&["drivers"], &drivers(&[&other.1], old));
    let listener = Kwapi::start(&["api"], &api(&format!("[{old}]")));
    grows(&without, "kwapi_bus_published_total");
    assert_eq!(counted(&listener, "kwapi_bus_received_total"), 0.0, "its key is not in the list");
    reconfigure(&without, &drivers(&[&other.1, &plugin.1], old));
    grows(&listener, "kwapi_bus_verified_total");
    // Both sides have the new key before it signs, and the old one goes last.
    reconfigure(&listener, &api(&format!("[{old}, {new}]")));
    reconfigure(&without, &drivers(&[&other.1, &plugin.1], &format!("[{old}, {new}]")));
    grows(&listener, "kwapi_bus_verified_total");
    wait_until("the new key signs", PATIENCE, || {
        (counted(&listener, "kwapi_bus_skew_seconds{plugin=\"api\",endpoint") != 0.0
            && get(listener.status, "/metrics")?.1.contains("key=\"lyon-2\""))
        .then_some(())
    });
    reconfigure(&listener, &api(&format!("[{new}]")));
    grows(&listener, "kwapi_bus_verified_total");
    assert_eq!(counted(&listener, "kwapi_bus_refused_total"), 0.0, "nothing was lost");
    assert_eq!(counted(&listener, "kwapi_collector_lost_messages"), 0.0);
    // Who is taken off the list receives nothing more.
    reconfigure(&without, &drivers(&[&other.1], &format!("[{new}]")));
    wait_until("the plugin is dropped", PATIENCE, || {
        let before = counted(&listener, "kwapi_bus_received_total");
        grows(&without, "kwapi_bus_published_total");
        std::thread::sleep(std::time::Duration::from_millis(500));
        (counted(&listener, "kwapi_bus_received_total") == before).then_some(())
    });
    let recorded = audited(&without);
    for (change, key) in [
        ("present", format!("lets in {} at {url}", other.1)),
        ("present", "signs with lyon for lyon.*".to_owned()),
        ("added", format!("lets in {} at {url}", plugin.1)),
        ("added", "signs with lyon-2 for lyon.*, from 2026-01-01T00:00:00Z".to_owned()),
        ("removed", "signs with lyon for lyon.*".to_owned()),
        ("removed", format!("lets in {} at {url}", plugin.1)),
    ] {
        assert!(recorded.contains(&(change.to_owned(), key.clone())), "{change} {key}: {recorded:?}");
    }
    let recorded = std::fs::read_to_string(without.file("state/audit.log")).unwrap();
    assert!(!recorded.contains("0123456789abcde"), "a secret was recorded");
}

#[test]
fn a_site_cannot_publish_for_another() {
    let url = format!("tcp://127.0.0.1:{}", free_port());
    let drivers = Kwapi::start(
        &["drivers"],
        &format!(
            "state_directory = '@DIR@/state'\n[bus]\nkey = {{ id = 'lyon', secret = '0123456789abcdef' }}\n\
             [drivers]\npublish = ['{url}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
             [[meter]]\ndriver = 'dummy'\ninterval_seconds = 0.1\nprobes = ['lyon.a', 'paris.a']\n"
        ),
    );
    let api = Kwapi::start(
        &["api"],
        &format!(
            "state_directory = '@DIR@/state'\n\
             [bus]\nkeys = [{{ id = 'lyon', secret = '0123456789abcdef', probes = 'lyon.*' }}, {{ id = 'paris', secret = 'fedcba9876543210', probes = 'paris.*' }}]\n\
             [api]\nlisten = '127.0.0.1:@API@'\nsubscribe = ['{url}']\n[status]\nlisten = '127.0.0.1:@STATUS@'\n"
        ),
    );
    assert!(api.probe("lyon.a")["w"].is_f64(), "{}", drivers.process.log());
    grows(&api, "kwapi_bus_refused_total{plugin=\"api\",cause=\"key_scope\"}");
    let (_, probes) = get(api.api, "/v1/probes/").unwrap();
    assert!(!probes.contains("paris"), "{probes}");
}

#[test]
fn keys_are_listed_with_their_validity() {
    let lab = Lab::empty();
    let (is_made, text) = run_keys(
        &lab,
        &[
            "keys",
            "signing",
            "next",
            "--id",
            "next",
            "--valid-from",
            "2026-03-01",
            "--valid-until",
            "2199-01-01T12:00:00Z",
        ],
    );
    let printed = r#"{ id = "next", secret = { file = "next" }, valid_from = "2026-03-01T00:00:00Z", valid_until = "2199-01-01T12:00:00Z" }"#;
    assert!(is_made && text.contains(printed), "{text}");
    let toml = format!(
        "[bus]\nkey = [{printed}, {{ id = 'later', secret = '0123456789abcdef', valid_from = 2199-01-01 }}]\n\
         keys = [{{ id = 'over', secret = '0123456789abcdef', probes = 'lyon.*', valid_until = 2020-01-01T00:00:00Z }}]\n"
    );
    std::fs::write(lab.join("kwapi.toml"), toml).unwrap();
    let (is_listed, text) = run_keys(&lab, &["keys", "list"]);
    for line in [
        "signs with     next             for *, from 2026-03-01T00:00:00Z until 2199-01-01T12:00:00Z\n",
        "signs with     later            for *, from 2199-01-01T00:00:00Z (not valid yet)\n",
        "accepts        over             for lyon.*, until 2020-01-01T00:00:00Z (no longer valid)\n",
    ] {
        assert!(is_listed && text.contains(line), "{line:?} in {text}");
    }
    let (is_made, text) = run_keys(&lab, &["keys", "signing", "x", "--id", "x", "--valid-from", "soon"]);
    assert!(!is_made && text.contains("must be an instant such as"), "{text}");
    for (key, expected) in [
        ("valid_from = 'soon'", "an instant such as"),
        ("valid_from = 2026-02-01, valid_until = 2026-01-01", "valid_until must be later than valid_from"),
    ] {
        let toml = format!("[bus]\nkey = {{ id = 'k', secret = '0123456789abcdef', {key} }}\n");
        std::fs::write(lab.join("kwapi.toml"), toml).unwrap();
        let (is_good, text) = run_keys(&lab, &["check"]);
        assert!(!is_good && text.contains(expected) && text.contains("kwapi.toml"), "{text}");
    }
}
