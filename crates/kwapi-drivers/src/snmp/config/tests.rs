use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let verdict = match toml::from_str::<SnmpConfig>(text) {
        Ok(config) => {
            config.check().map_or_else(|error| error.to_string(), |()| format!("{:?}", config.version()))
        }
        Err(error) => error.to_string(),
    };
    assert!(verdict.contains(expected), "{verdict}");
}

#[test]
fn the_version_follows_from_the_keys() {
    check("host = 'a'", "V2c");
    check("host = 'a'\nversion = '1'", "V1");
    check("host = 'a'\nuser = 'm'", "V3");
}

#[test]
fn keys_that_do_not_go_together_are_named() {
    check("host = 'a'\nversion = '2c'\nuser = 'm'", "`user`: applies to SNMP version 3");
    check("host = 'a'\nuser = 'm'\ncommunity = 'c'", "`community`: applies to SNMP versions 1 and 2c");
    check("host = 'a'\nversion = '3'", "requires `user`");
    check("host = 'a'\nuser = 'm'\nauth_protocol = 'SHA'", "requires `auth_password`");
    check("host = 'a'\nuser = 'm'\nprivacy_password = 'x'", "requires `privacy_protocol`");
    check("host = 'a'\nuser = 'm'\nprivacy_protocol = 'AES-256'", "no privacy without authentication");
    check("host = 'a'\nuser = 'm'\nprivacy_protocol = 'ROT13'", "unknown privacy protocol");
    check("host = 'a'\ntimeout_seconds = 0.0", "timeout_seconds");
    check("host = 'a'\nretransmits = 11", "retransmits");
    check("host = 'a'\nhots = 'b'", "hots");
    check("host = 'a'\n[oids.ups]\npower = 'x.y'", "power");
    check("host = 'a'\n[oids.ups]\nlabel = '1.3.6.1'", "`oids.ups`: nothing to measure");
    check("host = 'a'\n[oids.ups]\npower = { oid = '1.3.6.1.4.1.9.1.0', watts = 0.1 }", "V2c");
}

#[test]
fn no_secret_shows() {
    let config: SnmpConfig = toml::from_str(
        "host = 'a'\nuser = 'm'\nauth_password = 'hunter2!'\nprivacy_protocol = 'AES'\nprivacy_password = 'hunter3!'",
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hunter"));
}
