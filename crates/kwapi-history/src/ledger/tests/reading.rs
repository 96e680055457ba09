//! How much of the files is read for a question.

use super::*;

const PROBES: usize = 300;

fn names() -> Vec<String> {
    (0..PROBES).map(|n| format!("lyon.rack{}.n{n:03}", n / 40)).collect()
}

/// What a question reads: its rows, and what that took.
fn read(ledger: &Ledger, probes: &[ProbeId], range: (RowStep, u64, u64)) -> (Sums, seen::Seen) {
    let mut sums = Sums::new();
    let seen = ledger.sight(probes, range.1, range.2).rows(probes, &[range], |probe, row| {
        sums.entry((probe.clone(), row.step, row.row.begin)).or_default().add(&row.row.increment, 1);
    });
    (sums, seen)
}

/// As [`read`], by all that there is.
fn of_all(all: &Sums, probes: &[ProbeId], (step, from, to): (RowStep, u64, u64)) -> Sums {
    let is_requested = |(probe, of, begin): &(ProbeId, RowStep, u64)| {
        *of == step && (from..to).contains(begin) && probes.contains(probe)
    };
    all.iter().filter(|(key, _)| is_requested(key)).map(|(key, sum)| (key.clone(), *sum)).collect()
}

#[test]
fn some_minutes_of_all_probes_and_a_day_of_one_are_each_a_small_part_of_a_day() {
    let (lab, mut world) = (Lab::empty(), World::default());
    for hour in [0, 9, 18, 25, 26, 27] {
        names().iter().for_each(|name| world.receive(name, message(0, hour * HOUR)));
    }
    let journal = journal(&lab);
    let ledger = open(&journal);
    for records in world.records.chunks(PROBES) {
        append(&journal, records);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    assert!((0..10).all(|_| ledger.merge_one(wall(28 * HOUR))));
    let (probes, all) = (ledger.probes(), rows(&ledger));
    let rows_of_day = PROBES as u64 * 1_440;
    let minute = |minute: u64| DAY * 1_000 + minute * 60_000;
    for (probes, from, to) in [(&probes[..], 425, 440), (&probes[99..100], 0, 1_440)] {
        let range = (RowStep::Minute, minute(from), minute(to));
        let (sums, seen) = read(&ledger, probes, range);
        assert_eq!(sums.len() as u64, (to - from) * probes.len() as u64);
        assert_eq!(sums, of_all(&all, probes, range));
        assert_eq!(seen.files_read, 1, "{:?}", ledger.counters());
        let part = seen.rows_read as f64 / rows_of_day as f64;
        assert!(part < 0.3, "{} rows were read of {rows_of_day}", seen.rows_read);
    }
}

#[test]
fn of_the_files_of_a_day_those_are_opened_that_have_the_time() {
    let (lab, mut world) = (Lab::empty(), World::default());
    for second in (0..20 * HOUR).step_by(1_800) {
        names()[..5].iter().for_each(|name| world.receive(name, message(0, second)));
    }
    let journal = journal(&lab);
    let ledger = open(&journal);
    for records in world.records.chunks(5) {
        append(&journal, records);
        ledger.catch_up(wall(0));
        ledger.write(wall(0)).unwrap();
    }
    let files = list(&list(&lab.join("ledger/step=minute"))[0]).len() as u64;
    assert!(files > 30, "{files}");
    let begin = (DAY + 7 * HOUR) * 1_000;
    let range = (RowStep::Minute, begin, begin + 15 * 60_000);
    let (probes, all) = (ledger.probes(), rows(&ledger));
    let (sums, seen) = read(&ledger, &probes, range);
    assert_eq!((sums.len(), &sums), (15 * 5, &of_all(&all, &probes, range)));
    assert!((1..=3).contains(&seen.files_read), "{seen:?}");
    drop(ledger);
    // After a restart it is not known what a file has, until it was opened once.
    let again = open(&journal);
    let (once, twice) = (read(&again, &probes, range), read(&again, &probes, range));
    assert_eq!((&once.0, &twice.0), (&sums, &sums));
    assert_eq!((once.1.files_read, twice.1.files_read), (files, seen.files_read));
}
