use super::*;

fn probe(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

/// Written down by the specification's field numbers and protobuf's encoding of them.
#[test]
fn the_bytes_of_a_message_are_these() {
    let sample = Sample { at_ms: 300, power: 2.0, energy: None };
    let bytes = encode(&SeriesLabels::new(&BTreeMap::new()), &[(probe("a"), vec![sample])]);
    let expected = [
        b"\x0a\x3f".as_slice(),
        b"\x0a\x23\x0a\x08__name__\x12\x17kwapi_probe_power_watts",
        b"\x0a\x0a\x0a\x05probe\x12\x01a",
        b"\x12\x0c\x09\0\0\0\0\0\0\0\x40\x10\xac\x02",
    ]
    .concat();
    assert_eq!(bytes, expected);
}

#[test]
fn a_probe_with_a_total_has_two_series_and_labels_are_by_name() {
    let configured =
        BTreeMap::from([("site".to_owned(), "lyon".to_owned()), ("Area".to_owned(), "é".to_owned())]);
    let samples = vec![
        Sample { at_ms: 1, power: 1.0, energy: Some(7.0) },
        Sample { at_ms: 2, power: STALE, energy: Some(STALE) },
    ];
    let bytes = encode(&SeriesLabels::new(&configured), &[(probe("a"), samples)]);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let names = ["Area", "__name__", "probe", "site", "Area", "__name__", "probe", "site"];
    let mut rest = text.as_str();
    for name in names {
        (_, rest) = rest.split_once(name).unwrap_or_else(|| panic!("no {name} in {rest:?}"));
    }
    assert_eq!(text.matches("kwapi_probe_energy_joules_total").count(), 1);
    let stale = 0x7ff0_0000_0000_0002_u64.to_le_bytes();
    assert_eq!(bytes.windows(8).filter(|window| *window == stale).count(), 2);
}
