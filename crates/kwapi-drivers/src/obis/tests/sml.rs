//! Frames of SML, put together here by the book's rules and not by the reader's code.

#![expect(clippy::cast_possible_truncation, reason = "lengths of a few bytes, put together by hand")]

use super::super::sml::parse;
use super::*;

/// A field of bytes.
fn octets(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() + 1;
    let head = if length < 16 {
        vec![length as u8]
    } else {
        vec![0x80 | ((length + 1) >> 4) as u8, ((length + 1) & 15) as u8]
    };
    [&head, bytes].concat()
}

fn unsigned(bytes: &[u8]) -> Vec<u8> {
    [&[0x60 + bytes.len() as u8 + 1], bytes].concat()
}

fn signed(bytes: &[u8]) -> Vec<u8> {
    [&[0x50 + bytes.len() as u8 + 1], bytes].concat()
}

fn list(fields: &[Vec<u8>]) -> Vec<u8> {
    let count = fields.len();
    let head = if count < 16 {
        vec![0x70 | count as u8]
    } else {
        vec![0xF0 | (count >> 4) as u8, (count & 15) as u8]
    };
    [head, fields.concat()].concat()
}

/// An entry of the list: 1-0:c.d.e*255.
fn entry(code: [u8; 3], unit: u8, scaler: i8, value: Vec<u8>) -> Vec<u8> {
    let [c, d, e] = code;
    list(&[
        octets(&[1, 0, c, d, e, 255]),
        octets(&[]),
        octets(&[]),
        unsigned(&[unit]),
        signed(&scaler.to_be_bytes()),
        value,
        octets(&[]),
    ])
}

fn message(tag: &[u8], body: Vec<u8>) -> Vec<u8> {
    let body = list(&[unsigned(tag), body]);
    list(&[octets(&[0, 7]), unsigned(&[0]), unsigned(&[0]), body, unsigned(&[0x12, 0x34]), vec![0]])
}

/// A file of three messages: open, list, close.
fn file(server: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
    let open = list(&[octets(&[]), octets(&[]), octets(b"ab"), octets(server), octets(&[]), octets(&[])]);
    let time = list(&[unsigned(&[1]), unsigned(&[0, 1, 2, 3])]);
    let values = list(&[
        octets(&[]),
        octets(server),
        octets(&[1, 0, 98, 10, 255, 255]),
        time,
        list(entries),
        octets(&[]),
        octets(&[]),
    ]);
    [message(&[1, 1], open), message(&[7, 1], values), message(&[2, 1], list(&[octets(&[])]))].concat()
}

/// CRC-16/X-25, from its polynomial as the book writes it, most significant bit first.
fn x25(bytes: &[u8]) -> u16 {
    let crc = bytes.iter().fold(0xffff_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte.reverse_bits()) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    !crc.reverse_bits()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let padding = (4 - payload.len() % 4) % 4;
    let padded = [payload, &vec![0; padding]].concat();
    let escaped = padded.chunks(4).flat_map(|block| block.repeat(if block == [0x1b; 4] { 2 } else { 1 }));
    let mut frame = [0x1b, 0x1b, 0x1b, 0x1b, 1, 1, 1, 1].to_vec();
    frame.extend(escaped);
    frame.extend([0x1b, 0x1b, 0x1b, 0x1b, 0x1a, padding as u8]);
    let crc = x25(&frame);
    frame.extend(crc.to_le_bytes());
    frame
}

const SERVER: [u8; 10] = [0x0a, 1, b'K', b'W', b'A', 0, 0, 0, 0x30, 0x39];

fn meter() -> Vec<Vec<u8>> {
    vec![
        entry([1, 8, 0], 30, -1, unsigned(&[0, 0, 0, 0, 1, 0xC9, 0xC3, 0x80])), // 3 000 000.0 Wh
        entry([2, 8, 0], 30, -1, unsigned(&[0x27, 0x10])),
        entry([16, 7, 0], 27, 0, signed(&[2, 0x9A])),
        entry([36, 7, 0], 27, -1, signed(&[0x1A, 0x04])),
        entry([32, 7, 0], 35, -1, unsigned(&[0x09, 0x00])),
        entry([31, 7, 0], 33, -2, unsigned(&[0x01, 0x21])),
        list(&[
            octets(&[129, 129, 199, 130, 3, 255]),
            octets(&[]),
            octets(&[]),
            octets(&[]),
            octets(&[]),
            octets(b"KWA"),
            octets(&[]),
        ]),
    ]
}

#[track_caller]
fn check_sml(bytes: &[u8], keys: &[&str], expected: &str) {
    assert_eq!(read_text(Expects::Any, bytes, keys), expected);
}

#[test]
fn a_frame_is_its_registers_with_scale_and_unit() {
    assert_eq!(x25(b"123456789"), 0x906E, "CRC-16/X-25");
    let bytes = frame(&file(&SERVER, &meter()));
    let expected = "total: 666 W, 10800000000 J; export: 0 W, 3600000 J; L1: 666 W, 230.4 V, 2.89 A";
    check_sml(&bytes, &["total", "export", "L1"], expected);
    let telegram = telegrams(Expects::Any, &bytes, 3).remove(0).unwrap();
    assert!(telegram.is_sml);
    assert_eq!(telegram.registers.serial.as_deref(), Some("0a014b5741000000".to_owned() + "3039").as_deref());
}

#[test]
fn power_is_signed_in_any_number_of_bytes() {
    for (value, expected) in [
        (signed(&[0xFF]), "total: 0 W; export: 1 W"),
        (signed(&[0xFE, 0x0C]), "total: 0 W; export: 500 W"),
        (signed(&[0xFF, 0xFE, 0x0C]), "total: 0 W; export: 500 W"),
        (signed(&[0, 1, 0xF4]), "total: 500 W; export: 0 W"),
    ] {
        // An import register that counts shows that what is negative flows back.
        let entries = [entry([16, 7, 0], 27, 0, value), entry([1, 8, 0], 30, 0, unsigned(&[9]))];
        let outcome = read_text(Expects::Any, &frame(&file(&SERVER, &entries)), &["total", "export"]);
        assert_eq!(outcome.replace(", 32400 J", ""), expected);
    }
}

#[test]
fn an_amount_without_a_sign_is_the_power_of_a_meter_that_counts_one_direction() {
    let amount = || entry([15, 7, 0], 27, -1, unsigned(&[0x05, 0x5B]));
    let counter = |kind, tariff| entry([kind, 8, tariff], 30, -1, unsigned(&[0x00, 0x8C, 0xA0]));
    let check = |entries: &[Vec<u8>], expected: &str| {
        check_sml(&frame(&file(b"0815", entries)), &["total", "export"], expected);
    };
    let none = |outlet| format!("{outlet}: not available: no power or energy of {outlet} in the telegram");
    check(&[counter(1, 0), amount()], &format!("total: 137.1 W, 12960000 J; {}", none("export")));
    check(&[counter(2, 1), amount()], &format!("{}; export: 137.1 W, 12960000 J", none("total")));
    // Of two directions it may be either.
    check(&[counter(1, 0), counter(2, 0), amount()], "total: 12960000 J; export: 12960000 J");
}

#[test]
fn a_generators_meter_that_reports_its_power_at_another_place_exports() {
    let power = entry([1, 7, 1], 27, -4, signed(&[0xFF, 0xF0, 0xBD, 0xC0]));
    let counter = entry([2, 8, 1], 30, -1, unsigned(&[0x00, 0x8C, 0xA0]));
    let reversed = "total: implausible: -100 W; check for a reversed current transformer or wiring";
    check_sml(
        &frame(&file(b"0815", &[counter, power])),
        &["total", "export"],
        &format!("{reversed}; export: 100 W, 12960000 J"),
    );
}

#[test]
fn an_escape_in_the_data_is_taken_out() {
    let entries = [entry([1, 8, 0], 30, 0, unsigned(&[0x1b; 8])), entry([16, 7, 0], 27, 0, signed(&[5]))];
    let mut escaped = 0;
    for padding in 0..4 {
        // Shifted through all four places of a block.
        let server = vec![b'x'; 8 + padding];
        let bytes = frame(&file(&server, &entries));
        escaped += usize::from(bytes.windows(8).any(|window| window == [0x1b; 8]));
        let outcome = read_text(Expects::Any, &bytes, &["total"]);
        assert!(outcome.starts_with("total: 5 W"), "{outcome}");
    }
    assert!(escaped > 0);
}

#[test]
fn a_damaged_frame_costs_itself_alone() {
    let good = frame(&file(&SERVER, &meter()));
    let reading = "total: 666 W, 10800000000 J";
    let mut wrong = good.clone();
    wrong[60] ^= 4;
    check_sml(&[wrong, good.clone()].concat(), &["total"], &format!("wrong checksum; {reading}"));
    check_sml(&[&good[..40], &good].concat(), &["total"], &format!("truncated frame; {reading}"));
    check_sml(&[&good[13..], &good].concat(), &["total"], reading);
    check_sml(&[b"/noise!\r\n".as_slice(), &good].concat(), &["total"], reading);
    let empty = frame(&message(&[1, 1], list(&[octets(&[])])));
    check_sml(&[empty, good].concat(), &["total"], &format!("no list of registers; {reading}"));
}

#[test]
fn holleys_checksum_is_taken_too() {
    let mut bytes = frame(&file(&SERVER, &meter()));
    let end = bytes.len() - 2;
    // CRC-16/KERMIT: from 0, not inverted.
    let crc = bytes[..end].iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte.reverse_bits()) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    bytes[end..].copy_from_slice(&crc.reverse_bits().to_le_bytes());
    check_sml(&bytes, &["total"], "total: 666 W, 10800000000 J");
}

#[test]
fn lengths_that_lie_and_lists_without_end_are_refused() {
    for payload in [
        &[0x76, 0x05][..],
        &[0xFF, 0xFF, 0xFF, 0x0F],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1],
        &[0x71; 64],
        &[0x60],
        &[0x6F, 1],
        &[0x35, 1, 2, 3, 4],
        &[0x81, 0x00],
    ] {
        assert!(parse(payload).is_err(), "{payload:02x?}");
    }
    let many = vec![0x01; 10_000];
    assert_eq!(parse(&many), Err("too many fields"));
}

proptest! {
    #[test]
    fn no_payload_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        _ = parse(&bytes);
    }

    #[test]
    fn no_frame_with_a_bit_changed_is_read_as_another(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let good = frame(&file(&SERVER, &meter()));
        let mut wrong = good.clone();
        wrong[at.index(good.len())] ^= 1 << bit;
        for telegram in telegrams(Expects::Any, &wrong, 50).into_iter().flatten() {
            let whole = telegrams(Expects::Any, &good, 50).remove(0).unwrap();
            prop_assert_eq!(telegram, whole);
        }
    }
}
