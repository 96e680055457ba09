//! Hashes against the vectors of RFC 2202 and RFC 4231; the sealing is checked by real peers in the driver's tests.

use proptest::prelude::*;

use super::super::packet::{Packet, parse};
use super::super::reader::hex;
use super::*;

#[test]
fn keyed_hashes_are_those_of_the_rfcs() {
    let code = Suite::Sha1.mac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    assert_eq!(hex(code.bytes()), "ef fc df 6a e5 eb 2f a2 d2 74 16 d5 f1 84 df 9c 25 9a 7c 79");
    let code = Suite::Sha256.mac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    assert!(hex(code.bytes()).starts_with("5b dc c1 46 bf 60 75 4e 6a 04 24 26 08 95 75 c7"));
}

#[test]
fn a_code_of_no_bytes_proves_nothing() {
    let code = Suite::Sha1.mac(b"key", &[b"data"]);
    assert!(!code.is(&[], 0) && !code.is(&code.bytes()[..11], 12) && !code.is(code.bytes(), 12));
    assert!(code.is(&code.bytes()[..12], 12) && code.is(code.bytes(), 20));
}

fn keys(suite: Suite) -> Keys {
    Keys::derive(suite, &suite.mac(b"session", &[b"key"]))
}

fn open(keys: &Keys, datagram: &[u8]) -> Option<Vec<u8>> {
    let Some(Packet::Plus { sealed, payload, .. }) = parse(datagram) else { return None };
    keys.open(sealed, payload)
}

#[test]
fn the_signed_part_is_a_multiple_of_four_bytes() {
    for suite in Suite::ALL {
        for length in 7..40 {
            let datagram = keys(suite).seal(1, 1, &vec![0; length]);
            assert_eq!((datagram.len() - 4 - suite.code_bytes()) % 4, 0, "{length}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_what_is_altered_does_not(
        message in prop::collection::vec(any::<u8>(), 0..64),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        for suite in Suite::ALL {
            let keys = keys(suite);
            let mut datagram = keys.seal(0x0102_0304, 7, &message);
            prop_assert_eq!(open(&keys, &datagram), Some(message.clone()));
            let place = 4 + place.index(datagram.len() - 4);
            datagram[place] ^= 1 << bit;
            prop_assert_eq!(open(&keys, &datagram), None);
        }
    }

    #[test]
    fn a_payload_that_claims_its_own_code_is_refused(message in prop::collection::vec(any::<u8>(), 16..64)) {
        let keys = keys(Suite::Sha1);
        let mut datagram = keys.seal(1, 1, &message);
        // The length now reaches over padding and code; signed again, it must still not open.
        let length = u16::try_from(datagram.len() - 16).unwrap();
        datagram[14..16].copy_from_slice(&length.to_le_bytes());
        let end = datagram.len() - 12;
        let code = Suite::Sha1.mac(keys.integrity.bytes(), &[&datagram[4..end]]);
        datagram[end..].copy_from_slice(&code.bytes()[..12]);
        prop_assert_eq!(open(&keys, &datagram), None);
    }
}
