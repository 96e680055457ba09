//! Damage and loss: reported as what they are, never shown as if there were nothing.

use super::*;
use crate::rrd::RrdFileError;

fn power_file(lab: &Lab) -> std::path::PathBuf {
    store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")))
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_is_counted_and_not_no_data() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &(1..=50).map(|seq| message("A", seq, 0, 5.0)).collect::<Vec<_>>());
    assert!(history.flush_all());
    drop(history);
    std::fs::remove_dir_all(lab.join("state/journal")).unwrap();
    std::fs::write(power_file(&lab), [0; 200]).unwrap();
    let history = open(&lab);
    for _ in 0..2 {
        let fetched = history.fetch(&probe("A"), Period::Hour, at(60));
        assert!(matches!(fetched, Err(RrdFileError::Unusable(..))), "{fetched:?}");
        assert!(history.rrd_bytes(&probe("A")).is_err());
    }
    assert_eq!(history.counters().read_failures, 4);
    // Nor while samples wait for it.
    record(&history, &[message("A", 100, 0, 5.0)]);
    assert!(history.fetch(&probe("A"), Period::Hour, at(100)).is_err());
    assert!(history.flush_all());
    assert!(history.fetch(&probe("A"), Period::Hour, at(100)).unwrap().is_some());
}

#[test]
fn time_without_samples_after_a_loss_is_unknown_and_no_other() {
    let lab = Lab::empty();
    let history = open(&lab);
    let all: Vec<_> = (1..=40).map(|seq| message("A", seq, 0, 100.0)).collect();
    let other: Vec<_> = (1..=8).map(|seq| message("B", seq * 5, 0, 7.0)).collect();
    let batch = |from: u64, to: u64| -> Vec<Measurement> {
        let of = |messages: &[Measurement]| {
            let is_in = |message: &&Measurement| (from..to).contains(&message.accounting.unwrap().seq);
            messages.iter().filter(is_in).cloned().collect::<Vec<_>>()
        };
        [of(&all), of(&other)].concat()
    };
    let mut begins = Vec::new();
    for (from, to) in [(1, 22), (22, 24), (24, 41)] {
        begins.push(history.journal().end());
        record(&history, &batch(from, to));
    }
    drop(history);
    // The journal is read again, without its second batch.
    let path = lab.join("state/journal/0000000000000000.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[begins[1].offset as usize + 30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let history = open(&lab);
    assert_eq!(history.counters().losses, 1);
    let row = |name: &str, second: u64| {
        let series = history.fetch(&probe(name), Period::Minute, at(41)).unwrap().unwrap();
        series.watts[(START + second - series.start) as usize].map(f64::round)
    };
    // Row n covers the second that ends at n + 1.
    assert_eq!(
        [19, 20, 21, 22, 23].map(|second| row("A", second)),
        [Some(100.0), Some(100.0), None, None, Some(100.0)]
    );
    assert!((5..39).all(|second| row("B", second) == Some(7.0)), "none of it was lost");
}

#[test]
fn files_removed_while_running_are_begun_again_with_their_index() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &[message("A", 1, 0, 5.0), message("B", 1, 0, 5.0)]);
    assert!(history.flush_all());
    std::fs::remove_dir_all(lab.join("state/rrd")).unwrap();
    record(&history, &[message("A", 2, 0, 6.0)]);
    assert!(history.flush_all());
    assert_eq!(history.counters().directories_removed, 1);
    record(&history, &[message("C", 3, 0, 6.0)]);
    drop(history);
    let history = open(&lab);
    assert_eq!(history.probes(), ["A", "B", "C"].map(probe));
    assert_eq!(history.last(&probe("A")).unwrap().unwrap().power, Watts(6.0));
}

#[test]
fn a_flipped_bit_in_a_file_never_panics_and_touches_no_other_file() {
    let lab = Lab::empty();
    let history = open(&lab);
    let messages: Vec<_> =
        (1..=100).flat_map(|seq| ["A", "B"].map(|name| message(name, seq, 0, 5.0))).collect();
    record(&history, &messages);
    assert!(history.flush_all());
    let bytes = std::fs::read(power_file(&lab)).unwrap();
    let other = history.rrd_bytes(&probe("B")).unwrap();
    for at_byte in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at_byte] ^= 1 << (at_byte % 8);
        std::fs::write(power_file(&lab), damaged).unwrap();
        for period in Period::ALL {
            _ = history.fetch(&probe("A"), period, at(100));
        }
        _ = history.extremes(&probe("A"), Period::Day, at(100));
        assert_eq!(history.rrd_bytes(&probe("B")).unwrap(), other, "byte {at_byte}");
    }
}
