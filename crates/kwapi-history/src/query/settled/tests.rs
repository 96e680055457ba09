use kwapi_core::Quality;

use super::*;

/// Samples of 100 W at these seconds, of so many joules in all.
fn points(all: &[(u64, u64)]) -> Vec<Point> {
    let point = |&(second, joules)| Point {
        at: second * 1_000,
        total: joules * 1_000,
        watts: 100.0,
        quality: Quality::Measured,
    };
    all.iter().map(point).collect()
}

#[track_caller]
fn check(given: &[(u64, u64)], expected: Option<&[(u64, u64)]>) {
    let joules = |points: Vec<Point>| -> Vec<(u64, u64)> {
        points.iter().map(|point| (point.at / 1_000, point.total / 1_000)).collect()
    };
    assert_eq!(settled(&points(given)).map(joules).as_deref(), expected);
}

#[test]
fn what_a_register_counted_over_a_stop_lies_in_the_stop() {
    // The stop from 2 to 6, in which it drew 150 W; the first second after it has its own.
    check(
        &[(0, 0), (1, 100), (2, 200), (6, 200), (7, 200), (8, 300), (9, 1_100), (10, 1_200)],
        Some(&[(0, 0), (1, 100), (2, 200), (6, 800), (7, 900), (8, 1_000), (9, 1_100), (10, 1_200)]),
    );
}

#[test]
fn a_stop_of_less_energy_than_its_end_had_is_found_as_well() {
    check(&[(0, 0), (1, 100), (9, 100), (10, 600)], Some(&[(0, 0), (1, 100), (9, 500), (10, 600)]));
}

#[test]
fn a_register_that_goes_in_steps_makes_up_for_nothing() {
    // It is unknown what was used from 2 to 6; the step at 8 is 40 J late.
    check(&[(0, 0), (1, 100), (2, 200), (6, 200), (7, 300), (8, 440)], None);
    check(&[(0, 0), (1, 100), (2, 240), (3, 340)], None);
    check(&[], None);
    check(&[(0, 100)], None);
    // A total that falls is of another account.
    check(&[(0, 100), (1, 100), (2, 50), (3, 900)], None);
}

#[test]
fn of_two_stops_the_later_has_what_came() {
    check(
        &[(0, 0), (4, 0), (5, 100), (9, 100), (10, 600)],
        Some(&[(0, 0), (4, 0), (5, 100), (9, 500), (10, 600)]),
    );
}
