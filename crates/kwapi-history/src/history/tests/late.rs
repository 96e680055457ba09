//! Late samples: the files come to be as if they had come in order, and rrdtool reads them so.

use proptest::prelude::*;

use super::*;

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

/// Records `messages`, those of which `round_of` says so in later rounds, each before one of the last three, and compares the
/// files with those of a history that was told all in order.
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
        history.rework_all();
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
        // The first tells when the file begins.
        check(&messages, |at| if at == 0 { 0 } else { late[at] });
    }
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
    let told = |first: usize, without: std::ops::Range<usize>| {
        let mut rrd = Which::Power.empty(START);
        let told = samples.iter().enumerate().filter(|(at, _)| *at >= first && !without.contains(at));
        let told: Vec<FileSample> = told.map(|(_, sample)| *sample).collect();
        store::apply(&mut rrd, &told, max_gap).unwrap();
        rrd
    };
    let mut rrd = told(0, 400..500);
    let expected = told(0, 0..0);
    // The journal begins long after the row of an hour that is made again.
    assert!(rrd.rework(START, &told(300, 400..500), &told(300, 0..0)));
    for archive in 0..rrd.archives().len() {
        let rows = |rrd: &Rrd| format!("{:?}", rrd.rows(archive, START, 600, None));
        assert_eq!(rows(&rrd), rows(&expected));
    }
}
