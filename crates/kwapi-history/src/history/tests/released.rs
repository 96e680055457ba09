//! A state directory of the version before this one (`golden/released`, made by that version: 200 s, killed, 190 s) is
//! opened: its files and its journal are read, and what that version would have made of them is made.

use std::path::Path;

use super::*;

/// What the version before made of the same directory: rows, and the CRC of each file once all was written.
const EXPECTED: &str = include_str!("../../../golden/released/expected.txt");
/// When it was begun.
const BEGUN: u64 = 1_795_428_000;

/// A copy of the directory, at the place where [`open`] looks for it.
fn released() -> Lab {
    let lab = Lab::empty();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/released/history");
    for folder in ["journal", "rrd"] {
        std::fs::create_dir_all(lab.join("state").join(folder)).unwrap();
        for entry in std::fs::read_dir(from.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, lab.join("state").join(folder).join(path.file_name().unwrap())).unwrap();
        }
    }
    lab
}

/// In the form of `expected.txt`.
fn described(history: &History, rrd_directory: &Path) -> String {
    let now = Timestamp::from_seconds(BEGUN + 480);
    let mut text = String::new();
    for probe in history.probes() {
        for period in [Period::Minute, Period::Hour, Period::Day] {
            let series = history.fetch(&probe, period, now).unwrap().unwrap();
            let (count, sum) = (known(&series).len(), known(&series).iter().sum::<f64>());
            text += &format!("{probe}|{period}|{}|{}|{count}|{sum}\n", series.start, series.step);
        }
    }
    assert!(history.flush_all());
    let files = std::fs::read_dir(rrd_directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "rrd")).collect();
    files.sort();
    for path in files {
        let crc = crc32fast::hash(&std::fs::read(&path).unwrap());
        text += &format!("{}|{crc:08x}\n", path.file_name().unwrap().to_str().unwrap());
    }
    text
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_files_and_rows_are_those_the_version_before_would_have_made() {
    let lab = released();
    let config = HistoryConfig { flush_interval: Duration::from_secs(60), ..HistoryConfig::default() };
    let history = open_with(&lab, &config);
    let described = described(&history, &lab.join("state/rrd"));
    assert_eq!(sorted(&described), sorted(EXPECTED));
}

#[test]
fn files_that_are_lost_are_made_again_from_its_journal() {
    let lab = released();
    for folder in ["rrd", "journal/rrd.position"] {
        let path = lab.join("state").join(folder);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
    let described = described(&open(&lab), &lab.join("state/rrd"));
    assert_eq!(sorted(&described), sorted(EXPECTED));
}

#[test]
fn its_records_are_handed_over_as_what_they_are() {
    let lab = released();
    let history = open(&lab);
    let (mut count, mut seqs) = (0, Vec::new());
    let replayed = history.journal().replay(Position::default(), |record| {
        assert_eq!((record.taken, record.voltage), (None, None));
        count += 1;
        if let ("lyon.rack3.taurus-7", Some(accounting)) = (record.probe.as_str(), record.accounting) {
            seqs.push(accounting.seq);
            assert_eq!(accounting.totals.energy.millijoules(), accounting.seq * 190_123);
        }
    });
    assert_eq!(replayed.unwrap().lost, []);
    assert_eq!(seqs, (0..200).chain(0..190).collect::<Vec<_>>());
    assert_eq!(count, 390 + 39 + 78);
}

#[test]
fn a_flipped_bit_in_its_journal_is_reported() {
    let lab = released();
    let path = lab.join("state/journal/0000000000000000.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[3_000] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let history = open(&lab);
    let mut count = 0;
    let replayed = history.journal().replay(Position::default(), |_| count += 1).unwrap();
    assert_eq!(replayed.lost.len(), 1, "the rest of its segment");
    assert!(count > 247, "{count}: the other segment is whole");
    assert!(std::fs::metadata(&path).unwrap().len() == bytes.len() as u64, "nothing is cut off");
}
