//! `kwapi keys`, and what libzmq makes of its keys.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use kwapi_peers::{Lab, need_python, python_environment};

use crate::harness::kwapi;

/// What a command prints, and whether it succeeds.
fn said(lab: &Lab, arguments: &[&str]) -> (bool, String) {
    let output = kwapi().current_dir(lab.path()).env_remove("KWAPI_CONFIG").args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_new_curve_key_is_one_that_libzmq_knows_and_nobody_else_reads() {
    if !need_python("python") {
        return;
    }
    let lab = Lab::empty();
    let (is_made, text) = said(&lab, &["keys", "curve", "gateway.curve"]);
    assert!(is_made, "{text}");
    let file = lab.join("gateway.curve");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    let public = said(&lab, &["keys", "public", "gateway.curve"]).1;
    assert!(text.contains(public.trim()) && !text.contains(secret.trim()), "{text}");
    let program = "import sys, zmq; print(zmq.curve_public(sys.argv[1].encode()).decode())";
    let mut python = Command::new(python_environment("python"));
    let told = kwapi_peers::output(python.args(["-c", program, secret.trim()]));
    assert_eq!(told.trim(), public.trim());

    let (is_made, text) = said(&lab, &["keys", "curve", "gateway.curve"]);
    assert!(!is_made && text.contains("exists already; a key is never overwritten"), "{text}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    std::fs::write(lab.join("short.curve"), "abc").unwrap();
    let (is_read, text) = said(&lab, &["keys", "public", "short.curve"]);
    assert!(!is_read && text.contains("short.curve: not a secret CURVE key"), "{text}");
}

#[test]
fn what_is_printed_is_a_configuration_whose_keys_are_listed_without_secrets() {
    let lab = Lab::empty();
    assert!(said(&lab, &["keys", "curve", "here.curve"]).0);
    let peer = {
        assert!(said(&lab, &["keys", "curve", "peer.curve"]).0);
        said(&lab, &["keys", "public", "peer.curve"]).1
    };
    let (is_made, text) =
        said(&lab, &["keys", "signing", "lyon.secret", "--id", "lyon", "--probes", "lyon.*"]);
    assert!(is_made, "{text}");
    let table: Vec<&str> =
        text.lines().filter(|line| line.starts_with("  ")).take(2).map(str::trim).collect();
    let toml = format!(
        "{}\n[drivers]\npublish = [{{ url = \"tcp://127.0.0.1:5559\", curve = {{ secret_key = {{ file = \"here.curve\" }}, clients = [\"{}\"] }} }}]\n",
        table.join("\n"),
        peer.trim()
    );
    std::fs::write(lab.join("kwapi.toml"), &toml).unwrap();
    let (is_listed, text) = said(&lab, &["keys", "list"]);
    assert!(is_listed, "{text}\n{toml}");
    let here = said(&lab, &["keys", "public", "here.curve"]).1;
    for expected in ["signs with     lyon", "for lyon.*", here.trim(), peer.trim(), "1 peer may connect"] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    for secret in ["here.curve", "lyon.secret"] {
        let secret = std::fs::read_to_string(lab.join(secret)).unwrap();
        assert!(!text.contains(secret.trim()), "{text}");
    }
    let (is_made, text) = said(&lab, &["keys", "signing", "x.secret", "--id", "a b"]);
    assert!(!is_made && text.contains("must be 1 to 64 letters") && !lab.join("x.secret").exists(), "{text}");
}
