//! Late samples: the files of groups come to be as if they had come in order.

use super::*;

/// Lets the history make rows again, so many times.
fn look_after(groups: &Groups, turns: std::ops::Range<u64>) {
    turns.for_each(|turn| groups.history.look_after_late(Duration::from_secs(turn * 1_000)));
}

/// All that the files of a group have: of each archive the rows, in whole millionths.
fn rows_of(groups: &Groups, group: &str, now: u64) -> Vec<Vec<Option<i64>>> {
    groups.history.catch_up();
    let now = Timestamp::from_seconds(START + now);
    let millionths = |watts: f64| (watts * 1e6).round() as i64;
    let mut rows = Vec::new();
    for period in Period::ALL {
        for series in [groups.fetch(group, period, now), groups.known_share(group, period, now)] {
            let watts = series.unwrap().unwrap().watts;
            rows.push(watts.into_iter().map(|watts| watts.map(millionths)).collect());
        }
        // Rows of a week stand as they are.
        let extremes = groups.extremes(group, period, now).unwrap().filter(|_| period != Period::Year);
        rows.push(extremes.map_or(Vec::new(), |(Watts(least), Watts(most))| {
            [least, most].map(|watts| Some(millionths(watts))).to_vec()
        }));
    }
    rows
}

#[test]
fn what_came_too_late_is_in_the_rows_of_all_its_groups_later() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    let world = [("lyon.a", 60.0), ("lyon.rack.b", 40.0), ("lyon.rack.c", 3.0)];
    append(&journal, each_second(1..50, &world));
    append(&journal, each_second(50..400, &world[..2]));
    // A switch was off: they come at once, one after the other.
    append(&journal, each_second(50..400, &world[2..]));
    append(&journal, each_second(400..500, &world));
    let at = |group: &str, second| row(&course_of(&groups, group, 499), 499, second);
    assert_eq!(
        [at("lyon", 220), at("lyon.rack", 220)],
        [(Some(100.0), Some(2.0 / 3.0)), (Some(40.0), Some(0.5))]
    );
    look_after(&groups, 1..4);
    assert_eq!([at("lyon", 220), at("lyon.rack", 220)], [(Some(103.0), Some(1.0)), (Some(43.0), Some(1.0))]);
    let counters = groups.counters();
    assert_eq!((counters.files.late_left_out, counters.late > 50), (0, true), "{counters:?}");
    // Some of it comes twice: it is in already.
    let before = files(&groups);
    append(&journal, each_second(100..120, &world[2..]));
    look_after(&groups, 4..8);
    assert!(files(&groups) == before);
    drop(groups);
    let again = open(&journal, &config(&[]));
    assert!(files(&again) == before, "a restart changes nothing");
}

#[test]
fn what_lies_too_far_back_for_its_groups_is_left_out_and_counted() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    let world = [("lyon.a", 60.0), ("lyon.b", 40.0)];
    append(&journal, each_second(1..640, &world));
    for second in 640..900 {
        append(&journal, each_second(second..second + 1, &world[..1]));
        groups.history.catch_up();
    }
    groups.history.late.lock().limits.stretch_bytes_max = 1_000;
    append(&journal, each_second(650..660, &world[1..]));
    append(&journal, each_second(900..901, &world[..1]));
    groups.history.catch_up();
    look_after(&groups, 1..4);
    assert_eq!(groups.counters().files.late_left_out, 2 * 10, "of power and of the share known");
    assert_eq!(row(&course_of(&groups, "lyon", 900), 900, 655), (Some(60.0), Some(0.5)));
}

/// The files of all groups have what they have of the same samples in order of their stamps.
fn check_as_in_order(groups: &Groups, samples: &[Credited], now: u64) {
    let mut in_order = samples.to_vec();
    in_order.sort_by_key(|record| record.at);
    let lab = Lab::empty();
    let journal = journal(&lab);
    append(&journal, in_order);
    let expected = open(&journal, &config(&[]));
    for group in ["lyon", "lyon.rack"] {
        assert_eq!(rows_of(groups, group, now), rows_of(&expected, group, now), "{group}");
    }
    assert_eq!(groups.counters().files.late_left_out, 0);
}

#[test]
fn what_came_too_late_follows_where_nobody_in_the_group_was_known() {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    let world = [("lyon.a", 60.0), ("lyon.rack.b", 40.0), ("lyon.rack.c", 3.0)];
    // The switch of the rack was off. Then c sends what it has, and b has nothing.
    let silent =
        [each_second(1..50, &world), each_second(50..400, &world[..1]), each_second(50..400, &world[2..])];
    let mut samples = silent.concat();
    append(&journal, samples.clone());
    assert_eq!(row(&course_of(&groups, "lyon.rack", 399), 399, 150), (None, Some(0.0)));
    look_after(&groups, 1..4);
    assert_eq!(row(&course_of(&groups, "lyon.rack", 399), 399, 150), (Some(3.0), Some(0.5)));
    let later = each_second(400..700, &world);
    append(&journal, later.clone());
    groups.history.catch_up();
    look_after(&groups, 4..8);
    samples.extend(later);
    check_as_in_order(&groups, &samples, 570);
}

/// Files that take some samples, are made again, take later ones and are made again are those of all in order.
fn check_between_passes(samples: &[Credited], later: &[Credited], now: u64) {
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    for (samples, turns) in [(samples, 1..20), (later, 20..40)] {
        append(&journal, samples.to_vec());
        groups.history.catch_up();
        look_after(&groups, turns);
    }
    check_as_in_order(&groups, &[samples, later].concat(), now);
}

/// Of a site that was cut off, among the present of others: no clock was set back.
#[test]
fn what_comes_half_an_hour_late_among_the_present_of_others_is_of_no_earlier_clock() {
    let world = [("lyon.a", 60.0), ("lyon.rack.b", 40.0)];
    let mut samples = [each_second(1..300, &world), each_second(300..2_100, &world[..1])].concat();
    for turn in 0..60 {
        samples.extend(each_second(2_100 + turn..2_101 + turn, &world[..1]));
        samples.extend(each_second(300 + 30 * turn..330 + 30 * turn, &world[1..]));
    }
    samples.extend(each_second(2_160..2_600, &world));
    let lab = Lab::empty();
    let journal = journal(&lab);
    let groups = open(&journal, &config(&[]));
    append(&journal, samples.clone());
    groups.history.catch_up();
    // The last of them are in time.
    assert!((1_500..=1_800).contains(&groups.counters().late), "{:?}", groups.counters());
    look_after(&groups, 1..20);
    check_as_in_order(&groups, &samples, 2_470);
}

#[test]
fn what_came_too_late_begins_the_file_of_a_group_of_which_nothing_was_known() {
    let world = [("lyon.a", 60.0), ("lyon.rack.c", 3.0)];
    let samples = [each_second(1..400, &world[..1]), each_second(1..200, &world[1..])].concat();
    check_between_passes(&samples, &each_second(400..700, &world[..1]), 570);
}

#[test]
fn what_came_too_late_follows_hours_after_the_last_that_was_known_of_a_group() {
    let world = [("lyon.a", 60.0), ("lyon.rack.c", 3.0)];
    let each_half_minute = |seconds: std::ops::Range<u64>| -> Vec<Credited> {
        seconds.step_by(30).map(|second| sample("lyon.a", second * 1_000_000, 60.0)).collect()
    };
    let samples =
        [each_second(1..50, &world), each_half_minute(60..30_000), each_second(29_500..29_600, &world[1..])]
            .concat();
    check_between_passes(&samples, &each_half_minute(30_000..30_600), 30_300);
}

#[test]
fn what_comes_just_in_time_after_a_later_one_was_put_in_its_place_is_not_lost() {
    let delay = |second: u64| match second {
        100..140 => 70,
        140..180 => 40,
        _ => 0,
    };
    let mut arrivals: Vec<(u64, Credited)> = (1..700)
        .flat_map(|second| {
            let of = |name: &str| sample(name, second * 1_000_000, 100.0 + (second * second % 97) as f64);
            [(second, of("lyon.a")), (second + delay(second), of("lyon.rack.c"))]
        })
        .collect();
    arrivals.sort_by_key(|(at, record)| (*at, record.at));
    let samples: Vec<Credited> = arrivals.into_iter().map(|(_, record)| record).collect();
    check_between_passes(&samples, &[], 570);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// In whatever order samples come, up to a quarter of an hour late, and however often rows are made again meanwhile, the
    /// rows of groups are those of samples in order. What is within the time that is waited for is in order anyway.
    #[test]
    fn in_whatever_order_samples_come_the_rows_of_groups_are_those_of_the_order_of_stamps(
        paces in prop::collection::vec(1_u64..30, 4),
        delays in prop::collection::vec(prop::sample::select(vec![0_u64, 0, 0, 0, 3, 40, 70, 120, 150, 400, 900]), 60),
        turns in prop::collection::vec(any::<bool>(), 60),
        tick_bytes_max in 20_000_u64..100_000,
    ) {
        let names = ["lyon.a", "lyon.rack.b", "lyon.rack.c", "lyon.d"];
        // One who is never late: else many late ones in a row were a clock that was set back.
        let mut arrivals: Vec<(u64, Credited)> =
            (0..2_400).map(|second| (second, sample("paris.x", second * 1_000_000 + 1, 9.0))).collect();
        for (of, (name, pace)) in names.into_iter().zip(&paces).enumerate() {
            for (number, second) in (0..2_400).step_by(usize::try_from(*pace).unwrap()).enumerate() {
                let watts = 100.0 + (number * number % 97) as f64;
                let record = sample(name, second * 1_000_000 + 1 + of as u64 * 130_000, watts);
                // Some in a row share a delay, as behind a switch; the first and the last have none.
                let delay = delays[(of * 17 + usize::try_from(second / 20).unwrap()) % delays.len()];
                let is_late = (60..1_400).contains(&second);
                arrivals.push((second + if is_late { delay } else { 0 }, record));
            }
        }
        let mut in_order: Vec<Credited> = arrivals.iter().map(|(_, record)| record.clone()).collect();
        in_order.sort_by_key(|record| record.at);
        arrivals.sort_by_key(|(at, record)| (*at, record.at));
        let lab = Lab::empty();
        let order_journal = journal(&lab);
        append(&order_journal, in_order);
        let expected = open(&order_journal, &config(&[]));
        let lab = Lab::empty();
        let late_journal = journal(&lab);
        let groups = open(&late_journal, &config(&[]));
        groups.history.late.lock().limits.tick_bytes_max = tick_bytes_max;
        for (turn, is_made) in turns.iter().enumerate() {
            let span = turn as u64 * 40..turn as u64 * 40 + 40;
            let of_turn = arrivals.iter().filter(|(at, _)| span.contains(at));
            append(&late_journal, of_turn.map(|(_, record)| record.clone()).collect());
            groups.history.catch_up();
            if *is_made {
                let now = Duration::from_secs(turn as u64 * 1_000);
                groups.history.tick(now, Timestamp::from_seconds(START + span.end));
            }
        }
        look_after(&groups, 100..300);
        prop_assert_eq!(groups.counters().files.late_left_out, 0);
        for group in ["lyon", "lyon.rack"] {
            let (ours, expected) = (rows_of(&groups, group, 2_250), rows_of(&expected, group, 2_250));
            for (number, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
                prop_assert_eq!(ours, expected, "{} of {}", number, group);
            }
        }
    }
}
