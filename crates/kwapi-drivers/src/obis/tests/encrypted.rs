//! Frames made by pycryptodome, with the layout of Luxmetering's specification; dsmr-parser (1.11, `MSN`) reads the same.

use kwapi_core::{Secret, hex};

use super::super::encrypted::TelegramKeys;
use super::*;

const KEY: &str = "5F2A90C1D4E80B3376A1FE4429BD081C";
/// A meter's whose authentication key is not the published one.
const OWN_AUTHENTICATION_KEY: &str = "0badc0ffee15600d0badc0ffee15600d";
/// 482.117 kWh in, 31.4 kWh out, 642 W.
const FRAME: &str = "\
    db084b574150490001028200d5300000012cb31fd2a4abdbdef54d9537c5c7ee6ab2fd061377cc4bcea3d2b0994e4ae0b9b6\
    0d1dc03ff4b62aef4432e5fc27d14c3a711469cdbea3fbc3ed827db42836bba99699d675105979bd59465a51ead27bc07ba9\
    81784889462fd8c77953aafbd3d9140c4cc6961496a4628f00b694155dced94c99fa05e6a542cd3545e49d83fe7a64dba477\
    2ad660e9f07cd9bc761d023754d6269e321475e7528179283f643f715567e05b88040a976fa8996917167fa63c2a044d2cc2\
    37eea70f9051ebd78f0c971f3980fa3ff71a78f9a26c1ee30b6b";
/// The last 12 bytes of the same under [`OWN_AUTHENTICATION_KEY`].
const OWN_TAG: &str = "99dbca904f9dd58899313ee8";
/// 642 W in a telegram without a checksum, under [`OWN_AUTHENTICATION_KEY`].
const WITHOUT_CHECKSUM: &str = "\
    db084b57415049000102820039300000012cb31fd2a4abdbdef54d95379799a633d7dd3c244cd351d3a9caae9b4e44fcbfae\
    4f47e302d3a71dd41975eac53296d5ec64c2bf05";

const READ: &str = "total: 642 W, 1735621200 J; export: 0 W, 113040000 J";
const UNREADABLE: &str = "cannot be decrypted; check encryption_key";

fn keys(encryption: &str, authentication: Option<&str>) -> Option<TelegramKeys> {
    let authentication = authentication.map(Secret::new);
    TelegramKeys::of(Some(&Secret::new(encryption)), authentication.as_ref()).unwrap()
}

fn bytes() -> Vec<u8> {
    hex::decode(FRAME).unwrap()
}

fn with_own_tag() -> Vec<u8> {
    let mut frame = bytes();
    let tag = frame.len() - 12;
    frame.splice(tag.., hex::decode(OWN_TAG).unwrap());
    frame
}

/// What a meter with these keys reads from the telegrams in `bytes`, in pieces.
fn opened(keys: Option<TelegramKeys>, bytes: &[u8]) -> String {
    read_through(LineBuffer::new(Expects::P1, keys), bytes, &["total", "export"])
}

#[test]
fn a_frame_is_opened_by_its_key_and_read_as_any_telegram() {
    assert_eq!(opened(keys(KEY, None), &bytes()), READ);
    // As it is printed in a letter.
    let spaced: Vec<&str> = KEY.as_bytes().chunks(4).map(|part| std::str::from_utf8(part).unwrap()).collect();
    assert_eq!(opened(keys(&spaced.join(" "), None), &bytes()), READ);
    let twice = [&bytes()[40..], &bytes(), b"\xff\x00", &bytes()].concat();
    assert_eq!(opened(keys(KEY, None), &twice), format!("{READ}; {READ}"));
}

#[test]
fn a_tag_by_another_authentication_key_counts_only_where_that_is_given() {
    let public = "00112233445566778899AABBCCDDEEFF";
    assert_eq!(opened(keys(KEY, Some(public)), &bytes()), READ);
    assert_eq!(opened(keys(KEY, Some(OWN_AUTHENTICATION_KEY)), &with_own_tag()), READ);
    assert_eq!(opened(keys(KEY, Some(OWN_AUTHENTICATION_KEY)), &bytes()), UNREADABLE);
    // Without one, the checksum inside has to do.
    assert_eq!(opened(keys(KEY, None), &with_own_tag()), READ);
    let without = hex::decode(WITHOUT_CHECKSUM).unwrap();
    assert_eq!(opened(keys(KEY, None), &without), "checksum missing");
    let outcome = opened(keys(KEY, Some(OWN_AUTHENTICATION_KEY)), &without);
    assert!(outcome.starts_with("total: 642 W"), "{outcome}");
}

#[test]
fn a_wrong_key_or_a_byte_changed_is_no_telegram_and_the_next_is_read() {
    let other = "00".repeat(16);
    assert_eq!(opened(keys(&other, None), &bytes()), UNREADABLE);
    let reported = "refused: the meter's telegrams cannot be decrypted; check encryption_key";
    assert_eq!(opened(keys(&other, None), &[bytes(), bytes()].concat()), format!("{UNREADABLE}; {reported}"));
    let mut wrong = bytes();
    wrong[150] ^= 1;
    let required = || keys(KEY, Some("00112233445566778899AABBCCDDEEFF"));
    assert_eq!(opened(required(), &[wrong.clone(), bytes()].concat()), format!("{UNREADABLE}; {READ}"));
    assert_eq!(opened(keys(KEY, None), &[wrong, bytes()].concat()), format!("wrong checksum; {READ}"));
    // A byte lost: the frame reaches into the next, which begins in it.
    let mut short = bytes();
    short.remove(100);
    assert_eq!(opened(required(), &[short, bytes()].concat()), format!("{UNREADABLE}; {READ}"));
}

#[test]
fn a_key_too_many_or_too_few_is_reported() {
    let refused = "refused: the meter encrypts its telegrams; set encryption_key (the grid operator has it)";
    assert_eq!(opened(None, &bytes()), refused);
    let refused = "refused: the meter does not encrypt its telegrams; remove encryption_key";
    assert_eq!(opened(keys(KEY, None), &checked(&DUTCH)), refused);
}

#[test]
fn what_is_no_key_is_refused_and_not_repeated() {
    let of = |encryption: Option<&str>, authentication: Option<&str>| {
        let (encryption, authentication) = (encryption.map(Secret::new), authentication.map(Secret::new));
        TelegramKeys::of(encryption.as_ref(), authentication.as_ref()).unwrap_err().to_string()
    };
    for key in ["", "5F2A90C1", "not hexadecimal digits, not 32 of them"] {
        assert_eq!(of(Some(key), None), "`encryption_key`: must be 32 hexadecimal digits");
    }
    assert_eq!(of(Some(KEY), Some("12")), "`authentication_key`: must be 32 hexadecimal digits");
    assert_eq!(of(None, Some(KEY)), "`authentication_key`: requires encryption_key");
}

proptest! {
    #[test]
    fn no_frame_with_a_bit_changed_is_read_as_another(at in 13_usize..226, bit in 0_u8..8) {
        let mut wrong = bytes();
        let at = at % wrong.len();
        wrong[at] ^= 1 << bit;
        let outcome = opened(keys(KEY, Some("00112233445566778899AABBCCDDEEFF")), &wrong);
        prop_assert!(!outcome.contains("total:"), "{}", outcome);
    }
}
