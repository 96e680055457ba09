//! Late samples: the files come to be as if they had come in order, and rrdtool reads them so.

use proptest::prelude::*;

use super::*;
use crate::history::late::LateLimits;

/// Seconds from [`START`] to the end of a row of six hours, which is one of all shorter ones too.
const BOUNDARY: u64 = 7_200;

/// Every ten seconds, of a power that is never the same twice.
fn course(first: u64, last: u64) -> Vec<Measurement> {
    let watts = |seq: u64| (seq * seq % 997) as f64;
    (first..=last).map(|seq| message("A", seq * 10, seq * 131_071 % 900_000, watts(seq))).collect()
}

/// The two files of A as rrdtool dumps them.
fn dumps(lab: &Lab) -> [String; 2] {
    let (directory, stem) = (lab.join("state/rrd"), store::file_stem(&probe("A")));
    [store::power_path(&directory, stem), store::peaks_path(&directory, stem)]
        .map(|file| output(Command::new("rrdtool").env("TZ", "UTC").arg("dump").arg(file)))
}

/// Compares two dumps, numbers to a billionth: sums of the same in another order differ in the last digits.
#[track_caller]
fn compare(ours: &str, expected: &str) {
    assert_eq!(ours.lines().count(), expected.lines().count());
    let tokens = |line: &str| -> Vec<String> {
        line.split(['<', '>', ' ', '\t']).filter(|token| !token.is_empty()).map(str::to_owned).collect()
    };
    for (line, (ours, expected)) in ours.lines().zip(expected.lines()).enumerate() {
        for (own, other) in tokens(ours).into_iter().zip(tokens(expected)) {
            let is_alike = own == other
                || matches!((own.parse::<f64>(), other.parse::<f64>()), (Ok(own), Ok(other))
                    if (own - other).abs() <= 1e-9 * other.abs().max(1.0));
            assert!(is_alike, "line {line}: {ours}\nin order: {expected}");
        }
    }
}

fn is_done(history: &History) -> bool {
    history.pass.lock().is_none() && history.late.lock().is_empty()
}

/// Lets the history make rows again until all are done.
#[track_caller]
fn rework(history: &History) {
    for turn in 1..10_000 {
        history.look_after_late(Duration::from_secs(turn * 1_000));
        if is_done(history) {
            return;
        }
    }
    panic!("rows are being made again for ever");
}

/// Records `messages`, those that `round_of` picks in later rounds, each before one of the last three, and
/// compares the files with those of a history that received all in order.
#[track_caller]
fn check(messages: &[Measurement], round_of: impl Fn(usize) -> u32) {
    let (ours, in_order) = (Lab::empty(), Lab::empty());
    let history = open(&ours);
    for round in 0..3 {
        let tail = messages.len() - 3;
        let round_of = |at: usize| at.checked_sub(tail).map_or_else(|| round_of(at), |last| last as u32);
        let of_round = messages.iter().enumerate().filter(|(at, _)| round_of(*at) == round);
        record(&history, &of_round.map(|(_, message)| message.clone()).collect::<Vec<_>>());
        assert!(history.flush_all());
        rework(&history);
    }
    let expected = open(&in_order);
    record(&expected, messages);
    assert!(expected.flush_all());
    for (ours, expected) in dumps(&ours).iter().zip(dumps(&in_order)) {
        compare(ours, &expected);
    }
}

#[test]
fn samples_that_come_late_are_in_the_files_as_if_they_had_come_in_order() {
    if !need(&["rrdtool"]) {
        return;
    }
    let messages = course(1, 780);
    check(&messages, |at| u32::from((500..505).contains(&at)));
    // A gap that is filled later, in two parts; across the ends of rows of all lengths.
    let boundary = usize::try_from(BOUNDARY / 10).unwrap();
    check(&messages, |at| match at.abs_diff(boundary) {
        0..8 => 1,
        8..20 => 2,
        _ => 0,
    });
    // Most of what there is, long after.
    check(&messages, |at| u32::from((5..600).contains(&at)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn in_whatever_order_samples_come_the_files_are_those_of_the_order_of_stamps(
        late in prop::collection::vec(prop::sample::select(vec![0_u32, 0, 0, 0, 1, 2]), 200),
        first in 600_u64..700,
    ) {
        if !need(&["rrdtool"]) {
            return Ok(());
        }
        let messages = course(first, first + 199);
        // The first determines when the file begins.
        check(&messages, |at| if at == 0 { 0 } else { late[at] });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn rows_made_again_a_piece_at_a_time_while_more_comes_are_those_of_the_order_of_stamps(
        late in prop::collection::vec(prop::sample::select(vec![0_usize, 0, 0, 0, 1, 2, 5]), 400),
        is_flushed in prop::collection::vec(any::<bool>(), 30),
        first in 600_u64..700,
        tick_bytes_max in 1_u64..2_000,
    ) {
        if !need(&["rrdtool"]) {
            return Ok(());
        }
        let messages = course(first, first + 399);
        let (ours, in_order) = (Lab::empty(), Lab::empty());
        let history = open(&ours);
        history.late.lock().limits.tick_bytes_max = tick_bytes_max;
        for (turn, is_flushed) in is_flushed.into_iter().enumerate() {
            let turn_of = |at: usize| match at {
                // The first determines when the file begins, and the last where it ends.
                0 | 399 => at / 20,
                // A thousand seconds late it waits for one that is not.
                1..280 => at / 20 + late[at],
                _ => at / 20 + late[at].min(2),
            };
            let of_turn = messages.iter().enumerate().filter(|(at, _)| turn_of(*at) == turn);
            record(&history, &of_turn.map(|(_, message)| message.clone()).collect::<Vec<_>>());
            if is_flushed {
                prop_assert!(history.flush_all());
            }
            history.look_after_late(Duration::from_secs(turn as u64 * 1_000));
        }
        rework(&history);
        prop_assert!(history.flush_all());
        prop_assert_eq!(history.counters().late_left_out, 0);
        let expected = open(&in_order);
        record(&expected, &messages);
        prop_assert!(expected.flush_all());
        for (ours, expected) in dumps(&ours).iter().zip(dumps(&in_order)) {
            compare(ours, &expected);
        }
    }
}

/// A second of so many probes, a batch.
fn second_of(probes: usize, second: u64) -> Vec<Measurement> {
    (0..probes).map(|number| message(&format!("P{number}"), second, 0, (100 + second % 7) as f64)).collect()
}

/// The seconds from START on that are unknown in the newest rows of P0.
fn unknown_seconds(history: &History, until: u64) -> Vec<u64> {
    unknown_seconds_of(history, "P0", until)
}

fn unknown_seconds_of(history: &History, name: &str, until: u64) -> Vec<u64> {
    let series = history.fetch(&probe(name), Period::Minute, at(until)).unwrap().unwrap();
    let unknown = series.watts.iter().enumerate().filter(|(_, watts)| watts.is_none());
    unknown.map(|(row, _)| series.start + row as u64 - START).filter(|second| *second < until).collect()
}

#[test]
fn late_samples_of_one_of_many_probes_read_a_small_piece_of_the_journal_at_a_time() {
    let probes = 100;
    let lab = Lab::empty();
    let history = open(&lab);
    for second in 1..=500 {
        // Of one nothing for longer than two gaps, so that it shows.
        let absent = usize::from((300..450).contains(&second));
        record(&history, &second_of(probes, second)[absent..]);
    }
    let journal = history.journal().clone();
    let batch_bytes = journal.end().offset / 500 * 2;
    history.late.lock().limits.tick_bytes_max = 3 * batch_bytes;
    assert_eq!(unknown_seconds(&history, 500), (299..449).collect::<Vec<_>>());
    record(&history, &[349, 350].map(|second| second_of(1, second).remove(0)));
    let mut ticks = 0;
    while !is_done(&history) {
        let (read, end) = (history.counters().late_bytes_read, journal.end());
        record(&history, &second_of(probes, 501 + ticks)[1..]);
        history.look_after_late(Duration::from_secs(1_000 + ticks));
        let read = history.counters().late_bytes_read - read;
        let grown = journal.end().offset - end.offset;
        assert!(read <= 4 * batch_bytes + grown, "{read} bytes in a tick, {batch_bytes} a batch");
        ticks += 1;
    }
    // From one gap before the sample on, three seconds a tick and what comes.
    assert!((20..100).contains(&ticks), "{ticks}");
    assert_eq!(unknown_seconds(&history, 500), (350..449).collect::<Vec<_>>());
    assert_eq!(history.counters().late_left_out, 0);
}

#[test]
fn what_lies_too_far_back_is_left_out_and_counted() {
    let lab = Lab::empty();
    let history = open(&lab);
    let late = [200, 201, 480];
    for second in (1..=500).filter(|second| !late.contains(second)) {
        record(&history, &second_of(50, second));
    }
    let bytes = history.journal().bytes_between(Position::default(), history.journal().end());
    history.late.lock().limits.stretch_bytes_max = bytes / 5 * 4;
    for second in late {
        record(&history, &second_of(50, second)[..1]);
    }
    let counters = history.counters();
    assert_eq!((counters.late, counters.late_left_out), (3, 0));
    rework(&history);
    let counters = history.counters();
    assert_eq!((counters.late, counters.late_left_out), (3, 2));
    assert!(
        counters.late_bytes_read > 0 && counters.late_bytes_read <= bytes / 5 * 4,
        "{counters:?} of {bytes}"
    );
    // Rows of six hours that have ended are too far back, those of a quarter hour are not.
    for second in (501..=BOUNDARY + 100).filter(|second| *second != BOUNDARY - 30) {
        record(&history, &second_of(1, second));
    }
    history.late.lock().limits.stretch_bytes_max = 40_000;
    record(&history, &second_of(1, BOUNDARY - 30));
    rework(&history);
    assert_eq!(history.counters().late_left_out, 3);
    let series = history.fetch(&probe("P0"), Period::Hour, at(BOUNDARY + 100)).unwrap().unwrap();
    let course = written_in_order(&(BOUNDARY - 600..=BOUNDARY + 100).collect::<Vec<_>>());
    let row = |series: &Series| {
        let at = (START + BOUNDARY - 40 - series.start) / series.step;
        series.watts[usize::try_from(at).unwrap()].map(|watts| (watts * 1e6).round())
    };
    assert_eq!(row(&series), row(&course));
}

/// P0's last hour if those seconds come in order.
fn written_in_order(seconds: &[u64]) -> Series {
    let lab = Lab::empty();
    let history = open(&lab);
    for second in seconds {
        record(&history, &second_of(1, *second));
    }
    history.fetch(&probe("P0"), Period::Hour, at(*seconds.last().unwrap())).unwrap().unwrap()
}

/// 100 probes lack a hundred seconds, which come after: ten thousand late samples.
fn ten_thousand_late(lab: &Lab, limit: impl Fn(&mut LateLimits)) -> History {
    let history = open(lab);
    limit(&mut history.late.lock().limits);
    for second in (1..=100).chain(201..=300) {
        record(&history, &second_of(100, second));
    }
    for number in 0..100 {
        let late = (101..=200).map(|second| second_of(100, second).swap_remove(number));
        record(&history, &late.collect::<Vec<_>>());
    }
    assert_eq!(history.counters().late, 10_000);
    history
}

#[test]
fn ten_thousand_late_samples_of_all_probes_are_worked_off_some_probes_at_a_time() {
    let lab = Lab::empty();
    let history = ten_thousand_late(&lab, |limits| {
        (limits.probes_max, limits.files_max, limits.samples_max) = (20, 3, 2_000);
    });
    assert_eq!(unknown_seconds(&history, 300).len(), 100);
    rework(&history);
    assert_eq!((history.counters().late_left_out, unknown_seconds(&history, 300)), (0, Vec::new()));
    // Six of twenty fit at a time.
    let whole = history.journal().bytes_between(Position::default(), history.journal().end());
    let read = history.counters().late_bytes_read;
    assert!((5 * whole..40 * whole).contains(&read), "{read} of {whole}");
}

#[test]
fn late_samples_beyond_the_bounds_are_counted() {
    let lab = Lab::empty();
    let history = ten_thousand_late(&lab, |limits| limits.late_max = 3_000);
    assert_eq!(history.counters().late_left_out, 7_000);
    rework(&history);
    assert_eq!(history.counters().late_left_out, 7_000);
    let unknown = ["P0", "P29", "P30", "P99"].map(|name| unknown_seconds_of(&history, name, 300).len());
    assert_eq!(unknown, [0, 0, 100, 100]);
    // Of no probe there is room for all samples of the time.
    let lab = Lab::empty();
    let history = ten_thousand_late(&lab, |limits| limits.samples_max = 100);
    rework(&history);
    assert_eq!(history.counters().late_left_out, 10_000);
    assert_eq!(unknown_seconds(&history, 300).len(), 100);
}

#[test]
fn the_flusher_takes_late_samples_into_the_graphs_by_itself() {
    let lab = Lab::empty();
    let history = open(&lab);
    let messages = course(1, 60);
    record(&history, &[&messages[..30], &messages[40..]].concat());
    history.tick(Duration::ZERO, at(600));
    assert!(history.flush_all());
    record(&history, &messages[30..40]);
    let unknown = |history: &History| {
        let series = history.fetch(&probe("A"), Period::Hour, at(600)).unwrap().unwrap();
        series.watts.iter().rev().take(58).filter(|watts| watts.is_none()).count()
    };
    assert!(unknown(&history) >= 9, "{}", unknown(&history));
    assert_eq!(history.counters().late, 10);
    history.tick(Duration::from_secs(130), at(600));
    assert_eq!(unknown(&history), 0);
    // A crash reads the journal again, and changes nothing more.
    let file = store::power_path(&lab.join("state/rrd"), store::file_stem(&probe("A")));
    let bytes = std::fs::read(&file).unwrap();
    drop(history);
    let history = open(&lab);
    history.tick(Duration::from_secs(500), at(600));
    assert_eq!((std::fs::read(&file).unwrap() == bytes, unknown(&history)), (true, 0));
}

#[test]
fn rows_of_which_the_journal_has_no_samples_any_more_stand() {
    let samples: Vec<FileSample> = (1..=600_u64)
        .map(|second| {
            let (watts, held) = (100.0 + (second % 7) as f64, Duration::from_secs(1));
            FileSample { at: at(second), watts, held, is_after_loss: false }
        })
        .collect();
    let max_gap = Duration::from_secs(60);
    let written = |first: usize, without: std::ops::Range<usize>| {
        let mut rrd = Which::Power.empty(START);
        let written = samples.iter().enumerate().filter(|(at, _)| *at >= first && !without.contains(at));
        let written: Vec<FileSample> = written.map(|(_, sample)| *sample).collect();
        store::apply(&mut rrd, &written, max_gap).unwrap();
        rrd
    };
    let mut rrd = written(0, 400..500);
    let expected = written(0, 0..0);
    // The journal begins long after the row of an hour that is made again.
    assert!(rrd.rework(START, &written(300, 400..500), &written(300, 0..0)));
    for archive in 0..rrd.archives().len() {
        let rows = |rrd: &Rrd| format!("{:?}", rrd.rows(archive, START, 600, None));
        assert_eq!(rows(&rrd), rows(&expected));
    }
}
