//! Files that are spoiled, cut, foreign or gone.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_spoiled_snapshot_is_made_again_from_the_one_before() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let ledger = open(&journal);
    for records in world.records.chunks(60) {
        append(&journal, records);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    drop(ledger);
    let path = lab.join(OPEN);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let again = open(&journal);
    assert_eq!(again.counters().snapshots_damaged, 1);
    again.catch_up(wall(0));
    assert_eq!(rows(&again), world.truth());
}

#[test]
fn a_journal_that_was_lost_continues_after_what_the_ledger_has() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let position = {
        let journal = journal(&lab);
        append(&journal, &world.records[..300]);
        let ledger = open(&journal);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
        ledger.position()
    };
    assert_eq!(Ledger::position_in(lab.path()), position);
    std::fs::remove_dir_all(lab.join("journal")).unwrap();
    let config = JournalConfig { known: Ledger::position_in(lab.path()), ..JournalConfig::default() };
    let (journal, _) = kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        Journal::open(lab.path(), config, wall(0)).ok()
    });
    append(&journal, &world.records[300..]);
    let ledger = open(&journal);
    ledger.catch_up(wall(0));
    assert_eq!(rows(&ledger), world.truth());
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_answer() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    append(&journal, &world.records);
    let ledger = open(&journal);
    ledger.catch_up(wall(0));
    ledger.write(wall(0)).unwrap();
    let spoiled = list(&list(&lab.join("ledger/step=quarter"))[0])[0].clone();
    std::fs::write(&spoiled, b"PAR1 no, it is not PAR1").unwrap();
    let (rows, seen) = everything(&ledger);
    assert_eq!(seen.unreadable.len(), 1);
    assert!(seen.unreadable[0].cause.contains(spoiled.to_str().unwrap()), "{:?}", seen.unreadable);
    assert!(rows.iter().any(|(_, row)| row.step == RowStep::Day));
}

/// A ledger whose first day has many parts of each step.
fn in_many_parts(journal: &Journal, world: &World, gate: Option<Gate>) -> Ledger {
    let ledger = Ledger::open_through(LedgerConfig::default(), journal, gate).unwrap();
    for records in world.records.chunks(40) {
        append(journal, records);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    ledger
}

/// The parts of a step's first day.
fn first_day(lab: &Lab, step: &str) -> Vec<std::path::PathBuf> {
    let mut days = list(&lab.join(format!("ledger/step={step}")));
    days.sort();
    let mut parts = list(&days[0]);
    parts.sort();
    parts
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_of_merges_and_the_others_become_one() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let ledger = in_many_parts(&journal, &world, None);
    let [spoiled, gone] = ["minute", "quarter"].map(|step| first_day(&lab, step)[1].clone());
    std::fs::write(&spoiled, b"PAR1 no, it is not PAR1").unwrap();
    std::fs::remove_file(gone).unwrap();
    let (before, _) = everything(&ledger);
    assert!((0..10).all(|_| ledger.merge_one(wall(28 * HOUR))));
    let count = |step| first_day(&lab, step).len();
    // The newest parts may be derived again by the next start, and stay.
    assert!((2..=4).contains(&count("minute")) && count("quarter") <= 3 && count("day") <= 3);
    assert_eq!(std::fs::read(&spoiled).unwrap(), b"PAR1 no, it is not PAR1");
    assert_eq!(ledger.counters().files_damaged, 2);
    assert!(ledger.counters().merges >= 2, "{:?}", ledger.counters());
    let (after, seen) = everything(&ledger);
    assert_eq!((after.len(), seen.unreadable.len()), (before.len(), 2));
    // What was derived is derived again by the next process, and it merges what comes.
    drop(ledger);
    let again = open(&journal);
    assert!((0..10).all(|_| again.merge_one(wall(28 * HOUR))));
    assert_eq!(everything(&again).0.len(), before.len());
}

/// A disk that is full when a day is to be merged, and has room an hour later.
#[test]
fn what_the_disk_refuses_to_merge_is_merged_an_hour_later() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let is_full = Arc::new(AtomicBool::new(false));
    let full = Arc::clone(&is_full);
    let gate: Gate = Arc::new(move || {
        if full.load(Ordering::Relaxed) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let ledger = in_many_parts(&journal, &world, Some(gate));
    is_full.store(true, Ordering::Relaxed);
    ledger.merge_if_due(Duration::from_secs(10), wall(28 * HOUR));
    is_full.store(false, Ordering::Relaxed);
    ledger.merge_if_due(Duration::from_secs(3_609), wall(28 * HOUR));
    assert_eq!(ledger.counters().merges, 0, "not again before an hour has passed");
    ledger.merge_if_due(Duration::from_secs(3_610), wall(28 * HOUR));
    assert_eq!((ledger.counters().merges, ledger.counters().files_damaged), (1, 0));
    assert_eq!(rows(&ledger), world.truth());
}

#[test]
fn bytes_that_are_no_file_of_rows_are_reported_and_never_end_the_process() {
    let world = World::of_a_day();
    let probe = ProbeId::new("lyon.a").unwrap();
    let rows: Vec<LedgerRow> = world
        .truth()
        .into_iter()
        .map(|((probe, _, begin), increment)| {
            let row = kwapi_core::Row { begin, increment, peak: Some(Watts(begin as f64)) };
            LedgerRow { probe, row, correction: 0, cause: None }
        })
        .collect();
    let mut bytes = Vec::new();
    let mut writer = table::RowsWriter::new(&mut bytes).unwrap();
    writer.push(&rows).unwrap();
    writer.finish().unwrap();
    assert_eq!(decoded(bytes.clone(), table::Wanted::All).unwrap(), rows);
    let of_one = decoded(bytes.clone(), table::Wanted::Sorted(std::slice::from_ref(&probe))).unwrap();
    assert_eq!(of_one, rows.iter().filter(|row| row.probe == probe).cloned().collect::<Vec<_>>());
    assert!(decoded(Bytes::new(), table::Wanted::All).is_err());
    for at in (0..bytes.len()).step_by(37) {
        assert!(decoded(bytes[..at].to_vec(), table::Wanted::All).is_err(), "cut at {at}");
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 0x55;
        _ = decoded(spoiled, table::Wanted::All); // Reported or not, it returns.
    }
}
