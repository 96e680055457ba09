//! Wrong configurations, and their error messages.

use crate::commands::{fails, folder};

#[track_caller]
fn check(toml: &str, expected: &str) {
    assert_eq!(fails(&["check"], folder(toml).path()), format!("kwapi: kwapi.toml:{expected}\n"));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_line_and_the_nearest_right_name() {
    check("[metre]\n", "1: unknown key `metre`; did you mean `meter`?");
    check("\n[api]\nlitsen = '127.0.0.1:1'\n", "3: unknown key `litsen`; did you mean `listen`?");
    check("[api]\nlisten = 'localhost'\n", "2: `listen`: invalid socket address syntax");
    check(
        "[bus]\nkey = { id = 'k', secret = 1234567890123456 }\n",
        "2: `secret`: expected a string, not integer",
    );
    check(
        "[bus]\nsignature = 'kwapi1'\n",
        "2: `signature`: unknown variant `kwapi1`, expected one of `kwapi-1`, `legacy`, `none`",
    );
    check(
        "[drivers]\npublish = ['host:5556']\n",
        "2: host:5556: an endpoint must start with tcp://, ipc://, inproc://, nats:// or tls://",
    );
    check("[[meter]]\ndriver = 'snmpd'\nprobe = 'a'\n", "2: unknown driver `snmpd`; did you mean `snmp`?");
    check(
        "[[meter]]\ndriver = 'dummy'\n",
        "1: set `probe = \"name\"` for a meter with one outlet, `probes = [\"web1\", \"\", \"web3\"]` by position, `probes = { 7 = \"web1\" }` by the device's key, or `probe = \"rack1.{outlet}\"` for all outlets",
    );
    check(
        "[[meter]]\ndriver = 'snmp'\nhots = 'pdu1'\nprobe = 'a'\n",
        "3: unknown key `hots`; did you mean `host`? (meter `snmp#1`, driver `snmp`)",
    );
    check(
        "[[meter]]\ndriver = 'snmp'\nhost = 'pdu1'\nport = 70000\nprobe = 'a'\n",
        "4: `port`: invalid value: integer `70000`, expected u16 (meter `snmp:pdu1:70000`, driver `snmp`)",
    );
    check(
        "[[meter]]\ndriver = 'ipmi'\nhost = 'b'\npassword = 12345678\nprobe = 'a'\n",
        "4: `password`: expected a string, not integer (meter `ipmi:b`, driver `ipmi`)",
    );
    check(
        "[[meter]]\ndriver = 'dummy'\nprobe = 'a'\ninterval_seconds = 'often'\n",
        "4: `interval_seconds`: expected f64, not string",
    );
    check("[[meter]]\ndriver = 'ipmi'\nhosts = 'n[1-'\nprobe = 'a'\n", "3: `n[1-`: unclosed [");
    check(
        "[[meter]]\ndriver = 'ipmi'\nhost = 'n'\ncredentials = 'bcm'\nprobe = 'a'\n[credentials.bmc]\n",
        "4: unknown credentials `bcm`; did you mean `bmc`?",
    );
    check("[[virtual]]\nprobe = 'x'\nsum = ['x']\n", "1: circular sum: `x` contains `x`");
    check("[[meter]]\ndriver = 'dummy'\nprobe = 'a\n", "3: invalid literal string, expected `'`");
    check(
        "[[meter]]\ndriver = 'modbus'\nhost = 'g'\nmap = 'eastron-sdm63'\nprobe = 'a'\n",
        "4: `map`: register map \"eastron-sdm63\": available: [\"abb-b23\", \"carlo-gavazzi-em24\", \"carlo-gavazzi-em24-e1\", \"carlo-gavazzi-em340\", \"chint-dtsu666\", \"eastron-sdm120\", \"eastron-sdm230\", \"eastron-sdm630\", \"eastron-sdm72\", \"janitza-umg\", \"pzem-004t\", \"schneider-iem3155\", \"schneider-pm5xxx\", \"siemens-pac2200\", \"socomec-countis\", \"socomec-diris-b30\", \"solaredge-meter\", \"sunspec-meter\", \"sunspec-meter-float\"], and the maps in the `maps` directory (meter `modbus:g`, driver `modbus`)",
    );
}
