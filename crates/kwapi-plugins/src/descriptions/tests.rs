use std::collections::BTreeMap;

use kwapi_core::{Accounting, Description, Measurement, Quality, Timestamp, Totals, Watts};
use kwapi_peers::Lab;

use super::*;

fn probe(id: &str) -> ProbeId {
    ProbeId::new(id).unwrap()
}

fn description(max_gap: u64) -> Description {
    Description {
        driver: "snmp".to_owned(),
        interval: Some(Duration::from_secs(300)),
        max_gap: Duration::from_secs(max_gap),
        accuracy_percent: Some(1.5),
        labels: BTreeMap::from([("rack".to_owned(), "r1".to_owned())]),
    }
}

/// A message of a probe at a second, with its description.
fn message(id: &str, second: u64, description: Result<Description, DescriptionRefusal>) -> Received {
    let accounting = Accounting {
        timestamp: Timestamp::from_seconds(second),
        session: Timestamp::from_seconds(1),
        seq: second,
        totals: Totals::default(),
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    Received {
        measurement: Measurement {
            probe: probe(id),
            power: Watts(1.0),
            voltage: None,
            current: None,
            accounting: Some(accounting),
        },
        key: Some("lyon".into()),
        arrived: Timestamp::from_seconds(second),
        received_at: Duration::from_secs(second),
        description: Some(description.map(Box::new)),
    }
}

fn open(lab: &Lab) -> (Descriptions, Gaps) {
    let gaps = Gaps::new(Duration::from_secs(10));
    (Descriptions::open(&lab.join(""), gaps.clone(), |_, _| true), gaps)
}

fn file(lab: &Lab) -> String {
    std::fs::read_to_string(lab.join("descriptions")).unwrap()
}

#[track_caller]
fn check(descriptions: &Descriptions, expected: &[(DescriptionRefusal, u64)], received: u64) {
    let counts = descriptions.counts();
    let refused: Vec<_> = counts.refused.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!((refused.as_slice(), counts.received), (expected, received));
}

#[test]
fn what_is_reported_counts_at_once_and_after_a_restart() {
    let lab = Lab::empty();
    let (descriptions, gaps) = open(&lab);
    assert_eq!(gaps.of(&probe("a")), Duration::from_secs(10));
    descriptions.note(&message("a", 100, Ok(description(700))));
    descriptions.note(&message("b", 101, Ok(description(800))));
    descriptions.note(&message("a", 130, Ok(description(700))));
    descriptions.note(&message("a", 160, Ok(description(900))));
    assert_eq!(gaps.of(&probe("a")), Duration::from_secs(900));
    let golden = r#"kwapi descriptions 1
{"probe_id":"a","timestamp_us":100000000,"key":"lyon","description":{"driver":"snmp","interval_ms":300000,"max_gap_ms":700000,"accuracy_percent":1.5,"labels":{"rack":"r1"}}}
{"probe_id":"b","timestamp_us":101000000,"key":"lyon","description":{"driver":"snmp","interval_ms":300000,"max_gap_ms":800000,"accuracy_percent":1.5,"labels":{"rack":"r1"}}}
{"probe_id":"a","timestamp_us":160000000,"key":"lyon","description":{"driver":"snmp","interval_ms":300000,"max_gap_ms":900000,"accuracy_percent":1.5,"labels":{"rack":"r1"}}}
"#;
    assert_eq!(file(&lab), golden);
    // It was not stopped cleanly: the descriptions are there nevertheless.
    let (again, gaps) = open(&lab);
    assert_eq!(["a", "b", "c"].map(|id| gaps.of(&probe(id)).as_secs()), [900, 800, 10]);
    assert_eq!(*again.of(&probe("a")).unwrap().description, description(900));
    assert_eq!(file(&lab), golden, "a start writes nothing");
    again.note(&message("c", 161, Ok(description(700))));
    assert_eq!(file(&lab).lines().count(), 5);
    check(&descriptions, &[], 4);
    let [first, second] = ["a", "c"].map(|id| {
        descriptions.note(&message(id, 200, Ok(description(650))));
        descriptions.of(&probe(id)).unwrap().description.clone()
    });
    assert!(Arc::ptr_eq(&first, &second), "equal descriptions take room once");
}

#[test]
fn what_was_reported_before_does_not_come_back() {
    let lab = Lab::empty();
    let (descriptions, gaps) = open(&lab);
    for (second, max_gap) in [(100, 700), (160, 900), (100, 700), (159, 800)] {
        descriptions.note(&message("a", second, Ok(description(max_gap))));
    }
    check(&descriptions, &[(DescriptionRefusal::Older, 2)], 2);
    assert_eq!(gaps.of(&probe("a")), Duration::from_secs(900));
    // Nor after a restart; a batch that is tried again is no replay.
    let (again, gaps) = open(&lab);
    again.note(&message("a", 130, Ok(description(700))));
    again.note(&message("a", 160, Ok(description(900))));
    check(&again, &[(DescriptionRefusal::Older, 1)], 1);
    assert_eq!(gaps.of(&probe("a")), Duration::from_secs(900));
}

#[test]
fn what_cannot_be_read_or_is_too_much_is_counted_by_cause() {
    let (malformed, too_large) = (DescriptionRefusal::Malformed, DescriptionRefusal::TooLarge);
    let descriptions = Descriptions::in_memory(Gaps::default());
    descriptions.note(&message("a", 100, Err(malformed)));
    descriptions.note(&message("a", 100, Err(too_large)));
    check(&descriptions, &[(malformed, 1), (too_large, 1)], 0);
    descriptions.0.table.write().bytes = BYTES_MAX;
    descriptions.note(&message("b", 100, Ok(description(700))));
    check(&descriptions, &[(malformed, 1), (too_large, 1), (DescriptionRefusal::Full, 1)], 0);
    assert_eq!(descriptions.of(&probe("b")), None);
}

#[test]
fn a_line_that_was_cut_off_or_spoiled_costs_no_other() {
    let lab = Lab::empty();
    let (descriptions, _) = open(&lab);
    for (id, second) in [("a", 100), ("b", 101), ("c", 102)] {
        descriptions.note(&message(id, second, Ok(description(700))));
    }
    let whole = file(&lab);
    let spoiled = whole.replacen("\"b\"", "\"b", 1);
    std::fs::write(lab.join("descriptions"), spoiled.strip_suffix("}}}\n").unwrap()).unwrap();
    let (again, gaps) = open(&lab);
    assert_eq!(["a", "b", "c"].map(|id| gaps.of(&probe(id)).as_secs()), [700, 10, 10]);
    again.note(&message("b", 131, Ok(description(700))));
    let lines = file(&lab);
    assert_eq!(lines.lines().count(), 3, "it was rewritten: {lines}");
    let (_, gaps) = open(&lab);
    assert_eq!(["a", "b", "c"].map(|id| gaps.of(&probe(id)).as_secs()), [700, 700, 10]);
    std::fs::write(lab.join("descriptions"), "kwapi descriptions 2\n{}\n").unwrap();
    let (later, _) = open(&lab);
    later.note(&message("a", 200, Ok(description(700))));
    assert!(file(&lab).starts_with("kwapi descriptions 1\n"));
    assert_eq!(
        std::fs::read_to_string(lab.join("descriptions.later")).unwrap(),
        "kwapi descriptions 2\n{}\n"
    );
}

#[test]
fn a_file_that_grows_is_rewritten() {
    let lab = Lab::empty();
    let (descriptions, _) = open(&lab);
    for second in 0..8_000 {
        descriptions.note(&message("a", 100 + second, Ok(description(700 + second % 2))));
    }
    assert!(file(&lab).len() < 1 << 20, "{}", file(&lab).len());
    let (again, _) = open(&lab);
    assert_eq!(*again.of(&probe("a")).unwrap().description, description(701));
}

#[test]
fn what_a_removed_key_signed_is_forgotten() {
    let lab = Lab::empty();
    let (descriptions, gaps) = open(&lab);
    descriptions.note(&message("a", 100, Ok(description(700))));
    descriptions.note(&message("b", 100, Ok(description(700))));
    let accepted = |id: &ProbeId, key: Option<&str>| id.as_str() == "b" && key == Some("lyon");
    descriptions.keep_accepted(accepted);
    assert_eq!(["a", "b"].map(|id| gaps.of(&probe(id)).as_secs()), [10, 700]);
    let gaps = Gaps::new(Duration::from_secs(10));
    let again = Descriptions::open(&lab.join(""), gaps.clone(), accepted);
    assert_eq!(["a", "b"].map(|id| gaps.of(&probe(id)).as_secs()), [10, 700]);
    again.note(&message("b", 130, Ok(description(700))));
    assert_eq!(file(&lab).lines().count(), 2);
}

#[test]
fn a_disk_that_takes_nothing_keeps_nothing_from_counting() {
    let lab = Lab::empty();
    let gaps = Gaps::new(Duration::from_secs(10));
    let nowhere = lab.join("missing");
    let descriptions = Descriptions::open(&nowhere, gaps.clone(), |_, _| true);
    descriptions.note(&message("a", 100, Ok(description(700))));
    descriptions.note(&message("b", 101, Ok(description(700))));
    assert_eq!(["a", "b"].map(|id| gaps.of(&probe(id)).as_secs()), [700, 700]);
    assert_eq!(descriptions.counts().writes_failed, 1, "it is not tried again at once");
    std::fs::create_dir(&nowhere).unwrap();
    // It states the same as before, half a minute later.
    descriptions.note(&message("a", 131, Ok(description(700))));
    let (_, gaps) = (Descriptions::open(&nowhere, Gaps::default(), |_, _| true), gaps);
    assert_eq!(std::fs::read_to_string(nowhere.join("descriptions")).unwrap().lines().count(), 3);
    assert_eq!(gaps.of(&probe("b")).as_secs(), 700);
}
