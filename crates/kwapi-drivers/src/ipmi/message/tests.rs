//! Bytes as `ipmitool` 1.8.19 exchanges them with `ipmi_sim` 2.0.33.

use proptest::prelude::*;

use super::*;

#[test]
fn a_request_is_what_ipmitool_sends() {
    let built = request(GET_AUTHENTICATION_CAPABILITIES, 0, 0, &[0x8E, 0x04]);
    assert_eq!(built, [0x20, 0x18, 0xc8, 0x81, 0x00, 0x38, 0x8e, 0x04, 0xb5]);
}

/// The answer to Get SDR Repository Info, sequence 5, completion `completion`.
fn answer(completion: u8, data: &[u8]) -> Vec<u8> {
    let mut message = vec![0x81, (0x0A | 1) << 2, 0];
    message[2] = checksum(&message[..2]);
    message.extend([0x20, 5 << 2, 0x20, completion]);
    message.extend(data);
    message.push(checksum(&message[3..]));
    message
}

#[test]
fn an_answer_is_known_by_command_and_sequence() {
    let message = answer(0xC0, &[1, 2, 3]);
    let answer = parse(&message).unwrap();
    assert_eq!((answer.completion, answer.data), (0xC0, &[1, 2, 3][..]));
    assert!(answer.is_to(GET_SDR_REPOSITORY_INFO, 5));
    assert!(!answer.is_to(GET_SDR_REPOSITORY_INFO, 6), "an earlier request's");
    assert!(!answer.is_to(GET_SDR, 5), "another command's");
    let request = request(GET_SDR_REPOSITORY_INFO, 0, 5, &[]);
    assert!(!parse(&request).is_some_and(|answer| answer.is_to(GET_SDR_REPOSITORY_INFO, 5)), "our own echo");
}

#[test]
fn a_cut_or_altered_answer_is_none() {
    let message = answer(0, &[1, 2, 3]);
    for place in 0..message.len() {
        assert_eq!(parse(&message[..place]), None, "cut at {place}");
        let mut altered = message.clone();
        altered[place] ^= 0x10;
        assert_eq!(parse(&altered), None, "altered at {place}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..40)) {
        _ = parse(&noise);
    }
}
