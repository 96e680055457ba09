use proptest::prelude::*;

use super::*;

fn exchange(suite: Suite) -> Exchange<'static> {
    Exchange {
        suite,
        console: 0x0403_0201,
        managed: 0x0807_0605,
        console_random: [7; 16],
        privilege: 4,
        user: b"user",
        password: b"secret",
        card_key: b"secret",
    }
}

#[test]
fn the_request_names_the_three_algorithms_of_its_suite() {
    let request = open_session_request(9, HIGHEST_PRIVILEGE, 0x0403_0201, Suite::Sha256);
    assert_eq!(
        request,
        [9, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]
    );
}

/// A response to [`open_session_request`] with these algorithms.
fn response(tag: u8, status: u8, algorithms: [u8; 3]) -> Vec<u8> {
    let mut response = vec![tag, status, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    for (kind, algorithm) in (0..).zip(algorithms) {
        response.extend([kind, 0, 0, 8, algorithm, 0, 0, 0]);
    }
    response
}

#[test]
fn the_card_s_choice_of_suite_is_reported_or_unknown() {
    let chosen = |algorithms| open_session_response(&response(9, OK, algorithms), 9);
    assert_eq!(chosen([1, 1, 1]), Some(Ok((0x0807_0605, Some(Suite::Sha1)))));
    assert_eq!(chosen([3, 4, 1]), Some(Ok((0x0807_0605, Some(Suite::Sha256)))));
    // Suite 0, no protection at all, is never taken.
    assert_eq!(chosen([0, 0, 0]), Some(Ok((0x0807_0605, None))));
    assert_eq!(chosen([3, 4, 0]), Some(Ok((0x0807_0605, None))));
}

#[test]
fn another_request_s_reply_is_not_this_one_s_and_a_refusal_may_be_short() {
    assert_eq!(open_session_response(&response(8, OK, [1, 1, 1]), 9), None);
    assert_eq!(open_session_response(&[9, 0x11], 9), Some(Err(0x11)));
    assert_eq!(open_session_response(&response(9, OK, [1, 1, 1])[..35], 9), None);
}

/// RAKP message 2 of a card that has `password`.
fn message_2(exchange: &Exchange<'_>, password: &[u8]) -> Vec<u8> {
    let (random, guid) = ([8; 16], [9; 16]);
    let mut hashed = vec![1, 2, 3, 4, 5, 6, 7, 8];
    hashed.extend([7; 16]);
    hashed.extend(random);
    hashed.extend(guid);
    hashed.extend([0x14, 4]);
    hashed.extend(b"user");
    let mut message = vec![3, OK, 0, 0, 1, 2, 3, 4];
    message.extend(random);
    message.extend(guid);
    message.extend(exchange.suite.mac(password, &[&hashed]).bytes());
    message
}

#[test]
fn a_card_that_has_another_password_is_found_out() {
    for suite in Suite::ALL {
        let exchange = exchange(suite);
        assert!(matches!(exchange.message_2(&message_2(&exchange, b"secret"), 3), Some(Ok(Some(_)))));
        assert!(matches!(exchange.message_2(&message_2(&exchange, b"hunter2"), 3), Some(Ok(None))));
        let mut other = message_2(&exchange, b"secret");
        other[4] ^= 1;
        assert!(exchange.message_2(&other, 3).is_none(), "another session's");
    }
}

#[test]
fn each_refusal_has_its_remedy() {
    for (status, expected) in [
        (0x01, Denial::Full),
        (0x02, Denial::Forgotten),
        (0x04, Denial::Suite),
        (0x0A, Denial::Privilege),
        (0x0D, Denial::User),
        (0x0F, Denial::Proof),
        (0x11, Denial::Suite),
        (0x12, Denial::Other),
    ] {
        assert_eq!(denial(status), expected, "{status:#04x}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..120)) {
        super::super::fuzzing::opening(&noise);
    }
}
