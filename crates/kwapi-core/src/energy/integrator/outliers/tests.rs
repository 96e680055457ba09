use super::*;

const ABSURD: f64 = 1e7;

/// What each value of power, each closely after the one before, is taken for by an outlet that showed 100 W: the value,
/// how many were absurd by then, and how many of them in a row.
fn judged(max_watts: Option<f64>, powers: &[Option<f64>]) -> Vec<(Option<f64>, u64, u32)> {
    let mut outliers = Outliers::default();
    powers
        .iter()
        .map(|power| {
            let judged = outliers.judge(*power, true, 100.0, max_watts.map(Watts));
            (judged, outliers.count, outliers.in_a_row)
        })
        .collect()
}

#[test]
fn a_value_above_the_maximum_is_none_and_counted_in_a_row() {
    let powers = [Some(1_000.0), Some(1_000.5), Some(5_000.0), None, Some(ABSURD), Some(100.0)];
    assert_eq!(
        judged(Some(1_000.0), &powers),
        [(Some(1_000.0), 0, 0), (None, 1, 1), (None, 2, 2), (None, 2, 2), (None, 3, 3), (Some(100.0), 3, 0)]
    );
}

/// Three times what a socket gives is 11 040 W.
#[test]
fn a_value_far_above_all_that_was_seen_is_counted_once_the_next_does_not_confirm_it() {
    assert_eq!(
        judged(None, &[Some(11_040.0), Some(100.0), Some(11_041.0), Some(100.0), Some(90.0)]),
        [
            (Some(11_040.0), 0, 0),
            (Some(100.0), 0, 0),
            (Some(11_041.0), 0, 0),
            (Some(100.0), 1, 1),
            (Some(90.0), 1, 0)
        ]
    );
    let mut outliers = Outliers::default();
    outliers.judge(Some(40_000.0), true, 20_000.0, None);
    assert!(!outliers.is_last(), "less than three times what it ever showed");
    outliers.judge(Some(60_001.0), true, 20_000.0, None);
    assert!(outliers.is_last());
    outliers.judge(Some(ABSURD), true, 100.0, Some(Watts(2e7)));
    assert!(!outliers.is_last(), "the operator's setting decides");
}

#[test]
fn absurd_values_that_no_other_confirms_are_in_a_row_though_nothing_was_read_between() {
    assert_eq!(
        judged(None, &[Some(ABSURD), None, Some(ABSURD), Some(100.0)]),
        [(Some(ABSURD), 0, 0), (None, 1, 1), (Some(ABSURD), 1, 1), (Some(100.0), 2, 2)]
    );
}

#[test]
fn the_next_value_confirms_one_of_its_size_that_is_near() {
    for (next, near, is_confirmed) in [
        (20_000.0, true, true),
        (60_000.0, true, true),
        (60_001.0, true, false),
        (6_667.0, true, true),
        (6_666.0, true, false),
        (20_000.0, false, false),
    ] {
        let mut outliers = Outliers::default();
        outliers.judge(Some(20_000.0), true, 100.0, None);
        outliers.hold(200, 5, Quality::Measured);
        outliers.judge(Some(next), near, 100.0, None);
        let held = outliers.settle().map(|held| held.uj);
        assert_eq!(held, is_confirmed.then_some(195), "{next} near {near}");
        assert_eq!(outliers.count, u64::from(!is_confirmed), "{next} near {near}");
        // Both are the load, unless the second is itself absurd and of another size.
        let is_second = next > 11_040.0 && !is_confirmed;
        assert_eq!((outliers.is_second(), outliers.is_last()), (is_second, is_second), "{next} near {near}");
        assert!(outliers.settle().is_none(), "it is given once");
    }
}

#[test]
fn of_a_value_that_waits_what_the_one_before_confirms_is_added_at_once() {
    let mut outliers = Outliers::default();
    outliers.judge(Some(100.0), true, 100.0, None);
    assert_eq!(outliers.hold(200, 5, Quality::Measured), 200);
    outliers.judge(Some(ABSURD), true, 100.0, None);
    assert_eq!(outliers.hold(200, 5, Quality::Measured), 5);
}

/// Neither does one above the maximum confirm an absurd one, nor is it a second.
#[test]
fn a_value_above_a_maximum_that_is_new_ends_what_waited() {
    let mut outliers = Outliers::default();
    for power in [ABSURD, 4.0 * ABSURD] {
        outliers.judge(Some(power), true, 100.0, None);
    }
    assert!(outliers.is_second() && outliers.is_last());
    assert_eq!(outliers.judge(Some(ABSURD), true, 100.0, Some(Watts(500.0))), None);
    assert!(!outliers.is_second() && outliers.is_last());
    assert_eq!((outliers.count, outliers.in_a_row), (3, 3));
    outliers.judge(Some(100.0), true, 100.0, Some(Watts(500.0)));
    assert!(!outliers.is_last());
}
