use super::*;
use crate::ledger::tests::World;

/// The windows of graphs that are looked at `now`: how long, and at which seconds they begin.
fn windows(now: u64) -> Vec<(Timestamp, Timestamp)> {
    [(300, 1), (3_600, 10), (86_400, 900), (604_800, 7_200)]
        .map(|(length, grain)| {
            let end = now.div_ceil(grain) * grain;
            (Timestamp::from_seconds(end - length), Timestamp::from_seconds(end))
        })
        .into()
}

struct Watched {
    _lab: Lab,
    journal: Journal,
    ledger: Arc<Ledger>,
    query: Query,
    windows: Windows,
}

impl Watched {
    fn new() -> Self {
        let lab = Lab::empty();
        let (journal, _) = Journal::open(lab.path(), JournalConfig::default(), at(0)).unwrap();
        let ledger = Arc::new(Ledger::open(LedgerConfig::default(), &journal).unwrap());
        let query = Query::new(ledger.clone(), None);
        let windows = Windows::new(query.clone());
        Self { _lab: lab, journal, ledger, query, windows }
    }

    fn take(&self, records: &[Credited]) {
        self.journal.append(&Arc::new(records.to_vec()), at(0)).unwrap();
        self.ledger.catch_up(at(0));
    }

    /// Compares each window with the same query from scratch.
    #[track_caller]
    fn check(&self, now: u64) -> WindowsAnswer {
        let (probes, windows) = (self.query.probes(), windows(now));
        let answer = self.windows.energy(&probes, &windows, Timestamp::from_seconds(now));
        assert_eq!(answer.position, self.journal.end());
        for (window, (start, end)) in windows.iter().enumerate() {
            let (start, end) = (*start, *end);
            let request = EnergyRequest {
                probes: probes.clone(),
                start,
                end,
                step: EnergyStep::Whole,
                is_to_now: true,
                now: end,
            };
            for of in self.query.energy(&request).unwrap().probes {
                let expected = WindowEnergy::of(&of.spans[0]);
                assert_eq!(
                    answer.window(window, &of.probe),
                    Some(expected),
                    "{} {start:?} {end:?}",
                    of.probe
                );
            }
        }
        answer
    }
}

#[test]
fn a_window_shows_what_the_question_repeated_does_with_late_messages_and_restarts() {
    let (watched, world) = (Watched::new(), World::of_a_day());
    let (mut newest, mut registers) = (0, BTreeMap::new());
    for (n, records) in world.records.chunks(13).enumerate() {
        watched.take(records);
        for record in records {
            newest = newest.max(record.at.seconds());
            registers.insert(record.probe.clone(), record.taken.unwrap().register.energy);
        }
        if n % 4 == 1 {
            watched.ledger.write(at(0)).unwrap();
        }
        let answer = watched.check(newest);
        for (probe, register) in &registers {
            assert_eq!(answer.total(probe).unwrap().0, *register, "the account's total, to the millijoule");
        }
    }
    assert!(watched.ledger.counters().corrections > 10, "{:?}", watched.ledger.counters());
}

#[test]
fn what_happens_in_a_window_is_reported_without_reading_files() {
    let watched = Watched::new();
    watched.take(&records("a", 0, 90_000, 40));
    watched.ledger.write(at(0)).unwrap();
    let now = at(90_001).seconds();
    let before = watched.check(now);
    for step in ["step=minute", "step=quarter", "step=day"] {
        std::fs::remove_dir_all(watched.journal.home().join("ledger").join(step)).unwrap();
    }
    let more: Vec<_> = records("a", 0, 90_500, 40).into_iter().skip(9_001).collect();
    watched.take(&more);
    let after =
        watched.windows.energy(&[probe("a")], &windows(now)[2..3], Timestamp::from_seconds(now + 500));
    let WindowEnergy::Ledger(then) = before.windows[2][0] else { panic!("{before:?}") };
    assert_eq!(after.windows[0][0], WindowEnergy::Ledger(then + 500 * 40 * 1_000));
    // Another window is read from the files.
    let later = windows(now + 3_600);
    let after = watched.windows.energy(&[probe("a")], &later[2..3], Timestamp::from_seconds(now + 3_600));
    assert_eq!(after.windows[0][0], WindowEnergy::Unreadable);
}

#[test]
fn a_probe_that_the_ledger_does_not_have_has_no_total_and_no_energy() {
    let watched = Watched::new();
    watched.take(&records("a", 0, 100, 40));
    let answer = watched.windows.energy(&[probe("b"), probe("a")], &windows(at(100).seconds()), at(100));
    assert_eq!(answer.probes, [probe("a"), probe("b")]);
    assert_eq!(
        (answer.total(&probe("b")), answer.window(0, &probe("b"))),
        (None, Some(WindowEnergy::Unknown))
    );
    assert_eq!(answer.total(&probe("a")), Some((Energy::from_millijoules(4_000_000), at(0))));
    assert_eq!((answer.window(0, &probe("c")), answer.window(9, &probe("a"))), (None, None));
}

impl Watched {
    /// Compares how sure the stretches of each window are with the same query from scratch.
    #[track_caller]
    fn check_statuses(&self, now: u64) {
        for probe in self.query.probes() {
            for ((start, end), step) in windows(now).into_iter().zip([60, 60, 900, 7_200]) {
                let (step, now) = (Duration::from_secs(step), Timestamp::from_seconds(now));
                let whole = |seconds: u64| Timestamp::from_seconds(seconds * step.as_secs());
                let from = whole(start.seconds() / step.as_secs());
                let to = whole(end.seconds().div_ceil(step.as_secs()));
                let request = EnergyRequest {
                    probes: vec![probe.clone()],
                    start: from,
                    end: to,
                    step: EnergyStep::Every(step),
                    is_to_now: false,
                    now,
                };
                let expected = self.query.energy(&request).unwrap().probes.pop().unwrap().spans;
                let spans = self.windows.statuses(&probe, (start, end), step, now).unwrap();
                assert_eq!(spans, expected, "{probe} {start:?} {step:?}");
            }
        }
    }
}

#[test]
fn stretches_report_what_the_question_repeated_does_and_those_that_are_over_are_kept() {
    let (watched, world) = (Watched::new(), World::of_a_day());
    let mut newest = 0;
    for (n, records) in world.records.chunks(29).enumerate() {
        watched.take(records);
        newest = records.iter().fold(newest, |newest, record| newest.max(record.at.seconds()));
        if n % 3 == 1 {
            watched.ledger.write(at(0)).unwrap();
        }
        watched.check_statuses(newest);
    }
    assert!(watched.ledger.counters().corrections > 10, "{:?}", watched.ledger.counters());
    let kept = watched.windows.settled_count();
    assert!(kept > 100, "{kept}");
    // Queried again, it has no more: what left a window is forgotten.
    watched.check_statuses(newest);
    assert_eq!(watched.windows.settled_count(), kept);
    let unknown = ProbeId::new("nobody").unwrap();
    let window = (Timestamp::from_seconds(0), Timestamp::from_seconds(60));
    assert_eq!(watched.windows.statuses(&unknown, window, Duration::from_secs(60), window.1), None);
}

#[test]
fn stretches_that_are_over_are_reported_without_reading_files() {
    let watched = Watched::new();
    watched.take(&records("a", 0, 90_000, 40));
    watched.ledger.write(at(0)).unwrap();
    let (now, quarter) = (at(90_001).seconds(), Duration::from_secs(900));
    let statuses = |now: u64| {
        watched.windows.statuses(&probe("a"), windows(now)[2], quarter, Timestamp::from_seconds(now))
    };
    let before = statuses(now).unwrap();
    assert_eq!(before.len(), 96);
    for step in ["step=minute", "step=quarter", "step=day"] {
        std::fs::remove_dir_all(watched.journal.home().join("ledger").join(step)).unwrap();
    }
    let more: Vec<_> = records("a", 0, 90_500, 40).into_iter().skip(9_001).collect();
    watched.take(&more);
    let after = statuses(now).unwrap();
    assert_eq!(after[..95], before[..95]);
    assert_eq!(after[95].known.ms[0], before[95].known.ms[0] + 500_000);
    // What was not queried before is not reported as if nothing were in it.
    assert_eq!(watched.windows.statuses(&probe("a"), windows(now)[3], quarter, at(90_001)), None);
}

impl Watched {
    /// Compares how sure the stretches of the sum of all probes are with the same query from scratch.
    #[track_caller]
    fn check_sums(&self, now: u64) {
        let probes = self.query.probes();
        let mut members = SumMembers::new(1);
        probes.iter().for_each(|probe| members.add(probe, 0, MemberCounts::In));
        for ((start, end), step) in windows(now).into_iter().zip([60, 60, 900, 86_400]) {
            let (step, now) = (Duration::from_secs(step), Timestamp::from_seconds(now));
            let whole = |seconds: u64| Timestamp::from_seconds(seconds * step.as_secs());
            let from = whole(start.seconds() / step.as_secs());
            let to = whole(end.seconds().div_ceil(step.as_secs()));
            let request = EnergyRequest {
                probes: Vec::new(),
                start: from,
                end: to,
                step: EnergyStep::Every(step),
                is_to_now: false,
                now,
            };
            let expected = self.query.sums(&request, &members).unwrap().sums.pop().unwrap();
            let spans = self.windows.sum_statuses(&probes, (start, end), step, now).unwrap();
            for (span, expected) in spans.iter().zip(&expected) {
                let figures = |span: &EnergySpan| (span.start, span.known, span.unknown_ms, span.absent_ms);
                assert_eq!(figures(span), figures(expected), "{start:?} {step:?} of {}", probes.len());
            }
            assert_eq!(spans.len(), expected.len());
        }
    }
}

#[test]
fn stretches_of_a_sum_report_what_the_question_repeated_does_whoever_was_away_and_is_back() {
    let (watched, world) = (Watched::new(), World::of_a_day());
    let mut newest = 0;
    for (n, records) in world.records.chunks(29).enumerate() {
        watched.take(records);
        newest = records.iter().fold(newest, |newest, record| newest.max(record.at.seconds()));
        if n % 3 == 1 {
            watched.ledger.write(at(0)).unwrap();
        }
        if newest > 0 {
            watched.check_sums(newest);
        }
    }
    assert!(watched.windows.settled_count() > 100);
    let nobody = [ProbeId::new("nobody").unwrap()];
    let window = (Timestamp::from_seconds(0), Timestamp::from_seconds(60));
    assert_eq!(watched.windows.sum_statuses(&nobody, window, Duration::from_secs(60), window.1), None);
}

#[test]
fn of_a_sum_only_what_is_not_over_is_read_again_though_one_of_it_is_silent() {
    let watched = Watched::new();
    let (both, quarter) = ([probe("a"), probe("b")], Duration::from_secs(900));
    watched.take(&records("a", 0, 90_400, 40));
    // Silent since the middle of the day.
    watched.take(&records("b", 0, 50_000, 40));
    watched.ledger.write(at(0)).unwrap();
    let now = at(90_401).seconds();
    let statuses =
        || watched.windows.sum_statuses(&both, windows(now)[2], quarter, Timestamp::from_seconds(now));
    let before = statuses().unwrap();
    let steps = ["step=minute", "step=quarter", "step=day"];
    let [here, away] = ["ledger", "ledger-away"].map(|name| watched.journal.home().join(name));
    std::fs::create_dir(&away).unwrap();
    steps.iter().for_each(|step| std::fs::rename(here.join(step), away.join(step)).unwrap());
    let more: Vec<_> = records("a", 0, 90_500, 40).into_iter().skip(9_041).collect();
    watched.take(&more);
    let after = statuses().unwrap();
    assert_eq!(after[..95], before[..95]);
    assert_eq!(after[95].known.ms[0], before[95].known.ms[0] + 100_000);
    // It is back: what was absent has energy, and files are read for it.
    steps.iter().for_each(|step| std::fs::rename(away.join(step), here.join(step)).unwrap());
    let back: Vec<_> = records("b", 0, 90_500, 40).into_iter().skip(9_030).collect();
    watched.take(&back);
    let after = statuses().unwrap();
    assert_eq!((before[60].absent_ms, after[60].absent_ms), (900_000, 0));
    let fresh = Windows::new(watched.query.clone());
    let fresh = fresh.sum_statuses(&both, windows(now)[2], quarter, Timestamp::from_seconds(now));
    assert_eq!(
        after.iter().map(|span| span.known).collect::<Vec<_>>(),
        fresh.unwrap().iter().map(|span| span.known).collect::<Vec<_>>()
    );
}
