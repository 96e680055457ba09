use std::sync::Arc;
use std::time::Duration;

use kwapi_core::meters_above;

use super::super::tests::samples::{house_with_samples, unsteady};
use super::super::tests::{House, at, probe, records};
use super::super::{EnergyStep, LedgerSource};
use super::*;
use crate::journal::{Credited, Journal, JournalConfig};
use crate::{History, HistoryConfig, Samples, SamplesConfig};

fn question(probes: &[&str], from: u64, to: u64) -> EnergyRequest {
    let probes = probes.iter().map(|name| probe(name)).collect();
    EnergyRequest {
        probes,
        start: at(from),
        end: at(to),
        step: EnergyStep::Whole,
        is_to_now: false,
        now: at(to),
    }
}

/// Spans of so many seconds, the last one shorter.
fn spans(from: u64, to: u64, step: usize) -> Vec<(Timestamp, Timestamp)> {
    (from..to).step_by(step).map(|begin| (at(begin), at((begin + step as u64).min(to)))).collect()
}

fn power(query: &Query, probes: &[&str], from: u64, to: u64, step: usize) -> Vec<Vec<PowerSpan>> {
    let request = question(probes, from, to);
    query.power(&request, None).unwrap().of_probes(&request.probes, &spans(from, to, step))
}

/// Least, mean and most watts and the share known between two seconds, by the records alone.
fn truth(records: &[Credited], from: u64, to: u64) -> (f64, f64, f64, f64) {
    let seconds = |record: &Credited| record.at.since(at(0)).as_secs_f64();
    let (mut sum, mut known, mut ends) = (0.0, 0.0, (f64::MAX, f64::MIN));
    for pair in records.windows(2) {
        let overlap = seconds(&pair[1]).min(to as f64) - seconds(&pair[0]).max(from as f64);
        if overlap > 0.0 {
            let watts = pair[1].power.0;
            (sum, known) = (sum + watts * overlap, known + overlap);
            ends = (ends.0.min(watts), ends.1.max(watts));
        }
    }
    (ends.0, sum / known, ends.1, known / (to - from) as f64)
}

#[test]
fn samples_report_least_mean_and_most_of_each_span() {
    let all = unsteady("a", 8_000);
    for is_written in [false, true] {
        let (house, _samples) = house_with_samples(all.clone(), is_written);
        for (from, to, step) in [(0, 8_000, 61), (3_595, 3_605, 1), (17, 7_777, 8_000)] {
            let rows = power(&house.query, &["a"], from, to, step);
            for (span, (begin, end)) in rows[0].iter().zip(spans(from, to, step)) {
                let second = |at: Timestamp| at.seconds() - super::super::tests::at(0).seconds();
                let (min, mean, max, share) = truth(&all, second(begin), second(end));
                let near = |rows: Option<Watts>, true_watts: f64| (rows.unwrap().0 - true_watts).abs() < 1e-6;
                assert!(
                    near(span.min, min) && near(span.mean, mean) && near(span.max, max),
                    "{span:?} {mean}"
                );
                assert!((span.known_share - share).abs() < 1e-9, "{begin:?}: {span:?}");
                assert_eq!((span.has_samples, span.has_rrd), (true, false));
            }
        }
    }
}

#[test]
fn what_is_read_a_little_at_a_time_is_the_same() {
    let mut all = unsteady("a", 8_000);
    all.extend(unsteady("b", 8_000));
    let (house, _samples) = house_with_samples(all, true);
    let request = question(&["a", "b"], 0, 8_000);
    let spans = spans(0, 8_000, 600);
    let whole = house.query.power(&request, None).unwrap().of_probes(&request.probes, &spans);
    let mut little = house.query.power(&request, None).unwrap();
    little.points_max = 9;
    for (whole, little) in
        whole.iter().flatten().zip(little.of_probes(&request.probes, &spans).iter().flatten())
    {
        // The order in which numbers are added shows in the last digit.
        assert!((whole.mean.unwrap().0 - little.mean.unwrap().0).abs() < 1e-9);
        assert_eq!((whole.min, whole.max), (little.min, little.max));
        assert!((whole.known_share - little.known_share).abs() < 1e-9);
    }
}

#[test]
fn time_without_samples_is_unknown_and_counted() {
    let mut all = records("a", 0, 600, 10);
    all.extend(records("a", 900, 1_200, 20));
    let (house, _samples) = house_with_samples(all, false);
    let rows = power(&house.query, &["a", "nobody"], 0, 1_500, 300);
    let shares: Vec<_> =
        rows[0].iter().map(|span| (span.mean.map(|mean| mean.0), span.known_share)).collect();
    let expected = [(Some(10.0), 1.0), (Some(10.0), 1.0), (None, 0.0), (Some(20.0), 1.0), (None, 0.0)];
    assert_eq!(shares, expected);
    assert!(rows[1].iter().all(|span| *span == PowerSpan::default()));
}

#[test]
fn a_probe_with_a_long_interval_is_known_between_its_samples() {
    // Every 300 s, a restart that read twice at once, and later an hour of nothing.
    let mut all: Vec<Credited> = records("a", 0, 18_000, 40).into_iter().step_by(30).collect();
    all.retain(|record| !(at(6_001)..at(9_899)).contains(&record.at));
    let mut again = all[5].clone();
    again.at = again.at.after(Duration::from_secs(1));
    all.insert(6, again);
    for (seq, record) in all.iter_mut().enumerate() {
        record.accounting.as_mut().unwrap().seq = seq as u64;
    }
    let (house, _samples) = house_with_samples(all, true);
    let shares: Vec<f64> =
        power(&house.query, &["a"], 0, 18_000, 3_000)[0].iter().map(|span| span.known_share).collect();
    assert_eq!(shares, [1.0, 1.0, 0.0, 0.7, 1.0, 1.0]);
}

/// An hour of a probe with an RRD file, and samples of its second half.
fn house_with_both() -> (House, Arc<Samples>) {
    let lab = kwapi_peers::Lab::empty();
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), at(0)).unwrap();
    let mut all = unsteady("a", 3_600);
    let late = all.split_off(180);
    journal.append(&Arc::new(all), at(0)).unwrap();
    let history = Arc::new(History::open(HistoryConfig::default(), &journal).unwrap());
    // What was before is not in the samples.
    journal.bookmark("samples", crate::journal::Need::Required).commit(journal.end()).unwrap();
    let samples = Arc::new(Samples::open(SamplesConfig::default(), &journal).unwrap());
    journal.append(&Arc::new(late), at(0)).unwrap();
    history.catch_up();
    samples.catch_up(at(0));
    samples.write(at(0)).unwrap();
    let ledger = Arc::new(crate::Ledger::open(crate::LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(at(0));
    let query = Query::new(ledger, Some(history)).with_samples(Some(samples.clone()));
    assert!(matches!(query.source, LedgerSource::Running(_)));
    (House { lab, query, journal }, samples)
}

#[test]
fn before_the_samples_the_rrd_file_reports_and_the_source_is_named() {
    let (house, _samples) = house_with_both();
    let all = unsteady("a", 3_600);
    let rows = power(&house.query, &["a"], 0, 3_600, 600);
    let sources: Vec<_> = rows[0].iter().map(|span| (span.has_samples, span.has_rrd)).collect();
    // The first sample is at 1 800 s and some.
    assert_eq!(sources[..3], [(false, true); 3]);
    assert_eq!((sources[3], sources[5]), ((true, true), (true, false)));
    for (n, span) in rows[0].iter().enumerate() {
        let (min, mean, max, _) = truth(&all, n as u64 * 600, (n as u64 + 1) * 600);
        let (least, rows, most) = (span.min.unwrap().0, span.mean.unwrap().0, span.max.unwrap().0);
        assert!((rows - mean).abs() < mean / 100.0, "{n}: {rows} W, not {mean}");
        assert!(least >= min - 1e-6 && most <= max + 1e-6 && least < rows && rows < most, "{n}: {span:?}");
        assert!(span.known_share > 0.97, "{n}: {span:?}");
    }
}

#[test]
fn an_hour_whose_samples_are_damaged_is_named_and_reported_by_the_rrd_file() {
    let (house, _samples) = house_with_both();
    let folder = house.journal.home().join("samples").join("date=2026-09-04/hour=00");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"PAR1").unwrap();
    let request = EnergyRequest { now: at(3_600), ..question(&["a"], 2_400, 3_000) };
    let mut query = house.query.power(&request, None).unwrap();
    let [span] = query.of_probes(&request.probes, &[(request.start, request.end)])[0][..] else {
        panic!("one span")
    };
    assert_eq!((span.has_samples, span.has_rrd), (false, true));
    let (_, mean, ..) = truth(&unsteady("a", 3_600), 2_400, 3_000);
    assert!((span.mean.unwrap().0 - mean).abs() < mean / 100.0);
    assert_eq!(query.unreadable().iter().map(|file| file.hour).collect::<Vec<_>>(), [at(0)]);
}

/// Of sums of `members` (a name with the sums it is in) least, mean, most and share of each of five minutes.
fn sums(
    query: &Query,
    members: &[(&str, &[usize])],
    count: usize,
    takes_away: bool,
    (from, to): (u64, u64),
) -> Vec<Vec<(f64, f64, f64, f64)>> {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let request = question(&names, from, to);
    let of: Vec<Vec<usize>> = members.iter().map(|(_, sums)| sums.to_vec()).collect();
    let members = PowerMembers::new(&request.probes, &meters_above(&request.probes), &of, count, takes_away);
    let rows = query.power(&request, Some(&members)).unwrap().of_sums(&members, &spans(from, to, 300));
    let watts = |watts: Option<Watts>| watts.map_or(f64::NAN, |watts| watts.0);
    let row = |span: &PowerSpan| (watts(span.min), watts(span.mean), watts(span.max), span.known_share);
    rows.iter().map(|spans| spans.iter().map(row).collect()).collect()
}

#[test]
fn a_sum_is_taken_second_by_second_of_the_probes_not_silent_then() {
    let mut all = records("g.a", 0, 600, 10);
    all.extend(records("g.b", 0, 300, 20));
    all.extend(records("g.b", 450, 600, 20));
    let (house, _samples) = house_with_samples(all, true);
    let rows = sums(&house.query, &[("g.a", &[0]), ("g.b", &[0])], 1, false, (0, 600));
    assert_eq!(rows, [[(30.0, 30.0, 30.0, 1.0), (10.0, 20.0, 30.0, 0.75)]]);
    // At no time were both at their most.
    let (house, _samples) = house_with_samples([unsteady("g.a", 600), unsteady("g.b", 600)].concat(), true);
    let alone = power(&house.query, &["g.a"], 0, 600, 300);
    let rows = sums(&house.query, &[("g.a", &[0]), ("g.b", &[0])], 1, false, (0, 600));
    for (one, (_, mean, most, share)) in alone[0].iter().zip(&rows[0]) {
        assert!(
            (2.0 * one.mean.unwrap().0 - mean).abs() < 0.5 && *most <= 2.0 * one.max.unwrap().0,
            "{rows:?}"
        );
        assert!(*share > 0.99);
    }
}

#[test]
fn a_meter_counts_in_place_of_those_below_it_while_it_is_known() {
    let mut all = records("r", 0, 300, 100);
    all.extend(records("r.a", 0, 600, 30));
    all.extend(records("r.b", 0, 150, 40));
    let (house, _samples) = house_with_samples(all, true);
    let members: [(&str, &[usize]); 3] = [("r", &[0]), ("r.a", &[0]), ("r.b", &[0])];
    let rows = sums(&house.query, &members, 1, false, (0, 600));
    assert_eq!(rows, [[(100.0, 100.0, 100.0, 1.0), (30.0, 30.0, 30.0, 0.5)]]);
    // By label what is below counts for its own, and the meter's has the rest, while the meter is known.
    let members: [(&str, &[usize]); 3] = [("r", &[0]), ("r.a", &[1]), ("r.b", &[0])];
    let rows = sums(&house.query, &members, 2, true, (0, 300));
    assert_eq!(rows, [[(70.0, 70.0, 70.0, 1.0)], [(30.0, 30.0, 30.0, 1.0)]]);
}

#[test]
fn a_sum_before_the_samples_is_of_the_rrd_files() {
    let (house, _samples) = house_with_both();
    let rows = sums(&house.query, &[("a", &[0])], 1, false, (0, 3_600));
    for (n, (_, mean, _, share)) in rows[0].iter().enumerate() {
        let (_, true_mean, ..) = truth(&unsteady("a", 3_600), n as u64 * 300, (n as u64 + 1) * 300);
        assert!(
            (mean - true_mean).abs() < true_mean / 30.0 && *share > 0.95,
            "{n}: {mean} W, not {true_mean}"
        );
    }
    assert_eq!(rows[0].len(), 12);
}

#[test]
fn what_is_too_much_is_refused_before_anything_is_read() {
    let (house, _samples) = house_with_samples(records("a", 0, 600, 10), true);
    let request =
        EnergyRequest { step: EnergyStep::Every(Duration::from_secs(1)), ..question(&["a"], 0, 2_000_000) };
    assert!(matches!(
        house.query.power(&request, None),
        Err(EnergyRequestError::TooMany { max: ROWS_MAX, .. })
    ));
    let request = question(&["a"], 0, 3_600 * (SAMPLE_HOURS_MAX + 1));
    let refused = house.query.power(&request, None).unwrap_err();
    assert_eq!(
        refused,
        EnergyRequestError::TooManySamples { hours: SAMPLE_HOURS_MAX + 1, max: SAMPLE_HOURS_MAX }
    );
    assert!(house.query.power(&question(&["a"], 0, 3_600 * SAMPLE_HOURS_MAX), None).is_ok());
}
