//! The process killed at each step on the disk, and a disk that refuses for a while.

use std::sync::atomic::Ordering;

use super::*;
use crate::tree::tests::gate;

/// Takes all of a world in batches, writing after each and merging; returns whether it came to the end.
fn live(ledger: &Ledger, journal: &Journal, world: &World, from: usize) -> bool {
    for (n, records) in world.records.chunks(180).enumerate() {
        if n >= from {
            append(journal, records);
        }
        ledger.catch_up(wall(0));
        if ledger.write(wall(0)).is_err() {
            return false;
        }
        if !ledger.merge_one(wall(28 * HOUR)) {
            return false;
        }
    }
    true
}

/// Kills a process at every second step on the disk, from the `first` on.
fn kill_from(first: i64) {
    let world = World::of_a_day();
    let truth = world.truth();
    let batches = world.records.chunks(180).count();
    let mut steps = first;
    loop {
        let lab = Lab::empty();
        let journal = journal(&lab);
        let (gate, _) = gate(steps);
        let ledger = Ledger::open_through(LedgerConfig::default(), &journal, Some(gate)).unwrap();
        let is_whole = live(&ledger, &journal, &world, 0);
        drop(ledger);
        let appended = journal.replay(Position::default(), |_| {}).unwrap().records as usize;
        append(&journal, &world.records[appended..]);
        let again = open(&journal);
        assert!(live(&again, &journal, &world, batches), "after {steps} steps");
        assert_eq!(rows(&again), truth, "killed after {steps} steps");
        assert_eq!(
            again.counters().waiting,
            0,
            "all is in files that is done, so that others see what we do: killed after {steps} steps"
        );
        let seen = everything(&again).0.len();
        let open: usize = again.state.lock().book.probes.iter().map(|probe| probe.open.rows().count()).sum();
        assert_eq!(rows_in_files(&lab).len(), seen - open, "what others read: killed after {steps} steps");
        if is_whole {
            break;
        }
        steps += 2;
    }
    assert!(steps > 60, "too easy: {steps} steps on the disk");
}

#[test]
fn killed_at_any_even_step_it_is_the_truth_again() {
    kill_from(0);
}

#[test]
fn killed_at_any_odd_step_it_is_the_truth_again() {
    kill_from(1);
}

#[test]
fn a_disk_that_refuses_for_a_while_costs_nothing() {
    let (lab, world) = (Lab::empty(), World::of_a_day());
    let journal = journal(&lab);
    let (gate, left) = gate(0);
    let ledger = Ledger::open_through(LedgerConfig::default(), &journal, Some(gate)).unwrap();
    for (n, records) in world.records.chunks(60).enumerate() {
        append(&journal, records);
        ledger.catch_up(wall(0));
        left.store(if n % 4 == 3 { 1_000 } else { n as i64 }, Ordering::SeqCst);
        let written = ledger.write(wall(0));
        assert_eq!(written.is_err(), ledger.trouble().is_some());
    }
    assert!(ledger.counters().failures > 2, "{:?}", ledger.counters());
    left.store(1_000, Ordering::SeqCst);
    ledger.write(wall(0)).unwrap();
    assert_eq!((ledger.trouble(), ledger.counters().waiting), (None, 0));
    assert_eq!(rows(&ledger), world.truth());
}
