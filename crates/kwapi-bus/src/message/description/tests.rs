use std::collections::BTreeMap;
use std::time::Duration;

use kwapi_core::{Accounting, Measurement, Pattern, ProbeId, Quality, Timestamp, Totals, Watts};
use proptest::prelude::*;

use super::*;
use crate::Refusal;
use crate::key::{Key, Scheme};
use crate::message::{Signer, Verified, Verifier, Wire};

const SECRET: &str = "Change This Or Be Hacked";

fn key(probes: &str) -> Key {
    Key { probes: Pattern::new(probes).unwrap(), ..Key::new("lyon", SECRET) }
}

fn measurement() -> Measurement {
    let accounting = Accounting {
        timestamp: Timestamp::from_micros(17),
        session: Timestamp::from_micros(11),
        seq: 3,
        totals: Totals::default(),
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    let probe = ProbeId::new("lyon.a").unwrap();
    Measurement { probe, power: Watts(97.5), voltage: None, current: None, accounting: Some(accounting) }
}

fn description() -> Description {
    Description {
        driver: "snmp".to_owned(),
        interval: Some(Duration::from_secs(300)),
        max_gap: Duration::from_secs(750),
        accuracy_percent: Some(1.5),
        labels: BTreeMap::from([("rack".to_owned(), "\"r\" é".to_owned())]),
    }
}

fn sent(scheme: Scheme, description: Option<&Description>) -> Wire {
    let key = (scheme != Scheme::None).then(|| key("*"));
    let mut wire = Wire::default();
    let signer = Signer::new(scheme, key.as_ref()).unwrap();
    signer.encode_described(&measurement(), description, &mut wire);
    wire
}

fn read_as(scheme: Scheme, payload: &[u8]) -> Result<Verified, Refusal> {
    let keys = (scheme != Scheme::None).then(|| key("lyon.*"));
    Verifier::new(scheme, keys).unwrap().decode(&[b"lyon.a.", payload])
}

/// What is read from an unsigned message whose member `description` is this text.
fn read(text: &str) -> Option<Result<Box<Description>, DescriptionRefusal>> {
    let payload = String::from_utf8(sent(Scheme::None, None).payload).unwrap();
    let payload = format!("{},\"description\":{text}}}", payload.strip_suffix('}').unwrap());
    read_as(Scheme::None, payload.as_bytes()).unwrap().description
}

#[test]
fn the_bytes_of_a_described_message_are_these() {
    let payload = String::from_utf8(sent(Scheme::Kwapi1, Some(&description())).payload).unwrap();
    assert_eq!(
        payload,
        r#"{"probe_id":"lyon.a","w":97.5,"timestamp_us":17,"session":11,"seq":3,"energy_mj":0,"measured_ms":0,"estimated_ms":0,"unknown_ms":0,"description":{"driver":"snmp","interval_ms":300000,"max_gap_ms":750000,"accuracy_percent":1.5,"labels":{"rack":"\"r\" é"}},"message_signature":"1:lyon:c20378c87d53eb49bd1a3eea11fc49d88a282ed29414c9f181bce5474646c384"}"#
    );
    let verified = read_as(Scheme::Kwapi1, payload.as_bytes()).unwrap();
    assert_eq!(verified.measurement, measurement());
    assert_eq!(verified.description, Some(Ok(Box::new(description()))));
    let other = payload.replace("750000", "999999");
    assert_eq!(read_as(Scheme::Kwapi1, other.as_bytes()), Err(Refusal::SignatureWrong));
}

#[test]
fn a_message_without_one_is_as_it_was_and_the_originals_never_has_one() {
    for scheme in [Scheme::Kwapi1, Scheme::Legacy, Scheme::None] {
        let mut plain = Wire::default();
        let key = (scheme != Scheme::None).then(|| key("*"));
        Signer::new(scheme, key.as_ref()).unwrap().encode(&measurement(), &mut plain);
        assert_eq!(sent(scheme, None), plain);
        assert_eq!(read_as(scheme, &plain.payload).unwrap().description, None);
    }
    assert_eq!(sent(Scheme::Legacy, Some(&description())), sent(Scheme::Legacy, None));
    let unstamped = Measurement { accounting: None, ..measurement() };
    let mut wire = Wire::default();
    Signer::None.encode_described(&unstamped, Some(&description()), &mut wire);
    assert_eq!(wire.payload, br#"{"probe_id":"lyon.a","w":97.5}"#);
}

#[test]
fn what_is_no_description_is_refused_and_its_message_is_not() {
    let refused = |text: &str| read(text).unwrap().unwrap_err();
    for text in [
        "null",
        "1",
        "[]",
        "{}",
        r#"{"driver":"d"}"#,
        r#"{"driver":"d","max_gap_ms":0}"#,
        r#"{"driver":"d","max_gap_ms":-1}"#,
        r#"{"driver":"d","max_gap_ms":1.5}"#,
        r#"{"driver":"d","max_gap_ms":18446744073709551616}"#,
        r#"{"driver":"d","max_gap_ms":604800001}"#,
        r#"{"driver":"d","max_gap_ms":1,"max_gap_ms":2}"#,
        r#"{"driver":"d","max_gap_ms":1,"accuracy_percent":NaN}"#,
        r#"{"driver":"d","max_gap_ms":1,"accuracy_percent":100.1}"#,
        r#"{"driver":"d","max_gap_ms":1,"labels":{"a":1}}"#,
        r#"{"driver":"d","max_gap_ms":1,"labels":{"a":"\u0000"}}"#,
    ] {
        assert_eq!(refused(text), DescriptionRefusal::Malformed, "{text}");
    }
    let labels =
        |text: usize| format!(r#"{{"driver":"d","max_gap_ms":1,"labels":{{"a":"{}"}}}}"#, "x".repeat(text));
    assert_eq!(refused(&labels(257)), DescriptionRefusal::Malformed);
    assert_eq!(refused(&labels(5_000)), DescriptionRefusal::TooLarge);
    assert!(read(&labels(256)).unwrap().is_ok());
    // What a later version adds is ignored.
    assert!(read(r#"{"driver":"d","max_gap_ms":1,"phase":"l1"}"#).unwrap().is_ok());
}

#[test]
fn where_there_is_no_room_for_all_labels_some_are_left_out() {
    let label = |number| (format!("{number:02}{}", "n".repeat(200)), "v".repeat(200));
    let long = Description { labels: (0..40).map(label).collect(), ..description() };
    let wire = sent(Scheme::Kwapi1, Some(&long));
    let read = read_as(Scheme::Kwapi1, &wire.payload).unwrap().description.unwrap().unwrap();
    assert_eq!(read.labels, (0..9).map(label).collect());
    assert_eq!((read.max_gap, read.driver), (long.max_gap, long.driver));
}

prop_compose! {
    fn any_description()(
        driver in any::<String>(),
        interval in prop::option::of(any::<u64>()),
        max_gap in any::<u64>(),
        hundredths in prop::option::of(0_u16..12_000),
        labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..40),
    ) -> Description {
        let millis = Duration::from_millis;
        let accuracy_percent = hundredths.map(|hundredths| f64::from(hundredths) / 100.0);
        Description { driver, interval: interval.map(millis), max_gap: millis(max_gap), accuracy_percent, labels }
    }
}

proptest! {
    #[test]
    fn any_description_reads_back_as_it_was_bounded(description in any_description()) {
        let wire = sent(Scheme::Kwapi1, Some(&description));
        let mut read = read_as(Scheme::Kwapi1, &wire.payload).unwrap().description.unwrap().unwrap();
        let mut bounded = description.bounded();
        prop_assert!(read.labels.iter().all(|(name, value)| bounded.labels.get(name) == Some(value)));
        (read.labels, bounded.labels) = Default::default();
        prop_assert_eq!(*read, bounded);
    }

    #[test]
    fn noise_in_its_place_never_costs_the_message(text in r#"[\[\]{}",:a-z0-9._\\-]{0,200}"#) {
        let payload = String::from_utf8(sent(Scheme::None, None).payload).unwrap();
        let payload = format!("{},\"description\":{text}}}", payload.strip_suffix('}').unwrap());
        if let Ok(verified) = read_as(Scheme::None, payload.as_bytes()) {
            prop_assert_eq!(verified.measurement, measurement());
        }
    }
}
