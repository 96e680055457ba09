use kwapi_core::{Accounting, Energy, ProbeId, Quality, Totals, Watts};
use kwapi_peers::Lab;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn record(probe: &str, seq: u64, watts: f64) -> Record {
    let at = NOW.after(Duration::from_millis(seq * 1_003));
    let energy = Energy::from_millijoules(seq * 97_123);
    let totals =
        Totals { energy, measured_ms: seq * 1_003, estimated_ms: 0, unknown_ms: 12, ..Totals::default() };
    let accounting = Accounting {
        timestamp: at,
        session: NOW,
        seq,
        totals,
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    Record { probe: ProbeId::new(probe).unwrap(), at, power: Watts(watts), accounting: Some(accounting) }
}

fn read_all(directory: &Path, from: Position) -> (Vec<Record>, Replayed) {
    let mut records = Vec::new();
    let replayed = replay(directory, from, |block| records.extend_from_slice(block)).unwrap();
    (records, replayed)
}

fn open(lab: &Lab) -> Journal {
    Journal::open(lab.path(), Retention::default(), NOW).unwrap()
}

#[test]
fn what_was_appended_is_read_in_order_even_after_a_kill() {
    let lab = Lab::empty();
    let batches: Vec<Vec<Record>> =
        (0..5).map(|n| vec![record("A", n, 97.25), record("nœud-é", n, 0.1 + 0.2)]).collect();
    for (n, batch) in batches.iter().enumerate() {
        let mut journal = open(&lab); // Each time another process; none says goodbye.
        journal.append(batch, NOW).unwrap();
        assert_eq!(journal.end().segment, n as u64);
    }
    assert_eq!(read_all(lab.path(), Position::default()).0, batches.concat());
}

#[test]
fn a_torn_tail_is_cut_and_the_rest_is_kept() {
    let lab = Lab::empty();
    let records: Vec<_> = (0..100).map(|n| record("A", n, 5.0)).collect();
    let mut journal = open(&lab);
    journal.append(&records[..60], NOW).unwrap();
    let whole = journal.end();
    journal.append(&records[60..], NOW).unwrap();
    let torn = journal.end();
    drop(journal);
    let path = segment::path(lab.path(), 0);
    let bytes = std::fs::read(&path).unwrap();
    for keep in whole.offset..torn.offset {
        std::fs::write(&path, &bytes[..keep as usize]).unwrap();
        let (read, replayed) = read_all(lab.path(), Position::default());
        assert_eq!((read.len(), replayed.end), (60, whole), "{keep} bytes");
    }
    assert_eq!(open(&lab).bytes_truncated(), torn.offset - 1 - whole.offset);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), whole.offset);
}

#[test]
fn a_flipped_bit_ends_its_segment_and_is_counted_but_not_the_next() {
    let lab = Lab::empty();
    for n in 0..2 {
        open(&lab).append(&[record("A", n, 5.0)], NOW).unwrap();
    }
    let path = segment::path(lab.path(), 0);
    let bytes = std::fs::read(&path).unwrap();
    for at in HEADER_BYTES as usize..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, damaged).unwrap();
        let (read, replayed) = read_all(lab.path(), Position::default());
        assert_eq!((read, replayed.segments_damaged), (vec![record("A", 1, 5.0)], 1), "byte {at}");
    }
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let lab = Lab::empty();
    let mut journal = open(&lab);
    journal.append(&[record("A", 0, 1.0), record("B", 0, 2.0)], NOW).unwrap();
    save_position(lab.path(), "test", journal.end()).unwrap();
    journal.append(&[record("B", 1, 2.5)], NOW).unwrap();
    let (read, replayed) = read_all(lab.path(), load_position(lab.path(), "test"));
    assert_eq!((read, replayed.end), (vec![record("B", 1, 2.5)], journal.end()));
    assert_eq!(load_position(lab.path(), "another"), Position::default());
}

#[test]
fn a_full_journal_drops_its_oldest_and_counts() {
    let lab = Lab::empty();
    let retention = Retention { bytes_max: 8_000, ..Retention::default() };
    let mut journal = Journal::open(lab.path(), retention, NOW).unwrap();
    for n in 0..2_000 {
        journal.append(&[record("A", n, n as f64)], NOW).unwrap();
        assert!(journal.bytes() <= 8_100, "{}", journal.bytes());
    }
    assert!(journal.segments_dropped() > 5);
    let (read, replayed) = read_all(lab.path(), Position { segment: 0, offset: HEADER_BYTES });
    assert_eq!(replayed.segments_damaged, 1, "the reader learns that it missed some");
    let newest: Vec<_> = (2_000 - read.len() as u64..2_000).map(|n| record("A", n, n as f64)).collect();
    assert_eq!(read, newest);
}

#[test]
fn old_segments_are_dropped() {
    let lab = Lab::empty();
    let mut journal = open(&lab);
    journal.append(&[record("A", 0, 1.0)], NOW).unwrap();
    let hour = Duration::from_secs(3_600);
    journal.append(&[record("A", 1, 1.0)], NOW.after(hour)).unwrap();
    journal.append(&[record("A", 2, 1.0)], NOW.after(hour * 26)).unwrap();
    journal.append(&[record("A", 3, 1.0)], NOW.after(hour * 52)).unwrap();
    let read = read_all(lab.path(), Position::default()).0;
    assert_eq!(read, [record("A", 2, 1.0), record("A", 3, 1.0)]);
}

#[test]
fn a_sample_takes_a_dozen_bytes() {
    let lab = Lab::empty();
    let mut journal = open(&lab);
    let records: Vec<_> =
        (0..100).flat_map(|n| (0..100).map(move |p| record(&format!("node-{p}"), n, 97.2))).collect();
    for batch in records.chunks(200) {
        journal.append(batch, NOW).unwrap();
    }
    let bytes = journal.bytes() as f64 / records.len() as f64;
    assert!(bytes < 17.0, "{bytes}");
}

fn any_record() -> impl Strategy<Value = Record> {
    let accounting = (any::<u64>(), any::<u64>(), any::<[u64; 4]>(), any::<bool>());
    let watts = prop_oneof![0.0..=1e9, (0_u32..10_000_000).prop_map(|watts| f64::from(watts) / 1e3)];
    ("[A-Dé🔌]{1,3}", any::<u64>(), watts, prop::option::of(accounting)).prop_map(
        |(id, at, watts, accounting)| {
            let at = Timestamp::from_micros(at);
            let accounting = accounting.map(
                |(session, seq, [energy, measured_ms, estimated_ms, unknown_ms], estimated)| {
                    let energy = Energy::from_millijoules(energy);
                    Accounting {
                        timestamp: at,
                        session: Timestamp::from_micros(session),
                        seq,
                        totals: Totals { energy, measured_ms, estimated_ms, unknown_ms, ..Totals::default() },
                        curve: None,
                        meter: None,
                        quality: if estimated { Quality::Estimated } else { Quality::Measured },
                    }
                },
            );
            Record { probe: ProbeId::new(id).unwrap(), at, power: Watts(watts), accounting }
        },
    )
}

proptest! {
    #[test]
    fn any_records_are_read_as_they_were_written(batches in prop::collection::vec(
            prop::collection::vec(any_record(), 0..40), 0..6)) {
        let lab = Lab::empty();
        let mut journal = open(&lab);
        for batch in &batches {
            journal.append(batch, NOW).unwrap();
        }
        let (read, replayed) = read_all(lab.path(), Position::default());
        prop_assert_eq!(read, batches.concat());
        prop_assert_eq!(replayed, Replayed { end: journal.end(), segments_damaged: 0 });
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&noise);
        let mut segment = segment::header(0, NOW);
        segment.extend(noise);
        exercise(&segment);
    }
}
