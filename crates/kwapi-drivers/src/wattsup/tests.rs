//! Records shortened from ones that owners published, on 120 V and 230 V mains. What the meter does over its line is
//! tested with the pseudo-terminal meter, in `tests/compliance`.

use proptest::prelude::*;

use super::*;

/// Parses one record and compares it as text: data in, text out.
#[track_caller]
fn check(record: &str, expected: &str) {
    let actual = match parse_record(record.as_bytes()) {
        Ok(Some(reading)) => reading.to_string(),
        Ok(None) => "no reading".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected, "for {record:?}");
}

#[test]
fn a_record_counts_tenths_and_thousandths() {
    check("#d,-,18,972,2277,433,0,0,70035,5602;", "97.2 W, 227.7 V, 0.433 A");
}

#[test]
fn the_energy_counter_counts_tenths_of_a_watt_hour_and_zero_is_no_counter() {
    check("#d,-,18,972,2277,433,5,0,70035,5602;", "97.2 W, 227.7 V, 0.433 A, 1800 J");
    check("#d,-,18,972,2277,433,_,0,70035,5602;", "97.2 W, 227.7 V, 0.433 A");
}

#[test]
fn an_idle_outlet_draws_zero_but_a_masked_field_is_absent() {
    check("#d,-,18,0,1201,0,0,0,2,0;", "0 W, 120.1 V, 0 A");
    check("#d,-,18,124,_,97,_,_,_,_;", "12.4 W, 0.097 A");
}

#[test]
fn line_ends_and_noise_before_a_record_are_skipped_and_a_header_is_no_reading() {
    check("\r\n#d,-,18,610,1186,545;", "61 W, 118.6 V, 0.545 A");
    check("\u{0}~x!#d,-,18,97#d,-,18,610,1186,545;", "61 W, 118.6 V, 0.545 A");
    check("\r\n#h,-,18,W,V,A,WH,Cost;", "no reading");
}

#[test]
fn a_cut_or_negative_record_is_malformed() {
    check("#d,-,18,97", r##"malformed record: "#d,-,18,97""##);
    check("#d,-,18,972,2277;", r##"malformed record: "#d,-,18,972,2277;""##);
    check("#d,-,18,-5,2277,433;", r##"malformed record: "#d,-,18,-5,2277,433;""##);
    check("72,2277,433;", r#"malformed record: "72,2277,433;""#);
}

proptest! {
    #[test]
    fn line_noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        _ = parse_record(&noise);
    }

    #[test]
    fn any_record_of_digits_gives_power_that_may_travel(fields in prop::collection::vec(any::<u32>(), 3..18)) {
        let fields: Vec<_> = fields.iter().map(u32::to_string).collect();
        let reading = parse_record(format!("#d,-,18,{};", fields.join(",")).as_bytes()).unwrap().unwrap();
        prop_assert!(kwapi_core::Measurement::power_is_valid(reading.power.unwrap()));
    }
}
