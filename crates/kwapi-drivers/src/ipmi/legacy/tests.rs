use super::*;

#[test]
fn an_activation_gives_session_and_first_number() {
    let data = [0x02, 1, 2, 3, 4, 9, 0, 0, 0, 0x04];
    let expected = Activation { authentication: 2, session: 0x0403_0201, sequence: 9 };
    assert_eq!(activation(&data), Some(expected));
    assert_eq!(activation(&data[..8]), None);
}

#[test]
fn what_the_card_does_not_offer_and_what_goes_in_clear_is_not_taken_by_itself() {
    let sealed = |authentications: u8, extra: &str| {
        let config = toml::from_str(&format!("host = 'card'\npassword = 'secret'\n{extra}")).unwrap();
        let capabilities = Capabilities { authentications, is_plus: false, has_card_key: false };
        seal(([127, 0, 0, 1], 623).into(), &config, capabilities).map(|seal| seal.authentication())
    };
    assert_eq!(sealed(0x17, "").unwrap(), 2);
    assert_eq!(sealed(0x17, "legacy_authentication = 'password'").unwrap(), 4);
    assert_eq!(sealed(0x17, "legacy_authentication = 'none'").unwrap(), 0);
    let error = sealed(0x11, "").unwrap_err().to_string();
    assert!(error.contains("enable MD5") && !error.contains("secret"), "{error}");
}

#[test]
fn names_and_passwords_have_sixteen_bytes() {
    assert_eq!(padded(b"user"), Some(*b"user\0\0\0\0\0\0\0\0\0\0\0\0"));
    assert_eq!(padded(&[1; 17]), None);
}
