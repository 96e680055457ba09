mod reading;
mod restarts;
pub(super) mod samples;
mod windows;

use kwapi_core::{Accounting, Decision, Energy, Quality, RowStep, SegmentKind, Totals, Watts};
use kwapi_peers::Lab;

use super::*;
use crate::journal::{Credited, Journal, JournalConfig, Taken};
use crate::{HistoryConfig, LedgerConfig, SamplesConfig};

const DAY: u64 = 20_700 * 86_400;

pub(super) fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(DAY + second)
}

pub(super) fn probe(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

/// A message each 10 s from second `from` to `to`, of so many watts; the session began at `from`.
pub(super) fn records(name: &str, from: u64, to: u64, watts: u64) -> Vec<Credited> {
    let mut records = Vec::new();
    for (seq, second) in (from..=to).step_by(10).enumerate() {
        let elapsed = second - from;
        let totals = Totals {
            energy: Energy::from_millijoules(elapsed * watts * 1_000),
            measured_ms: elapsed * 1_000,
            ..Totals::default()
        };
        let accounting = Accounting {
            timestamp: at(second),
            session: at(from),
            seq: seq as u64,
            totals,
            curve: None,
            meter: None,
            quality: Quality::Measured,
        };
        let decision = if seq == 0 {
            Decision::Begin { kind: SegmentKind::First, begin: at(from), base: Energy::ZERO }
        } else {
            Decision::Continue
        };
        records.push(Credited {
            probe: probe(name),
            at: at(second),
            power: Watts(watts as f64),
            voltage: None,
            current: None,
            accounting: Some(accounting),
            taken: Some(Taken { decision, register: totals }),
        });
    }
    records
}

pub(super) struct House {
    pub(super) lab: Lab,
    pub(super) query: Query,
    pub(super) journal: Journal,
}

pub(super) fn house(records: Vec<Credited>) -> House {
    let lab = Lab::empty();
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), at(0)).unwrap();
    journal.append(&Arc::new(records), at(0)).unwrap();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(at(0));
    ledger.write(at(0)).unwrap();
    House { lab, query: Query::new(ledger, None), journal }
}

fn energy_spans(house: &House, from: u64, to: u64, step: Option<u64>) -> Vec<EnergySpan> {
    let request = EnergyRequest {
        probes: vec![probe("a")],
        start: at(from),
        end: at(to),
        step: step.map_or(EnergyStep::Whole, |step| EnergyStep::Every(Duration::from_secs(step))),
        is_to_now: false,
        now: at(1_000_000),
    };
    let answer = house.query.energy(&request).unwrap();
    assert_eq!((answer.position, answer.unreadable.len()), (house.journal.end(), 0));
    answer.probes.into_iter().next().unwrap().spans
}

#[test]
fn between_any_two_ends_of_rows_it_is_exact() {
    // From 01:00 to 50 hours later, 40 W.
    let house = house(records("a", 3_600, 180_000, 40));
    for (from, to) in [(0, 200_000), (3_600, 7_200), (7_260, 180_000), (86_400, 172_800), (3_660, 86_400)] {
        let [span] = energy_spans(&house, from, to, None)[..] else { panic!("one span") };
        let measured = to.min(180_000) - from.max(3_600);
        assert_eq!(span.known.mj, [(measured * 40_000) as i64, 0, 0], "{from}..{to}");
        assert_eq!(span.known.ms, [(measured * 1_000) as i64, 0, 0], "{from}..{to}");
        assert_eq!((span.unknown_ms, span.absent_ms), (0, (to - from - measured) * 1_000), "{from}..{to}");
        assert!(!span.is_interpolated, "{from}..{to}");
    }
}

#[test]
fn within_a_row_it_is_in_proportion_and_reports_it_and_adds_up() {
    let house = house(records("a", 0, 3_600, 40));
    let [half] = energy_spans(&house, 90, 1_000, None)[..] else { panic!("one span") };
    assert!(half.is_interpolated);
    assert_eq!(half.known.mj, [910 * 40_000, 0, 0]);
    let [left, right, whole] = [(17, 1_003), (1_003, 2_999), (17, 2_999)]
        .map(|(from, to)| energy_spans(&house, from, to, None)[0].known.mj[0]);
    assert_eq!(left + right, whole);
}

#[test]
fn the_row_in_which_a_probe_was_first_received_begins_there() {
    let house = house(records("a", 30, 600, 40));
    let [first] = energy_spans(&house, 0, 40, None)[..] else { panic!("one span") };
    assert_eq!((first.known.mj[0], first.known.ms[0], first.absent_ms), (10 * 40_000, 10_000, 30_000));
    assert!(first.is_interpolated);
    let [before, after] = energy_spans(&house, 0, 40, Some(20))[..] else { panic!("two spans") };
    assert_eq!((before.peak, after.peak), (None, Some(Watts(40.0))), "before it there is no peak either");
}

#[test]
fn an_answer_in_parts_is_the_answer_at_once() {
    let mut all = records("a", 0, 7_200, 40);
    all.extend(records("b", 60, 7_200, 3));
    let house = house(all);
    let request = EnergyRequest {
        probes: vec![probe("b"), probe("nobody"), probe("a"), probe("a")],
        start: at(7),
        end: at(7_100),
        step: EnergyStep::Every(Duration::from_secs(60)),
        is_to_now: false,
        now: at(7_200),
    };
    let whole = house.query.energy(&request).unwrap();
    let mut batches = house.query.batches(&request).unwrap();
    assert_eq!(batches.position(), whole.position);
    let parts: Vec<ProbeEnergy> = std::iter::from_fn(|| batches.next_batch()).flatten().collect();
    assert_eq!(parts, whole.probes);
    assert_eq!(parts.iter().map(|of| of.probe.as_str()).collect::<Vec<_>>(), ["a", "b", "nobody"]);
    assert!(parts.iter().all(|of| of.spans.len() == 119));
    // What comes while it is read is not in it.
    let mut batches = house.query.batches(&request).unwrap();
    house.journal.append(&Arc::new(records("c", 0, 60, 1)), at(0)).unwrap();
    let LedgerSource::Running(ledger) = &house.query.source else { panic!("it runs") };
    ledger.catch_up(at(0));
    assert!(ledger.position() > whole.position);
    let parts: Vec<ProbeEnergy> = std::iter::from_fn(|| batches.next_batch()).flatten().collect();
    assert_eq!((parts, batches.position()), (whole.probes, whole.position));
}

#[test]
fn a_question_that_begins_and_ends_within_steps_has_each_probe_once_and_its_sums_in_order() {
    let mut all = records("a", 0, 7_200, 40);
    all.extend(records("b", 0, 7_200, 3));
    let house = house(all);
    // A step more than the time between them has.
    let request = EnergyRequest {
        probes: vec![probe("a"), probe("b")],
        start: at(50),
        end: at(7_150),
        step: EnergyStep::Every(Duration::from_secs(60)),
        is_to_now: false,
        now: at(7_200),
    };
    let answer = house.query.energy(&request).unwrap();
    let spans: Vec<_> = answer.probes.iter().map(|of| (of.probe.as_str(), of.spans.len())).collect();
    assert_eq!(spans, [("a", 120), ("b", 120)]);
    let mut members = SumMembers::new(1);
    ["a", "b"].iter().for_each(|name| members.add(&probe(name), 0, MemberCounts::In));
    let sums = house.query.sums(&request, &members).unwrap();
    for (place, sum) in sums.sums[0].iter().enumerate() {
        let of_probes = || answer.probes.iter().map(|of| &of.spans[place]);
        let seconds = sum.end.since(sum.start).as_secs();
        assert_eq!(sum.energy_mj(), of_probes().map(EnergySpan::energy_mj).sum::<i64>(), "span {place}");
        assert_eq!(sum.energy_mj(), (43_000 * seconds).cast_signed(), "span {place}");
    }
}

#[test]
fn a_sum_is_that_of_its_probes_less_what_is_counted_elsewhere() {
    let mut all = records("rack", 0, 3_600, 100);
    all.extend(records("rack.a", 0, 3_600, 30));
    let house = house(all);
    let request = EnergyRequest {
        probes: Vec::new(),
        start: at(0),
        end: at(3_600),
        step: EnergyStep::Whole,
        is_to_now: false,
        now: at(3_600),
    };
    let mut members = SumMembers::new(3);
    members.add(&probe("rack"), 0, MemberCounts::In);
    members.add(&probe("rack"), 1, MemberCounts::In);
    members.add(&probe("rack.a"), 1, MemberCounts::Away);
    members.add(&probe("rack.a"), 2, MemberCounts::In);
    let sums = house.query.sums(&request, &members).unwrap();
    let of = |sum: usize| (sums.sums[sum][0].energy_mj(), sums.sums[sum][0].known_ms());
    assert_eq!(of(0), (360_000_000, 3_600_000));
    assert_eq!(of(1), (252_000_000, 3_600_000), "its rest, over its own time");
    assert_eq!(of(2), (108_000_000, 3_600_000));
}

#[test]
fn a_file_that_cannot_be_read_marks_its_time_and_no_other() {
    let house = house(records("a", 0, 2 * 86_400 + 600, 10));
    let days = house.lab.join("ledger/step=day");
    let first = std::fs::read_dir(&days).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let file = std::fs::read_dir(first).unwrap().next().unwrap().unwrap().path();
    for bytes in [&b""[..], b"PAR1", b"no file of ours at all, but as long as one might be"] {
        std::fs::write(&file, bytes).unwrap();
        let request = EnergyRequest {
            probes: vec![probe("a")],
            start: at(0),
            end: at(2 * 86_400),
            step: EnergyStep::Every(Duration::from_secs(86_400)),
            is_to_now: false,
            now: at(3 * 86_400),
        };
        let answer = house.query.energy(&request).unwrap();
        let marks: Vec<_> = answer.probes[0].spans.iter().map(|span| span.is_incomplete).collect();
        assert_eq!(marks, [true, false]);
        let [unreadable] = &answer.unreadable[..] else { panic!("{:?}", answer.unreadable) };
        assert_eq!((unreadable.start, unreadable.end), (at(0), at(86_400)));
        assert!(unreadable.cause.contains(file.to_str().unwrap()), "{unreadable:?}");
        assert_eq!(answer.probes[0].spans[1].energy_mj(), 864_000_000);
    }
}

#[test]
fn a_stopped_ledger_shows_what_the_running_one_reported_and_changes_nothing() {
    let mut all = records("a", 0, 7_200, 40);
    all.extend(records("b", 60, 7_200, 3));
    let house = house(all);
    // Beyond what the ledger has written: a kill leaves it in the journal.
    let beyond = records("c", 0, 90, 5);
    house.journal.append(&Arc::new(beyond), at(0)).unwrap();
    let LedgerSource::Running(ledger) = &house.query.source else { panic!("it runs") };
    ledger.catch_up(at(0));
    let request = EnergyRequest {
        probes: ["a", "b", "c"].map(probe).into(),
        start: at(0),
        end: at(7_000),
        step: EnergyStep::Every(Duration::from_secs(900)),
        is_to_now: false,
        now: at(7_200),
    };
    let running = house.query.energy(&request).unwrap();
    let House { lab, query, journal } = house;
    assert!(
        matches!(crate::StoppedLedger::open(lab.path()), Err(crate::OpenError::InUse(_))),
        "it is in use"
    );
    drop((query, journal));
    let listed = || {
        let mut all = Vec::new();
        let mut folders = vec![lab.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    all.push((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
        all.sort();
        all
    };
    let before = listed();
    let stopped = kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        crate::StoppedLedger::open(lab.path()).ok()
    });
    let query = Query::of_stopped(stopped, None);
    assert_eq!(query.probes(), ["a", "b", "c"].map(probe));
    assert_eq!(query.energy(&request).unwrap(), running);
    assert_eq!(listed(), before);
    std::fs::write(lab.join("ledger-open"), b"spoiled").unwrap();
    std::fs::write(lab.join("ledger-open.before"), b"spoiled").unwrap();
    let error = crate::StoppedLedger::open(lab.path()).unwrap_err();
    assert!(kwapi_core::chain(&error).contains("are damaged"), "{error:?}");
    assert!(crate::StoppedLedger::open(&lab.join("nowhere")).is_err());
}

#[test]
fn spans_of_a_step_meet_and_add_up() {
    let house = house(records("a", 0, 100_000, 25));
    let spans = energy_spans(&house, 1_000, 99_000, Some(3_600));
    assert_eq!((spans.len(), spans[1].start, spans[27].end), (28, at(3_600), at(99_000)));
    assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start));
    let sum: i64 = spans.iter().map(|span| span.known.mj[0]).sum();
    assert_eq!(sum, energy_spans(&house, 1_000, 99_000, None)[0].known.mj[0]);
    assert_eq!(sum, 98_000 * 25_000);
}

#[test]
fn what_the_ledger_has_not_received_is_absent_and_what_was_lost_unknown() {
    let mut all = records("a", 0, 600, 10);
    // A second session, an hour later: nothing is known of the time between.
    let mut later = records("a", 4_200, 4_800, 10);
    for record in &mut later {
        let taken = record.taken.as_mut().unwrap();
        taken.register.energy = taken.register.energy.saturating_add(Energy::from_millijoules(6_000_000));
        if record.accounting.unwrap().seq == 0 {
            taken.decision =
                Decision::Begin { kind: SegmentKind::Follower, begin: at(4_200), base: Energy::ZERO };
        }
    }
    all.extend(later);
    let house = house(all);
    let [span] = energy_spans(&house, 0, 6_000, None)[..] else { panic!("one span") };
    assert_eq!((span.known.mj[0], span.known.ms[0]), (12_000_000, 1_200_000));
    assert_eq!((span.unknown_ms, span.absent_ms), (3_600_000, 1_200_000));
    let nobody = EnergyRequest {
        probes: vec![probe("nobody")],
        start: at(0),
        end: at(60),
        step: EnergyStep::Whole,
        is_to_now: false,
        now: at(60),
    };
    let answer = house.query.energy(&nobody).unwrap();
    assert_eq!((answer.probes[0].since, answer.probes[0].spans[0].absent_ms), (None, 60_000));
}

#[test]
fn a_question_that_makes_no_sense_is_reported() {
    let house = house(records("a", 0, 60, 10));
    let refusal = |from, to, step: Option<Duration>| {
        let step = step.map_or(EnergyStep::Whole, EnergyStep::Every);
        let refusal = EnergyRequest {
            probes: vec![probe("a")],
            start: at(from),
            end: at(to),
            step,
            is_to_now: false,
            now: at(60),
        };
        house.query.energy(&refusal).map(|_| ())
    };
    assert_eq!(refusal(60, 0, None), Err(EnergyRequestError::Reversed));
    assert_eq!(refusal(60, 60, None), Err(EnergyRequestError::Reversed));
    assert_eq!(refusal(0, 60, Some(Duration::from_millis(1))), Err(EnergyRequestError::Step));
    assert!(matches!(
        refusal(0, 86_400 * 400, Some(Duration::from_secs(1))),
        Err(EnergyRequestError::TooMany { .. })
    ));
}

#[test]
fn rows_are_cut_where_nothing_finer_is_kept() {
    let mut cover = Cover::default();
    let hour = 3_600_000;
    // Minutes from 10:00 on, quarter hours from 05:00 on.
    cover.span(0, hour / 2, 10 * hour + 90_000, [10 * hour, 5 * hour]);
    let steps: Vec<_> = cover.ranges().iter().map(|(step, ..)| *step).collect();
    assert_eq!(steps, [RowStep::Day], "before five there is nothing but days");
    let mut cover = Cover::default();
    cover.span(0, 5 * hour + 60_000, 10 * hour + 90_000, [10 * hour, 5 * hour]);
    let ranges = cover.ranges();
    assert_eq!(ranges[0], (RowStep::Minute, 10 * hour, 10 * hour + 120_000));
    assert_eq!(ranges[1], (RowStep::Quarter, 5 * hour, 10 * hour));
}

#[test]
fn a_file_that_begins_with_the_ledger_adds_nothing_before_it() {
    let lab = Lab::empty();
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), at(0)).unwrap();
    journal.append(&Arc::new(records("a", 100, 700, 50)), at(0)).unwrap();
    let history = Arc::new(History::open(HistoryConfig::default(), &journal).unwrap());
    history.catch_up();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(at(0));
    let query = Query::new(ledger, Some(history));
    let request = EnergyRequest {
        probes: vec![probe("a")],
        start: at(0),
        end: at(700),
        step: EnergyStep::Whole,
        is_to_now: false,
        now: at(700),
    };
    let span = query.energy(&request).unwrap().probes[0].spans[0];
    assert_eq!((span.rrd_mj, span.rrd_ms, span.absent_ms), (0, 0, 100_000));
    assert_eq!(span.energy_mj(), 600 * 50_000);
}

#[test]
fn before_the_ledger_the_rrd_file_answers_and_is_marked() {
    let lab = Lab::empty();
    let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), at(0)).unwrap();
    let all = records("a", 0, 7_200, 50);
    journal.append(&Arc::new(all[..360].to_vec()), at(0)).unwrap();
    let history = Arc::new(History::open(HistoryConfig::default(), &journal).unwrap());
    history.catch_up();
    // The ledger is begun after the first hour: its reader has nothing of that.
    journal.bookmark("ledger", crate::journal::Need::Required).commit(journal.end()).unwrap();
    journal.append(&Arc::new(all[360..].to_vec()), at(0)).unwrap();
    history.catch_up();
    let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
    ledger.catch_up(at(0));
    let query = Query::new(ledger, Some(history));
    let question = EnergyRequest {
        probes: vec![probe("a")],
        start: at(0),
        end: at(7_200),
        step: EnergyStep::Whole,
        is_to_now: false,
        now: at(7_200),
    };
    let answer = query.energy(&question).unwrap();
    let span = answer.probes[0].spans[0];
    assert_eq!(answer.probes[0].since, Some(at(3_600)));
    assert_eq!(span.known.mj[0], 3_600 * 50_000);
    let of_rrd = span.rrd_mj as f64 / 1e6;
    assert!((179.0..=180.0).contains(&of_rrd), "{of_rrd} kJ");
    assert_eq!(span.energy_mj(), span.known.mj[0] + span.rrd_mj);
}
