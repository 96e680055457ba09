//! What was found, as a configuration to paste or merge: alike meters in one table, credentials by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use toml::Value;

use super::attempt::has_port_key;
use super::{Answer, Found};

/// More characters of what a device sent are no comment.
const COMMENT_CHARS_MAX: usize = 500;

/// What meters of one table have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// The protocol that the host already has a table for: the same machine, measured twice.
    also: Option<&'static str>,
    driver: &'static str,
    credentials: Option<String>,
    map: Option<String>,
    ups: Option<String>,
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
    let mut unmapped: BTreeMap<(Option<u16>, String), Vec<&str>> = BTreeMap::new();
    let mut first_of_host: BTreeMap<String, &'static str> = BTreeMap::new();
    let ports_of = |host: &str, driver: &str| {
        let same = |other: &&Found| {
            other.host == host && other.driver == driver && matches!(other.answer, Answer::Meter { .. })
        };
        found.iter().filter(same).count()
    };
    for Found { host, driver, credentials, map, ups, port, answer } in &found {
        match answer {
            Answer::Meter { description, outlets, watts } => {
                let first = *first_of_host.entry(host.clone()).or_insert(driver);
                let kind = Kind {
                    also: (first != *driver).then_some(first),
                    driver,
                    credentials: credentials.clone(),
                    map: map.clone(),
                    ups: ups.clone(),
                    port: *port,
                    description: comment(description),
                    outlets: *outlets,
                    is_one_of_several: ups.is_none() && ports_of(host, driver) > 1,
                };
                alike.entry(kind).or_default().push((host.clone(), *watts));
            }
            Answer::Unmapped(description) => {
                unmapped.entry((*port, comment(description))).or_default().push(host);
            }
            Answer::Nothing(why) | Answer::Unread(why) | Answer::Locked(why) => {
                let with = credentials.as_ref().or(map.as_ref()).or(ups.as_ref());
                let with = with.map_or_else(String::new, |name| format!(" with {name:?}"));
                let port = port.map_or_else(String::new, |port| format!(":{port}"));
                others.insert(comment(&format!("{host}{port} answers {driver}{with}, but: {why}")));
            }
        }
    }
    let mut text = String::new();
    if alike.is_empty() {
        text += if others.is_empty() && unmapped.is_empty() {
            "# nothing answered\n"
        } else {
            "# no meter found\n"
        };
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
    for ((port, description), hosts) in unmapped {
        match range(&hosts) {
            Some(range) => offer(&mut text, &range, port, &description),
            None => hosts.iter().for_each(|host| offer(&mut text, host, port, &description)),
        }
    }
    for other in others {
        _ = writeln!(text, "# {other}");
    }
    text
}

/// What to write for hosts with Modbus, whose registers take a map.
fn offer(text: &mut String, hosts: &str, port: Option<u16>, description: &str) {
    let maps: Vec<&str> = kwapi_drivers::modbus::map::names().collect();
    let at = port.unwrap_or(502);
    _ = writeln!(
        text,
        "# {hosts} answers on port {at} (Modbus) and {description}; reading it requires a register map."
    );
    _ = writeln!(text, "# Run again with --modbus-map NAME ({}), or write:", maps.join(", "));
    _ = writeln!(text, "# [[meter]]\n# driver = \"modbus\"\n# hosts = {}", quoted(hosts));
    if let Some(port) = port {
        _ = writeln!(text, "# host = \"{{host}}:{port}\"");
    }
    _ = writeln!(text, "# map = \"NAME\"\n# probe = \"{{host}}\"\n");
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// One `[[meter]]` table; what the host is measured by already is only offered.
fn table(text: &mut String, kind: &Kind, hosts: &str, count: usize, watts: Option<f64>) {
    let Kind { also, driver, credentials, map, ups, port, description, outlets, is_one_of_several } = kind;
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
    if let Some(ups) = ups {
        _ = writeln!(text, "{mark}name = {}", quoted(&format!("nut:{{host}}/{ups}")));
        _ = writeln!(text, "{mark}ups = {}", quoted(ups));
        name = format!("{name}.{ups}");
    }
    if let Some(credentials) = credentials {
        _ = writeln!(text, "{mark}credentials = {}", quoted(credentials));
    }
    if let Some(map) = map {
        _ = writeln!(text, "{mark}map = {}", quoted(map));
    }
    let probe = if *outlets == 1 { name } else { format!("{name}.{{outlet}}") };
    _ = writeln!(text, "{mark}probe = {}\n", quoted(&probe));
}

/// What a device sent, fit for a line of comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(COMMENT_CHARS_MAX)
        .collect()
}

/// One pattern for all hosts: what they begin and end with alike, and the rest in brackets, numbers in a row as a range.
/// `None` where the rest would read as a range itself.
pub(in crate::commands) fn range(hosts: &[&str]) -> Option<String> {
    let (first, rest) = hosts.split_first()?;
    if rest.is_empty() {
        return Some((*first).to_owned());
    }
    let first: Vec<char> = first.chars().collect();
    let shared =
        |one: &[char], other: &[char]| one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let mut head = first.len();
    let mut tail = first.len();
    let mut shortest = first.len();
    let backwards: Vec<char> = first.iter().rev().copied().collect();
    for host in rest {
        let host: Vec<char> = host.chars().collect();
        head = head.min(shared(&first, &host));
        tail = tail.min(shared(&backwards, &host.iter().rev().copied().collect::<Vec<_>>()));
        shortest = shortest.min(host.len());
    }
    // A number is not cut in two: .[10,12], not .1[0,2].
    let is_digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    while head > 0 && is_digit(first.get(head - 1)) {
        head -= 1;
    }
    tail = tail.min(shortest - head);
    while tail > 0 && is_digit(backwards.get(tail - 1)) {
        tail -= 1;
    }
    let middle = |host: &&str| {
        let length = host.chars().count();
        host.chars().skip(head).take(length - head - tail).collect::<String>()
    };
    let middles: Vec<String> = hosts.iter().map(middle).collect();
    if middles.iter().any(|middle| middle.contains(['-', ',', '[', ']'])) {
        return None;
    }
    let begin: String = first.iter().take(head).collect();
    let end: String = first.iter().skip(first.len() - tail).collect();
    Some(format!("{begin}[{}]{end}", choices(&middles)))
}

/// The choices of one bracket, those that are numbers in a row as `7-12`.
fn choices(middles: &[String]) -> String {
    let listed = || middles.join(",");
    let width = middles.first().map_or(0, String::len);
    let is_number = |text: &String| {
        let is_plain = !text.starts_with('0') || text == "0" || text.len() == width;
        is_plain && text.len() <= 9 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_padded = middles.iter().any(|text| text.len() > 1 && text.starts_with('0'));
    if !middles.iter().all(is_number) || is_padded && middles.iter().any(|text| text.len() != width) {
        return listed();
    }
    let mut numbers: Vec<u32> = middles.iter().filter_map(|text| text.parse().ok()).collect();
    numbers.sort_unstable();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if number == *last + 1 => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let width = if is_padded { width } else { 0 };
    let run = |(first, last): &(u32, u32)| match last - first {
        0 => format!("{first:0width$}"),
        1 => format!("{first:0width$},{last:0width$}"),
        _ => format!("{first:0width$}-{last:0width$}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use kwapi_core::ranges::expand_names;

    use super::*;

    #[test]
    fn a_range_stands_for_exactly_its_hosts() {
        for hosts in [
            vec!["10.0.0.7", "10.0.0.9", "10.0.0.12"],
            vec!["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11", "10.0.0.20"],
            vec!["node008-bmc", "node009-bmc", "node010-bmc", "node012-bmc"],
            vec!["n1", "n01"],
            vec!["10.0.1.9", "10.0.2.19"],
            vec!["n0", "n1", "n2"],
            vec!["n1-bmc", "n11-bmc"],
            vec!["a"],
            vec!["aa", "a", "aaa"],
        ] {
            let range = range(&hosts).unwrap();
            assert_eq!(expand_names(&range).unwrap(), hosts, "{range}");
        }
        assert_eq!(range(&["web-1", "db-2"]), None);
        assert_eq!(range(&["r1n08", "r1n09", "r1n10", "r1n12"]).unwrap(), "r1n[08-10,12]");
        // Sorted as text, the tenth comes before the second.
        assert_eq!(range(&["10.0.0.10", "10.0.0.11", "10.0.0.9"]).unwrap(), "10.0.0.[9-11]");
    }

    fn meter(host: &str, driver: &'static str, port: Option<u16>, watts: Option<f64>) -> Found {
        let credentials = Some("bmc".to_owned());
        let description = "DCMI\nGet Power Reading".to_owned();
        Found {
            host: host.to_owned(),
            driver,
            credentials,
            map: None,
            ups: None,
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
    fn each_device_of_a_nut_server_is_a_table_of_its_own() {
        let ups = |name: &str| Found {
            credentials: None,
            ups: Some(name.to_owned()),
            ..meter("10.0.0.7", "nut", None, Some(100.0))
        };
        let table = |name: &str| {
            format!(
                "# 1 found: DCMI Get Power Reading, 1 outlet, 100.0 W now\n[[meter]]\ndriver = \"nut\"\n\
                 hosts = \"10.0.0.7\"\nname = \"nut:{{host}}/{name}\"\nups = \"{name}\"\nprobe = \"{{host}}.{name}\"\n\n"
            )
        };
        assert_eq!(configuration(vec![ups("a"), ups("b")]), table("a") + &table("b"));
    }

    #[test]
    fn a_device_that_measures_nothing_is_reported() {
        let relay = Found {
            credentials: None,
            answer: Answer::Unread("refused: this SHSW-1 does not measure power".to_owned()),
            ..meter("10.0.0.8", "shelly", None, None)
        };
        let expected =
            "# no meter found\n# 10.0.0.8 answers shelly, but: refused: this SHSW-1 does not measure power\n";
        assert_eq!(configuration(vec![relay]), expected);
    }

    #[test]
    fn hosts_with_modbus_are_reported_with_what_to_configure() {
        let unmapped = |host: &str| Found {
            credentials: None,
            answer: Answer::Unmapped("does not identify itself".to_owned()),
            ..meter(host, "modbus", None, None)
        };
        assert_eq!(
            configuration(vec![unmapped("10.0.0.7"), unmapped("10.0.0.8"), unmapped("10.0.0.9")]),
            "# no meter found\n# 10.0.0.[7-9] answers on port 502 (Modbus) and does not identify itself; reading it requires a register map.\n# Run again with --modbus-map NAME (abb-b23, carlo-gavazzi-em24, \
             carlo-gavazzi-em24-e1, carlo-gavazzi-em340, chint-dtsu666, eastron-sdm120, eastron-sdm230, eastron-sdm630, eastron-sdm72, \
             janitza-umg, pzem-004t, schneider-iem3155, schneider-pm5xxx, siemens-pac2200, socomec-countis, socomec-diris-b30, solaredge-meter, sunspec-meter, sunspec-meter-float), or write:\n# [[meter]]\n# driver = \"modbus\"\n\
             # hosts = \"10.0.0.[7-9]\"\n# map = \"NAME\"\n# probe = \"{host}\"\n\n"
        );
    }

    #[test]
    fn a_meter_that_reports_no_watts_is_not_reported_to_draw_none() {
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
