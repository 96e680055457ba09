//! Damage: at most the one block it hits, reported, counted and kept aside; a torn end is something else.

use super::*;

/// A journal of blocks of one record each, closed, and where each begins.
fn blocks(lab: &Lab, count: u64) -> Vec<u64> {
    let journal = open(lab);
    let mut begins = vec![HEADER_BYTES];
    for n in 0..count {
        begins.push(append(&journal, &[credited("A", n, 5.0)]).offset);
    }
    append(&journal, &[credited("end", 0, 5.0)]);
    drop(journal);
    begins
}

/// The journal as it is when its first segment is the newest.
pub(super) fn only_the_first_segment(lab: &Lab, bytes: &[u8]) {
    for number in segment::list(&folder(lab)).unwrap() {
        std::fs::remove_file(segment::path(&folder(lab), number)).unwrap();
    }
    std::fs::write(segment::path(&folder(lab), 0), bytes).unwrap();
}

fn seqs(records: &[Credited]) -> Vec<u64> {
    records.iter().filter(|record| record.probe.as_str() == "A").map(|r| r.accounting.unwrap().seq).collect()
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_its_block_and_is_reported() {
    let lab = Lab::empty();
    let begins = blocks(&lab, 6);
    let path = segment::path(&folder(&lab), 0);
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&path, damaged).unwrap();
            let mut reader = SegmentReader::open(&folder(&lab), 0, 0).unwrap();
            let (mut read, mut lost) = (Vec::new(), Vec::new());
            loop {
                match reader.next(bytes.len() as u64).unwrap() {
                    Step::Batch { records, .. } => read.extend(records),
                    Step::Lost { from, to, .. } => lost.push((from, to)),
                    Step::Torn { from } => panic!("byte {at} bit {bit}: torn at {from}"),
                    Step::End => break,
                }
            }
            let hit = begins.partition_point(|begin| *begin <= at as u64);
            if hit == 0 {
                assert_eq!((read.len(), lost), (7, vec![]), "the header: byte {at} bit {bit}");
                continue;
            }
            let end = begins.get(hit).copied().unwrap_or(bytes.len() as u64);
            assert_eq!(lost, [(begins[hit - 1], end)], "byte {at} bit {bit}");
            assert_eq!(read.len(), 6, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn damage_is_counted_once_kept_aside_and_reported_to_each_reader() {
    let lab = Lab::empty();
    let begins = blocks(&lab, 6);
    let path = segment::path(&folder(&lab), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[begins[2] as usize + 9] ^= 0x40; // In the length of the third block.
    std::fs::write(&path, &bytes).unwrap();
    let (journal, opened) = open_with(&lab, JournalConfig::default(), NOW);
    assert_eq!((opened.torn_bytes, opened.lost.len()), (0, 1));
    let stretch = Lost {
        from: Position { segment: 0, offset: begins[2] },
        to: Position { segment: 0, offset: begins[3] },
        records: None,
        after: Some(credited("A", 1, 5.0).at),
        before: Some(credited("A", 3, 5.0).at),
        cause: LossCause::Damage,
    };
    for name in ["one", "two"] {
        let (records, lost) = drain(&mut journal.reader(name, Need::Required));
        assert_eq!((seqs(&records), lost), (vec![0, 1, 3, 4, 5], vec![stretch]), "{name}");
    }
    let (records, replayed) = read_from(&journal, Position::default());
    assert_eq!((seqs(&records), replayed.lost), (vec![0, 1, 3, 4, 5], vec![stretch]));
    let counters = journal.counters();
    assert_eq!((counters.stretches_lost, counters.bytes_lost), (1, begins[3] - begins[2]));
    let aside = std::fs::read(folder(&lab).join(format!("{:016x}-{:x}.damaged", 0, begins[2]))).unwrap();
    assert_eq!(aside, bytes[begins[2] as usize..begins[3] as usize]);
}

#[test]
fn damage_in_a_batch_of_several_blocks_costs_the_one_block() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let batch: Vec<_> = (0..20_000).map(|n| credited(&format!("node-{n}"), 7, 5.0)).collect();
    append(&journal, &batch);
    drop(journal);
    let path = segment::path(&folder(&lab), 0);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 10; // In the last block, which marks that the batch is whole.
    for at in [at, at / 2, HEADER_BYTES as usize + 10] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let (records, replayed) = read_from(&open(&lab), Position::default());
        assert_eq!(replayed.lost_count, 1, "{at}");
        let block = block::PAYLOAD_BYTES_MAX / 12;
        assert!(records.len() < 20_000 && records.len() > 20_000 - block, "{at}: {}", records.len());
    }
}

#[test]
fn a_torn_end_is_cut_and_is_no_damage() {
    let lab = Lab::empty();
    let begins = blocks(&lab, 3);
    let path = segment::path(&folder(&lab), 0);
    let bytes = std::fs::read(&path).unwrap();
    for keep in begins[2]..begins[3] {
        only_the_first_segment(&lab, &bytes[..keep as usize]);
        let (journal, opened) = open_with(&lab, JournalConfig::default(), NOW);
        assert_eq!(opened, Opened { torn_bytes: keep - begins[2], ..Opened::default() }, "{keep} bytes");
        assert_eq!(seqs(&read_all(&journal)), [0, 1]);
    }
    // A power failure may leave a file that has grown and has nothing in it.
    let mut blank = bytes[..begins[2] as usize].to_vec();
    blank.resize(blank.len() + 300_000, 0);
    only_the_first_segment(&lab, &blank);
    let (journal, opened) = open_with(&lab, JournalConfig::default(), NOW);
    assert_eq!((opened.torn_bytes, opened.lost.len()), (300_000, 0));
    assert_eq!(seqs(&read_all(&journal)), [0, 1]);
}

#[test]
fn a_flipped_bit_in_a_position_is_reported_and_its_reader_begins_at_the_oldest_record() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let end = append(&journal, &[credited("A", 0, 5.0)]);
    let optional = Need::Optional { bytes_max: 77 };
    journal.bookmark("test", optional).commit(end).unwrap();
    drop(journal);
    let path = folder(&lab).join("test.position");
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            std::fs::write(&path, &damaged).unwrap();
            let found = position::find(&folder(&lab)).unwrap();
            assert_eq!(found[0].place, None, "byte {at} bit {bit}: {}", String::from_utf8_lossy(&damaged));
            _ = std::fs::remove_file(folder(&lab).join("test.position.damaged"));
        }
    }
    std::fs::write(&path, &bytes[..20]).unwrap();
    let (journal, opened) = open_with(&lab, JournalConfig::default(), NOW);
    assert_eq!(
        (&opened.positions_damaged[..], journal.counters().positions_damaged),
        (&["test".to_owned()][..], 1)
    );
    assert_eq!(std::fs::read(folder(&lab).join("test.position.damaged")).unwrap(), &bytes[..20]);
    assert_eq!(drain(&mut journal.reader("test", optional)).0, [credited("A", 0, 5.0)]);
}

#[test]
fn a_position_is_kept_where_there_is_no_room_for_another_file() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let end = append(&journal, &[credited("A", 0, 5.0)]);
    let bookmark = journal.bookmark("test", Need::Required);
    bookmark.commit(Position { segment: 0, offset: 100 }).unwrap();
    let next = append(&journal, &[credited("A", 1, 5.0)]);
    // What is written to /dev/full finds no room.
    std::os::unix::fs::symlink("/dev/full", folder(&lab).join("test.new")).unwrap();
    bookmark.commit(next).unwrap();
    assert!(next > end);
    drop((bookmark, journal));
    assert_eq!(open(&lab).bookmark("test", Need::Required).position(), next);
}

#[test]
fn a_directory_removed_while_running_is_reported_and_made_again() {
    let lab = Lab::empty();
    let journal = open(&lab);
    let mut reader = journal.reader("test", Need::Required);
    let lost = append(&journal, &[credited("A", 0, 5.0)]);
    drain(&mut reader);
    std::fs::remove_dir_all(folder(&lab)).unwrap();
    let next = append(&journal, &[credited("A", 1, 5.0)]);
    assert!(next > lost, "{next:?}");
    assert!(journal.trouble().is_some_and(|trouble| trouble.contains("removed")));
    assert_eq!(journal.counters().directories_removed, 1);
    assert_eq!(drain(&mut reader).0, [credited("A", 1, 5.0)]);
    assert_eq!(journal.sync(NOW).unwrap(), next);
    assert_eq!(journal.trouble(), None);
    reader.commit(next).unwrap();
    drop((reader, journal));
    assert_eq!(read_all(&open(&lab)), [credited("A", 1, 5.0)]);
}

#[test]
fn a_segment_that_somebody_removed_is_reported() {
    let lab = Lab::empty();
    for n in 0..3 {
        append(&open(&lab), &[credited("A", n, 5.0)]);
    }
    let journal = open(&lab);
    std::fs::remove_file(segment::path(&folder(&lab), 1)).unwrap();
    let (records, lost) = drain(&mut journal.reader("test", Need::Required));
    assert_eq!(seqs(&records), [0, 2]);
    assert!(matches!(lost[..], [Lost { cause: LossCause::Missing, .. }]), "{lost:?}");
}

#[test]
fn what_a_failed_sync_covered_is_written_again_as_it_was() {
    let lab = Lab::empty();
    let path = lab.join("file");
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    writer::write_again(&file, 70_001, 200_000).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_anywhere_never_panics_and_costs_only_what_it_hits(
        batches in prop::collection::vec(prop::collection::vec(format::any_credited(), 1..10), 2..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let lab = Lab::empty();
        let journal = open(&lab);
        let mut ends = vec![HEADER_BYTES];
        for batch in &batches {
            ends.push(append(&journal, batch).offset);
        }
        drop(journal);
        let path = segment::path(&folder(&lab), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        let mut hit = std::collections::BTreeSet::new();
        for (at, mask) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            hit.insert(ends.partition_point(|end| *end <= at as u64));
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = read_all(&open(&lab));
        let intact = batches.iter().enumerate().filter(|(number, _)| !hit.contains(&(number + 1)));
        let mut left = read.iter();
        for (_, batch) in intact {
            for record in batch {
                prop_assert!(left.any(|read| read == record), "a batch that was not hit is lost");
            }
        }
    }
}
