//! The directory and its files: the original's, damaged ones, ones that cannot be written, and ends of the process.

use super::*;

#[test]
fn a_directory_the_original_wrote_is_opened_in_place() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    let directory = lab.join("original");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("9759785f-95f6-554a-ba7a-c3e586ec5609.rrd");
    let archives = POWER_ARCHIVES.split(' ');
    let begin = (START - 10).to_string();
    output(
        Command::new("rrdtool")
            .arg("create")
            .arg(&file)
            .args(["-b", &begin, "-s", "1", "DS:w:GAUGE:600:0:U"])
            .args(archives),
    );
    let updates = (0..=5).map(|second| format!("{}:42", START - 5 + second));
    output(Command::new("rrdtool").arg("update").arg(&file).args(updates));
    let history =
        open_with(&lab, &HistoryConfig { rrd_directory: Some(directory), ..HistoryConfig::default() });
    assert_eq!((history.probes(), history.counters().orphan_files), (vec![], 1));
    record(&history, &[message("A", 1, 0, 58.0)]);
    assert_eq!((history.probes(), history.counters().orphan_files), (vec![probe("A")], 0));
    let series = history.fetch(&probe("A"), Period::Minute, at(1)).unwrap().unwrap();
    assert_eq!(known(&series), [42.0, 42.0, 42.0, 42.0, 42.0, 42.0, 42.0, 42.0, 42.0, 42.0, 58.0]);
}

const POWER_ARCHIVES: &str = "RRA:AVERAGE:0.5:1:300 RRA:AVERAGE:0.5:10:360 RRA:AVERAGE:0.5:900:96 \
    RRA:AVERAGE:0.5:7200:84 RRA:AVERAGE:0.5:21600:124 RRA:AVERAGE:0.5:604800:52";

#[test]
fn an_unusable_file_is_made_again_from_the_journal() {
    let lab = Lab::empty();
    let history = open(&lab);
    let messages: Vec<_> = (1..=100).map(|seq| message("A", seq, 0, seq as f64)).collect();
    record(&history, &messages[..90]);
    assert!(history.flush_all());
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..5_000]).unwrap();
    record(&history, &messages[90..]);
    assert!(history.flush_all());
    let series = history.fetch(&probe("A"), Period::Minute, at(100)).unwrap().unwrap();
    assert_eq!(known(&series), (1..=100).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn an_unusable_file_is_set_aside_and_begun_again() {
    let lab = Lab::empty();
    let history = open(&lab);
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    std::fs::write(&file, b"not an RRD").unwrap();
    record(&history, &[message("A", 1, 0, 5.0)]);
    assert!(history.flush_all());
    assert_eq!(history.counters().files_set_aside, 1);
    assert!(crate::rrd::read(&file).is_ok());
    assert_eq!(std::fs::read(file.with_extension("rrd.unusable-0")).unwrap(), b"not an RRD");
}

#[test]
fn a_directory_has_one_owner() {
    let lab = Lab::empty();
    let _history = open(&lab);
    let opened = Journal::open(&lab.join("state"), JournalConfig::default(), Timestamp::EPOCH);
    let error = opened.unwrap_err().to_string();
    assert!(
        error.contains("is in use by another kwapi") && error.contains(&std::process::id().to_string()),
        "{error}"
    );
}

#[test]
fn files_that_cannot_be_written_wait_and_the_journal_is_read_again() {
    let lab = Lab::empty();
    let history = open(&lab);
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    std::fs::create_dir(&file).unwrap(); // Nothing can be written to a directory.
    record(&history, &[message("A", 1, 0, 5.0)]);
    assert!(!history.flush_all());
    assert_eq!(history.counters().flush_failures, 1);
    history.tick(Duration::ZERO, at(1));
    history.tick(Duration::from_secs(130), at(131));
    assert!(history.trouble().is_some_and(|trouble| trouble.contains("cannot write")));
    std::fs::remove_dir(&file).unwrap();
    drop(history);
    let history = open(&lab);
    assert!(history.flush_all());
    assert_eq!(crate::rrd::read(&file).unwrap().last_value(), Some(5.0));
}

#[test]
fn a_stopped_flusher_has_written_everything() {
    let lab = Lab::empty();
    let history = Arc::new(open(&lab));
    let begin = std::time::Instant::now();
    let wall = kwapi_core::WallClock::new(|| at(1));
    let flusher = Flusher::start(Arc::clone(&history), move || begin.elapsed(), wall).unwrap();
    record(&history, &[message("A", 1, 0, 5.0)]);
    assert!(flusher.stop());
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    assert_eq!(crate::rrd::read(&file).unwrap().last_update(), at(1));
}

#[test]
fn a_stop_that_had_no_time_loses_nothing() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &[message("A", 1, 0, 5.0)]);
    assert!(!history.flush_within(Duration::ZERO));
    drop(history);
    let history = open(&lab);
    assert!(history.flush_all());
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    assert_eq!(crate::rrd::read(&file).unwrap().last_update(), at(1));
}

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
