use kwapi_core::Quality;

use super::super::stretch::Point;
use super::*;

/// Samples of 100 W at these seconds, of so many joules in all.
fn points(all: &[(u64, u64)]) -> Vec<Point> {
    let point = |&(second, joules)| Point {
        micros: second * 1_000_000,
        total: joules * 1_000,
        watts: 100.0,
        quality: Quality::Measured,
    };
    all.iter().map(point).collect()
}

/// A row from the first to the last of `given`, that comes to what they gain and `beyond` joules, and has so many joules and
/// seconds bridged: the joules that each stretch gains then.
#[track_caller]
fn check(given: &[(u64, u64)], beyond: i64, (joules, seconds): (i64, i64), expected: Option<&[u64]>) {
    let points = points(given);
    let (first, last) = (points.first().unwrap(), points.last().unwrap());
    let row = first.at()..last.at();
    let gained = (last.total - first.total) as i64 + beyond * 1_000;
    let (bridged, bridged_ms) = (joules * 1_000, seconds * 1_000);
    let whole = Increment {
        mj: [gained - bridged, 0, bridged],
        ms: [(row.end - row.start) as i64 - bridged_ms, 0, bridged_ms],
    };
    let settled = settled(Stretch::between_all(&points, &row).unwrap(), &whole);
    let all = settled.map(|all| all.iter().map(|stretch| stretch.gained / 1_000).collect::<Vec<_>>());
    assert_eq!(all.as_deref(), expected);
}

#[test]
fn what_a_register_counted_over_a_stop_lies_in_the_stop() {
    // The stop from 2 to 6, in which it drew 150 W.
    let at_once = [(0, 0), (1, 100), (2, 200), (6, 800), (7, 900)];
    check(&at_once, 0, (600, 4), Some(&[100, 100, 600, 100]));
    let later = [(0, 0), (1, 100), (2, 200), (6, 200), (7, 300), (8, 1_000), (9, 1_100)];
    check(&later, 0, (600, 4), Some(&[100, 100, 600, 100, 100, 100]));
    // The manager was killed 150 J after its record: the first second and a half of what it measured then are cut.
    let cut = [(0, 0), (1, 100), (2, 200), (6, 200), (7, 200), (8, 250), (9, 1_100), (10, 1_200)];
    check(&cut, 0, (600, 4), Some(&[100, 100, 600, 100, 100, 100, 100]));
}

#[test]
fn a_part_of_the_stop_that_came_at_once_is_no_part_of_the_tick() {
    let points = [(0, 0), (1, 100), (2, 200), (6, 500), (7, 600), (8, 1_000), (9, 1_100)];
    check(&points, 0, (600, 4), Some(&[100, 100, 600, 100, 100, 100]));
}

#[test]
fn of_a_stop_and_its_tick_in_two_rows_each_has_its_own() {
    // The tick is in the next row, which has 600 J less than its samples; this one has as much more.
    check(&[(0, 0), (1, 100), (2, 200), (6, 200), (7, 300)], 600, (600, 4), Some(&[100, 100, 600, 100]));
    check(&[(7, 300), (8, 400), (9, 1_100), (10, 1_200)], -600, (0, 0), Some(&[100, 100, 100]));
    // What was cut, on both sides of the edge.
    check(&[(0, 0), (1, 100), (2, 200), (6, 200), (7, 200)], 700, (600, 4), Some(&[100, 100, 600, 100]));
    check(&[(7, 200), (8, 250), (9, 350), (10, 1_150)], -650, (0, 0), Some(&[100, 100, 100]));
    // The stop goes over the edge, and the next row has half of it.
    check(&[(4, 200), (6, 200), (7, 300), (8, 1_000)], -300, (300, 2), Some(&[300, 100, 100]));
}

#[test]
fn what_no_stop_accounts_for_is_not_settled() {
    let ticks = [(0, 0), (1, 100), (2, 140), (3, 340), (4, 440)];
    check(&ticks, 0, (0, 0), Some(&[100, 40, 200, 100]));
    check(&ticks, -50, (0, 0), None);
    check(&ticks, 90, (0, 0), None);
    check(&[(0, 0), (1, 100), (6, 600)], 0, (300, 3), None);
    check(&[(0, 0), (1, 100), (6, 300), (7, 400)], 0, (450, 5), None);
}

#[test]
fn two_stops_of_one_row_share_what_is_bridged() {
    let at_once = [(0, 0), (4, 700), (5, 800), (9, 900), (10, 1_000)];
    check(&at_once, 0, (800, 8), Some(&[700, 100, 100, 100]));
    let later = [(0, 0), (4, 0), (5, 100), (9, 100), (10, 1_000)];
    check(&later, 0, (800, 8), Some(&[400, 100, 400, 100]));
}

#[test]
fn a_stop_longer_than_samples_are_looked_for_is_what_is_left_of_the_row() {
    let row = 0..60_000;
    let whole = Increment { mj: [1_000_000, 0, 5_000_000], ms: [10_000, 0, 50_000] };
    let end = [(50, 0), (55, 500), (60, 1_000)];
    let gains = |all: &[(u64, u64)], whole: &Increment| {
        let padded = Stretch::padded(Stretch::between_all(&points(all), &row).unwrap(), &row);
        settled(padded, whole).map(|all| all.iter().map(|stretch| stretch.gained / 1_000).collect::<Vec<_>>())
    };
    assert_eq!(gains(&end, &whole), Some(vec![5_000, 500, 500]));
    assert_eq!(gains(&[(0, 0), (5, 500), (10, 1_000)], &whole), Some(vec![500, 500, 5_000]));
    let all_of_it = Increment { mj: [0, 0, 6_000_000], ms: [0, 0, 60_000] };
    assert_eq!(gains(&[], &all_of_it), Some(vec![6_000]));
    assert_eq!(gains(&[(0, 0), (10, 1_000)], &whole).map(|all| all.len()), Some(2));
}
