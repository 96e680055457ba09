use std::fs;

use super::*;
use crate::config::documents;

/// The findings in `toml` on 2026-11-27 at noon, by line. Each key is written `KEY(id, the rest)`.
#[track_caller]
fn check_findings(toml: &str, expected: &[&str]) {
    let lab = tempfile::tempdir().unwrap();
    let file = lab.path().join("kwapi.toml");
    let toml = toml.replace("KEY(", "{ secret = '0123456789abcdef', id = ").replace(')', " }");
    fs::write(&file, toml).unwrap();
    let (written, resolved) = documents(&file).unwrap();
    let mut findings = Findings { written: &written, all: Vec::new() };
    check(&mut findings, &resolved, kwapi_bus::key_instant("2026-11-27T12:00:00Z").unwrap());
    assert!(findings.all.iter().all(|finding| !finding.is_error));
    let texts: Vec<_> = findings.all.iter().map(|finding| finding.text.rsplit('/').next().unwrap()).collect();
    assert_eq!(texts, expected);
}

#[test]
fn a_key_that_is_valid_now_and_for_weeks_is_no_finding() {
    check_findings(
        "[bus]\nkey = KEY('a')\nkeys = [KEY('b', valid_from = 2026-11-27T12:00:00Z, valid_until = 2026-12-19)]\n",
        &[],
    );
    check_findings("[api]\nlisten = '127.0.0.1:0'\ntls = { certificate = 'c', key = 'k' }\n", &[]);
}

#[test]
fn an_expired_key_is_reported_wherever_it_stands() {
    check_findings(
        "[bus]\nkey = KEY('a', valid_until = 2026-11-27T12:00:00Z)\nkeys = [\n  KEY('b'),\n  KEY('c', valid_until = '2026-01-02')]\n\
         [api]\nsubscribe = [{ url = 'tcp://10.0.7.1:5555', keys = [KEY('d', probes = 'lyon.*', valid_until = 2026-11-27)] }]\n",
        &[
            "kwapi.toml:2: key \"a\" has expired (valid until 2026-11-27T12:00:00Z); replace it",
            "kwapi.toml:5: key \"c\" has expired (valid until 2026-01-02T00:00:00Z); remove it",
            "kwapi.toml:7: key \"d\" has expired (valid until 2026-11-27T00:00:00Z); replace it",
        ],
    );
}

#[test]
fn a_key_that_waits_for_another_to_end_is_as_it_should_be() {
    check_findings(
        "[bus]\nkey = [\n  KEY('old', valid_until = 2026-12-01),\n  KEY('new', valid_from = 2026-12-01)]\n",
        &[],
    );
    check_findings(
        "[bus]\nkey = KEY('new', valid_from = 2026-12-01)\n",
        &[
            "kwapi.toml:2: key \"new\" is not valid yet (valid from 2026-12-01T00:00:00Z), and no other key is valid until then; check the dates and this machine's clock",
        ],
    );
}

#[test]
fn a_key_that_ends_within_weeks_needs_one_that_follows_for_its_probes() {
    let soon =
        "key \"paris\" expires soon (valid until 2026-12-18T12:00:00Z), and no other key follows; add one";
    check_findings(
        "[bus]\nkeys = [\n  KEY('paris', probes = 'paris.*', valid_until = 2026-12-18T12:00:00Z),\n\
         KEY('lyon', probes = 'lyon.*', valid_from = 2026-11-01)]\n",
        &[&format!("kwapi.toml:3: {soon}")],
    );
    // With a gap between them, no key is valid at the end of the first.
    check_findings(
        "[bus]\nkeys = [\n  KEY('paris', valid_until = 2026-12-18T12:00:00Z),\n  KEY('next', valid_from = 2026-12-20)]\n",
        &[&format!("kwapi.toml:3: {soon}")],
    );
}
