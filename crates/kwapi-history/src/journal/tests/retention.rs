//! What is kept, and for whom.

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// A journal of one segment an hour, `hours` of them, whose segments are old after a day.
fn hours(lab: &Lab, config: JournalConfig, hours: u32) -> Journal {
    let journal = open_with(lab, config, NOW).0;
    append_hours(&journal, 0..hours);
    journal
}

fn append_hours(journal: &Journal, hours: std::ops::Range<u32>) {
    for hour in hours {
        let records = Arc::new(vec![credited("A", u64::from(hour), 1.0)]);
        journal.append(&records, NOW.after(HOUR * hour)).unwrap();
    }
}

fn kept(journal: &Journal) -> Vec<u64> {
    read_all(journal).iter().map(|record| record.accounting.unwrap().seq).collect()
}

#[test]
fn age_deletes_only_what_every_reader_has_committed() {
    let lab = Lab::empty();
    let journal = hours(&lab, JournalConfig::default(), 2);
    let mut reader = journal.reader("test", Need::Required);
    append_hours(&journal, 2..60);
    assert_eq!(kept(&journal).len(), 60);
    let (records, lost) = drain(&mut reader);
    assert_eq!((records.len(), lost), (60, vec![]));
    reader.commit(reader.position()).unwrap();
    journal.sync(NOW.after(HOUR * 59)).unwrap();
    assert_eq!(kept(&journal), (34..60).collect::<Vec<_>>());
    assert_eq!(journal.counters().segments_dropped_unread, 0);
    // Whoever stands at the end of what was deleted has lost nothing, also in the next process.
    append_hours(&journal, 60..61);
    assert_eq!(drain(&mut reader), (vec![credited("A", 60, 1.0)], vec![]));
}

#[test]
fn a_reader_whose_segment_went_by_age_has_lost_nothing_in_the_next_process() {
    let lab = Lab::empty();
    let journal = hours(&lab, JournalConfig::default(), 1);
    let mut reader = journal.reader("test", Need::Required);
    drain(&mut reader);
    reader.commit(reader.position()).unwrap(); // At the end of segment 0, and never again.
    append_hours(&journal, 30..31);
    journal.sync(NOW.after(HOUR * 60)).unwrap();
    assert_eq!(kept(&journal), [30]);
    drop((reader, journal));
    let mut reader = open(&lab).reader("test", Need::Required);
    assert_eq!(drain(&mut reader), (vec![credited("A", 30, 1.0)], vec![]));
}

#[test]
fn a_full_journal_drops_its_oldest_and_notifies_readers_that_had_not_read_it() {
    let lab = Lab::empty();
    let config = JournalConfig { bytes_max: 8_000, ..JournalConfig::default() };
    let journal = open_with(&lab, config, NOW).0;
    let mut reader = journal.reader("test", Need::Required);
    append(&journal, &[credited("A", 0, 0.0)]);
    drain(&mut reader);
    reader.commit(reader.position()).unwrap();
    drop(reader); // What it has not read is not kept in memory.
    for n in 1..2_000 {
        append(&journal, &[credited("A", n, n as f64)]);
        assert!(journal.counters().bytes <= 9_200, "{}", journal.counters().bytes);
    }
    let counters = journal.counters();
    assert!(counters.segments_dropped > 5 && counters.segments_dropped_unread == counters.segments_dropped);
    let (records, lost) = drain(&mut journal.reader("test", Need::Required));
    let [lost] = lost[..] else { panic!("{lost:?}") };
    let oldest = records[0].accounting.unwrap().seq;
    assert_eq!((lost.cause, lost.after), (LossCause::Retention, None));
    assert_eq!(lost.before, Some(credited("A", oldest, 0.0).at));
    assert_eq!(records.len() as u64, 2_000 - oldest);
}

#[test]
fn a_reader_that_was_away_while_the_journal_ran_full_is_notified() {
    let lab = Lab::empty();
    let config = JournalConfig { bytes_max: 8_000, ..JournalConfig::default() };
    let journal = open_with(&lab, config, NOW).0;
    let mut reader = journal.reader("test", Need::Required);
    append(&journal, &[credited("A", 0, 0.0)]);
    drain(&mut reader);
    reader.commit(reader.position()).unwrap();
    drop(reader);
    for n in 1..2_000 {
        append(&journal, &[credited("A", n, n as f64)]);
    }
    drop(journal);
    let mut reader = open_with(&lab, config, NOW).0.reader("test", Need::Required);
    let (_, lost) = drain(&mut reader);
    assert!(matches!(lost[..], [Lost { cause: LossCause::Retention, .. }]), "{lost:?}");
}

#[test]
fn an_optional_reader_holds_no_more_than_its_own_limit() {
    let lab = Lab::empty();
    let journal = hours(&lab, JournalConfig::default(), 1);
    let mut near = journal.reader("near", Need::Optional { bytes_max: 1 << 20 });
    let bytes = journal.counters().bytes;
    let mut far = journal.reader("far", Need::Optional { bytes_max: 3 * bytes });
    append_hours(&journal, 1..60);
    journal.sync(NOW.after(HOUR * 59)).unwrap();
    assert_eq!(kept(&journal).len(), 60, "the one with the larger limit holds them");
    drain(&mut near);
    near.commit(near.position()).unwrap();
    journal.sync(NOW.after(HOUR * 59)).unwrap();
    assert_eq!(kept(&journal), (34..60).collect::<Vec<_>>());
    let (records, lost) = drain(&mut far);
    assert_eq!(records.len(), 26);
    assert!(matches!(lost[..], [Lost { cause: LossCause::Retention, .. }]), "{lost:?}");
}

#[test]
fn near_a_full_disk_what_only_optional_readers_lack_goes_first() {
    let lab = Lab::empty();
    let journal = hours(&lab, JournalConfig::default(), 5);
    let mut required = journal.reader("required", Need::Required);
    let _optional = journal.reader("optional", Need::Optional { bytes_max: 1 << 20 });
    let two = (0..2).map(|_| required.next(Duration::ZERO).unwrap()).last().unwrap();
    let Some(Delivery::Records(_, after)) = two else { panic!("{two:?}") };
    required.commit(after).unwrap();
    // What an append does that finds no room: one segment at a time, as long as there is none.
    assert!(journal.shared.make_room(NOW));
    assert!(kept(&journal).len() < 5);
    while journal.shared.make_room(NOW) {}
    assert_eq!(kept(&journal), [2, 3, 4], "a required reader lacks these");
}

#[test]
fn a_place_that_nobody_reads_by_is_dropped_after_a_day() {
    let lab = Lab::empty();
    let journal = hours(&lab, JournalConfig::default(), 1);
    let mut reader = journal.reader("gone", Need::Required);
    drain(&mut reader);
    reader.commit(reader.position()).unwrap();
    drop((reader, journal));
    let file = folder(&lab).join("gone.position");
    let committed = Timestamp::EPOCH.after(
        std::fs::metadata(&file).unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap(),
    );
    let check = |opened: Timestamp, synced: Duration, expected: (bool, u64)| {
        let journal = open_with(&lab, JournalConfig::default(), opened).0;
        journal.sync(opened.after(synced)).unwrap();
        assert_eq!((file.exists(), journal.counters().positions_dropped), expected, "{opened:?} {synced:?}");
    };
    check(committed.after(HOUR * 2), HOUR, (true, 0));
    check(committed.after(HOUR * 48), Duration::from_secs(60), (true, 0)); // Who reads by it may yet come.
    check(committed.after(HOUR * 48), HOUR, (false, 1));
}
