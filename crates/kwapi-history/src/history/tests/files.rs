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

/// As a service opens it: the past is read by its thread, once, and no file is written before.
#[test]
fn a_history_that_is_opened_unread_writes_nothing_before_it_has_read_the_past_and_counts_none_of_it() {
    let lab = Lab::empty();
    let every_second = |seconds: std::ops::Range<u64>| -> Vec<Measurement> {
        seconds.map(|second| message("A", second, 0, 100.0)).collect()
    };
    let history = open(&lab);
    record(&history, &every_second(1..500));
    record(&history, &[message("A", 20, 0, 1.0)]); // Late.
    assert_eq!((history.counters().recorded, history.counters().late), (499, 1));
    drop(history);
    let history = kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        let journal = Journal::open(&lab.join("state"), JournalConfig::default(), at(0));
        match journal.and_then(|(journal, _)| History::open_unread(HistoryConfig::default(), &journal)) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap()),
        }
    });
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    assert_eq!(history.reading.lock().reader.position(), Position::default(), "nothing is read");
    for second in [0, 130, 260] {
        history.tick(Duration::from_secs(second), at(500));
    }
    assert!(!file.exists());
    history.catch_up();
    assert_eq!((history.counters().recorded, history.counters().late), (0, 0));
    assert_eq!(history.last(&probe("A")).unwrap().map(|last| last.at), Some(at(499)));
    for second in [390, 520] {
        history.tick(Duration::from_secs(second), at(500));
    }
    assert_eq!(crate::rrd::read(&file).unwrap().last_update(), at(499));
    record(&history, &every_second(500..510));
    assert_eq!(history.counters().recorded, 10);
}
