mod ahead;
mod damage;
mod files;
mod late;
mod released;

use std::process::Command;

use kwapi_core::{Accounting, Decision, Measurement, Period, Quality, Series, Totals, Watts};
use kwapi_peers::{Lab, need, output};
use proptest::prelude::*;

use super::*;
use crate::journal::{Credited, JournalConfig, Taken};
use crate::rrd::Rrd;
use crate::store::FileSample;

/// A multiple of 900.
const START: u64 = 1_699_999_200;

fn probe(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

/// A message of a publisher that began at `START`: `seq` seconds and `micros` later.
fn message(name: &str, seq: u64, micros: u64, watts: f64) -> Measurement {
    let accounting = Accounting {
        timestamp: Timestamp::from_micros((START + seq) * 1_000_000 + micros),
        session: Timestamp::from_seconds(START),
        seq,
        totals: Totals::default(),
        curve: None,
        meter: None,
        quality: Quality::Measured,
    };
    let accounting = Some(accounting);
    Measurement { probe: probe(name), power: Watts(watts), voltage: None, current: None, accounting }
}

/// A program that another test is just starting holds our locks until it is itself; so try again.
fn open_with(lab: &Lab, config: &HistoryConfig) -> History {
    kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        let journal =
            Journal::open(&lab.join("state"), JournalConfig::default(), Timestamp::from_seconds(START));
        match journal.and_then(|(journal, _)| History::open(config.clone(), &journal)) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap()),
        }
    })
}

fn open(lab: &Lab) -> History {
    open_with(lab, &HistoryConfig::default())
}

/// Appends messages to the journal as an account credits them, for the history to take.
fn record(history: &History, messages: &[Measurement]) {
    let taken = Taken { decision: Decision::Continue, register: Totals::default() };
    let credited = |message| Credited::of(message, Timestamp::from_seconds(START), taken);
    let records = Arc::new(messages.iter().map(credited).collect());
    history.journal().append(&records, Timestamp::from_seconds(START)).unwrap();
    history.catch_up();
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

fn known(series: &Series) -> Vec<f64> {
    series.watts.iter().copied().flatten().collect()
}

#[test]
fn a_sample_shows_before_any_file_is_written() {
    let lab = Lab::empty();
    let history = open(&lab);
    let messages: Vec<_> = (1..=4).map(|seq| message("A", seq, 0, 100.0)).collect();
    record(&history, &messages);
    assert_eq!(history.counters().recorded, 4);
    for period in Period::ALL {
        let series = history.fetch(&probe("A"), period, at(4)).unwrap().unwrap();
        assert_eq!(series.watts.len(), if period == Period::Year { 53 } else { period.rows() }, "{period}");
        assert!(series.end() >= START + 4, "{period}");
        assert!(!known(&series).is_empty(), "{period}");
        assert!(known(&series).iter().all(|watts| *watts == 100.0), "{period}");
    }
    assert_eq!(history.last(&probe("A")).unwrap(), Some(Latest { at: at(4), power: Watts(100.0) }));
    assert_eq!(std::fs::read_dir(lab.join("state/rrd")).unwrap().count(), 2); // Lock and index.
    assert_eq!(history.fetch(&probe("B"), Period::Minute, at(4)).unwrap(), None);
}

#[test]
fn each_probe_has_the_gap_that_is_its_own_before_its_file_is_written_and_after() {
    let lab = Lab::empty();
    let gaps = Gaps::new(Duration::from_secs(10));
    gaps.describe(&probe("seldom"), Duration::from_secs(100));
    let history = open_with(&lab, &HistoryConfig { gaps: gaps.clone(), ..HistoryConfig::default() });
    for name in ["seldom", "often"] {
        record(&history, &[1, 31, 61].map(|seq| message(name, seq, 0, 50.0)));
    }
    let known = |name| {
        let series = history.fetch(&probe(name), Period::Minute, at(61)).unwrap().unwrap();
        series.watts.iter().flatten().count()
    };
    let before = ["seldom", "often"].map(known);
    assert!(before[0] >= 59 && before[1] <= 3, "{before:?}");
    assert!(history.flush_all());
    assert_eq!(["seldom", "often"].map(known), before);
}

#[test]
fn files_are_written_once_per_interval_and_are_rrdtools() {
    if !need(&["rrdtool"]) {
        return;
    }
    let lab = Lab::empty();
    let history = open(&lab);
    let messages: Vec<_> = (1..=200).map(|seq| message("A", seq, 300_000, 50.0)).collect();
    record(&history, &messages);
    for second in 0..=240 {
        history.tick(Duration::from_secs(second), Timestamp::from_seconds(START + second));
    }
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    let info = output(Command::new("rrdtool").arg("info").arg(&file));
    assert!(info.contains(&format!("last_update = {}", START + 200)), "{info}");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 9_752);
    assert_eq!(history.rrd_bytes(&probe("A")).unwrap().unwrap(), std::fs::read(&file).unwrap());
}

#[test]
fn a_killed_process_loses_nothing_it_had_recorded() {
    let lab = Lab::empty();
    let messages: Vec<_> = (1..=90).map(|seq| message("A", seq, 0, seq as f64)).collect();
    let history = open(&lab);
    record(&history, &messages[..50]);
    history.flush_all();
    record(&history, &messages[50..]);
    let before = history.fetch(&probe("A"), Period::Minute, at(90)).unwrap();
    drop(history); // Nothing is written when it is dropped.
    let history = open(&lab);
    assert_eq!(history.fetch(&probe("A"), Period::Minute, at(90)).unwrap(), before);
    assert_eq!(history.probes(), [probe("A")]);
    assert_eq!(history.counters().recorded, 0, "the process before counted them");
}

#[test]
fn what_comes_after_a_newer_sample_is_late() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &[message("A", 2, 0, 2.0), message("A", 1, 0, 1.0)]);
    let counters = history.counters();
    assert_eq!((counters.recorded, counters.late), (1, 1));
    assert_eq!(history.last(&probe("A")).unwrap().unwrap().power, Watts(2.0));
}

#[test]
fn a_gap_is_unknown_from_the_last_sample_to_one_interval_before_the_next() {
    let lab = Lab::empty();
    let history = open(&lab);
    let mut messages: Vec<_> = (1..=20).map(|seq| message("A", seq, 200_000, 100.0)).collect();
    messages.extend((200..=210).map(|seq| message("A", seq, 700_000, 300.0)));
    record(&history, &messages);
    let series = history.fetch(&probe("A"), Period::Minute, at(211)).unwrap().unwrap();
    // RRDtool's arithmetic leaves an ulp or two.
    let row = |second: u64| series.watts[(START + second - series.start) as usize].map(f64::round);
    assert_eq!((row(19), row(20)), (Some(100.0), Some(100.0))); // A fifth of second 20 is known.
    for second in 21..200 {
        assert_eq!(row(second), None, "{second}");
    }
    assert_eq!((row(200), row(209)), (Some(300.0), Some(300.0)));
}

#[test]
fn a_second_at_full_power_shows_in_the_day_whatever_its_phase() {
    let lab = Lab::empty();
    let history = open(&lab);
    let watts = |seq| if seq == 400 { 2_000.0 } else { 100.0 };
    let messages: Vec<_> = (1..=899).map(|seq| message("A", seq, 700_000, watts(seq))).collect();
    record(&history, &messages[..500]);
    history.flush_all();
    record(&history, &messages[500..]);
    let extremes = history.extremes(&probe("A"), Period::Day, at(900)).unwrap();
    assert_eq!(extremes, Some((Watts(100.0), Watts(2_000.0))));
    let averages = known(&history.fetch(&probe("A"), Period::Day, at(900)).unwrap().unwrap());
    assert!(averages.iter().all(|average| *average < 103.0), "{averages:?}");
}

#[test]
fn energy_is_the_power_times_the_time_it_is_known() {
    let lab = Lab::empty();
    let history = open(&lab);
    record(&history, &(1..=1_800).map(|seq| message("A", seq, 0, 100.0)).collect::<Vec<_>>());
    for period in [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year] {
        check_energy(&history, period, at(1_800), 50.0);
    }
}

/// The energy of the probe A, and of a summary of it alone.
#[track_caller]
fn check_energy(history: &History, period: Period, now: Timestamp, expected_wh: f64) {
    let series = history.fetch(&probe("A"), period, now).unwrap().unwrap();
    let mut stack = kwapi_graph::StackedSum::new(period, now.seconds());
    stack.add("A", &series);
    let figures = [
        ("figures", kwapi_graph::Figures::of(&series, now.seconds()).energy),
        ("summary", stack.finish().figures(now.seconds()).energy),
    ];
    for (name, energy) in figures {
        let wh = energy.kwh().unwrap() * 1e3;
        assert!((wh - expected_wh).abs() < 1e-3, "{name} of a {period}: {wh} Wh, not {expected_wh}");
    }
}

#[test]
fn a_probe_thirty_seconds_old_has_used_thirty_seconds_of_energy_on_every_period() {
    let lab = Lab::empty();
    let history = open(&lab);
    // In the midst of a row of every length.
    let begin = 3 * 86_400 + 4_321;
    record(&history, &(1..=30).map(|seq| message("A", begin + seq, 0, 100.0)).collect::<Vec<_>>());
    for period in Period::ALL {
        check_energy(&history, period, at(begin + 30), 30.0 / 36.0);
        let series = history.fetch(&probe("A"), period, at(begin + 30)).unwrap().unwrap();
        let rows = (0..series.watts.len()).filter(|row| series.watts[*row].is_some());
        let seconds: u64 = rows.map(|row| series.known_seconds(row, START + begin + 30)).sum();
        assert_eq!(seconds, 30, "{period}");
    }
    // What is no longer received uses no more.
    check_energy(&history, Period::Year, at(begin + 3_000), 30.0 / 36.0);
}

#[test]
fn the_row_a_probe_was_first_seen_in_counts_from_then_on_even_after_a_restart() {
    let lab = Lab::empty();
    let history = open(&lab);
    // 400 of the first 900 seconds are missing, so that the row is known, in part.
    record(&history, &(401..=2_700).map(|seq| message("A", seq, 0, 36.0)).collect::<Vec<_>>());
    check_energy(&history, Period::Day, at(2_700), 23.0);
    drop(history);
    check_energy(&open(&lab), Period::Day, at(2_700), 23.0);
}

/// What befalls a history between samples.
#[derive(Clone, Copy, Debug)]
enum Event {
    Nothing,
    Flushed,
    Killed,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn flushes_kills_and_repeats_do_not_show_in_the_files(steps in prop::collection::vec(
            (prop_oneof![9 => Just(1_u64), 1 => 61_u64..5_000], 0_u32..5_000,
             prop_oneof![8 => Just(Event::Nothing), 1 => Just(Event::Flushed), 1 => Just(Event::Killed)]), 1..80)) {
        let mut second = 0;
        let messages: Vec<_> = steps.iter().map(|(spacing, watts, _)| {
            second += spacing;
            message("A", second, 0, f64::from(*watts))
        }).collect();
        let files = |lab: &Lab| {
            let stem = store::file_stem(&probe("A"));
            let directory = lab.join("state/rrd");
            [store::power_path(&directory, stem), store::peaks_path(&directory, stem)].map(|path| std::fs::read(path).unwrap())
        };
        let (quiet, eventful) = (Lab::empty(), Lab::empty());
        let history = open(&quiet);
        record(&history, &messages);
        prop_assert!(history.flush_all());

        let mut history = open(&eventful);
        for (number, (message, (_, _, event))) in messages.iter().zip(&steps).enumerate() {
            // Each is read twice: an append that was delivered again, or a journal read again.
            record(&history, &messages[number.saturating_sub(1)..=number]);
            match event {
                Event::Nothing => {}
                Event::Flushed => prop_assert!(history.flush_all()),
                Event::Killed => {
                    drop(history);
                    history = open(&eventful);
                }
            }
            let newest = history.last(&message.probe).unwrap().unwrap();
            prop_assert_eq!(newest.power, message.power);
        }
        prop_assert!(history.flush_all());
        prop_assert_eq!(files(&quiet), files(&eventful));
    }

    #[test]
    fn a_file_is_what_rrdtool_makes_of_the_samples_and_the_unknowns(steps in prop::collection::vec(
            (prop_oneof![8 => 200_000_u64..2_000_000, 1 => 61_000_000_u64..4_000_000_000], 0_u32..500_000), 1..60)) {
        if need(&["rrdtool"]) {
            let mut at = START * 1_000_000;
            let samples: Vec<_> = steps.iter().map(|(spacing, centiwatts)| {
                at += spacing;
                FileSample { at: Timestamp::from_micros(at), watts: f64::from(*centiwatts) / 100.0, held: Duration::from_secs(1), is_after_loss: false }
            }).collect();
            let max_gap = Duration::from_secs(60);
            let begin = Rrd::new(&store::POWER, store::first_second(&samples[0]));
            let mut ours = begin.clone();
            store::apply(&mut ours, &samples, max_gap).unwrap();

            // The same by the rule: after a gap, unknown at the end of each row in progress and one second before.
            let mut last = begin.last_update();
            let mut updates = Vec::new();
            for sample in &samples {
                if sample.at.since(last) > max_gap {
                    let until = (sample.at.micros() - 1_000_000).div_ceil(1_000_000);
                    let begin = last.micros().div_ceil(1_000_000);
                    let mut ends: Vec<_> = [1, 10, 900, 7_200, 21_600, 604_800]
                        .map(|row| begin.div_ceil(row) * row)
                        .into_iter()
                        .filter(|end| *end < until && *end * 1_000_000 > last.micros())
                        .collect();
                    ends.push(until);
                    ends.dedup();
                    updates.extend(ends.iter().map(|end| format!("{end}:U")));
                }
                last = sample.at;
                updates.push(format!("{}.{:06}5:{}", sample.at.seconds(), sample.at.micros() % 1_000_000, sample.watts));
            }
            let lab = Lab::empty();
            let file = lab.join("theirs.rrd");
            crate::rrd::create(&file, &begin).unwrap();
            output(Command::new("rrdtool").arg("update").arg(&file).args(&updates));
            let dump = |rrd: &Rrd| {
                let path = lab.join("dumped.rrd");
                crate::rrd::create(&path, rrd).unwrap();
                output(Command::new("rrdtool").arg("dump").arg(&path))
            };
            prop_assert_eq!(dump(&ours), dump(&crate::rrd::read(&file).unwrap()));
        }
    }
}
