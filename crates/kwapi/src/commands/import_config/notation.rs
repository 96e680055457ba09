//! How other programs write numbers, durations, hosts and protocols.

use toml::Value;

/// A duration as Telegraf and Prometheus write it (`10s`, `1m30s`, `500ms`), within what a meter may have.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(letters)?;
        let unit = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        rest = next;
    }
    (0.05..=86_400.0).contains(&total).then_some(total)
}

/// `host`, `host:port`, `[address]:port`, also behind a scheme.
pub(super) fn host_and_port(target: &str) -> Option<(String, Option<u16>)> {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => (address, after.strip_prefix(':')),
        None if rest.matches(':').count() == 1 => {
            rest.split_once(':').map(|(host, port)| (host, Some(port)))?
        }
        None => (rest, None),
    };
    let is_fine =
        !host.is_empty() && !host.contains(char::is_whitespace) && !host.contains(['{', '}', '[', ']', '$']);
    let port = port.map(str::parse::<u16>).transpose().ok()?;
    is_fine.then(|| (host.to_owned(), port))
}

/// `SHA256` is `SHA-256` here, `AES192C` is `AES-192`.
pub(super) fn protocol_name(theirs: &str) -> String {
    let upper = theirs.to_ascii_uppercase();
    match upper.as_str() {
        "AES256C" => "AES-256-CISCO".to_owned(),
        "AES192C" => "AES-192".to_owned(),
        "AES128" => "AES".to_owned(),
        _ => match upper.find(|character: char| character.is_ascii_digit()) {
            Some(at) if upper.starts_with("SHA") || upper.starts_with("AES") => {
                let (name, bits) = upper.split_at_checked(at).unwrap_or((&upper, ""));
                format!("{}-{bits}", name.trim_end_matches('-'))
            }
            _ => upper,
        },
    }
}

/// As it would be written: whole if it is whole.
pub(super) fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::Integer(whole));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_within_what_a_meter_may_have_are_read() {
        assert_eq!(seconds("10s"), Some(10.0));
        assert_eq!(seconds("1m30s"), Some(90.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        for wrong in ["", "10", "s", "1y", "1ms", "48h", "1e3s"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hosts_are_separated_from_their_ports() {
        let host = |name: &str, port| Some((name.to_owned(), port));
        assert_eq!(host_and_port("pdu1"), host("pdu1", None));
        assert_eq!(host_and_port("udp://10.0.0.1:1161"), host("10.0.0.1", Some(1161)));
        assert_eq!(host_and_port("https://bmc.example.org/redfish"), host("bmc.example.org", None));
        assert_eq!(host_and_port("[fe80::1]:623"), host("fe80::1", Some(623)));
        assert_eq!(host_and_port("fe80::1"), host("fe80::1", None));
        for wrong in ["", "a b", "host:port", "host:99999", "x[1]", "${HOST}"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn protocols_have_our_names() {
        let ours =
            ["SHA256", "sha", "MD5", "AES", "AES128", "AES192C", "AES256C", "AES256"].map(protocol_name);
        assert_eq!(ours, ["SHA-256", "SHA", "MD5", "AES", "AES", "AES-192", "AES-256-CISCO", "AES-256"]);
    }
}
