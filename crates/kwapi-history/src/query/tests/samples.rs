//! Within a row of the ledger, by the samples.

use super::*;

/// As [`house`], with samples.
pub(in crate::query) fn house_with_samples(
    records: Vec<Credited>,
    is_written: bool,
) -> (House, Arc<Samples>) {
    let house = house(records);
    let samples = Arc::new(Samples::open(SamplesConfig::default(), &house.journal).unwrap());
    samples.catch_up(at(0));
    if is_written {
        samples.write(at(0)).unwrap();
    }
    let query = house.query.with_samples(Some(samples.clone()));
    (House { query, ..house }, samples)
}

/// A message every ten seconds of a probe whose power is never the same, with stamps beside the second.
pub(in crate::query) fn unsteady(name: &str, to: u64) -> Vec<Credited> {
    let mut all = records(name, 0, to, 1);
    let (mut used, mut before) = (0, 0);
    for (n, record) in all.iter_mut().enumerate() {
        let ms = n as u64 * 10_000 + (n as u64 * 37 % 400);
        let watts = (n * n % 300) as u64;
        used += watts * (ms - before);
        before = ms;
        let stamp = at(0).after(Duration::from_millis(ms));
        let accounting = record.accounting.as_mut().unwrap();
        (accounting.totals.energy, accounting.totals.measured_ms) = (Energy::from_millijoules(used), ms);
        (accounting.timestamp, record.at, record.power) = (stamp, stamp, Watts(watts as f64));
        record.taken.as_mut().unwrap().register = accounting.totals;
    }
    all
}

/// Millijoules between two instants, derived from the records alone: even between two stamps.
fn truth(records: &[Credited], from: u64, to: u64) -> f64 {
    let total = |record: &Credited| record.taken.unwrap().register.energy.millijoules() as f64;
    let ms = |record: &Credited| record.at.since(at(0)).as_micros() as f64 / 1e3;
    let of_pair = |pair: &[Credited]| {
        let (begin, end) = (ms(&pair[0]), ms(&pair[1]));
        let overlap = (end.min(to as f64) - begin.max(from as f64)).max(0.0);
        (total(&pair[1]) - total(&pair[0])) * overlap / (end - begin)
    };
    records.windows(2).map(of_pair).sum()
}

fn answer_ms(house: &House, from: u64, to: u64, step: Option<u64>) -> Answer {
    let instant = |ms| at(0).after(Duration::from_millis(ms));
    let step = step.map_or(EnergyStep::Whole, |step| EnergyStep::Every(Duration::from_millis(step)));
    let request = EnergyRequest {
        probes: vec![probe("a")],
        start: instant(from),
        end: instant(to),
        step,
        is_to_now: false,
        now: instant(to + 1_000_000_000),
    };
    house.query.energy(&request).unwrap()
}

#[test]
fn between_any_two_instants_it_is_what_the_samples_report() {
    let records = unsteady("a", 8_000);
    for is_written in [false, true] {
        let (house, _samples) = house_with_samples(records.clone(), is_written);
        for (from, to) in
            [(1, 2), (60_001, 119_999), (12_345, 3_601_017), (3_599_990, 3_600_010), (901_000, 7_990_123)]
        {
            let answer = answer_ms(&house, from, to, None);
            let span = answer.probes[0].spans[0];
            let true_mj = truth(&records, from, to);
            assert!((span.known.mj[0] as f64 - true_mj).abs() <= 2.0, "{from}..{to}: {span:?}, {true_mj} mJ");
            assert_eq!((span.is_interpolated, span.unknown_ms), (false, 0), "{from}..{to}");
            assert_eq!((answer.without_samples, answer.unreadable), (vec![], vec![]));
        }
        // Spans meet, and add up to what they are of.
        let spans = answer_ms(&house, 17, 7_000_003, Some(7_777)).probes[0].spans.clone();
        let sum: i64 = spans.iter().map(|span| span.known.mj[0]).sum();
        let ms: i64 = spans.iter().map(|span| span.known.ms[0]).sum();
        let whole = answer_ms(&house, 17, 7_000_003, None).probes[0].spans[0].known;
        assert_eq!((sum, ms), (whole.mj[0], whole.ms[0]));
        assert!(spans.iter().all(|span| !span.is_interpolated));
    }
}

#[test]
fn a_stop_in_a_row_leaves_the_energy_beside_it_where_it_was() {
    // Forty seconds without a reading, of which the register gives the energy.
    let mut records = unsteady("a", 8_000);
    let total = |record: &Credited| record.taken.unwrap().register;
    let (before, after) = (total(&records[396]), total(&records[400]));
    let bridged = Energy::from_millijoules(after.energy.millijoules() - before.energy.millijoules());
    let bridged_ms = after.measured_ms - before.measured_ms;
    records.drain(397..400);
    for (n, record) in records.iter_mut().enumerate().skip(397) {
        let accounting = record.accounting.as_mut().unwrap();
        accounting.seq = n as u64;
        accounting.totals.measured_ms -= bridged_ms;
        (accounting.totals.bridged, accounting.totals.bridged_ms) = (bridged, bridged_ms);
        record.taken.as_mut().unwrap().register = accounting.totals;
    }
    let (house, _samples) = house_with_samples(records.clone(), true);
    // The row of minute 66 begins at 3 960 s, in which the stop begins and ends.
    for (from, to) in [(3_900_000, 3_955_000), (3_941_000, 3_963_500), (3_970_000, 3_999_000), (1, 4_010_777)]
    {
        let answer = answer_ms(&house, from, to, None);
        let span = answer.probes[0].spans[0];
        let true_mj = truth(&records, from, to);
        assert!((span.energy_mj() as f64 - true_mj).abs() <= 3.0, "{from}..{to}: {span:?}, {true_mj} mJ");
        assert_eq!((span.is_interpolated, answer.without_samples), (false, vec![]), "{from}..{to}");
    }
    let beside = answer_ms(&house, 4_001_000, 4_019_000, None).probes[0].spans[0];
    assert_eq!((beside.known.mj[2], beside.known.ms[2]), (0, 0), "{beside:?}");
    let within = answer_ms(&house, 3_970_000, 3_980_000, None).probes[0].spans[0];
    assert_eq!((within.known.mj[0], within.known.ms[2]), (0, 10_000), "{within:?}");
}

#[test]
fn the_same_without_samples_is_far_from_it() {
    let records = unsteady("a", 8_000);
    let house = house(records.clone());
    let answer = answer_ms(&house, 60_001, 75_000, None);
    let span = answer.probes[0].spans[0];
    assert!(
        span.is_interpolated && (span.known.mj[0] as f64 - truth(&records, 60_001, 75_000)).abs() > 1_000.0
    );
    assert_eq!(answer.without_samples, [], "none are kept");
}

#[test]
fn an_hour_whose_samples_are_damaged_is_named_and_taken_in_proportion() {
    let (house, _samples) = house_with_samples(unsteady("a", 8_000), true);
    let folder = house.journal.home().join("samples").join("date=2026-09-04/hour=01");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, b"PAR1").unwrap();
    let answer = answer_ms(&house, 1_010, 3_800_500, None);
    assert_eq!(answer.without_samples, [at(3_600)]);
    let span = answer.probes[0].spans[0];
    assert!(span.is_interpolated);
    let whole = answer_ms(&house, 0, 3_840_000, None).probes[0].spans[0].known.mj[0];
    let parts = [(0, 1_010), (1_010, 3_800_500), (3_800_500, 3_840_000)]
        .map(|(from, to)| answer_ms(&house, from, to, None).probes[0].spans[0].known.mj[0]);
    assert_eq!(parts.iter().sum::<i64>(), whole);
}

#[test]
fn a_probe_with_a_long_interval_has_its_samples_looked_for_further_away() {
    let all = records("a", 0, 30_000, 40);
    let mut seldom: Vec<Credited> = all.into_iter().step_by(130).collect(); // 1 300 s
    for (seq, record) in seldom.iter_mut().enumerate() {
        record.accounting.as_mut().unwrap().seq = seq as u64;
    }
    let (house, _samples) = house_with_samples(seldom, true);
    let answer = answer_ms(&house, 1_299_500, 1_300_500, None);
    let span = answer.probes[0].spans[0];
    assert_eq!((span.known.mj[0], span.is_interpolated), (40_000, false));
}

#[test]
fn of_a_stopped_service_samples_report_what_they_reported_while_it_ran() {
    for is_written in [false, true] {
        let (house, samples) = house_with_samples(unsteady("a", 8_000), is_written);
        let spans = [(0, 7_999_000), (61_003, 122_001), (3_700_500, 3_701_250), (7_990_111, 7_995_222)];
        let answers = |house: &House| spans.map(|(from, to)| answer_ms(house, from, to, None).probes);
        let running = answers(&house);
        assert!(running.iter().all(|probes| !probes[0].spans[0].is_interpolated), "{running:?}");
        let House { lab, query, journal } = house;
        drop((query, samples));
        let place = lab.path().to_owned();
        drop(journal);
        let ledger = crate::StoppedLedger::open(&place).unwrap();
        let stopped = crate::StoppedSamples::open(&place).unwrap();
        let query = Query::of_stopped(ledger, Some(stopped));
        let (journal, _) = Journal::open(Lab::empty().path(), JournalConfig::default(), at(0)).unwrap();
        assert_eq!(answers(&House { lab, query, journal }), running, "written: {is_written}");
    }
}
