mod ahead;
mod late;

use kwapi_core::{Decision, Totals};
use kwapi_peers::Lab;
use proptest::prelude::*;

use super::*;
use crate::journal::{JournalConfig, Taken};

/// A multiple of 900.
const START: u64 = 1_699_999_200;
/// So long after a second nothing of it is open, with the default `max_gap`.
const OPEN: u64 = 126;

fn probe(name: &str) -> ProbeId {
    ProbeId::new(name).unwrap()
}

fn journal(lab: &Lab) -> Journal {
    kwapi_peers::wait_until("a directory nobody holds", Duration::from_secs(10), || {
        let now = Timestamp::from_seconds(START);
        match Journal::open(&lab.join("state"), JournalConfig::default(), now) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap().0),
        }
    })
}

fn config(sums: &[&str]) -> GroupsConfig {
    GroupsConfig {
        flush_interval: Duration::from_secs(120),
        gaps: kwapi_core::Gaps::new(Duration::from_secs(60)),
        sums: sums.iter().map(|name| probe(name)).collect(),
        recent: Vec::new(),
    }
}

fn open(journal: &Journal, config: &GroupsConfig) -> Groups {
    kwapi_peers::wait_until("files nobody holds", Duration::from_secs(10), || {
        match Groups::open(config.clone(), journal, Timestamp::from_seconds(START)) {
            Err(OpenError::InUse(_)) => None,
            opened => Some(opened.unwrap()),
        }
    })
}

/// What a probe measured, `micros` after the start.
fn sample(name: &str, micros: u64, watts: f64) -> Credited {
    Credited {
        probe: probe(name),
        at: Timestamp::from_micros(START * 1_000_000 + micros),
        power: Watts(watts),
        voltage: None,
        current: None,
        accounting: None,
        taken: Some(Taken { decision: Decision::Continue, register: Totals::default() }),
    }
}

/// A sample a second of each, for these seconds.
fn each_second(seconds: std::ops::Range<u64>, members: &[(&str, f64)]) -> Vec<Credited> {
    let of = |second| members.iter().map(move |(name, watts)| sample(name, second * 1_000_000, *watts));
    seconds.flat_map(of).collect()
}

fn append(journal: &Journal, records: Vec<Credited>) {
    if !records.is_empty() {
        journal.append(&Arc::new(records), Timestamp::from_seconds(START)).unwrap();
    }
}

/// What is written of a group in the seconds that end so long after the start: watts and the share known.
fn course_of(groups: &Groups, group: &str, now: u64) -> Vec<(Option<f64>, Option<f64>)> {
    groups.history.catch_up();
    let at = Timestamp::from_seconds(START + now);
    let of = |series: Option<Series>| series.unwrap().watts;
    let watts = of(groups.fetch(group, Period::Minute, at).unwrap());
    let share = of(groups.known_share(group, Period::Minute, at).unwrap());
    watts.into_iter().zip(share).collect()
}

/// The row of a second among those that [`course_of`] answers.
fn row(rows: &[(Option<f64>, Option<f64>)], now: u64, second: u64) -> (Option<f64>, Option<f64>) {
    rows[rows.len() - usize::try_from(now - second).unwrap() - 1]
}

#[test]
fn a_group_is_reported_before_its_files_are_written_and_the_same_after() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    append(&journal, each_second(1..11, &[("lyon.a", 60.0), ("lyon.rack.b", 40.0), ("alone", 7.0)]));
    let now = course_of(&groups, "lyon", 10);
    assert_eq!(row(&now, 10, 9), (Some(100.0), Some(1.0)));
    assert_eq!(row(&course_of(&groups, "lyon.rack", 10), 10, 9), (Some(40.0), Some(1.0)));
    let mut names = groups.names();
    names.sort_unstable();
    assert_eq!(names, [probe("lyon"), probe("lyon.rack")]);
    assert_eq!(groups.last("lyon").unwrap().unwrap().at, Timestamp::from_seconds(START + 10));
    append(&journal, each_second(11..11 + 2 * OPEN, &[("lyon.a", 60.0), ("lyon.rack.b", 40.0)]));
    groups.history.flush_all();
    let after = course_of(&groups, "lyon", 250);
    assert!((2..250).all(|second| row(&after, 250, second) == (Some(100.0), Some(1.0))), "{after:?}");
    assert_eq!(groups.counters().groups, 2);
}

#[test]
fn a_member_that_reports_it_is_measured_seldom_is_in_its_groups_between_samples() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let config = config(&[]);
    let groups = open(&journal, &config);
    let seldom = |second: u64| sample("lyon.seldom", second * 1_000_000, 30.0);
    append(&journal, [vec![seldom(1)], each_second(1..250, &[("lyon.a", 60.0)])].concat());
    groups.catch_up();
    // Longer than all that was configured, while seconds are open that were begun before.
    config.gaps.describe(&probe("lyon.seldom"), Duration::from_secs(700));
    append(&journal, [each_second(250..301, &[("lyon.a", 60.0)]), vec![seldom(301)]].concat());
    append(&journal, [each_second(301..601, &[("lyon.a", 60.0)]), vec![seldom(601)]].concat());
    let now = course_of(&groups, "lyon", 600);
    assert!((301..600).all(|second| row(&now, 600, second) == (Some(90.0), Some(1.0))), "{now:?}");
    append(&journal, each_second(601..601 + 700 + OPEN, &[("lyon.a", 60.0)]));
    groups.history.flush_all();
    let later = course_of(&groups, "lyon", 600);
    assert!((400..600).all(|second| row(&later, 600, second) == (Some(90.0), Some(1.0))), "{later:?}");
}

#[test]
fn each_watt_counts_once_along_a_path_and_who_is_below_stands_for_a_silent_meter() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&["lyon.all"]));
    let below = [("lyon.rack.a", 60.0), ("lyon.rack.shelf.b", 70.0), ("lyon.c", 5.0), ("lyon.all", 999.0)];
    append(&journal, each_second(1..30, &[&[("lyon.rack", 100.0)], &below[..]].concat()));
    append(&journal, each_second(30..200, &below));
    let at = |group: &str, second| row(&course_of(&groups, group, 199), 199, second);
    assert_eq!(at("lyon.rack", 20), (Some(100.0), Some(1.0)), "its meter has the rest, negative or not");
    assert_eq!(at("lyon", 20), (Some(105.0), Some(1.0)));
    assert_eq!(at("lyon.rack.shelf", 20), (Some(70.0), Some(1.0)));
    assert_eq!(at("lyon.rack", 150), (Some(130.0), Some(1.0)));
    assert_eq!(at("lyon", 150), (Some(135.0), Some(1.0)));
    // A reload that takes the sum for a probe, and back.
    groups.set_sums(HashSet::new());
    append(&journal, each_second(200..400, &below));
    assert_eq!(row(&course_of(&groups, "lyon", 399), 399, 390), (Some(1_134.0), Some(1.0)));
    groups.set_sums([probe("lyon.all")].into());
    append(&journal, each_second(400..600, &below));
    assert_eq!(row(&course_of(&groups, "lyon", 599), 599, 590), (Some(135.0), Some(1.0)));
}

#[test]
fn who_is_silent_is_missing_in_the_share_and_a_second_of_nobody_is_unknown() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    let world = [("paris.x", 1.0)];
    append(&journal, each_second(1..20, &[&world[..], &[("lyon.a", 60.0), ("lyon.b", 40.0)]].concat()));
    append(&journal, each_second(20..120, &[&world[..], &[("lyon.a", 60.0)]].concat()));
    append(&journal, each_second(120..400, &world));
    append(&journal, each_second(400..410, &[&world[..], &[("lyon.b", 41.0)]].concat()));
    let rows = course_of(&groups, "lyon", 409);
    assert_eq!(row(&rows, 409, 115), (Some(60.0), Some(0.5)));
    assert_eq!(row(&rows, 409, 300), (None, Some(0.0)));
    assert_eq!(row(&rows, 409, 408), (Some(41.0), Some(0.5)));
}

#[test]
fn who_was_received_within_a_day_counts_in_the_share_before_being_received_again() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups =
        open(&journal, &GroupsConfig { recent: vec![probe("lyon.b"), probe("old.c")], ..config(&[]) });
    append(&journal, each_second(1..20, &[("lyon.a", 60.0)]));
    assert_eq!(row(&course_of(&groups, "lyon", 19), 19, 10), (Some(60.0), Some(0.5)));
    // A day later it is none any more.
    let day = 86_400 + 120;
    append(&journal, each_second(day..day + 200, &[("lyon.a", 61.0)]));
    assert_eq!(row(&course_of(&groups, "lyon", day + 199), day + 199, day + 150), (Some(61.0), Some(1.0)));
}

#[test]
fn what_comes_too_late_is_counted_and_missing_in_the_share() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    append(&journal, each_second(1..10, &[("lyon.a", 60.0), ("lyon.b", 40.0)]));
    append(&journal, each_second(10..200, &[("lyon.a", 60.0)]));
    append(&journal, each_second(10..30, &[("lyon.b", 40.0)]));
    let rows = course_of(&groups, "lyon", 199);
    assert_eq!(row(&rows, 199, 20), (Some(60.0), Some(0.5)));
    assert_eq!(groups.counters().late, 20);
}

#[test]
fn a_clock_that_was_an_hour_ahead_does_not_stop_groups() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    let world = [("lyon.a", 60.0), ("lyon.b", 40.0)];
    append(&journal, each_second(1..200, &world));
    append(&journal, each_second(3_801..3_850, &world));
    append(&journal, each_second(250..900, &world));
    groups.history.catch_up();
    let open = groups.history.open_samples(&tree::power_id("lyon").unwrap());
    assert_eq!(
        open.last().map(|last| (last.at, last.watts)),
        Some((Timestamp::from_seconds(START + 899), 100.0))
    );
}

#[test]
fn one_group_too_many_is_not_made_and_its_members_count_in_those_around_it() {
    let mut tree = tree::GroupTree::new(1, 2, HashSet::new());
    let places =
        ["a.b.x", "a.c.y", "d.z"].map(|name| tree.member(&probe(name), Timestamp::from_seconds(START)));
    assert_eq!(places.map(|place| tree.members[place].group), [Some(1), Some(0), None]);
    assert_eq!(tree.refused, 2);
    assert_eq!(tree.member(&probe("a.c.y"), Timestamp::from_seconds(START)), places[1]);
    let too_long = format!("{}.x", "g".repeat(198));
    let mut tree = tree::GroupTree::new(1, 100, HashSet::new());
    tree.member(&probe(&too_long), Timestamp::from_seconds(START));
    assert_eq!((tree.refused, tree.nodes.len()), (1, 0));
}

/// The files of groups as they are once all of it is written.
fn files(groups: &Groups) -> Vec<Option<Vec<u8>>> {
    groups.history.catch_up();
    let ids = ["lyon", "lyon.rack"]
        .into_iter()
        .flat_map(|group| [tree::power_id(group), tree::known_share_id(group)]);
    ids.flatten().map(|id| groups.history.rrd_bytes(&id).unwrap()).collect()
}

#[test]
fn a_damaged_file_is_made_again_from_the_journal() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    let world = [("lyon.a", 60.25), ("lyon.rack.b", 40.0), ("lyon.rack.c", 3.0)];
    append(&journal, each_second(1..400, &world));
    let before = files(&groups);
    let path = crate::store::power_path(
        &lab.join("state/groups"),
        crate::store::file_stem(&tree::power_id("lyon.rack").unwrap()),
    );
    std::fs::write(&path, b"no RRD").unwrap();
    append(&journal, each_second(400..401, &world));
    groups.history.flush_all();
    let after = files(&groups);
    assert_ne!(before, after);
    let whole = course_of(&groups, "lyon.rack", 390);
    assert!((101..=390).all(|second| row(&whole, 390, second) == (Some(43.0), Some(1.0))), "{whole:?}");
    assert_eq!(groups.counters().files.files_set_aside, 1);
}

/// A group's last seconds are not written before the next sample comes.
#[test]
fn a_process_that_is_killed_after_a_long_silence_makes_the_same_files() {
    let world = [("lyon.a", 60.0), ("lyon.rack.b", 40.0)];
    let (lab, whole) = (Lab::empty(), Lab::empty());
    let of_all = journal(&whole);
    append(&of_all, each_second(1..300, &world));
    append(&of_all, each_second(4_000..4_300, &world));
    for (from, until) in [(0, 3_900), (3_900, 4_010), (4_010, 4_300)] {
        let journal = journal(&lab);
        let recent = world.iter().map(|(name, _)| probe(name)).filter(|_| from > 0).collect();
        let groups = open(&journal, &GroupsConfig { recent, ..config(&[]) });
        for second in from..until {
            if (1..300).contains(&second) || second >= 4_000 {
                append(&journal, each_second(second..second + 1, &world));
            }
            groups.history.catch_up();
            groups
                .history
                .tick(Duration::from_secs(10_000 + second), Timestamp::from_seconds(START + second));
        }
    }
    let journal = journal(&lab);
    let recent = world.iter().map(|(name, _)| probe(name)).collect();
    let killed = open(&journal, &GroupsConfig { recent, ..config(&[]) });
    assert!(files(&killed) == files(&open(&of_all, &config(&[]))), "the files are others");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Members at any pace, in any phase, with pauses: second by second a group is the sum of what its members' own RRD files
    /// have, and a process that is killed at any moment and continues makes the same files. Each is received in the
    /// first second: who joins a group minutes before a kill counts in the share of the rows that are made again.
    #[test]
    fn a_group_is_the_sum_of_its_members_files_and_a_kill_changes_nothing(
        members in prop::collection::vec((1_u64..40, 0_u64..1_000, 1.0..500.0, 1_u64..600, 0_u64..400), 1..5),
        killed in prop::collection::vec(200_u64..700, 0..3),
    ) {
        let names = ["lyon.a", "lyon.rack.b", "lyon.rack.c", "lyon.d"];
        let mut records = Vec::new();
        for ((pace, phase, watts, pause, length), name) in members.iter().zip(names) {
            let mut at = phase * 1_000 + 1;
            let mut number = 0.0;
            while at < 800_000_000 {
                if !(pause * 1_000_000..(pause + length) * 1_000_000).contains(&at) {
                    records.push(sample(name, at, watts + number));
                }
                number += 1.0;
                at += pace * 1_000_000;
            }
        }
        records.sort_by_key(|record| record.at);
        // So long after the others that all of theirs is written.
        let closing = sample("lyon.a", 1_500_000_000, 1.0);
        let of = |from: u64, until: u64| -> Vec<Credited> {
            let within = |record: &&Credited| {
                let at = record.at.micros() - START * 1_000_000;
                (from * 1_000_000..until * 1_000_000).contains(&at)
            };
            records.iter().filter(within).cloned().collect()
        };
        // At one go…
        let lab = Lab::empty();
        let whole_journal = journal(&lab);
        append(&whole_journal, records.clone());
        let whole = open(&whole_journal, &config(&[]));
        whole.catch_up();
        let of_members = History::open(HistoryConfig::default(), &whole_journal).unwrap();
        let now = Timestamp::from_seconds(START + 700);
        let group = whole.fetch("lyon", Period::Minute, now).unwrap().unwrap();
        let parts: Vec<Series> = members.iter().zip(names)
            .map(|(_, name)| of_members.fetch(&probe(name), Period::Minute, now).unwrap().unwrap())
            .collect();
        let share = whole.known_share("lyon", Period::Minute, now).unwrap().unwrap();
        // An RRD file spreads the part of a second before a longer stretch over all of the stretch: as much power as a sample
        // differs from the next, which is as many watts as its number. After a pause it has a whole interval, and a group a second:
        // where a pause begins and where it ends the two differ by as many samples as were left out.
        let edges: Vec<(u64, f64)> = members.iter()
            .flat_map(|(pace, phase, _, pause, length)| {
                let after = |second: u64| (second * 1_000).saturating_sub(*phase).div_ceil(pace * 1_000);
                let at = |number: u64| (phase + number * pace * 1_000) / 1_000;
                let (first_out, first_again) = (after(*pause), after(pause + length));
                let jump = (first_again - first_out) as f64 + 1.0;
                [(at(first_out.saturating_sub(1)), jump), (at(first_again), jump)]
            })
            .collect();
        let (mut of_group, mut of_all, mut missing) = (0.0, 0.0, 0);
        for (place, (watts, share)) in group.watts.iter().zip(&share.watts).enumerate() {
            let known: Vec<f64> = parts.iter().filter_map(|part| part.watts[place]).collect();
            if known.len() < parts.len() {
                continue;
            }
            let (Some(watts), Some(1.0)) = (watts, share) else {
                missing += 1;
                continue;
            };
            let sum: f64 = known.iter().sum();
            let second = group.row_start(place) - START;
            let beside = edges.iter().filter(|(at, _)| second.abs_diff(*at) <= 1).map(|(_, jump)| jump).sum::<f64>();
            let most = 1.5 * parts.len() as f64 + beside;
            prop_assert!((watts - sum).abs() < most, "{} {} {}", place, watts, sum);
            of_group += watts;
            of_all += sum;
        }
        prop_assert!(missing <= 1 + members.iter().map(|(pace, ..)| pace + 1).sum::<u64>(), "{missing}");
        prop_assert!((of_group - of_all).abs() < 60.0 * parts.len() as f64 + 1e-3 * of_all, "{} {}", of_group, of_all);
        append(&whole_journal, vec![closing.clone()]);
        let expected = files(&whole);
        // …and with kills. Who was received before is known from the ledger.
        let recent = |until: u64| -> Vec<ProbeId> {
            names.into_iter().take(if until > 0 { members.len() } else { 0 }).map(probe).collect()
        };
        let lab = Lab::empty();
        let mut from = 0;
        let mut killed = killed;
        killed.sort_unstable();
        killed.push(801);
        for until in killed {
            let journal = journal(&lab);
            let groups = open(&journal, &GroupsConfig { recent: recent(from), ..config(&[]) });
            for second in from..until {
                append(&journal, of(second, second + 1));
                groups.history.catch_up();
                groups.history.tick(Duration::from_secs(10_000 + second), Timestamp::from_seconds(START + second));
            }
            from = from.max(until);
        }
        let journal = journal(&lab);
        append(&journal, vec![closing]);
        prop_assert!(files(&open(&journal, &GroupsConfig { recent: recent(801), ..config(&[]) })) == expected, "the files are others");
    }
}
