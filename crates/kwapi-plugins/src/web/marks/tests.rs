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
fn a_row_shorter_than_a_minute_is_reported_by_its_power_and_its_minute() {
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
    let of = |status| Occurring::in_rows(&[RowMark::of(status)]);
    let both = of(RowStatus::Unknown).or(of(RowStatus::Measured));
    let words: Vec<_> = both.keys("measured").into_iter().map(|(_, words)| words).collect();
    assert_eq!(words, ["measured", "unknown: not counted"]);
    assert!(Occurring::default().keys("measured").is_empty());
    for status in RowStatus::ALL {
        assert_eq!(of(status).keys("measured").len(), 1, "{status:?}");
    }
}

#[test]
fn a_row_of_a_sum_is_marked_by_what_it_lacks() {
    let check = |ms: [i64; 3], rest: [u64; 2], watts: Option<f64>, power_share: f64, expected: RowMark| {
        let mut span = span(ms, rest);
        span.end = span.start.after(Duration::from_secs(1));
        assert_eq!(sum_mark(&span, watts, power_share), expected, "{ms:?} {rest:?} {power_share}");
    };
    let sure = RowMark::default();
    let of = |status, share| RowMark { share: Some(share), ..RowMark::of(status) };
    let power = Some(70.0);
    // Ten probes over a second: what is unknown counts from a twentieth on, and only where the row lacks power too.
    check([9_000, 0, 0], [1_000, 0], power, 0.9, of(RowStatus::Unknown, 0.1));
    check([9_000, 0, 0], [1_000, 0], power, 1.0, sure);
    check([9_600, 0, 0], [400, 0], power, 0.9, sure);
    check([9_600, 0, 0], [400, 0], None, 0.0, sure);
    check([0, 0, 0], [10_000, 0], None, 0.0, of(RowStatus::Unknown, 1.0));
    // The frame of what was bridged comes to the whole: 2 s of 50 W in a second are 100 W.
    let bridged = RowMark { bridged: Some(170.0), ..of(RowStatus::Bridged, 0.2) };
    check([8_000, 0, 2_000], [0, 0], power, 0.8, bridged);
    check([5_000, 0, 2_000], [3_000, 0], power, 0.5, of(RowStatus::Unknown, 0.3));
    check([4_000, 6_000, 0], [0, 0], power, 1.0, of(RowStatus::Estimated, 0.6));
    check([6_000, 4_000, 0], [0, 0], power, 1.0, sure);
    // Who was not there yet lacks nothing.
    check([5_000, 0, 0], [0, 5_000], power, 0.5, sure);
    check([0, 0, 0], [0, 10_000], None, 0.0, RowMark::of(RowStatus::Absent));
    check([0, 0, 0], [0, 10_000], power, 0.1, sure);
}

#[test]
fn rows_of_a_sum_are_reported_by_the_stretch_they_begin_in() {
    let mut spans = [span([60_000, 0, 0], [0, 0]), span([30_000, 0, 0], [30_000, 0])];
    for (at, span) in (100_u64..).zip(&mut spans) {
        span.start = Timestamp::from_seconds(at * 60);
        span.end = Timestamp::from_seconds(at * 60 + 60);
    }
    // A range may begin within a minute.
    spans[0].start = Timestamp::from_seconds(6_030);
    let rows = [(6_030, 0.5), (6_050, 0.5), (6_060, 1.0), (6_070, 0.5), (6_120, 0.5)];
    let marks = marks_of_sum(rows.into_iter().map(|(at, share)| (at, Some(1.0), share)), &spans, 60, 60);
    let words: Vec<_> = marks.iter().map(|mark| mark.status.word()).collect();
    assert_eq!(words, ["measured", "measured", "measured", "unknown", "measured"]);
    assert!(marks_of_sum(rows.into_iter().map(|(at, _)| (at, None, 0.0)), &[], 60, 60).is_empty());
}

#[test]
fn the_ledger_is_queried_for_more_rows_of_fewer_probes() {
    let steps = |probes: usize| Period::ALL.map(|period| sum_step(period, probes));
    assert_eq!(steps(300), [60, 60, 900, 7_200, 21_600, 604_800]);
    assert_eq!(steps(1_000), [60, 60, 900, 7_200, 86_400, 604_800]);
    assert_eq!(steps(100_000), [60, 900, 86_400, 86_400, 86_400, 604_800]);
}

#[test]
fn a_longer_stretch_reports_what_a_row_lacks_and_its_power_how_much() {
    // Spans of four minutes of a thousand probes, in thousandths of a second each, and rows of a minute.
    let check = |ms: [i64; 3], rest: [u64; 2], watts: Option<f64>, power_share: f64, expected: RowMark| {
        let ms = ms.map(|ms| ms * 1_000);
        let mut span = span(ms, rest.map(|ms| ms * 1_000));
        span.end = span.start.after(Duration::from_secs(240));
        let mark = coarse_mark(&span, 60_000.0, watts, power_share);
        let share = |mark: RowMark| mark.share.map(|share| (share * 1e6).round());
        let bridged = |mark: RowMark| mark.bridged.map(f64::round);
        assert_eq!(
            (mark.status, bridged(mark), share(mark)),
            (expected.status, bridged(expected), share(expected)),
            "{ms:?} {rest:?} {power_share}"
        );
    };
    let (sure, power) = (RowMark::default(), Some(70.0));
    let of = |status, share| RowMark { share: Some(share), ..RowMark::of(status) };
    // A tenth of them were away for a minute, of which the row lacks their power.
    check([234_000, 0, 0], [6_000, 0], power, 0.9, of(RowStatus::Unknown, 0.1));
    check([234_000, 0, 0], [6_000, 0], power, 1.0, sure);
    // All of them: the row has none of its time.
    check([180_000, 0, 0], [60_000, 0], None, 0.0, of(RowStatus::Unknown, 1.0));
    // Their registers bridged it, of 50 W each: the frame comes to what they drew besides.
    let bridged = RowMark { bridged: Some(70.0 + 5_000.0), ..of(RowStatus::Bridged, 0.1) };
    check([234_000, 0, 6_000], [0, 0], power, 0.9, bridged);
    check([100_000, 139_000, 0], [1_000, 0], power, 0.97, of(RowStatus::Estimated, 139.0 / 240.0));
    // A second that is unknown of one is not what a tenth of them lack.
    check([239_999, 0, 0], [1, 0], power, 0.9, sure);
    check([240_000, 0, 0], [0, 0], power, 0.5, sure);
    // Half of them came meanwhile, and one was away for a moment.
    check([120_000, 0, 0], [1_000, 119_000], power, 0.5, sure);
    check([10_000, 0, 0], [10, 200_000], None, 0.0, RowMark::of(RowStatus::Absent));
    check([0, 0, 0], [0, 200_000], None, 0.0, RowMark::of(RowStatus::Absent));
}
