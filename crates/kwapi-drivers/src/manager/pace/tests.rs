use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn phases_are_spread_over_the_interval() {
    let mut tenths = [0; 10];
    for meter in 0..10_000 {
        let first = MeterPace::new(&format!("node{meter:04}-bmc"), SECOND).first(Duration::ZERO);
        tenths[(first.as_millis() / 100).min(9) as usize] += 1;
    }
    assert!(tenths.iter().all(|count| (900..1_100).contains(count)), "{tenths:?}");
}

#[test]
fn a_long_interval_is_begun_soon() {
    assert!(MeterPace::new("a", Duration::from_secs(3_600)).first(SECOND) <= SECOND + START_SPREAD);
}

#[test]
fn a_late_read_shifts_no_later_one_and_missed_ticks_are_skipped() {
    let mut pace = MeterPace::new("a", SECOND);
    let tick = pace.first(Duration::ZERO);
    assert_eq!(pace.next(tick + milliseconds(30), tick + milliseconds(400)), tick + SECOND);
    assert_eq!(pace.next(tick + SECOND, tick + milliseconds(3_500)), tick + 4 * SECOND);
    assert_eq!(pace.ticks_missed, 2);
}

#[test]
fn a_slow_device_is_read_as_fast_as_it_answers_until_it_is_quick_again() {
    let mut pace = MeterPace::new("a", SECOND);
    let mut now = pace.first(Duration::ZERO);
    for _ in 0..3 {
        assert!(!pace.is_slow());
        now = pace.next(now, now + milliseconds(1_500));
    }
    assert!(pace.is_slow());
    assert_eq!(pace.next(now, now + milliseconds(1_500)), now + milliseconds(1_650));
    for _ in 0..10 {
        now = pace.next(now, now + milliseconds(100));
    }
    assert!(!pace.is_slow());
}

proptest! {
    #[test]
    fn the_next_read_is_ahead_and_within_an_interval_or_the_time_the_device_takes(
        name in ".{0,20}", interval in 1_u64..100_000, start in 0_u64..10_000_000, took in prop::collection::vec(0_u64..300_000, 1..20),
    ) {
        let interval = milliseconds(interval);
        let mut pace = MeterPace::new(&name, interval);
        let mut now = pace.first(milliseconds(start));
        for took in took {
            let finished = now + milliseconds(took);
            let next = pace.next(now, finished);
            prop_assert!(next >= finished);
            prop_assert!(next <= finished + interval.max(milliseconds(took)));
            now = next;
        }
    }
}

/// The gap of a probe received after each of these intervals, in seconds.
fn gap_after(intervals: &[u64]) -> u64 {
    let mut pace = OwnPace::default();
    let mut at = Duration::from_secs(100);
    pace.note_reading(at, None);
    for seconds in intervals {
        at += Duration::from_secs(*seconds);
        pace.note_reading(at, None);
    }
    pace.gap(Duration::from_secs(10)).as_secs()
}

#[test]
fn a_gap_follows_a_probes_own_pace() {
    assert_eq!(gap_after(&[]), 10);
    assert_eq!(gap_after(&[300]), 10, "once is no pace");
    assert_eq!(gap_after(&[300, 300]), 750);
    assert_eq!(gap_after(&[300; 20]), 750);
    assert_eq!(gap_after(&[1; 20]), 10);
    assert_eq!(gap_after(&[7_200; 20]), 3_600, "and no further");
}

#[test]
fn an_outage_is_no_pace() {
    assert_eq!(gap_after(&[1, 1, 900]), 10);
    assert_eq!(gap_after(&[1, 1, 1, 1, 900, 1, 900]), 10);
    assert_eq!(gap_after(&[900, 1, 900, 1, 1, 1, 1, 1, 1]), 10);
    assert_eq!(gap_after(&[1, 1, 1, 60, 60, 60]), 150, "it has slowed down");
    assert_eq!(gap_after(&[60, 60, 60, 1, 1, 1, 1, 1, 1, 1, 1]), 10, "and is quick again");
}

#[test]
fn the_same_stamp_again_is_no_new_reading() {
    let mut pace = OwnPace::default();
    for second in 0..181 {
        pace.note_reading(
            Duration::from_secs(second),
            Some(Timestamp::from_seconds(1_800_000_000 + second / 60 * 60)),
        );
    }
    assert_eq!(pace.gap(Duration::from_secs(10)).as_secs(), 150);
}
