use proptest::prelude::*;

use super::*;
use crate::snmp::profile::ProfileCatalogue;

mod families;

#[track_caller]
fn check(profile: &str, snmprec: &str, expected: &[&str]) {
    let catalogue = ProfileCatalogue::built_in().unwrap();
    let walk = parse_snmprec(snmprec).unwrap();
    let lines: Vec<String> = evaluate(catalogue.get(profile).unwrap(), &walk)
        .into_iter()
        .map(|outlet| {
            let label = outlet.label.map(|label| format!(" ({label})")).unwrap_or_default();
            match outlet.reading {
                Ok(reading) => format!("{}{label}: {reading}", outlet.key),
                Err(reason) => format!("{}{label}: {reason}", outlet.key),
            }
        })
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_profile_yields_the_rows_of_a_walk() {
    check(
        "eaton_epdu",
        "1.3.6.1.4.1.534.6.6.7.6.1.1.3.0.2|4|db1\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.3.0.10|2|-1\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.3.0.2|66|107\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.3.1.2|66:numeric|rate=0,initial=55\n\
         1.3.6.1.4.1.534.6.6.7.6.5.1.4.0.2|66|12\n",
        &["2 (db1): 107 W, 43200 J", "10: not available: power reads -1", "1.2: 55 W"],
    );
}

#[test]
fn a_recorded_walk_names_nobody_and_yields_the_same() {
    let objects = [
        ("1.3.6.1.2.1.1.5.0", ObjectValue::Text(b"pdu-lyon-07.example.net".to_vec())),
        ("1.3.6.1.2.1.1.6.0", ObjectValue::Text("10.1.2.3\n\u{e9}tage".into())),
        ("1.3.6.1.4.1.13742.4.1.2.2.1.2.7", ObjectValue::Text(b"mail server".to_vec())),
        ("1.3.6.1.4.1.13742.4.1.2.2.1.7.7", ObjectValue::Integer(107)),
        ("1.3.6.1.4.1.13742.4.1.2.2.1.31.7", ObjectValue::Integer(3_000_000_000)),
    ]
    .map(|(oid, value)| (parse_oid(oid).unwrap(), value));
    let text = to_snmprec(&objects);
    for secret in ["lyon", "example", "10.1", "mail"] {
        assert!(!text.contains(secret), "{text}");
    }
    check("raritan_px1", &text, &["7 (xxxx xxxxxx): 107 W, 10800000000000 J"]);
}

#[test]
fn every_form_of_a_value_that_snmpsim_writes_is_read() {
    let text = |text: &[u8]| ObjectValue::Text(text.to_vec());
    for (line, expected) in [
        ("2|-7", ObjectValue::Integer(-7)),
        ("70|18446744073709551615", ObjectValue::Integer(i128::from(u64::MAX))),
        ("66|", ObjectValue::Null),
        ("5|", ObjectValue::Null),
        ("4|a|b", text(b"a|b")),
        ("4x|00FF", text(&[0, 255])),
        (r"4e|a\x0a\n\\\x27", text(b"a\n\n\\'")),
        ("6|.1.3.6", ObjectValue::Oid(parse_oid("1.3.6").unwrap())),
        ("64|10.0.0.1", ObjectValue::Other),
        ("64x|0a000001", ObjectValue::Other),
        ("68x|9f780442f60000", ObjectValue::Float(123.0)),
        (r"68e|\x9fx\x04B\xf6\x00\x00", ObjectValue::Float(123.0)),
        ("129|", ObjectValue::Absent),
        ("2:numeric|rate=2,initial=40", ObjectValue::Integer(40)),
        ("66:numeric|min=3,max=9", ObjectValue::Integer(3)),
        ("4:writecache|value=web1", text(b"web1")),
        ("4x:delay|hexvalue=4142,wait=100", text(b"AB")),
        ("2:sql|SELECT", ObjectValue::Other),
    ] {
        let walk = parse_snmprec(&format!("1.3.6.1|{line}")).unwrap();
        assert_eq!(walk.values().collect::<Vec<_>>(), [&expected], "{line}");
    }
}

#[test]
fn a_faulty_line_is_named() {
    for (text, expected) in [
        ("1.3.6|2|7\n1.3.6.x|2|7", "line 2"),
        ("1.3.6", "line 1: not OID|TAG|VALUE"),
        ("1.3.6|2|seven", "line 1: no value of type 2"),
        ("1.3.6|4x|abc", "line 1: no value of type 4x"),
        (r"1.3.6|4e|a\q", "line 1: no value of type 4e"),
        ("1.3.6|99|7", "line 1: no value of type 99"),
    ] {
        let message = parse_snmprec(text).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

proptest! {
    #[test]
    fn no_walk_panics(text in "([0-9.]{0,12}\\|[0-9x:a]{0,4}\\|.{0,12}\n){0,5}|.{0,40}") {
        if let Ok(walk) = parse_snmprec(&text) {
            for profile in ProfileCatalogue::built_in().unwrap().iter() {
                evaluate(profile, &walk);
            }
        }
    }

    #[test]
    fn any_text_survives_as_a_line_of_its_own(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let oid = parse_oid("1.3.6.1").unwrap();
        let text = to_snmprec(&[(oid.clone(), ObjectValue::Text(bytes.clone()))]);
        prop_assert_eq!(text.lines().count(), 1);
        let walk = parse_snmprec(&text).unwrap();
        let Some(ObjectValue::Text(read)) = walk.get(&oid) else { return Err(TestCaseError::fail("no text")) };
        prop_assert_eq!(read.len(), bytes.len());
    }
}
