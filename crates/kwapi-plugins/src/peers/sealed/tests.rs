use proptest::prelude::*;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NONCE: &str = "00112233445566778899aabbccddeeff";

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + second)
}

fn identity() -> PeerIdentity {
    PeerIdentity("ffeeddccbbaa99887766554433221100".to_owned())
}

fn keys() -> PeerKeys {
    PeerKeys::new(&[Key::new("api", SECRET)])
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    keys().seal(SealedKind::Request, &identity(), at(0), NONCE, payload).unwrap()
}

#[track_caller]
fn check(
    keys: &PeerKeys,
    sealed: &[u8],
    kind: SealedKind,
    second: u64,
    expected: Result<&[u8], PeerRefusal>,
) {
    let opened = keys.open(sealed, kind, at(second)).map(|opened| opened.payload);
    assert_eq!(opened, expected);
}

#[test]
fn the_bytes_are_as_promised() {
    let text = String::from_utf8(sealed(b"payload\n")).unwrap();
    // Computed by another implementation of HMAC (Python's hmac).
    let expected = format!(
        "kwapi-peer-1 ask ffeeddccbbaa99887766554433221100 1800000000000000 {NONCE} api\npayload\n1cc947327baef115e09b3d6be246e70e835f0ebd702c8e4ffecb95d7b58dc316"
    );
    assert_eq!(text, expected);
}

#[test]
fn what_is_sealed_is_opened_within_a_minute_and_as_what_it_is() {
    let sealed = sealed(b"some\nbytes");
    let opened = keys().open(&sealed, SealedKind::Request, at(60)).unwrap();
    assert_eq!((opened.nonce, opened.at, opened.payload), (NONCE, at(0), &b"some\nbytes"[..]));
    assert!(identity().is(opened.instance));
    check(&keys(), &sealed, SealedKind::Request, 61, Err(PeerRefusal::Stale));
    check(&keys(), &sealed, SealedKind::Answer, 0, Err(PeerRefusal::Malformed));
    let of_future = keys().seal(SealedKind::Request, &identity(), at(61), NONCE, b"").unwrap();
    check(&keys(), &of_future, SealedKind::Request, 0, Err(PeerRefusal::Stale));
}

#[test]
fn another_key_is_not_trusted() {
    let sealed = sealed(b"x");
    let (other_id, other_secret) =
        (Key::new("lyon", SECRET), Key::new("api", "0123456789abcdef0123456789abcdee"));
    check(&PeerKeys::new(&[other_id]), &sealed, SealedKind::Request, 0, Err(PeerRefusal::UnknownKey));
    check(&PeerKeys::new(&[other_secret]), &sealed, SealedKind::Request, 0, Err(PeerRefusal::WrongSignature));
    check(&PeerKeys::default(), &sealed, SealedKind::Request, 0, Err(PeerRefusal::UnknownKey));
    assert!(PeerKeys::default().seal(SealedKind::Request, &identity(), at(0), NONCE, b"x").is_none());
}

#[test]
fn of_two_keys_the_one_that_is_valid_signs_and_an_expired_one_is_not_trusted() {
    let old = Key { valid_until: Some(at(10)), ..Key::new("old", SECRET) };
    let new = Key { valid_from: Some(at(10)), ..Key::new("new", "another secret of enough bytes") };
    let keys = PeerKeys::new(&[old.clone(), new]);
    for (second, id) in [(9, "old"), (10, "new")] {
        let sealed = keys.seal(SealedKind::Answer, &identity(), at(second), NONCE, b"").unwrap();
        assert!(String::from_utf8_lossy(&sealed).contains(&format!(" {id}\n")));
        check(&keys, &sealed, SealedKind::Answer, second, Ok(b""));
    }
    let late = PeerKeys::new(&[Key { valid_until: None, ..old.clone() }]);
    let sealed = late.seal(SealedKind::Request, &identity(), at(20), NONCE, b"").unwrap();
    check(&PeerKeys::new(&[old]), &sealed, SealedKind::Request, 20, Err(PeerRefusal::Stale));
}

#[test]
fn a_later_version_is_distinguished_from_noise() {
    let text = String::from_utf8(sealed(b"")).unwrap();
    check(
        &keys(),
        text.replace("peer-1", "peer-2").as_bytes(),
        SealedKind::Request,
        0,
        Err(PeerRefusal::Version),
    );
    check(
        &keys(),
        text.replace("kwapi", "kwopi").as_bytes(),
        SealedKind::Request,
        0,
        Err(PeerRefusal::Malformed),
    );
    check(&keys(), b"", SealedKind::Request, 0, Err(PeerRefusal::Malformed));
}

#[test]
fn every_bit_is_signed() {
    let whole = sealed(b"payload");
    for at_byte in 0..whole.len() {
        let mut wrong = whole.clone();
        wrong[at_byte] ^= 1;
        assert!(keys().open(&wrong, SealedKind::Request, at(0)).is_err(), "{at_byte}");
        assert!(keys().open(&whole[..at_byte], SealedKind::Request, at(0)).is_err(), "{at_byte}");
    }
}

#[test]
fn a_question_is_answered_once() {
    let nonces = Nonces::default();
    assert_eq!(nonces.note(NONCE, at(0), at(0)), Ok(()));
    assert_eq!(nonces.note(NONCE, at(0), at(59)), Err(PeerRefusal::Replayed));
    for index in 1..NONCES_MAX {
        assert_eq!(nonces.note(&format!("{index:032x}"), at(0), at(0)), Ok(()));
    }
    assert_eq!(nonces.note("other", at(0), at(60)), Err(PeerRefusal::TooMany));
    assert_eq!(nonces.note("other", at(61), at(61)), Ok(()));
}

#[test]
fn no_two_processes_draw_the_same() {
    let (one, other) = (draw().unwrap(), draw().unwrap());
    assert!(one != other && is_drawn(&one));
}

proptest! {
    #[test]
    fn no_bytes_panic_or_are_trusted(noise in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..200) {
        prop_assert!(keys().open(&noise, SealedKind::Request, at(0)).is_err());
        let whole = sealed(b"payload");
        let mut mixed = whole.clone();
        mixed.truncate(cut);
        mixed.extend_from_slice(&noise);
        prop_assume!(mixed != whole);
        prop_assert!(keys().open(&mixed, SealedKind::Request, at(0)).is_err());
    }
}
