//! The process killed at each step on the disk, and a disk that refuses for a while.

use std::sync::atomic::Ordering;

use super::*;
use crate::tree::tests::gate;

/// Takes all of a world in batches, writing after each and merging; returns whether it came to the end.
fn live(samples: &Samples, journal: &Journal, world: &World, is_appended: bool) -> bool {
    for records in world.records.chunks(250) {
        if !is_appended {
            append(journal, records);
        }
        samples.catch_up(wall(0));
        if samples.write(wall(0)).is_err() {
            return false;
        }
        if !samples.merge_one(wall(5 * HOUR)) {
            return false;
        }
    }
    true
}

/// Kills a process at every third step on the disk, from the `first` on.
fn kill_from(first: i64) {
    let world = World::of_some_hours();
    let truth = world.truth();
    let mut steps = first;
    loop {
        let lab = Lab::empty();
        let journal = journal(&lab);
        let (gate, _) = gate(steps);
        let samples = Samples::open_through(SamplesConfig::default(), &journal, Some(gate)).unwrap();
        let is_whole = live(&samples, &journal, &world, false);
        drop(samples);
        let seen = rows_in_files(&lab);
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "twice after {steps} steps");
        let appended = journal.replay(Position::default(), |_| {}).unwrap().records as usize;
        append(&journal, &world.records[appended..]);
        let again = open(&journal);
        assert!(live(&again, &journal, &world, true), "after {steps} steps");
        assert_same(&rows(&again, &world), &truth, &format!("killed after {steps} steps"));
        assert_same(&rows_in_files(&lab), &truth, &format!("what others read: killed after {steps} steps"));
        if is_whole {
            break;
        }
        steps += 3;
    }
    assert!(steps > 60, "too easy: {steps} steps on the disk");
}

#[test]
fn killed_at_any_third_step_the_rows_are_the_journals() {
    kill_from(0);
}

#[test]
fn killed_at_any_step_after_a_third_the_rows_are_the_journals() {
    kill_from(1);
}

#[test]
fn killed_at_any_step_before_a_third_the_rows_are_the_journals() {
    kill_from(2);
}

#[test]
fn a_disk_that_refuses_for_a_while_costs_nothing() {
    let (lab, world) = (Lab::empty(), World::of_some_hours());
    let journal = journal(&lab);
    let (gate, left) = gate(0);
    let samples = Samples::open_through(SamplesConfig::default(), &journal, Some(gate)).unwrap();
    for (n, records) in world.records.chunks(60).enumerate() {
        append(&journal, records);
        samples.catch_up(wall(0));
        left.store(if n % 4 == 3 { 1_000 } else { n as i64 }, Ordering::SeqCst);
        let written = samples.write(wall(0));
        assert_eq!(written.is_err(), samples.trouble().is_some());
        assert_same(&rows(&samples, &world), &sorted(truth_of(&world, (n + 1) * 60)), &format!("batch {n}"));
    }
    assert!(samples.counters().failures > 2, "{:?}", samples.counters());
    left.store(1_000, Ordering::SeqCst);
    samples.write(wall(0)).unwrap();
    assert_eq!((samples.trouble(), samples.counters().waiting), (None, 0));
    assert_same(&rows_in_files(&lab), &world.truth(), "in files");
}

fn truth_of(world: &World, first: usize) -> Rows {
    let records = world.records.iter().take(first);
    records.map(|record| (record.probe.clone(), SampleRow::of(record))).collect()
}
