use super::*;

/// Parses the keys of a meter and checks them; the findings.
#[track_caller]
fn check(keys: &str, expected: &str) {
    let outcome =
        match toml::from_str::<IpmiConfig>(&format!("host = 'node1-bmc'\npassword = 'hunter2'\n{keys}")) {
            Ok(config) => config.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned()),
            Err(error) => error.message().to_owned(),
        };
    assert!(outcome.contains(expected), "{keys:?}: {outcome:?} should contain {expected:?}");
    assert!(!outcome.contains("hunter2"), "{outcome}");
}

#[test]
fn a_host_and_a_password_suffice() {
    check("", "fine");
    let config: IpmiConfig = toml::from_str("host = 'node1-bmc'\npassword = 'hunter2'").unwrap();
    assert_eq!((config.port, config.source, config.privilege), (623, SourceWanted::Auto, None));
    assert_eq!(config.suites().unwrap(), [Suite::Sha256, Suite::Sha1]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn each_key_is_taken() {
    check(
        "port = 9623\nusername = 'monitor'\nkg = '0x00ff'\ncipher_suite = 3\nprivilege = 'operator'",
        "fine",
    );
    check("version = '1.5'\nlegacy_authentication = 'md5'\nsource = 'sensor'\ntimeout_seconds = 2.5", "fine");
    check("sensor = 'Power'", "fine");
    check("sensor = ['PS1', 'PS2']", "fine");
}

#[test]
fn a_wrong_key_or_value_is_refused_with_its_reason() {
    check("user = 'monitor'", "unknown field `user`");
    check("cipher_suite = 0", "must be 17 or 3");
    check("privilege = 'root'", "unknown variant `root`");
    check("username = '12345678901234567'", "`username`: too long");
    check("source = 'dcmi'\nsensor = 'Power'", "remove one of them");
    check("version = '1.5'\ncipher_suite = 3", "remove one of them");
    for timeout in ["0.0", "-1.0", "61.0", "nan", "inf"] {
        check(&format!("timeout_seconds = {timeout}"), "must be 0.05 to 60");
    }
    for kg in ["", "0x", "0xabc", "0xgg", "123456789012345678901"] {
        check(&format!("kg = '{kg}'"), "`kg`: must have");
    }
}

#[test]
fn a_password_that_no_card_takes_is_refused_unsaid() {
    let config: IpmiConfig = toml::from_str("host = 'a'\npassword = '123456789012345678901'").unwrap();
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("20 bytes") && !error.contains("1234567"), "{error}");
}

#[test]
fn a_card_key_is_text_or_hexadecimal() {
    let key = |kg: &str| {
        toml::from_str::<IpmiConfig>(&format!("host = 'a'\nkg = '{kg}'")).unwrap().card_key().unwrap()
    };
    assert_eq!(key("abc"), Some(b"abc".to_vec()));
    assert_eq!(key("0x0a0B"), Some(vec![0x0A, 0x0B]));
}
