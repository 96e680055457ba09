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
        "k.toml:6: there are no credentials `bmcs`; did you mean `bmc`?",
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
        "snmp:pdu1 snmp 1=a 3=c community:\"c\" host:\"pdu1\" port:1161\nsnmp:pdu2 snmp 1=d community:\"c\" host:\"pdu2\"\n"
    );
}

#[test]
fn twins_and_nonsense_are_refused() {
    check(
        "[[meter]]\ndriver='a'\nprobe='x'\n[[meter]]\ndriver='b'\nprobe='x'",
        "k.toml:4: probe `x` is measured by `a#1` already",
    );
    check("[[meter]]\nprobe='x'", "k.toml:1: `driver` is missing; `kwapi drivers --list` shows all drivers");
    check("[meter]\nprobe='x'", "k.toml:1: write [[meter]] with two brackets: there may be many");
    check(
        "[[meter]]\ndriver='a'\nprobe='x'\ninterval_seconds=0",
        "k.toml:4: `interval_seconds` must be 0.05 to 86400, not 0",
    );
}
