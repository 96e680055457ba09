//! The first record is what `sdrcomp` (`OpenIPMI`) makes of `lab/ipmi/power.sdrs`; the others vary one field of it.

use proptest::prelude::*;

use super::*;

/// `Power`: 4 W a unit, unsigned, linear, owned by the BMC, in a power supply.
const POWER: [u8; 53] = [
    0x02, 0x00, 0x51, 0x01, 0x30, 0x20, 0x00, 0x01, 0x0a, 0x01, 0x7f, 0x68, 0x03, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x38, 0x38, 0x00, 0x06, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc5, b'P', b'o', b'w',
    b'e', b'r',
];

/// The record with some bytes changed, by their offset.
fn power_with(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut record = POWER.to_vec();
    for (offset, byte) in changes {
        record[*offset] = *byte;
    }
    record
}

/// Checks name and watts (or why there are none) of a raw reading.
#[track_caller]
fn check(changes: &[(usize, u8)], raw: u8, expected: &str) {
    let outcome = match full_sensor(&power_with(changes)) {
        Err(TruncatedRecord) => "cut".to_owned(),
        Ok(None) => "no power".to_owned(),
        Ok(Some(sensor)) => match sensor.conversion {
            Ok(conversion) => format!("{} {:.3}", sensor.name, conversion.watts(raw)),
            Err(fault) => fault.to_owned(),
        },
    };
    assert_eq!(outcome, expected, "{changes:02x?}");
}

#[test]
fn a_unit_is_four_watts() {
    check(&[], 0, "Power 0.000");
    check(&[], 59, "Power 236.000");
    check(&[], 255, "Power 1020.000");
}

#[test]
fn m_and_b_have_ten_bits_of_two_s_complement() {
    // M = 0x101, then M = -1.
    check(&[(24, 0x01), (25, 0x40)], 2, "Power 514.000");
    check(&[(24, 0xff), (25, 0xc0)], 2, "Power -2.000");
    // B = 100, then B = -100.
    check(&[(26, 100)], 1, "Power 104.000");
    check(&[(26, 0x9c), (27, 0xc0)], 50, "Power 100.000");
}

#[test]
fn exponents_have_four_bits_of_two_s_complement() {
    // The result's is the high half: M·x = 236, times ten, then a tenth.
    check(&[(29, 0x10)], 59, "Power 2360.000");
    check(&[(29, 0xf0)], 59, "Power 23.600");
    // B's is the low half: 3·10², then 3·10⁻¹.
    check(&[(26, 3), (29, 0x02)], 1, "Power 304.000");
    check(&[(26, 3), (29, 0x0f)], 1, "Power 4.300");
    // -8 is the lowest, 7 the highest.
    check(&[(29, 0x80)], 250, "Power 0.000");
    check(&[(24, 1), (29, 0x70)], 1, "Power 10000000.000");
}

#[test]
fn raw_readings_are_signed_as_the_record_reports() {
    check(&[(24, 1), (20, 0x00)], 0xfe, "Power 254.000");
    check(&[(24, 1), (20, 0x40)], 0xfe, "Power -1.000");
    check(&[(24, 1), (20, 0x40)], 0xff, "Power 0.000");
    check(&[(24, 1), (20, 0x80)], 0xfe, "Power -2.000");
    check(&[(20, 0xc0)], 1, "no analog reading");
}

#[test]
fn every_linearisation_is_applied() {
    for (code, raw, expected) in [
        (0x01, 100, "Power 4.605"),
        (0x02, 100, "Power 2.000"),
        (0x03, 8, "Power 3.000"),
        (0x04, 2, "Power 7.389"),
        (0x05, 3, "Power 1000.000"),
        (0x06, 8, "Power 256.000"),
        (0x07, 4, "Power 0.250"),
        (0x08, 12, "Power 144.000"),
        (0x09, 3, "Power 27.000"),
        (0x0a, 144, "Power 12.000"),
        (0x0b, 27, "Power 3.000"),
        (0x0c, 1, "non-linear readings (36.2)"),
        (0x70, 1, "non-linear readings (36.2)"),
    ] {
        check(&[(24, 1), (23, code)], raw, expected);
    }
}

#[test]
fn other_units_rates_and_percentages_are_no_power() {
    check(&[(21, 4)], 1, "no power");
    check(&[(20, 0x08)], 1, "no power");
    check(&[(20, 0x01)], 1, "no power");
    check(&[(20, 0x02), (22, 6)], 1, "no power");
}

#[test]
fn a_sensor_of_another_controller_is_not_read() {
    check(&[(5, 0x2c)], 1, "owned by a controller other than the BMC");
}

#[test]
fn names_come_in_four_encodings() {
    let named = |type_length: u8, bytes: &[u8]| name(type_length, bytes);
    assert_eq!(named(0xC5, b"Power"), "Power");
    assert_eq!(named(0xC3, b"Power"), "Pow", "the length counts");
    assert_eq!(named(0xC9, b"Pow"), "Pow", "a name that is cut is what is there");
    assert_eq!(named(0xC7, b" PS1\0\0 "), "PS1");
    assert_eq!(named(0x42, &[0x12, 0xC3]), "12.3");
    // "IPMI" is the specification's own example of six-bit characters: 43.15.
    assert_eq!(named(0x83, &[0x29, 0xDC, 0xA6]), "IPMI");
}

#[test]
fn a_cut_record_is_none() {
    for length in 0..48 {
        assert_eq!(full_sensor(&POWER[..length]), Err(TruncatedRecord), "{length}");
    }
}

#[test]
fn a_reading_that_is_unavailable_or_not_scanned_is_none() {
    assert_eq!(raw_reading(&[59, 0xC0, 0xC0]), Some(Ok(59)));
    assert_eq!(raw_reading(&[59, 0x40]), Some(Ok(59)), "without events, without state");
    for flags in [0xE0, 0x80, 0x00] {
        assert!(matches!(raw_reading(&[59, flags, 0]), Some(Err(NoReading::NotAvailable(_)))), "{flags:02x}");
    }
    assert_eq!(raw_reading(&[59]), None);
}

proptest! {
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..90)) {
        super::super::fuzzing::answer(&noise);
    }

    #[test]
    fn any_change_of_a_good_record_never_panics(offset in 0_usize..53, byte in any::<u8>(), raw in any::<u8>()) {
        if let Ok(Some(IpmiSensor { conversion: Ok(conversion), .. })) = full_sensor(&power_with(&[(offset, byte)])) {
            _ = (conversion.watts(raw), conversion.step());
        }
    }
}
