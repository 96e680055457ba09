//! Readers: woken, served from memory or disk, continuing where they were, and none in another's way.

use super::*;

#[test]
fn a_reader_gets_each_batch_once_and_continues_where_it_has_committed() {
    let lab = Lab::empty();
    let journal = open(&lab);
    append(&journal, &[credited("A", 0, 1.0)]);
    let mut reader = journal.reader("test", Need::Required);
    assert_eq!(drain(&mut reader).0, [credited("A", 0, 1.0)]); // From the disk.
    append(&journal, &[credited("A", 1, 1.0), credited("B", 0, 2.0)]);
    let delivery = reader.next(Duration::ZERO).unwrap();
    let Some(Delivery::Records(batch, after)) = delivery else { panic!("{delivery:?}") };
    assert_eq!((batch.len(), after), (2, journal.end())); // From memory.
    reader.commit(after).unwrap();
    append(&journal, &[credited("B", 1, 2.5)]);
    assert_eq!(drain(&mut reader).0, [credited("B", 1, 2.5)]); // Read, and not committed.
    drop((reader, journal));
    let mut again = open(&lab).reader("test", Need::Required);
    assert_eq!(drain(&mut again).0, [credited("B", 1, 2.5)]);
    assert_eq!(drain(&mut open(&lab_of(&lab)).reader("test", Need::Required)).0, [credited("B", 1, 2.5)]);
}

/// A copy of the journal as a killed process would leave it.
fn lab_of(lab: &Lab) -> Lab {
    let copy = Lab::empty();
    std::fs::create_dir_all(folder(&copy)).unwrap();
    for entry in std::fs::read_dir(folder(lab)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder(&copy).join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[test]
fn a_waiting_reader_is_woken_by_an_append() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let mut reader = journal.reader("test", Need::Required);
    let waiting = std::thread::spawn(move || reader.next(Duration::from_secs(60)).unwrap());
    append(&journal, &[credited("A", 0, 1.0)]);
    let Some(Delivery::Records(batch, _)) = waiting.join().unwrap() else { panic!("nothing came") };
    assert_eq!(*batch, [credited("A", 0, 1.0)]);
}

#[test]
fn a_stalled_reader_neither_slows_nor_loses_for_another() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let mut stalled = journal.reader("stalled", Need::Required);
    let mut quick = journal.reader("quick", Need::Required);
    let batch = |n: u64| -> Vec<_> { (0..500).map(|p| credited(&format!("p{p}"), n, n as f64)).collect() };
    // More than is kept in memory.
    for n in 0..300 {
        append(&journal, &batch(n));
        let delivery = quick.next(Duration::ZERO).unwrap();
        let Some(Delivery::Records(records, after)) = delivery else { panic!("{n}: {delivery:?}") };
        assert_eq!(*records, batch(n));
        quick.commit(after).unwrap();
    }
    let (records, lost) = drain(&mut stalled);
    assert_eq!((records.len(), lost), (150_000, vec![]));
    assert_eq!(records, (0..300).flat_map(batch).collect::<Vec<_>>());
    assert_eq!((quick.committed(), stalled.committed()), (journal.end(), Position::default()));
}

#[test]
fn memory_is_kept_for_who_reads_and_no_longer() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let records = Arc::new(vec![credited("A", 0, 1.0)]);
    let _bookmark = journal.bookmark("accounts", Need::Required); // Reads nothing by itself.
    journal.append(&records, NOW).unwrap();
    assert_eq!(Arc::strong_count(&records), 1);
    let mut reader = journal.reader("test", Need::Required);
    drain(&mut reader);
    journal.append(&records, NOW).unwrap();
    assert_eq!(Arc::strong_count(&records), 2);
    drain(&mut reader);
    assert_eq!(Arc::strong_count(&records), 1);
    journal.append(&records, NOW).unwrap();
    drop(reader);
    assert_eq!(Arc::strong_count(&records), 1);
}

#[test]
fn a_place_beyond_the_end_stands_and_no_place_names_two_things() {
    let lab = Lab::empty();
    let journal = open(&lab);
    append(&journal, &[credited("A", 0, 1.0)]);
    let whole = journal.end();
    append(&journal, &[credited("A", 1, 1.0)]);
    let mut reader = journal.reader("test", Need::Required);
    let end = journal.end();
    drain(&mut reader);
    reader.commit(end).unwrap();
    drop((reader, journal));
    // A power failure takes the end of the segment, or all of it.
    let path = segment::path(&folder(&lab), 0);
    let bytes = std::fs::read(&path).unwrap();
    for keep in [whole.offset as usize, 0] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let copy = lab_of(&lab);
        let (journal, opened) = open_with(&copy, JournalConfig::default(), NOW);
        assert_eq!(opened.ahead, [("test".to_owned(), end)]);
        let mut reader = journal.reader("test", Need::Required);
        let next = append(&journal, &[credited("A", 2, 1.0)]);
        assert!(next > end, "{next:?}");
        assert_eq!(drain(&mut reader), (vec![credited("A", 2, 1.0)], vec![]));
    }
}

#[test]
fn what_is_appended_comes_after_a_snapshot_even_where_the_journal_was_lost() {
    let lab = Lab::empty();
    let known = Position { segment: 41, offset: 5_000 };
    let (journal, _) = open_with(&lab, JournalConfig { known, ..JournalConfig::default() }, NOW);
    assert!(append(&journal, &[credited("A", 0, 1.0)]) > known);
    assert_eq!(read_from(&journal, known).0, [credited("A", 0, 1.0)]);
}

#[test]
fn a_new_reader_begins_at_the_oldest_record() {
    let lab = Lab::empty();
    let journal = open(&lab);
    append(&journal, &[credited("A", 0, 1.0)]);
    let mut reader = journal.reader("new", Need::Optional { bytes_max: 1_000 });
    assert_eq!(drain(&mut reader), (vec![credited("A", 0, 1.0)], vec![]));
}

#[test]
fn an_append_that_fails_is_not_there_however_often_it_is_tried() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let mut reader = journal.reader("test", Need::Required);
    append(&journal, &[credited("A", 0, 1.0)]);
    // Nothing can be made in a directory that is a file; and the open segment is gone.
    std::fs::remove_dir_all(folder(&lab)).unwrap();
    std::fs::write(folder(&lab), b"in the way").unwrap();
    let batch = Arc::new(vec![credited("A", 1, 1.0)]);
    for _ in 0..3 {
        assert!(journal.append(&batch, NOW).is_err());
        assert!(journal.trouble().is_some());
    }
    std::fs::remove_file(folder(&lab)).unwrap();
    append(&journal, &batch);
    assert_eq!(read_all(&journal), *batch);
    let (records, _) = drain(&mut reader);
    assert_eq!(records.iter().filter(|record| **record == batch[0]).count(), 1);
}

#[test]
fn a_disk_that_takes_nothing_does_not_prevent_the_start() {
    let lab = Lab::empty();
    append(&open(&lab), &[credited("A", 0, 1.0)]);
    // As on a full disk: what is there can be read, and nothing can be made.
    let journal = {
        let journal = open(&lab);
        append(&journal, &[credited("A", 1, 1.0)]);
        drop(journal);
        let (real, folder) = (lab.join("real"), folder(&lab));
        std::fs::rename(&folder, &real).unwrap();
        std::os::unix::fs::symlink("/proc/self/fdinfo", &folder).unwrap();
        let journal = open(&lab);
        assert!(journal.trouble().is_some_and(|trouble| trouble.contains("cannot write")));
        assert!(journal.append(&Arc::new(vec![credited("A", 2, 1.0)]), NOW).is_err());
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&real, &folder).unwrap();
        journal
    };
    append(&journal, &[credited("A", 2, 1.0)]);
    assert_eq!(journal.trouble(), None);
    drop(journal);
    assert_eq!(read_all(&open(&lab)).len(), 3);
}

#[test]
fn a_place_is_where_it_was_handed_over_not_where_it_was_read() {
    let lab = Lab::empty();
    let journal = open(&lab);
    append(&journal, &[credited("A", 0, 1.0)]);
    let first = journal.end();
    append(&journal, &[credited("A", 1, 1.0)]);
    drop(journal);
    let path = segment::path(&folder(&lab), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEADER_BYTES as usize + 30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut reader = open(&lab).reader("test", Need::Required);
    assert!(matches!(reader.next(Duration::ZERO).unwrap(), Some(Delivery::Lost(_))));
    assert_eq!(reader.position(), first, "the record after it was read, too");
    assert!(matches!(reader.next(Duration::ZERO).unwrap(), Some(Delivery::Records(..))));
}

#[test]
fn a_reader_of_a_segment_that_is_gone_is_refused_until_the_next_append_reports() {
    let lab = Lab::empty();
    let journal = open(&lab);
    append(&journal, &[credited("A", 0, 1.0)]);
    let mut reader = journal.reader("test", Need::Required);
    std::fs::remove_dir_all(folder(&lab)).unwrap();
    assert!(reader.next(Duration::ZERO).is_err());
    append(&journal, &[credited("A", 1, 1.0)]);
    let (records, lost) = drain(&mut reader);
    assert_eq!((records, lost.len()), (vec![credited("A", 1, 1.0)], 1));
}
