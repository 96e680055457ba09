use kwapi_core::Increment;

use super::*;

/// A span with these milliseconds measured, estimated and bridged, at 50 W, and unknown and absent.
fn span(ms: [i64; 3], [unknown_ms, absent_ms]: [u64; 2]) -> EnergySpan {
    let mut energy = EnergySpan::default();
    energy.known = Increment { mj: ms.map(|ms| ms * 50), ms };
    (energy.unknown_ms, energy.absent_ms) = (unknown_ms, absent_ms);
    energy
}

#[test]
fn a_row_is_as_sure_as_most_of_its_time() {
    let check = |ms: [i64; 3], rest: [u64; 2], has_power: bool, expected: RowStatus| {
        let mark = row_mark(&span(ms, rest), has_power);
        assert_eq!(mark.status, expected, "{ms:?} {rest:?}");
        assert_eq!(mark.bridged, (expected == RowStatus::Bridged).then_some(50.0));
    };
    check([600, 400, 0], [0, 0], true, RowStatus::Measured);
    check([400, 600, 0], [0, 0], true, RowStatus::Estimated);
    check([100, 0, 0], [900, 0], true, RowStatus::Measured);
    check([0, 0, 600], [400, 0], false, RowStatus::Bridged);
    check([0, 0, 400], [600, 0], false, RowStatus::Unknown);
    check([0, 0, 0], [0, 1_000], false, RowStatus::Absent);
    check([0, 0, 0], [0, 0], false, RowStatus::Unknown);
}

#[test]
fn a_row_shorter_than_a_minute_is_told_by_its_power_and_its_minute() {
    let at = |minute: u64| Timestamp::from_seconds(6_000 + 60 * minute);
    let mut spans = [
        span([60_000, 0, 0], [0, 0]),
        span([20_000, 0, 40_000], [0, 0]),
        span([10_000, 20_000, 0], [30_000, 0]),
        span([20_000, 0, 0], [0, 40_000]),
    ];
    for (minute, span) in (0..).zip(&mut spans) {
        (span.start, span.end) = (at(minute), at(minute + 1));
    }
    // Rows of 20 s, which begin a row before the minutes and end one after.
    let powers = [1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1];
    let watts = powers.into_iter().map(|power| (power == 1).then_some(50.0)).collect();
    let marks = marks_of(&Series::whole(5_980, 20, watts), &spans, 60);
    let words: Vec<_> = marks.iter().map(|mark| mark.status.word()).collect();
    let (measured, bridged) = ("measured", "bridged");
    assert_eq!(
        words,
        [
            // Before them, and a row that is not written yet.
            &[measured, measured, measured, measured][..],
            &[measured, bridged, bridged],
            &["estimated", "unknown", "unknown"],
            &[measured, "absent", "absent"],
            &[measured],
        ]
        .concat()
    );
    assert_eq!(marks[5].bridged, Some(50.0));
    assert!(marks_of(&Series::whole(5_980, 20, vec![Some(1.0)]), &[], 60).is_empty(), "no ledger");
}

#[test]
fn the_key_has_what_occurs_alone() {
    let of = |status| Occurring::in_rows(&[RowMark { status, bridged: None }]);
    let both = of(RowStatus::Unknown).or(of(RowStatus::Measured));
    let words: Vec<_> = both.keys("measured").into_iter().map(|(_, words)| words).collect();
    assert_eq!(words, ["measured", "unknown: not counted"]);
    assert!(Occurring::default().keys("measured").is_empty());
    for status in RowStatus::ALL {
        assert_eq!(of(status).keys("measured").len(), 1, "{status:?}");
    }
}
