//! Packets as `ipmitool` 1.8.19 and `ipmi_sim` 2.0.33 exchange them.

use proptest::prelude::*;

use super::*;

/// Get Channel Authentication Capabilities, as `ipmitool` sends it.
const REQUEST: &[u8] = &[
    0x06, 0x00, 0xff, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x20, 0x18, 0xc8,
    0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5,
];

#[track_caller]
fn check(datagram: &[u8], expected: Option<Addressee>) {
    assert_eq!(addressee(datagram), expected, "{datagram:02x?}");
}

#[test]
fn a_packet_outside_a_session_is_for_anyone() {
    check(REQUEST, Some(Addressee::Anyone));
    assert_eq!(legacy(0, 0, 0, None, &REQUEST[14..]), REQUEST);
}

#[test]
fn a_packet_of_a_session_names_it() {
    check(&plus(payload::IPMI, 0x0403_0201, 7, &[1, 2]), Some(Addressee::Session(0x0403_0201)));
    check(&legacy(2, 7, 0x0403_0201, Some([0; 16]), &[1, 2]), Some(Addressee::Session(0x0403_0201)));
}

#[test]
fn a_reply_of_session_opening_names_it_inside() {
    let reply = [9, 0, 4, 0, 0x01, 0x02, 0x03, 0x04, 0, 0, 0, 0];
    check(&plus(payload::OPEN_SESSION_REQUEST + 1, 0, 0, &reply), Some(Addressee::Session(0x0403_0201)));
    // Some cards cut a refusal short.
    check(&plus(payload::OPEN_SESSION_REQUEST + 1, 0, 0, &reply[..2]), Some(Addressee::Anyone));
}

#[test]
fn other_classes_other_versions_and_cut_packets_are_no_ipmi() {
    check(&[0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x40, 0x00, 0x00, 0x00], None);
    check(&[0x05, 0x00, 0xff, 0x07, 0x00], None);
    for length in 0..REQUEST.len() {
        check(&REQUEST[..length], None);
    }
}

#[test]
fn an_oem_payload_is_none_of_ours() {
    check(&plus(payload::OEM_EXPLICIT, 1, 1, &[0; 16]), None);
}

#[test]
fn lengths_that_old_chips_mishandle_are_padded() {
    // 14 bytes of headers and 42 of message make 56.
    assert_eq!(legacy(0, 0, 0, None, &[0; 42]).len(), 57);
    assert_eq!(legacy(0, 0, 0, None, &[0; 41]).len(), 55);
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        super::super::fuzzing::datagram(&noise);
    }

    #[test]
    fn noise_after_a_good_header_never_panics(noise in prop::collection::vec(any::<u8>(), 0..100), kind in 0_u8..8) {
        let datagram = [&RMCP, &[kind][..], &noise].concat();
        super::super::fuzzing::datagram(&datagram);
    }

    #[test]
    fn what_is_built_is_what_is_parsed(session in 1_u32.., sequence in any::<u32>(), message in prop::collection::vec(any::<u8>(), 0..200)) {
        let built = plus(payload::IPMI, session, sequence, &message);
        let is_same = matches!(parse(&built), Some(Packet::Plus { session: its, sequence: its_sequence, payload, .. })
            if its == session && its_sequence == sequence && payload == message);
        prop_assert!(is_same);
    }
}
