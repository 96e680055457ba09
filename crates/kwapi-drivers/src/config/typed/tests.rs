use std::collections::BTreeMap;
use std::net::SocketAddr;

use kwapi_core::{ProbeId, Secret};
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by serde and shown")]
struct Keys {
    host: String,
    #[serde(default)]
    port: u16,
    secret: Option<Secret>,
    listen: Option<SocketAddr>,
    mode: Option<Mode>,
    #[serde(default)]
    phases: Vec<Phase>,
    #[serde(default)]
    tables: BTreeMap<ProbeId, Phase>,
    names: Option<Names>,
    scale: Option<f64>,
    any: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read by serde and shown")]
enum Mode {
    Fast,
    Slow { seconds: f64 },
    Fixed(u8),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by serde and shown")]
struct Phase {
    volts: f64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by serde and shown")]
enum Names {
    One(String),
    Several(Vec<String>),
}

/// Reads the keys and shows what came of them, or the error.
#[track_caller]
fn check(keys: &str, expected: &str) {
    let outcome = match typed::<Keys>(Value::Table(keys.parse().expect("TOML"))) {
        Ok(keys) => format!("{keys:?}"),
        Err(error) => error.to_string(),
    };
    assert!(outcome.contains(expected), "{keys}: {outcome}");
    assert!(!outcome.contains("hunter2"), "{outcome}");
}

#[test]
fn values_of_every_kind_are_read() {
    check("host = 'a'\nport = 161\nsecret = 'hunter2'", "host: \"a\", port: 161, secret: Some(Secret(…))");
    check("host = 'a'\nlisten = '127.0.0.1:80'\nscale = 2", "listen: Some(127.0.0.1:80)");
    check("host = 'a'\nmode = 'fast'", "mode: Some(Fast)");
    check("host = 'a'\nmode = { slow = { seconds = 3 } }", "Slow { seconds: 3.0 }");
    check("host = 'a'\nmode = { fixed = 7 }", "Fixed(7)");
    check("host = 'a'\nphases = [{ volts = 230 }, { volts = 231.5 }]", "[Phase { volts: 230.0 }, Phase");
    check("host = 'a'\ntables = { web1 = { volts = 230 } }", "Phase { volts: 230.0 }}");
    check("host = 'a'\nnames = ['x', 'y']", "Several([\"x\", \"y\"])");
    check("host = 'a'\nany = { x = [1, 2026-11-26] }", "\"2026-11-26\"");
}

#[test]
fn an_error_names_where_and_what_as_fields() {
    check("hots = 'a'", "unknown key `hots`; valid keys: host, port");
    check("port = 1", "`host` is missing");
    check("host = 'a'\nphases = [{ volts = 230 }, { vlots = 1 }]", "unknown key `phases[1].vlots`");
    check("host = 'a'\nphases = [{}]", "`phases[0].volts` is missing");
    check("host = 'a'\ntables = { '' = { volts = 1 } }", "`tables.`: ");
    check("host = 'a'\nmode = 'quick'", "`mode`: unknown variant `quick`, expected one of `fast`, `slow`");
    check("host = 'a'\nmode = { fast = 1 }", "`mode`: this name stands alone");
    check("host = 'a'\nlisten = 'here'", "`listen`: invalid socket address syntax");
}

#[test]
fn a_value_of_the_wrong_type_is_not_repeated() {
    check("host = 'a'\nsecret = ['hunter2']", "`secret`: expected a string, not array");
    check("host = 'a'\nsecret = { hunter2 = 1 }", "`secret`: expected a string, not table");
    check("host = 'a'\nport = 'hunter2'", "`port`: expected u16, not string");
    check("host = 'a'\nport = 70000", "`port`: invalid value: integer `70000`, expected u16");
    check("host = 'a'\nscale = true", "`scale`: expected f64, not boolean");
}

#[test]
fn the_keys_of_a_type_are_those_it_reads() {
    assert_eq!(keys_of::<Phase>(), ["volts"]);
    assert!(keys_of::<Keys>().contains(&"listen") && keys_of::<String>().is_empty());
}
