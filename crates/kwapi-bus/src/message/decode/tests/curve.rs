//! The members of a meter whose register is trusted.

use super::*;

/// What a meter's register adds to a message, in its place.
const CURVE: &str = concat!(
    r#""estimated_mj":48750,"bridged_mj":730000,"bridged_ms":7200,"#,
    r#""curve":1795000000000000,"run":3,"curve_mj":94300000,"#,
);

#[test]
fn the_bytes_of_a_message_on_a_curve_are_these() {
    let head = concat!(
        r#"{"probe_id":"lyon.taurus-7","w":97.5,"v":230,"a":0.4217391304347826,"#,
        r#""timestamp_us":1795393618857424,"session":1795393600000000,"seq":18,"energy_mj":1838616,"#,
        r#""measured_ms":18000,"estimated_ms":500,"unknown_ms":357,"#,
    );
    let tail = r#""meter_energy_mj":252000000,"meter_since_us":1700000000000000,"q":"estimated""#;
    // Computed from the description by tests/peers/kwapi_message.py.
    for (scheme, signature) in [
        (
            Scheme::Kwapi1,
            r#","message_signature":"1:lyon-1:b1da2539b5e3e696134b5fb336f0b469bd9bbb1b6240c97ccc9fdc4e2c553c8c"}"#,
        ),
        (
            Scheme::Legacy,
            r#","message_signature":"447b5f6275635cd00658e06165423fbf0dc8c223e5ee196aa9354e65628de2cd"}"#,
        ),
        (Scheme::None, "}"),
    ] {
        let wire = sign(scheme, &on_a_curve());
        assert_eq!(String::from_utf8_lossy(&wire.payload), format!("{head}{CURVE}{tail}{signature}"));
        assert_eq!(decode(scheme, &wire), Ok(on_a_curve()), "{scheme:?}");
    }
}

#[test]
fn a_reader_that_supports_no_curves_reads_the_rest() {
    let wire = sign(Scheme::None, &on_a_curve());
    let payload = String::from_utf8(wire.payload).unwrap();
    assert_eq!(payload.replace(CURVE, ""), String::from_utf8(sign(Scheme::None, &full()).payload).unwrap());
    // As a reader sees them to which these names mean nothing.
    let unknown =
        CURVE.replace("\"estimated_mj", "\"x1").replace("\"bridged", "\"x2").replace("\"curve", "\"x3");
    let payload = payload.replace(CURVE, &unknown.replace("\"run", "\"x4"));
    assert_eq!(decode(Scheme::Kwapi1, &sealed("lyon.taurus-7.", &payload)), Ok(full()));
}

#[test]
fn parts_that_exceed_their_whole_are_refused() {
    let check = |members: &str, expected| {
        let whole = ACCOUNTING.replace("\"energy_mj\":0", "\"energy_mj\":10");
        check_sealed("A.", &format!(r#"{{"probe_id":"A","w":1,{whole},{members}}}"#), expected);
    };
    check(r#""estimated_mj":4,"bridged_mj":6"#, Ok(()));
    check(r#""estimated_mj":4,"bridged_mj":7"#, Err(Refusal::Member));
    check(r#""bridged_mj":11"#, Err(Refusal::Member));
    check(r#""estimated_mj":18446744073709551615,"bridged_mj":18446744073709551615"#, Err(Refusal::Member));
    check(r#""bridged_ms":18446744073709551615"#, Ok(()));
}

#[test]
fn a_curve_is_described_whole_or_not_at_all() {
    let check = |members: &str, expected| {
        check_sealed("A.", &format!(r#"{{"probe_id":"A","w":1,{ACCOUNTING},{members}}}"#), expected);
    };
    check(r#""curve":1,"run":1,"curve_mj":0"#, Ok(()));
    check(r#""curve":9223372036854775808,"run":4294967295,"curve_mj":18446744073709551615"#, Ok(()));
    for part in [
        r#""curve":1"#,
        r#""run":1"#,
        r#""curve_mj":0"#,
        r#""curve":1,"run":1"#,
        r#""curve":1,"curve_mj":0"#,
        r#""run":1,"curve_mj":0"#,
        r#""curve":1,"run":0,"curve_mj":0"#,
        r#""curve":1,"run":4294967296,"curve_mj":0"#,
    ] {
        check(part, Err(Refusal::Member));
    }
}
