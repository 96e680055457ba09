//! The quick way through a message of our own form yields what the general one yields.

use proptest::prelude::*;

use super::any::any_measurement;
use super::*;

/// What both ways through yield for a message: the general one, and the quick one where it applies.
fn both(
    scheme: Scheme,
    topic: &[u8],
    payload: &[u8],
) -> (Result<Verified, Refusal>, Option<Result<Verified, Refusal>>) {
    let verifier = verifier(scheme);
    let quick = own::read(payload).and_then(|own| verifier.decode_own(topic, payload, &own));
    (verifier.decode_any(topic, payload), quick)
}

#[track_caller]
fn check_agreement(scheme: Scheme, topic: &[u8], payload: &[u8]) {
    let (general, quick) = both(scheme, topic, payload);
    if let Some(quick) = quick {
        assert_eq!(quick, general, "{scheme:?} {}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn our_own_messages_go_the_quick_way() {
    for measurement in [full(), on_a_curve()] {
        for scheme in [Scheme::Kwapi1, Scheme::None] {
            let wire = sign(scheme, &measurement);
            let (general, quick) = both(scheme, &wire.topic, &wire.payload);
            assert!(general.is_ok());
            assert_eq!(quick, Some(general), "{scheme:?}");
        }
    }
}

#[test]
fn the_quick_way_accepts_nothing_the_general_one_does_not() {
    for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
        for measurement in [full(), on_a_curve()] {
            let wire = sign(scheme, &measurement);
            let text = String::from_utf8(wire.payload.clone()).unwrap();
            // Each byte changed, left out, or doubled, whether the signature then holds or not.
            for at in 0..text.len() {
                for byte in [b'0', b'1', b'9', b'.', b'e', b'-', b'"', b'\\', b',', b'}', b' ', 0x1f, 0x80] {
                    let mut changed = wire.payload.clone();
                    changed[at] = byte;
                    check_agreement(scheme, &wire.topic, &changed);
                    changed.insert(at, byte);
                    check_agreement(scheme, &wire.topic, &changed);
                }
                let mut shorter = wire.payload.clone();
                shorter.remove(at);
                check_agreement(scheme, &wire.topic, &shorter);
                check_agreement(scheme, &wire.topic, &wire.payload[..at]);
            }
        }
    }
}

#[test]
fn numbers_mean_the_same_either_way() {
    for number in [
        "0",
        "00",
        "01",
        "0.5",
        "00.5",
        ".5",
        "5.",
        "1.0",
        "1.50",
        "1e3",
        "-1",
        "+1",
        "1_000",
        "0.1",
        "0.30000000000000004",
        "123456789.12345678",
        "9007199254740991",
        "9007199254740993",
        "9007199254740993.5",
        "18446744073709551615",
        "18446744073709551616",
        "0.00000000000000000001",
        "0.1234567890123456789",
        "1.12345678901234567890",
        "999999999.9999999999",
        "1000000000.0000000001",
        "NaN",
        "Infinity",
        "null",
        "true",
        "\"1\"",
    ] {
        for member in [
            "w",
            "v",
            "timestamp_us",
            "seq",
            "unknown_ms",
            "estimated_mj",
            "bridged_ms",
            "curve",
            "run",
            "curve_mj",
            "meter_energy_mj",
            "meter_since_us",
        ] {
            let values = |name: &str| if name == member { number } else { "1" };
            let payload = format!(
                concat!(
                    r#"{{"probe_id":"A","w":{},"v":{},"timestamp_us":{},"session":1,"seq":{},"energy_mj":1,"#,
                    r#""measured_ms":1,"estimated_ms":1,"unknown_ms":{},"estimated_mj":{},"bridged_ms":{},"#,
                    r#""curve":{},"run":{},"curve_mj":{},"meter_energy_mj":{},"meter_since_us":{}}}"#
                ),
                values("w"),
                values("v"),
                values("timestamp_us"),
                values("seq"),
                values("unknown_ms"),
                values("estimated_mj"),
                values("bridged_ms"),
                values("curve"),
                values("run"),
                values("curve_mj"),
                values("meter_energy_mj"),
                values("meter_since_us"),
            );
            check_agreement(Scheme::None, b"A.", payload.as_bytes());
            let wire = sealed("A.", &payload);
            check_agreement(Scheme::Kwapi1, &wire.topic, &wire.payload);
        }
    }
}

proptest! {
    #[test]
    fn both_ways_read_any_measurement_alike(measurement in any_measurement(), scope in "[A-Za-z]{1,3}") {
        for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
            let wire = sign(scheme, &measurement);
            check_agreement(scheme, &wire.topic, &wire.payload);
            check_agreement(scheme, scope.as_bytes(), &wire.payload);
        }
    }

    #[test]
    fn both_ways_judge_members_in_any_order_alike(
        order in Just(ACCOUNTING.split(',').map(str::to_owned).collect::<Vec<_>>()).prop_shuffle(),
        extra in prop::sample::select(vec!["", r#","x":1"#, r#","q":"estimated""#, r#","q":"measured""#, r#","energy_mj":2"#]),
        space in prop::sample::select(vec!["", " ", "\n"]),
    ) {
        let payload = format!(r#"{{"probe_id":"A",{space}"w":1,{}{extra}{space}}}"#, order.join(","));
        check_agreement(Scheme::None, b"A.", payload.as_bytes());
        let wire = sealed("A.", &payload);
        check_agreement(Scheme::Kwapi1, &wire.topic, &wire.payload);
    }
}
