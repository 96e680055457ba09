use std::fmt::Write;

use super::*;

/// Reads a configuration and shows its meters, a line each, or the error without its folder.
fn shown(toml: &str, csv: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.toml");
    std::fs::write(&file, toml).unwrap();
    std::fs::write(folder.path().join("m.csv"), csv).unwrap();
    let meters = Document::read(&file).and_then(|document| expand(&document, &MeterDefaults::default()));
    match meters {
        Err(error) => error.to_string().replace(&format!("{}/", folder.path().display()), ""),
        Ok(meters) => meters.iter().fold(String::new(), |mut text, meter| {
            write!(text, "{} {}", meter.name, meter.driver).unwrap();
            for outlet in meter.outlets.named() {
                write!(text, " {}={}", outlet.key, outlet.probe).unwrap();
            }
            for (key, value) in &meter.keys {
                write!(text, " {key}:{value}").unwrap();
            }
            text + "\n"
        }),
    }
}

#[track_caller]
fn check(toml: &str, expected: &str) {
    assert_eq!(shown(toml, "").trim_end(), expected);
}

#[test]
fn probes_go_by_position_or_by_key() {
    check(
        "[[meter]]\ndriver='snmp'\nhost='pdu1'\nprobes=['a','','c']",
        "snmp:pdu1 snmp 1=a 3=c host:\"pdu1\"",
    );
    check("[[meter]]\ndriver='snmp'\nhost='pdu1'\nprobes={7='a'}", "snmp:pdu1 snmp 7=a host:\"pdu1\"");
}

#[test]
fn a_range_of_hosts_is_a_fleet() {
    check(
        "[[meter]]\ndriver='ipmi'\nhosts='n[08-09]-bmc'\nprobe='lyon.n{1}'\nname='{host}'",
        "n08-bmc ipmi 1=lyon.n08 host:\"n08-bmc\"\nn09-bmc ipmi 1=lyon.n09 host:\"n09-bmc\"",
    );
}

#[test]
fn credentials_are_written_once_and_a_meters_own_keys_come_first() {
    check(
        "[credentials.bmc]\nusername='u'\npassword='p'\n[[meter]]\ndriver='ipmi'\nhost='x'\nusername='me'\nprobe='x'\n\
         credentials='bmc'",
        "ipmi:x ipmi 1=x host:\"x\" password:\"p\" username:\"me\"",
    );
    check(
        "[credentials.bmc]\na='u'\n[[meter]]\ndriver='ipmi'\nprobe='x'\ncredentials='bmcs'",
        "k.toml:6: unknown credentials `bmcs`; did you mean `bmc`?",
    );
}

#[test]
fn an_inventory_is_a_table_of_meters() {
    let actual = shown(
        "[[inventory]]\ncsv='m.csv'\ndriver='snmp'\ncommunity='c'",
        "# rack 3\nhost,probes,port\npdu1,a;;c,1161\npdu2,d,\n",
    );
    assert_eq!(
        actual,
        "snmp:pdu1:1161 snmp 1=a 3=c community:\"c\" host:\"pdu1\" port:1161\nsnmp:pdu2 snmp 1=d community:\"c\" host:\"pdu2\"\n"
    );
}

#[test]
fn twins_and_nonsense_are_refused() {
    check(
        "[[meter]]\ndriver='dummy'\nprobe='x'\n[[meter]]\ndriver='push'\nprobe='x'",
        "k.toml:4: probe `x` is already measured by `dummy#1`",
    );
    check("[[meter]]\nprobe='x'", "k.toml:1: `driver` is missing; `kwapi drivers --list` shows all drivers");
    check("[meter]\nprobe='x'", "k.toml:1: write [[meter]] with double brackets");
    check(
        "[[meter]]\ndriver='dummy'\nprobe='x'\ninterval_seconds=0",
        "k.toml:4: `interval_seconds` must be 0.001 to 86400, not 0",
    );
}

#[test]
fn a_mistyped_driver_is_named_before_anything_else_that_is_wrong() {
    for others in [
        "",
        "probe='x'\nprobes=['x']",
        "probe='x'\nlabels='metric'",
        "probe='x'\ncredentials='none'",
        "hosts='n[1-'",
    ] {
        check(
            &format!("[[meter]]\ndriver='promethes'\n{others}"),
            "k.toml:2: unknown driver `promethes`; did you mean `prometheus`?",
        );
    }
    assert_eq!(
        shown("[[inventory]]\ncsv='m.csv'", "driver,host\nsnpm,pdu1\n"),
        "k.toml:1: unknown driver `snpm`; did you mean `snmp`? (m.csv:2)\n".trim_end()
    );
}

#[test]
fn each_driver_shows_how_short_an_interval_may_be() {
    let at = |driver: &str, interval: &str| {
        format!("[[meter]]\nprobe='x'\ndriver='{driver}'\ninterval_seconds={interval}")
    };
    check(&at("dummy", "0.001"), "dummy#1 dummy 1=x");
    check(&at("push", "0.001"), "push#1 push 1=x");
    check(
        &at("dummy", "0.0005"),
        "k.toml:4: `interval_seconds` must be 0.001 to 86400, not 0.0005 (the shortest of driver `dummy`)",
    );
    check(
        &at("snmp", "0.02"),
        "k.toml:4: `interval_seconds` must be 0.05 to 86400, not 0.02 (the shortest of driver `snmp`)",
    );
    check(&at("snmp", "0"), "k.toml:4: `interval_seconds` must be 0.05 to 86400, not 0");
}

#[test]
fn a_range_fills_the_keys_of_a_driver_that_has_no_host() {
    check(
        "[[meter]]\ndriver='http_json'\nhosts='p[1-2]'\nurl='http://{host}/s'\nprobe='{host}'",
        "http_json:http://p1/s http_json 1=p1 url:\"http://p1/s\"\nhttp_json:http://p2/s http_json 1=p2 url:\"http://p2/s\"",
    );
    check(
        "[[meter]]\ndriver='mqtt'\nhosts='p1'\nbroker='b'\ntopic='{host}/w'\nprobe='{host}'",
        "mqtt:p1/w mqtt 1=p1 broker:\"b\" topic:\"p1/w\"",
    );
}

#[test]
fn a_key_with_dots_need_not_be_quoted() {
    check("[[meter]]\ndriver='push'\nprobes={ a.b='p', 'c.d'='q' }", "push#1 push a.b=p c.d=q");
}

#[test]
fn meters_on_several_ports_of_a_host_have_names_of_their_own() {
    check(
        "[[meter]]\ndriver='ipmi'\nhost='h'\nport=1\nprobe='a'\n[[meter]]\ndriver='ipmi'\nhost='h'\nport=2\nprobe='b'",
        "ipmi:h:1 ipmi 1=a host:\"h\" port:1\nipmi:h:2 ipmi 1=b host:\"h\" port:2",
    );
}

#[test]
fn a_wrong_row_of_an_inventory_is_named() {
    assert_eq!(
        shown("[[inventory]]\ncsv='m.csv'\ndriver='snmp'", "host,probe\npdu1,a\npdu2,a\n"),
        "k.toml:1: probe `a` is already measured by `snmp:pdu1` (m.csv:3)"
    );
}
