//! What a line does to telegrams: noise, cuts, joins in the middle, and what never ends.

use super::*;

#[test]
fn the_checksums_are_those_of_the_books() {
    assert_eq!(crc(b"123456789"), 0xBB3D, "CRC-16/ARC");
}

#[test]
fn a_telegram_joined_in_the_middle_is_left_out_and_the_next_is_read() {
    let telegram = checked(&DUTCH);
    for cut in [1, 20, 100, telegram.len() - 3] {
        let bytes = [&telegram[cut..], &telegram[..]].concat();
        check(&bytes, &["total"], "total: 734 W, 14402700000 J");
    }
    let noisy = [b"\xff\x00/noise!\r\n~~".as_slice(), &telegram, b"garbage", &telegram].concat();
    let twice = "wrong checksum; total: 734 W, 14402700000 J; total: 734 W, 14402700000 J";
    check(&noisy, &["total"], twice);
}

#[test]
fn a_telegram_that_is_cut_costs_itself_alone() {
    let telegram = checked(&DUTCH);
    let bytes = [&telegram[..telegram.len() / 2], b"\r\n", &telegram[..]].concat();
    check(&bytes, &["total"], "total: 734 W, 14402700000 J");
}

#[test]
fn a_wrong_digit_is_reported_by_the_checksum() {
    let telegram = checked(&DUTCH);
    let at = telegram.windows(8).position(|window| window == b"001500.2").unwrap();
    let mut wrong = telegram.clone();
    wrong[at + 2] = b'7';
    check(&[wrong, telegram].concat(), &["total"], "wrong checksum; total: 734 W, 14402700000 J");
}

#[test]
fn a_checksum_without_its_first_zeros_is_the_same() {
    // One of these telegrams has a checksum that begins with a zero.
    let telegram = |number: u32| checked(&["/QQQ5", "", &format!("1-0:1.7.0(0{number:04}*W)")]);
    let begins_with_0 =
        |telegram: &Vec<u8>| telegram.rsplit(|byte| *byte == b'!').next().unwrap().starts_with(b"0");
    let padded = (0..1_000).map(telegram).find(begins_with_0).expect("one in sixteen");
    let text = String::from_utf8(padded.clone()).unwrap();
    let watts = text.split(['(', '*']).nth(1).unwrap().trim_start_matches('0').to_owned();
    let expected = format!("total: {} W", if watts.is_empty() { "0" } else { &watts });
    check(&padded, &["total"], &expected);
    check(text.replace("!0", "!").as_bytes(), &["total"], &expected);
    check(text.replace("!0", "!1").as_bytes(), &["total"], "wrong checksum");
}

#[test]
fn a_checksum_that_is_missing_is_reported_where_there_has_to_be_one() {
    check(&plain(&DUTCH), &["total"], "checksum missing");
    check(&plain(&["/X5", "0-0:96.1.4(50217)", "1-0:1.8.0(1*kWh)"]), &["total"], "checksum missing");
}

#[test]
fn a_register_that_is_no_number_costs_the_telegram() {
    for value in ["12,5*kWh", "*kWh", "1e9*kWh", "+5*kWh", "1.2.3*kWh", "1234567890123456789*kWh", "-*kWh"] {
        let line = format!("1-0:1.8.0({value})");
        check(&plain(&["/X5", &line, "1-0:1.7.0(1*kW)"]), &["total"], "register is not a number");
    }
    check(&plain(&["/X5", "1-0:1.8.0(12*kWh", "1-0:1.7.0(1*kW)"]), &["total"], "truncated line");
    check(&plain(&["/X5", "0-0:96.13.0()", "hello"]), &["total"], "no electricity registers");
}

#[test]
fn noise_without_end_is_bounded_and_reported() {
    let mut reader = LineBuffer::new(Expects::Any, None);
    let mut reported = 0;
    for _ in 0..1_000 {
        reader.feed(&[b'/'; 1_024]);
        reported += usize::from(matches!(reader.next(), Some(Err(Damage::Telegram("noise only", _)))));
    }
    assert!(reported >= 50, "{reported}");
}

#[test]
fn sml_at_a_p1_port_is_named() {
    let bytes = [0x1b, 0x1b, 0x1b, 0x1b, 1, 1, 1, 1, 0x76];
    check(&bytes, &["total"], "refused: not a P1 port: the meter sends SML; use driver = \"sml\"");
}

proptest! {
    #[test]
    fn nothing_off_a_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        parse_anything(&bytes);
    }

    #[test]
    fn no_telegram_with_a_byte_changed_is_read_as_another(at in 0_usize..600, bit in 0_u8..7) {
        let telegram = checked(&DUTCH);
        let mut wrong = telegram.clone();
        let at = at % (telegram.len() - 7);
        wrong[at] ^= 1 << bit;
        let outcome = read_text(Expects::P1, &wrong, &["total"]);
        prop_assert!(!outcome.contains("total:"), "{}", outcome);
    }

    #[test]
    fn telegrams_are_read_whatever_the_pieces_they_come_in(piece in 1_usize..700, noise in "[ -.0-9:-~]{0,40}") {
        let bytes = [noise.as_bytes(), &checked(&DUTCH), &checked(&DUTCH)].concat();
        prop_assert_eq!(telegrams(Expects::P1, &bytes, piece).into_iter().flatten().count(), 2);
    }
}
