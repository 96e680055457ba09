//! What was found, as a configuration to paste or merge: alike meters in one table, credentials by name.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Found;

/// Writes it. Secrets are not part of what was found.
pub(super) fn configuration(found: Vec<Found>) -> String {
    if found.is_empty() {
        return "# nothing answered\n".to_owned();
    }
    let mut alike: BTreeMap<_, Vec<Found>> = BTreeMap::new();
    for meter in found {
        let kind =
            (meter.driver, meter.credentials.clone(), meter.port, meter.description.clone(), meter.outlets);
        alike.entry(kind).or_default().push(meter);
    }
    let alike = alike.into_iter().flat_map(|(kind, meters)| {
        let hosts: Vec<&str> = meters.iter().map(|meter| meter.host.as_str()).collect();
        match range(&hosts) {
            Some(range) => vec![(kind, range, meters)],
            None => meters.into_iter().map(|meter| (kind.clone(), meter.host.clone(), vec![meter])).collect(),
        }
    });
    let mut text = String::new();
    for ((driver, credentials, port, description, outlets), hosts, meters) in alike {
        let watts: f64 = meters.iter().filter_map(|meter| meter.watts).sum();
        let described = if description.is_empty() { String::new() } else { format!("{description}, ") };
        let several = if outlets == 1 { "1 outlet".to_owned() } else { format!("{outlets} outlets") };
        _ = writeln!(text, "# {} found: {described}{several} each, {watts:.1} W now", meters.len());
        _ = writeln!(text, "[[meter]]\ndriver = {driver:?}");
        _ = writeln!(text, "hosts = {hosts:?}");
        if let Some(port) = port {
            _ = writeln!(text, "port = {port}");
        }
        if let Some(credentials) = credentials {
            _ = writeln!(text, "credentials = {credentials:?}");
        }
        let probe = if outlets == 1 { "{host}" } else { "{host}.{outlet}" };
        _ = writeln!(text, "probe = {probe:?}\n");
    }
    text
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

    #[test]
    fn alike_meters_share_a_table_and_credentials_are_named() {
        let meter = |host: &str| Found {
            host: host.to_owned(),
            driver: "ipmi",
            credentials: Some("bmc".to_owned()),
            port: None,
            description: "DCMI Get Power Reading".to_owned(),
            outlets: 1,
            watts: Some(100.0),
        };
        assert_eq!(
            configuration(vec![meter("10.0.0.7"), meter("10.0.0.9")]),
            "# 2 found: DCMI Get Power Reading, 1 outlet each, 200.0 W now\n[[meter]]\ndriver = \"ipmi\"\n\
             hosts = \"10.0.0.[7,9]\"\ncredentials = \"bmc\"\nprobe = \"{host}\"\n\n"
        );
    }
}
