//! What was found, as a configuration to paste or merge: alike meters in one table, credentials by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use toml::Value;

use super::attempt::has_port_key;
use super::{Answer, Found};

/// More characters of what a device said are no comment.
const COMMENT_CHARS_MAX: usize = 200;

/// What meters of one table have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// The protocol that the host already has a table for: the same machine, measured twice.
    also: Option<&'static str>,
    driver: &'static str,
    credentials: Option<String>,
    port: Option<u16>,
    description: String,
    outlets: usize,
    /// Whether the host has another meter of this protocol, on another port.
    is_one_of_several: bool,
}

/// Writes it. Secrets are not part of what was found.
pub(super) fn configuration(mut found: Vec<Found>) -> String {
    let rank =
        |driver: &str| kwapi_drivers::registry::find(driver).map(|entry| (entry.name != "snmp", entry.name));
    found.sort_by(|one, other| {
        (&one.host, rank(one.driver), one.port).cmp(&(&other.host, rank(other.driver), other.port))
    });
    let mut alike: BTreeMap<Kind, Vec<(String, Option<f64>)>> = BTreeMap::new();
    let mut others = BTreeSet::new();
    let mut first_of_host: BTreeMap<String, &'static str> = BTreeMap::new();
    let ports_of = |host: &str, driver: &str| {
        let same = |other: &&Found| {
            other.host == host && other.driver == driver && matches!(other.answer, Answer::Meter { .. })
        };
        found.iter().filter(same).count()
    };
    for Found { host, driver, credentials, port, answer } in &found {
        match answer {
            Answer::Meter { description, outlets, watts } => {
                let first = *first_of_host.entry(host.clone()).or_insert(driver);
                let kind = Kind {
                    also: (first != *driver).then_some(first),
                    driver,
                    credentials: credentials.clone(),
                    port: *port,
                    description: comment(description),
                    outlets: *outlets,
                    is_one_of_several: ports_of(host, driver) > 1,
                };
                alike.entry(kind).or_default().push((host.clone(), *watts));
            }
            Answer::Nothing(why) => {
                let with = credentials.as_ref().map_or_else(String::new, |name| format!(" with {name:?}"));
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                others.insert(comment(&format!("{host}{port} answers {driver}{with}, but: {why}")));
            }
        }
    }
    let mut text = String::new();
    if alike.is_empty() {
        text += if others.is_empty() { "# nothing answered\n" } else { "# no meter found\n" };
    }
    for (kind, meters) in alike {
        let hosts: Vec<&str> = meters.iter().map(|(host, _)| host.as_str()).collect();
        let watts = |meters: &[(String, Option<f64>)]| {
            meters.iter().filter_map(|(_, watts)| *watts).reduce(|one, other| one + other)
        };
        match range(&hosts) {
            Some(range) => table(&mut text, &kind, &range, meters.len(), watts(&meters)),
            None => {
                for meter in &meters {
                    table(&mut text, &kind, &meter.0, 1, meter.1);
                }
            }
        }
    }
    for other in others {
        _ = writeln!(text, "# {other}");
    }
    text
}

/// One `[[meter]]` table; what the host is measured by already is only offered.
fn table(text: &mut String, kind: &Kind, hosts: &str, count: usize, watts: Option<f64>) {
    let Kind { also, driver, credentials, port, description, outlets, is_one_of_several } = kind;
    let described = if description.is_empty() { String::new() } else { format!("{description}, ") };
    let each = if count == 1 { "" } else { " each" };
    let several = if *outlets == 1 { "1 outlet".to_owned() } else { format!("{outlets} outlets") };
    let now = watts.map_or_else(|| "energy only".to_owned(), |watts| format!("{watts:.1} W now"));
    _ = writeln!(text, "# {count} found: {described}{several}{each}, {now}");
    let mark = match also {
        None => "",
        Some(first) => {
            _ = writeln!(
                text,
                "# Measured over {first} above already; to be put in its place, not beside it:"
            );
            "# "
        }
    };
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    _ = writeln!(text, "{mark}[[meter]]\n{mark}driver = {}", quoted(driver));
    _ = writeln!(text, "{mark}hosts = {}", quoted(hosts));
    let mut name = "{host}".to_owned();
    if let Some(port) = port {
        if *is_one_of_several {
            name = format!("{{host}}-{port}");
        }
        _ = if has_port_key(driver) {
            writeln!(text, "{mark}port = {port}")
        } else {
            writeln!(text, "{mark}host = \"{{host}}:{port}\"")
        };
    }
    if let Some(credentials) = credentials {
        _ = writeln!(text, "{mark}credentials = {}", quoted(credentials));
    }
    let probe = if *outlets == 1 { name } else { format!("{name}.{{outlet}}") };
    _ = writeln!(text, "{mark}probe = {}\n", quoted(&probe));
}

/// What a device said, fit for a line of comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(COMMENT_CHARS_MAX)
        .collect()
}

/// One pattern for all hosts: what they begin and end with alike, and the rest in brackets. `None` where the rest
/// would read as a range itself.
fn range(hosts: &[&str]) -> Option<String> {
    let (first, rest) = hosts.split_first()?;
    if rest.is_empty() {
        return Some((*first).to_owned());
    }
    let shared = |one: &str, other: &str| {
        one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
    };
    let head = rest.iter().map(|host| shared(first, host)).min().unwrap_or(0);
    let reversed = |text: &str| text.chars().rev().collect::<String>();
    let backwards = reversed(first);
    let tail = rest.iter().map(|host| shared(&backwards, &reversed(host))).min().unwrap_or(0);
    let shortest = hosts.iter().map(|host| host.chars().count()).min().unwrap_or(0);
    let tail = tail.min(shortest - head.min(shortest));
    let middle = |host: &&str| {
        let length = host.chars().count();
        host.chars().skip(head).take(length - head - tail).collect::<String>()
    };
    let middles: Vec<String> = hosts.iter().map(middle).collect();
    if middles.iter().any(|middle| middle.contains(['-', ',', '[', ']'])) {
        return None;
    }
    let begin: String = first.chars().take(head).collect();
    let end: String = first.chars().skip(first.chars().count() - tail).collect();
    Some(format!("{begin}[{}]{end}", middles.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::expand_hosts;

    #[test]
    fn a_range_stands_for_exactly_its_hosts() {
        for hosts in [
            vec!["10.0.0.7", "10.0.0.9", "10.0.0.12"],
            vec!["n1-bmc", "n11-bmc"],
            vec!["a"],
            vec!["aa", "a", "aaa"],
        ] {
            let range = range(&hosts).unwrap();
            assert_eq!(expand_hosts(&range).unwrap(), hosts, "{range}");
        }
        assert_eq!(range(&["web-1", "db-2"]), None);
    }

    fn meter(host: &str, driver: &'static str, port: Option<u16>, watts: Option<f64>) -> Found {
        let credentials = Some("bmc".to_owned());
        let description = "DCMI\nGet Power Reading".to_owned();
        Found {
            host: host.to_owned(),
            driver,
            credentials,
            port,
            answer: Answer::Meter { description, outlets: 1, watts },
        }
    }

    #[test]
    fn alike_meters_share_a_table_and_credentials_are_named() {
        let found =
            vec![meter("10.0.0.7", "ipmi", None, Some(100.0)), meter("10.0.0.9", "ipmi", None, Some(100.0))];
        assert_eq!(
            configuration(found),
            "# 2 found: DCMI Get Power Reading, 1 outlet each, 200.0 W now\n[[meter]]\ndriver = \"ipmi\"\n\
             hosts = \"10.0.0.[7,9]\"\ncredentials = \"bmc\"\nprobe = \"{host}\"\n\n"
        );
    }

    #[test]
    fn a_host_that_answers_over_two_protocols_is_measured_once() {
        let found = vec![
            meter("10.0.0.7", "redfish", Some(8443), Some(100.0)),
            meter("10.0.0.7", "ipmi", None, Some(100.0)),
        ];
        assert_eq!(
            configuration(found),
            "# 1 found: DCMI Get Power Reading, 1 outlet, 100.0 W now\n[[meter]]\ndriver = \"ipmi\"\n\
             hosts = \"10.0.0.7\"\ncredentials = \"bmc\"\nprobe = \"{host}\"\n\n\
             # 1 found: DCMI Get Power Reading, 1 outlet, 100.0 W now\n\
             # Measured over ipmi above already; to be put in its place, not beside it:\n\
             # [[meter]]\n# driver = \"redfish\"\n# hosts = \"10.0.0.7\"\n# host = \"{host}:8443\"\n\
             # credentials = \"bmc\"\n# probe = \"{host}\"\n\n"
        );
    }

    #[test]
    fn a_meter_that_says_no_watts_is_not_said_to_draw_none() {
        let refused = Found {
            answer: Answer::Nothing("refused: wrong password".to_owned()),
            ..meter("10.0.0.8", "ipmi", Some(9623), None)
        };
        assert_eq!(
            configuration(vec![meter("10.0.0.7", "snmp", None, None), refused.clone()]),
            "# 1 found: DCMI Get Power Reading, 1 outlet, energy only\n[[meter]]\ndriver = \"snmp\"\n\
             hosts = \"10.0.0.7\"\ncredentials = \"bmc\"\nprobe = \"{host}\"\n\n\
             # 10.0.0.8:9623 answers ipmi with \"bmc\", but: refused: wrong password\n"
        );
        assert_eq!(
            configuration(vec![refused]),
            "# no meter found\n# 10.0.0.8:9623 answers ipmi with \"bmc\", but: refused: wrong password\n"
        );
        assert_eq!(configuration(Vec::new()), "# nothing answered\n");
    }
}
