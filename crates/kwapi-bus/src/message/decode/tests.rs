mod any;
mod curve;
mod quick;

use kwapi_core::{Accounting, CurvePoint, Energy, MeterTotal, ProbeId, Quality, Timestamp, Totals};

use super::*;
use crate::{Signer, Wire};

const SECRET: &str = "0123456789abcdef";

/// A message with every member there is.
fn full() -> Measurement {
    Measurement {
        probe: ProbeId::new("lyon.taurus-7").unwrap(),
        power: Watts(97.5),
        voltage: Some(Volts(230.0)),
        current: Some(Amperes(0.421_739_130_434_782_6)),
        accounting: Some(Accounting {
            curve: None,
            timestamp: Timestamp::from_micros(1_795_393_618_857_424),
            session: Timestamp::from_micros(1_795_393_600_000_000),
            seq: 18,
            totals: Totals {
                energy: Energy::from_millijoules(1_838_616),
                measured_ms: 18_000,
                estimated_ms: 500,
                unknown_ms: 357,
                ..Totals::default()
            },
            meter: Some(MeterTotal {
                energy: Energy::from_watt_hours(70),
                since: Some(Timestamp::from_seconds(1_700_000_000)),
            }),
            quality: Quality::Estimated,
        }),
    }
}

/// The same of a meter whose register bridged a stop.
fn on_a_curve() -> Measurement {
    let mut measurement = full();
    if let Some(accounting) = &mut measurement.accounting {
        accounting.totals.estimated = Energy::from_millijoules(48_750);
        accounting.totals.bridged = Energy::from_millijoules(730_000);
        accounting.totals.bridged_ms = 7_200;
        accounting.curve = Some(CurvePoint {
            id: Timestamp::from_micros(1_795_000_000_000_000),
            run: 3,
            begin: Energy::from_millijoules(94_300_000),
        });
    }
    measurement
}

fn key(scheme: Scheme) -> Option<Key> {
    match scheme {
        Scheme::Kwapi1 | Scheme::Legacy => Some(Key::new("lyon-1", SECRET)),
        Scheme::None => None,
    }
}

fn verifier(scheme: Scheme) -> Verifier {
    Verifier::new(scheme, key(scheme)).unwrap()
}

fn sign(scheme: Scheme, measurement: &Measurement) -> Wire {
    let mut wire = Wire::default();
    Signer::new(scheme, key(scheme).as_ref()).unwrap().encode(measurement, &mut wire);
    wire
}

fn decode(scheme: Scheme, wire: &Wire) -> Result<Measurement, Refusal> {
    verifier(scheme).decode(&[&wire.topic, &wire.payload]).map(|verified| verified.measurement)
}

/// Signs `payload`, given up to its signature member, as `kwapi-1` does.
fn sealed(topic: &str, payload: &str) -> Wire {
    let mac = KeyedMac::new(&Key::new("lyon-1", SECRET), Scheme::Kwapi1).unwrap();
    let open = format!("{},\"message_signature\":", payload.strip_suffix('}').unwrap());
    let signature = mac.sign(&[KWAPI_1, &topic_length(topic.as_bytes()), topic.as_bytes(), open.as_bytes()]);
    let signature = str::from_utf8(&signature).unwrap();
    Wire { topic: topic.into(), payload: format!("{open}\"1:lyon-1:{signature}\"}}").into() }
}

/// What becomes of a message whose signature is right.
#[track_caller]
fn check_sealed(topic: &str, payload: &str, expected: Result<(), Refusal>) {
    assert_eq!(decode(Scheme::Kwapi1, &sealed(topic, payload)).map(drop), expected, "{topic} {payload}");
}

/// What becomes of an unsigned message where none need be.
#[track_caller]
fn check_unsigned(topic: &str, payload: &str, expected: Result<f64, Refusal>) {
    let wire = Wire { topic: topic.into(), payload: payload.into() };
    let seen = decode(Scheme::None, &wire).map(|measurement| measurement.power.0);
    assert_eq!(seen, expected, "{topic} {payload}");
}

const ACCOUNTING: &str =
    r#""timestamp_us":1,"session":1,"seq":0,"energy_mj":0,"measured_ms":0,"estimated_ms":0,"unknown_ms":0"#;

#[test]
fn the_bytes_of_a_message_are_these() {
    let members = concat!(
        r#"{"probe_id":"lyon.taurus-7","w":97.5,"v":230,"a":0.4217391304347826,"#,
        r#""timestamp_us":1795393618857424,"session":1795393600000000,"seq":18,"energy_mj":1838616,"#,
        r#""measured_ms":18000,"estimated_ms":500,"unknown_ms":357,"#,
        r#""meter_energy_mj":252000000,"meter_since_us":1700000000000000,"q":"estimated""#,
    );
    // Computed from the description by tests/peers/kwapi_message.py.
    for (scheme, signature) in [
        (
            Scheme::Kwapi1,
            r#","message_signature":"1:lyon-1:72ab10c298f85b4ea4d8fe49a46f6228d3f5dfc0c5f16fd8d3f9fe9488c1237c"}"#,
        ),
        (
            Scheme::Legacy,
            r#","message_signature":"b31a76880ea6773cf923def0e1fd229d3c33f96cb55d9d736a8189cee7a3f95b"}"#,
        ),
        (Scheme::None, "}"),
    ] {
        let wire = sign(scheme, &full());
        assert_eq!(String::from_utf8_lossy(&wire.topic), "lyon.taurus-7.");
        assert_eq!(String::from_utf8_lossy(&wire.payload), format!("{members}{signature}"));
        assert_eq!(decode(scheme, &wire), Ok(full()), "{scheme:?}");
    }
}

#[test]
fn a_session_may_have_any_number() {
    for id in [0, 1 << 63, u64::MAX] {
        let members = ACCOUNTING.replace("\"session\":1", &format!("\"session\":{id}"));
        check_sealed("A.", &format!(r#"{{"probe_id":"A","w":1,{members}}}"#), Ok(()));
    }
}

#[test]
fn every_byte_is_covered_by_the_signature() {
    let wire = sign(Scheme::Kwapi1, &full());
    for at in 0..wire.payload.len() {
        for change in [1, 0x20] {
            let mut changed = wire.clone();
            changed.payload[at] ^= change;
            assert!(decode(Scheme::Kwapi1, &changed).is_err(), "byte {at} of the payload");
        }
    }
    for at in 0..wire.topic.len() {
        let mut changed = wire.clone();
        changed.topic[at] ^= 1;
        assert_eq!(decode(Scheme::Kwapi1, &changed), Err(Refusal::SignatureWrong), "byte {at} of the topic");
    }
    for (after, refusal) in
        [(" ", Refusal::SignatureWrong), ("}", Refusal::Json), ("\n", Refusal::SignatureWrong)]
    {
        let mut longer = wire.clone();
        longer.payload.extend_from_slice(after.as_bytes());
        assert_eq!(decode(Scheme::Kwapi1, &longer), Err(refusal), "{after:?}");
    }
}

#[test]
fn the_signature_is_judged_before_what_it_covers() {
    let refused = |payload: &str| {
        decode(Scheme::Kwapi1, &Wire { topic: b"A.".into(), payload: payload.into() })
            .expect_err("not signed by us")
    };
    let zeros = "0".repeat(64);
    assert_eq!(refused(r#"{"probe_id":7,"w":true}"#), Refusal::SignatureMissing);
    assert_eq!(refused(r#"{"probe_id":7,"message_signature":3}"#), Refusal::SignatureWrong);
    assert_eq!(refused(&format!(r#"{{"message_signature":"{zeros}"}}"#)), Refusal::SignatureWrong);
    assert_eq!(refused(&format!(r#"{{"message_signature":"2:lyon-1:{zeros}"}}"#)), Refusal::SignatureWrong);
    assert_eq!(refused(&format!(r#"{{"message_signature":"1:lyon-2:{zeros}"}}"#)), Refusal::KeyUnknown);
    assert_eq!(refused(&format!(r#"{{"message_signature":"1:lyon-1:{zeros}"}}"#)), Refusal::SignatureWrong);
    assert_eq!(
        refused(&format!(r#"{{"message_signature":"1:lyon-1:{zeros}","w":1}}"#)),
        Refusal::SignatureWrong
    );
    assert_eq!(
        refused(&format!(r#"{{"message_signature":"1:\u006cyon-1:{zeros}"}}"#)),
        Refusal::SignatureWrong
    );
}

#[test]
fn an_upper_case_signature_is_none() {
    let wire = sign(Scheme::Kwapi1, &full());
    let text = String::from_utf8(wire.payload).unwrap();
    let (head, hex) = text.rsplit_once(':').unwrap();
    let wire = Wire { topic: wire.topic, payload: format!("{head}:{}", hex.to_uppercase()).into() };
    assert_eq!(decode(Scheme::Kwapi1, &wire), Err(Refusal::SignatureWrong));
}

#[test]
fn a_signature_of_one_scheme_is_none_in_the_other() {
    for (signed, checked) in [(Scheme::Legacy, Scheme::Kwapi1), (Scheme::Kwapi1, Scheme::Legacy)] {
        assert_eq!(decode(checked, &sign(signed, &full())), Err(Refusal::SignatureWrong), "{signed:?}");
    }
    for scheme in [Scheme::Kwapi1, Scheme::Legacy] {
        assert_eq!(
            decode(scheme, &sign(Scheme::None, &full())),
            Err(Refusal::SignatureMissing),
            "{scheme:?}"
        );
        assert_eq!(decode(Scheme::None, &sign(scheme, &full())), Ok(full()), "{scheme:?}");
    }
}

#[test]
fn a_value_cannot_move_to_another_probe_under_the_same_signature() {
    // The original's collision: the same digest for probe `A` with `v`, and for probe `Av230.0` without.
    let first = sealed("A.", &format!(r#"{{"a":1,"probe_id":"A","v":230.0,"w":97,{ACCOUNTING}}}"#));
    let signature = String::from_utf8(first.payload).unwrap();
    let (_, signature) = signature.rsplit_once("message_signature").unwrap();
    let forged = format!(r#"{{"a":1,"probe_id":"Av230.0","w":97,{ACCOUNTING},"message_signature{signature}"#);
    let forged = Wire { topic: b"Av230.0.".into(), payload: forged.into() };
    assert_eq!(decode(Scheme::Kwapi1, &forged), Err(Refusal::SignatureWrong));
}

#[test]
fn a_key_signs_for_its_own_probes_only() {
    let scoped = |pattern: &str| Key { probes: Pattern::new(pattern).unwrap(), ..Key::new("lyon-1", SECRET) };
    for scheme in [Scheme::Kwapi1, Scheme::Legacy] {
        let wire = sign(scheme, &full());
        for (pattern, expected) in [("lyon.*", Ok(())), ("*", Ok(())), ("nancy.*", Err(Refusal::KeyScope))] {
            let verifier = Verifier::new(scheme, [scoped(pattern)]).unwrap();
            let seen = verifier.decode(&[&wire.topic, &wire.payload]).map(drop);
            assert_eq!(seen, expected, "{scheme:?} {pattern}");
        }
    }
}

#[test]
fn a_signed_message_must_state_its_place_in_the_row() {
    check_sealed("A.", &format!(r#"{{"probe_id":"A","w":1,{ACCOUNTING}}}"#), Ok(()));
    check_sealed("A.", r#"{"probe_id":"A","w":1}"#, Err(Refusal::Member));
    check_sealed("A.", r#"{"probe_id":"A","w":1,"seq":0}"#, Err(Refusal::Member));
    check_unsigned("A.", r#"{"probe_id":"A","w":1}"#, Ok(1.0));
    check_unsigned("A.", r#"{"probe_id":"A","w":1,"seq":0}"#, Err(Refusal::Member));
}

#[test]
fn a_signed_message_that_is_no_measurement_is_refused_by_cause() {
    check_sealed("A.", &format!(r#"{{"probe_id":7,"w":1,{ACCOUNTING}}}"#), Err(Refusal::ProbeId));
    check_sealed("B.", &format!(r#"{{"probe_id":"A","w":1,{ACCOUNTING}}}"#), Err(Refusal::TopicMismatch));
    check_sealed(
        "A.",
        &format!(r#"{{"probe_id":"A","w":1,"w":2,{ACCOUNTING}}}"#),
        Err(Refusal::DuplicateMember),
    );
    check_sealed(
        "A.",
        &format!(r#"{{"probe_id":"A","w":1,"x":1,"\u0078":2,{ACCOUNTING}}}"#),
        Err(Refusal::DuplicateMember),
    );
    check_sealed("A.", &format!(r#"{{"probe_id":"A","w":1,"é":{{"x":[1,null]}},{ACCOUNTING}}}"#), Ok(()));
}

#[test]
fn only_a_json_number_within_measure_is_power() {
    for (w, expected) in [
        ("0", Ok(0.0)),
        ("-0.0", Ok(0.0)),
        ("1e9", Ok(1e9)),
        ("87.5", Ok(87.5)),
        ("1000000001", Err(Refusal::Power)),
        ("1e999", Err(Refusal::Power)),
        ("-1", Err(Refusal::Power)),
        ("NaN", Err(Refusal::Power)),
        ("Infinity", Err(Refusal::Power)),
        ("-Infinity", Err(Refusal::Power)),
        ("true", Err(Refusal::Power)),
        ("null", Err(Refusal::Power)),
        ("\"12\"", Err(Refusal::Power)),
        ("[1]", Err(Refusal::Power)),
        ("{}", Err(Refusal::Power)),
        ("0x1", Err(Refusal::Json)),
    ] {
        check_unsigned("A.", &format!(r#"{{"probe_id":"A","w":{w}}}"#), expected);
    }
    check_unsigned("A.", r#"{"probe_id":"A"}"#, Err(Refusal::Power));
    check_unsigned("A.", r#"{"probe_id":"A","w":1,"v":"230"}"#, Err(Refusal::Member));
    check_unsigned("A.", r#"{"probe_id":"A","w":1,"a":NaN}"#, Err(Refusal::Member));
}

#[test]
fn probe_ids_and_topics_must_be_such_and_agree() {
    check_unsigned("A.", r#"{"w":1}"#, Err(Refusal::ProbeId));
    check_unsigned(".", r#"{"probe_id":"","w":1}"#, Err(Refusal::ProbeId));
    check_unsigned("A\n.", r#"{"probe_id":"A\n","w":1}"#, Err(Refusal::ProbeId));
    check_unsigned("A", r#"{"probe_id":"A","w":1}"#, Err(Refusal::TopicMismatch));
    check_unsigned("A..", r#"{"probe_id":"A","w":1}"#, Err(Refusal::TopicMismatch));
    check_unsigned("n\u{153}ud.", r#"{"probe_id":"n\u0153ud","w":1}"#, Ok(1.0));
}

#[test]
fn our_integers_are_integers() {
    for wrong in ["-1", "1.0", "1e3", "18446744073709551616", "\"1\"", "null"] {
        let payload = format!(
            r#"{{"probe_id":"A","w":1,{}}}"#,
            ACCOUNTING.replace("\"seq\":0", &format!("\"seq\":{wrong}"))
        );
        check_unsigned("A.", &payload, Err(Refusal::Member));
        for name in ["estimated_mj", "bridged_mj", "bridged_ms", "curve", "run", "curve_mj"] {
            let curve = r#""curve":1,"run":1,"curve_mj":1"#.replace(&format!("\"{name}\":1"), "\"x\":1");
            let payload = format!(r#"{{"probe_id":"A","w":1,{ACCOUNTING},{curve},"{name}":{wrong}}}"#);
            check_unsigned("A.", &payload, Err(Refusal::Member));
        }
    }
    check_unsigned(
        "A.",
        &format!(r#"{{"probe_id":"A","w":1,{ACCOUNTING},"q":"guessed"}}"#),
        Err(Refusal::Member),
    );
    check_unsigned(
        "A.",
        &format!(r#"{{"probe_id":"A","w":1,{ACCOUNTING},"meter_since_us":1}}"#),
        Err(Refusal::Member),
    );
}

/// In the order of our own publisher's members, and in any other.
#[test]
fn parts_that_exceed_their_whole_are_refused() {
    for (estimated, bridged, expected) in [
        (4, 6, Ok(1.0)),
        (4, 7, Err(Refusal::Member)),
        (11, 0, Err(Refusal::Member)),
        (u64::MAX, 1, Err(Refusal::Member)),
    ] {
        let accounting = ACCOUNTING.replace("\"energy_mj\":0", "\"energy_mj\":10");
        let parts = format!(r#""estimated_mj":{estimated},"bridged_mj":{bridged}"#);
        check_unsigned("A.", &format!(r#"{{"probe_id":"A","w":1,{accounting},{parts}}}"#), expected);
        check_unsigned("A.", &format!(r#"{{{parts},{accounting},"w":1,"probe_id":"A"}}"#), expected);
    }
}

#[test]
fn frames_and_sizes_are_bounded() {
    let verifier = verifier(Scheme::None);
    let payload = br#"{"probe_id":"A","w":1}"#.as_slice();
    for frames in [&[payload] as &[&[u8]], &[b"A.", payload, payload], &[]] {
        assert_eq!(verifier.decode(frames), Err(Refusal::Frames));
    }
    assert_eq!(verifier.decode(&[b"A.", b"{\"probe_id\":\"\xff\"}"]), Err(Refusal::Utf8));
    let padded = |bytes: usize| format!("{{\"probe_id\":\"A\",\"w\":1{}}}", " ".repeat(bytes - 22));
    check_unsigned("A.", &padded(PAYLOAD_BYTES_MAX), Ok(1.0));
    check_unsigned("A.", &padded(PAYLOAD_BYTES_MAX + 1), Err(Refusal::TooLarge));
}

#[test]
fn one_id_means_one_key() {
    let twice = [Key::new("k", SECRET), Key::new("k", "fedcba9876543210")];
    assert_eq!(Verifier::new(Scheme::Kwapi1, twice).err(), Some(KeyError::Twice("k".into())));
    assert!(Verifier::new(Scheme::Kwapi1, []).is_err() && Verifier::new(Scheme::Legacy, []).is_err());
    assert!(Verifier::new(Scheme::None, [Key::new("k", SECRET)]).is_err());
}
