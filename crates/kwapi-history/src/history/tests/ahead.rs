//! Files that are ahead of the samples they are to take: a clock was wrong.

use super::*;

/// When the program was written, in seconds after [`START`]: a clock before that has not been set.
const SET: u64 = kwapi_core::PROGRAM_DATE.seconds() - START;

/// Messages every ten seconds, from `first` to `last` seconds after `START`.
fn every_ten(first: u64, last: u64, watts: f64) -> Vec<Measurement> {
    (first..=last).step_by(10).map(|seq| message("A", seq, 0, watts)).collect()
}

const DAY: u64 = 86_400;

fn power_file(lab: &Lab) -> std::path::PathBuf {
    store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")))
}

/// The mean of an hour's rows that are known, and how many are.
fn hour(history: &History, now: u64) -> (f64, usize) {
    let watts = known(&history.fetch(&probe("A"), Period::Hour, at(now)).unwrap().unwrap());
    (watts.iter().sum::<f64>() / watts.len().max(1) as f64, watts.len())
}

/// The clock was a day ahead for a minute and set right. In the same process, and in the next.
#[test]
fn files_written_under_a_clock_a_day_ahead_take_samples_again_after_ten_minutes_and_their_bytes_are_kept() {
    for restarts in [false, true] {
        let lab = Lab::empty();
        let mut history = open(&lab);
        record(&history, &every_ten(10, 600, 100.0));
        record(&history, &every_ten(DAY + 610, DAY + 670, 100.0));
        if restarts {
            assert!(history.flush_all());
            for second in [0, 130, 260] {
                history.tick(Duration::from_secs(second), at(700)); // The journal is not read again from before.
            }
            drop(history);
            history = open(&lab);
        }
        record(&history, &every_ten(680, 1_000, 100.0));
        history.flush_all();
        history.tick(Duration::ZERO, at(1_000));
        let trouble = history.trouble().unwrap();
        assert!(trouble.contains("for the clock to be set"), "restarts {restarts}: {trouble}");
        record(&history, &every_ten(1_010, 1_300, 100.0));
        history.tick(Duration::from_secs(599), at(1_600));
        assert!(history.trouble().is_some());
        let ahead = std::fs::read(power_file(&lab)).ok().filter(|_| restarts);
        history.tick(Duration::from_secs(600), at(1_600));
        assert_eq!((history.trouble(), history.counters().files_rewound), (None, 1), "restarts {restarts}");
        record(&history, &every_ten(1_310, 1_600, 100.0));
        assert!(history.flush_all());
        assert_eq!(crate::rrd::read(&power_file(&lab)).unwrap().last_update(), at(1_600));
        let aside = std::fs::read(power_file(&lab).with_extension("rrd.ahead-0")).unwrap();
        assert!(ahead.is_none_or(|ahead| ahead == aside), "the bytes are kept");
        // What was there before the clock was ahead is there still, and of what came after only a gap of a minute is not.
        let (mean, count) = hour(&history, 1_600);
        assert!(
            (mean - 100.0).abs() < 1e-9 && (148..=160).contains(&count),
            "restarts {restarts}: {mean} W in {count} rows"
        );
        // Nothing of it is read from the journal twice.
        for second in [730, 860, 990] {
            history.tick(Duration::from_secs(second), at(1_600));
        }
        drop(history);
        let history = open(&lab);
        assert!(history.flush_all());
        assert_eq!(hour(&history, 1_600), (mean, count));
    }
}

/// Our clock was an hour behind and is mended within ten minutes: the files were right.
#[test]
fn while_the_clock_may_be_behind_no_file_is_rewound() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &every_ten(4_000, 4_600, 100.0));
    assert!(history.flush_all());
    record(&history, &every_ten(1_010, 1_400, 50.0));
    history.tick(Duration::ZERO, at(1_400));
    assert!(history.trouble().is_some());
    record(&history, &every_ten(5_010, 5_100, 100.0));
    history.tick(Duration::from_secs(900), at(5_100));
    assert_eq!((history.trouble(), history.counters().files_rewound), (None, 0));
    assert!(history.flush_all());
    assert_eq!(crate::rrd::read(&power_file(&lab)).unwrap().last_update(), at(5_100));
    assert_eq!(history.counters().late, 40);
}

/// One stray sample of an hour ago, and then silence.
#[test]
fn a_stray_sample_rewinds_nothing() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &every_ten(4_000, 4_600, 100.0));
    assert!(history.flush_all());
    record(&history, &[message("A", 1_000, 0, 50.0)]);
    history.tick(Duration::ZERO, at(4_600));
    history.tick(Duration::from_secs(3_600), at(8_200));
    assert_eq!(history.counters().files_rewound, 0);
}

/// The rows that the journal no longer has stay, though the oldest that it has was stamped in 1970.
#[test]
fn a_sample_of_1970_takes_nothing_from_a_rewound_file() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &every_ten(SET + 10, SET + 600, 100.0));
    assert!(history.flush_all());
    drop(history);
    std::fs::remove_dir_all(lab.join("state/journal")).unwrap();
    let history = open(&lab);
    let unset = (1..=6).map(|second| {
        let mut message = message("A", second, 0, 100.0);
        let accounting = message.accounting.as_mut().unwrap();
        accounting.timestamp = Timestamp::from_seconds(10 * second);
        message
    });
    record(&history, &unset.collect::<Vec<_>>());
    record(&history, &every_ten(SET + 610, SET + 700, 100.0));
    record(&history, &every_ten(SET + 2_210, SET + 2_270, 100.0)); // 25 minutes ahead.
    record(&history, &every_ten(SET + 780, SET + 1_300, 100.0));
    history.tick(Duration::ZERO, at(SET + 1_300));
    history.tick(Duration::from_secs(600), at(SET + 1_900));
    assert_eq!((history.trouble(), history.counters().files_rewound), (None, 1));
    let (mean, count) = hour(&history, SET + 1_300);
    assert!((mean - 100.0).abs() < 1e-9 && count >= 115, "{mean} W in {count} rows");
}

/// The state of a process that was killed right after it has rewound files.
#[test]
fn a_crash_after_the_files_were_rewound_does_not_restore_the_future() {
    let lab = Lab::empty();
    let history = open(&lab);
    for name in ["A", "B"] {
        let of = |messages: Vec<Measurement>| -> Vec<_> {
            messages.into_iter().map(|message| Measurement { probe: probe(name), ..message }).collect()
        };
        record(&history, &of(every_ten(10, 600, 100.0)));
        record(&history, &of(every_ten(DAY + 610, DAY + 670, 100.0)));
        record(&history, &of(every_ten(680, 1_300, 100.0)));
    }
    record(&history, &[message("C", 1_000, 0, 5.0)]); // Of a publisher with another clock.
    history.tick(Duration::ZERO, at(1_300));
    history.tick(Duration::from_secs(600), at(1_900));
    assert_eq!((history.trouble(), history.counters().files_rewound), (None, 2));
    let before = hour(&history, 1_300);
    drop(history);
    let history = open(&lab);
    record(&history, &[message("A", 1_310, 0, 100.0)]);
    history.tick(Duration::ZERO, at(1_310));
    history.tick(Duration::from_secs(130), at(1_310));
    assert_eq!((history.trouble(), history.counters().files_ahead), (None, 0));
    assert_eq!(crate::rrd::read(&power_file(&lab)).unwrap().last_update(), at(1_310));
    assert!(!power_file(&lab).with_extension("rrd.ahead-1").exists());
    assert_eq!(hour(&history, 1_300), before);
    assert_eq!(history.last(&probe("C")).unwrap().map(|last| last.at), Some(at(1_000)));
}

/// Of the two files of a probe only one could be rewound, and the journal's time ahead is not read again.
#[test]
fn a_crash_between_two_files_leaves_neither_ahead() {
    for blocked in ["new", "peaks.new"] {
        let lab = Lab::empty();
        let history = open(&lab);
        record(&history, &every_ten(10, 600, 100.0));
        record(&history, &every_ten(DAY + 610, DAY + 670, 100.0));
        assert!(history.flush_all());
        for second in [0, 130, 260] {
            history.tick(Duration::from_secs(second), at(700));
        }
        record(&history, &every_ten(680, 1_300, 100.0));
        history.tick(Duration::from_secs(390), at(1_300));
        let blocked = power_file(&lab).with_extension(blocked);
        std::fs::create_dir(&blocked).unwrap(); // In the place of the file that becomes the rewound one.
        history.tick(Duration::from_secs(990), at(1_900));
        assert!(history.trouble().is_some() && history.counters().files_rewound == 0);
        drop(history);
        std::fs::remove_dir(&blocked).unwrap();
        let history = open(&lab);
        for second in [0, 130, 730] {
            history.tick(Duration::from_secs(second), at(1_300 + second));
        }
        assert_eq!((history.trouble(), history.counters().files_rewound), (None, 1));
        let (mean, count) = hour(&history, 1_300);
        assert!((mean - 100.0).abs() < 1e-9 && count >= 120, "{mean} W in {count} rows");
        record(&history, &every_ten(1_310, 1_400, 300.0));
        let highest = history.extremes(&probe("A"), Period::Hour, at(1_400)).unwrap().unwrap().1;
        assert_eq!(highest, Watts(300.0), "the file of peaks takes what comes: {blocked:?}");
    }
}

/// What the journal has of the time ahead is not put into the file again.
#[test]
fn a_damaged_file_is_made_again_without_the_time_that_was_ahead() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &every_ten(10, 600, 100.0));
    record(&history, &every_ten(DAY + 610, DAY + 670, 100.0));
    record(&history, &every_ten(680, 1_300, 100.0));
    history.tick(Duration::ZERO, at(1_300));
    history.tick(Duration::from_secs(600), at(1_900));
    assert_eq!(history.counters().files_rewound, 1);
    let peaks = store::peaks_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    for file in [&power_file(&lab), &peaks] {
        std::fs::write(file, b"not an RRD").unwrap();
    }
    record(&history, &every_ten(1_310, 1_400, 100.0));
    history.tick(Duration::from_secs(730), at(1_400));
    assert_eq!(history.counters().files_set_aside, 2);
    for file in [&power_file(&lab), &peaks] {
        assert_eq!(crate::rrd::read(file).unwrap().last_update(), at(1_400));
    }
    let (mean, count) = hour(&history, 1_400);
    assert!((mean - 100.0).abs() < 1e-9 && count >= 125, "{mean} W in {count} rows");
}

/// The file of a probe that comes while others are rewound is ahead, too: its samples wait, and the journal keeps them.
#[test]
fn a_file_found_ahead_while_another_is_rewound_keeps_its_samples_in_the_journal() {
    let of = |name: &str, messages: Vec<Measurement>| -> Vec<Measurement> {
        messages.into_iter().map(|message| Measurement { probe: probe(name), ..message }).collect()
    };
    let lab = Lab::empty();
    let history = open(&lab);
    for name in ["A", "B"] {
        record(&history, &of(name, every_ten(10, 600, 100.0)));
        record(&history, &of(name, every_ten(DAY + 610, DAY + 670, 100.0)));
    }
    assert!(history.flush_all());
    for second in [0, 130, 260] {
        history.tick(Duration::from_secs(second), at(700)); // The journal is not read again from before.
    }
    drop(history);
    let history = open(&lab);
    record(&history, &every_ten(680, 1_300, 100.0));
    assert!(history.flush_all());
    history.tick(Duration::ZERO, at(1_300));
    history.tick(Duration::from_secs(599), at(1_890));
    record(&history, &of("B", every_ten(1_880, 1_890, 100.0))); // Not its turn to be written.
    history.tick(Duration::from_secs(600), at(1_900));
    assert_eq!(history.counters().files_rewound, 1);
    drop(history);
    let history = open(&lab);
    assert_eq!(history.last(&probe("B")).unwrap().map(|last| last.at), Some(at(1_890)));
    assert_eq!(history.last(&probe("A")).unwrap().map(|last| last.at), Some(at(1_300)));
}
