use super::*;

/// Samples at these seconds, of so many joules in all.
fn points(all: &[(u64, u64)]) -> Vec<Point> {
    let mut before = (0, 0);
    let point = |&(second, joules): &(u64, u64)| {
        let watts = joules.saturating_sub(before.1) as f64 / second.saturating_sub(before.0).max(1) as f64;
        before = (second, joules);
        Point { micros: second * 1_000_000, total: joules * 1_000, watts, quality: Quality::Measured }
    };
    all.iter().map(point).collect()
}

type Make = fn(Vec<Stretch>, Range<u64>, Increment) -> Option<Course>;

fn made(
    make: Make,
    points: &[Point],
    row: Range<u64>,
    joules: [i64; 3],
    seconds: [i64; 3],
) -> Option<Course> {
    let whole = Increment { mj: joules.map(|part| part * 1_000), ms: seconds.map(|part| part * 1_000) };
    let row = row.start * 1_000..row.end * 1_000;
    make(Stretch::between_all(points, &row)?, row, whole)
}

fn course(points: &[Point], row: Range<u64>, joules: [i64; 3], seconds: [i64; 3]) -> Option<Course> {
    made(Course::exact, points, row, joules, seconds)
}

/// Joules and seconds of each status between two seconds.
fn between(course: &Course, from: u64, to: u64) -> ([i64; 3], [i64; 3]) {
    let part = course.between(from * 1_000, to * 1_000);
    (part.mj.map(|part| part / 1_000), part.ms.map(|part| part / 1_000))
}

/// A minute: 10 W, from second 20 on 100 W; nobody listened from 30 to 40.
fn minute() -> Vec<Point> {
    points(&[(0, 0), (10, 100), (20, 200), (30, 1_200), (40, 2_200), (50, 3_200), (60, 4_200)])
}

#[test]
fn energy_before_and_after_a_stop_lies_where_the_samples_have_it() {
    let points = points(&[(0, 0), (10, 100), (20, 200), (30, 1_200), (45, 2_700), (60, 4_200)]);
    // Of the 15 s after second 30 the first two are measured, 10 bridged and 3 unknown.
    let points = &points[..];
    let course = course(points, 0..45, [1_400, 0, 1_300], [32, 0, 10]).unwrap();
    assert_eq!(between(&course, 0, 20), ([200, 0, 0], [20, 0, 0]));
    assert_eq!(between(&course, 15, 25), ([550, 0, 0], [10, 0, 0]));
    assert_eq!(between(&course, 30, 45), ([200, 0, 1_300], [2, 0, 10]));
    assert_eq!(between(&course, 30, 33), ([40, 0, 260], [0, 0, 2]));
    let parts = (0..45).map(|second| course.between(second * 1_000, second * 1_000 + 1_000));
    let mut sum = Increment::default();
    parts.for_each(|part| sum.add(&part, 1));
    assert_eq!(sum, course.between(0, 45_000));
}

#[test]
fn two_stops_in_one_row_are_found_where_one_does_not_do() {
    let points = points(&[(0, 0), (1, 10), (9, 90), (10, 100), (17, 170), (18, 180), (60, 600)]);
    // The 8 and the 7 seconds are unknown, and of the row's last sample nothing is in it.
    let course = course(&points, 0..18, [30, 0, 150], [3, 0, 0]).unwrap();
    assert_eq!(between(&course, 1, 9), ([0, 0, 80], [0, 0, 0]));
    assert_eq!(between(&course, 9, 10), ([10, 0, 0], [1, 0, 0]));
    assert_eq!(between(&course, 10, 17), ([0, 0, 70], [0, 0, 0]));
}

#[test]
fn what_was_estimated_stays_so() {
    let mut points = minute();
    points.iter_mut().skip(4).for_each(|point| point.quality = Quality::Estimated);
    let course = course(&points, 0..60, [1_200, 3_000, 0], [30, 30, 0]).unwrap();
    assert_eq!(between(&course, 25, 35), ([500, 500, 0], [5, 5, 0]));
}

#[test]
fn a_row_that_reports_more_or_less_than_its_samples_is_not_reported_by_them() {
    assert!(course(&minute(), 0..60, [4_201, 0, 0], [60, 0, 0]).is_none());
    assert!(course(&minute(), 0..60, [4_199, 0, 0], [60, 0, 0]).is_none());
    assert!(course(&minute(), 0..60, [4_200, 0, 0], [61, 0, 0]).is_none(), "more time than there is");
    let falls = points(&[(0, 0), (30, 500), (60, 400)]);
    assert!(course(&falls, 0..60, [400, 0, 0], [60, 0, 0]).is_none());
    assert!(course(&[], 0..60, [1, 0, 0], [1, 0, 0]).is_none());
}

#[test]
fn a_row_of_other_energy_is_laid_as_the_power_was() {
    // Of the 4 200 J a message that came late took 420 from elsewhere.
    let near = |joules| made(Course::near, &minute(), 0..60, [joules, 0, 0], [60, 0, 0]);
    let course = near(3_780).unwrap();
    assert_eq!(between(&course, 0, 20), ([180, 0, 0], [20, 0, 0]));
    assert_eq!(between(&course, 15, 25), ([495, 0, 0], [10, 0, 0]));
    assert_eq!(between(&course, 0, 60), ([3_780, 0, 0], [60, 0, 0]));
    assert!(!course.is_exact() && near(2_000).is_none() && near(9_000).is_none() && near(0).is_none());
}
